# SPDX-License-Identifier: Apache-2.0
"""What a neighbour that spins, forks, and floods disk and network costs a quiet Debian of the same weight. Fair is at most twice the
time: each has half of what both want."""

import os
import pathlib
import statistics
import time

# Each tells its own seconds, so that the way to the guest does not count.
CLOCK = 'begin=$(date +%s%N); {}; end=$(date +%s%N); echo $(( (end - begin) / 1000000 ))'
# On each of its CPUs: it wants all of the host, as the noisy one does.
CPU = CLOCK.format("for i in $(seq {cpus}); do (i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done) & done; wait")
DISK = CLOCK.format("cd /root; for i in $(seq 20); do dd if=/dev/zero of=quiet bs=256k count=16 conv=fsync 2>/dev/null; done; dd if=quiet of=/dev/null bs=256k iflag=direct 2>/dev/null")
NET = CLOCK.format("ping -q -c 200 -i 0.01 -s 1000 10.0.2.2 > /dev/null")
WORK = {"cpu": CPU, "disk": DISK, "net": NET}
# The network's flood goes to everybody on it, and to the host.
NOISE = [
    "while :; do :; done",
    "while :; do /bin/true; done",
    "cd /root; while :; do dd if=/dev/zero of=noise$$ bs=1M count=64 conv=fsync; done",
    "while :; do dd if=/dev/vda of=/dev/null bs=1M count=256 iflag=direct; done",
    "ping -f -b -q -s 1400 $(ip -4 -o address show | sed -n 's/.* brd \\([0-9.]*\\) .*/\\1/p' | tail -1)",
    "ping -f -q -s 1400 10.0.2.2",
]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds(machines, name, kind, cpus):
    return int(machines.run("shell", name, "--", "sh", "-c", WORK[kind].replace("{cpus}", str(cpus)))) / 1000


def rounds(machines, count, cpus):
    return {kind: statistics.median(seconds(machines, "quiet", kind, cpus) for _ in range(count)) for kind in WORK}


def begin_noise(machines, cpus):
    machines.begin(["noisy"], "--memory", "512M", "--cpus", str(cpus), "--net", "user", "--net", "flood")
    lines = [NOISE[0]] * cpus + NOISE[1:]
    for line in lines:
        machines.run("shell", "noisy", "--", "sh", "-c", f"({line}) > /dev/null 2>&1 &")


def measure(machines, _):
    cpus = len(os.sched_getaffinity(0))
    machines.begin(["quiet"], "--memory", "512M", "--cpus", str(cpus), "--net", "user", "--net", "flood")
    time.sleep(10)
    rounds(machines, 1, cpus)
    alone, load = rounds(machines, 5, cpus), os.getloadavg()[0]
    begin_noise(machines, cpus)
    time.sleep(5)
    pid, begin = machines.pid("noisy"), time.monotonic()
    used = cpu_seconds(pid)
    beside = rounds(machines, 5, cpus)
    used = (cpu_seconds(pid) - used) / (time.monotonic() - begin)
    for kind in WORK:
        print(f"neighbour: {kind} takes {alone[kind]:.2f} s alone, {beside[kind]:.2f} s beside a noisy neighbour: {beside[kind] / alone[kind]:.2f} times (fair: at most 2)")
    print(f"neighbour: load {load:.1f} alone, {os.getloadavg()[0]:.1f} with the neighbour, which used {used:.2f} of {cpus} CPUs meanwhile")
    for name in ("quiet", "noisy"):
        machines.run("delete", "--force", name)
