#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures programs natively, under hospes and under the distribution's QEMU, in turn in one run.

Suites: compute-system and os-system (our own programs in a booted Debian), programs-system (Debian's
own programs there, against the same release on the host), compute-process (one process, without an
operating system), boot. Prints tables of ratios to native, and a line a suite and engine:
"bench: SUITE ENGINE GEOMETRIC-MEAN-OVER-NATIVE" (of boot: seconds). Medians of --repeat rounds.

Every side has to work out the same results; a difference fails the run. An engine too slow for all of
a program's work does a part of it, and is compared with a native run of that part. The Debian image
has to be there (hospes image build debian); all else is made once, under $XDG_CACHE_HOME/hospes/bench.

example: bench/run.py --only compute-system --program fib --engines hospes --repeat 1
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import build
import machine
import report
import sides
import suite

# No measurement of an engine shall take much longer than this; it gets less work instead. Debian's
# programs get more: less work would show how they start and little else.
LONGEST = {"programs-system": 6.0}
LONGEST_ELSE = 3.0
# Of the work of a first run, which tells how long the rest will take and fills the caches.
PILOT = 32
PATIENCE = 180
BOOTS = 4
APPEND = "console=ttyS0 quiet"
SYSTEM = ("compute-system", "os-system", "programs-system")


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.began = time.monotonic()
        self.results = report.Results()
        self.hospes = pathlib.Path(arguments.build) / "hospes"
        self.wanted = {name: [p for p in suite.SUITES[name] if not arguments.program or p.name in arguments.program] for name in arguments.only}
        self.wanted = {name: programs for name, programs in self.wanted.items() if programs}
        self.divisors = {}  # (suite, program, engine): part of the work that this engine does
        self.expected = {}  # (program, units): the native side's checksum
        self.native_round = {}  # (program, units): round in which it was last measured natively
        self.broken = set()  # (suite, program or None, engine): failed once, not tried again
        self.image = None
        self.round = 0

    def say(self, text):
        spent = int(time.monotonic() - self.began)
        print(f"[{spent // 60}:{spent % 60:02d}] {text}", file=sys.stderr, flush=True)

    def units(self, program):
        return max(1, round(program.units * self.arguments.scale))

    def prepare(self):
        self.native = sides.Process([], build.programs(self.say) / "native")
        needs_root = "programs-system" in self.wanted
        if needs_root or any(name in self.wanted for name in SYSTEM):
            self.disks = [build.bench_directory("riscv64", self.say)]
        if needs_root:
            root, disk = build.roots(self.say)
            self.disks.append(disk)
            self.native_root = sides.Process([], build.bench_directory("native", self.say), root)
        if "boot" in self.wanted:
            self.initrd = build.init_archive(self.say, False)
        if any(name in self.wanted for name in SYSTEM + ("boot",)):
            self.image = self.image_directory()

    def image_directory(self):
        data = os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local" / "share"
        image = pathlib.Path(self.arguments.image or pathlib.Path(data) / "hospes" / "images" / "debian")
        if not (image / "manifest.json").is_file():
            raise build.Error(f"no image in \"{image}\"; make it with: hospes image build debian")
        return image

    def native_side(self, program):
        return self.native_root if program.script else self.native

    def run_once_natively(self, program, units, keep):
        """Once a round, in which engines may need the same part of the work. Not kept is what only
        its checksum is needed of."""
        key = (program.name, units)
        if key in self.expected and (not keep or self.native_round.get(key) == self.round):
            return
        sample = self.native_side(program).measure(program, units, PATIENCE)
        if self.expected.setdefault(key, sample.checksum) != sample.checksum:
            raise machine.Failed(f"{program.name}: two native runs of {units} units differ")
        if keep:
            self.native_round[key] = self.round
            self.results.native.setdefault(key, []).append(sample.seconds)
            self.say(f"{self.round} native {program.name}: {sample.seconds:.3f} s for {units} units")

    def check(self, program, engine, sample, keep):
        self.run_once_natively(program, sample.units, keep)
        expected = self.expected[program.name, sample.units]
        if sample.checksum != expected:
            raise machine.Failed(f"{program.name}: {engine} worked out {sample.checksum} and native {expected} for {sample.units} units")

    def divisor(self, suite_name, program, side, first):
        """The part of the work that can be done in good time. The first run tells; where it lets expect too
        long, a second one tells what it was that takes time: to start, or each unit."""
        longest, units, starting, each = LONGEST.get(suite_name, LONGEST_ELSE), self.units(program), 0.0, first.seconds / first.units
        if each * units > longest and 4 * first.units < units and first.seconds < longest / 2:
            second = side.measure(program, 4 * first.units, PATIENCE)
            self.check(program, suite_name, second, False)
            each = max(0.0, second.seconds - first.seconds) / (second.units - first.units)
            starting = max(0.0, second.seconds - second.units * each)
        divisor = 1
        while divisor < PILOT and starting + each * units / divisor > longest:
            divisor *= 2
        return divisor

    def measure(self, suite_name, program, engine, side):
        """One measurement after a small one, which also fills caches."""
        key = (suite_name, program.name, engine)
        if key in self.broken:
            return
        units = self.units(program)
        try:
            first = side.measure(program, max(1, units // PILOT), PATIENCE)
            if key not in self.divisors:
                self.divisors[key] = self.divisor(suite_name, program, side, first)
            divisor = self.divisors[key]
            sample = side.measure(program, max(1, units // divisor), PATIENCE)
            self.check(program, engine, first, False)
            self.check(program, engine, sample, True)
        except sides.Skipped as reason:
            self.note(f"{suite_name} {program.name}: skipped by {engine}: {reason}")
            self.broken.add(key)
            return
        except machine.Failed as failure:
            self.results.fail(f"{suite_name} {engine}: {failure}")
            self.say(f"{self.round} {engine} {program.name}: failed")
            self.broken.add(key)
            if isinstance(failure, machine.Gone):
                raise
            return
        self.results.add(suite_name, program.name, engine, sample)
        part = f" (1/{divisor})" if divisor > 1 else ""
        self.say(f"{self.round} {engine} {program.name}: {sample.seconds:.3f} s{part}")

    def note(self, text):
        if text not in self.results.notes:
            self.results.notes.append(text)
            self.say(text)

    def run_native(self):
        for program in dict.fromkeys(p for name, programs in self.wanted.items() if name != "boot" for p in programs):
            self.run_once_natively(program, max(1, self.units(program) // PILOT), False)
            self.run_once_natively(program, self.units(program), True)

    def run_process(self, engine):
        if engine == "interpreter":
            return
        tool = str(pathlib.Path(self.arguments.build) / "bench" / "run_static") if engine == "hospes" else "qemu-riscv64"
        if not sides.have(tool):
            self.note(f"compute-process: {engine} is left out, there is no {tool}")
            return
        side = sides.Process([tool], build.programs(self.say) / "riscv64")
        for program in self.wanted["compute-process"]:
            self.measure("compute-process", program, engine, side)

    def line(self, engine, initrd, append, disks):
        word = self.arguments.hospes_engine if engine == "hospes" else engine
        return machine.command(word, self.hospes, self.arguments.memory, self.image / "kernel", initrd, append, disks)

    def run_boot_init(self, engine):
        with machine.Machine(self.line(engine, self.initrd, APPEND, [])) as booted:
            seconds = booted.seconds_to("bench: user space", "boot to init")
        self.results.add("boot", "init", engine, sides.Sample(seconds, "", 1))
        self.say(f"{self.round} {engine} boot to init: {seconds:.2f} s")

    def boot_system(self, engine, left):
        """Boots Debian and takes what it measures there from the list `left`."""
        append = json.loads((self.image / "manifest.json").read_text())["append"]
        disks = [self.image / "disk.raw"] + (self.disks if left else [])
        with machine.Machine(self.line(engine, self.image / "initrd", append, disks)) as booted:
            seconds = booted.seconds_to("debian login:", "boot to login")
            self.say(f"{self.round} {engine} boot to login: {seconds:.2f} s")
            if not left:
                return seconds
            booted.open_shell()
            guest = sides.Guest(booted)
            guest.mount("programs-system" in self.wanted)
            self.measure_left(engine, guest, left)
        return seconds

    def boot_bare(self, engine, left):
        """The same without a distribution."""
        initrd = build.init_archive(self.say, True)
        with machine.Machine(self.line(engine, initrd, APPEND, [])) as booted:
            booted.seconds_to("bench: user space", "boot to init")
            self.measure_left(engine, sides.Guest(booted), left)

    def measure_left(self, engine, guest, left):
        while left:
            name, program = left.pop(0)
            self.measure(name, program, engine, guest)

    def run_system(self, engine):
        """One boot in which all that needs a guest is run, and another after each program that has
        brought the machine down."""
        left = [(name, p) for name in SYSTEM for p in self.wanted.get(name, []) if (name, p.name, engine) not in self.broken]
        login = any(p.name == "login" for p in self.wanted.get("boot", []))
        for _ in range(BOOTS):
            if not left and not login:
                return
            try:
                if self.arguments.bare:
                    self.boot_bare(engine, left)
                    return
                seconds = self.boot_system(engine, left)
            except machine.Gone:
                continue
            if login:
                self.results.add("boot", "login", engine, sides.Sample(seconds, "", 1))
            return
        raise machine.Failed(f"{BOOTS} machines went down, {len(left)} programs are left out")

    def run_engine(self, engine):
        steps = []
        if any(p.name == "init" for p in self.wanted.get("boot", [])):
            steps.append(self.run_boot_init)
        if any(name in self.wanted for name in SYSTEM) or any(p.name == "login" for p in self.wanted.get("boot", [])):
            steps.append(self.run_system)
        if "compute-process" in self.wanted:
            steps.append(self.run_process)
        for step in steps:
            key = (step.__name__, None, engine)
            if key in self.broken:
                continue
            try:
                step(engine)
            except machine.Failed as failure:
                self.results.fail(f"{engine}: {failure}")
                self.say(f"{self.round} {engine}: failed: {failure}")
                self.broken.add(key)

    def run(self):
        self.prepare()
        if "hospes" in self.arguments.engines and self.arguments.hospes_engine == "auto" and self.image:
            if not machine.has_engine(self.hospes, "translate", self.image / "kernel"):
                self.note("this hospes cannot translate here: the engine hospes is its interpreter")
        for self.round in range(1, self.arguments.repeat + 1):
            self.run_native()
            for engine in self.arguments.engines:
                self.run_engine(engine)

    def conditions(self):
        found = {"processor": report.processor(), "repeat": self.arguments.repeat, "scale": self.arguments.scale, "load": os.getloadavg()[0]}
        for name, command in (("gcc", ["gcc", "--version"]), ("riscv64-gcc", [build.COMPILERS["riscv64"], "--version"]), ("hospes", [str(self.hospes), "--version"]), ("qemu", ["qemu-system-riscv64", "--version"])):
            if sides.have(command[0]):
                found[name] = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.split("\n")[0]
        return found

    def finish(self):
        for name, programs in self.wanted.items():
            print(report.table(self.results, name, programs, self.units, self.arguments.engines))
        for text in self.results.notes:
            print(f"note: {text}")
        for text in self.results.failures:
            print(f"failed: {text}")
        print(report.summary(self.results, self.wanted, self.arguments.engines))
        if self.arguments.json:
            report.write_json(pathlib.Path(self.arguments.json), self.results, self.wanted, self.units, self.arguments.engines, self.conditions())
        return 1 if self.results.failures else 0


def words(allowed):
    def split(text):
        found = text.split(",")
        for word in found:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"\"{word}\" is none of {', '.join(allowed)}")
        return [word for word in allowed if word in found]

    return split


def main():
    names = list(dict.fromkeys(p.name for programs in suite.SUITES.values() for p in programs))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="build directory with hospes in it (build)")
    parser.add_argument("--image", help="directory of the Debian image (the store's debian)")
    parser.add_argument("--memory", default="1G", help="of the machines (1G)")
    parser.add_argument("--only", type=words(list(suite.SUITES)), default=list(suite.SUITES), metavar="SUITE[,SUITE]", help=", ".join(suite.SUITES))
    parser.add_argument("--program", type=words(names), metavar="NAME[,NAME]", help="only these programs")
    parser.add_argument("--engines", type=words(list(suite.ENGINES)), metavar="ENGINE[,ENGINE]", help="of hospes, interpreter and qemu (hospes,qemu)")
    parser.add_argument("--hospes-engine", default="auto", metavar="NAME", help="what the engine hospes is to \"hospes run --engine\" (auto)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--scale", type=float, default=1.0, metavar="F", help="times the usual work (1)")
    parser.add_argument("--bare", action="store_true", help="run compute-system and os-system under an init of our own instead of Debian, which boots in seconds")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured")
    arguments = parser.parse_args()
    if arguments.repeat < 1 or arguments.scale <= 0:
        parser.error("--repeat and --scale have to be more than 0")
    if arguments.bare:
        arguments.only = [name for name in arguments.only if name in ("compute-system", "os-system")]
    arguments.engines = arguments.engines or ["hospes", "qemu"]
    bench = Bench(arguments)
    if not bench.wanted:
        parser.error("none of these suites has such a program")
    if not sides.have(str(bench.hospes)):
        parser.error(f"there is no \"{bench.hospes}\"; build it with: make")
    if "qemu" in arguments.engines and not sides.have("qemu-system-riscv64"):
        bench.note("qemu is left out, qemu-system-riscv64 is not installed; get it with: scripts/setup bench")
        arguments.engines.remove("qemu")
    try:
        bench.run()
    except (build.Error, machine.Failed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
