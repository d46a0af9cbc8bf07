# SPDX-License-Identifier: Apache-2.0
"""Random privileged code: whatever a guest executes, hospes goes on or ends in order, and no sanitizer has a word to say.

The instructions are random ones of the catalogue (instructions.inc) and of the privileged architecture, with random fields,
any CSR, and words that are anything. They write page tables, PMP, delegation, devices and their own code. Nothing is
compared here: the rules of the privileged architecture are tested in tests/isa.

HOSPES            the hospes program (default: build/hospes in the repository)
HOSPES_ENGINE     the engine; else each of tests/conftest.py has programs of its own
HOSPES_TEST_LONG  many more programs
"""

import os
import pathlib
import random
import re
import struct
import subprocess
import zlib

import pytest

HERE = pathlib.Path(__file__).resolve().parent
HOSPES = os.environ.get("HOSPES") or str(HERE.parents[1] / "build" / "hospes")
BODY_SIZE = 60000  # as in hostile.S
SECONDS = 2  # a program that runs in circles is stopped
PROGRAMS = (400 if os.environ.get("HOSPES_TEST_LONG") else 9) // (1 if os.environ.get("HOSPES_ENGINE") else 3)

WFI, SRET, MRET, SFENCE, CSR = 0x10500073, 0x10200073, 0x30200073, 0x12000073, 0x00000073
BRANCH, JAL, JALR = 0x63, 0x6F, 0x67
# The CSRs that change what the hart does, and a few that do not exist. mtvec, mscratch and mie belong to the frame.
CSRS = [0x001, 0x002, 0x003, 0x015, 0xC00, 0xC01, 0xC02, 0x100, 0x105, 0x106, 0x10A, 0x140, 0x141, 0x142, 0x143, 0x144]
CSRS += [0x14D, 0x180, 0x300, 0x301, 0x302, 0x303, 0x306, 0x30A, 0x320, 0x323, 0x341, 0x342, 0x343, 0x344, 0x3A0, 0x3A2]
CSRS += [0x3B0, 0x3B1, 0x3B7, 0x3BF, 0x5C0, 0x747, 0x7A0, 0xB00, 0xB02, 0xB03, 0xF14, 0xFFF]


def catalogue():
    rows = re.findall(r'^INSN\("\w+", "[^"]+",\s*FORM_(\w+),\s*(0x\w+)\)', (HERE / "instructions.inc").read_text(), re.M)
    return [(form, int(match, 16)) for form, match in rows]


def random_word(rng, insns):
    """32 bits: one instruction, or two compressed ones."""
    kind = rng.random()
    if kind < 0.05:
        return rng.getrandbits(32)
    if kind < 0.25:
        return CSR | rng.choice(CSRS) << 20 | rng.getrandbits(13) << 7 & ~(3 << 12) | rng.choice((1, 2, 3)) << 12
    if kind < 0.3:
        return rng.choice((SRET, MRET, SFENCE | rng.getrandbits(10) << 15))
    form, match = rng.choice(insns)
    if form.startswith("C_"):
        return (match | rng.getrandbits(16) & 0x1FFC) | 0x0001 << 16
    if match & 0x7F == JALR:
        return 0x100F  # fence.i: jumps to anywhere leave the body too soon
    if match & 0x7F == JAL:
        return match | rng.randrange(1, 8) << 22 | rng.getrandbits(5) << 7
    if match & 0x7F == BRANCH:
        return match | rng.randrange(2, 8) << 9 | rng.getrandbits(10) << 15
    fields = 0x01FF8F80 if form in ("R", "FFF", "XFF", "AMO") else 0x000F8F80
    if form in ("I", "LOAD", "STORE", "FLOAD", "FSTORE"):
        fields = 0xFFFF8F80
    return match | rng.getrandbits(32) & fields


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    elf, raw = (tmp_path_factory.mktemp("hostile") / name for name in ("frame.elf", "frame.bin"))
    command = ["riscv64-linux-gnu-gcc", "-nostdlib", "-static", "-no-pie", "-fno-pic", "-march=rv64gc", "-mabi=lp64d"]
    command += ["-Wl,--build-id=none,-Ttext=0x80000000,--no-warn-rwx-segments", "-o", str(elf), str(HERE / "hostile.S")]
    subprocess.run(command, check=True)
    subprocess.run(["riscv64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", str(elf), str(raw)], check=True)
    return raw.read_bytes()


def run(program, engine, arguments):
    """(status or None for a time-out, what it said)"""
    command = [HOSPES, "run", "--bios", str(program), "--cpus", "1", "--memory", "64M", "--net", "none", "--quiet", "--mmu", "sv57", "--engine", engine, *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _, said = process.communicate(timeout=SECONDS)
            return process.returncode, said.decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.terminate()  # an orderly end within reason, or communicate() raises
            _, said = process.communicate(timeout=30)
            return None, said.decode(errors="replace")


def test_hostile(frame, every_engine, profile_arguments, tmp_path):
    insns, ended, first = catalogue(), 0, zlib.crc32(every_engine.encode())
    for seed in range(first, first + PROGRAMS):
        rng = random.Random(seed)
        words = [random_word(rng, insns) & 0xFFFFFFFF for _ in range(BODY_SIZE // 4)]
        program = tmp_path / "program"
        program.write_bytes(frame + struct.pack(f"<{len(words)}I", *words))
        status, said = run(program, every_engine, profile_arguments)
        # A signal is negative; a guest may report a failure of its own, by the finisher, with any status.
        assert status is None or status >= 0, f"seed {seed}: hospes died of signal {-status}: {said}"
        assert not re.search(r"Sanitizer|runtime error|Assertion|aborted", said), f"seed {seed}: {said}"
        ended += status == 0
    # Most come to their end: the frame holds, and the body is run rather than skipped.
    assert ended >= PROGRAMS // 3, f"{ended} of {PROGRAMS} ended"
