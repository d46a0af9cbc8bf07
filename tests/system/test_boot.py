# SPDX-License-Identifier: Apache-2.0
"""Debian boots in a machine and finds its own CPUs, memory, storage, network and console there."""

import hashlib
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from guest import Guest

OPENSBI = "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin"


@pytest.fixture(scope="session")
def image_files(program, debian):
    """The kernel and initial RAM disk of the image, as a user would give them by hand."""
    data = os.path.join(debian["XDG_DATA_HOME"], "hospes", "images", "debian")
    return {"kernel": os.path.join(data, "kernel"), "initrd": os.path.join(data, "initrd"), "disk": os.path.join(data, "disk.raw")}


@pytest.fixture
def boot(program, debian, engine_arguments):
    """Starts a guest; whatever is left of it at the end of the test is killed."""
    guests = []

    def start(*arguments, environment=None, cwd=None):
        guest = Guest(program, [*engine_arguments, *arguments], environment or debian, cwd)
        guests.append(guest)
        return guest

    yield start
    for guest in guests:
        guest.kill()


@pytest.fixture
def disk(image_files, tmp_path):
    """A copy of the image's disk, for a test that writes to it."""
    path = tmp_path / "disk.raw"
    subprocess.run(["cp", "--sparse=always", image_files["disk"], str(path)], check=True)
    return path


def by_hand(image_files, disk, *more):
    return ["--kernel", image_files["kernel"], "--initrd", image_files["initrd"], "--append", "console=ttyS0 root=/dev/vda rw quiet", "--disk", str(disk), *more]


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_debian_has_its_own_machine(boot, cpus):
    guest = boot("--ephemeral", "--cpus", str(cpus), "--memory", "768M", "debian").boot()

    assert guest.check("nproc") == str(cpus)
    total = int(re.search(r"MemTotal:\s+(\d+) kB", guest.check("cat /proc/meminfo")).group(1))
    assert 600 << 10 < total <= 768 << 10
    assert re.search(r"^vda\s.*disk", guest.check("lsblk"), re.MULTILINE)
    assert "riscv64" in guest.check("uname -m")
    assert "trixie" in guest.check("cat /etc/os-release")
    interface = guest.check("ip -c=never -o link | grep -v ' lo:'")
    assert len(interface.splitlines()) == 1 and "link/ether" in interface
    # Each CPU does work and is told apart.
    assert len(re.findall(r"^hart\s*:", guest.check("cat /proc/cpuinfo"), re.MULTILINE)) == cpus
    assert guest.check("cat /sys/class/misc/hw_random/rng_current").startswith("virtio_rng")
    assert guest.power_off() == 0


def test_network_reaches_the_archive(boot):
    """DHCP, DNS and TCP through the user network: a package is downloaded, verified and installed."""
    guest = boot("--ephemeral", "--cpus", "2", "debian").boot()
    deadline = time.monotonic() + 120

    while "inet 10.0.2." not in guest.check("ip -c=never -4 addr"):
        assert time.monotonic() < deadline, guest.text[-2000:]
        time.sleep(1)
    guest.check("apt-get -q update", seconds=600)
    guest.check("DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends sl", seconds=600)
    assert guest.check("dpkg-query -W -f '${Status}' sl") == "install ok installed"
    assert "inet6 fec0:" in guest.check("ip -c=never -6 addr")
    assert guest.power_off() == 0


def test_what_is_written_stays(boot, image_files, disk):
    """A file is there at the next boot, and a reboot is one; an ephemeral run leaves nothing."""
    guest = boot(*by_hand(image_files, disk, "--cpus", "2")).boot()
    guest.check("echo kept > /root/file && sync")
    guest.process.sendline("reboot")
    guest.expect("hospes: .*boot|Linux version|reboot: Restarting system")
    guest.boot()
    assert guest.check("cat /root/file") == "kept"
    guest.check("sed -i s/kept/again/ /root/file")
    assert guest.power_off() == 0

    before = hash_of(disk)
    guest = boot("--ephemeral", *by_hand(image_files, disk)).boot()
    assert guest.check("cat /root/file") == "again"
    guest.check("echo gone > /root/file; sync")
    assert guest.power_off() == 0
    assert hash_of(disk) == before


def hash_of(path):
    return subprocess.run(["sha256sum", str(path)], check=True, capture_output=True, text=True).stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


SERVER = """perl -e 'use IO::Socket::INET; $s = IO::Socket::INET->new(LocalPort => 7777, Listen => 1, ReuseAddr => 1) or die; print "READY\\n"; $c = $s->accept; $l = <$c>; print $c "got $l"; close $c'"""


def test_forwarded_port(boot):
    port = free_port()
    guest = boot("--ephemeral", "-p", f"{port}:7777", "debian").boot()
    answers = []

    def ask():
        deadline = time.monotonic() + 60
        while not answers and time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
                    s.sendall(b"hello\n")
                    data = s.makefile().readline()
                    if data:
                        answers.append(data)
            except OSError:
                pass
            time.sleep(0.5)

    thread = threading.Thread(target=ask)
    thread.start()
    assert "READY" in guest.check(SERVER, seconds=90)
    thread.join()
    assert answers == ["got hello\n"]
    guest.kill()


def test_opensbi_boots_the_kernel(boot, image_files, disk):
    """M-mode firmware from the distribution's package, with the kernel as its payload."""
    if not os.path.exists(OPENSBI):
        pytest.skip("the package opensbi is not installed")
    guest = boot("--bios", OPENSBI, *by_hand(image_files, disk, "--cpus", "2"))
    guest.expect("OpenSBI v")
    guest.boot()
    assert guest.check("nproc") == "2"
    assert guest.power_off() == 0


def test_virtio_console(boot, image_files, disk):
    arguments = by_hand(image_files, disk, "--console", "virtio")
    arguments[arguments.index("--append") + 1] = "console=ttyS0 console=hvc0 root=/dev/vda rw quiet"
    guest = boot(*arguments).boot()
    assert "hvc0" in guest.check("cat /proc/consoles")
    assert guest.power_off() == 0


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(120)
    client.connect(path)
    return client


def read_line(client):
    line = b""
    while not line.endswith(b"\n"):
        data = client.recv(4096)
        assert data, line
        line += data
    return line


# Whether the host's end is open: otherwise there is an end of file to read at once.
HOST_END = "dd if=/dev/virtio-ports/org.qemu.guest_agent.0 iflag=nonblock count=1 2>&1 | grep -q unavailable && echo open || echo closed"


def test_agent_port(boot):
    """A program of the host and one of the guest talk through the port that qemu-guest-agent uses."""
    # Not pytest's directory, whose path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="hospes-test-") as directory:
        path = os.path.join(directory, "agent")
        guest = boot("--ephemeral", "--agent", path, "debian").boot()
        port = "/dev/virtio-ports/org.qemu.guest_agent.0"
        assert guest.check("ls /dev/virtio-ports") == os.path.basename(port)
        # In an image with the agent udev starts it, now or later.
        guest.check("systemctl mask qemu-guest-agent > /dev/null 2>&1; systemctl stop qemu-guest-agent; true")
        # Whether somebody is there or not: qemu-ga would ask ten times a second.
        assert guest.check(HOST_END) == "open"

        with connect(path) as client:
            # It waits for somebody to open the port.
            client.sendall(b"to the guest\n")
            assert guest.check(f"head -n 1 {port}") == "to the guest"
            assert guest.check(HOST_END) == "open"
            guest.check(f"echo to the host > {port}")
            assert read_line(client) == b"to the host\n"

            # Much of it, both ways at once, past what is kept anywhere.
            guest.check(f"( (exec 3<>{port}; (head -c 3000000 <&3 | sha256sum > /tmp/sum) & seq 400000 >&3; wait) > /tmp/out 2>&1 & )")
            sent = bytes(range(256)) * 11719
            writer = threading.Thread(target=client.sendall, args=(sent[:3000000],))
            writer.start()
            expected = "".join(f"{i}\n" for i in range(1, 400001)).encode()
            got = b""
            while len(got) < len(expected):
                data = client.recv(65536)
                assert data
                got += data
            writer.join()
            assert got == expected
            guest.check("while ! [ -s /tmp/sum ]; do sleep 0.1; done")
            assert guest.check("cut -c 1-64 /tmp/sum") == hashlib.sha256(sent[:3000000]).hexdigest()

        # The next client, which ends its sending as a pipe does.
        with connect(path) as client:
            client.sendall(b"question\n")
            client.shutdown(socket.SHUT_WR)
            assert guest.check(f"(exec 3<>{port}; head -n 1 <&3; echo answer >&3)") == "question"
            assert read_line(client) == b"answer\n"
        guest.process.sendline("reboot")
        guest.expect("hospes: .*boot|Linux version|reboot: Restarting system")
        guest.boot()
        with connect(path) as client:
            client.sendall(b"after the reboot\n")
            assert guest.check(f"head -n 1 {port}") == "after the reboot"
        assert guest.power_off() == 0
        assert not os.path.exists(path)


def test_escape_quits_and_helps(boot):
    guest = boot("--ephemeral", "debian")
    guest.process.send("\x01h")
    guest.expect("Ctrl-A x")
    guest.process.send("\x01x")
    assert guest.wait(30) == 0


LOAD = "rm -f /tmp/stop; for i in 1 2 3 4; do ( (while [ ! -e /tmp/stop ]; do head -c 300000 /dev/zero | gzip | sha256sum; done > /tmp/sums$i; touch /tmp/end$i) & ); done"


def test_engine_is_changed_under_load(boot):
    """Ctrl-A e while two CPUs start and end programs all the time, with translated code in windows and all that."""
    guest = boot("--ephemeral", "--cpus", "2", "--stats", "debian").boot()
    guest.check(LOAD)
    names = []
    for _ in range(10):
        guest.process.send("\x01e")
        if guest.expect(r"the engine is (\w+) now|cannot change the engine: [^\r]*", 60).group(1) is None:
            pytest.skip(guest.process.after)
        names.append(guest.process.match.group(1))
        guest.process.sendline("")
        assert guest.boot().check("nproc") == "2"
        time.sleep(0.5)
    assert {*names[::2]} | {*names[1::2]} == {"interpret", "translate"} and names[0] != names[1] and len({*names[::2]}) == 1
    guest.check("touch /tmp/stop; until [ -e /tmp/end1 -a -e /tmp/end2 -a -e /tmp/end3 -a -e /tmp/end4 ]; do sleep 0.1; done")
    assert guest.check("cat /tmp/sums? | sort -u | wc -l") == "1"
    assert int(guest.check("cat /tmp/sums? | wc -l")) >= 4
    assert guest.power_off() == 0
    assert re.search(r"hospes: units +[1-9]\d*\r", guest.text)


def test_host_disk_full_pauses_and_loses_nothing(boot, image_files, disk, tmp_path):
    """The image lies on a host file system that fills up: the guest waits, and goes on when there is room."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mount)], check=True)
    try:
        extra = mount / "extra.raw"
        subprocess.run(["truncate", "-s", "64M", str(extra)], check=True)
        ballast = mount / "ballast"
        ballast.write_bytes(b"x" * (16 << 20))
        guest = boot(*by_hand(image_files, disk, "--disk", str(extra))).boot()
        guest.process.sendline("dd if=/dev/urandom of=/tmp/data bs=1M count=16 status=none; dd if=/tmp/data of=/dev/vdb bs=1M oflag=direct status=none; echo wri''tten")
        guest.expect("(?i)no space|full", 120)
        ballast.unlink()
        guest.process.send("\x01c")
        guest.expect("written", 120)
        guest.boot()
        guest.check("cmp -n 16777216 /tmp/data /dev/vdb")
        guest.kill()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_disk_in_use(boot, program, image_files, disk, engine_arguments):
    """Two machines never share a disk that one of them writes."""
    guest = boot(*by_hand(image_files, disk))
    time.sleep(1)
    result = subprocess.run(
        [str(program), "run", *by_hand(image_files, disk)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert str(disk) in result.stderr and "use" in result.stderr
    guest.kill()


def test_disk_image_boots_through_uboot(boot, tmp_path):
    """A disk image file is booted by U-Boot in the guest, which looks for a loader on it."""
    if not os.path.exists("/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"):
        pytest.skip("the package u-boot-qemu is not installed")
    image = tmp_path / "empty.raw"
    subprocess.run(["truncate", "-s", "16M", str(image)], check=True)
    guest = boot(str(image))
    guest.expect("U-Boot 20", 60)
    guest.expect("=> $", 120)
    guest.process.sendline("virtio info")
    guest.expect("Capacity: 16.0 MB", 30)
    guest.process.sendline("poweroff")
    assert guest.wait(30) == 0


EXTLINUX = """default debian
label debian
  kernel /boot/vmlinux
  initrd /boot/initrd
  append console=ttyS0 root=/dev/vdb rw quiet
"""


def make_boot_disk(path, image_files, scratch):
    """A disk as an installer makes it: a partition table, a file system with a boot loader's menu."""
    tree = scratch / "tree" / "boot"
    (tree / "extlinux").mkdir(parents=True)
    (tree / "extlinux" / "extlinux.conf").write_text(EXTLINUX)
    for name, of in (("vmlinux", "kernel"), ("initrd", "initrd")):
        subprocess.run(["cp", image_files[of], str(tree / name)], check=True)
    size, start = 160 << 20, 2048
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\0\0", 0x83, b"\0\0\0", start, size // 512 - start)
    with open(path, "wb") as disk:
        disk.write(b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa")
        disk.truncate(size)
    command = ["/sbin/mke2fs", "-q", "-t", "ext4", "-d", str(scratch / "tree"), "-E", f"offset={start * 512}", str(path)]
    subprocess.run([*command, f"{(size - start * 512) // 1024}k"], check=True)


def test_disk_image_boots_to_its_system(boot, image_files, disk, tmp_path):
    """From a disk image file alone: U-Boot finds the menu, the kernel and the RAM disk on it."""
    if not os.path.exists("/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"):
        pytest.skip("the package u-boot-qemu is not installed")
    image = tmp_path / "boot.raw"
    make_boot_disk(image, image_files, tmp_path)
    guest = boot(str(image), "--disk", str(disk), "--cpus", "2")
    guest.expect("U-Boot 20", 60)
    guest.boot()
    assert guest.check("nproc") == "2"
    assert "vdb" in guest.check("findmnt -n -o SOURCE /")
    assert guest.power_off() == 0


def held_by_the_host(guest):
    """Bytes of the guest's memory that the host has pages for."""
    directory = f"/proc/{guest.process.pid}/fd"
    paths = [os.path.join(directory, name) for name in os.listdir(directory)]
    return sum(os.stat(path).st_blocks * 512 for path in paths if os.readlink(path).startswith("/memfd:ram"))


def test_free_memory_goes_back_to_the_host(boot, debian):
    """What the guest has no use for any more it reports by its balloon, and the host has it again."""
    # What a jailed process has open only root sees.
    environment = debian if os.geteuid() == 0 else dict(debian, HOSPES_JAIL="log")
    guest = boot("--ephemeral", "--cpus", "2", "--memory", "768M", "debian", environment=environment).boot()
    assert guest.check("ls /sys/bus/virtio/drivers/virtio_balloon | grep -c ^virtio") == "1"
    for _ in range(2):
        before = held_by_the_host(guest)
        guest.check("head -c 200M /dev/zero > /dev/shm/file")
        full = held_by_the_host(guest)
        assert full > before + (150 << 20)
        guest.check("rm /dev/shm/file")
        # Linux reports two seconds after it has freed.
        deadline = time.monotonic() + 60
        while held_by_the_host(guest) > full - (150 << 20):
            assert time.monotonic() < deadline, f"{before} bytes, then {full}, now {held_by_the_host(guest)}"
            time.sleep(0.2)
    # What it has again is as good as new.
    guest.check("head -c 200M /dev/urandom > /dev/shm/file; sha256sum < /dev/shm/file > /dev/shm/sum; sleep 5; sha256sum < /dev/shm/file | cmp - /dev/shm/sum")
    assert guest.power_off() == 0


@pytest.mark.long
def test_debian_smp_soak(boot):
    """Four CPUs with a parallel load for minutes; the checksums agree."""
    guest = boot("--ephemeral", "--cpus", "4", "--memory", "1G", "debian").boot()
    output = guest.check("for i in 1 2 3 4 5 6 7 8; do (head -c 20000000 /dev/zero | gzip -9 | gzip -d | sha256sum) & done; wait", seconds=1200)
    assert len(set(re.findall(r"[0-9a-f]{64}", output))) == 1
    assert len(re.findall(r"[0-9a-f]{64}", output)) == 8
    assert guest.power_off() == 0
