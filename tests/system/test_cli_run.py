# SPDX-License-Identifier: Apache-2.0
"""`hospes run` with guests of a few instructions: what the host does not allow, how it ends, what it leaves behind."""

import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import pexpect
import pytest

from test_cli import assert_one_line, elf_file

# Where the board has its power register (syscon), and what to write there to end: QEMU's `virt`, SiFive's test device.
POWER = 0x100000
UART = 0x10000000


def lui(register, value):
    return (value & 0xFFFFF000) | register << 7 | 0x37


def addi(register, source, value):
    return (value & 0xFFF) << 20 | source << 15 | register << 7 | 0x13


def store(width, value, base):
    return value << 20 | base << 15 | width << 12 | 0x23


FOREVER = 0x0000006F  # j .
T0, T1, T2 = 5, 6, 7


def power_off(status):
    """Writes 0x5555, or status << 16 | 0x3333, to the power register."""
    value = status << 16 | 0x3333 if status else 0x5555
    upper = (value + 0x800) & 0xFFFFF000
    return [lui(T0, POWER), lui(T1, upper), addi(T1, T1, value - upper), store(2, T1, T0), FOREVER]


def say(text):
    return [lui(T0, UART), *(word for c in text.encode() for word in (addi(T1, 0, c), store(0, T1, T0)))]


def talk_on(text):
    """Says the text again and again, with a loop of 65,536 rounds before each character."""
    words = [lui(T0, UART)]
    for c in text.encode():
        words += [addi(T1, 0, c), lui(T2, 0x10000), addi(T2, T2, -1), 0xFE039EE3, store(0, T1, T0)]  # bnez t2, -4
    offset = -4 * len(words)
    return [*words, (offset >> 20 & 1) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20 | (offset >> 12 & 0xFF) << 12 | 0x6F]


def program_file(path, words):
    code = b"".join((w & 0xFFFFFFFF).to_bytes(4, "little") for w in words)
    header = bytearray(elf_file(243)[:120])
    for offset in (64 + 32, 64 + 40):  # p_filesz, p_memsz
        header[offset : offset + 8] = len(code).to_bytes(8, "little")
    path.write_bytes(bytes(header) + code)
    return path


@pytest.fixture
def guests(home, engine_arguments):
    program_file(home.path / "loop", [FOREVER])
    program_file(home.path / "off", power_off(0))
    program_file(home.path / "fail", power_off(5))
    program_file(home.path / "talk", say("hello, host\n") + power_off(0))
    program_file(home.path / "talk-loop", say("ready\n") + [FOREVER])
    program_file(home.path / "talk-on", talk_on("going on\r\n"))
    home.arguments = ["run", "--cpus", "1", "--memory", "32M", "--quiet", *engine_arguments]
    return home


def start(guests, *arguments, **keywords):
    return subprocess.Popen([guests.program, *guests.arguments, *arguments], cwd=guests.path, env=guests.environment, **keywords)


@pytest.fixture
def looping(guests):
    """Starts a machine that never ends and waits until its CPU runs; ends them all after the test."""
    running = []

    def begin(*arguments):
        process = start(guests, "--kernel", "talk-loop", *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.append(process)
        assert process.stdout.readline() == b"ready\n", process.stderr.read()
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("guest,status", [("off", 0), ("fail", 5)])
def test_exit_status_is_the_guests(guests, guest, status):
    result = guests.run(*guests.arguments, "--net", "none", "--kernel", guest)
    assert (result.returncode, result.stdout) == (status, "")


def test_standard_output_is_the_console(guests):
    result = guests.run("run", "--net", "none", "--memory", "32M", "--kernel", "talk")
    assert (result.returncode, result.stdout) == (0, "hello, host\n")
    assert re.fullmatch(r"hospes: guest: \d CPUs?, 32 MiB of memory\n", result.stderr)


def test_raw_payload(guests):
    """What is no ELF file and no Linux Image is loaded as it is."""
    elf = (guests.path / "talk").read_bytes()
    (guests.path / "raw").write_bytes(elf[120:])
    result = guests.run(*guests.arguments, "--net", "none", "--kernel", "raw")
    assert (result.returncode, result.stdout) == (0, "hello, host\n")


# What --stats tells of each engine, and what besides of one that translated something.
ROWS = {"instructions", "blocks decoded", "blocks invalidated", "TLB misses", "TLB flushes", "traps", "seconds", "million a second"}
TRANSLATOR_ROWS = {"units", "unit instructions", "unit bytes", "code bytes", "table bytes", "translation us", "units dropped", "segments evicted", "window fills"}


def stats(home, *arguments):
    """The rows of --stats, by name."""
    result = home.run("run", "--cpus", "1", "--memory", "32M", "--quiet", "--net", "none", "--stats", "--kernel", "talk", *arguments)
    if "cannot translate" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert (result.returncode, result.stdout) == (0, "hello, host\n"), result.stderr
    return {name: float(value) for name, value in re.findall(r"^hospes: (.+?)  +([\d.]+)$", result.stderr, re.MULTILINE)}


def test_stats(guests):
    counts = stats(guests, "--engine", "interpret")
    assert set(counts) == ROWS
    assert 20 <= counts["instructions"] < 1000


def test_stats_of_the_translator(guests):
    counts = stats(guests, "--engine", "translate,heat=0")
    assert set(counts) > ROWS | TRANSLATOR_ROWS
    assert counts["units"] >= 1
    # The guest is 30 instructions of 4 bytes, each executed, the last for ever.
    assert counts["unit bytes"] == 4 * counts["unit instructions"] >= 30 * 4
    assert counts["code bytes"] > 0


def test_stats_of_the_engine_by_default(guests):
    assert set(stats(guests)) >= ROWS


@pytest.mark.parametrize("first", ["interpret", "translate,heat=0"])
def test_engine_is_changed_while_it_runs(guests, first):
    """By Ctrl-A e, there and back: the guest goes on as if nothing was, and what was counted stays."""
    arguments = ["run", "--cpus", "1", "--memory", "32M", "--net", "none", "--stats", "--quiet", "--kernel", "talk-on", "--engine", first]
    arguments += ["--code-profile", "profile"]  # of both engines, and written once
    with pexpect.spawn(str(guests.program), arguments, cwd=str(guests.path), env=guests.environment, encoding="utf-8", timeout=60) as process:
        if process.expect(["going on\r\n", "cannot translate"]):
            pytest.skip(process.before + process.after + process.readline())
        names = []
        for _ in range(8):
            process.send("\x01e")
            if process.expect([r"the engine is (\w+) now\r\n", "cannot translate"]):
                pytest.skip(process.before + process.after + process.readline())
            names.append(process.match.group(1))
            process.expect("going on\r\ngoing on\r\n")
        process.send("\x01x")
        process.expect(pexpect.EOF)
        rows = {name: float(value) for name, value in re.findall(r"hospes: (.+?)  +([\d.]+)\r", process.before)}
    own, other = first.split(",", maxsplit=1)[0], "translate" if first == "interpret" else "interpret"
    assert names == [other, own] * 4
    assert process.exitstatus == 0
    assert set(rows) > ROWS | TRANSLATOR_ROWS
    assert rows["units"] >= 4, "each translator has made its own"
    # A line takes 10 characters with a loop of 2 instructions each; of each two at least the second was begun by the engine of then.
    assert rows["instructions"] > 4 * 10 * 2 * 65536


def test_several_machines_at_once(guests):
    processes = [start(guests, "--net", "none", "--kernel", "talk", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for _ in range(8)]
    for process in processes:
        assert process.communicate(timeout=60)[0] == b"hello, host\n"
        assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_it(looping, number):
    process = looping("--net", "none")
    process.send_signal(number)
    assert process.wait(timeout=20) == 128 + number


def test_disk_in_use(guests, looping):
    (guests.path / "disk.raw").write_bytes(bytes(1 << 20))
    looping("--net", "none", "--disk", "disk.raw")
    assert_one_line(guests.run(*guests.arguments, "--net", "none", "--disk", "disk.raw", "--kernel", "off"), 1, '"disk.raw"')
    assert_one_line(guests.run(*guests.arguments, "--net", "none", "--disk", "disk.raw,readonly", "--kernel", "off"), 1, '"disk.raw"')


def test_disk_shared_by_readers(guests, looping):
    (guests.path / "disk.raw").write_bytes(bytes(1 << 20))
    looping("--net", "none", "--disk", "disk.raw,readonly")
    assert guests.run(*guests.arguments, "--net", "none", "--disk", "disk.raw,readonly", "--kernel", "off").returncode == 0
    assert_one_line(guests.run(*guests.arguments, "--net", "none", "--disk", "disk.raw", "--kernel", "off"), 1, '"disk.raw"')


def test_port_in_use(guests):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert_one_line(guests.run(*guests.arguments, "-p", f"{port}:22", "--kernel", "off"), 1, str(port))


def test_socket_path_in_use(guests):
    """A living socket and a file of another kind stay; a socket that a dead process left is replaced, and removed at the end."""
    path = guests.path / "v"
    run = [*guests.arguments, "--net", "none", "--vsock", "v", "--kernel", "off"]
    path.write_text("kept")
    assert_one_line(guests.run(*run), 1, '"v"')
    assert path.read_text() == "kept"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert_one_line(guests.run(*run), 1, '"v"')
        assert path.exists()
    assert guests.run(*run).returncode == 0
    assert not path.exists()


@pytest.fixture
def nobody(guests):
    """The same for a user without rights, when the tests run as root."""
    if os.geteuid() != 0:
        yield guests
        return
    # Neither the build directory nor pytest's is open to others.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="hospes-test-"))
    shutil.copytree(guests.path, directory, dirs_exist_ok=True)
    shutil.copy(guests.program, directory / "hospes")
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755)
    guests.path, guests.program = directory, directory / "hospes"
    guests.environment["HOME"] = str(directory)
    guests.user = {"user": 65534, "group": 65534, "extra_groups": []}
    yield guests
    shutil.rmtree(directory)


def test_interface_without_a_right(nobody):
    result = nobody.run(*nobody.arguments, "--net", "tap=hospes-test0", "--kernel", "off", **getattr(nobody, "user", {}))
    assert_one_line(result, 1, "use --net user")


@pytest.mark.parametrize("option", ["--disk", "--kernel", "--bios"])
def test_file_without_a_right(nobody, option):
    (nobody.path / "secret").write_bytes(bytes(1 << 20))
    (nobody.path / "secret").chmod(0)
    others = [] if option == "--kernel" else ["--kernel", "off"]
    result = nobody.run(*nobody.arguments, option, "secret", *others, **getattr(nobody, "user", {}))
    assert_one_line(result, 1, '"secret": permission denied')


def test_disk_image_without_a_boot_loader(guests):
    (guests.path / "disk.raw").write_bytes(bytes(1 << 20))
    if not pathlib.Path("/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin").exists():
        result = guests.run("run", "disk.raw")
    else:
        # In a view of the file system that lacks it.
        hidden = ["unshare", "-r", "-m", "sh", "-c", 'mount -t tmpfs none /usr/lib/u-boot && exec "$0" "$@"']
        if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("U-Boot is installed, and mount namespaces are not allowed")
        guests.program, first = hidden[0], guests.program
        result = guests.run(*hidden[1:], str(first), "run", "disk.raw")
    assert_one_line(result, 1, "apt install u-boot-qemu")


def test_device_tree(guests):
    result = guests.run("run", "--cpus", "3", "--memory", "256M", "--dump-dtb", "tree.dtb", "--kernel", "loop", "--append", "console=ttyS0 quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert sorted(os.listdir(guests.path)) == ["fail", "loop", "off", "talk", "talk-loop", "talk-on", "tree.dtb"]
    tree = (guests.path / "tree.dtb").read_bytes()
    assert tree[:4] == bytes.fromhex("d00dfeed") and b"console=ttyS0 quiet\0" in tree
    if not shutil.which("dtc"):
        return
    text = subprocess.run(["dtc", "-I", "dtb", "-O", "dts", guests.path / "tree.dtb"], capture_output=True, text=True, check=True).stdout
    assert len(re.findall(r"cpu@\d+ \{", text)) == 3


def test_terminal_is_given_back(guests):
    """A real shell before and after, with the machine quit by its key in between."""
    shell = pexpect.spawn("/bin/sh", ["-i"], cwd=str(guests.path), env=dict(guests.environment, PS1="$ "), encoding="utf-8", timeout=30)
    shell.expect(r"\$ ")
    shell.sendline("stty -a | md5sum")
    shell.expect(r"([0-9a-f]{32}) ")
    before = shell.match.group(1)
    shell.sendline(f"{guests.program} {' '.join(guests.arguments)} --net none --kernel talk-loop; echo status=$?")
    shell.expect("ready")
    shell.send("\x01h")
    shell.expect("Ctrl-A x  quits")
    shell.send("\x01x")
    shell.expect(r"status=(\d+)")
    assert shell.match.group(1) == "0"
    shell.sendline("stty -a | md5sum")
    shell.expect(r"([0-9a-f]{32}) ")
    assert shell.match.group(1) == before
    shell.close(force=True)


def test_terminal_is_given_back_after_a_kill(guests):
    """SIGTERM from elsewhere, and a crash."""
    for number, status in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGABRT, 128 + signal.SIGABRT)):
        shell = pexpect.spawn("/bin/sh", ["-i"], cwd=str(guests.path), env=dict(guests.environment, PS1="$ "), encoding="utf-8", timeout=30)
        shell.expect(r"\$ ")
        shell.sendline(f"ulimit -c 0; {guests.program} {' '.join(guests.arguments)} --net none --kernel talk-loop; echo status=$?; stty -a")
        shell.expect("ready")
        child = int(pathlib.Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text())
        os.kill(child, number)
        shell.expect(rf"status={status}")
        shell.expect(r"[^-]icanon")
        shell.close(force=True)


def test_input_from_a_pipe_may_end(guests):
    process = start(guests, "--net", "none", "--kernel", "talk-loop", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.close()
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    assert process.poll() is None, "the end of the input is not the end of the machine"
    process.terminate()
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    process.stdout.close()


def test_nobody_reads_the_console(guests):
    process = start(guests, "--net", "none", "--kernel", "talk", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("arguments,words", [(["--kernel", "no\nsuch\x1b[31m\rfile"], '"no?such?[31m?file"'), (["no\nsuch.raw"], '"no?such.raw"'), (["a\nb"], '"a?b"')])
def test_a_failure_is_one_line_whatever_a_path_holds(guests, arguments, words):
    result = guests.run(*guests.arguments, *arguments)
    assert result.stderr.count("\n") == 1 and "\x1b" not in result.stderr and "\r" not in result.stderr
    assert words in result.stderr
    assert result.returncode in (1, 2)


def test_dump_dtb_into_a_pipe_leaves_the_pipe(guests):
    """As /dev/stdout is one; root must not replace a device by a file."""
    pipe = guests.path / "pipe"
    os.mkfifo(pipe)
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = guests.run(*guests.arguments, "--kernel", "off", "--dump-dtb", "pipe")
        assert (result.returncode, result.stderr) == (0, "")
        assert os.read(fd, 4) == b"\xd0\x0d\xfe\xed"
    finally:
        os.close(fd)
    assert pipe.is_fifo()


# ---- code profiles ----

COLD = ["--engine", "translate,heat=0", "--code-profile", "profile"]
WARM = ["--engine", "translate", "--code-profile", "profile"]


def test_code_profile_is_used_by_the_next_run(guests):
    assert "units" not in stats(guests, "--engine", "translate")  # nothing is executed 30 times
    cold = stats(guests, *COLD)
    assert cold["units of profile"] == 0
    assert (guests.path / "profile").stat().st_mode & 0o7777 == 0o600
    warm = stats(guests, *WARM)
    assert warm["units of profile"] == warm["units"] >= 1
    assert warm["pages hashed"] >= 1
    assert warm["instructions"] < cold["instructions"] + 5
    assert sorted(path.name for path in guests.path.iterdir() if path.name.startswith("profile")) == ["profile"]


def test_code_profile_of_an_interpreter(guests):
    stats(guests, "--engine", "interpret", "--code-profile", "profile")
    assert not (guests.path / "profile").exists()


def run_with(guests, profile, engine="translate,heat=0"):
    result = guests.run("run", "--cpus", "1", "--memory", "32M", "--quiet", "--net", "none", "--kernel", "talk", "--engine", engine, "--code-profile", profile)
    if "cannot translate" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert (result.returncode, result.stdout) == (0, "hello, host\n"), result.stderr
    return result.stderr.splitlines()


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:30], lambda data: data[:40] + b"\xff" + data[41:], lambda data: data[:8] + b"\xff" * 4000])
def test_damaged_code_profile_is_told_and_replaced(guests, damage):
    assert run_with(guests, "profile") == []
    path = guests.path / "profile"
    good = path.read_bytes()
    path.write_bytes(damage(good))
    (line,) = run_with(guests, "profile")
    assert line.startswith("hospes: ") and '"profile" is no code profile, or a damaged one' in line
    assert path.read_bytes() == good
    assert run_with(guests, "profile") == []


def test_other_files_are_no_code_profiles(guests):
    for name in ("talk", "loop"):
        before = (guests.path / name).read_bytes()
        first, last = run_with(guests, name)
        assert f'"{name}" is no code profile' in first and f'"{name}" is no code profile, and stays as it is' in last
        assert (guests.path / name).read_bytes() == before
    (line,) = run_with(guests, "missing/profile")
    assert 'cannot write code profile "missing/profile": no such file' in line
    assert run_with(guests, "none") == [] and not (guests.path / "none").exists()


def test_a_killed_machine_writes_no_code_profile(guests):
    for number, written in ((signal.SIGKILL, False), (signal.SIGTERM, True)):
        line = [guests.program, "run", "--cpus", "1", "--memory", "32M", "--net", "none", "--quiet", "--kernel", "talk-loop", *COLD]
        process = subprocess.Popen(line, cwd=guests.path, env=guests.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if process.stdout.readline() != b"ready\n":
            pytest.skip(process.communicate()[1].decode())
        process.send_signal(number)
        process.communicate()
        assert (guests.path / "profile").exists() == written


# ---- the agent's port ----


@pytest.fixture
def agent():
    """A path for a socket; those of pytest are too long for one."""
    with tempfile.TemporaryDirectory(prefix="hospes-test-") as directory:
        yield pathlib.Path(directory) / "agent"


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(str(path))
    except OSError:
        client.close()
        raise
    return client


def test_agent_socket(guests, looping, agent):
    umask = os.umask(0)
    try:
        first = looping("--agent", str(agent))
    finally:
        os.umask(umask)
    assert stat.S_ISSOCK(agent.stat().st_mode) and agent.stat().st_mode & 0o7777 == 0o600
    connect(agent).close()
    # One machine's is not another's.
    assert_one_line(guests.run(*guests.arguments, "--kernel", "off", "--agent", str(agent)), 1, f'"{agent}"')
    connect(agent).close()
    # It is removed at the end, and the file that a killed one leaves behind is replaced.
    first.terminate()
    first.wait(30)
    assert not agent.exists()
    killed = looping("--agent", str(agent))
    killed.kill()
    killed.wait(30)
    with pytest.raises(ConnectionRefusedError):
        connect(agent)
    looping("--agent", str(agent))
    connect(agent).close()


def test_agent_device(guests, agent):
    """It is there with the option only, and nothing is left of a tree that is written."""
    nodes = []
    for arguments in ([], ["--agent", str(agent)]):
        assert guests.run(*guests.arguments, "--net", "none", "--kernel", "off", "--dump-dtb", "tree", *arguments).returncode == 0
        nodes.append((guests.path / "tree").read_bytes().count(b"virtio_mmio@"))
    assert nodes[1] == nodes[0] + 1
    assert not agent.exists()


@pytest.mark.parametrize("path,status,words", [("", 2, "names no file"), ("a" * 108, 2, "too long"), ("/nowhere/agent", 1, '"/nowhere/agent"'), ("off", 1, '"off"')])
def test_agent_path_that_cannot_be(guests, path, status, words):
    before = guests.snapshot()
    assert_one_line(guests.run(*guests.arguments, "--kernel", "off", "--agent", path), status, words)
    assert guests.snapshot() == before
