# SPDX-License-Identifier: Apache-2.0
"""Runs the bare-metal ISA tests (*.S here) on hospes, and on QEMU's system emulator to prove the tests themselves.

HOSPES            the hospes program (default: build/hospes in the repository)
HOSPES_ENGINE     passed as --engine; else each engine of tests/conftest.py is
HOSPES_TEST_LONG  also run each test on the oracle
HOSPES_QEMU_SYSTEM  the oracle (default: qemu-system-riscv64 from the PATH)

A test names in its header the oldest QEMU that implements what it tests ("oracle: qemu 8.1"), or "oracle: none" and why.
Single checks that QEMU is known to fail stand under `#if !ORACLE` (or `#if ORACLE > 9`) with the reason: ORACLE is 0 for
hospes and the major version of QEMU for the oracle.
"""

import functools
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import vectors

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COMPILER = "riscv64-linux-gnu-gcc"
MARCH = "rv64gc"  # isa.h adds the extensions by `.option arch`: the compiler driver may be too old to know them
SECONDS = 60
TESTS = sorted(path.stem for path in HERE.glob("*.S"))

# The machine's extensions in the words of each QEMU. Extensions off: what the machine has not, and some test denies.
ORACLE_CPU = {
    7: "rv64,h=off,Zfhmin=true,svinval=true,svnapot=true,svpbmt=true,zkr=true,pmu-num=29",
    8: "rv64,h=off,zfhmin=true,svinval=true,svnapot=true,svpbmt=true,zkr=true,zicond=true,zfa=true,zawrs=true,svadu=true,pmu-mask=0xfffffff8",
}


@functools.lru_cache
def oracle():
    return os.environ.get("HOSPES_QEMU_SYSTEM") or shutil.which("qemu-system-riscv64")


@functools.lru_cache
def oracle_version():
    text = subprocess.run([oracle(), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(x) for x in re.search(r"version (\d+)\.(\d+)", text).groups())


def hospes():
    return os.environ.get("HOSPES") or str(ROOT / "build" / "hospes")


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """A function from a test's name and the value of ORACLE to its ELF file."""
    directory = tmp_path_factory.mktemp("isa")

    @functools.lru_cache(maxsize=None)
    def assemble(name, oracle_major=0):
        source = HERE / f"{name}.S"
        for extension in re.findall(r'#include "(\w+)\.vec"', source.read_text()):
            if not (directory / f"{extension}.vec").exists():
                vectors.write_vectors(extension, directory / f"{extension}.vec")
        elf = directory / f"{name}-{oracle_major}.elf"
        command = [COMPILER, "-nostdlib", "-static", "-no-pie", "-fno-pic", f"-march={MARCH}", "-mabi=lp64d"]
        command += [f"-DORACLE={oracle_major}", f"-I{HERE}", f"-I{directory}"]
        command += ["-Wl,--build-id=none,--no-warn-rwx-segments", "-T", str(HERE / "isa.ld"), "-o", str(elf), str(source)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return elf

    return assemble


def run(command):
    """The machine ends by itself: status 0 when each check held, and what it printed otherwise."""
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as e:
        pytest.fail(f"no end within {SECONDS} s; it printed: {(e.stdout or b'').decode(errors='replace')}")
    text = (result.stdout + result.stderr).decode(errors="replace")
    assert result.returncode == 0 and "FAIL" not in text, f"status {result.returncode}: {text}"


@pytest.mark.parametrize("name", TESTS)
def test_hospes(build, name, every_engine, profile_arguments):
    command = [hospes(), "run", "--bios", str(build(name)), "--cpus", "1", "--memory", "64M", "--net", "none", "--mmu", "sv57"]
    run([*command, "--engine", every_engine, *profile_arguments])


@pytest.mark.parametrize("name", TESTS)
def oracle_runs(build, name):
    needs = re.search(r"oracle: (?:qemu (\d+)\.(\d+)|(none[^*]*))[^*]*\*/", (HERE / f"{name}.S").read_text())
    assert needs, "the header does not name an oracle"
    if needs.group(3):
        pytest.skip(" ".join(needs.group(3).split()))
    if not oracle():
        pytest.skip("qemu-system-riscv64 is not installed")
    if oracle_version() < (int(needs.group(1)), int(needs.group(2))):
        pytest.skip(f"needs QEMU {needs.group(1)}.{needs.group(2)}")
    cpu = ORACLE_CPU[7 if oracle_version() < (8, 0) else 8]
    elf = build(name, oracle_version()[0])
    run([oracle(), "-M", "virt", "-cpu", cpu, "-m", "64", "-display", "none", "-monitor", "none", "-serial", "stdio", "-bios", str(elf)])


# A proof of the tests, not of hospes: only the long mode has it.
if os.environ.get("HOSPES_TEST_LONG"):
    test_oracle = oracle_runs
