# SPDX-License-Identifier: Apache-2.0
"""The host as one pool: what `hospes pool` and `hospes top` tell, whom limits keep from starting, and `hospes balance` with guests that follow."""

import calendar
import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pexpect
import pytest

from guest import own_machines
from test_cli import assert_one_line
from test_cli_run import guests  # noqa: F401
from test_limit import Named
from test_machines import machines  # noqa: F401

KIB, MIB = 1 << 10, 1 << 20
SECONDS = 20


def write_limits(config, **limits):
    (config / "hospes").mkdir(parents=True, exist_ok=True)
    (config / "hospes" / "pool.json").write_text(json.dumps(limits), encoding="utf-8")


@pytest.fixture
def limits(machines):  # noqa: F811
    """Writes the user's own pool.json."""
    return lambda **values: write_limits(machines.path / ".config", **values)


def pool_of(machines):  # noqa: F811
    return json.loads(machines.good("pool", "--json"))


# ---- hospes pool ----


def test_pool_of_nobody(machines):  # noqa: F811
    pool = pool_of(machines)
    assert (pool["machines"], pool["memory_promised"], pool["memory_granted"], pool["cpus_granted"]) == ([], 0, 0, 0)
    assert pool["cpus"] == len(os.sched_getaffinity(0))
    assert 0 < pool["memory_available"] and 0 < pool["memory_reserve"] < pool["memory"]
    assert pool["memory_room"] == pool["memory"] - pool["memory_reserve"]


def test_pool(machines, limits):  # noqa: F811
    limits(memory_reserve=64 * MIB)
    machines.make("web", "echo", "--net", "none", "--memory-min", "16M").make("db", "echo")
    machines.create("idle", "echo")
    pool = pool_of(machines)
    assert pool["memory_reserve"] == 64 * MIB
    assert (pool["memory_promised"], pool["memory_granted"], pool["cpus_granted"]) == (48 * MIB, 64 * MIB, 2)
    assert pool["memory_room"] == pool["memory"] - 64 * MIB - 48 * MIB
    assert [row["name"] for row in pool["machines"]] == ["db", "web"]
    db, web = pool["machines"]
    assert (db["cpus"], db["memory"], db["memory_min"]) == (1, 32 * MIB, 32 * MIB)
    assert (web["memory"], web["memory_min"], web["pid"]) == (32 * MIB, 16 * MIB, machines.info("web")["pid"])
    assert 0 < web["resident"] <= 32 * MIB and web["own"] > 0

    text = machines.good("pool")
    for words in (
        r"^host +\d+ CPUs, \S+ [MG]iB of memory, .*, 64 MiB kept for the host$",
        r"^promised +48 MiB of memory and 2 CPUs to 2 machines that run$",
        r"^granted +64 MiB of memory at the most, 2 CPUs$",
        r"^used +\S+ [KM]iB by guests, \S+ [KM]iB by hospes$",
        r"^room +\S+ [MG]iB can be promised",
        r"^NAME +CPUS +PROMISED +MEMORY +USED +HOSPES$",
        r"^web +1 +16 MiB +32 MiB +\S+ [KM]iB +\S+ [KM]iB$",
    ):
        assert re.search(words, text, re.MULTILINE), (words, text)
    assert "idle" not in text
    machines.good("kill", "web")
    assert [row["name"] for row in pool_of(machines)["machines"]] == ["db"]
    assert_one_line(machines.run("pool", "web"), 2, 'unexpected argument "web"')


def test_limits_that_cannot_be_used(machines, limits):  # noqa: F811
    """Nothing starts under limits of which nobody knows what they say."""
    machines.create("web", "echo")
    limits(memory="1G")
    for command in (["pool"], ["top", "--once"], ["balance"], ["start", "web"]):
        assert_one_line(machines.run(*command), 1, '.config/hospes/pool.json": "memory" is to be a number')
    assert machines.info("web")["state"] == "stopped"


# ---- who may start ----


@pytest.mark.parametrize(
    "values,words",
    [
        ({"machines": 1}, 'cannot start "db": 1 machines run, and pool.json allows 1 at once'),
        ({"cpus": 1}, 'cannot start "db": it wants 1 CPUs; pool.json allows 1 in all, and 1 are given'),
        ({"memory": 40 * MIB}, "32 MiB of memory at the least, and 8 MiB can be promised (40 MiB that pool.json allows in all, less 32 MiB promised to others that run)"),
    ],
)
def test_a_start_that_limits_refuse(machines, limits, values, words):  # noqa: F811
    limits(**values)
    machines.make("web", "echo").create("db", "echo")
    assert_one_line(machines.run("start", "db"), 1, words)
    assert_one_line(machines.run("start", "--foreground", "db"), 1, words)
    assert machines.info("db")["state"] == "stopped" and machines.info("web")["state"] == "running"
    # It is counted once, whoever was in its way.
    machines.good("kill", "web")
    machines.good("start", "db")
    assert_one_line(machines.run("start", "web"), 1, words.replace('"db"', '"web"'))


def test_a_policy_of_users(machines, limits, tmp_path):  # noqa: F811
    """What the administrator says of a user holds beside the user's own limits, the tighter one each, and is told by its name."""
    policy = tmp_path / "policy.json"
    machines.home.environment["HOSPES_POLICY"] = str(policy)
    policy.write_text(json.dumps({"cpus": 5, "users": {"*": {"machines": 1, "disk": 3 * MIB, "memory": 4096 * MIB}}}), encoding="utf-8")
    limits(machines=2, memory=100 * MIB)
    assert_one_line(
        machines.run("create", "big", "--kernel", "echo", "--disk", "4M"),
        1,
        f'it wants a disk of 4 MiB; the limit "disk" of "*" in {policy} allows 3 MiB for all machines\' disks, and those that there are have 0 B;',
    )
    assert machines.left() == []
    machines.create("web", "echo", "--disk", "2M", "--net", "none")
    assert_one_line(machines.run("create", "db", "--kernel", "echo", "--disk", "2M"), 1, "and those that there are have 2 MiB")
    machines.create("db", "echo", "--disk", "1M", "--net", "none")
    machines.good("start", "web")
    assert_one_line(machines.run("start", "db"), 1, f'cannot start "db": 1 machines run, and the limit "machines" of "*" in {policy} allows 1 at once')
    pool = pool_of(machines)
    assert pool["disk"] == 3 * MIB
    assert {name: (row["limit"], row["used"]) for name, row in pool["limits"].items()} == {
        "memory": (100 * MIB, 32 * MIB),
        "cpus": (5, 1),
        "machines": (1, 1),
        "disk": (3 * MIB, 3 * MIB),
    }
    assert pool["limits"]["memory"]["by"] == "pool.json"
    text = machines.good("pool")
    assert re.search(rf'^limits +32 MiB of 100 MiB of memory promised \(pool.json\)\n +1 of 5 CPUs \(the limit "cpus" in {policy}\)\n +1 of 1 machines that run \(', text, re.MULTILINE), text
    # It counts what is there.
    machines.good("kill", "web")
    machines.good("delete", "web")
    machines.good("start", "db")
    policy.write_text('{"users": {\n"alice": {"cpu": 1}}}', encoding="utf-8")
    for command in (["pool"], ["create", "web", "--kernel", "echo", "--disk", "1M"], ["start", "db"]):
        result = machines.run(*command)
        assert result.returncode == 1 and (command[0] == "start" or f'cannot use "{policy}": it has a field that this version does not know, "cpu" (line 2)' in result.stderr)


def test_a_host_that_keeps_its_memory(machines, limits):  # noqa: F811
    memory = pool_of(machines)["memory"]
    limits(memory_reserve=memory - 40 * MIB)
    machines.make("web", "echo").create("db", "echo")
    assert_one_line(machines.run("start", "db"), 1, "8 MiB can be promised (")
    machines.good("set", "web", "--memory-min", "8M")
    machines.good("start", "db")
    # What it has been promised is not taken back by a limit, and no more is given.
    assert_one_line(machines.run("set", "web", "--memory-min", "16M"), 1, "16 MiB of memory at the least, and 8 MiB can be promised (")
    assert machines.file("web")["memory_min"] == 8 * MIB


def test_starts_at_once(machines, limits):  # noqa: F811
    """Of many that want the same room as many get it as it is for."""
    limits(machines=2)
    names = [f"web-{i}" for i in range(6)]
    for name in names:
        machines.create(name, "echo")
    starts = [subprocess.Popen([machines.home.program, "start", name], env=machines.home.environment, stderr=subprocess.PIPE, text=True) for name in names]
    words = [process.communicate(timeout=SECONDS)[1] for process in starts]
    assert sorted(process.returncode for process in starts) == [0] * 2 + [1] * 4, words
    assert len(pool_of(machines)["machines"]) == 2


# ---- hospes top ----

ROW = re.compile(
    r"^(?P<name>\S+) +(?P<state>\w+) +(?P<cpus>[\d/]+) +(?P<cpu>-?[\d.]+) +(?P<used>\S+ \w+) +(?P<memory>\S+ \w+) +(?P<balloon>\S+ \w+) +(?P<read>\S+ \w+)/s +(?P<written>\S+ \w+)/s +(?P<units>-?\d+)$"
)


def assert_sane(row):
    """Nothing that would be there if a counter had gone backwards."""
    assert 0 <= float(row["cpu"]) < 1000, row
    assert 0 <= int(row["units"]) < 10**8, row
    assert row["read"] == row["written"] == "0 B" or "TiB" not in row["read"] + row["written"], row


def test_top_once(machines):  # noqa: F811
    machines.make("web", "echo").make("db", "echo")
    machines.good("pause", "db")
    begin = time.monotonic()
    head, empty, names, *rows = machines.good("top", "--once", "--interval", "2").splitlines()
    assert 2 <= time.monotonic() - begin < 10
    assert re.fullmatch(r"2 machines; host: \d+ CPUs, \S+ \w+ of memory, \S+ \w+ available; guests hold \S+ \w+", head) and not empty
    assert names.split() == ["NAME", "STATE", "CPUS", "CPU", "%", "USED", "MEMORY", "BALLOON", "READ", "WRITTEN", "UNITS/S"]
    db, web = (ROW.match(row).groupdict() for row in rows)
    assert (db["name"], db["state"], db["memory"], db["balloon"], db["cpu"]) == ("db", "paused", "32 MiB", "0 B", "0.0")
    assert (web["name"], web["state"], web["cpus"]) == ("web", "running", "1")
    # It polls its UART, and has what other programs leave it.
    assert 5 < float(web["cpu"]) < 150
    for row in (db, web):
        assert_sane(row)


def test_top_refuses(machines):  # noqa: F811
    for interval in ("0", "3601", "1s"):
        assert machines.run("top", "--interval", interval).returncode == 2
    assert_one_line(machines.run("top", "web"), 2, 'unexpected argument "web"; see: hospes info web')
    assert machines.good("top", "--once").startswith("0 machines; host: ")


def test_top_on_a_terminal(machines):  # noqa: F811
    machines.make("web", "echo")
    with pexpect.spawn(str(machines.home.program), ["top"], env=machines.home.environment, encoding="utf-8", timeout=SECONDS, dimensions=(24, 130)) as terminal:
        for _ in range(2):
            terminal.expect_exact("\033[H\033[J1 machines; host: ")
            terminal.expect(r"; q quits\r\n")
            terminal.expect(r"\nweb +running ")
        terminal.send("x")
        terminal.send("q")
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 0


@pytest.fixture
def live(machines):  # noqa: F811
    """`hospes top` in a pipe, a turn a second: the next row of a machine for which something holds."""
    with subprocess.Popen([machines.home.program, "top"], env=machines.home.environment, stdout=subprocess.PIPE, text=True) as process:

        def next_row(name, holds):
            end = time.monotonic() + SECONDS
            for line in process.stdout:
                row = ROW.match(line)
                if row and row["name"] == name:
                    assert_sane(row.groupdict())
                    if holds(row):
                        return row
                assert time.monotonic() < end, line
            raise AssertionError("it has ended")

        yield next_row
        process.kill()


def test_top_of_a_process_that_stands_still(machines, live):  # noqa: F811
    """What cannot be asked for its counters has not gone backwards, and comes back as it was."""
    machines.make("web", "echo")
    pid = machines.info("web")["pid"]
    live("web", lambda row: row["state"] == "running")
    os.kill(pid, signal.SIGSTOP)
    live("web", lambda row: row["state"] == "busy")
    live("web", lambda row: row["state"] == "busy" and row["cpu"] == "0.0")
    os.kill(pid, signal.SIGCONT)
    live("web", lambda row: row["state"] == "running")


def test_top_of_a_machine_that_is_started_again(machines, live):  # noqa: F811
    """The counters of its new process begin anew."""
    machines.make("web", "echo")
    # So much that the new one does not come up to it in a turn.
    for _ in range(2):
        live("web", lambda row: float(row["cpu"]) > 1)
    machines.good("kill", "web")
    machines.good("start", "web")
    for _ in range(2):
        live("web", lambda row: row["state"] == "running")


def test_top_without_a_reader(machines):  # noqa: F811
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([machines.home.program, "top"], env=machines.home.environment, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    assert (result.returncode, result.stderr) == (1, "hospes: cannot write to standard output\n")


# ---- hospes balance ----

MEMORY, LEAST = 512 * MIB, 256 * MIB
IDLE = "the host is short of memory, and its guest does not use this"
GETS_BY = "the host is short of memory, and its guest gets by without this"
PROMISED = "the host is short of memory: down towards what it was promised"
GROWS = ("its guest is short of memory", "the host has memory to spare")


class Puppet:
    """Whoever has the lock of machine `web` and its control socket, and says what a test wants."""

    def __init__(self, machines):  # noqa: F811
        self.state, self.guest, self.refuses, self.asked, self.code, self.more, self.memory = "running", {}, True, [], {}, {}, {}
        self.meanwhile = lambda: None  # between a `machine.set` and its answer
        machines.create("web", "echo")
        machines.good("set", "web", "--memory", "512M", "--memory-min", "256M")
        self.lock = open(machines.directory / "web" / "lock", "w+b")  # noqa: SIM115
        fcntl.fcntl(self.lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))  # F_OFD_SETLK
        for directory in (machines.run_directory, machines.run_directory / "web"):
            directory.mkdir(mode=0o700)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(machines.run_directory / "web" / "control"))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rw", encoding="utf-8") as lines:
                for line in lines:
                    request = json.loads(line)
                    self.asked.append(request)
                    if request["method"] == "machine.set":
                        self.meanwhile()
                    answer = {"jsonrpc": "2.0", "id": request["id"]}
                    if request["method"] == "machine.set" and self.refuses:
                        answer["error"] = {"code": -32000, "message": "it does not want to", "data": {"errno": 1}}
                    elif request["method"] == "machine.info":
                        memory = {"memory": 512 * MIB, "memory_min": 256 * MIB, "size": 512 * MIB, "resident": 512 * MIB, "guest": self.guest, **self.memory}
                        answer["result"] = {"state": self.state, "memory": memory, "code": self.code, **self.more}
                    else:
                        answer["result"] = None
                    lines.write(json.dumps(answer) + "\n")
                    lines.flush()

    def sizes(self):
        return [request["params"]["size"] for request in self.asked if request["method"] == "machine.set"]

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.lock.close()


@pytest.fixture
def puppet(machines, limits):  # noqa: F811
    # No host has that much.
    limits(memory_reserve=1 << 50)
    made = Puppet(machines)
    yield made
    made.end()


def test_a_move_that_is_refused(machines, puppet):  # noqa: F811
    result = machines.run("balance")
    assert (result.returncode, result.stderr) == (1, "hospes: 1 moves were not made, see above\n")
    lines = result.stdout.splitlines()
    assert len(lines) == 2 and "web: shrinks from 512 MiB to 256 MiB" in lines[0] and lines[1].endswith("web: not moved: it does not want to")
    assert puppet.sizes() == [256 * MIB]
    with subprocess.Popen([machines.home.program, "balance", "--service", "--interval", "1"], env=machines.home.environment, stdout=subprocess.PIPE, text=True) as service:
        # It is ended in its second turn: what became of that move is said all the same.
        puppet.meanwhile = lambda: service.terminate() if len(puppet.sizes()) == 3 else None
        assert service.communicate(timeout=SECONDS)[0].count("not moved: it does not want to") == 2
    assert service.returncode == -signal.SIGTERM
    assert len(puppet.sizes()) == 3
    puppet.refuses = False
    assert machines.good("balance").count("\n") == 1


def test_translated_code_goes_first(machines, puppet):  # noqa: F811
    puppet.code = {"bytes": 20 * MIB, "tables": 10 * MIB, "spare": 8 * MIB}
    lines = machines.run("balance").stdout.splitlines()
    assert len(lines) == 3 and lines[0].endswith(" web: gives back 8 MiB of translated code: the host is short of memory")
    assert [request["method"] for request in puppet.asked][-2:] == ["machine.trim", "machine.set"]


def test_room_for_one_that_starts(machines, puppet, limits):  # noqa: F811
    """What it will use is not there yet; what it is promised may be."""
    memory = json.loads(machines.good("pool", "--json"))["memory"]
    puppet.refuses, puppet.guest, puppet.code = False, {"used": 112 * MIB, "age_ms": 1}, {"spare": 8 * MIB}
    limits(memory_reserve=memory - 600 * MIB)
    said = machines.good("pool", "plan", "db", "--memory", "256M").splitlines()
    assert said[1] == "moves       web: gives back 8 MiB of translated code: the host is short of memory"
    assert said[2].startswith("moves       web: shrinks from 512 MiB to ") and said[2].endswith(IDLE)
    assert puppet.sizes() == []
    machines.create("db", "echo")
    machines.good("set", "db", "--memory", "256M")
    machines.good("start", "db")
    assert len(puppet.sizes()) == 1 and 256 * MIB <= puppet.sizes()[0] < 512 * MIB
    assert [request["params"]["reason"] for request in puppet.asked if request["method"] == "machine.set"] == [IDLE]
    # One that runs already takes nothing more.
    assert machines.run("start", "db").returncode == 1
    assert len(puppet.sizes()) == 1


def test_what_a_guest_told_long_ago(machines, puppet):  # noqa: F811
    """It may use all that it had to spare by now."""
    for age, reason in ((100, IDLE), (60000, PROMISED)):
        puppet.guest = {"used": 112 * MIB, "age_ms": age}
        assert machines.good("balance", "--dry-run").endswith(f"{reason} (not done)\n")


def test_what_a_guest_says_while_it_starts(machines, puppet):  # noqa: F811
    """A boot uses little in its middle, and more at its end, at which an agent is there."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    puppet.guest = {"used": 112 * MIB, "age_ms": 1}
    for more, reason in (({"since": now}, PROMISED), ({"since": now, "agent": True}, IDLE), ({"since": "2026-01-01T00:00:00.000Z"}, IDLE)):
        puppet.more = more
        assert machines.good("balance", "--dry-run").endswith(f"{reason} (not done)\n")


def test_a_machine_that_lies(machines, puppet, limits):  # noqa: F811
    """It neither gets others squeezed nor keeps more than it may."""
    limits(memory_reserve=json.loads(machines.good("pool", "--json"))["memory"] // 2)
    machines.make("db", "echo")
    puppet.more = {"since": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())}
    for lie in ({"size": 1 << 60, "resident": 0}, {"resident": 1 << 60, "size_age_ms": 1}, {"memory_min": 1 << 60, "memory": 1 << 60, "size": 1 << 59}):
        puppet.memory = lie
        assert machines.good("balance", "--dry-run") == "nothing to move among 2 machines\n"
    # No host has that much.
    limits(memory_reserve=1 << 50)
    for lie in ({"size": 1 << 60}, {"resident": 1 << 60, "size_age_ms": 1}, {"memory_min": 1 << 60}):
        puppet.memory = lie
        assert "web: shrinks from 512 MiB to 256 MiB" in machines.good("balance", "--dry-run")


def test_a_machine_that_is_paused(machines, puppet):  # noqa: F811
    """Its balloon cannot follow, and its guest tells nothing."""
    puppet.state = "paused"
    assert machines.good("balance") == "nothing to move among 0 machines\n"
    assert puppet.sizes() == []


def test_an_interval_of_one_turn(machines):  # noqa: F811
    assert_one_line(machines.run("balance", "--interval", "5"), 2, "'--interval' goes with '--service'")


def test_cpus_of_a_guest_without_an_agent(machines, tmp_path):  # noqa: F811
    """Nobody in it would give one up. Machines of which none can be moved need no look at the host's CPUs."""
    pressure = tmp_path / "pressure"
    machines.home.environment["HOSPES_CPU_PRESSURE"] = str(pressure)
    machines.make("web", "echo")
    assert machines.good("balance") == "nothing to move among 1 machines\n"
    machines.good("kill", "web")
    machines.good("set", "web", "--cpus", "4", "--cpus-min", "1")
    machines.good("start", "web")
    assert_one_line(machines.run("balance"), 1, f'cannot use "{pressure}" (HOSPES_CPU_PRESSURE): ')
    pressure.write_text("some\n", encoding="ascii")
    assert_one_line(machines.run("balance"), 1, 'it does not begin with "some avg10=N avg60=N"')
    # One that runs all that it may, and would get more.
    with machines.socket("web", "control") as control, control.makefile("rw", encoding="utf-8") as lines:
        lines.write('{"jsonrpc": "2.0", "id": 1, "method": "machine.set", "params": {"cpus_online": 1}}\n')
        lines.flush()
        assert json.loads(lines.readline())["result"] is None
    assert json.loads(machines.good("info", "--json", "web"))["cpus_online"] == 1
    assert ROW.match(machines.good("top", "--once", "--interval", "1").splitlines()[3])["cpus"] == "1/4"
    for per_cent in (99, 0):
        pressure.write_text(f"some avg10={per_cent}.00 avg60={per_cent}.00 avg300=0.00 total=1\n", encoding="ascii")
        assert machines.good("balance") == "nothing to move among 1 machines\n"


def since(machine):
    """Seconds since it was started."""
    told = json.loads(machine.hospes("info", "--json", machine.name))["since"]
    return time.time() - calendar.timegm(time.strptime(told[:19], "%Y-%m-%dT%H:%M:%S"))


@pytest.fixture
def balanced(program, debian):
    """Two machines of Debian that are up, and where pool.json is."""
    arguments = ["--memory", "512M", "--memory-min", "256M", "--cpus", "1", "--net", "none"]
    with own_machines(program, debian) as environment, contextlib.ExitStack() as stack:
        config = pathlib.Path(environment["HOSPES_RUN_DIR"]).parent / "config"
        environment["XDG_CONFIG_HOME"] = str(config)
        pair = [stack.enter_context(contextlib.closing(Named(program, environment, name, *arguments))) for name in ("a", "b")]
        for machine in pair:
            machine.boot()
        # Without an agent that is when they are no longer taken for machines that start.
        while any(since(machine) < 31 for machine in pair):
            time.sleep(1)
        yield (config, *pair)


def available(guest):
    """Its guest's MemAvailable, in bytes. MemTotal stays as it is for a balloon that gives way before a guest is out of memory."""
    return int(re.search(r"\d+", guest.check("grep MemAvailable: /proc/meminfo")).group()) * KIB


def about(size):
    return pytest.approx(size, abs=48 * MIB)


def statistics(guest):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(f"{guest.environment['HOSPES_RUN_DIR']}/{guest.name}/control")
        connection.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "machine.statistics"}\n')
        with connection.makefile(encoding="utf-8") as lines:
            return json.loads(lines.readline())["result"]


def wait_size(guest, size, least=LEAST):
    """Until its balloon has followed."""
    end = time.monotonic() + SECONDS
    while (now := statistics(guest))["given"] != MEMORY - size:
        assert time.monotonic() < end, now
        time.sleep(0.05)
    assert (now["size"], now["memory"], now["memory_min"]) == (size, MEMORY, least)


def wait_used(guest, holds):
    """Until it has told."""
    end = time.monotonic() + SECONDS
    while not holds(used := statistics(guest)["guest"]["used"]):
        assert time.monotonic() < end, used
        time.sleep(0.2)


def moves(text):
    """[machine, verb, from, to, reason] of each line, but for code that is given back."""
    sizes = [line for line in text.splitlines() if not re.fullmatch(r"20\d\d-\S+Z \w+: gives back \S+ [KM]iB of translated code: .*", line)]
    lines = [re.fullmatch(r"20\d\d-\S+Z (\w+): (\w+) from (\S+ \w+) to (\S+ \w+): (.*)", line) for line in sizes]
    assert all(lines), text
    return [list(line.groups()) for line in lines]


def sets(guest):
    told = [json.loads(line) for line in guest.hospes("events", "--json", guest.name).splitlines()]
    return [(event["size"], event["reason"]) for event in told if event["event"] == "set" and "size" in event]


def test_balance(balanced):
    config, a, b = balanced
    # Of its 512 MiB it needs more than it is promised then, and can live with less.
    b.check("head -c 92M /dev/zero >/dev/shm/used")
    # What it read is not used, and the host holds it.
    a.check("head -c 250M /dev/vda >/dev/null")
    whole = {guest.name: available(guest) for guest in (a, b)}
    wait_used(a, lambda used: used + 64 * MIB < LEAST)
    # By more than the least that is moved: what it does not use goes first, and then what it gets by without.
    wait_used(b, lambda used: LEAST + 16 * MIB < used + 64 * MIB and used + 16 * MIB < LEAST)
    assert statistics(a)["resident"] > LEAST + 64 * MIB
    write_limits(config, memory_reserve=0)
    assert a.hospes("balance") == "nothing to move among 2 machines\n"

    # B2: no host has that much.
    write_limits(config, memory_reserve=1 << 50)
    down = [["a", "shrinks", "512 MiB", "256 MiB", IDLE], ["b", "shrinks", "512 MiB", "256 MiB", GETS_BY]]
    assert moves(a.hospes("balance", "--dry-run")) == [[*move[:4], f"{move[4]} (not done)"] for move in down]
    assert statistics(a)["size"] == statistics(b)["size"] == MEMORY and sets(a) == sets(b) == []
    assert moves(a.hospes("balance")) == down
    for guest, reason in ((a, IDLE), (b, GETS_BY)):
        wait_size(guest, LEAST)
        assert sets(guest) == [(LEAST, reason)]
        assert available(guest) == about(whole[guest.name] - (MEMORY - LEAST))
        assert json.loads(guest.hospes("info", "--json", guest.name))["description"]["memory"] == MEMORY, "it is not written down"
    assert statistics(a)["resident"] < LEAST + 32 * MIB, "the host has it back"
    assert b.check("wc -c </dev/shm/used") == str(92 * MIB)

    # What was translated while they booted goes in turns, and then there is nothing left to do.
    for _ in range(10):
        said = a.hospes("balance")
        if said == "nothing to move among 2 machines\n":
            break
        assert moves(said) == []
    else:
        raise AssertionError(said)

    # A promise that is raised holds at once, and needs no balance.
    write_limits(config, memory_reserve=0)
    b.set("--memory-min", "320M")
    wait_size(b, 320 * MIB, 320 * MIB)
    b.set("--memory-min", "256M")
    b.check("head -c 60M /dev/zero >/dev/shm/more")

    # B3, as a service, until all is given back.
    used = {"a": 0, "b": 60 * MIB}
    with subprocess.Popen([a.program, "balance", "--service", "--interval", "1"], env=a.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as service:
        try:
            for guest in (a, b):
                wait_size(guest, MEMORY)
            time.sleep(1.5)
        finally:
            service.terminate()
        up = moves(service.communicate(timeout=SECONDS)[0])
    assert [move[:4] for move in up] == [["a", "grows", "256 MiB", "512 MiB"], ["b", "grows", "320 MiB", "512 MiB"]], "once, and it is quiet then"
    assert up[0][4] == GROWS[1] and up[1][4] in GROWS
    for guest, move in zip((a, b), up):
        assert sets(guest)[-1] == (MEMORY, move[4])
        assert available(guest) == about(whole[guest.name] - used[guest.name])
