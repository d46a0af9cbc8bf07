# SPDX-License-Identifier: Apache-2.0
"""Limits of a named machine's disk and network, measured by its guest and by a server on the host, changed while it runs."""

import contextlib
import json
import re
import socket
import subprocess
import threading
import time

import pexpect
import pytest

from guest import BOOT_SECONDS, Guest, own_machines

MIB = 1 << 20
# What passes at once after a silence (machine/limits.c).
BURST_SECONDS = 0.1


class Named(Guest):
    """A named machine of Debian, with its console."""

    def __init__(self, program, environment, name, *arguments):
        self.program, self.environment, self.name = str(program), environment, name
        self.text = ""
        self.hospes("create", name, "--image", "debian", *(arguments or ["--memory", "768M"]))
        self.hospes("start", name)
        self.process = pexpect.spawn(
            self.program, ["console", name], env=environment, encoding="utf-8", codec_errors="replace", timeout=BOOT_SECONDS, dimensions=(40, 200)
        )

    def close(self):
        self.kill()

    def hospes(self, *arguments):
        result = subprocess.run([self.program, *arguments], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def set(self, *arguments):
        self.hospes("set", self.name, *arguments)

    def dd(self, arguments, seconds=120):
        """How long dd took, as it tells itself."""
        return float(re.search(r"copied, ([\d.]+) s", self.check(f"dd {arguments} 2>&1", seconds)).group(1))


@pytest.fixture(scope="module")
def machine(program, debian):
    with own_machines(program, debian) as environment, contextlib.closing(Named(program, environment, "limited")) as machine:
        yield machine.boot()


@pytest.fixture
def limited(machine):
    """The machine, whose limits are lifted afterwards."""
    yield machine
    machine.set("--disk-iops", "none", "--disk-rate", "none", "--net-rate", "0")


class About:
    """So many seconds: never less than a tenth below, or the limit does not hold. More by what else the host does."""

    def __init__(self, seconds):
        self.least, self.most = seconds * 0.9, seconds * 1.5

    def __eq__(self, measured):
        return self.least <= measured <= self.most

    def __repr__(self):
        return f"{self.least:.2f} to {self.most:.2f} s"


def about(seconds):
    return About(seconds)


def test_disk_bytes(limited):
    read, write = "if=/dev/vda of=/dev/null iflag=direct bs=64k count=320", "if=/dev/zero of=/root/limit oflag=direct bs=64k count=320"
    free = limited.dd(read)
    limited.set("--disk-rate", "4M")
    assert limited.dd(read) == about(5 - BURST_SECONDS)
    assert limited.dd(write) == about(5 - BURST_SECONDS)
    limited.set("--disk-rate", "none")
    assert limited.dd(read) < 2.5
    assert limited.dd(write) < 2.5
    assert free < 2.5
    limited.check("rm /root/limit")


def test_disk_requests(limited):
    read = "if=/dev/vda of=/dev/null iflag=direct bs=4k count=1000"
    limited.set("--disk-iops", "200")
    assert limited.dd(read) == about(5 - BURST_SECONDS)
    limited.set("--disk-iops", "0")
    assert limited.dd(read) < 2.5


def test_lifting_helps_what_waits(limited):
    limited.set("--disk-rate", "256K")
    timer = threading.Timer(3, limited.set, ["--disk-rate", "none"])
    timer.start()
    # 80 seconds' worth.
    seconds = limited.dd("if=/dev/vda of=/dev/null iflag=direct bs=1M count=20")
    timer.join()
    assert 2 < seconds < 10


class Server:
    """One connection: sends `size` bytes, or takes all that comes; how long it took until the guest had closed."""

    def __init__(self, size):
        self.size, self.seconds, self.received = size, None, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(60)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        connection, _ = self.listener.accept()
        with connection, self.listener:
            connection.settimeout(120)
            begin = time.monotonic()
            if self.size:
                connection.sendall(bytes(self.size))
                connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(1 << 16):
                self.received += len(data)
            self.seconds = time.monotonic() - begin

    def wait(self):
        self.thread.join(120)
        assert self.seconds is not None
        return self.seconds


def download(machine, size):
    server = Server(size)
    # Both directions are closed when the program has read to the end.
    assert machine.check(f"bash -c 'exec 3<>/dev/tcp/10.0.2.2/{server.port}; wc -c <&3'") == str(size)
    return size / server.wait()


def upload(machine, size):
    server = Server(0)
    machine.check(f"bash -c 'head -c {size} /dev/zero >/dev/tcp/10.0.2.2/{server.port}'")
    seconds = server.wait()
    assert server.received == size
    return size / seconds


@pytest.mark.parametrize("transfer", [download, upload])
def test_network(limited, transfer):
    free = transfer(limited, 6 * MIB)
    limited.set("--net-rate", "1M")
    assert transfer(limited, 6 * MIB) == about(1 * MIB)
    limited.set("--net-rate", "none")
    assert transfer(limited, 6 * MIB) > 2 * MIB
    assert free > 2 * MIB


def test_limits_are_written_down(limited):
    limited.set("--disk-iops", "500", "--disk-rate", "20M", "--net-rate", "10M")
    info = json.loads(limited.hospes("info", "--json", "limited"))
    assert info["description"]["limits"] == {"disk_iops": 500, "disk_bytes": 20 * MIB, "net_rate": 10 * MIB}
    assert "disk 500 requests/s, disk 20 MiB/s, network in 10 MiB/s" in limited.hospes("info", "limited")
    event = [json.loads(line) for line in limited.hospes("events", "--json", "limited").splitlines()][-1]
    assert (event["event"], event["disk_iops"], event["net_rate"]) == ("set", 500, 10 * MIB)


def test_reboot_with_requests_that_wait(limited):
    """Requests of the old guest that wait for a limit do not hold the new one up."""
    # Once before, so that it takes no disk to start it.
    limited.check("dd if=/dev/vda of=/dev/null count=1 2>/dev/null")
    limited.set("--disk-rate", "1K")
    for _ in range(4):
        limited.check("(dd if=/dev/vda of=/dev/null iflag=direct bs=1M count=64 >/dev/null 2>&1 &)")
    limited.process.sendline("echo b >/proc/sysrq-trigger")
    deadline = time.monotonic() + 20
    while "rebooted" not in limited.hospes("events", "limited"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    limited.set("--disk-rate", "none")
    limited.boot()


def test_limits_from_the_start(limited):
    """machine.json of one that does not run, and the options of create."""
    name = "second"
    limited.hospes("create", name, "--image", "debian", "--disk-iops", "300", "--net-rate", "1M")
    limited.hospes("set", name, "--disk-rate", "1M", "--net-rate", "none")
    limits = json.loads(limited.hospes("info", "--json", name))["description"]["limits"]
    assert limits == {"disk_iops": 300, "disk_bytes": MIB}
    limited.hospes("delete", name)
