# SPDX-License-Identifier: Apache-2.0
"""Where a program can be run: on the host, in a process under an emulator, in a booted guest.

A side's measure(program, units, seconds) returns one Sample, or raises Failed.
"""

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import subprocess

from machine import Failed, Gone

# As the guests' only CPU: two threads on two CPUs would be another program.
CPU = max(os.sched_getaffinity(0))
SKIP_STATUS = 77


@dataclasses.dataclass(frozen=True)
class Sample:
    seconds: float
    checksum: str
    units: int


class Skipped(Exception):
    """The side says itself that it cannot run this."""


def parse(program, units, text):
    found = re.search(rf"^{re.escape(program.name)} (\d+\.\d+) ([0-9a-f]{{16}}) {units}$", text, re.MULTILINE)
    if not found:
        raise Failed(f"{program.name}: no result in \"{text.strip()[-300:]}\"")
    return Sample(float(found.group(1)), found.group(2), units)


def enter(root, bench):
    """Shell commands that complete a root directory with what programs expect."""
    root, bench = shlex.quote(str(root)), shlex.quote(str(bench))
    steps = [f"mount -t tmpfs tmpfs {root}/tmp", f"mount --rbind /dev {root}/dev", f"mount --rbind /proc {root}/proc", f"mount --bind {bench} {root}/bench"]
    return " && ".join(steps)


def measure_words(program, units):
    return f"/bench/measure {program.name} {units} /bench/real/{program.script}"


class Process:
    """A program of ours as a process of the host: native, or under an emulator of one process."""

    def __init__(self, prefix, directory, root=None):
        self.prefix = prefix
        self.directory = pathlib.Path(directory)
        self.root = root

    def line(self, program, units):
        if not program.script:
            return [*self.prefix, str(self.directory / program.name), str(units)]
        # Mounts of its own, in a user name space of its own where that needs no root.
        own = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
        chroot = f"exec chroot {shlex.quote(str(self.root))} {measure_words(program, units)}"
        return own + ["sh", "-c", f"{enter(self.root, self.directory)} && {chroot}"]

    def measure(self, program, units, seconds):
        line = self.line(program, units)
        pin = ["taskset", "--cpu-list", str(CPU)]
        try:
            result = subprocess.run(pin + line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"{program.name}: not done after {seconds:.0f} s") from None
        if result.returncode == SKIP_STATUS and self.prefix:
            raise Skipped(result.stderr.strip() or "not supported")
        if result.returncode != 0:
            raise Failed(f"{program.name}: status {result.returncode}: {result.stderr.strip()[-500:]}")
        return parse(program, units, result.stdout)


class Guest:
    """Programs in a booted machine whose shell is open."""

    def __init__(self, machine):
        self.machine = machine

    def mount(self, with_root):
        """From the disks that are labelled hospes-bench and hospes-root."""
        machine = self.machine
        machine.run("mkdir -p /bench/programs /bench/root && mount -r -L hospes-bench /bench/programs", 60)
        if with_root:
            machine.run("mount -r -L hospes-root /bench/root", 60)
            machine.run(enter("/bench/root", "/bench/programs"), 60)

    def measure(self, program, units, seconds):
        words = f"chroot /bench/root {measure_words(program, units)}" if program.script else f"/bench/programs/{program.name} {units}"
        try:
            return parse(program, units, self.machine.run(words, seconds))
        except Failed as failure:
            try:
                self.machine.interrupt()
            except Failed as end:
                raise Gone(f"{failure}\n{end}") from end
            raise


def have(program):
    return shutil.which(program) is not None
