# SPDX-License-Identifier: Apache-2.0
"""What was measured, as tables and as JSON."""

import json
import math
import os
import platform
import statistics

import suite


class Results:
    def __init__(self):
        self.native = {}  # (program, units): [seconds]
        self.engine = {}  # (suite, program, engine): [Sample], all of the same units
        self.failures = []
        self.notes = []

    def add(self, suite_name, program, engine, sample):
        self.engine.setdefault((suite_name, program, engine), []).append(sample)

    def fail(self, text):
        if text not in self.failures:
            self.failures.append(text)

    def native_seconds(self, program, units):
        values = self.native.get((program, units))
        return statistics.median(values) if values else None

    def seconds(self, suite_name, program, engine):
        samples = self.engine.get((suite_name, program, engine))
        return statistics.median(s.seconds for s in samples) if samples else None

    def over_native(self, suite_name, program, engine):
        """Both doing the same work: what a program does once is not taken for what each unit does."""
        samples = self.engine.get((suite_name, program, engine))
        native = samples and self.native_seconds(program, samples[0].units)
        return self.seconds(suite_name, program, engine) / native if native else None

    def ratio(self, suite_name, program, above, below):
        """Of two engines, which may have done different parts of the work."""
        of = self.seconds if suite_name == "boot" else self.over_native
        a, b = of(suite_name, program, above), of(suite_name, program, below)
        return a / b if a and b else None

    def geomean(self, suite_name, programs, side):
        """Over native; of the boot, which has no native side, of the seconds."""
        of = self.seconds if suite_name == "boot" else self.over_native
        values = [of(suite_name, p.name, side) for p in programs]
        values = [v for v in values if v]
        return math.exp(statistics.fmean(math.log(v) for v in values)) if values else None


def cell(value, form="{:.2f}"):
    return form.format(value) if value else "-"


def table(results, suite_name, programs, units_of, engines):
    native = suite_name != "boot"
    sides = [e for e in suite.ENGINES if e in engines]
    head = ["program"] + (["native s"] + [f"{e}/native" for e in sides] if native else [f"{e} s" for e in sides])
    if "qemu" in sides:
        head += [f"qemu/{e}" for e in sides if e != "qemu"]
    lines = [f"## {suite_name}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for program in programs:
        row = [program.name]
        if native:
            row.append(cell(results.native_seconds(program.name, units_of(program)), "{:.3f}"))
            row += [cell(results.over_native(suite_name, program.name, e)) for e in sides]
        else:
            row += [cell(results.seconds(suite_name, program.name, e)) for e in sides]
        if "qemu" in sides:
            row += [cell(results.ratio(suite_name, program.name, "qemu", e)) for e in sides if e != "qemu"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def summary(results, wanted, engines):
    lines = []
    for suite_name, programs in wanted.items():
        for engine in suite.ENGINES:
            mean = results.geomean(suite_name, programs, engine) if engine in engines else None
            if mean:
                lines.append(f"bench: {suite_name} {engine} {mean:.2f}" + (" s" if suite_name == "boot" else ""))
    return "\n".join(lines)


def processor():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{len(os.sched_getaffinity(0))} CPUs, {names[0] if names else platform.machine()}"


def write_json(path, results, wanted, units_of, engines, conditions):
    rows = []
    for suite_name, programs in wanted.items():
        for program in programs:
            row = {"suite": suite_name, "program": program.name, "units": units_of(program), "native": [], "engines": {}}
            for (name, units), values in sorted(results.native.items()):
                if name == program.name:
                    row["native"].append({"units": units, "seconds": values})
            for engine in engines:
                samples = results.engine.get((suite_name, program.name, engine))
                if samples:
                    found = {"units": samples[0].units, "seconds": [s.seconds for s in samples], "checksum": samples[0].checksum}
                    row["engines"][engine] = dict(found, over_native=results.over_native(suite_name, program.name, engine))
            rows.append(row)
    means = {name: {e: results.geomean(name, programs, e) for e in engines} for name, programs in wanted.items()}
    document = {"version": 1, "conditions": conditions, "programs": rows, "geomeans": means, "failures": results.failures, "notes": results.notes}
    path.write_text(json.dumps(document, indent=1) + "\n")
