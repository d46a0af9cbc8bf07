# SPDX-License-Identifier: Apache-2.0
"""A machine that is booted under one of the engines, and the shell on its console."""

import os
import subprocess
import time

import pexpect

PROMPT = r"root@debian:[^\r\n]*# $"
BOOT_SECONDS = 240


class Failed(Exception):
    """A guest or a program in it did not do what it should."""


class Gone(Failed):
    """Nothing more can be done in this machine."""


def has_engine(hospes, name, kernel):
    """Whether this hospes can run it here. The machine is made and not started."""
    line = [str(hospes), "run", "--engine", name, "--kernel", str(kernel), "--dump-dtb", os.devnull]
    return subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def command(engine, hospes, memory, kernel, initrd, append, disks):
    """`engine` is "qemu" or what `hospes run --engine` takes. Disks in the order that the guest counts them. Nothing is written to any of them."""
    if engine == "qemu":
        line = ["qemu-system-riscv64", "-M", "virt", "-accel", "tcg", "-nographic", "-snapshot", "-smp", "1", "-m", memory]
        line += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", append]
        for number, disk in enumerate(disks):
            line += ["-drive", f"file={disk},format=raw,if=none,id=disk{number}", "-device", f"virtio-blk-device,drive=disk{number}"]
        return line + ["-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net", "-device", "virtio-rng-device"]
    line = [str(hospes), "run", "--quiet", "--ephemeral", "--cpus", "1", "--memory", memory, "--engine", engine]
    line += ["--kernel", str(kernel), "--initrd", str(initrd), "--append", append]
    for disk in disks:
        line += ["--disk", str(disk)]
    return line


class Machine:
    def __init__(self, line):
        self.began = time.monotonic()
        self.process = pexpect.spawn(line[0], line[1:], encoding="utf-8", codec_errors="replace", timeout=BOOT_SECONDS, echo=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """The plug is pulled: nothing in the machine is worth the time of a shutdown."""
        if self.process.isalive():
            self.process.sendcontrol("a")
            self.process.send("x")
            try:
                self.process.expect(pexpect.EOF, timeout=15)
            except pexpect.TIMEOUT:
                pass
        self.process.close(force=True)

    def tail(self):
        lines = [line for line in (self.process.before or "").replace("\r", "").split("\n") if line.strip()]
        return "\n".join(lines[-8:])

    def expect(self, pattern, seconds, what):
        try:
            self.process.expect(pattern, timeout=seconds)
        except pexpect.TIMEOUT:
            raise Failed(f"{what}: nothing after {seconds:.0f} s; the console's end is:\n{self.tail()}") from None
        except pexpect.EOF:
            raise Failed(f"{what}: the machine has ended:\n{self.tail()}") from None

    def seconds_to(self, pattern, what):
        """Since power-on."""
        self.expect(pattern, BOOT_SECONDS, what)
        return time.monotonic() - self.began

    def open_shell(self):
        """A shell that shows neither prompt nor what it is sent, when the boot has come to rest."""
        self.expect(PROMPT, BOOT_SECONDS, "boot")
        self.process.sendline("exec env PS1= PS2= sh")
        self.process.sendline("stty -echo; dmesg -n 1; echo open-$((40 + 2))")
        self.expect(r"open-42\s", 60, "shell")
        self.run("systemctl is-system-running --wait > /dev/null", 120, check=False)

    def run(self, words, seconds, check=True):
        """What the command prints."""
        self.process.sendline(f"{words}; echo \"status-is $?\"")
        self.expect(r"status-is (\d+)\s", seconds, words)
        text = self.process.before.replace("\r", "")
        if check and self.process.match.group(1) != "0":
            raise Failed(f"{words}: status {self.process.match.group(1)}\n{text.strip()}")
        return text

    def interrupt(self):
        """After a command that took too long; fails when the machine does not answer."""
        try:
            self.process.sendintr()
            self.process.sendline("echo open-$((40 + 2))")
        except OSError as error:
            raise Failed("the machine has ended") from error
        self.expect(r"open-42\s", 60, "interrupted shell")
