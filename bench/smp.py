# SPDX-License-Identifier: Apache-2.0
"""What two busy CPUs cost each other, natively and in a Debian of two CPUs, and a mutex that two threads on them want."""

import statistics
import subprocess

import build

# Units of about half a second, and of one and a half.
PROGRAMS = {"fib": 30000, "qsort": 2000, "sha256": 30000, "coremark-like": 30000, "memcpy": 40000}
MUTEX = 30000
ROUNDS = 5


def seconds(text):
    return statistics.mean(float(line.split()[1]) for line in text.splitlines())


def in_turn(sides, lines):
    """Medians of the seconds that shell lines take, by side and line; {} stands for the programs' directory."""
    times = {(side, line): [] for line in lines for side in sides}
    for _ in range(ROUNDS):
        for (side, line), found in times.items():
            run, directory = sides[side]
            found.append(seconds(run(line.replace("{}", directory))))
    return {key: statistics.median(found) for key, found in times.items()}


def measure(machines, _):
    programs = build.programs(lambda text: None)
    machines.begin(["smp"], "--memory", "512M", "--cpus", "2")
    for name in [*PROGRAMS, "mutex"]:
        machines.run("cp", str(programs / "riscv64" / name), "smp:/root/")
    sides = {
        "native": (lambda line: subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, text=True, check=True).stdout, str(programs / "native")),
        "guest": (lambda line: machines.run("shell", "smp", "--", "sh", "-c", line), "/root"),
    }
    for name, units in PROGRAMS.items():
        one = f"taskset -c 0 {{}}/{name} {units}"
        both = f"{one} & taskset -c 1 {{}}/{name} {units}; wait"
        took = in_turn(sides, (one, both))
        print(f"smp: {name}: two at once take {took['guest', both] / took['guest', one]:.3f} of one's time in a guest, {took['native', both] / took['native', one]:.3f} natively")
    mutex = f"taskset -c 0,1 {{}}/mutex {MUTEX}"
    took = in_turn(sides, (mutex,))
    print(f"smp: mutex of two threads on two CPUs: {took['guest', mutex] / took['native', mutex]:.2f} times native")
    machines.run("delete", "--force", "smp")
