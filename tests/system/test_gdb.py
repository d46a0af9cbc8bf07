# SPDX-License-Identifier: Apache-2.0
"""`hospes run --gdb`: a small client of GDB's remote protocol against guests of a few instructions, under each engine."""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import time
import xml.etree.ElementTree

import pexpect
import pytest

from test_cli import assert_one_line
from test_cli_run import FOREVER, T0, T1, T2, UART, addi, lui, power_off, program_file, store

ENGINES = ["interpret", "translate,heat=0"]
SECONDS = 30
A0, A1, A2, A6, A7, T3, PC = 10, 11, 12, 16, 17, 28, 32
ECALL = 0x00000073


def load(width, value, base, to):
    return (value & 0xFFF) << 20 | base << 15 | width << 12 | to << 7 | 0x03


def branch(function, one, other, offset):
    return (offset >> 12 & 1) << 31 | (offset >> 5 & 0x3F) << 25 | other << 20 | one << 15 | function << 12 | (offset >> 1 & 15) << 8 | (offset >> 11 & 1) << 7 | 0x63


def beq(one, other, offset):
    return branch(0, one, other, offset)


def auipc(register, upper):
    return upper << 12 | register << 7 | 0x17


# Counts t2 by 1 and a0 by 3 until t3 is not 0, then ends with the status in the code.
LOOP, ADD, EXIT = 4, 8, 16
COUNTING = [addi(T2, 0, 0), addi(T2, T2, 1), addi(A0, A0, 3), beq(T3, 0, -8), *power_off(5)]
# Waits for a byte from the console, then asks the firmware something, then ends.
KEY_AGAIN, KEY_CALL, KEY_CALLED = 4, 16, 24
KEYED = [lui(T0, UART), load(4, 5, T0, T1), 0x00137313, beq(T1, 0, -8), addi(A7, 0, 0x10), ECALL, *power_off(0)]
# Starts hart 1, and both count t2.
TWO = [
    *(lui(A7, 0x485000), addi(A7, A7, 0x34D), addi(A6, 0, 0), addi(A0, 0, 1), auipc(A1, 0), addi(A1, A1, 12), ECALL),
    *(addi(T2, T2, 1), beq(0, 0, -4)),
]
TWO_LOOP = 28


class Client:
    """A debugger. Each packet is acknowledged, and its acknowledgement is looked for, until no_acks()."""

    def __init__(self, address):
        deadline = time.monotonic() + SECONDS
        while True:
            self.socket = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
            self.socket.settimeout(SECONDS)
            try:
                self.socket.connect(address)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self.socket.close()
                assert time.monotonic() < deadline
                time.sleep(0.02)
        self.acks, self.bytes = True, b""

    def byte(self):
        if not self.bytes:
            self.bytes = self.socket.recv(65536)
            if not self.bytes:
                raise EOFError
        first, self.bytes = self.bytes[:1], self.bytes[1:]
        return first

    def receive(self):
        assert self.byte() == b"$"
        data = b""
        while (byte := self.byte()) != b"#":
            data += byte
        assert int(self.byte() + self.byte(), 16) == sum(data) & 255
        if self.acks:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a machine that ended does not wait for it
                self.socket.sendall(b"+")
        return re.sub(b"}(.)", lambda m: bytes([m.group(1)[0] ^ 0x20]), data, flags=re.DOTALL).decode("latin-1")

    def send(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        self.socket.sendall(b"$%s#%02x" % (data, sum(data) & 255))
        if self.acks:
            assert self.byte() == b"+"

    def ask(self, text):
        self.send(text)
        return self.receive()

    def do(self, text):
        assert self.ask(text) == "OK"

    def no_acks(self):
        self.do("QStartNoAckMode")
        self.acks = False

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def set_register(self, number, value):
        self.do(f"P{number:x}={value.to_bytes(8, 'little').hex()}")

    def word(self, address):
        return int.from_bytes(bytes.fromhex(self.ask(f"m{address:x},4")), "little")

    def set_word(self, address, value):
        self.do(f"M{address:x},4:{value.to_bytes(4, 'little').hex()}")

    def run_a_while(self, seconds=0.2, command="c"):
        self.send(command)
        time.sleep(seconds)
        self.socket.sendall(b"\x03")
        assert self.receive().startswith("T02thread:")

    def close(self):
        self.socket.close()


@pytest.fixture(params=ENGINES)
def machine(request, home):
    """Starts machines under one of the engines, and clients; ends all that is left of them."""
    processes, clients = [], []
    home.engine = request.param
    arguments = ["run", "--memory", "32M", "--net", "none", "--engine", request.param, "--gdb", "unix:gdb"]
    home.arguments = arguments

    def connect(address=None):
        clients.append(Client(address or str(home.path / "gdb")))
        return clients[-1]

    def begin(words, *others, cpus=1):
        program_file(home.path / "guest", words)
        process = subprocess.Popen(
            [home.program, *arguments, "--quiet", "--cpus", str(cpus), "--kernel", "guest", *others],
            cwd=home.path, env=home.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        processes.append(process)
        client = connect()
        return process, client

    home.begin, home.connect = begin, connect
    yield home
    for client in clients:
        client.close()
    for process in processes:
        process.kill()
        process.communicate()


def counting(machine, *others):
    """A guest that counts, stopped before its first instruction; and where that is."""
    process, client = machine.begin(COUNTING, "--gdb-wait", *others)
    assert client.ask("?") == "T05thread:1;"
    start = client.register(PC)
    assert client.word(start) == COUNTING[0]
    return process, client, start


def finish(process, client, status, text=None):
    """To the guest's own end."""
    client.set_register(T3, 1)
    client.send("c")
    assert client.receive() == (text or f"W{status:02x}")
    assert process.wait(timeout=SECONDS) == status


def test_a_debugger_sees_and_changes_everything(machine):
    process, client, start = counting(machine)
    assert client.ask("vMustReplyEmpty") == ""
    dump = bytes.fromhex(client.ask("g"))
    assert len(dump) == 65 * 8
    assert int.from_bytes(dump[PC * 8 : PC * 8 + 8], "little") == start
    assert client.register(A0) == 0, "the number of the hart"

    # A breakpoint, met again and again; a step from it and one to it.
    client.do(f"Z0,{start + LOOP:x},4")
    for count in range(3):
        assert client.ask("c") == "T05thread:1;"
        assert client.register(PC) == start + LOOP
        assert (client.register(T2), client.register(A0)) == (count, 3 * count)
    assert client.word(start + LOOP) == COUNTING[LOOP // 4], "no breakpoint is a byte of the guest"
    for place in (ADD, ADD + 4, LOOP, ADD):
        assert client.ask("s") == "T05thread:1;"
        assert client.register(PC) == start + place
    assert client.register(T2) == 4
    assert client.ask("vCont;c") == "T05thread:1;"
    assert client.register(A0) == 12

    # Registers: one, the whole dump, those of the FPU, and those that are read only.
    client.set_register(T2, 0x123456789ABCDEF0)
    dump = bytearray(bytes.fromhex(client.ask("g")))
    assert dump[T2 * 8 : T2 * 8 + 8] == bytes.fromhex("f0debc9a78563412")
    dump[A0 * 8 : A0 * 8 + 8] = (1000).to_bytes(8, "little")
    dump[33 * 8 : 33 * 8 + 8] = (0x400921FB54442D18).to_bytes(8, "little")
    client.do("G" + dump.hex())
    assert (client.register(A0), client.register(33)) == (1000, 0x400921FB54442D18)
    assert client.ask("c") == "T05thread:1;"
    assert (client.register(T2), client.register(A0)) == (0x123456789ABCDEF1, 1003)
    client.set_register(0, 5)
    assert client.register(0) == 0
    assert client.ask("P144=" + bytes(8).hex()).startswith("E"), "stvec is read only"
    assert client.ask("p1141") != "", "priv"

    # Memory of data; and of nothing, and of a device.
    data = bytes(range(256))
    client.do(f"M{start + 0x1000:x},100:{data.hex()}")
    assert client.ask(f"m{start + 0x1000:x},100") == data.hex()
    escaped = data.replace(b"}", b"}]").replace(b"$", b"}\x04").replace(b"#", b"}\x03")
    client.do(b"X%x,100:" % (start + 0x2F80) + escaped)
    assert client.ask(f"m{start + 0x2F80:x},100") == data.hex()
    for address in (0x10, UART, 2**64 - 1):
        assert client.ask(f"m{address:x},1").startswith("E")
        assert client.ask(f"M{address:x},1:00").startswith("E")

    # Without the breakpoint it does not stop any more; the guest's end is told.
    client.do(f"z0,{start + LOOP:x},4")
    client.set_word(start + EXIT, FOREVER)
    assert client.word(start + EXIT) == FOREVER
    client.set_word(start + EXIT, COUNTING[EXIT // 4])
    finish(process, client, 5)


def test_code_is_changed_under_a_guest_that_runs_it(machine):
    """Long enough without a breakpoint to be translated."""
    process, client, start = counting(machine)
    client.run_a_while()
    first = client.register(T2), client.register(A0)
    assert first[0] > 1000 and abs(first[1] - 3 * first[0]) <= 3
    client.set_word(start + ADD, addi(A0, A0, 7))
    client.run_a_while()
    rounds, added = client.register(T2) - first[0], client.register(A0) - first[1]
    assert rounds > 1000 and abs(added - 7 * rounds) <= 7
    finish(process, client, 5)


def test_it_runs_until_a_debugger_connects(machine):
    process, client = machine.begin(COUNTING)
    client.run_a_while()
    assert client.register(T2) > 1000
    assert client.ask("c000000000000000000").startswith("E"), "no address has so many digits"
    finish(process, client, 5)


def test_a_place_to_go_on_at(machine):
    process, client, start = counting(machine)
    assert client.ask(f"s{start + ADD:x}") == "T05thread:1;"
    assert (client.register(PC), client.register(A0)) == (start + ADD + 4, 3)
    client.send(f"c{start + EXIT:x}")
    assert client.receive() == "W05"
    assert process.wait(timeout=SECONDS) == 5


def test_both_kinds_of_breakpoint_at_one_place(machine):
    process, client, start = counting(machine)
    client.do(f"Z0,{start + LOOP:x},4")
    client.do(f"Z1,{start + LOOP:x},4")
    client.do(f"z0,{start + LOOP:x},4")
    assert client.ask("c") == "T05thread:1;"
    client.do(f"z1,{start + LOOP:x},4")
    assert client.ask(f"Z2,{start:x},4") == "", "there are no watchpoints"
    client.run_a_while(0.05)
    finish(process, client, 5)


def test_as_many_breakpoints_as_there_are(machine):
    process, client, start = counting(machine)
    for i in range(64):
        client.do(f"Z0,{start + 0x1000 + 4 * i:x},4")
    assert client.ask(f"Z0,{start + LOOP:x},4").startswith("E")
    client.do(f"z0,{start + 0x1000:x},4")
    client.do(f"Z0,{start + LOOP:x},4")
    assert client.ask("c") == "T05thread:1;"
    client.do(f"z0,{start + LOOP:x},4")
    finish(process, client, 5)


def test_what_a_debugger_asks_first(machine):
    process, client, _ = counting(machine)
    assert "PacketSize=1000" in (features := client.ask("qSupported:multiprocess+;swbreak+").split(";"))
    assert {"qXfer:features:read+", "QStartNoAckMode+", "multiprocess-"} <= set(features)
    client.no_acks()
    assert client.ask("qAttached") == "1"
    assert client.ask("vCont?") == "vCont;c;C;s;S"
    assert (client.ask("qfThreadInfo"), client.ask("qsThreadInfo"), client.ask("qC")) == ("m1", "l", "QC1")
    client.do("T1")
    assert client.ask("T2").startswith("E") and client.ask("T0").startswith("E")
    client.do("Hg1")
    client.do("Hc-1")
    assert client.ask("Hg2").startswith("E")
    text, part = "", "m"
    while part[0] == "m":
        part = client.ask(f"qXfer:features:read:target.xml:{len(text):x},7f")
        text += part[1:]
    assert part[0] == "l" and text.endswith("</target>\n") and len(text) > 4096
    assert len(client.ask("qXfer:features:read:target.xml:0,ffff")) == 4096
    description = xml.etree.ElementTree.fromstring(text)
    assert description.findtext("architecture") == "riscv:rv64"
    assert [f.get("name") for f in description.iter("feature")] == [f"org.gnu.gdb.riscv.{name}" for name in ("cpu", "fpu", "csr", "virtual")]
    registers = {int(r.get("regnum")): r.get("name") for r in description.iter("reg")}
    assert [registers[n] for n in (0, 1, 2, 31, 32, 33, 64, 66, 68)] == ["zero", "ra", "sp", "t6", "pc", "ft0", "ft11", "fflags", "fcsr"]
    assert {"sstatus", "stvec", "sepc", "scause", "stval", "satp", "mstatus", "mepc", "mcause", "priv"} <= set(registers.values())
    for number in registers:
        assert re.fullmatch("([0-9a-f]{8}){1,2}", client.ask(f"p{number:x}")), registers[number]
    assert client.ask("p41").startswith("E"), "there is no CSR 0"
    finish(process, client, 5)


def test_a_damaged_packet_is_asked_for_again(machine):
    process, client, _ = counting(machine)
    client.socket.sendall(b"$qC#00")
    assert client.byte() == b"-"
    client.socket.sendall(b"$qC#b4")
    assert client.byte() == b"+"
    assert client.receive() == "QC1"
    client.send("qC")
    frame = b"".join(client.byte() for _ in range(7))
    client.socket.sendall(b"-")
    assert b"".join(client.byte() for _ in range(7)) == frame == b"$QC1#c5"
    client.socket.sendall(b"+")
    client.socket.sendall(b"$" + b"m" * 5000 + b"#" + b"%02x" % (ord("m") * 5000 & 255))
    assert client.byte() == b"+"
    assert client.receive().startswith("E")
    finish(process, client, 5)


def test_a_breakpoint_behind_a_call_to_the_firmware(machine):
    process, client = machine.begin([addi(A7, 0, 0x10), ECALL, *power_off(0)], "--gdb-wait")
    start = client.register(PC)
    client.do(f"Z0,{start + 8:x},4")
    assert client.ask("c") == "T05thread:1;"
    assert (client.register(PC), client.register(A0)) == (start + 8, 0)
    assert client.register(A1) != 0, "the version of the specification"
    client.set_register(PC, start + 4)
    client.set_register(A1, 0)
    assert client.ask("s") == "T05thread:1;"
    assert client.register(PC) == start + 8 and client.register(A1) != 0
    finish(process, client, 0)


def test_a_step_leaves_the_other_cpu_alone(machine):
    process, client = machine.begin(TWO, "--gdb-wait", cpus=2)
    start = client.register(PC)
    assert client.ask("qfThreadInfo") == "m1,2"
    assert bytes.fromhex(client.ask("qThreadExtraInfo,2")) == b"CPU 1 (not started)"
    client.run_a_while()
    assert bytes.fromhex(client.ask("qThreadExtraInfo,2")) == b"CPU 1"

    def counts():
        values = []
        for thread in (1, 2):
            client.do(f"Hg{thread}")
            values.append((client.register(PC), client.register(T2)))
        return values

    before = counts()
    assert before[0][1] > 1000 and before[1][1] > 1000
    for _ in range(4):
        assert client.ask("vCont;s:1") == "T05thread:1;"
    after = counts()
    assert after[0][1] == before[0][1] + 2 and after[1] == before[1]
    client.do("Hc2")
    assert client.ask("s") == "T05thread:2;"
    before, after = after, counts()
    assert after[0] == before[0] and after[1] != before[1]
    client.run_a_while(command="vCont;c:2")
    before, after = after, counts()
    assert after[0] == before[0] and after[1][1] > before[1][1] + 1000
    client.run_a_while(command="vCont;c")
    before, after = after, counts()
    assert all(after[i][1] > before[i][1] + 1000 for i in (0, 1))
    # Both come to the breakpoint; each is told of, and none is passed by.
    client.do(f"Z0,{start + TWO_LOOP:x},4")
    seen = {client.ask("vCont;c") for _ in range(20)}
    assert seen == {"T05thread:1;", "T05thread:2;"}
    counted = [count for _, count in counts()]
    reports = [client.ask("vCont;c") for _ in range(20)]
    assert [reports.count(f"T05thread:{i + 1};") for i in (0, 1)] == [pytest.approx(count - counted[i], abs=1) for i, (_, count) in enumerate(counts())]
    client.send("k")
    assert process.wait(timeout=SECONDS) == 0


def test_memory_is_what_the_cpu_sees(machine):
    """Through page tables that the debugger itself has made: all at its own address, and RAM again, for programs to read, at 5 GiB."""
    process, client = machine.begin([0x18031073, 0x12000073, *COUNTING], "--gdb-wait")  # csrw satp, t1; sfence.vma
    start = client.register(PC)
    table, there = start + 0x200000, 5 << 30
    assert client.ask(f"m{there:x},4").startswith("E")
    client.do(f"M{table:x},8:" + (0xCF).to_bytes(8, "little").hex())
    client.do(f"M{table + 8 * 2:x},8:" + (0x80000 << 10 | 0xCF).to_bytes(8, "little").hex())
    client.do(f"M{table + 8 * 5:x},8:" + (0x80000 << 10 | 0x53).to_bytes(8, "little").hex())
    client.set_register(T1, 8 << 60 | table >> 12)
    for _ in range(2):
        assert client.ask("s") == "T05thread:1;"
    assert client.register(65 + 0x180) == 8 << 60 | table >> 12
    there += start & 0x3FFFFFFF
    assert client.word(there + 8) == COUNTING[0]
    client.set_word(there + 8 + ADD, addi(A0, A0, 7))
    assert client.word(start + 8 + ADD) == addi(A0, A0, 7)
    assert client.ask(f"m{6 << 30:x},4") == "E0e" and client.ask("m0,4") == "E0e"
    client.do(f"Z0,{start + 8 + ADD + 4:x},4")
    assert client.ask("c") == "T05thread:1;"
    assert client.register(A0) == 7
    client.do(f"z0,{start + 8 + ADD + 4:x},4")
    finish(process, client, 5)


@pytest.mark.parametrize("way", ["vanishes", "in the middle of a packet", "detaches"])
def test_the_machine_goes_on_without_its_debugger(machine, way):
    process, client, start = counting(machine)
    client.do(f"Z0,{start + LOOP:x},4")
    assert client.ask("c") == "T05thread:1;"
    assert client.register(T2) == 0
    if way == "detaches":
        client.do("D")
        with pytest.raises((EOFError, ConnectionResetError)):
            client.byte()
    elif way == "in the middle of a packet":
        client.socket.sendall(b"$m8020")
    client.close()
    time.sleep(0.2)
    again = machine.connect()
    again.run_a_while(0.05)
    assert again.register(T2) > 1000, "no breakpoint is left"
    finish(process, again, 5)


def test_a_second_debugger_waits(machine):
    process, client, start = counting(machine)
    other = machine.connect()
    other.socket.sendall(b"$qC#b4")
    assert client.register(PC) == start
    client.close()
    assert other.byte() == b"+" and other.receive() == "QC1"
    finish(process, other, 5)


def test_a_killed_machine_ends(machine):
    process, client, _ = counting(machine)
    client.do("vKill;1")
    assert process.wait(timeout=SECONDS) == 0
    assert not (machine.path / "gdb").exists()


def test_a_signal_is_told(machine):
    process, client, _ = counting(machine)
    client.send("c")
    process.send_signal(signal.SIGTERM)
    assert client.receive() == "X0f"
    assert process.wait(timeout=SECONDS) == 128 + signal.SIGTERM


def test_a_tcp_port(machine):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    process, client = None, None
    program_file(machine.path / "guest", COUNTING)
    for address in (f"{port}", f"localhost:{port}", f"127.0.0.1:{port}"):
        arguments = [a if a != "unix:gdb" else address for a in machine.arguments]
        with subprocess.Popen([machine.program, *arguments, "--quiet", "--gdb-wait", "--kernel", "guest"], cwd=machine.path, stdin=subprocess.DEVNULL) as process:
            client = machine.connect(("127.0.0.1", port))
            assert client.ask("?") == "T05thread:1;"
            assert_one_line(machine.run(*arguments, "--kernel", "guest"), 1, f'"{address}": address already in use')
            finish(process, client, 5)
            client.close()


def test_the_engine_is_changed_under_a_breakpoint(machine):
    program_file(machine.path / "guest", KEYED)
    arguments = [*machine.arguments, "--cpus", "1", "--gdb-wait", "--kernel", "guest"]
    with pexpect.spawn(str(machine.program), arguments, cwd=str(machine.path), env=machine.environment, encoding="utf-8", timeout=SECONDS) as process:
        process.expect("waits for GDB at unix:gdb")
        client = machine.connect()
        start = client.register(PC)
        client.do(f"Z0,{start + KEY_AGAIN:x},4")
        for _ in range(3):  # while it is stopped
            assert client.ask("c") == "T05thread:1;"
            process.send("\x01e")
            process.expect(r"the engine is (\w+) now")
            assert client.register(PC) == start + KEY_AGAIN
        client.do(f"z0,{start + KEY_AGAIN:x},4")
        client.do(f"Z0,{start + KEY_CALL:x},4")
        client.do(f"Z0,{start + KEY_CALLED:x},4")
        client.send("c")
        for _ in range(3):  # while it runs
            process.send("\x01e")
            process.expect(r"the engine is (\w+) now")
        process.send("x")
        assert client.receive() == "T05thread:1;"
        assert client.register(PC) == start + KEY_CALL
        assert client.ask("c") == "T05thread:1;"
        assert client.register(PC) == start + KEY_CALLED
        client.send("c")
        assert client.receive() == "W00"
        process.expect(pexpect.EOF)
    assert process.exitstatus == 0


@pytest.mark.parametrize(
    "arguments,words",
    [
        (["--gdb", ""], "use --gdb [HOST:]PORT"),
        (["--gdb", "0"], "use --gdb [HOST:]PORT"),
        (["--gdb", "65536"], "use --gdb [HOST:]PORT"),
        (["--gdb", ":1234"], "use --gdb [HOST:]PORT"),
        (["--gdb", "::1:1234"], "use --gdb [HOST:]PORT"),
        (["--gdb", "unix:"], "use --gdb [HOST:]PORT"),
        (["--gdb", "unix:" + "x" * 200], "use a shorter one"),
        (["--gdb-wait"], "use it with --gdb"),
    ],
)
def test_a_mistake_in_the_address(home, arguments, words):
    program_file(home.path / "guest", power_off(0))
    assert_one_line(home.run("run", *arguments, "--kernel", "guest"), 2, words)


def test_a_socket_file_that_nobody_listens_at_is_replaced(machine):
    process, client, _ = counting(machine)
    process.kill()
    process.wait()
    assert (machine.path / "gdb").is_socket()
    (machine.path / "file").write_text("kept")
    arguments = [a if a != "unix:gdb" else "unix:file" for a in machine.arguments]
    assert_one_line(machine.run(*arguments, "--kernel", "guest"), 1, '"unix:file"')
    assert (machine.path / "file").read_text() == "kept"
    client.close()
    process, client, _ = counting(machine)
    finish(process, client, 5)


def test_gdb_itself(machine):
    debugger = shutil.which("gdb-multiarch") or shutil.which("riscv64-linux-gnu-gdb")
    if not debugger:
        pytest.skip("gdb-multiarch is not installed")
    program_file(machine.path / "guest", COUNTING)
    arguments = [machine.program, *machine.arguments, "--quiet", "--cpus", "1", "--gdb-wait", "--kernel", "guest"]
    script = ["target remote gdb", "info threads", "break *($pc+4)", "continue", "continue", "stepi", "print $t2", "print $scause", "delete", "set $t3=1", "continue"]
    with subprocess.Popen(arguments, cwd=machine.path, stdin=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + SECONDS
        while not (machine.path / "gdb").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        commands = [part for line in script for part in ("-ex", line)]
        result = subprocess.run([debugger, "-nx", "-batch", *commands], cwd=machine.path, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert "$1 = 2\n" in result.stdout and "$2 = 0\n" in result.stdout, result.stdout + result.stderr
        assert process.wait(timeout=SECONDS) == 5
