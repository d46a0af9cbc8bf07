# SPDX-License-Identifier: Apache-2.0
"""What two busy CPUs cost each other, natively and in a Debian of two CPUs, and a mutex that two threads on them want."""

import statistics
import subprocess

import build

# Units of about half a second.
PROGRAMS = {"fib": 30000, "qsort": 2000, "sha256": 30000, "coremark-like": 30000, "memcpy": 40000, "mutex": 30000}
ROUNDS = 5


def command(directory, name, processes):
    """One on CPU 0, or one on each; a program of two threads has both CPUs."""
    run = f"{directory}/{name} {PROGRAMS[name]}"
    if name == "mutex":
        return f"taskset -c 0,1 {run}"
    return f"taskset -c 0 {run}" if processes == 1 else f"taskset -c 0 {run} & taskset -c 1 {run}; wait"


def seconds(text):
    return statistics.mean(float(line.split()[1]) for line in text.splitlines())


def measure(machines, _):
    programs = build.programs(lambda text: None)
    machines.begin(["smp"], "--memory", "512M", "--cpus", "2")
    for name in PROGRAMS:
        machines.run("cp", str(programs / "riscv64" / name), "smp:/root/")
    sides = {
        "native": lambda line: subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, text=True, check=True).stdout,
        "guest": lambda line: machines.run("shell", "smp", "--", "sh", "-c", line),
    }
    where = {"native": programs / "native", "guest": "/root"}
    for name in PROGRAMS:
        times = {(side, processes): [] for side in sides for processes in (1, 2)}
        for _ in range(ROUNDS):
            for side, processes in times:
                if name != "mutex" or processes == 1:
                    times[side, processes].append(seconds(sides[side](command(where[side], name, processes))))
        median = {key: statistics.median(values) for key, values in times.items() if values}
        if name == "mutex":
            print(f"smp: mutex of two threads on two CPUs: {median['guest', 1] / median['native', 1]:.2f} times native")
        else:
            print(f"smp: {name}: two at once take {median['guest', 2] / median['guest', 1]:.3f} of one's time in a guest, {median['native', 2] / median['native', 1]:.3f} natively")
    machines.run("delete", "--force", "smp")
