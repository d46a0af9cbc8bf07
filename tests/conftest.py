# SPDX-License-Identifier: Apache-2.0
"""Ways of running a guest's instructions, for the suites whose guests are small enough for all of them.

HOSPES_ENGINE        that one alone, as for `hospes run --engine`
HOSPES_CODE_PROFILE  a file that all guests use and write, as for `hospes run --code-profile`
"""

import os

import pytest

# What the translator's options change: code is translated at once, an instruction at a time, memory is reached by the host's
# MMU from the start, code is evicted, loops are regions at once. See src/cpu/riscv/hart.h.
ENGINES = ["interpret", "translate", "translate,heat=0", "translate,heat=0,unit=1", "translate,heat=0,windows=2,audit=1",
           "translate,heat=0,code=1M", "translate,heat=0,regions=2,windows=2,audit=1"]


@pytest.fixture(scope="session")
def profile_arguments():
    path = os.environ.get("HOSPES_CODE_PROFILE")
    return ["--code-profile", path] if path else []


def pytest_generate_tests(metafunc):
    if "every_engine" in metafunc.fixturenames:
        chosen = os.environ.get("HOSPES_ENGINE")
        metafunc.parametrize("every_engine", [chosen] if chosen else ENGINES)
