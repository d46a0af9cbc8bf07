# SPDX-License-Identifier: Apache-2.0
"""The real-time guest of examples/rtos: its kernel keeps its promises under each engine, and on QEMU, which knows nothing of hospes."""

import os
import re
import shutil
import time

import pytest

import rtos
from test_cli_run import guests  # noqa: F401
from test_machines import machines  # noqa: F401


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    return rtos.build(tmp_path_factory.mktemp("rtos"))


@pytest.fixture
def begin():
    """Starts it by a command; ended after the test in any case."""
    running = []

    def start(*command, environment=None):
        running.append(rtos.Rtos(command, environment or dict(os.environ)))
        return running[-1]

    yield start
    for guest in running:
        guest.kill()


def assert_works(guest):
    guest.boot()
    assert "high waited" in (told := guest.command("inherit")) and ": ok" in told, told
    # Of 20 slices each; what the host takes away makes them fewer.
    slices = re.search(r"two equals had 200 ms each, a in (\d+) slices, b in (\d+)", guest.command("slices 200"))
    assert all(3 <= int(count) <= 24 for count in slices.groups()), slices.group()
    used = {name: int(us) for name, us in re.findall(r"^([\w-]+) +priority .* used +(\d+) us", guest.command("tasks"), re.MULTILINE)}
    assert len(used) == 9 and all(200000 <= used[name] for name in ("worker-a", "worker-b")) and 50000 <= used["middle"] and 5000 <= used["low"], used
    assert used["control"] < used["idle"]
    assert 'no command "fly"; try help' in guest.command("fly")
    # What is released by ticks is released as often as ticks passed.
    late, up = guest.lateness(), guest.uptime()
    assert late["period"] == 2000 and 0 < late["count"] <= up // 2 and late["count"] >= up // 2 - 100 - late["missed"], (late, up)
    assert late["p50"] <= late["p99"] <= late["max"] and late["p50"] < late["period"], late
    assert guest.command("reset") and guest.lateness()["count"] < late["count"]
    guest.command("report 1")
    guest.process.expect(r"recent: count \d+ p50 \d+ p99 \d+ max \d+ us missed \d+ of period 2000 us\r+\n", timeout=20)
    assert guest.off() == 0


def test_hospes(begin, program, image, every_engine, profile_arguments):
    arguments = ["--quiet", "--net", "none", "--cpus", "1", "--memory", "32M", "--append", "quiet period=2 report=0"]
    guest = begin(program, "run", *arguments, "--engine", every_engine, *profile_arguments, "--kernel", image)
    assert_works(guest)


# Without Sstc the timer is the SBI's.
@pytest.mark.parametrize("cpu", ["rv64", "rv64,sstc=false"])
def test_qemu(begin, image, cpu):
    qemu = os.environ.get("HOSPES_QEMU_SYSTEM") or shutil.which("qemu-system-riscv64")
    if not qemu:
        pytest.skip("qemu-system-riscv64 is not installed")
    display = ["-display", "none", "-monitor", "none", "-serial", "stdio"]
    assert_works(begin(qemu, "-M", "virt", "-cpu", cpu, "-m", "64", *display, "-kernel", image, "-append", "period=2 report=0"))


def test_named(machines, begin, image):  # noqa: F811
    """From `create` to `delete`; while it is paused its clock stands still, so that it is not late afterwards."""
    machines.make("rt", str(image), "--net", "none", "--append", "report=1")
    guest = begin(machines.home.program, "console", "rt", environment=machines.home.environment).boot()
    guest.command("reset")
    before = guest.uptime()
    machines.good("pause", "rt")
    time.sleep(3)
    machines.good("resume", "rt")
    assert guest.uptime() - before < 2500, "it counted ticks while it was paused"
    assert guest.lateness()["max"] < 1500000, "it was late by what it was paused"
    guest.process.expect("recent: count")
    machines.good("kill", "rt")
    assert "recent: count" in machines.good("logs", "rt")
