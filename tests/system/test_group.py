# SPDX-License-Identifier: Apache-2.0
"""A machine's control group: its share of CPU time by the host's kernel, changed while it runs, and nothing left of it however the machine ends."""

import fcntl
import os
import pathlib
import re
import signal
import struct
import time

import pytest

from test_cli import assert_one_line
from test_cli_run import guests  # noqa: F401
from test_machines import SECONDS, machines, nice_values  # noqa: F401

TICKS = os.sysconf("SC_CLK_TCK")


def group_of(machines, name):  # noqa: F811
    return pathlib.Path((machines.directory / name / "group").read_text(encoding="utf-8").strip())


def shares(group):
    """[weight, per cent of a CPU or None], of either version."""
    if (group / "cpu.shares").exists():
        quota, period = (int((group / f"cpu.cfs_{what}_us").read_text()) for what in ("quota", "period"))
        return [int((group / "cpu.shares").read_text()) * 100 // 1024, None if quota < 0 else quota * 100 // period]
    quota, period = (group / "cpu.max").read_text().split()
    return [int((group / "cpu.weight").read_text()), None if quota == "max" else int(quota) * 100 // int(period)]


@pytest.fixture
def grouped(machines):  # noqa: F811
    """A machine `web`, which is busy, and its group."""
    machines.make("web", "echo")
    if machines.info("web")["shares_by"] == "nice":
        pytest.skip("this user may make no control group with CPU time on this host")
    return machines, group_of(machines, "web")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def test_shares(grouped):
    """As they are in machine.json at a start, and as they are set."""
    machines, group = grouped
    pid = machines.info("web")["pid"]
    assert group.name.startswith("hospes-") and group.name.endswith("-web")
    assert (group / "cgroup.procs").read_text().split() == [str(pid)]
    assert shares(group) == [100, None]
    machines.good("set", "web", "--cpu-weight", "50", "--cpu-cap", "70%")
    machines.good("set", "web", "--disk-iops", "500")
    assert shares(group) == [50, 70] and nice_values(pid) == {0}
    assert re.search(r"^shares +weight 50, at most 70% of a host CPU, by cgroup v[12]$", machines.good("info", "web"), re.MULTILINE)
    assert machines.good("kill", "web") == "" and not group.exists(), "who waits for its end takes it along"
    machines.good("start", "web")
    assert group_of(machines, "web") == group and shares(group) == [50, 70]
    machines.good("set", "web", "--cpu-weight", "200", "--cpu-cap", "none")
    assert shares(group) == [200, None], "more is no privilege where there is a group"
    machines.good("delete", "--force", "web")
    assert not group.exists()


def test_both_processes(grouped):
    """What the user network takes is the machine's, too."""
    machines, _ = grouped
    machines.create("net", "echo", "--net", "user")
    machines.good("start", "net")
    group, pid = group_of(machines, "net"), machines.info("net")["pid"]
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    assert len(children) == 1 and sorted((group / "cgroup.procs").read_text().split()) == sorted([str(pid), *children])
    os.kill(pid, signal.SIGKILL)
    machines.wait("net", "crashed")
    end = time.monotonic() + SECONDS
    while group.exists():
        assert time.monotonic() < end, "the other process ends with it"
        machines.ls()


def test_the_cap_holds(grouped):
    """Kept by the kernel, and once: what hospes itself holds back would come on top."""
    machines, group = grouped
    pid = machines.info("web")["pid"]
    machines.good("set", "web", "--cpu-cap", "30%")
    begin, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(3)
    used = (cpu_seconds(pid) - before) / (time.monotonic() - begin)
    # Less where the host has others to serve.
    assert 0.02 < used < 0.34


def test_the_group_is_out_of_reach(grouped):
    """The jailed process has no file of it open (G2)."""
    machines, group = grouped
    pid = machines.info("web")["pid"]
    if os.geteuid() != 0:
        pytest.skip("only root sees what a jailed process has open")
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        assert "cgroup" not in os.readlink(descriptor)


def kill_hard(machines):  # noqa: F811
    """Its process, without a word; returns when that has given the machine's lock up, and looks at nothing."""
    os.kill(machines.info("web")["pid"], signal.SIGKILL)
    with open(machines.directory / "web" / "lock", "r+b") as lock:
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        end = time.monotonic() + SECONDS
        while True:
            try:
                fcntl.fcntl(lock, 37, whole)  # F_OFD_SETLK
                return
            except BlockingIOError:
                assert time.monotonic() < end
                time.sleep(0.01)


@pytest.mark.parametrize("look", (["ls"], ["info", "web"], ["pool"], ["top", "--once"]))
def test_a_killed_machine_leaves_no_group(grouped, look):
    """Whoever looks next takes it along."""
    machines, group = grouped
    kill_hard(machines)
    assert group.exists(), "nobody has looked"
    end = time.monotonic() + SECONDS
    while group.exists() and time.monotonic() < end:
        machines.good(*look)
    assert not group.exists()
    machines.good("start", "web")
    assert (group / "cgroup.procs").read_text().split() == [str(machines.info("web")["pid"])]


def test_what_a_killed_machine_left_is_in_nobodys_way(grouped):
    machines, group = grouped
    kill_hard(machines)
    machines.good("start", "web")
    assert (group / "cgroup.procs").read_text().split() == [str(machines.info("web")["pid"])]
    kill_hard(machines)
    time.sleep(0.2)
    machines.good("delete", "web")
    assert not group.exists()


def test_a_guest_that_powers_off_leaves_no_group(grouped):
    machines, _ = grouped
    machines.create("short", "hello")
    machines.good("start", "short")
    machines.wait("short", "stopped")
    end = time.monotonic() + SECONDS
    while group_of(machines, "short").exists() and time.monotonic() < end:
        machines.good("ls")
    assert not group_of(machines, "short").exists()


def test_somebody_else_in_it(grouped):
    """A group in which somebody is stays, and does not keep the machine from anything."""
    machines, group = grouped
    pid = os.fork()
    if not pid:
        signal.pause()
    (group / "cgroup.procs").write_text(str(pid))
    machines.good("kill", "web")
    assert group.exists()
    machines.good("start", "web")
    assert set((group / "cgroup.procs").read_text().split()) == {str(pid), str(machines.info("web")["pid"])}
    machines.good("kill", "web")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    machines.good("ls")
    assert not group.exists()


def test_without_a_group(machines):  # noqa: F811
    machines.home.environment["HOSPES_CGROUP"] = "no"
    machines.create("web", "echo")
    assert_one_line(machines.run("start", "web"), 2, 'HOSPES_CGROUP is "no"; use off')
    machines.home.environment["HOSPES_CGROUP"] = "off"
    machines.good("start", "web")
    info = machines.info("web")
    assert info["shares_by"] == "nice" and not (machines.directory / "web" / "group").exists()
    machines.good("set", "web", "--cpu-weight", "50", "--cpu-cap", "30%")
    assert nice_values(info["pid"]) == {3}
    begin, before = time.monotonic(), cpu_seconds(info["pid"])
    time.sleep(2)
    assert 0.02 < (cpu_seconds(info["pid"]) - before) / (time.monotonic() - begin) < 0.4
    assert re.search(r"^shares +weight 50, at most 30% of a host CPU, by nice$", machines.good("info", "web"), re.MULTILINE)
