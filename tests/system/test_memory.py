# SPDX-License-Identifier: Apache-2.0
"""Memory that is plugged and unplugged while a named machine runs, by a guest that is nothing but a driver for it, and by
Debian, whose kernel has no such driver of its own: HOSPES_TEST_VIRTIO_MEM is the path of its module, built for that kernel."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from guest import own_machines
from test_cli import assert_one_line
from test_cli_run import guests  # noqa: F401
from test_limit import Named
from test_machines import SECONDS, machines, read_until  # noqa: F401

MIB = 1 << 20

# Plugs what is asked for, up to a section of STEP blocks by one request, writes to all of it and reads it back; unplugs
# sections from the top, and of one that is to stay in part single blocks, and looks that what is gone faults. That is
# Linux's way, with a STEP of 64. Says how many blocks there are whenever that has become what is asked for. A second hart
# uses each request's first and last block, for code too, and finds them gone.
DRIVER = r"""
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long u64;
#define REG(offset) (*(volatile u32 *)(slot + (offset)))
#define CONFIG(offset) (*(volatile u64 *)(slot + 0x100 + (offset)))
#define BLOCK (1ul << 21)
struct descriptor { u64 addr; u32 len; u16 flags, next; };
static struct descriptor table[8] __attribute__((aligned(4096)));
static volatile u16 available[16] __attribute__((aligned(64)));
static volatile struct { u16 flags, index; struct { u32 id, len; } ring[8]; } used __attribute__((aligned(64)));
static volatile u64 request[3];
static volatile u16 response[5];
static u64 slot, region;
static u16 asked;
extern volatile u64 faults;
extern u32 load_word(u64 addr); /* an instruction of 4 bytes, which a fault skips */

static void say(const char *text) { for (; *text; text++) *(volatile u8 *)0x10000000 = *text; }
static void say_number(u64 n) { char d[2] = {'0' + n % 10, 0}; if (n > 9) say_number(n / 10); say(d); }

static void end(const char *why) { say(why); say("\n"); *(volatile u32 *)0x100000 = 0x13333; for (;;); }

static unsigned ask(unsigned type, u64 addr, u64 blocks)
{
    request[0] = type; request[1] = addr; request[2] = blocks;
    available[2 + asked % 8] = 0;
    asm volatile("fence" ::: "memory");
    available[1] = ++asked;
    asm volatile("fence" ::: "memory");
    REG(0x50) = 0;
    while (used.index != asked);
    return response[0];
}

static void find(void)
{
    for (slot = 0x10001000; slot < 0x10011000; slot += 0x1000) {
        if (REG(0) != 0x74726976 || REG(8) != 24) continue;
        REG(0x70) = 0; REG(0x70) = 3;
        REG(0x24) = 0; REG(0x20) = 2; REG(0x24) = 1; REG(0x20) = 1;
        REG(0x70) = 11;
        table[0] = (struct descriptor){(u64)request, 24, 1, 1};
        table[1] = (struct descriptor){(u64)response, 10, 2, 0};
        REG(0x30) = 0; REG(0x38) = 8;
        REG(0x80) = (u32)(u64)table; REG(0x90) = (u32)(u64)available; REG(0xa0) = (u32)(u64)&used;
        REG(0x44) = 1;
        REG(0x70) = 15;
        region = CONFIG(16);
        return;
    }
    end("no device");
}

static void must_fault(u64 addr) { u64 before = faults; load_word(addr); if (faults != before + 1) end("no fault"); }

#if HARTS > 1
enum { USE, GONE };
static volatile u64 order, done, kind, block;
extern u64 firmware(u64 a0, u64 a1, u64 a2, u64 a6, u64 a7);
extern void second_begin(void);

void second(void)
{
    for (;;) {
        while (order == done);
        asm volatile("fence" ::: "memory");
        if (kind == GONE) {
            must_fault(block + 8);
            must_fault(block + 4096);
        } else {
            volatile u32 *code = (volatile u32 *)(block + 4096 + 8);
            code[0] = (u32)(order % 2000) << 20 | 10 << 7 | 0x13; /* li a0 */
            code[1] = 0x8067; /* ret */
            asm volatile("fence.i" ::: "memory");
            for (unsigned i = 0; i < 100; i++)
                if (((u64 (*)(void))(u64)code)() != order % 2000) end("other code");
            if (*(volatile u64 *)block != block) end("not what the other hart wrote");
        }
        asm volatile("fence" ::: "memory");
        done = order;
    }
}

static void tell(unsigned what, u64 addr)
{
    kind = what; block = addr;
    asm volatile("fence" ::: "memory");
    order++;
    while (order != done);
    asm volatile("fence" ::: "memory");
}

static void start_second(void) { if (firmware(1, (u64)second_begin, 0, 0, 0x48534d)) end("no second hart"); }
#else
enum { USE, GONE };
static void tell(unsigned what, u64 addr) {}
static void start_second(void) {}
#endif

static void plug(u64 addr, u64 count)
{
    if (ask(0, addr, count)) end("not plugged");
    for (u64 at = addr; at < addr + count * BLOCK; at += 4096) {
        if (*(volatile u64 *)at) end("not empty");
        *(volatile u64 *)at = at;
    }
    for (u64 at = addr; at < addr + count * BLOCK; at += 4096)
        if (*(volatile u64 *)at != at) end("not kept");
    tell(USE, addr);
    tell(USE, addr + (count - 1) * BLOCK);
}

static void unplug(u64 addr, u64 count)
{
    if (ask(1, addr, count)) end("not unplugged");
    for (u64 i = 0; i < count; i++) {
        must_fault(addr + i * BLOCK + 8);
        tell(GONE, addr + i * BLOCK);
    }
    if (ask(3, addr, count) || response[4] != 1) end("another state");
}

void main(void)
{
    u64 blocks = ~0ul, told;
    int lazy = 0;
    find();
    start_second();
    if (CONFIG(40)) end("plugged from the beginning");
    must_fault(region);
    must_fault(region + CONFIG(24) - 4);
    if (CONFIG(48) == 0 && ask(0, region, 1) != 1) end("more than was asked for");
    say("ready\n");
    for (blocks = told = 0;;) {
        u64 wanted = CONFIG(48) / BLOCK;
        if (REG(0x60) & 2) {
            REG(0x64) = 2;
            if (lazy) say("asked\n");
        }
        if (lazy) {
        } else if (blocks < wanted) {
            u64 count = STEP - blocks % STEP;
            if (count > wanted - blocks) count = wanted - blocks;
            plug(region + blocks * BLOCK, count);
            blocks += count;
        } else if (blocks > wanted) {
            u64 count = blocks % STEP || blocks < wanted + STEP ? 1 : STEP;
            blocks -= count;
            unplug(region + blocks * BLOCK, count);
        } else if (told != blocks) {
            say("at "); say_number(told = blocks); say("\n");
        }
        if (!(*(volatile u8 *)0x10000005 & 1)) continue;
        u8 key = *(volatile u8 *)0x10000000;
        if (key == 'l') { lazy = !lazy; say(lazy ? "lazy\n" : "busy\n"); }
        if (key == 'r') {
            register u64 a0 asm("a0") = 1, a1 asm("a1") = 0, a6 asm("a6") = 0, a7 asm("a7") = 0x53525354;
            asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a6), "r"(a7) : "memory");
        }
    }
}
"""

BEGIN = r"""
    .globl _start, load_word, faults
    .option norvc
_start:
    la   sp, stack
    la   t0, trap
    csrw stvec, t0
    la   t0, zero_begin
1:  sd   zero, 0(t0)
    addi t0, t0, 8
    la   t1, zero_end
    bltu t0, t1, 1b
    j    main
    .balign 4
trap:
    csrw sscratch, t0
    addi sp, sp, -16
    sd   t1, 0(sp)
    la   t0, faults
    ld   t1, 0(t0)
    addi t1, t1, 1
    sd   t1, 0(t0)
    csrr t0, sepc
    addi t0, t0, 4
    csrw sepc, t0
    ld   t1, 0(sp)
    addi sp, sp, 16
    csrr t0, sscratch
    sret
load_word:
    lw   a0, 0(a0)
    ret
#if HARTS > 1
    .globl second_begin, firmware
second_begin:
    la   sp, second_stack
    la   t0, trap
    csrw stvec, t0
    j    second
firmware:
    mv   a6, a3
    mv   a7, a4
    ecall
    ret
#endif
    .bss
    .balign 16
    .space 4096
stack:
    .space 4096
second_stack:
faults: .dword 0
"""


def build(machines, step, harts):  # noqa: F811
    compiler = shutil.which("riscv64-linux-gnu-gcc")
    if not compiler:
        pytest.skip("the package gcc-riscv64-linux-gnu is not installed")
    (machines.path / "driver.c").write_text(DRIVER)
    (machines.path / "begin.S").write_text(BEGIN)
    flags = ["-nostdlib", "-static", "-ffreestanding", "-O2", "-mcmodel=medany", "-fno-pic", "-no-pie", "-Wl,-Ttext=0x80200000", "-Wl,--build-id=none"]
    flags += ["-Wl,--defsym=zero_begin=__bss_start", "-Wl,--defsym=zero_end=_end", "-Wl,-N", f"-DSTEP={step}", f"-DHARTS={harts}"]
    subprocess.run([compiler, *flags, "-o", "driver.elf", "begin.S", "driver.c"], cwd=machines.path, check=True)
    return machines


@pytest.fixture
def driver(machines):  # noqa: F811
    return build(machines, 1, 1)


def memory(machines, name="web"):  # noqa: F811
    return machines.info(name)["memory"]


def wait_for(machines, blocks):  # noqa: F811
    """Until so many blocks are plugged, as the host knows it."""
    end = time.monotonic() + SECONDS
    while memory(machines)["plugged"]["size"] != blocks * 2 * MIB:
        assert time.monotonic() < end, memory(machines)
        time.sleep(0.02)
    return memory(machines)


def test_plugged_and_unplugged(driver):
    driver.make("web", "driver.elf", "--net", "none", "--memory-max", "96M")
    console = driver.socket("web", "console")
    read_until(console, b"ready")
    before = memory(driver)
    assert (before["memory"], before["memory_min"], before["memory_max"], before["size"]) == (32 * MIB, 32 * MIB, 96 * MIB, 32 * MIB)
    assert before["plugged"] == {"size": 0, "requested": 0, "driver": True}
    assert before["resident"] < 8 * MIB

    driver.good("set", "web", "--memory", "64M")
    read_until(console, b"at 16")
    now = wait_for(driver, 16)
    assert (now["memory"], now["size"], now["plugged"]["requested"]) == (64 * MIB, 64 * MIB, 32 * MIB)
    assert 32 * MIB <= now["resident"] - before["resident"] < 33 * MIB
    row = json.loads(driver.good("pool", "--json"))["machines"][0]
    assert (row["memory"], row["memory_min"], row["memory_max"]) == (64 * MIB, 64 * MIB, 96 * MIB), "a promise is what it has now"
    assert "plugged    32 MiB of 32 MiB asked for; memory of 96 MiB at the most\n" in driver.good("info", "web")
    assert driver.file("web")["memory"] == 64 * MIB

    driver.good("set", "web", "--memory", "40M")
    read_until(console, b"at 4")
    assert wait_for(driver, 4)["resident"] - before["resident"] < 9 * MIB
    driver.good("set", "web", "--memory", "24M")
    read_until(console, b"at 0")
    now = wait_for(driver, 0)
    assert now["size"] == 24 * MIB, "below what it was started with the balloon is asked"
    assert now["resident"] - before["resident"] < MIB

    assert_one_line(driver.run("set", "web", "--memory", "98M"), 1, "started with 32 MiB of memory and can be given 96 MiB (--memory-max)")
    assert driver.file("web")["memory"] == 24 * MIB
    driver.good("set", "web", "--memory", "96M")
    read_until(console, b"at 32")
    assert driver.info("web")["state"] == "running"
    driver.good("kill", "web")


def test_asked_again(driver):
    """A guest that has not done what it was asked for."""
    driver.make("web", "driver.elf", "--net", "none", "--memory-max", "96M")
    console = driver.socket("web", "console")
    read_until(console, b"ready")
    console.sendall(b"l")
    read_until(console, b"lazy")
    for size in ("64M", "64M", "64M", "40M", "40M"):
        driver.good("set", "web", "--memory", size)
        read_until(console, b"asked")
    console.sendall(b"l")
    read_until(console, b"at 4")
    # Nothing is asked of one that has.
    console.sendall(b"l")
    read_until(console, b"lazy")
    driver.good("set", "web", "--memory", "40M")
    driver.good("set", "web", "--cpu-cap", "50%")
    console.sendall(b"l")
    assert b"asked" not in read_until(console, b"busy")
    driver.good("kill", "web")


def test_a_reboot_unplugs(driver):
    driver.make("web", "driver.elf", "--net", "none", "--memory-max", "96M")
    console = driver.socket("web", "console")
    read_until(console, b"ready")
    driver.good("set", "web", "--memory", "64M")
    read_until(console, b"at 16")
    for _ in range(3):
        console.sendall(b"r")
        # It ends with a word if anything is plugged when it begins, and plugs again what is asked for.
        read_until(console, b"at 16")
        wait_for(driver, 16)
    driver.good("kill", "web")
    # At the next start all of it is there from the beginning.
    driver.good("start", "web")
    read_until(driver.socket("web", "console"), b"ready")
    now = memory(driver)
    assert (now["size"], now["plugged"]["size"], now["plugged"]["requested"]) == (64 * MIB, 0, 0)
    driver.good("kill", "web")


@pytest.mark.parametrize("engine", ["translate", "interpret"])
def test_sections_and_a_second_cpu(machines, engine):  # noqa: F811
    """With the plug and unplug requests that Linux's driver was seen to make, and another CPU that was there before."""
    build(machines, 64, 2)
    arguments = ["--cpus", "2", "--memory", "32M", "--memory-max", "288M", "--net", "none", "--engine", machines.engine or engine]
    machines.good("create", "web", "--kernel", "driver.elf", *arguments)
    machines.good("start", "web")
    console = machines.socket("web", "console")
    read_until(console, b"ready")
    # Sections, then single blocks of the second one, then what it lacks by one request; the rest again by blocks and sections.
    for size, blocks in ((288, 128), (226, 97), (250, 109), (34, 1), (288, 128), (32, 0)):
        machines.good("set", "web", "--memory", f"{size}M")
        read_until(console, f"at {blocks}\n".encode())
        now = wait_for(machines, blocks)
        assert now["size"] == size * MIB
        assert blocks * 2 * MIB <= now["resident"] < (blocks * 2 + 8) * MIB
    assert machines.info("web")["state"] == "running"
    machines.good("kill", "web")


def test_beside_what_else_stops_cpus(driver):
    """A cap holds the CPUs back in between, a pause for as long as it is wanted, and an engine is changed."""
    driver.make("web", "driver.elf", "--net", "none", "--memory-max", "96M", "--cpu-cap", "30%")
    console = driver.socket("web", "console")
    read_until(console, b"ready")
    for _ in range(3):
        driver.good("set", "web", "--memory", "96M")
        read_until(console, b"at 32")
        driver.good("pause", "web")
        driver.good("set", "web", "--memory", "32M")
        time.sleep(0.2)
        assert memory(driver)["plugged"] == {"size": 64 * MIB, "requested": 0, "driver": True}
        driver.good("resume", "web")
        read_until(console, b"at 0")
    control = driver.socket("web", "control").makefile("rw")
    driver.good("set", "web", "--cpu-cap", "none")
    for engine, megabytes in (("interpret", 96), ("translate", 32), ("interpret", 64), ("translate", 96)):
        driver.good("set", "web", "--memory", f"{megabytes}M")
        control.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "machine.engine", "params": {"engine": engine}}) + "\n")
        control.flush()
        answer = json.loads(control.readline())
        if engine == "interpret":
            assert "error" not in answer, answer
        read_until(console, f"at {(megabytes - 32) // 2}".encode())
    driver.good("kill", "web")


def test_more_than_the_pool_has(driver):
    (driver.path / "config" / "hospes").mkdir(parents=True)
    (driver.path / "config" / "hospes" / "pool.json").write_text(json.dumps({"memory": 64 * MIB}))
    driver.home.environment["XDG_CONFIG_HOME"] = str(driver.path / "config")
    driver.make("web", "driver.elf", "--net", "none", "--memory-max", "96M")
    console = driver.socket("web", "console")
    read_until(console, b"ready")
    assert_one_line(driver.run("set", "web", "--memory", "96M"), 1, "96 MiB of memory at the least, and 64 MiB can be promised (")
    assert memory(driver)["plugged"]["requested"] == 0
    # What it need not be promised it can be given.
    driver.good("set", "web", "--memory", "96M", "--memory-min", "32M")
    read_until(console, b"at 32")
    driver.good("set", "web", "--memory", "32M", "--memory-min", "none")
    read_until(console, b"at 0")
    driver.good("kill", "web")


def test_no_driver(machines):  # noqa: F811
    machines.make("web", "echo", "--net", "none", "--memory-max", "64M")
    result = machines.run("set", "web", "--memory", "48M")
    assert result.returncode == 0 and "has no driver for virtio-mem yet" in result.stderr
    assert memory(machines)["plugged"] == {"size": 0, "requested": 16 * MIB, "driver": False}
    assert (memory(machines)["memory"], memory(machines)["size"]) == (48 * MIB, 32 * MIB)
    assert "plugged    0 B of 16 MiB asked for, by no driver yet; memory of 64 MiB at the most\n" in machines.good("info", "web")
    # Without --memory-max there is nothing to plug.
    machines.make("db", "echo", "--net", "none")
    assert "plugged" not in memory(machines, "db") and "plugged" not in machines.good("info", "db")


def test_mistakes(machines):  # noqa: F811
    assert_one_line(machines.run("create", "a", "--kernel", "echo", "--memory", "64M", "--memory-max", "32M"), 2, "32 MiB of memory at the most (--memory-max)")
    assert_one_line(machines.run("create", "a", "--kernel", "echo", "--memory-max", "512"), 2, "did you mean '--memory-max 512M'?")
    for wrong in ("64M,", "64M,ballon", ",balloon", "64M,balloon,balloon"):
        assert_one_line(machines.run("create", "a", "--kernel", "echo", "--memory-max", wrong), 2, f"cannot read '--memory-max {wrong.removesuffix(',balloon')}'")
    machines.create("a", "echo", "--net", "none", "--memory-max", "64M")
    assert "up to 64 MiB while it runs\n" in machines.good("info", "a")
    machines.create("b", "echo", "--net", "none", "--memory-max", "64M,balloon")
    machines.good("start", "b")
    # What the guest does not give back it has.
    assert (memory(machines, "b")["memory"], memory(machines, "b")["size"], memory(machines, "b")["given"]) == (32 * MIB, 32 * MIB, 0)
    assert json.loads(machines.good("info", "--json", "b"))["description"]["memory_balloon"]


# ---- Debian ----


@pytest.fixture
def linux(program, debian):
    module = os.environ.get("HOSPES_TEST_VIRTIO_MEM")
    if not module:
        pytest.skip("Debian's kernel is built without CONFIG_VIRTIO_MEM, and HOSPES_TEST_VIRTIO_MEM names no module for it")
    arguments = ["--memory", "512M", "--memory-max", "1G", "--net", "none"]
    with own_machines(program, debian) as environment, contextlib.closing(Named(program, environment, "plugged", *arguments)) as guest:
        guest.boot()
        guest.hospes("cp", module, "plugged:/root/virtio_mem.ko")
        guest.check("insmod /root/virtio_mem.ko")
        yield guest


def linux_total(guest):
    return int(re.search(r"\d+", guest.check("grep MemTotal: /proc/meminfo")).group()) << 10


def linux_wait(guest, plugged):
    end = time.monotonic() + 60
    while (now := json.loads(guest.hospes("info", "--json", "plugged"))["memory"])["plugged"]["size"] != plugged:
        assert time.monotonic() < end, now
        time.sleep(0.2)
    return now


@pytest.fixture
def ballooned(program, debian):
    arguments = ["--memory", "512M", "--memory-max", "1G,balloon", "--net", "none"]
    with own_machines(program, debian) as environment, contextlib.closing(Named(program, environment, "plugged", *arguments)) as guest:
        guest.boot()
        yield guest


def given(guest, size):
    end = time.monotonic() + 60
    while (now := json.loads(guest.hospes("info", "--json", "plugged"))["memory"])["given"] != size:
        assert time.monotonic() < end, now
        time.sleep(0.2)
    return now


def available(guest):
    return int(re.search(r"\d+", guest.check("grep MemAvailable: /proc/meminfo")).group()) << 10


def test_linux_grows_out_of_its_balloon(ballooned):
    """Debian's own kernel, which has no driver for virtio-mem."""
    now = given(ballooned, 512 * MIB)
    assert (now["memory"], now["size"], now["memory_max"]) == (512 * MIB, 512 * MIB, 1024 * MIB) and "plugged" not in now
    least, before = available(ballooned), now["resident"]
    assert least < 512 * MIB and before < 512 * MIB
    ballooned.set("--memory", "1G")
    given(ballooned, 0)
    assert available(ballooned) == pytest.approx(least + 512 * MIB, abs=64 * MIB)
    ballooned.check("mount -t tmpfs -o size=900M none /mnt && dd if=/dev/zero of=/mnt/big bs=1M count=600 && sync")
    assert given(ballooned, 0)["resident"] - before > 550 * MIB, "more than it was started with"
    ballooned.check("rm /mnt/big")
    ballooned.set("--memory", "512M")
    assert given(ballooned, 512 * MIB)["resident"] < 512 * MIB
    assert available(ballooned) == pytest.approx(least, abs=64 * MIB)
    # After a reboot, too.
    ballooned.set("--memory", "768M")
    given(ballooned, 256 * MIB)
    ballooned.process.sendline("reboot")
    ballooned.expect("login: ")
    given(ballooned, 256 * MIB)


def test_linux_plugs_uses_and_unplugs(linux):
    least = linux_total(linux)
    linux.set("--memory", "1G")
    before = linux_wait(linux, 512 * MIB)["resident"]
    assert linux_total(linux) == pytest.approx(least + 512 * MIB, abs=16 * MIB)
    linux.check("mount -t tmpfs -o size=900M none /mnt && dd if=/dev/zero of=/mnt/big bs=1M count=600 && sync")
    sum_of = linux.check("head -c 1M /dev/urandom > /mnt/small; sha256sum < /mnt/small")
    assert linux_wait(linux, 512 * MIB)["resident"] - before > 550 * MIB, "more than it was started with"
    linux.check("rm /mnt/big")
    linux.set("--memory", "512M")
    linux_wait(linux, 0)
    # Free pages of what it was started with are reported some seconds later.
    end = time.monotonic() + 60
    while linux_wait(linux, 0)["resident"] > before + 64 * MIB:
        assert time.monotonic() < end
        time.sleep(0.5)
    assert linux_total(linux) == pytest.approx(least, abs=16 * MIB)
    assert linux.check("sha256sum < /mnt/small") == sum_of, "what was in what is gone was moved"
