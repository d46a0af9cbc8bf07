# SPDX-License-Identifier: Apache-2.0
"""What hospes does through the agent of a real guest: readiness, programs, files, CPUs, addresses, file systems held still, the end."""

import hashlib
import json
import os
import re
import socket
import subprocess
import time

import pytest

from guest import own_machines, skip_sanitized

SECONDS = 300
MIB = 1 << 20


class Machine:
    def __init__(self, program, environment, name):
        self.program, self.environment, self.name = str(program), environment, name

    def run(self, *arguments, text="", check=0):
        result = subprocess.run([self.program, *arguments], env=self.environment, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert check is None or result.returncode == check, f"{arguments}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result

    def guest(self, words, check=0, text=""):
        """Of a shell in the guest."""
        return self.run("shell", self.name, "--", "sh", "-c", words, check=check, text=text).stdout.strip()

    def info(self):
        return json.loads(self.run("info", "--json", self.name).stdout)


@pytest.fixture(scope="module")
def web(program, debian, engine_arguments):
    """A machine that `start --wait` says is ready."""
    with own_machines(program, debian) as environment:
        web = Machine(program, environment, "web")
        web.run("create", "web", "--image", "debian", "--cpus", "1", "--cpus-max", "3", "--memory", "512M", *engine_arguments[:2])
        web.run("start", "--wait", "web")
        yield web


def test_shell(web):
    assert web.guest("uname -m; whoami") == "riscv64\nroot"
    assert web.guest("exit 7", check=7) == ""
    assert web.guest("wc -c", text="x" * 100000) == "100000"
    result = web.run("shell", "web", "--", "sh", "-c", "echo out; echo err >&2; kill -9 $$", check=128 + 9)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    result = web.run("shell", "web", "--", "/no/such/program", check=None)
    assert result.returncode and "/no/such/program" in result.stderr


def reader_of(command):
    """The process that stays: those that find the agent are gone at once."""
    path, found = f"/proc/{command.pid}/task/{command.pid}/children", ""
    for _ in range(60):
        with open(path, encoding="ascii") as file:
            before, found = found, file.read()
        if found and found == before:
            return found.strip()
        time.sleep(0.5)
    raise AssertionError("the command has no reader")


def test_what_reads_an_answer_is_confined(web):
    """The command has all rights of its user; the process in which the guest's bytes arrive has none."""
    skip_sanitized(web.program)
    with subprocess.Popen([web.program, "shell", web.name, "--", "sleep", "6"], env=web.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as command:
        reader = reader_of(command)
        with open(f"/proc/{reader}/status", encoding="utf-8") as file:
            status = file.read()
        for line in ("Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0{16}"):
            assert re.search(f"^{line}$", status, re.MULTILINE), status
        if os.geteuid() == 0:
            held = sorted(os.readlink(f"/proc/{reader}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{reader}/fd"))
            assert held == ["/dev/null", "/dev/null", "/dev/null", "pipe", "socket"]
        assert command.wait(60) == 0


def test_cp(web, tmp_path):
    data = os.urandom(3 * MIB + 5)
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "data").chmod(0o750)
    web.run("cp", str(tmp_path / "data"), "web:/root/")
    assert web.guest("sha256sum < /root/data; stat -c %a /root/data").split() == [hashlib.sha256(data).hexdigest(), "-", "750"]
    web.run("cp", "web:/root/data", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    assert "/root/none" in web.run("cp", "web:/root/none", str(tmp_path / "none"), check=1).stderr
    assert not (tmp_path / "none").exists()


def test_cpus(web):
    """Up and down in the running guest."""
    assert web.guest("nproc") == "1"
    for cpus in (3, 2, 1, 2):
        web.run("set", "web", "--cpus", str(cpus))
        assert web.guest("nproc; grep -c ^processor /proc/cpuinfo") == f"{cpus}\n{cpus}"
        # Each of them works.
        assert web.guest(f"for i in $(seq 0 {cpus - 1}); do taskset -c $i sh -c 'echo $((6 * 7))'; done") == "\n".join(["42"] * cpus)
        assert web.info()["description"]["cpus"] == cpus
    assert "3" in web.run("set", "web", "--cpus", "4", check=1).stderr


def goes(web, *arguments):
    """What `hospes balance` says of CPUs: [from, to, reason] of each move."""
    return [[int(old), int(new), why] for old, new, why in re.findall(r"^20\d\d-\S+Z web: goes from (\d) to (\d) CPUs: (.*)$", web.run("balance", *arguments).stdout, re.MULTILINE)]


def goes_once(web, *arguments):
    """The next move: a guest that is just up may be busy for a while."""
    end = time.monotonic() + 60
    while not (moves := goes(web, *arguments)):
        assert time.monotonic() < end
    return moves


IDLE = "the host is short of CPUs, and its guest does not use this one"


@pytest.fixture
def pressed(web, tmp_path):
    """Sets how short of CPUs the host is, in per cent of the last 10 s and the last minute; of three CPUs the machine is promised one."""
    path = tmp_path / "pressure"
    web.environment["HOSPES_CPU_PRESSURE"] = str(path)
    web.run("set", "web", "--cpus", "3", "--cpus-min", "1")
    yield lambda recent, minute: path.write_text(f"some avg10={recent}.00 avg60={minute}.00 avg300=0.00 total=1\n", encoding="ascii")
    del web.environment["HOSPES_CPU_PRESSURE"]
    web.run("set", "web", "--cpus", "2", "--cpus-min", "none")


def test_balanced_cpus(web, pressed):
    """They go while the guest does not use them and others want the host's, and come when it is busy or the host is not."""
    file = f"{web.environment['HOSPES_MACHINE_DIR']}/web/machine.json"
    with open(file, encoding="utf-8") as machine:
        before = machine.read()
    pressed(60, 50)
    assert goes_once(web, "--dry-run") == [[3, 2, f"{IDLE} (not done)"]]
    assert web.guest("nproc") == "3"
    for cpus in (2, 1):
        assert goes_once(web) == [[cpus + 1, cpus, IDLE]], "one a turn"
        assert web.guest("nproc") == str(cpus)
        assert (web.info()["cpus_online"], web.info()["description"]["cpus"]) == (cpus, 3)
        assert f"3, promised 1, online {cpus} for now\n" in web.run("info", "web").stdout
    assert goes(web) == []
    event = [json.loads(line) for line in web.run("events", "--json", "web").stdout.splitlines()][-1]
    assert (event["event"], event["cpus_online"], event["reason"]) == ("set", 1, IDLE)
    with open(file, encoding="utf-8") as machine:
        assert machine.read() == before, "it is not written down"
    web.guest("echo 1 >/sys/devices/system/cpu/cpu2/online 2>/dev/null; true")
    assert web.guest("nproc") == "1", "the guest does not take it back by itself"
    for pressure in ((10, 50), (0, 30)):
        pressed(*pressure)
        assert goes(web) == []

    # One that is busy gets it, however short the host is, and keeps what it uses half of.
    pressed(60, 50)
    web.guest("systemd-run --quiet --unit spin sh -c 'while :; do :; done'")
    try:
        assert goes_once(web) == [[1, 2, "its CPUs are busy"]]
        assert web.guest("nproc") == "2"
        assert goes(web) == []
    finally:
        web.guest("systemctl stop spin")
    pressed(1, 2)
    assert goes(web) == [[2, 3, "the host has CPUs to spare"]]
    assert web.guest("nproc") == "3"
    assert goes(web) == []


def test_balanced_cpus_by_a_service(web, pressed):
    pressed(60, 50)
    with subprocess.Popen([web.program, "balance", "--service", "--interval", "1"], env=web.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as service:
        try:
            down = [service.stdout.readline() for _ in range(2)]
            assert web.guest("nproc") == "1"
            pressed(1, 2)
            up = [service.stdout.readline() for _ in range(2)]
            assert web.guest("nproc") == "3"
            time.sleep(3)
        finally:
            service.terminate()
        assert service.stdout.read() == "", "and it is quiet then"
    assert [re.search(r"from \d to \d", line).group() for line in down + up] == ["from 3 to 2", "from 2 to 1", "from 1 to 2", "from 2 to 3"]


def test_a_promise_of_cpus_is_raised(web, pressed):
    pressed(60, 50)
    for _ in range(2):
        goes_once(web)
    assert web.guest("nproc") == "1"
    web.run("set", "web", "--cpus-min", "2")
    assert web.guest("nproc") == "2", "at once"
    assert goes(web) == []
    web.run("set", "web", "--cpus-min", "none")
    assert web.guest("nproc") == "3"
    assert goes(web) == []


def has_agent(web):
    """By the word of its process: `hospes info` also says nothing of a guest whose agent is slow."""
    with socket.socket(socket.AF_UNIX) as control, control.makefile("rw", encoding="utf-8") as lines:
        control.settimeout(60)
        control.connect(f"{web.environment['HOSPES_RUN_DIR']}/web/control")
        lines.write('{"jsonrpc": "2.0", "id": 1, "method": "machine.info"}\n')
        lines.flush()
        return json.loads(lines.readline())["result"]["agent"]


def test_cpus_that_are_left_alone(web, pressed):
    """Of a guest that is paused, that has no agent at the time, or that has itself stopped one."""
    pressed(60, 50)
    assert goes_once(web, "--dry-run")
    web.run("pause", "web")
    try:
        assert goes(web) == []
    finally:
        web.run("resume", "web")
    web.guest("echo 0 >/sys/devices/system/cpu/cpu1/online")
    assert goes(web) == []
    pressed(1, 2)
    assert goes(web) == []
    web.guest("echo 1 >/sys/devices/system/cpu/cpu1/online")
    pressed(60, 50)
    assert goes_once(web, "--dry-run")
    web.guest("systemd-run --quiet sh -c 'sleep 3; systemctl stop qemu-guest-agent; sleep 15; systemctl start qemu-guest-agent'")
    end = time.monotonic() + 60
    while has_agent(web):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert goes(web) == []
    while "guest" not in web.info():
        assert time.monotonic() < end
    assert web.guest("nproc") == "3"


def test_cpus_that_an_agent_refuses_to_move(web, pressed):
    """It is told, and nothing is left halfway."""

    def refused():
        lines = web.run("balance", check=1).stdout.splitlines()
        assert re.search(r" web: not moved: the guest's agent refuses \"guest-\w+-vcpus\": ", lines[-1]), lines
        return web.info()["cpus_online"]

    pressed(60, 50)
    goes_once(web, "--dry-run")
    web.run("freeze", "web")
    try:
        assert refused() == 3
    finally:
        web.run("thaw", "web")
    assert goes_once(web) == [[3, 2, IDLE]]
    pressed(1, 2)
    web.run("freeze", "web")
    try:
        assert refused() == 2
    finally:
        web.run("thaw", "web")
    assert goes(web) == [[2, 3, "the host has CPUs to spare"]]
    assert web.guest("nproc") == "3"


def test_cpus_of_an_agent_that_is_silent(web, pressed):
    """It keeps a balance waiting for a moment, and not at each turn."""
    pressed(60, 50)
    goes_once(web, "--dry-run")
    port = "/dev/virtio-ports/org.qemu.guest_agent.0"
    web.guest(f"systemd-run --quiet sh -c 'sleep 3; systemctl stop qemu-guest-agent; sleep 2; timeout 15 cat {port} >/dev/null; systemctl start qemu-guest-agent'")
    end = time.monotonic() + 60
    # Nobody asks it meanwhile: SIGTERM in the middle of an answer can have qemu-ga wait for itself for ever (its handler
    # takes the main loop's lock).
    for there in (False, True):
        while has_agent(web) != there:
            assert time.monotonic() < end
            time.sleep(0.1)
    assert "guest" not in web.info()
    with subprocess.Popen([web.program, "balance", "--service", "--interval", "1"], env=web.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as service:
        time.sleep(6)
        service.terminate()
        lines = service.stdout.read().splitlines()
    assert len(lines) == 2 and "goes from 3 to 2 CPUs" in lines[0] and "web: not moved: " in lines[1], lines
    while "guest" not in web.info():
        assert time.monotonic() < end
    assert (web.guest("nproc"), web.info()["cpus_online"]) == ("3", 3)


def test_addresses(web):
    guest = web.info()["guest"]
    assert guest["system"].startswith("Debian GNU/Linux 13") and guest["host_name"] == web.guest("hostname")
    told = {entry["name"]: entry for entry in guest["interfaces"]}
    for line in web.guest("ip -o address show scope global").splitlines():
        name, address = re.match(r"\d+: (\S+) +inet6? (\S+)", line).groups()
        assert address in told[name]["addresses"]
        assert told[name]["mac"] == web.guest(f"cat /sys/class/net/{name}/address")
    assert "lo" not in told and any("10.0.2.15/24" in entry["addresses"] for entry in told.values())
    text = web.run("info", "web").stdout
    assert re.search(r"^guest +\S+, Debian GNU/Linux 13", text, re.MULTILINE) and re.search(r"^addresses +\w+ 10\.0\.2\.15/24", text, re.MULTILINE)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_freeze(web):
    """Nothing is written to the disk until the guest's file systems are thawed."""
    web.guest("(while sleep 0.1; do date >> /root/dates; sync /root/dates; done) > /dev/null 2>&1 &")
    assert re.fullmatch(r"[1-9]\d* file systems? held still\n", web.run("freeze", "web").stdout)
    try:
        disk = f"{web.environment['HOSPES_MACHINE_DIR']}/web/disk.raw"
        before = digest(disk)
        assert "guest-exec" in web.run("shell", "web", "--", "true", check=1).stderr, "the agent refuses"
        time.sleep(1)
        assert digest(disk) == before
    finally:
        assert re.fullmatch(r"[1-9]\d* file systems? go on\n", web.run("thaw", "web").stdout)
    lines = web.guest("wc -l < /root/dates")
    web.guest("sleep 1; pkill -f dates; true", check=None)
    assert int(web.guest("wc -l < /root/dates")) > int(lines)
    assert web.run("thaw", "web").stdout == "0 file systems go on\n"


def test_the_guest_powers_off(web):
    """The last one: by the agent."""
    web.run("stop", "web")
    info = web.info()
    assert (info["state"], info["end"]) == ("stopped", "power-off") and "guest" not in info
    for verb in ("freeze", "thaw"):
        assert "does not run" in web.run(verb, "web", check=1).stderr
