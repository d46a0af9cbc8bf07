#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the Debian image under hospes and under the distribution's QEMU in turn, and prints a table.

Measured is the elapsed time from the start of the program to the root shell on the console: the
same kernel, initial RAM disk, disk (changes thrown away) and command line for both. Medians, and
their ratio. The image has to be there (hospes image build debian). With --code-profile hospes boots
twice in each round, the second time with that profile; a file that is not there is made by the
first round.

example: bench/boot.py --pairs 3 --cpus 1
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import time

import pexpect

PROMPT = r"root@debian:[^\r\n]*# $"


def boot(command):
    """Seconds to the shell, and to the end of the program after poweroff."""
    began = time.monotonic()
    process = pexpect.spawn(command[0], command[1:], encoding="utf-8", codec_errors="replace", timeout=900)
    process.expect(PROMPT)
    ready = time.monotonic() - began
    process.sendline("poweroff")
    process.expect(pexpect.EOF)
    process.wait()
    return ready, time.monotonic() - began


def image_directory(arguments):
    if arguments.image:
        return pathlib.Path(arguments.image)
    data = os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local" / "share"
    return pathlib.Path(data) / "hospes" / "images" / "debian"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hospes", default="build/hospes")
    parser.add_argument("--image", help="directory of the image (the store's debian)")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--code-profile", help="measure hospes with this profile, too")
    arguments = parser.parse_args()
    image = image_directory(arguments)
    append = json.loads((image / "manifest.json").read_text())["append"]
    files = {name: str(image / name) for name in ("kernel", "initrd", "disk.raw")}
    commands = {
        "hospes": [arguments.hospes, "run", "--ephemeral", "--cpus", str(arguments.cpus), "--memory", arguments.memory]
        + ["--kernel", files["kernel"], "--initrd", files["initrd"], "--append", append, "--disk", files["disk.raw"]]
    }
    if arguments.code_profile:
        commands["hospes-profile"] = [*commands["hospes"], "--code-profile", arguments.code_profile]
    if shutil.which("qemu-system-riscv64"):
        commands["qemu"] = ["qemu-system-riscv64", "-M", "virt", "-nographic", "-snapshot", "-smp", str(arguments.cpus), "-m", arguments.memory]
        commands["qemu"] += ["-kernel", files["kernel"], "-initrd", files["initrd"], "-append", append]
        commands["qemu"] += ["-drive", f"file={files['disk.raw']},format=raw,if=none,id=disk", "-device", "virtio-blk-device,drive=disk"]
        commands["qemu"] += ["-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net", "-device", "virtio-rng-device"]
    times = {name: [] for name in commands}
    for pair in range(arguments.pairs):
        for name, command in commands.items():
            ready, whole = boot(command)
            times[name].append(ready)
            print(f"{pair + 1} {name}: {ready:.1f} s to the shell, {whole:.1f} s to the end", flush=True)
    for name, values in times.items():
        print(f"{name}: median {statistics.median(values):.1f} s of {len(values)}")
    if "qemu" in times:
        print(f"hospes/qemu: {statistics.median(times['hospes']) / statistics.median(times['qemu']):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
