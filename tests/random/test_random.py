# SPDX-License-Identifier: Apache-2.0
"""Random programs on QEMU's user mode and on hospes: every register, fcsr and memory must agree at each checkpoint.

HOSPES_BUILD      the build directory with tests/random/random_generate and random_run (default: build in the repository)
HOSPES_QEMU_USER  the oracle (default: qemu-riscv64 from the PATH)
HOSPES_TEST_LONG  a million random instructions an extension and more instead of some thousands
HOSPES_RANDOM_SEED  the first program's seed (default 1)
HOSPES_ENGINE     the engine; else each of tests/conftest.py, a part of the instructions on each

A difference is reduced: the program is made again with a checkpoint behind each instruction between the last equal record
and the first different one, and the instruction is printed with its operands and what came out on either side.
"""

import functools
import os
import pathlib
import re
import shutil
import struct
import subprocess
import zlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM_UNITS = 12000  # PROGRAM_UNITS_MAX
LONG_UNITS = 1000000
SHORT_UNITS = 6000
# Each engine has its own programs, and this part of them if it is one of many.
ENGINE_PART = 1 if os.environ.get("HOSPES_ENGINE") else 3
EVERY = 100
SECONDS = 120

SCRATCH_SIZE = 1024
RECORD = struct.Struct(f"<{SCRATCH_SIZE}s32Q32QQ")

MIX = "i,m,a,f,d,c,zba,zbb,zbc,zbs,zfhmin"
NEWER = "zicond,zfa,zicboz,zicbop"

# What is run together: name -> the oldest QEMU that implements it.
EXTENSIONS = {
    "i": (7, 2),
    "m": (7, 2),
    "a": (7, 2),
    "f": (7, 2),
    "d": (7, 2),
    "c": (7, 2),
    "zba": (7, 2),
    "zbb": (7, 2),
    "zbc": (7, 2),
    "zbs": (7, 2),
    "zfhmin": (7, 2),
    "zicbop": (7, 2),
    "zicond": (8, 0),
    "zicboz": (8, 0),
    "zfa": (8, 1),
    MIX: (7, 2),
    f"{MIX},{NEWER}": (8, 1),
}


@functools.lru_cache
def oracle():
    return os.environ.get("HOSPES_QEMU_USER") or shutil.which("qemu-riscv64")


@functools.lru_cache
def oracle_version():
    text = subprocess.run([oracle(), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(x) for x in re.search(r"version (\d+)\.(\d+)", text).groups())


def known_differences():
    """Instructions that are left out, each with the reason. All that is left must agree."""
    known = {}
    if oracle_version() < (8, 0):
        known["ctzw"] = "QEMU before 8.0 counts the zeros of the whole register when the low word is 0"
    return known


def tool(name):
    build = pathlib.Path(os.environ.get("HOSPES_BUILD") or ROOT / "build")
    return str(build / "tests" / "random" / name)


class Side:
    """One that runs programs: its name and the command in front of the program's path, with an engine if it is hospes."""

    def __init__(self, name, command, engine=""):
        self.name = name
        self.command = command
        self.environment = dict(os.environ, HOSPES_ENGINE=engine)

    def run(self, program, _places):
        """(the records, what it said if it did not end well)"""
        result = subprocess.run(
            [*self.command, program], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
        size = len(result.stdout) // RECORD.size * RECORD.size
        said = f"status {result.returncode}: {result.stderr.decode(errors='replace').strip()}" if result.returncode else ""
        return [RECORD.unpack_from(result.stdout, at) for at in range(0, size, RECORD.size)], said


def sides(engine):
    cpu = "rv64,Zfhmin=true" if oracle_version() < (8, 0) else "max"
    return Side("qemu", [oracle(), "-cpu", cpu]), Side(f"hospes ({engine})", [tool("random_run")], engine)


class Case:
    """The programs of one choice of extensions and one seed."""

    def __init__(self, directory, extensions, seed, units):
        self.directory = directory
        self.title = f"--extensions {extensions} --seed {seed} --units {units}"
        self.options = ["--extensions", extensions, "--seed", str(seed), "--units", str(units)]
        if known_differences():
            self.options += ["--without", ",".join(known_differences())]

    def make(self, *options):
        """(the program's path, {address of a checkpoint: (unit, text)})"""
        program, places = str(self.directory / "program"), self.directory / "map"
        subprocess.run([tool("random_generate"), *self.options, *options, "--map", str(places), program], check=True)
        rows = (line.rstrip("\n").split(" ", 2) for line in places.read_text().splitlines())
        return program, {int(row[0], 16): (int(row[1]), row[2] if len(row) > 2 else "") for row in rows}


def record_place(record):
    return record[1]


def first_difference(one, other):
    """The index of the first record that is not in both alike, or None."""
    for index, (a, b) in enumerate(zip(one, other)):
        if a != b:
            return index
    return min(len(one), len(other)) if len(one) != len(other) else None


def record_words(record):
    names = {f"x{n}": record[1 + n] for n in range(1, 32)}
    names |= {f"f{n}": record[33 + n] for n in range(32)}
    names["fcsr"] = record[65]
    scratch = struct.unpack(f"<{SCRATCH_SIZE // 8}Q", record[0])
    return names | {f"memory[gp{8 * n - SCRATCH_SIZE // 2:+}]": word for n, word in enumerate(scratch)}


def describe(index, left, right, sides_names, places):
    before = record_words(left[index - 1]) if index else {}
    lines = []
    if index < len(left) and index < len(right):
        unit, text = places[record_place(left[index])]
        lines.append(f"unit {unit}: {text}")
        a, b = record_words(left[index]), record_words(right[index])
        for name in a:
            if a[name] != b[name]:
                lines.append(f"  {name}: before {before.get(name, 0):#x}, {sides_names[0]} {a[name]:#x}, {sides_names[1]} {b[name]:#x}")
        for name in sorted(set(re.findall(r"\b[xf]\d+\b", text)) - {"x0"}):
            lines.append(f"  operand {name} was {before.get(name, 0):#x}")
        lines.append(f"  fcsr was {before.get('fcsr', 0):#x}")
    else:
        longer = left if len(left) > len(right) else right
        lines.append(f"only one reached unit {places[record_place(longer[index])]}")
    return lines


def compare(case, one, other):
    """None, or the words about the first difference."""
    program, places = case.make("--every", str(EVERY))
    (left, left_said), (right, right_said) = one.run(program, places), other.run(program, places)
    index = first_difference(left, right)
    if index is None and not left_said and not right_said:
        assert left, "the program wrote no record"
        return None
    words = [f"{one.name} and {other.name} differ: {case.title}", f"  {one.name} {left_said}", f"  {other.name} {right_said}"]
    index = min(len(left), len(right)) if index is None else index
    # Between two records lie EVERY units, and a loop (of up to 8) may lead back.
    units = [places[record_place(side[i])][0] for side in (left, right) for i in (index - 1, index) if 0 <= i < len(side)]
    lowest, highest = (min(units), max(units)) if units else (0, 0)
    if index == 0:
        lowest = 0
    fine = case.make("--every", str(EVERY), "--from", str(max(0, lowest - 8)), "--to", str(highest + EVERY + 8))
    (left, left_said), (right, right_said) = one.run(*fine), other.run(*fine)
    index = first_difference(left, right)
    if index is None:
        return "\n".join(words + [f"  and agree with a checkpoint behind each unit from {lowest} to {highest}"])
    return "\n".join(words + describe(index, left, right, (one.name, other.name), fine[1]))


@pytest.mark.parametrize("extensions", EXTENSIONS)
def test_random(extensions, every_engine, tmp_path):
    if not oracle():
        pytest.skip("qemu-riscv64 is not installed (package qemu-user)")
    if oracle_version() < EXTENSIONS[extensions]:
        pytest.skip("needs QEMU %d.%d; HOSPES_QEMU_USER names another" % EXTENSIONS[extensions])
    units = (LONG_UNITS if os.environ.get("HOSPES_TEST_LONG") else SHORT_UNITS) // ENGINE_PART
    # Other programs on each.
    seed = int(os.environ.get("HOSPES_RANDOM_SEED", "1")) + 1000 * zlib.crc32(every_engine.encode())
    differences = []
    while units > 0 and len(differences) < 5:
        difference = compare(Case(tmp_path, extensions, seed, min(units, PROGRAM_UNITS)), *sides(every_engine))
        if difference:
            differences.append(difference)
        units -= PROGRAM_UNITS
        seed += 1
    assert not differences, "\n".join(differences)


class WrongSide(Side):
    """hospes with a fault: from one unit on a bit of x7 is wrong in the records."""

    UNIT = 777

    def run(self, program, places):
        records, said = super().run(program, places)
        wrong = []
        for record in records:
            if places[record_place(record)][0] >= self.UNIT:
                record = record[:8] + (record[8] ^ 4,) + record[9:]
            wrong.append(record)
        return wrong, said


def test_a_fault_is_found(tmp_path, monkeypatch):
    """The comparison finds the unit at which a wrong value appears, and the register."""
    monkeypatch.setattr(f"{__name__}.known_differences", dict)
    right, wrong = Side("right", [tool("random_run")]), WrongSide("wrong", [tool("random_run")])
    case = Case(tmp_path, "m", 3, 2000)
    assert compare(case, right, right) is None
    words = compare(case, right, wrong)
    unit = int(re.search(r"unit (\d+):", words).group(1))
    # The first one that the program reaches: units may be jumped over.
    assert WrongSide.UNIT <= unit < WrongSide.UNIT + 8, words
    assert "\n  x7: before" in words and len(re.findall(r": before", words)) == 1, words


def test_a_crash_is_found(tmp_path, monkeypatch):
    """A program that traps on one side alone is a difference."""
    monkeypatch.setattr(f"{__name__}.known_differences", dict)
    right, dead = Side("right", [tool("random_run")]), Side("dead", ["false"])
    words = compare(Case(tmp_path, "i", 4, 500), right, dead)
    assert "status 1" in words and "only one reached unit" in words, words
