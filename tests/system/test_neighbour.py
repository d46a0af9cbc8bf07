# SPDX-License-Identifier: Apache-2.0
"""A guest that spins on all its CPUs, forks, and floods disk and network at once takes no more of a neighbour's than its share."""

import contextlib
import os
import pathlib
import time

import pytest

from guest import own_machines
from test_limit import Named

SECONDS = 10
CPUS = len(os.sched_getaffinity(0))
SPIN = f"for i in $(seq {CPUS}); do (while :; do :; done) & done 2>/dev/null"
# The flood's target is everybody on the network that the two share.
NOISE = [
    SPIN,
    "(while :; do /bin/true; done) 2>/dev/null &",
    "(while :; do dd if=/dev/zero of=/root/noise bs=1M count=32 conv=fsync; done) >/dev/null 2>&1 &",
    "(while :; do dd if=/dev/vda of=/dev/null bs=1M count=128 iflag=direct; done) >/dev/null 2>&1 &",
    "(while :; do ping -f -b -q -w 5 -s 1400 $(ip -4 -o address show | sed -n 's/.* brd \\([0-9.]*\\) .*/\\1/p' | tail -1); done) >/dev/null 2>&1 &",
]


@pytest.fixture
def pair(program, debian):
    """Two Debians of one weight in one network."""
    with own_machines(program, debian) as environment, contextlib.ExitStack() as stack:
        made = [stack.enter_context(contextlib.closing(Named(program, environment, name, "--memory", "512M", "--cpus", str(CPUS), "--net", "lab"))) for name in ("quiet", "noisy")]
        yield [machine.boot() for machine in made]


def cpu_seconds(machine):
    """Of its process, all threads."""
    state = pathlib.Path(machine.environment["HOSPES_MACHINE_DIR"], machine.name, "var", "state.json").read_text(encoding="utf-8")
    pid = int(state.partition('"pid":')[2].split(",")[0].strip(" }\n"))
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_noise(pair):
    quiet, noisy = pair
    for line in NOISE:
        noisy.check(line + " true" * line.endswith("&"))
    quiet.check(SPIN)
    time.sleep(1)
    before = [cpu_seconds(machine) for machine in pair]
    time.sleep(SECONDS)
    used = [cpu_seconds(machine) - was for machine, was in zip(pair, before)]
    words = f"quiet used {used[0]:.1f} s, noisy {used[1]:.1f} s of {SECONDS} s on {CPUS} CPUs, load {os.getloadavg()[0]:.1f}"
    print(words)
    # Equal is fair. Where the host does not schedule sessions as groups, the noisy one's threads for disk and network count too.
    assert used[0] > 0.4 * used[1], words
    # Nor is its disk taken away, or its network.
    assert quiet.dd("if=/dev/zero of=/root/quiet bs=64k count=64 conv=fsync") < 30
    quiet.check("ping -c 3 -W 10 noisy.lab")
