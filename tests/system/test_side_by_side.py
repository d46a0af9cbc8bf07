# SPDX-License-Identifier: Apache-2.0
"""Systems of three kinds at once on one host: a Debian that uses all CPUs it can get, a real-time kernel, and the shell of a
firmware. Each answers while the others run, and the real-time one keeps its tick."""

import os
import pathlib
import re
import subprocess
import sys
import time

import pexpect
import pytest

import rtos
from guest import BOOT_SECONDS, own_machines
from test_limit import Named

UBOOT = pathlib.Path("/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin")
PERIOD_MS = 5
SECONDS = 10
# What a process of the host sees that does the same as the guest's task. Argument: for how many seconds.
HOST = """
import sys, time
late, release = [], time.monotonic() + 0.005
end = release + float(sys.argv[1])
while release < end:
    time.sleep(max(0, release - time.monotonic()))
    late.append((time.monotonic() - release) * 1e6)
    release += 0.005
late.sort()
print(*(int(late[len(late) * part // 1000]) for part in (500, 990)), int(late[-1]))
"""


class Loader:
    """U-Boot at its prompt, by the console of a named machine."""

    PROMPT = "=> "

    def __init__(self, program, environment, name):
        self.process = pexpect.spawn(str(program), ["console", name], env=environment, encoding="utf-8", codec_errors="replace", timeout=60)

    def boot(self):
        self.process.expect("Hit any key to stop autoboot")
        self.process.send(" ")
        self.process.expect_exact(self.PROMPT)

    def command(self, line):
        self.process.send(line + "\r")
        self.process.expect_exact(line + "\r\n")
        self.process.expect_exact(self.PROMPT)
        return self.process.before


@pytest.fixture
def hospes(program, debian):
    """Runs a command on machines of the test's own; they are gone afterwards."""
    def run(*arguments, check=True):
        result = subprocess.run([str(program), *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        assert not check or result.returncode == 0, result.stderr
        return result.stdout

    with own_machines(program, debian) as environment:
        run.program, run.environment, run.base = program, environment, pathlib.Path(environment["HOSPES_RUN_DIR"]).parent
        yield run


@pytest.fixture
def side_by_side(hospes):
    """(Debian, U-Boot, RTOS), all up; started at once."""
    if not UBOOT.exists():
        pytest.skip("the package u-boot-qemu is not installed")
    consoles = []
    try:
        for name, kernel, memory in (("loader", UBOOT, "128M"), ("rt", rtos.build(hospes.base), "32M")):
            hospes("create", name, "--kernel", str(kernel), "--net", "none", "--cpus", "1", "--memory", memory, "--append", f"period={PERIOD_MS} report=0")
            hospes("start", name)
        loader = Loader(hospes.program, hospes.environment, "loader")
        consoles.append(loader.process)
        real_time = rtos.Rtos([hospes.program, "console", "rt"], hospes.environment)
        consoles.append(real_time.process)
        linux = Named(hospes.program, hospes.environment, "linux", "--net", "none", "--memory", "512M", "--cpus", str(len(os.sched_getaffinity(0))))
        consoles.append(linux.process)
        loader.boot()
        real_time.boot()
        yield linux.boot(), loader, real_time
    finally:
        for process in consoles:
            process.close(force=True)


def busy_ticks(linux):
    """What its CPUs did for user programs, in hundredths of a second each."""
    return [int(line.split()[1]) for line in linux.check("grep ^cpu[0-9] /proc/stat").splitlines()]


def test_each_answers(hospes, side_by_side):
    linux, loader, real_time = side_by_side
    cpus = int(linux.check("nproc"))
    assert cpus == len(os.sched_getaffinity(0))
    linux.check(f"for i in $(seq {cpus}); do (while :; do :; done) & done 2>/dev/null")
    loader.command("setenv rounds 0")
    before = busy_ticks(linux)
    real_time.command("reset")
    begin, up = time.monotonic(), real_time.uptime()
    command = [sys.executable, "-c", HOST, str(SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as host:
        rounds = 0
        while host.poll() is None:
            rounds += 1
            assert linux.check(f"echo $(({rounds} * 37))") == str(rounds * 37)
            loader.command("setexpr rounds ${rounds} + 1")
            assert re.search(rf"^rounds={rounds:x}\r?$", loader.command("printenv rounds"), re.MULTILINE)
            assert ": ok" in real_time.command("inherit")
        p50, p99, worst = map(int, host.stdout.read().split())
    passed, ticks = (time.monotonic() - begin) * 1000, real_time.uptime() - up
    late = real_time.lateness()
    words = f"guest {late}, host p50 {p50} p99 {p99} max {worst} us, load {os.getloadavg()[0]:.1f}, {rounds} rounds"
    print(words)
    # All of them ran: the Debian at each CPU, which it did not get whole.
    assert all(after - was > 20 for was, after in zip(before, busy_ticks(linux))), words
    assert rounds >= 2, words
    # No tick is lost for good: its clock is the host's.
    assert abs(passed - ticks) < 1000 + worst / 1000, words
    assert abs(late["count"] * PERIOD_MS - ticks) < 1000 + late["max"] / 1000, words
    # The bound, beyond what the host's scheduler does to a process of its own that wants as much.
    assert late["p50"] < PERIOD_MS * 1000 / 2 + 3 * p50, words
    # Alone on two CPUs the 99th percentile is below 1 ms; beside other tests 90 ms were seen, when the guest's own work of each
    # round had used its share up.
    assert late["p99"] < 150000 + 4 * p99, words
    assert late["max"] < 500000 + 4 * worst, words
