# SPDX-License-Identifier: Apache-2.0
"""What many machines cost: make bench-machines, or --only start|idle|fairness|rtos|neighbour|smp|merging|many. Linux with Debian's image; merging needs root."""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import neighbour
import rtos
import smp

MIB = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")
KSM = pathlib.Path("/sys/kernel/mm/ksm")
# What the guest does first: "x" to the UART (16550 at 0x10000000), then the power register (0x100000).
FIRST = [0x100002B7, 0x07800313, 0x00628023, 0x001002B7, 0x00005337, 0x55530313, 0x0062A023, 0x0000006F]


class Machines:
    """hospes with machines of its own."""

    def __init__(self, hospes):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="hospes-bench-", dir="/var/tmp"))
        self.sockets = tempfile.mkdtemp(prefix="hospes-bench-")
        self.environment = dict(os.environ, HOSPES_MACHINE_DIR=str(self.path), HOSPES_RUN_DIR=self.sockets + "/run")
        self.hospes = str(hospes)

    def run(self, *arguments):
        result = subprocess.run([self.hospes, *arguments], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if result.returncode:
            raise SystemExit(f"hospes {' '.join(arguments)}: {result.stderr}")
        return result.stdout

    def begin(self, names, *options):
        """Debians, at most two booting at once."""
        for name in names:
            self.run("create", name, "--image", "debian", *options)
        waiting = list(names)
        booting = []
        while waiting or booting:
            while waiting and len(booting) < 2:
                booting.append(subprocess.Popen([self.hospes, "start", "--wait", waiting.pop(0)], env=self.environment, stdout=subprocess.DEVNULL))
            if booting.pop(0).wait():
                raise SystemExit("a machine did not start")

    def pid(self, name):
        return json.loads(self.run("info", "--json", name))["pid"]

    def pool(self):
        return json.loads(self.run("pool", "--json"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for row in json.loads(self.run("ls", "--json")):
            subprocess.run([self.hospes, "delete", "--force", row["name"]], env=self.environment, check=False)
        shutil.rmtree(self.path)
        shutil.rmtree(self.sockets)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def mappings(pid):
    """Resident bytes and PSS of each mapping, by name, permissions and inode."""
    rows, row = [], None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="ascii").splitlines():
        found = re.match(r"([0-9a-f]+)-[0-9a-f]+ (\S+) \S+ \S+ (\d+) *(.*)", line)
        if found:
            row = {"start": int(found[1], 16), "permissions": found[2], "inode": found[3], "name": found[4]}
            rows.append(row)
        elif found := re.match(r"(Rss|Pss|Anonymous): +(\d+) kB", line):
            row[found[1]] = int(found[2]) * 1024
    return rows


def beside(pid):
    """Bytes beside the guest's memory and the code cache: what is the process's alone. Tables of translated code are in the code cache's bound (docs/translator.md) and mapped below 4 GiB."""
    rows = mappings(pid)
    code = {row["inode"] for row in rows if row["name"].startswith("/dev/zero") and "x" in row["permissions"]}
    # Shared memory that is not code: what CPUs look up.
    lookups = sum(row["Pss"] for row in rows if row["name"].startswith("/dev/zero") and row["inode"] not in code)
    return lookups + sum(row["Anonymous"] for row in rows if "memfd" not in row["name"] and row["start"] >= 1 << 32)


def family(pid):
    """The machine's process and that of its user network."""
    return [pid, *map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())]


def bench_start(machines, _):
    kernel = machines.path / "first"
    kernel.write_bytes(struct.pack(f"<{len(FIRST)}I", *FIRST))
    times = []
    for _ in range(21):
        begin = time.monotonic()
        with subprocess.Popen([machines.hospes, "run", "--quiet", "--kernel", str(kernel)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            if process.stdout.read(1) != b"x":
                raise SystemExit("the guest said nothing")
            times.append((time.monotonic() - begin) * 1000)
            process.communicate()
    kernel.unlink()
    print(f"start: hospes run, from fork to the guest's first byte: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms of {len(times)}")


def bench_idle(machines, options):
    machines.begin(["idle"], "--memory", "256M", "--cpus", "1")
    pid = machines.pid("idle")
    time.sleep(options.settle)
    pids = family(pid)
    before = sum(map(cpu_seconds, pids))
    time.sleep(30)
    cpu = (sum(map(cpu_seconds, pids)) - before) / 30
    print(f"idle: {sum(map(beside, pids)) / MIB:.1f} MiB in {len(pids)} processes beside the guest's memory and the code cache; {cpu:.2%} of a host CPU")
    machines.run("delete", "--force", "idle")


def busy_seconds():
    """CPU time that all of the host took, but for what was idle or another host's."""
    fields = [int(n) for n in pathlib.Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4] - fields[7]) / TICKS


def slept(pid, seconds):
    """For how long, in all, threads of its CPUs wanted no CPU in the next seconds (schedstat: ran, waited)."""
    threads = [path for path in pathlib.Path(f"/proc/{pid}/task").iterdir() if re.match(r"cpu\d", (path / "comm").read_text(encoding="ascii"))]

    def wanted():
        return sum(int(n) for path in threads for n in (path / "schedstat").read_text(encoding="ascii").split()[:2]) / 1e9

    begin, before = time.monotonic(), wanted()
    time.sleep(seconds)
    return max(0, len(threads) * (time.monotonic() - begin) - (wanted() - before))


def bench_fairness(machines, options):
    """A ratio is the weights' only while both always want more than they get and nobody else wants anything: both is measured beside it."""
    weights = {"light": 50, "heavy": 100}
    for name, weight in weights.items():
        machines.begin([name], "--memory", "256M", "--cpus", "2", "--cpu-weight", str(weight))
    for name in weights:
        machines.run("shell", name, "--", "sh", "-c", "for i in 1 2; do (while :; do :; done) > /dev/null 2>&1 & done")
    pids = {name: machines.pid(name) for name in weights}
    means = json.loads(machines.run("info", "--json", "light"))["shares_by"]
    rows = []
    time.sleep(3)
    for _ in range(options.rounds):
        before, all_before = {name: cpu_seconds(pid) for name, pid in pids.items()}, busy_seconds()
        time.sleep(10)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        rows.append((used["heavy"] / used["light"], 1 - sum(used.values()) / (busy_seconds() - all_before)))
    idle = {name: slept(pid, 5) / 10 for name, pid in pids.items()}
    alone = [ratio for ratio, others in rows if others < 0.03]
    print(f"fairness ({means}): two busy machines of weights 100 and 50 get CPU {statistics.median(ratio for ratio, _ in rows):.2f} to 1: " + ", ".join(f"{ratio:.2f} (others {others:.0%})" for ratio, others in rows))
    print(f"fairness: {statistics.median(alone):.2f} to 1 in {len(alone)} rounds in which others took less than 3 %" if alone else "fairness: others took 3 % or more in every round: measure again on a quiet host")
    print("fairness: CPUs of the machines that wanted nothing: " + ", ".join(f"{name} {share:.0%}" for name, share in idle.items()))
    for name in weights:
        machines.run("delete", "--force", name)


def ksm(**settings):
    before = {name: (KSM / name).read_text(encoding="ascii") for name in settings}
    for name, value in settings.items():
        (KSM / name).write_text(str(value), encoding="ascii")
    return before


def bench_merging(machines, options):
    if not os.access(KSM / "run", os.W_OK):
        print("merging: not measured: KSM is root's to switch on")
        return
    names = [f"same{i}" for i in range(10)]
    before = ksm(run=1, pages_to_scan=20000, sleep_millisecs=20)
    try:
        machines.begin(names, "--memory", "256M", "--cpus", "1", "--merge")
        saved = -1
        for _ in range(24):
            time.sleep(10)
            now = int((KSM / "pages_sharing").read_text(encoding="ascii")) * 4096
            if now < saved * 1.01:
                break
            saved = now
        rows = [json.loads(machines.run("info", "--json", name)) for name in names]
        held, own = (sum(row[key] for row in rows) for key in ("guest_memory_resident", "own_memory_resident"))
        print(f"merging: ten Debians of 256 MiB hold {held / MIB:.0f} MiB, of which merging saves {now / MIB:.0f} MiB: {now / held:.0%}; hospes has {own / MIB:.0f} MiB beside, with translated code: {now / (held + own):.0%} of both")
    finally:
        ksm(**before)
    for name in names:
        machines.run("delete", "--force", name)


def bench_many(machines, options):
    names = [f"many{i}" for i in range(options.count)]
    with subprocess.Popen([machines.hospes, "balance", "--service"], env=machines.environment, stdout=subprocess.DEVNULL) as balance:
        begin = time.monotonic()
        machines.begin(names, "--memory", "256M", "--cpus", "1", "--memory-min", "128M")
        took = time.monotonic() - begin
        time.sleep(options.settle)
        pids = [pid for name in names for pid in family(machines.pid(name))]
        before = sum(map(cpu_seconds, pids))
        time.sleep(30)
        cpu = (sum(map(cpu_seconds, pids)) - before) / 30 / len(names)
        total = sum(row["Pss"] for pid in pids for row in mappings(pid) if "Pss" in row)
        balance.terminate()
    print(f"many: {len(names)} idle Debians of 256 MiB, up in {took:.0f} s, hold {total / MIB:.0f} MiB in all, {total / MIB / len(names):.0f} each; {cpu:.2%} of a host CPU each")


BENCHES = {"start": bench_start, "idle": bench_idle, "fairness": bench_fairness, "rtos": rtos.measure, "neighbour": neighbour.measure, "smp": smp.measure, "merging": bench_merging, "many": bench_many}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", choices=sorted(BENCHES), action="append")
    parser.add_argument("--count", type=int, default=50, help="machines of 'many'")
    parser.add_argument("--rounds", type=int, default=6, help="of ten seconds, of 'fairness'")
    parser.add_argument("--settle", type=int, default=60, help="seconds until a machine that has booted is taken for idle")
    options = parser.parse_args()
    for name in options.only or BENCHES:
        with Machines(pathlib.Path(options.build).resolve() / "hospes") as machines:
            BENCHES[name](machines, options)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
