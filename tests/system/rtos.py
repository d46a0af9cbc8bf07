# SPDX-License-Identifier: Apache-2.0
"""The real-time guest of examples/rtos, at its prompt."""

import pathlib
import re
import subprocess

import pexpect

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMPT = "rtos> "
SECONDS = 20


def build(directory):
    """Makes rtos.bin and rtos.elf there; the former's path."""
    result = subprocess.run([str(ROOT / "examples" / "rtos" / "build"), str(directory)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return directory / "rtos.bin"


class Rtos:
    """On a pseudo-terminal of a program that runs it, or shows its console."""

    def __init__(self, command, environment):
        self.process = pexpect.spawn(str(command[0]), [str(word) for word in command[1:]], env=environment, encoding="utf-8", codec_errors="replace", timeout=SECONDS)

    def boot(self):
        self.process.expect_exact(PROMPT)
        return self

    def command(self, line):
        """What it says to it. Reports of its own come between lines, never within one."""
        self.process.send(line + "\r")
        # QEMU leaves the terminal to make two of a line's end.
        self.process.expect(re.escape(line) + "\r+\n")
        self.process.expect_exact(PROMPT)
        return re.sub("\r+\n", "\n", self.process.before)

    def lateness(self, command="rt"):
        """{count, p50, p99, max, missed, period}, of times in microseconds."""
        words = re.search(r"^rt: count (\d+) p50 (\d+) p99 (\d+) max (\d+) us missed (\d+) of period (\d+) us$", self.command(command), re.MULTILINE)
        return dict(zip(("count", "p50", "p99", "max", "missed", "period"), map(int, words.groups())))

    def uptime(self):
        """Milliseconds by its ticks."""
        return int(re.search(r"^(\d+) ms, ", self.command("uptime"), re.MULTILINE).group(1))

    def off(self):
        self.process.send("off\r")
        self.process.expect(pexpect.EOF)
        self.process.wait()
        self.process.close()
        return self.process.exitstatus

    def kill(self):
        self.process.close(force=True)
