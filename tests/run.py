#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test of a build directory: the unit tests through meson, the rest through pytest.

Prints what fails in full, what is skipped with its reason, and ends with one line that sums up
both: "N passed, N failed, N skipped". A cmocka program counts by its cases, not as one. The exit
status is 0 only if something passed and nothing failed.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Totals:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def line(self):
        return f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def count_cases(entry, totals):
    """Adds one program of meson's log: its cmocka cases if it printed any, or itself."""
    output = entry.get("stdout", "") + entry.get("stderr", "")
    name, result = entry["name"], entry["result"]
    passed = re.findall(r"^\[       OK \] (.*)$", output, re.MULTILINE)
    failed = sorted(set(re.findall(r"^\[  (?:FAILED|ERROR) *\] ([A-Za-z_]\w*)$", output, re.MULTILINE)))
    skipped = sorted(set(re.findall(r"^\[  SKIPPED \] ([A-Za-z_]\w*)$", output, re.MULTILINE)))

    totals.passed += len(passed) or (result in ("OK", "EXPECTEDFAIL") and not skipped)
    totals.skipped += [(f"{name}: {case}", "see the test") for case in skipped]
    totals.failed += [f"{name}: {case}" for case in failed]
    if result == "SKIP" and not skipped:
        totals.skipped.append((name, "the program skipped itself"))
    # A program can fail with all cases good: a sanitizer's report at the exit, a crash, a timeout.
    if result not in ("OK", "SKIP", "EXPECTEDFAIL") and not failed:
        totals.failed.append(f"{name}: {result}")
    if result not in ("OK", "SKIP", "EXPECTEDFAIL"):
        print(f"---- {name}: {result}\n{output.rstrip()}\n----")


def run_units(build, totals):
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    status = subprocess.run(["meson", "test", "-C", str(build), "--no-rebuild"], check=False).returncode
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    before = len(totals.failed)
    for entry in entries:
        count_cases(entry, totals)
    if not entries:
        totals.failed.append("unit tests: none were run")
    elif status and len(totals.failed) == before:
        totals.failed.append(f"unit tests: meson ended with status {status}")


def run_pytest(build, arguments, totals):
    report = build / "pytest.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5"]
    if importlib.util.find_spec("xdist") and "-n" not in arguments:
        # A machine's CPUs and its devices are threads: one test a core keeps them all busy.
        command += ["-n", str(len(os.sched_getaffinity(0)))]
    command += ["-rs", f"--junit-xml={report}", f"--rootdir={ROOT}", *(arguments or [str(ROOT / "tests")])]
    environment = dict(os.environ, HOSPES=str(build / "hospes"), HOSPES_BUILD=str(build), PYTHONDONTWRITEBYTECODE="1")
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    cases = list(xml.etree.ElementTree.parse(report).iter("testcase")) if report.exists() else []
    before = len(totals.failed)
    for case in cases:
        name = f"{case.get('classname')}.{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            totals.failed.append(name)
        elif skipped is not None:
            totals.skipped.append((name, skipped.get("message")))
        else:
            totals.passed += 1
    if not cases:
        totals.failed.append("pytest: no test was run")
    elif status and len(totals.failed) == before:
        totals.failed.append(f"pytest: ended with status {status}")


def group_by_reason(skipped):
    groups = {}
    for name, reason in skipped:
        groups.setdefault(reason, []).append(name)
    return groups


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="build directory (build)")
    parser.add_argument("--only", choices=["unit", "pytest"], help="one runner only")
    parser.add_argument("arguments", nargs="*", help="for pytest: paths or options (all of tests/)")
    options = parser.parse_args()
    build = options.build.resolve()
    totals = Totals()
    began = time.monotonic()

    if options.only != "pytest":
        run_units(build, totals)
    if options.only != "unit":
        run_pytest(build, options.arguments, totals)

    for reason, names in sorted(group_by_reason(totals.skipped).items()):
        print(f"skipped: {reason}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}")
    for text in totals.failed:
        print(f"FAILED: {text}")
    print(f"{time.monotonic() - began:.0f} seconds")
    if not totals.passed and not totals.failed:
        totals.failed.append("no test was run")
    # Once more for who calls make, which puts its own words behind a failure.
    (build / "test-summary").write_text(totals.line() + "\n")
    print(totals.line())
    return 1 if totals.failed or not totals.passed else 0


if __name__ == "__main__":
    sys.exit(main())
