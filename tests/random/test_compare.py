# SPDX-License-Identifier: Apache-2.0
"""Random machines under the interpreter and the translator at once: registers and memory agree at every trap (random_compare).

HOSPES_BUILD        the build directory with tests/random/random_compare (default: build in the repository)
HOSPES_TEST_LONG    many more machines
HOSPES_RANDOM_SEED  the first seed (default 1)

A difference is told with the seed, the episode and the first trap that was not the same. The command that is printed, with
--limit and that trap's number, stops there and tells the registers.
"""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 600
LONG = bool(os.environ.get("HOSPES_TEST_LONG"))
TIMES = 100 if LONG else 1
PERMUTATIONS = ["heat=0", "heat=0,unit=1", "heat=3", "heat=0,code=1M", "heat=0,windows=0", "heat=0,windows=2,audit=1",
                "heat=0,regions=0", "heat=0,regions=2", "heat=0,regions=2,windows=2,audit=1", "heat=3,windows=2,audit=1"]
# What else is different -> machines. Each machine is run a few times over, in one mode and address space or another.
KINDS = {
    "": 12,
    "--counted": 6,  # instret agrees too
    "--keep": 12,  # one engine for all of them: it meets the code of others
    "--noise": 6,  # kicks, flushes and interrupts at any time from another thread
    "--big": 4,
    "--reach": 3,  # U-mode reaches for what is not its own
    "--shared": 20,  # each twice: the second time with the first one's code as a library
}


def compare(*arguments):
    build = pathlib.Path(os.environ.get("HOSPES_BUILD") or ROOT / "build")
    command = [str(build / "tests" / "random" / "random_compare"), *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    if result.returncode == 77:
        pytest.skip(result.stdout.strip())
    return command, result


def counts(result):
    """What it counted: {name: number}, and the exceptions by cause under "traps"."""
    fields = dict(field.split("=") for field in result.stdout.split())
    traps = dict(pair.split(":") for pair in fields.pop("traps").split(",") if pair)
    return {name: int(value) for name, value in fields.items()} | {"traps": {int(k): int(v) for k, v in traps.items()}}


# There are no libraries with some of the engine's options.
CASES = [(kind, engine) for kind in KINDS for engine in PERMUTATIONS
         if kind != "--shared" or ("audit" not in engine and "unit" not in engine)]


@pytest.mark.parametrize("kind, engine", CASES, ids=lambda value: value.lstrip("-") or "plain")
def test_compare(kind, engine):
    machines = KINDS[kind] * TIMES
    seed = os.environ.get("HOSPES_RANDOM_SEED", "1")
    command, result = compare("--engine", engine, "--seed", seed, "--count", str(machines), *kind.split())
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr}"
    n = counts(result)
    # What was run is worth something: translated code, most programs to their end, exceptions of each kind.
    assert n["too_long"] <= machines / 10
    if kind == "--shared":
        assert n["shared"] > 10 * machines, n
    # (Pages that are rewritten again and again are translated late, if they are not at once.)
    assert n["units"] > (20 if "heat=0" in engine else 5) * machines, n
    if kind in ("", "--keep"):
        missing = {1, 2, 4, 5, 6, 7, 8, 9, 12, 13, 15} - set(n["traps"])
        assert not missing, f"no exception of cause {missing}: {n}"
    if kind not in ("--counted", "--reach"):
        assert n["interrupts"] > machines
    if "windows=2" in engine:
        assert n["window_fills"] > (machines if "heat=0" in engine else 0), n
    if "windows=0" in engine:
        assert n["window_fills"] == 0
    if "code=1M" in engine and kind == "--keep":
        assert n["evicted"] > 0, n


def test_a_difference_is_found():
    """One byte of the translator's memory is changed between two episodes."""
    _, result = compare("--wrong", "--engine", "heat=0")
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(r"memory at 0x80257000: interpreter \S+, translator \S+", result.stderr), result.stderr
    assert re.search(r"^--seed 1, episode 1, .*: interpreter and translator differ$", result.stderr, re.MULTILINE), result.stderr
