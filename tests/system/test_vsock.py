# SPDX-License-Identifier: Apache-2.0
"""Sockets between Debian in a machine and programs of the host: `hospes run --vsock`."""

import hashlib
import socket
import stat
import threading

import pytest

from guest import Guest

# An echo server that needs nothing but systemd, and a client: Perl knows no names for AF_VSOCK (40), and a struct sockaddr_vm
# (vsock(7)) is family, zero, port, CID, zeros.
SOCKET = r"[Socket]\nListenStream=vsock::1234\nAccept=yes\nMaxConnections=100\n"
SERVICE = r"[Service]\nStandardInput=socket\nExecStart=/bin/cat\n"
CLIENT = (
    """perl -e 'socket($s, 40, 1, 0) or die "socket: $!"; connect($s, pack("SSLLL", 40, 0, %d, 2, 0)) or die "connect: $!"; """
    """$r = shift; if ($r eq "send") { while (sysread(STDIN, $b, 65536)) { syswrite($s, $b) } shutdown($s, 1) } """
    """while (sysread($s, $b, 65536)) { syswrite(STDOUT, $b) }' %s"""
)


@pytest.fixture
def guest(program, debian, engine_arguments, tmp_path):
    guest = Guest(program, [*engine_arguments, "--ephemeral", "--cpus", "2", "--net", "none", "--vsock", "v,cid=77", "debian"], debian, tmp_path)
    guest.path = tmp_path / "v"
    yield guest
    guest.kill()


def connect(guest, port):
    """A connection to the guest's port; None when it was refused."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(120)
    s.connect(str(guest.path))
    s.sendall(f"CONNECT {port}\n".encode())
    line = b""
    while not line.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            s.close()
            return None
        line += byte
    assert line.startswith(b"OK ") and int(line[3:]) >= 1 << 30
    return s


def read_all(s):
    data = b""
    while part := s.recv(1 << 16):
        data += part
    return data


def some_bytes(length):
    return b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(length // 32))


def check_half_close(guest):
    """The host says that it sends no more; the answer comes all the same, with its own end."""
    with connect(guest, 1234) as s:
        s.sendall(b"question")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"question"


def check_much(guest):
    """More than all buffers, through the echo, while another connection stands still in between."""
    data = some_bytes(4 << 20)
    with connect(guest, 1234) as stalled, connect(guest, 1234) as s:
        stalled.settimeout(1)
        with pytest.raises(socket.timeout):
            while True:
                stalled.sendall(data)
        thread = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        thread.start()
        assert read_all(s) == data
        thread.join()


def check_many(guest):
    connections = [connect(guest, 1234) for _ in range(20)]
    for i, s in enumerate(connections):
        s.sendall(f"connection {i}".encode())
    for i, s in enumerate(connections):
        assert s.recv(100) == f"connection {i}".encode()
        s.close()


def check_guest_connects(guest):
    """A program of the guest to one of the host: refused where nobody listens, else both ways with a half close."""
    status, output = guest.command(CLIENT % (52, "receive"))
    assert status != 0 and "connect: Connection reset" in output
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{guest.path}_52")
        server.listen()
        server.settimeout(60)
        got = []

        def serve():
            s, _ = server.accept()
            with s:
                got.append(read_all(s))
                s.sendall(b"got it\n")

        thread = threading.Thread(target=serve)
        thread.start()
        guest.check("head -c 1000000 /dev/urandom > /tmp/data")
        assert guest.check(CLIENT % (52, "send") + " < /tmp/data") == "got it"
        thread.join()
        assert hashlib.sha256(got[0]).hexdigest() in guest.check("sha256sum /tmp/data")


def test_debian_and_the_host_talk(guest):
    guest.boot()
    assert stat.S_IMODE(guest.path.stat().st_mode) == 0o600
    guest.check(f"printf '{SOCKET}' > /run/systemd/system/echo.socket; printf '{SERVICE}' > /run/systemd/system/echo@.service")
    guest.check("systemctl daemon-reload && systemctl start echo.socket")
    assert connect(guest, 4321) is None
    check_half_close(guest)
    check_much(guest)
    check_many(guest)
    check_guest_connects(guest)
    with connect(guest, 1234) as s:
        # The guest's own name for itself, and a connection that its end ends.
        assert "77" in guest.check("perl -e 'open(F, \"/dev/vsock\"); ioctl(F, 0x7b9, $b = pack(\"L\", 0)) or die $!; print unpack(\"L\", $b)'")
        assert guest.power_off() == 0
        assert read_all(s) == b""
    assert not guest.path.exists()


def test_reboot_closes_connections(guest):
    guest.boot()
    guest.check(f"printf '{SOCKET}' > /run/systemd/system/echo.socket; printf '{SERVICE}' > /run/systemd/system/echo@.service")
    guest.check("systemctl daemon-reload && systemctl start echo.socket")
    with connect(guest, 1234) as s:
        guest.process.sendline("reboot -f")
        assert read_all(s) == b""
    guest.expect("the guest reboots")
    guest.boot()
    assert connect(guest, 1234) is None
    assert guest.power_off() == 0
