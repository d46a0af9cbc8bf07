# SPDX-License-Identifier: Apache-2.0
"""Random machines under the interpreter and under the translator, in one process: the same at every stop.

HOSPES_BUILD        the build directory with tests/random/random_compare (default: build in the repository)
HOSPES_TEST_LONG    hundreds of machines a permutation instead of a few
HOSPES_RANDOM_SEED  the first machine's seed (default 1)
"""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PERMUTATIONS = ["heat=0", "heat=0,unit=1", "heat=3", "heat=0,code=1M", "heat=0,windows=0", "heat=0,windows=2", "heat=1,unit=5,windows=2"]


def compare(options, *arguments):
    build = pathlib.Path(os.environ.get("HOSPES_BUILD", ROOT / "build"))
    count = "400" if os.environ.get("HOSPES_TEST_LONG") else "8"
    seed = os.environ.get("HOSPES_RANDOM_SEED", "1")
    command = [build / "tests" / "random" / "random_compare", "--engine", options, "--seed", seed, "--count", count, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", result.stdout)}
    # Something was executed, translated, and trapped.
    assert counts["instructions"] > 100000 and counts["units"] > 50, result.stdout


@pytest.mark.parametrize("options", PERMUTATIONS)
def test_machines(options):
    compare(options)


@pytest.mark.parametrize("options", ["heat=0", "heat=0,windows=2"])
def test_addresses_everywhere(options):
    """Loads and stores at addresses over all of 64 bits trap as they should, and reach nothing else."""
    compare(options, "--reach")
