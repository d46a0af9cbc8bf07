# SPDX-License-Identifier: Apache-2.0
"""Networks between machines: Debian guests that find and reach each other, and no others."""

import json
import os
import re
import signal
import struct
import subprocess
import time

import pytest

from guest import Guest

MEMORY = ["--cpus", "1", "--memory", "384M"]


@pytest.fixture
def run_directory(tmp_path):
    """Deep, so that the paths of sockets are longer than an address of one takes."""
    path = tmp_path / ("deep-" * 12) / "run"
    path.mkdir(parents=True, mode=0o700)
    return path


@pytest.fixture
def environment(debian, run_directory):
    return dict(debian, HOSPES_RUN_DIR=str(run_directory))


@pytest.fixture
def hospes(program, environment):
    def run(*arguments):
        return subprocess.run([str(program), *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def captures(program, environment):
    """Starts `hospes net capture`, and ends it where the test does not."""
    processes = []

    def begin(*arguments, **keywords):
        processes.append(subprocess.Popen([str(program), "net", "capture", *arguments], env=environment, stdin=subprocess.DEVNULL, **keywords))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def start(program, environment, engine_arguments):
    guests = []

    def begin(name, *networks):
        arguments = [argument for network in networks for argument in ("--net", network)]
        guests.append(Guest(program, [*engine_arguments, *MEMORY, "--ephemeral", "--name", name, *arguments, "debian"], environment))
        return guests[-1]

    yield begin
    for guest in guests:
        guest.kill()


def members(run_directory, network):
    return sorted(p.name for p in (run_directory / ".net" / network).iterdir() if p.is_socket())


def wait_until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_address(guest):
    """The address of the first interface, by DHCP."""
    guest.check("for i in $(seq 300); do ip -c=never -4 -o addr show scope global | grep -q . && break; sleep 0.2; done")
    return re.search(r"inet (10\.\d+\.\d+\.\d+)/24", guest.check("ip -c=never -4 -o addr show scope global")).group(1)


def use_domain(guest):
    """What images made now have: the domain that DHCP tells is searched."""
    guest.check("mkdir -p /run/systemd/network/80-ethernet.network.d")
    guest.check("printf '[DHCPv4]\\nUseDomains=yes\\n' > /run/systemd/network/80-ethernet.network.d/domains.conf")
    guest.check("networkctl reload; for i in $(seq 100); do grep -q '^search lab' /etc/resolv.conf && break; sleep 0.2; done")


def frames(path):
    """Of a capture file, as draft-gharris-opsawg-pcap describes it."""
    data = path.read_bytes()
    assert struct.unpack_from("<IHH", data) == (0xA1B2C3D4, 2, 4) and struct.unpack_from("<I", data, 20) == (1,)
    at, found = 24, []
    while at < len(data):
        seconds, _, captured, length = struct.unpack_from("<IIII", data, at)
        assert captured == length and abs(seconds - time.time()) < 86400
        found.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    assert at == len(data)
    return found


def pings(path, source, target):
    """How many ICMP echo requests went from one address to the other."""

    def number(address):
        return bytes(int(part) for part in address.split("."))

    return sum(f[12:14] == b"\x08\x00" and f[23] == 1 and f[26:34] == number(source) + number(target) and f[34] == 8 for f in frames(path))


def test_machines_find_each_other(start, captures, hospes, run_directory, tmp_path):
    capture = captures("lab", str(tmp_path / "lab.pcap"), stderr=subprocess.PIPE, text=True)
    one, two, other = start("one", "lab"), start("two", "lab"), start("other", "elsewhere")
    for guest in (one, two, other):
        guest.boot()
    addresses = {guest: wait_for_address(guest) for guest in (one, two, other)}
    assert len(set(addresses.values())) == 3
    subnet = addresses[one].rsplit(".", 1)[0]
    assert addresses[two].startswith(subnet + ".") and not addresses[other].startswith(subnet + ".")

    # By name, both ways, and the network's own address; nobody leads out.
    use_domain(one)
    one.check("ping -c 3 -W 5 two")
    two.check("ping -c 3 -W 5 one.lab")
    one.check(f"ping -c 1 -W 5 {subnet}.1")
    assert one.check("ip -c=never route show default") == ""
    assert one.command("ping -c 1 -W 2 other.lab")[0] != 0
    assert one.command("ping -c 1 -W 2 nobody.lab")[0] != 0

    # Neither has the other a way to the third, not even with an address of their subnet.
    other.check(f"ip addr add {subnet}.250/24 dev $(ip -c=never -o link | sed -n 's/^2: \\([a-z0-9]*\\):.*/\\1/p')")
    assert other.command(f"ping -c 2 -W 2 {addresses[one]}")[0] != 0
    assert one.command(f"ping -c 2 -W 2 {subnet}.250")[0] != 0

    # Segments of several sizes, whole.
    two.check("{ busybox nc -l -p 7000 > /tmp/got & }")
    one.check("head -c 3000000 /dev/urandom > /tmp/sent; sleep 1; busybox nc -w 5 two.lab 7000 < /tmp/sent")
    two.check("wait")
    assert one.check("sha256sum < /tmp/sent") == two.check("sha256sum < /tmp/got")

    networks = json.loads(hospes("net", "ls", "--json").stdout)
    assert [(n["name"], n["captures"], [(m["name"], m["interface"], m["address"]) for m in n["machines"]]) for n in networks] == [
        ("elsewhere", 0, [("other", 0, addresses[other])]),
        ("lab", 1, [("one", 0, addresses[one]), ("two", 0, addresses[two])]),
    ]

    capture.send_signal(signal.SIGINT)
    assert capture.wait(timeout=20) == 0 and capture.stderr.read() == ""
    assert pings(tmp_path / "lab.pcap", addresses[one], addresses[two]) == 3
    assert pings(tmp_path / "lab.pcap", addresses[two], addresses[one]) == 3
    assert not [f for f in frames(tmp_path / "lab.pcap") if b"elsewhere" in f]

    # A killed machine is noticed by whoever sends to it, and forgotten.
    assert members(run_directory, "lab") == ["port.0.one", "port.0.two"]
    two.process.kill(signal.SIGKILL)
    one.command("ping -c 2 -W 1 two.lab")
    wait_until(lambda: members(run_directory, "lab") == ["port.0.one"])
    assert one.command("ping -c 1 -W 1 two.lab")[0] != 0

    # It comes back with the address that it had, and is found at once.
    two = start("two", "lab").boot()
    assert wait_for_address(two) == addresses[two_before(addresses, one, other)]
    one.check("ping -c 1 -W 5 two.lab")

    for guest in (one, two, other):
        assert guest.power_off() == 0
    # RUN itself may stay: a jailed process may not remove it.
    assert list(run_directory.rglob("*")) == []


def two_before(addresses, *others):
    return next(guest for guest in addresses if guest not in others)


def test_one_name_once(start, hospes, debian):
    start("twin", "lab").boot()
    result = hospes("run", "--ephemeral", "--name", "twin", "--net", "lab", "debian")
    assert result.returncode == 1
    assert 'a machine "twin" is in network "lab" already; give this one another name' in result.stderr


def test_killed_processes_leave_nothing(captures, hospes, run_directory):
    capture = captures("lab", os.devnull)
    wait_until(lambda: (run_directory / ".net" / "lab").exists() and members(run_directory, "lab"))
    capture.kill()
    capture.wait()
    assert members(run_directory, "lab") == [f"listen.{capture.pid}.capture"]
    assert hospes("net", "ls", "--json").stdout == "[]\n"
    assert not (run_directory / ".net").exists()


def test_capture_ends_with_its_reader(captures, run_directory):
    capture = captures("lab", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert len(capture.stdout.read(24)) == 24
    capture.stdout.close()
    assert capture.wait(timeout=20) == 0 and capture.stderr.read() == b""
    assert not (run_directory / ".net").exists()
