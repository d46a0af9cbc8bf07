# SPDX-License-Identifier: Apache-2.0
"""Bare-metal programs that end by the symbol `tohost`, as conformance suites are built."""

import shutil
import struct
import subprocess

import pytest

SOURCE = r"""
    .globl _start
_start:
    la   s0, tohost
    li   s1, (1 << 56) | (1 << 48)   # device 1, command 1: a character
    la   s2, text
1:  lbu  a0, 0(s2)
    beqz a0, 3f
    or   a0, a0, s1
    sd   a0, 0(s0)
2:  ld   a1, 0(s0)                   # until the host has taken it
    bnez a1, 2b
    addi s2, s2, 1
    j    1b
3:  li   a0, (CODE << 1) | 1
    sd   a0, 0(s0)
4:  j    4b
text: .asciz "hello from tohost\n"
    .data
    .balign 64
    .globl tohost
tohost: .dword 0
"""


@pytest.mark.parametrize("code, status", [(0, 0), (3, 3), (256, 1)])
def test_tohost(home, code, status):
    compiler = shutil.which("riscv64-linux-gnu-gcc")
    if not compiler:
        pytest.skip("the package gcc-riscv64-linux-gnu is not installed")
    (home.path / "a.S").write_text(SOURCE)
    flags = ["-nostdlib", "-static", "-Wl,-N", "-Wl,-Ttext=0x80000000", "-Wl,--build-id=none", f"-DCODE={code}"]
    subprocess.run([compiler, *flags, "-o", "a.elf", "a.S"], cwd=home.path, check=True)
    result = home.run("run", "--quiet", "--bios", "a.elf", "--cpus", "1", "--memory", "32M", "--net", "none")
    assert result.stdout.replace("\r", "") == "hello from tohost\n"
    assert result.returncode == status, result.stderr


def test_a_hostile_file_costs_no_minutes(home):
    """4,096 section headers that all name the same large symbol table."""
    count, symbols = 4096, 1 << 20
    header = struct.pack("<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, 243, 1, 0x80000000, 64, 120, 0, 64, 56, 1, 64, count, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 0, 0x80000000, 0x80000000, 16, 16, 0)
    section = struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, symbols, symbols * 24, 0, 0, 0, 24)
    with open(home.path / "evil.elf", "wb") as file:
        file.write(header + segment + section * count)
        file.truncate(100 << 20)
    result = home.run("run", "--net", "none", "--memory", "32M", "--bios", "evil.elf", "--dump-dtb", "tree", seconds=20)
    assert result.returncode == 0, result.stderr
