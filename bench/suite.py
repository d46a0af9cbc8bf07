# SPDX-License-Identifier: Apache-2.0
"""What is measured: the suites, their programs, and how much work each does.

`units` is the work that a native run does in 0.2 to 0.5 s on a machine of 2023.
"""

import dataclasses

CFLAGS = ["-std=gnu17", "-O2", "-static", "-pthread", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    units: int
    sources: tuple = ()  # in bench/programs, without .c; ARCH stands for the architecture
    flags: tuple = ()
    script: str = ""  # in bench/real


def compute(name, units, *sources, flags=()):
    return Program(name, units, ("main",) + (sources or (name.replace("-", "_"),)), tuple(flags))


COMPUTE = [
    compute("coremark-like", 40000),
    compute("dhrystone-like", 120000),
    compute("fib", 15000),
    compute("bytecode", 60000),
    compute("indirect", 40000),
    compute("qsort", 1000),
    compute("sha256", 16000),
    compute("matmul-int", 6000),
    compute("sieve", 7500),
    compute("strings", 65000),
    compute("chase-16k", 200000, "chase", flags=["-DCHASE_BYTES=16384u"]),
    compute("chase-64m", 2000, "chase", flags=["-DCHASE_BYTES=67108864u"]),
    compute("memcpy", 200000),
    # Without the flag the compiler would make the loop a call of memcpy().
    compute("wordcopy", 120000, flags=["-fno-tree-loop-distribute-patterns"]),
    compute("triad", 60000),
    compute("matmul-double", 3000),
    compute("nbody", 48000),
    compute("mandelbrot", 2400),
    compute("atomic", 450000),
    compute("mutex", 30000),
    compute("runtime-code", 3000000, "runtime_code", "emit_ARCH"),
]

OS = [
    compute("getpid", 2000),
    compute("clock", 12000),
    compute("pagefault", 800),
    compute("fork", 4000),
    compute("exec", 600),
    compute("pipe", 600),
    compute("handoff", 600),
]


def real(name, units):
    return Program(name, units, script=f"{name}.sh")


REAL = [
    real("python", 128),
    real("sqlite", 48),
    real("gcc", 5),
    real("perl", 64),
    real("openssl-sign", 50),
    real("openssl-digest", 200),
    real("spawn", 500),
    real("gzip", 48),
    real("bzip2", 48),
    real("xz", 12),
]

# Not measured, but built: what others start.
HELPERS = [Program("tiny", 0, ("tiny",)), Program("init", 0, ("init",)), Program("measure", 0, ("measure",))]

SUITES = {
    "compute-system": COMPUTE,
    "os-system": OS,
    "compute-process": COMPUTE,
    "programs-system": REAL,
    "boot": [Program("init", 1), Program("login", 1)],
}
ENGINES = ("hospes", "interpreter", "qemu")
