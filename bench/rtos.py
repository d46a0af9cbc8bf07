# SPDX-License-Identifier: Apache-2.0
"""How late the periodic task of a real-time guest is (examples/rtos) beside a Debian that does nothing, or all it can."""

import os
import pathlib
import re
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 20
# What a process of the host sees that does the same without a guest: its releases, every 5 ms.
HOST = """
import sys, time
late, release, end = [], time.monotonic() + 0.005, time.monotonic() + float(sys.argv[1])
while release < end:
    time.sleep(max(0, release - time.monotonic()))
    late.append((time.monotonic() - release) * 1e6)
    release += 0.005
late.sort()
print(f"p50 {late[len(late) // 2]:.0f} p99 {late[len(late) * 99 // 100]:.0f} max {late[-1]:.0f} us missed {sum(us > 5000 for us in late)} of {len(late)}")
"""


class Console:
    """The guest's shell."""

    def __init__(self, machines, name):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(f"{machines.environment['HOSPES_RUN_DIR']}/{name}/console")
        self.wait()

    def wait(self):
        data = b""
        while not data.endswith(b"rtos> "):
            data += self.socket.recv(4096)
        return data.decode()

    def command(self, line):
        self.socket.sendall(line.encode() + b"\r")
        return self.wait()

    def lateness(self, seconds):
        self.command("reset")
        time.sleep(seconds)
        told = re.search(r"count (\d+) (p50 \d+ p99 \d+ max \d+ us missed \d+)", self.command("rt"))
        return f"{told[2]} of {told[1]}"


def host(seconds):
    return subprocess.run(["/usr/bin/python3", "-c", HOST, str(seconds)], capture_output=True, text=True, check=True).stdout.strip()


def load():
    return f"load {os.getloadavg()[0]:.1f}"


def measure(machines, _):
    cpus = len(os.sched_getaffinity(0))
    subprocess.run([str(ROOT / "examples" / "rtos" / "build"), str(machines.path)], check=True)
    for name in ("rtos.bin", "rtos.elf"):
        (machines.path / name).rename(machines.path / f".{name}")
    machines.run("create", "rt", "--kernel", str(machines.path / ".rtos.bin"), "--cpus", "1", "--memory", "32M", "--net", "none", "--append", "report=0")
    machines.run("start", "rt")
    console = Console(machines, "rt")

    def say(what):
        print(f"rtos: {what}: {console.lateness(SECONDS)} ({load()})", flush=True)

    say("alone")
    machines.begin(["linux"], "--memory", "512M", "--cpus", str(cpus))
    time.sleep(20)
    say("beside an idle Debian")
    machines.run("shell", "linux", "--", "sh", "-c", f"for i in $(seq {cpus}); do (while :; do :; done) > /dev/null 2>&1 & done")
    time.sleep(3)
    say(f"beside a Debian with {cpus} busy CPUs")
    print(f"rtos: a process of the host instead of the guest: {host(SECONDS)} ({load()})", flush=True)
    if os.geteuid() == 0:
        machines.run("set", "rt", "--cpu-weight", "10000")
        say("the same, its weight 10000")
        machines.run("set", "rt", "--cpu-weight", "100")
    machines.run("set", "linux", "--cpu-weight", "10")
    say("the same, the Debian's weight 10")
    machines.run("shell", "linux", "--", "sh", "-c", "cd /root; (while :; do dd if=/dev/zero of=flood bs=1M count=64 conv=fsync; done) > /dev/null 2>&1 &")
    time.sleep(3)
    say("the same, writing its disk besides")
    for name in ("rt", "linux"):
        machines.run("delete", "--force", name)
