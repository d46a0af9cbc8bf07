# SPDX-License-Identifier: Apache-2.0
"""Many machines made and gone, some of them killed: nothing of them is left on the host, and who watches them all the while keeps
nothing either."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from test_cli_run import guests  # noqa: F401
from test_machines import SECONDS, machines, processes_of, read_until  # noqa: F401


def traces(machines):  # noqa: F811
    """What a machine can leave on the host outside of its directories, by kind. Other tests run beside this one: what is
    counted is this one's, or bears the program's name."""
    found = {"processes": [str(path) for path in processes_of(machines)]}
    where = (str(machines.run_directory), str(machines.directory))
    unix = [line.split() for line in pathlib.Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()]
    # Those that listen; a connection of the moment has the same path, and no name of its own.
    found["bound sockets"] = sorted({words[7] for words in unix if len(words) > 7 and words[7].startswith(where)})
    locked = {path.stat().st_ino for path in machines.directory.rglob("*lock") if path.is_file()} if machines.directory.exists() else set()
    held = [line.split()[-3] for line in pathlib.Path("/proc/locks").read_text(encoding="ascii").splitlines() if "->" not in line]
    found["held locks"] = [identity for identity in held if int(identity.split(":")[-1]) in locked]
    found["interfaces"] = [name for name in os.listdir("/sys/class/net") if "hospes" in name]
    found["shared memory"] = [name for name in os.listdir("/dev/shm") if "hospes" in name]
    # hospes-HASH-NAME, where HASH is of the directory of machines; known once one of them had a group.
    for path in machines.directory.glob("*/group"):
        machines.groups = "-".join(pathlib.Path(path.read_text(encoding="utf-8").strip()).name.split("-")[:2]) + "-"
    ours = getattr(machines, "groups", None)
    found["control groups"] = []
    for path, directories, _ in os.walk("/sys/fs/cgroup"):
        found["control groups"] += [f"{path}/{name}" for name in directories if ours and name.startswith(ours)]
    return found


def assert_same_traces(machines, before):  # noqa: F811
    end = time.monotonic() + SECONDS
    while (now := traces(machines)) != before and time.monotonic() < end:
        time.sleep(0.05)
    assert now == before


def descriptors(process):
    return sorted(os.readlink(path) for path in pathlib.Path(f"/proc/{process.pid}/fd").iterdir())


@contextlib.contextmanager
def watcher(machines, *arguments):  # noqa: F811
    with subprocess.Popen([machines.home.program, *arguments], env=machines.home.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def one_life(machines, number):  # noqa: F811
    """In a network with the one that stays: of each four lives one ends by its guest, one by `kill`, one by SIGKILL, one by `delete --force`."""
    name, way = f"m{number % 7}", number % 4
    machines.make(name, "hello" if way == 0 else "echo", "--net", "lab", "--disk", "1M")
    if way == 0:
        machines.wait(name, "stopped")
    elif way == 1:
        machines.good("kill", name)
    elif way == 2:
        os.kill(machines.ls()[name]["pid"], signal.SIGKILL)
        machines.wait(name, "crashed")
    machines.good("delete", *(["--force"] if way == 3 else []), name)


def settled(process, seconds=SECONDS):
    """Its descriptors, when it has none for the moment only."""
    end, last = time.monotonic() + seconds, descriptors(process)
    while time.monotonic() < end:
        time.sleep(0.3)
        now = descriptors(process)
        if now == last:
            return now
        last = now
    return last


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_lives_leave_nothing_on_the_host(machines, count):  # noqa: F811
    """Processes, sockets, locks, interfaces, shared memory, control groups, networks; nor descriptors of who watches."""
    machines.make("stays", "echo", "--net", "lab")
    pid = machines.info("stays")["pid"]
    with watcher(machines, "balance", "--service", "--interval", "1") as balance, watcher(machines, "events", "--follow") as events:
        watchers = (balance, events)
        one_life(machines, 0)
        before, opened = traces(machines), [settled(process) for process in watchers]
        of_machine = sorted(os.readlink(path) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()) if os.geteuid() == 0 else None
        assert len(before["processes"]) == 3 and before["bound sockets"] and before["held locks"], before
        begin = time.monotonic()
        for number in range(count):
            one_life(machines, number)
        print(f"{count} lives in {time.monotonic() - begin:.1f} s")
        assert_same_traces(machines, before)
        assert [process.poll() for process in watchers] == [None, None]
        assert [len(settled(process)) for process in watchers] == [len(files) for files in opened]
        # The one that stays spoke with each of them, by sockets of its own: they are bounded, and few.
        if of_machine:
            after = sorted(os.readlink(path) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir())
            assert len(after) <= len(of_machine) + 4, (of_machine, after)
    with machines.socket("stays", "console") as console:
        read_until(console, b"echo ready\n")
        console.send(b"still here\n")
        read_until(console, b"still here\n")
    assert machines.info("stays")["pid"] == pid
    assert {name for name in machines.left()} == {"stays"}
    machines.good("delete", "--force", "stays")
    nothing = {kind: [] for kind in before}
    assert_same_traces(machines, nothing)
    # The next command may have to sweep what a killed process left of its network.
    assert machines.good("net", "ls", "--json") == "[]\n"
    assert machines.sockets() == [] and machines.left() == []


def test_a_balance_that_is_killed(machines):  # noqa: F811
    """It owns nothing: the machines run on, another one takes over at once, and nothing of it is left."""
    machines.make("web", "echo").make("db", "echo")
    pids = {name: row["pid"] for name, row in machines.ls().items()}
    before, sockets = traces(machines), machines.sockets()
    for _ in range(3):
        with watcher(machines, "balance", "--service", "--interval", "1") as balance:
            time.sleep(0.2)
            assert balance.poll() is None, "what the one before left keeps it from running"
            os.kill(balance.pid, signal.SIGKILL)
            assert balance.wait(timeout=SECONDS) == -signal.SIGKILL
    assert_same_traces(machines, before)
    assert machines.sockets() == sockets and machines.left() == ["db", "web"]
    assert {name: row["pid"] for name, row in machines.ls().items()} == pids
    assert machines.good("balance") == "nothing to move among 2 machines\n"
    # The other way: a machine that is killed while it is balanced.
    with watcher(machines, "balance", "--service", "--interval", "1") as balance:
        os.kill(pids["web"], signal.SIGKILL)
        machines.wait("web", "crashed")
        time.sleep(2.5)
        assert balance.poll() is None
        assert json.loads(machines.good("info", "--json", "db"))["pid"] == pids["db"]
    machines.good("start", "web")
    assert machines.info("web")["state"] == "running"
