# SPDX-License-Identifier: Apache-2.0
"""The jail of a machine's process, from outside: what the kernel tells of it, and that nothing of a machine is missed inside.

What each thread may call is tested in tests/unit/test_jail.c; every other test of whole machines runs in the jail, too.
"""

import ctypes
import errno
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from guest import Guest, skip_sanitized
from test_cli import assert_one_line
from test_cli_run import FOREVER, T0, T1, UART, addi, guests, looping, lui, nobody, program_file, say, store  # noqa: F401 (fixtures)

pytestmark = pytest.mark.skipif("HOSPES_JAIL" in os.environ, reason="HOSPES_JAIL is set")


@pytest.fixture(scope="session", autouse=True)
def jailed(program):
    skip_sanitized(program)


@pytest.fixture
def machine(guests, looping):  # noqa: F811
    """As looping, with nothing but the test's own options."""
    guests.arguments = ["run", "--memory", "32M", "--quiet"]
    return looping


def tasks(pid, name):
    """A file of each thread of the process, by the thread's name."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/{name}", encoding="utf-8") as file, open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as comm:
            found[comm.read().strip()] = file.read()
    return found


def network_process(pid):
    """The user network's process of a machine, or None."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        children = [int(child) for child in file.read().split()]
    assert len(children) <= 1
    return children[0] if children else None


def is_gone(pid):
    """Ended, whoever is to ask for its status."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def may_look(pid):
    """The process cannot be looked into by its own user, and that is the point; root may."""
    try:
        os.listdir(f"/proc/{pid}/fd")
        return True
    except PermissionError:
        return False


@pytest.mark.parametrize("network", ["none", "user"])
def test_every_thread_is_confined(machine, network):
    process = machine("--net", network, "--engine", "translate", "--cpus", "2")
    status = tasks(process.pid, "status")
    names = {"hospes", "hospes-regions", "cpu0 guest", "cpu1 guest"}
    assert set(status) >= names
    for name in names:
        fields = dict(re.findall(r"^(\w+):\t(.*)$", status[name], re.MULTILINE))
        assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2", name
        assert (fields["CapEff"], fields["CapPrm"]) == ("0" * 16, "0" * 16), name
    # A CPU's has the loop's besides its own.
    filters = {name: int(re.search(r"^Seccomp_filters:\t(\d+)$", text, re.MULTILINE).group(1)) for name, text in status.items() if "Seccomp_filters" in text}
    assert not filters or (filters["hospes"], filters["hospes-regions"], filters["cpu0 guest"]) == (1, 1, 2)
    if os.geteuid() == 0:
        assert "Groups:\t\n" in status["hospes"] or "Groups:\t \n" in status["hospes"]
    child = network_process(process.pid)
    assert (child is not None) == (network == "user")
    if child is None:
        return
    (name, text), = tasks(child, "status").items()
    fields = dict(re.findall(r"^(\w+):\t(.*)$", text, re.MULTILINE))
    assert name == "hospes-network"
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    assert os.geteuid() != 0 or not fields["Groups"].strip()
    assert (fields["CapEff"], fields["CapPrm"]) == ("0" * 16, "0" * 16)
    assert os.stat(f"/proc/{child}/maps").st_uid == 0


def test_nobody_else_looks_inside(machine):
    """The files of /proc are root's, and there is no core of it."""
    process = machine("--net", "none")
    assert os.stat(f"/proc/{process.pid}/maps").st_uid == 0
    with open(f"/proc/{process.pid}/limits", encoding="utf-8") as file:
        assert re.search(r"^Max core file size +0 +0 ", file.read(), re.MULTILINE)


def test_no_mapping_is_writable_and_executable(guests, machine, every_engine):
    process = machine("--net", "none", "--engine", every_engine)
    if not may_look(process.pid):
        guests.environment["HOSPES_JAIL"] = "log"  # the mappings are the same
        process = machine("--net", "none", "--engine", every_engine)
    with open(f"/proc/{process.pid}/maps", encoding="utf-8") as file:
        maps = [line.split()[1] for line in file]
    assert len(maps) > 20
    assert not [mode for mode in maps if "w" in mode and "x" in mode]
    # The translator's code is the one mapping to execute that is no file's.
    assert ("r-xs" in maps) == every_engine.startswith("translate")


def descriptors(pid):
    """What is open, but for numbers."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        found.append(re.sub(r":\[\d+\]$", "", target).replace(" (deleted)", ""))
    return sorted(found)


def test_every_descriptor_is_explained(guests, machine):
    (guests.path / "disk.raw").write_bytes(bytes(1 << 20))
    arguments = ["--net", "user", "-p", f"{free_port()}:22", "--disk", "disk.raw"]
    process = machine(*arguments)
    if not may_look(process.pid):
        pytest.skip("only root sees the descriptors of a jailed machine")
    anonymous = ["anon_inode:[eventfd]"] * 2  # the loop's, the ring's
    expected = [
        "/dev/null",  # standard input, and once more, opened anew so as not to block
        "/dev/null",
        "pipe",  # standard output, likewise, and standard error
        "pipe",
        "pipe",
        "pipe",  # both ends of the one that signals come by
        "pipe",
        "anon_inode:[eventpoll]",
        "anon_inode:[timerfd]",
        "anon_inode:[io_uring]",
        "/memfd:rom",
        "/memfd:ram",
        str(guests.path / "disk.raw"),
        str(guests.path / "talk-loop"),  # read again at a reboot
        "socket",  # the user network's process: frames, and its end
        "pidfd",
        *anonymous,
    ]
    found = sorted("pidfd" if name == "anon_inode:[pidfd]" else name for name in descriptors(process.pid))
    if "anon_inode:[landlock-ruleset]" in found:
        expected.append("anon_inode:[landlock-ruleset]")  # allows nothing; for threads that begin later
    if "anon_inode:[io_uring]" not in found:
        pytest.skip("this host has no io_uring")
    assert found == sorted(expected)
    # And in the process of the network: the wire and the forwarded port, libslirp's epoll and the loop's.
    expected = ["/dev/null"] * 3 + ["socket"] * 2 + ["anon_inode:[eventpoll]"] * 2 + ["anon_inode:[eventfd]", "anon_inode:[timerfd]"]
    assert descriptors(network_process(process.pid)) == sorted(expected)


@pytest.mark.parametrize("mode", ["on", "log", "off"])
def test_network_dies_with_its_machine(guests, machine, mode):
    """Also where it cannot see the end of its socket, since it is stopped."""
    guests.environment["HOSPES_JAIL"] = mode
    process = machine("--net", "user")
    child = network_process(process.pid)
    os.kill(child, signal.SIGSTOP)
    process.kill()
    process.wait()
    wait_for(lambda: is_gone(child))


def test_machine_ends_without_waiting_for_its_network(machine):
    process = machine("--net", "user")
    child = network_process(process.pid)
    os.kill(child, signal.SIGSTOP)
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    wait_for(lambda: is_gone(child))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_an_unknown_mode(guests):
    guests.environment["HOSPES_JAIL"] = "maybe"
    assert_one_line(guests.run(*guests.arguments, "--kernel", "off"), 2, 'no jail "maybe"')
    guests.environment["HOSPES_JAIL"] = "off"
    assert guests.run(*guests.arguments, "--kernel", "off").returncode == 0


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_files_are_parsed_inside(guests):
    """The kernel is opened before, and its first byte is read after the loop's thread has its filter."""
    (guests.path / "trace").unlink(missing_ok=True)
    command = ["strace", "-o", "trace", "-e", "trace=openat,pread64,seccomp", str(guests.program), *guests.arguments, "--net", "none", "--kernel", "off"]
    assert subprocess.run(command, cwd=guests.path, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    lines = (guests.path / "trace").read_text().splitlines()
    kernel = next(i for i, line in enumerate(lines) if line.startswith("openat(") and '"off"' in line)
    number = lines[kernel].split()[-1]
    first = next(i for i, line in enumerate(lines) if line.startswith(f"pread64({number},"))
    filters = [i for i, line in enumerate(lines) if line.startswith("seccomp(SECCOMP_SET_MODE_FILTER") and line.endswith("= 0")]
    assert filters and kernel < filters[0] < first


def test_the_jail_can_be_left_out(guests, machine):
    guests.environment["HOSPES_JAIL"] = "off"
    process = machine("--net", "none")
    for text in tasks(process.pid, "status").values():
        assert re.search(r"^Seccomp:\t0$", text, re.MULTILINE) and re.search(r"^NoNewPrivs:\t0$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "agent, vsock", [("d/x", "d/sub/v"), ("d/link/x", "v"), ("d/x", "d/abs/v"), ("d/abs/x", "d/v"), ("d/sub/x", "d/v"), ("./d/../d/x", "d/link/../e/v"), ("d/link/x", "d/v")]
)
def test_paths_mean_the_same_inside(guests, agent, vsock):
    """By links, and one within another: the sockets are removed at the end, by the names that were given."""
    (guests.path / "d" / "sub").mkdir(parents=True)
    (guests.path / "e").mkdir()
    (guests.path / "d" / "link").symlink_to("../e")
    (guests.path / "d" / "abs").symlink_to(guests.path / "e")
    result = guests.run("run", "--memory", "32M", "--net", "none", "--agent", agent, "--vsock", vsock, "--kernel", "off")
    assert result.returncode == 0
    assert not has_mounts() or "root directory of its own" not in result.stderr
    assert not [path for path in guests.path.rglob("*") if path.is_socket()]


# ---- named machines ----


@pytest.fixture
def named(guests, tmp_path_factory):
    """Runs hospes with machines of its own; ends them all after the test."""
    run = tmp_path_factory.mktemp("r")
    guests.environment.update(HOSPES_MACHINE_DIR=str(guests.path / "machines"), HOSPES_RUN_DIR=f"/tmp/hospes-test-{os.getpid()}")
    yield guests
    for path in (guests.path / "machines").glob("*/machine.json"):
        guests.run("kill", path.parent.name)
        guests.run("delete", "--force", path.parent.name)
    assert not os.path.exists(f"{guests.environment['HOSPES_RUN_DIR']}/web")
    run.rmdir()


def create(named, kernel, *arguments):
    network = [] if "--net" in arguments else ["--net", "none"]
    result = named.run("create", "--cpus", "1", "--memory", "32M", *network, "--kernel", str(named.path / kernel), *arguments, "web")
    assert result.returncode == 0, result.stderr
    return named.path / "machines" / "web"


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_named_machine_is_confined(named):
    home = create(named, "talk-on")
    before = {path.name for path in home.iterdir()}
    assert named.run("start", "web").returncode == 0
    state = json.loads((home / "var" / "state.json").read_text())
    assert state["state"] == "running"
    for name, text in tasks(state["pid"], "status").items():
        assert re.search(r"^Seccomp:\t2$", text, re.MULTILINE), name
    # What a machine is stays out of its reach: all that it writes is in one directory.
        # Its control group was told before the jail, where there is one (group.h).
        assert {path.name for path in home.iterdir()} - {"group"} == before | {"lock", "record.lock", "var"}
    for verb in ("pause", "resume", "kill"):
        assert named.run(verb, "web").returncode == 0, verb
    wait_for(lambda: json.loads((home / "var" / "state.json").read_text())["state"] == "stopped")
    assert json.loads((home / "var" / "state.json").read_text())["end"] == "killed"
    assert named.run("logs", "web").stdout.startswith("g")
    events = [json.loads(line)["event"] for line in (home / "var" / "events").read_text().splitlines()]
    assert events == ["started", "paused", "resumed", "ended"]
    # And once more, over what is left of it.
    assert named.run("start", "web").returncode == 0


def without(call):
    """For a child: the host has no such system call."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    context = library.seccomp_init(0x7FFF0000)  # allow
    number = library.seccomp_syscall_resolve_name(call)
    assert library.seccomp_rule_add(context, 0x00050000 | errno.ENOSYS, number, 0) == 0
    assert library.seccomp_load(context) == 0


def without_uring():
    """As on many hosts (kernel.io_uring_disabled)."""
    without(b"io_uring_setup")


def without_landlock():
    without(b"landlock_create_ruleset")


def without_mounts():
    without(b"unshare")


def has_mounts():
    """Whether this user may have mounts of its own, as the jail would try."""
    mine = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    return subprocess.run(["unshare", *mine, "--mount", "true"], capture_output=True, check=False).returncode == 0


def mounts(pid):
    """Where something is mounted, of what the process sees."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
        return {line.split()[4]: line.split()[5].split(",") for line in file}


@pytest.mark.parametrize("landlock", [True, False])
def test_nothing_else_is_there(named, landlock):
    """What was not allowed by name has no name; files that are made inside are its user's."""
    if not has_mounts():
        pytest.skip("this host lets this user have no mounts")
    home = create(named, "talk-on", "--net", "user")
    assert named.run("start", "web", preexec_fn=None if landlock else without_landlock).returncode == 0
    pid = json.loads((home / "var" / "state.json").read_text())["pid"]
    assert named.run("pause", "web").returncode == 0
    log = (home / "var" / "log").read_text()
    assert "root directory of its own" not in log and landlock == ("no landlock" not in log)
    # Written anew inside, by rename.
    assert {path.stat().st_uid for path in (home / "var").iterdir()} == {os.geteuid()}
    if not may_look(pid):
        pytest.skip("only root sees the mounts of a jailed machine")
    run = named.environment["HOSPES_RUN_DIR"]
    found = mounts(pid)
    assert set(found) == {"/", f"{home}/var", f"{run}/web"}
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(found["/"])
    root = f"/proc/{pid}/root"
    assert os.listdir(f"{root}{run}") == ["web"]
    assert not os.path.exists(f"{root}/proc") and not os.path.exists(f"{root}/etc")
    assert not os.path.exists(f"{root}{home}/machine.json")
    # The network's process makes no such socket, and has a root of its own only where nothing else keeps it from files.
    child = network_process(pid)
    found = set(mounts(child))
    if landlock:
        assert "/proc" in found
    else:
        assert not found - {"/", os.path.realpath("/etc/resolv.conf"), os.path.dirname(os.path.realpath("/etc/resolv.conf"))}
        assert os.path.exists(f"/proc/{child}/root/etc/resolv.conf") == os.path.exists("/etc/resolv.conf")
        assert not os.path.exists(f"/proc/{child}/root/etc/passwd")
    assert named.run("kill", "web").returncode == 0
    wait_for(lambda: json.loads((home / "var" / "state.json").read_text())["state"] == "stopped")
    # It removed its directory itself, by what was open.
    wait_for(lambda: not os.path.exists(f"{run}/web"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user and root")
def test_root_may_control_a_users_machine(nobody):
    """In the user's namespace root has no number of its own; who else there is stays out by the modes."""
    user = {"user": 65532, "group": 65532, "extra_groups": []}  # not the number that strangers have
    home = nobody.path / "own"
    home.mkdir()
    os.chown(home, user["user"], user["group"])
    nobody.environment.update(HOSPES_MACHINE_DIR=str(home / "machines"), HOSPES_RUN_DIR=str(home / "run"))
    arguments = ["create", "--cpus", "1", "--memory", "32M", "--net", "none", "--kernel", str(nobody.path / "talk-on"), "web"]
    assert nobody.run(*arguments, **user).returncode == 0
    assert nobody.run("start", "web", **user).returncode == 0
    path = str(home / "run" / "web" / "control")
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(path)
            s.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "machine.info"}\n')
            assert json.loads(s.makefile().readline())["result"]["state"] == "running"
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
        other = subprocess.run(["/usr/bin/python3", "-c", connect], user=65533, group=65533, extra_groups=[], capture_output=True, text=True, check=False)
        assert "PermissionError" in other.stderr
    finally:
        assert nobody.run("delete", "--force", "web", **user).returncode == 0


def test_host_without_mounts(named):
    """The machine runs and says so, once."""
    home = create(named, "talk-on", "--net", "user")
    assert named.run("start", "web", preexec_fn=without_mounts).returncode == 0
    assert (home / "var" / "log").read_text().count("root directory of its own") == 1
    assert named.run("pause", "web").returncode == 0
    assert named.run("kill", "web").returncode == 0
    wait_for(lambda: json.loads((home / "var" / "state.json").read_text())["state"] == "stopped")
    wait_for(lambda: not os.path.exists(f"{named.environment['HOSPES_RUN_DIR']}/web"))


def test_machine_outlives_its_network(named):
    """Whatever a guest makes of libslirp: the link is down, and that is an event."""
    home = create(named, "talk-on", "--net", "user")
    assert named.run("start", "web").returncode == 0
    state = json.loads((home / "var" / "state.json").read_text())
    child = network_process(state["pid"])
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: "network-lost" in (home / "var" / "events").read_text())
    assert is_gone(child) and network_process(state["pid"]) is None
    assert re.search(r" error: the process of the user network was ended by signal 9 \(Killed\); the guest's link is down", (home / "var" / "log").read_text())
    for verb in ("pause", "resume", "kill"):
        assert named.run(verb, "web").returncode == 0, verb
    wait_for(lambda: json.loads((home / "var" / "state.json").read_text())["state"] == "stopped")


def test_no_network_is_left_of_a_killed_machine(named):
    home = create(named, "talk-on", "--net", "user", "-p", f"{free_port()}:22")
    assert named.run("start", "web").returncode == 0
    state = json.loads((home / "var" / "state.json").read_text())
    child = network_process(state["pid"])
    os.kill(state["pid"], signal.SIGKILL)
    wait_for(lambda: is_gone(child))
    # Its lock and its port are free.
    assert named.run("start", "web").returncode == 0


def test_logs_are_begun_anew_inside(named):
    """Which renames one file and makes another."""
    chatter = [lui(T0, UART), addi(T1, 0, ord("x")), *[store(0, T1, T0)] * 64, 0xF01FF06F]  # j -256
    program_file(named.path / "chatter", chatter)
    home = create(named, "chatter")
    assert named.run("start", "web").returncode == 0
    wait_for((home / "var" / "console.log.1").exists, 120)
    assert named.run("kill", "web").returncode == 0
    wait_for(lambda: json.loads((home / "var" / "state.json").read_text())["state"] == "stopped")
    assert set((home / "var" / "console.log.1").read_bytes()) == {ord("x")}


# ---- a whole system ----


@pytest.fixture
def boot(program, debian):
    running = []

    def start(*arguments, **keywords):
        running.append(Guest(program, [*arguments, "debian"], debian, **keywords))
        return running[-1]

    yield start
    for guest in running:
        guest.kill()


@pytest.mark.parametrize("uring", [True, False])
def test_debian_misses_nothing(boot, tmp_path, uring):
    """Disks, network, another engine, a reboot, and a code profile at the end."""
    profile = tmp_path / "profile"
    (tmp_path / "second.raw").write_bytes(bytes(64 << 20))
    guest = boot("--ephemeral", "--disk", str(tmp_path / "second.raw"), "--code-profile", str(profile), "--engine", "translate",
                 preexec_fn=None if uring else without_uring).boot()
    disk = guest.check("lsblk -bdnpo NAME,SIZE | sed -n 's/ *67108864$//p'")
    guest.check(f"mkfs.ext4 -q {disk} && mount {disk} /mnt && cp -r /etc /mnt && sync && rm -r /mnt/etc && fstrim /mnt && umount /mnt")
    guest.check(f"dd if=/dev/zero of={disk} bs=1M count=64 conv=fsync")
    guest.check("ping -c 1 -W 10 10.0.2.2")
    guest.command("getent hosts localhost. ; getent hosts deb.debian.org")  # the host may have no network
    for engine in ("interpret", "translate"):
        guest.process.send("\x01e")
        guest.expect(f"the engine is {engine} now")
        guest.check("uname -a; date; free")
    guest.process.sendline("reboot")
    guest.expect("the guest reboots")
    guest.boot()
    assert guest.power_off() == 0, guest.text
    assert stat.S_IMODE(profile.stat().st_mode) == 0o600 and profile.stat().st_size > 10000


CONNECT = """perl -e 'alarm 60; socket($s, 40, 1, 0); connect($s, pack("SSLLL", 40, 0, %d, 2, 0)) or die "refused\n"; sysread($s, $b, 99); print $b' 2>&1"""


def test_debian_reaches_no_socket_elsewhere(boot, tmp_path, tmp_path_factory):
    """The machine connects where its guest's sockets are, and a link from there leads nowhere: so would any path that a
    guest makes the process connect to."""
    if not has_mounts():
        pytest.skip("this host lets this user have no mounts")
    elsewhere = tmp_path_factory.mktemp("e")
    servers = []
    for path in (tmp_path / "v_53", elsewhere / "bus"):
        servers.append(socket.socket(socket.AF_UNIX))
        servers[-1].bind(str(path))
        servers[-1].listen()
        servers[-1].settimeout(0.1)
    (tmp_path / "v_54").symlink_to(elsewhere / "bus")
    guest = boot("--ephemeral", "--net", "none", "--vsock", "v", cwd=tmp_path).boot()
    assert "refused" in guest.command(CONNECT % 54)[1]
    with pytest.raises(TimeoutError):
        servers[1].accept()
    guest.command(f"({CONNECT % 53}) > /tmp/got & true")
    wait_for(lambda: accepted(servers[0]))
    assert guest.check("for i in $(seq 100); do grep here /tmp/got && break; sleep 0.1; done").startswith("here")
    assert guest.power_off() == 0
    assert not (tmp_path / "v").exists()


def accepted(server):
    try:
        s, _ = server.accept()
    except TimeoutError:
        return False
    with s:
        s.sendall(b"here\n")
    return True


def test_debian_sees_its_link_go_down(boot):
    guest = boot("--ephemeral").boot()
    guest.check("ping -c 1 -W 10 10.0.2.2")
    os.kill(network_process(guest.process.pid), signal.SIGKILL)
    guest.expect("the process of the user network was ended by signal 9")
    guest.check("for i in $(seq 100); do ip -o link show | grep -q NO-CARRIER && break; sleep 0.1; done; ip -o link show | grep NO-CARRIER")
    guest.command("ping -c 1 -W 1 10.0.2.2")
    assert guest.power_off() == 0


def test_debian_is_stopped_and_goes_on(boot):
    """By the host's signals, as a terminal sends them."""
    guest = boot("--ephemeral", "--console", "virtio").boot()
    guest.process.setwinsize(50, 100)
    assert "50 100" in guest.check("sleep 1; stty size")
    guest.process.kill(signal.SIGSTOP)
    guest.process.kill(signal.SIGCONT)
    guest.check("true")
    assert guest.power_off() == 0
