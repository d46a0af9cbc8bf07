# SPDX-License-Identifier: Apache-2.0
"""A guest on a pseudo-terminal: start it, wait for its prompt, run commands in it."""

import contextlib
import pathlib
import re
import shutil
import subprocess
import tempfile

import pexpect
import pytest

# A named machine is called by its name.
PROMPT = r"root@[a-z0-9-]+:[^\r\n]*# $"
# The interpreter boots Debian in well under this on an idle machine; tests share two cores.
BOOT_SECONDS = 600


class Guest:
    def __init__(self, program, arguments, environment, cwd=None, **keywords):
        self.process = pexpect.spawn(
            str(program), ["run", *arguments], env=environment, cwd=cwd, encoding="utf-8", codec_errors="replace", timeout=BOOT_SECONDS, dimensions=(40, 200), **keywords
        )
        self.text = ""

    def expect(self, pattern, seconds=BOOT_SECONDS):
        """Waits for a pattern; everything the guest wrote so far is in .text."""
        try:
            self.process.expect(pattern, timeout=seconds)
        finally:
            self.text += self.process.before if isinstance(self.process.before, str) else ""
            self.text += self.process.after if isinstance(self.process.after, str) else ""
        return self.process.match

    def boot(self):
        """To the shell of root."""
        self.expect(PROMPT)
        return self

    def command(self, line, seconds=120):
        """Runs a command in the shell; returns (status, output). The quotes keep the shell's echo
        of the line apart from what it prints."""
        self.process.sendline(f"echo be''gin; {line}; echo en''d=$?")
        self.expect(r"begin\r\n", seconds)
        self.expect(r"end=(\d+)\r\n", seconds)
        status, output = int(self.process.match.group(1)), self.process.before
        self.expect(PROMPT, seconds)
        return status, output.replace("\r\n", "\n").strip()

    def check(self, line, seconds=120):
        status, output = self.command(line, seconds)
        assert status == 0, f"{line}: status {status}\n{output}"
        return output

    def wait(self, seconds=BOOT_SECONDS):
        """Until the program has ended; its exit status."""
        self.expect(pexpect.EOF, seconds)
        self.process.wait()
        self.process.close()
        return self.process.exitstatus

    def power_off(self, seconds=BOOT_SECONDS):
        self.process.sendline("poweroff")
        return self.wait(seconds)

    def kill(self):
        try:
            self.process.close(force=True)
        except pexpect.ExceptionPexpect:
            # A busy host takes its time to end a killed process; pexpect waits for 0.1 s.
            self.process.wait()


@contextlib.contextmanager
def own_machines(program, debian):
    """The environment of hospes for machines of a test's own, which are gone afterwards. The directory above $HOSPES_RUN_DIR
    is the test's, too."""
    # Not below pytest's directory: a socket's path has 107 bytes.
    base = tempfile.mkdtemp(prefix="hospes-test-")
    # On the disk that the image is on: its copy has as many blocks.
    directory = tempfile.mkdtemp(prefix="machines-", dir=debian["XDG_DATA_HOME"])
    environment = dict(debian, HOSPES_MACHINE_DIR=directory, HOSPES_RUN_DIR=f"{base}/run")

    def run(*arguments):
        return subprocess.run([str(program), *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    try:
        yield environment
    finally:
        for name in run("ls", "--names").stdout.split():
            run("kill", name)
        shutil.rmtree(directory)
        shutil.rmtree(base)


def skip_sanitized(program):
    """Where the jail is off unless it is asked for."""
    if re.search(rb"__(asan|tsan|ubsan)_", pathlib.Path(program).read_bytes()):
        pytest.skip("a sanitizer needs more than the jail leaves")
