# SPDX-License-Identifier: Apache-2.0
"""Named machines: their life from `create` to `delete`, what is left of it, and processes that do not play along."""

import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

import pexpect
import pytest

from guest import PROMPT
from test_cli import assert_one_line
from test_cli_run import FOREVER, T0, T1, UART, addi, guests, lui, power_off, program_file, say, store  # noqa: F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 20


def echo():
    """Writes back what comes from the UART (16550: data at 0, line status at 5, bit 0: there is some)."""
    status = 5 << 20 | T0 << 15 | 4 << 12 | T1 << 7 | 0x03  # lbu t1, 5(t0)
    bit = 1 << 20 | T1 << 15 | 7 << 12 | T1 << 7 | 0x13  # andi t1, t1, 1
    data = T0 << 15 | 4 << 12 | T1 << 7 | 0x03  # lbu t1, 0(t0)
    again, back = 0xFE030CE3, 0xFEDFF06F  # beqz t1, -8; j -20
    return [*say("echo ready\n"), status, bit, again, data, store(0, T1, T0), back]


class Machines:
    """hospes with directories of machines of its own."""

    def __init__(self, home, engine):
        self.home, self.path = home, home.path
        self.engine = engine
        # Not below pytest's directory: a socket's path has 107 bytes.
        self.run_directory = pathlib.Path(tempfile.mkdtemp(prefix="hospes-test-")) / "run"
        self.directory = home.path / "machines"
        home.environment.update(HOSPES_MACHINE_DIR=str(self.directory), HOSPES_RUN_DIR=str(self.run_directory))

    def run(self, *arguments, **keywords):
        return self.home.run(*arguments, **keywords)

    def good(self, *arguments, **keywords):
        result = self.run(*arguments, **keywords)
        assert (result.returncode, result.stderr) == (0, ""), f"{arguments}: {result.stderr}"
        return result.stdout

    def create(self, name, guest, *arguments):
        engine = ["--engine", self.engine] if self.engine else []
        return self.good("create", name, "--kernel", guest, "--cpus", "1", "--memory", "32M", *engine, *(arguments or ["--net", "none"]))

    def make(self, name, guest, *arguments):
        self.create(name, guest, *arguments)
        self.good("start", name)
        return self

    def info(self, name):
        return json.loads(self.good("info", "--json", name))

    def file(self, name):
        return json.loads((self.directory / name / "machine.json").read_text(encoding="utf-8"))

    def ls(self):
        return {row["name"]: row for row in json.loads(self.good("ls", "--json"))}

    def wait(self, name, state, seconds=SECONDS):
        end = time.monotonic() + seconds
        while self.info(name)["state"] != state:
            assert time.monotonic() < end, self.info(name)
            time.sleep(0.01)
        return self.info(name)

    def events(self, *arguments):
        return [json.loads(line) for line in self.good("events", "--json", *arguments).splitlines()]

    def socket(self, name, kind):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        connection.connect(str(self.run_directory / name / kind))
        return connection

    def left(self):
        """What is in the directory of machines, but for locks."""
        return sorted(name for name in os.listdir(self.directory) if not name.endswith(".lock"))

    def sockets(self):
        """What is below RUN. RUN itself may stay: a jailed process may not remove it."""
        return sorted(str(path.relative_to(self.run_directory)) for path in self.run_directory.rglob("*"))

    def end(self):
        """Whatever a test left."""
        for name, row in self.ls().items():
            if self.run("delete", "--force", name).returncode and row.get("pid"):
                os.kill(row["pid"], signal.SIGKILL)
        shutil.rmtree(self.run_directory.parent)


@pytest.fixture
def machines(guests):  # noqa: F811
    program_file(guests.path / "echo", echo())
    program_file(guests.path / "hello", say("hello, host\n") + power_off(0))
    made = Machines(guests, os.environ.get("HOSPES_ENGINE"))
    yield made
    made.end()


def read_until(connection, words, seconds=SECONDS):
    data, end = b"", time.monotonic() + seconds
    while words not in data:
        assert time.monotonic() < end, data
        more = connection.recv(4096)
        assert more, data
        data += more
    return data


# ---- from create to delete ----


def test_a_life(machines):
    machines.create("web", "echo", "--net", "none", "--disk", "2M")
    assert machines.good("ls", "--names") == "web\n"
    row = machines.ls()["web"]
    assert (row["state"], row["pid"], row["cpus"], row["memory"], row["image"], row["since"]) == ("stopped", 0, 1, 32 << 20, None, None)
    info = machines.info("web")
    assert info["directory"] == str(machines.directory / "web") and info["sockets"] is None
    description = info["description"]
    assert description["kernel"] == str(machines.path / "echo"), "a machine can be started from anywhere"
    assert description["disks"] == [{"path": str(machines.directory / "web" / "disk.raw")}]
    assert (machines.directory / "web" / "disk.raw").stat().st_size == 2 << 20

    assert machines.good("start", "web") == ""
    info = machines.info("web")
    assert info["state"] == "running" and info["sockets"] == str(machines.run_directory / "web")
    assert info["engine"] in ("translate", "interpret") and info["own_memory_resident"] > 0
    pid = info["pid"]
    assert pathlib.Path(f"/proc/{pid}").exists() and machines.ls()["web"]["pid"] == pid
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", info["since"])

    machines.good("pause", "web")
    machines.good("pause", "web")
    assert machines.info("web")["state"] == machines.ls()["web"]["state"] == "paused"
    before = machines.info("web")["instructions"]
    time.sleep(0.05)
    assert machines.info("web")["instructions"] == before
    machines.good("resume", "web")
    machines.good("resume", "web")
    assert machines.info("web")["state"] == "running"

    machines.good("kill", "web")
    info = machines.info("web")
    assert (info["state"], info["end"], info["status"], info["sockets"]) == ("stopped", "killed", 0, None)
    assert not pathlib.Path(f"/proc/{pid}").exists() or "zombie" in pathlib.Path(f"/proc/{pid}/status").read_text()
    assert machines.sockets() == []
    told = machines.events("web")
    assert [event["event"] for event in told] == ["started", "paused", "resumed", "ended"]
    assert told[0]["pid"] == pid and told[-1]["end"] == "killed" and told == sorted(told, key=lambda event: event["time"])
    assert machines.good("logs", "web") == "echo ready\n"
    assert machines.good("delete", "web") == ""
    assert machines.ls() == {} and machines.left() == []
    assert "hospes create" in machines.good("ls")


def test_words_for_people(machines):
    machines.make("web", "echo")
    assert re.search(r"^NAME +STATE .*\nweb +running +1 +32 MiB  - +20\d\d-", machines.good("ls"))
    text = machines.good("info", "web")
    for words in (r"^name +web$", r"^state +running$", r"^memory +32 MiB, of which the host holds ", r"^sockets +/"):
        assert re.search(words, text, re.MULTILINE), text
    assert re.search(r"Z +web +started pid=\d+\n$", machines.good("events", "web"))
    machines.good("kill", "web")
    assert re.search(r"^end +killed$", machines.good("info", "web"), re.MULTILINE)


@pytest.mark.parametrize("command", ["kill", "pause", "resume", "console"])
def test_what_needs_a_machine_that_runs(machines, command):
    machines.create("web", "echo")
    assert_one_line(machines.run(command, "web"), 1, 'machine "web" does not run; start it with: hospes start web')
    assert_one_line(machines.run(command, "wbe"), 1, 'there is no machine "wbe"; see what there is with: hospes ls')


def test_start_twice(machines):
    machines.make("web", "echo")
    pid = machines.info("web")["pid"]
    assert_one_line(machines.run("start", "web"), 1, 'machine "web" runs')
    assert_one_line(machines.run("start", "--foreground", "web"), 1, 'machine "web" runs')
    assert_one_line(machines.run("delete", "web"), 1, 'machine "web" runs')
    assert machines.info("web")["pid"] == pid and machines.info("web")["state"] == "running"
    machines.good("delete", "--force", "web")
    assert machines.ls() == {}


def test_many_start_at_once(machines):
    machines.create("web", "echo")
    command = [machines.home.program, "start", "web"]
    starts = [subprocess.Popen(command, env=machines.home.environment, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    words = [process.communicate(timeout=SECONDS)[1] for process in starts]
    assert sorted(process.returncode for process in starts) == [0] + [1] * 7, words
    assert len([text for text in words if 'machine "web" runs' in text]) == 7
    assert machines.info("web")["state"] == "running"


def test_a_start_that_fails(machines):
    """The words of the machine's process are those of the command, and nothing is left of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        machines.create("port", "echo", "-p", f"{port}:22")
        assert_one_line(machines.run("start", "port"), 1, str(port))
        assert_one_line(machines.run("start", "--foreground", "port"), 1, str(port))
    machines.create("file", "echo")
    (machines.path / "echo").rename(machines.path / "moved")
    assert_one_line(machines.run("start", "file"), 1, f'"{machines.path}/echo": no such file or directory')
    machines.create("broken", "hello")
    (machines.directory / "broken" / "machine.json").write_text('{"version": 9}')
    assert_one_line(machines.run("start", "broken"), 1, "it is of version 9, and this hospes knows 1")
    for name in ("port", "file"):
        assert machines.info(name)["state"] == "stopped" and "pid" not in machines.info(name)
    assert machines.ls()["broken"] == {"name": "broken", "state": "broken"}
    assert machines.sockets() == []
    (machines.path / "moved").rename(machines.path / "echo")
    machines.good("start", "port")
    machines.good("kill", "port")
    machines.good("delete", "broken")


def test_a_path_that_is_too_long_for_a_socket(machines):
    machines.create("web", "echo")
    machines.home.environment["HOSPES_RUN_DIR"] = str(machines.run_directory / ("x" * 90))
    assert_one_line(machines.run("start", "web"), 1, "longer than 107 bytes; set HOSPES_RUN_DIR to a shorter directory")
    assert machines.info("web")["state"] == "stopped"


@pytest.mark.parametrize("guest,end,status", [("off", "power-off", 0), ("fail", "failed", 5)])
def test_the_guest_ends(machines, guest, end, status):
    machines.make("web", guest)
    info = machines.wait("web", "stopped")
    assert (info["end"], info["status"]) == (end, status)
    assert [event["event"] for event in machines.events()] == ["started", "ended"]
    assert machines.sockets() == []
    assert re.search(r"started pid=\d+\n.*ended end=" + end, machines.good("events")), "in the order in which it was"


def test_foreground(machines):
    machines.create("web", "echo")
    command = [machines.home.program, "start", "--foreground", "web"]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = subprocess.Popen(command, env=machines.home.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert machines.wait("web", "running")["pid"] == process.pid
        process.send_signal(number)
        assert process.communicate(timeout=SECONDS)[0] == b"" and process.returncode == 0, "an end that was asked for is no failure of a service"
        assert machines.info("web")["end"] == "killed"
    for guest, status in (("hello", 0), ("fail", 1)):
        machines.create(guest, guest)
        assert machines.run("start", "--foreground", guest).returncode == status
    assert machines.sockets() == []


# ---- processes that do not play along ----


def test_a_process_that_is_killed(machines):
    machines.make("web", "echo")
    pid = machines.info("web")["pid"]
    os.kill(pid, signal.SIGKILL)
    assert machines.wait("web", "crashed").get("pid") is None
    assert machines.ls()["web"]["state"] == "crashed" and machines.ls()["web"]["pid"] == 0
    assert_one_line(machines.run("kill", "web"), 1, "does not run")
    machines.good("start", "web")
    assert machines.info("web")["state"] == "running" and machines.info("web")["pid"] != pid
    machines.good("kill", "web")
    assert machines.sockets() == []
    machines.good("start", "web")
    os.kill(machines.info("web")["pid"], signal.SIGKILL)
    machines.wait("web", "crashed")
    machines.good("delete", "web")
    assert machines.sockets() == [] and machines.left() == []


def test_a_start_behind_a_kill(machines):
    """The lock is given up by the last of the process's threads, behind the guest's memory: nobody has to wait and try again."""
    machines.make("web", "echo")
    for verb in ["start"] * 30 + ["delete"]:
        os.kill(json.loads((machines.directory / "web" / "var" / "state.json").read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
        machines.good(verb, "web")
    assert machines.sockets() == [] and machines.left() == []


def test_a_process_that_stands_still(machines):
    machines.make("web", "echo")
    pid = machines.info("web")["pid"]
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    row = machines.ls()["web"]
    assert (row["state"], row["pid"]) == ("busy", pid)
    assert 0.9 < time.monotonic() - begin < 2.5
    machines.good("kill", "web")
    assert time.monotonic() - begin < 10
    assert machines.info("web")["state"] == "crashed" and machines.info("web").get("pid") is None


# Holds the lock of a machine, and answers what is asked with a refusal when it is to.
IMPOSTOR = """
import fcntl, json, os, socket, struct, sys
os.makedirs(sys.argv[1] + "/var", exist_ok=True)
lock = os.open(sys.argv[1] + "/lock", os.O_RDWR | os.O_CREAT, 0o600)
fcntl.fcntl(lock, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1)
with open(sys.argv[1] + "/var/state.json", "w") as state:
    json.dump({"version": 1, "state": "running", "pid": int(sys.argv[3]) or os.getpid()}, state)
listener = socket.socket(socket.AF_UNIX)
if sys.argv[2]:
    listener.bind(sys.argv[2])
    listener.listen(8)
print("ready", flush=True)
while sys.argv[2]:
    peer = listener.accept()[0]
    peer.recv(4096)
    peer.send(sys.argv[4].encode() + b"\\n")
sys.stdin.read()
"""


@pytest.fixture
def impostor(machines):
    processes = []

    def begin(name, control, pid=0, answer=""):
        arguments = [str(machines.directory / name), str(control), str(pid), answer]
        process = subprocess.Popen([sys.executable, "-c", IMPOSTOR, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("error", ['{"message": "no"}', '{"message": "no", "data": {"errno": 2}}', pytest.param('{"message": "no", "data": {"errno": 3}}', marks=pytest.mark.long)])
def test_a_process_that_refuses_to_end(machines, impostor, error):
    """As one that its guest has taken over: what it answers does not keep it alive. (ESRCH, as if it had ended already, buys it ten seconds.)"""
    machines.create("web", "echo")
    (machines.run_directory / "web").mkdir(parents=True, mode=0o700)
    machines.run_directory.chmod(0o700)
    process = impostor("web", machines.run_directory / "web" / "control", answer=f'{{"jsonrpc": "2.0", "id": 1, "error": {error}}}')
    machines.good("kill", "web", seconds=SECONDS)
    assert process.wait(timeout=SECONDS) == -signal.SIGKILL


def test_a_number_that_is_another_process_now(machines, impostor):
    """A machine crashed, its number was given to another process, and it is being started anew."""
    machines.create("web", "echo")
    with subprocess.Popen(["sleep", "60"]) as bystander:
        impostor("web", "", pid=bystander.pid)
        assert machines.ls()["web"]["state"] == "busy" and machines.ls()["web"]["pid"] == 0
        assert_one_line(machines.run("kill", "web"), 1, "has no process to kill")
        time.sleep(0.05)
        assert bystander.poll() is None
        bystander.kill()


def test_a_directory_of_sockets_that_is_not_ours_alone(machines, impostor):
    """Whoever made it may listen there: nothing is typed into it, and nothing in it removed."""
    machines.create("web", "echo")
    (machines.run_directory / "web").mkdir(parents=True)
    machines.run_directory.chmod(0o777)
    (machines.run_directory / "web" / "file").write_text("not of hospes")
    words = "is not a directory of yours alone; remove it, or set HOSPES_RUN_DIR"
    assert_one_line(machines.run("start", "web"), 1, words)
    impostor("web", machines.run_directory / "web" / "console")
    assert_one_line(machines.run("console", "web"), 1, words)
    assert_one_line(machines.run("pause", "web"), 1, words)
    assert machines.ls()["web"]["state"] == "busy"
    assert (machines.run_directory / "web" / "file").exists()


# ---- nothing is left ----


def open_files(pid):
    return [os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()]


def test_the_process_has_nothing_of_whoever_started_it(machines):
    machines.create("web", "echo")
    reader, writer = os.pipe()
    with open(machines.path / "secret", "w", encoding="utf-8") as secret:
        os.dup2(writer, 200)
        machines.good("start", "web", pass_fds=[secret.fileno(), writer, 200])
        os.close(200)
    os.close(writer)
    assert os.read(reader, 1) == b"", "somebody holds the other end"
    os.close(reader)
    pid = machines.info("web")["pid"]
    files = open_files(pid)
    ours = re.compile(rf"/proc/{pid}/autogroup|" r"/dev/null|anon_inode:.*|socket:.*|/memfd:.*|" + re.escape(str(machines.directory / "web")) + "/(lock|var/log|var/events|var/console.log)|" + re.escape(str(machines.run_directory)) + "|" + re.escape(str(machines.path / "echo")) + "|.* \\(deleted\\)")
    # Of a pipe of its own it has both ends.
    assert [path for path in files if not ours.fullmatch(path) and not (path.startswith("pipe:") and files.count(path) == 2)] == []
    assert files.count("/dev/null") == 3 and len(files) < 40
    assert os.getsid(pid) == pid and os.readlink(f"/proc/{pid}/cwd") == "/"
    parent = int(re.search(r"^PPid:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE).group(1))
    assert parent != os.getpid()
    for kind in ("control", "console"):
        assert stat.S_IMODE((machines.run_directory / "web" / kind).stat().st_mode) == 0o600
    assert stat.S_IMODE((machines.run_directory / "web").stat().st_mode) == stat.S_IMODE(machines.run_directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((machines.directory / "web").stat().st_mode) == 0o700


def test_the_words_at_the_end_of_a_shell_pipe(machines):
    """`hospes start` in a pipe ends it: the machine does not hold its standard output."""
    machines.create("web", "echo")
    line = f"{machines.home.program} start web 2>&1 | cat; echo done"
    result = subprocess.run(["sh", "-c", line], env=machines.home.environment, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert result.stdout == "done\n"
    assert machines.info("web")["state"] == "running"


def cycles(machines, count):
    for i in range(count):
        machines.make(f"m{i % 3}", "echo" if i % 2 else "hello")
        if i % 2:
            machines.good("kill", f"m{i % 3}")
        else:
            machines.wait(f"m{i % 3}", "stopped")
        machines.good("delete", f"m{i % 3}")


def processes_of(machines):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"HOSPES_RUN_DIR={machines.run_directory}".encode() in path.read_bytes():
                found.append(path)
        except OSError:
            pass
    return found


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_many_lives_leave_nothing(machines, count):
    before = machines.home.snapshot()
    cycles(machines, count)
    assert machines.ls() == {}
    assert machines.sockets() == []
    assert machines.left() == []
    after = machines.home.snapshot()
    assert {path for path in after if path not in before and not path.endswith(".lock")} == {"machines"}
    end = time.monotonic() + 5
    while processes_of(machines) and time.monotonic() < end:
        time.sleep(0.02)
    assert processes_of(machines) == []
    with open(machines.directory / ".lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_two_at_once(machines):
    machines.make("a", "echo").make("b", "echo")
    assert {name: row["state"] for name, row in machines.ls().items()} == {"a": "running", "b": "running"}
    os.kill(machines.info("a")["pid"], signal.SIGKILL)
    machines.wait("a", "crashed")
    with machines.socket("b", "console") as console:
        read_until(console, b"echo ready\n")
        console.send(b"still here\n")
        read_until(console, b"still here\n")
    machines.good("kill", "b")
    assert {event["machine"] for event in machines.events()} == {"a", "b"}


# ---- the console, logs, events ----


def test_console_for_several(machines):
    machines.make("web", "echo")
    with machines.socket("web", "console") as first, machines.socket("web", "console") as second:
        assert read_until(first, b"ready\n") == read_until(second, b"ready\n") == b"echo ready\n", "what was before they came"
        first.send(b"from the first;")
        assert read_until(first, b"first;") == read_until(second, b"first;") == b"from the first;"
        second.send(b"from the second;")
        assert read_until(first, b"second;") == b"from the second;"
        second.close()
        first.send(b"alone;")
        read_until(first, b"alone;")
    with machines.socket("web", "console") as later:
        assert read_until(later, b"alone;") == b"echo ready\nfrom the first;from the second;alone;"
    assert machines.good("logs", "web") == "echo ready\nfrom the first;from the second;alone;"


def attach(machines, name):
    return pexpect.spawn(str(machines.home.program), ["console", name], env=machines.home.environment, encoding="utf-8", timeout=SECONDS)


def test_console_on_a_terminal(machines):
    machines.make("web", "echo")
    with attach(machines, "web") as terminal:
        terminal.expect("echo ready")
        terminal.send("typed")
        terminal.expect("typed")
        terminal.send("\x01h")
        terminal.expect("Ctrl-A x leaves the console")
        terminal.send("\x01a")
        terminal.expect("\x01")
        terminal.send("\x03")  # Ctrl-C is the guest's
        terminal.expect("\x03")
        terminal.send("\x01x")
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 0
    assert machines.info("web")["state"] == "running"
    with attach(machines, "web") as terminal:
        terminal.expect("typed")
        machines.good("kill", "web")
        terminal.expect('machine "web" has ended')
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 0


def test_console_of_a_script(machines):
    """From a pipe: what comes is the guest's, and its end is not the console's."""
    machines.make("web", "echo")
    command = [machines.home.program, "console", "web"]
    with subprocess.Popen(command, env=machines.home.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"echo ready\n"
        process.stdin.write(b"\x01x no key here\n")
        process.stdin.close()
        assert process.stdout.readline() == b"\x01x no key here\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SECONDS) == 128 + signal.SIGTERM
    assert machines.info("web")["state"] == "running"


def test_logs(machines):
    machines.create("web", "hello")
    assert machines.good("logs", "web") == "" == machines.good("logs", "--hospes", "web")
    for _ in range(2):
        machines.good("start", "web")
        machines.wait("web", "stopped")
    assert machines.good("logs", "web") == "hello, host\n" * 2
    command = [machines.home.program, "logs", "--follow", "web"]
    with subprocess.Popen(command, env=machines.home.environment, stdout=subprocess.PIPE, text=True) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["hello, host\n"] * 2
        machines.good("start", "web")
        assert process.stdout.readline() == "hello, host\n"
        process.kill()
    # On a terminal the guest's control characters do nothing.
    (machines.directory / "web" / "var" / "console.log").write_bytes(b"a\x1b[31mb\x07\r\n\xc3\xa9\n")
    with pexpect.spawn(str(machines.home.program), ["logs", "web"], env=machines.home.environment, timeout=SECONDS) as terminal:
        terminal.expect(pexpect.EOF)
    assert terminal.before == b"a?[31mb?\r\n\xc3\xa9\r\n"


def test_events_as_they_happen(machines):
    command = [machines.home.program, "events", "--follow", "--json"]
    with subprocess.Popen(command, env=machines.home.environment, stdout=subprocess.PIPE, text=True) as process:
        machines.make("web", "echo")
        assert json.loads(process.stdout.readline())["event"] == "started"
        machines.make("db", "echo")
        event = json.loads(process.stdout.readline())
        assert (event["machine"], event["event"]) == ("db", "started")
        machines.good("pause", "db")
        assert json.loads(process.stdout.readline())["event"] == "paused"
        machines.good("kill", "web")
        event = json.loads(process.stdout.readline())
        assert (event["machine"], event["event"], event["end"]) == ("web", "ended", "killed")
        process.kill()


def test_events_of_one_millisecond(machines):
    machines.create("web", "hello")
    line = '{"time":"2026-01-02T03:04:05.678Z","machine":"web","event":"%s"}\n'
    (machines.directory / "web" / "var").mkdir(exist_ok=True)
    (machines.directory / "web" / "var" / "events").write_text("".join(line % word for word in ("started", "ended", "started", "paused")))
    assert [event["event"] for event in machines.events()] == ["started", "ended", "started", "paused"]


def test_events_that_a_guest_wrote(machines):
    """Who has taken the machine's process over writes there what it likes: nothing of that reaches the terminal."""
    machines.create("web", "hello")
    (machines.directory / "web" / "var").mkdir(exist_ok=True)
    line = '{"time":"2026-01-02T03:04:05.678Z","machine":"we\\u001b[2Jb","event":"x\\ny","\\u0007k":"\\u007f","n":5}'
    (machines.directory / "web" / "var" / "events").write_text(f'{line}\nno event\n[1]\n5\n{"[" * 4000}\n' + '{"a":' * 700 + "\n\x1b[2J\n{}\n")
    told = machines.good("events").splitlines()
    assert told[0].split() == ["2026-01-02T03:04:05.678Z", "we?[2Jb", "x?y", "?k=?", "n=5"]
    assert len(told) == 2 and told[1].split() == ["(null)"] * 3
    assert [event["n"] for event in machines.events() if "n" in event] == [5]


# ---- the control socket ----


def test_the_example_of_the_documentation(machines):
    text = (ROOT / "docs" / "control.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    machines.make("web", "echo")
    script = example.replace("/run/user/1000/hospes", str(machines.run_directory))
    assert script != example and len(example.splitlines()) <= 14
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["running", "paused"]
    assert machines.info("web")["state"] == "paused"


METHODS = ["events.subscribe", *re.findall(r'^    {"([a-z.]+)", ', (ROOT / "src/host/runner_methods.c").read_text(encoding="utf-8"), re.MULTILINE)]


def test_methods(machines):
    """Each of them, by a script's own socket; and the documentation tells them all."""
    documented = re.findall(r"^### `([a-z.]+)`$", (ROOT / "docs" / "control.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(METHODS)
    machines.make("web", "echo")
    with machines.socket("web", "control") as control, control.makefile("rw", encoding="utf-8") as lines:

        def call(method, **params):
            lines.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
            lines.flush()
            told = []
            while "id" not in (answer := json.loads(lines.readline())):
                told.append(answer["params"]["event"])
            return answer.get("result", answer.get("error")), told

        assert call("hospes.info")[0]["protocol"] == 1
        assert call("events.subscribe") == (None, [])
        info, _ = call("machine.info")
        assert (info["name"], info["state"], info["pid"]) == ("web", "running", machines.info("web")["pid"])
        assert info["description"]["kernel"] == str(machines.path / "echo")
        assert call("machine.pause") == (None, ["paused"])
        assert call("machine.pause") == (None, [])
        assert call("machine.info")[0]["state"] == "paused"
        assert call("machine.resume") == (None, ["resumed"])
        assert call("machine.statistics")[0]["memory"] == 32 << 20
        assert call("machine.engine", engine="interpret") == (None, ["engine"])
        assert call("machine.info")[0]["engine"] == "interpret"
        for wrong in ({}, {"engine": 5}, {"engine": "interpret", "x": 1}, {"x": 1}):
            assert call("machine.engine", **wrong)[0]["code"] == -32602
        assert call("machine.engine", engine="warp")[0]["code"] in (-32602, -32000)
        assert call("machine.set", cpu_cap=50, reason="a test") == (None, ["set"])
        assert call("machine.info")[0]["description"]["cpu_cap"] == 50
        for wrong in ({}, {"cpus": 2}, {"memory": 64 << 20}, {"cpu_cap": "50"}, {"reason": "none"}, {"size": 16 << 20, "cpus": 1}, {"size": 64 << 20}):
            assert call("machine.set", **wrong)[0]["code"] in (-32602, -32000), wrong
        assert call("machine.set", memory_min=16 << 20) == (None, ["set"])
        assert call("machine.set", size=24 << 20, reason="a test") == (None, ["set"])
        assert (call("machine.statistics")[0]["memory"], call("machine.statistics")[0]["size"]) == (32 << 20, 24 << 20)
        assert call("machine.set", memory_min=28 << 20) == (None, ["set"])
        assert call("machine.statistics")[0]["size"] == 28 << 20, "a promise holds at once"
        assert call("machine.set", memory=16 << 20, memory_min=16 << 20) == (None, ["set"])
        assert (call("machine.statistics")[0]["memory"], call("machine.statistics")[0]["size"]) == (16 << 20, 16 << 20)
        assert call("machine.set", memory=32 << 20) == (None, ["set"])
        assert machines.file("web")["memory"] == 32 << 20 and "cpu_cap" not in machines.file("web"), "the process does not write it"
        assert len(METHODS) >= 8
        for method in METHODS:
            if method != "machine.engine":
                assert call(method, unknown=1)[0]["code"] == -32602, method
        assert call("machine.fly")[0]["code"] == -32601
        assert call("machine.pause")[1] == ["paused"]
        lines.write('{"jsonrpc": "2.0", "id": 1, "method": "machine.kill"}\n')
        lines.flush()
        told = [json.loads(line) for line in lines]
    assert {"jsonrpc": "2.0", "id": 1, "result": None} in told
    assert machines.wait("web", "stopped")["end"] == "killed"


def test_promised_cpus(machines):
    """What lies between them and the machine's CPUs is given and taken for now, and written down nowhere."""
    machines.good("create", "web", "--kernel", "echo", "--memory", "32M", "--net", "none", "--cpus", "4", "--cpus-min", "2")
    machines.good("start", "web")
    pool = json.loads(machines.good("pool", "--json"))
    assert (pool["cpus_granted"], pool["cpus_promised"]) == (4, 2)
    assert (pool["machines"][0]["cpus"], pool["machines"][0]["cpus_min"]) == (4, 2)
    with machines.socket("web", "control") as control, control.makefile("rw", encoding="utf-8") as lines:

        def call(method, **params):
            lines.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
            lines.flush()
            answer = json.loads(lines.readline())
            return answer.get("result", answer.get("error"))

        def online():
            return call("machine.info")["cpus_online"]

        assert online() == 4
        assert call("machine.set", cpus_online=2, reason="a test") is None and online() == 2
        for wrong in ({"cpus_online": 1}, {"cpus_online": 5}, {"cpus_online": "3"}, {"cpus_online": 3, "cpus": 4}, {"cpus_online": 3, "size": 32 << 20}):
            assert call("machine.set", **wrong)["code"] == -32602, wrong
        assert online() == 2
        # A promise that is raised holds at once, and only then the guest is to be told of it.
        assert machines.run("set", "web", "--cpus-min", "3").stderr.startswith("hospes: the guest was not told to use 3 CPUs:") and online() == 3
        assert machines.run("set", "web", "--cpus-min", "1").stderr == "" and online() == 3
        assert_one_line(machines.run("set", "web", "--cpus-min", "5"), 2, "it is promised 5 CPUs (--cpus-min) of its 4")
        assert call("machine.set", cpus_online=1) is None
        # Down to more than it runs is up.
        assert "not told to use 3 CPUs" in machines.run("set", "web", "--cpus", "3").stderr and online() == 3
        assert (machines.file("web")["cpus"], machines.file("web")["cpus_min"]) == (3, 1)
        assert "not told to use 3 CPUs" in machines.run("set", "web", "--cpus-min", "none", "--cpus", "3").stderr
        assert "cpus_min" not in machines.file("web")
        assert call("machine.set", cpus_online=2)["code"] == -32602
    sets = [event for event in machines.events("web") if event["event"] == "set"]
    assert (sets[0]["cpus_online"], sets[0]["reason"]) == (2, "a test")
    told = machines.good("pool", "plan", "db", "--cpus", "4", "--cpus-min", "1")
    assert "and 1 of 4 CPUs" in told
    assert_one_line(machines.run("create", "db", "--kernel", "echo", "--cpus", "2", "--cpus-min", "3"), 2, "it is promised 3 CPUs (--cpus-min) of its 2")


def nice_values(pid):
    return {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}


def test_set(machines):
    """What is set of a machine that runs holds at once and at its next start. Of groups: test_group.py."""
    machines.home.environment["HOSPES_CGROUP"] = "off"
    machines.make("web", "echo", "--net", "none", "--cpus-max", "3")
    pid = machines.info("web")["pid"]
    words = machines.run("set", "web", "--cpus", "2", "--cpu-weight", "50", "--cpu-cap", "80%", "--memory-min", "16M", "--disk-rate", "5M")
    assert words.returncode == 0 and words.stderr.startswith("hospes: the guest was not told to use 2 CPUs:"), words.stderr
    wanted = {"cpus": 2, "cpu_weight": 50, "cpu_cap": 80, "memory_min": 16 << 20, "limits": {"disk_bytes": 5 << 20}}
    for _ in range(2):
        record, description = machines.file("web"), machines.info("web")["description"]
        assert {key: record[key] for key in wanted} == {key: description[key] for key in wanted} == wanted
        assert nice_values(pid) == {3}
        machines.good("kill", "web")
        machines.good("start", "web")
        pid = machines.info("web")["pid"]
    before = machines.file("web")
    assert_one_line(machines.run("set", "web", "--cpus", "4"), 1, "was made for 1 to 3")
    assert_one_line(machines.run("set", "web", "--memory", "64M"), 1, "it has been started with 32 MiB of memory")
    assert_one_line(machines.run("set", "web", "--memory", "8M", "--cpu-cap", "none"), 2, "it is promised 16 MiB (--memory-min) of its 8 MiB")
    assert_one_line(machines.run("set", "web"), 2, "nothing to set")
    assert (machines.file("web"), machines.info("web")["description"]["cpu_cap"]) == (before, 80)
    assert [event["cpus"] for event in machines.events("web") if event["event"] == "set"] == [2]
    machines.good("set", "web", "--memory", "24M", "--cpu-cap", "none")
    assert machines.file("web")["memory"] == 24 << 20
    machines.good("kill", "web")
    machines.good("set", "web", "--memory", "64M", "--cpus", "4", "--memory-min", "none")
    record = machines.file("web")
    assert (record["memory"], record["cpus"], record["cpus_max"], "memory_min" in record) == (64 << 20, 4, 4, False)


def group_nice(pid):
    """Of its session, which counts where the host schedules sessions as groups; None elsewhere."""
    path = pathlib.Path(f"/proc/{pid}/autogroup")
    return int(path.read_text(encoding="ascii").split()[-1]) if path.exists() else None


def test_a_weight_above_everybodys(machines):
    """Root's to give to a machine that runs, whose process has no privilege any more, where nice values stand for weights."""
    if os.geteuid() or subprocess.run(["nice", "-n", "-1", "true"], capture_output=True, check=True).stderr:
        pytest.skip("only root with CAP_SYS_NICE raises a weight")
    machines.home.environment["HOSPES_CGROUP"] = "off"
    machines.make("web", "echo")
    pid = machines.info("web")["pid"]
    for weight, nice in (("1000", -10), ("100", 0), ("2000", -13), ("50", 3)):
        machines.good("set", "web", "--cpu-weight", weight)
        assert nice_values(pid) == {nice} and group_nice(pid) in (nice, None), weight
        assert machines.file("web")["cpu_weight"] == int(weight)


def test_pool_plan(machines):
    """Asks what a start would be told, of a machine that is there or not, and starts nothing."""
    pool = json.loads(machines.good("pool", "--json"))
    told = machines.good("pool", "plan", "web", "--memory", "1T", "--memory-min", "64M", "--cpus", "3")
    assert re.fullmatch(r'fits +"web" is promised 64 MiB of 1 TiB and 3 of 3 CPUs; [\d.]+ [GM]iB can be promised now\nmoves +none\n', told), told
    too_much = str(pool["memory"] // (1 << 20) + 1) + "M"
    refused = machines.run("pool", "plan", "web", "--memory", too_much)
    assert_one_line(refused, 1, "can be promised")
    machines.create("web", "echo")
    assert '"web" is promised 32 MiB of 32 MiB and 1 of 1 CPUs' in machines.good("pool", "plan", "web")
    machines.good("set", "web", "--memory", too_much)
    assert_one_line(machines.run("pool", "plan", "web"), 1, "can be promised")
    assert machines.run("start", "web").stderr.partition(": ")[2].partition(": ")[2] == refused.stderr.partition(": ")[2]
    assert machines.info("web")["state"] == "stopped"


def test_set_by_many(machines):
    """None overwrites what another one wrote, while the machine starts and ends."""
    machines.create("web", "echo")
    ways = [["--cpu-cap", "70%"], ["--disk-iops", "50"], ["--disk-rate", "5M"], ["--net-rate", "6M"], ["--memory-min", "16M"]]
    environment = dict(machines.home.environment)
    for life in range(4):
        commands = [["set", "web", *way] for way in ways] + [["start" if life % 2 == 0 else "kill", "web"]]
        processes = [subprocess.Popen([machines.home.program, *command], env=environment) for command in commands]
        assert [process.wait(timeout=SECONDS) for process in processes] == [0] * len(commands)
        record = machines.file("web")
        assert (record["cpu_cap"], record["limits"], record["memory_min"]) == (70, {"disk_iops": 50, "disk_bytes": 5 << 20, "net_rate": 6 << 20}, 16 << 20)
        machines.good("set", "web", "--cpu-cap", "none", "--disk-iops", "none", "--disk-rate", "none", "--net-rate", "none", "--memory-min", "none")
        assert "limits" not in machines.file("web")


def test_peers_that_do_nothing(machines):
    """Whoever holds 40 connections keeps others out of the socket, and not from pulling the plug."""
    machines.make("web", "echo")
    idle = [machines.socket("web", "control") for _ in range(16)]
    assert machines.ls()["web"]["state"] == "busy"
    idle.pop().close()
    assert machines.ls()["web"]["state"] == "running"
    begin = time.monotonic()
    idle.append(machines.socket("web", "control"))
    machines.good("kill", "web")
    assert time.monotonic() - begin < 10
    for connection in idle:
        connection.close()


# ---- create ----


def test_create_refuses(machines):
    machines.create("web", "echo")
    before = machines.home.snapshot()
    assert_one_line(machines.run("create", "web", "--kernel", "echo"), 1, 'there is a machine "web" already')
    for name in ("Web", "-web", "a.b", "x" * 64, "a/b", ".."):
        assert_one_line(machines.run("create", "--kernel", "echo", "--", name), 2, "cannot be the name of a machine")
    assert_one_line(machines.run("create", "db", "--image", "none"), 1, 'no image "none"')
    assert_one_line(machines.run("create", "db", "--kernel", "missing"), 1, '"missing": no such file or directory')
    assert_one_line(machines.run("create", "db", "--kernel", os.fsdecode(b"caf\xe9"), errors="surrogateescape"), 1, "no such file")
    assert machines.home.snapshot() == before
    (machines.path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    assert_one_line(machines.run("create", "db", "--kernel", os.fsdecode(b"caf\xe9"), errors="surrogateescape"), 2, "is not UTF-8")
    (machines.path / os.fsdecode(b"caf\xe9")).unlink()
    assert machines.home.snapshot().keys() == before.keys()


def test_a_machine_directory_that_moves(machines):
    machines.create("web", "hello", "--net", "none", "--disk", "1M")
    machines.directory.rename(machines.path / "elsewhere")
    machines.directory = machines.path / "elsewhere"
    machines.home.environment["HOSPES_MACHINE_DIR"] = str(machines.directory)
    machines.good("start", "web")
    assert machines.wait("web", "stopped")["end"] == "power-off"


# ---- a whole system ----


def test_debian(machines, debian):
    """From an image, with a larger disk: it boots, what is written stays in the machine, and the image is as it was."""
    data, images = debian["XDG_DATA_HOME"], pathlib.Path(debian["XDG_DATA_HOME"]) / "hospes" / "images" / "debian"
    machines.home.environment.update(XDG_DATA_HOME=data, XDG_CACHE_HOME=debian["XDG_CACHE_HOME"])
    before = (images / "disk.raw").stat()
    result = machines.run("create", "small", "--image", "debian", "--disk", "1G")
    assert_one_line(result, 2, 'the disk of image "debian" has 4 GiB; use that or more, not 1 GiB')
    engine = ["--engine", machines.engine] if machines.engine else []
    machines.good("create", "web", "--image", "debian", "--disk", "5G", "--memory", "512M", *engine, seconds=300)
    info = machines.info("web")
    assert info["description"]["image"] == "debian" and info["description"]["kernel"] == str(machines.directory / "web" / "kernel")
    assert (machines.directory / "web" / "disk.raw").stat().st_blocks < before.st_blocks * 1.1 + 1000, "it stays sparse"
    machines.good("start", "web")
    with attach(machines, "web") as terminal:
        terminal.expect(PROMPT, timeout=300)
        terminal.sendline("lsblk -nbdo SIZE /dev/vda; echo of web > /root/mark; sync; systemctl poweroff")
        terminal.expect(str(5 << 30))
        terminal.expect('machine "web" has ended', timeout=120)
    assert machines.wait("web", "stopped")["end"] == "power-off"
    after = (images / "disk.raw").stat()
    assert (after.st_mtime_ns, after.st_blocks) == (before.st_mtime_ns, before.st_blocks)
    assert (machines.directory / "web" / "disk.raw").stat().st_mtime_ns > before.st_mtime_ns
    assert "Power down" in machines.good("logs", "web")


# ---- as a service ----


@pytest.mark.parametrize("manager", ["user", "system"])
def test_unit(machines, manager):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    text = (ROOT / "share" / "systemd" / manager / "hospes@.service.in").read_text(encoding="utf-8")
    assert text.count("@bindir@/hospes ") == 2
    unit = machines.path / "hospes@.service"
    unit.write_text(text.replace("@bindir@", str(machines.home.program.parent)), encoding="utf-8")
    environment = dict(machines.home.environment, XDG_RUNTIME_DIR=str(machines.path))
    command = ["systemd-analyze", f"--{manager}", "--man=no", "verify", str(unit)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    wrong = [line for line in result.stderr.splitlines() if "hospes@" in line]
    assert (result.returncode, wrong) == (0, []), result.stderr


def test_what_a_unit_starts(machines):
    """ExecStart and ExecStop as they stand there, in the environment of the unit."""
    machines.create("web", "echo")
    text = (ROOT / "share" / "systemd" / "user" / "hospes@.service.in").read_text(encoding="utf-8")
    start, stop = (re.search(rf"^{key}=-?@bindir@/hospes (.*)$", text, re.MULTILINE).group(1).replace("%i", "web").split() for key in ("ExecStart", "ExecStop"))
    with subprocess.Popen([machines.home.program, *start], env=machines.home.environment) as process:
        machines.wait("web", "running")
        # This guest has no agent: the stop fails, as a "-" in front of it allows, and SIGTERM follows.
        stop[stop.index("--timeout") + 1] = "1"
        assert machines.run(*stop).returncode == 1
        process.terminate()
        assert process.wait(timeout=SECONDS) == 0
