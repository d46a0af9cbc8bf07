# SPDX-License-Identifier: Apache-2.0
"""Builds what the benchmark runs, once: programs, inputs, disks, root directories.

All of it lies under $XDG_CACHE_HOME/hospes/bench and is made anew when what it is made from has
changed. A thing is made beside its place and moved there when it is whole.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import inputs
import suite

HERE = pathlib.Path(__file__).resolve().parent
COMPILERS = {"native": "gcc", "riscv64": "riscv64-linux-gnu-gcc"}
NATIVE = "x86_64"
RELEASE = "trixie"
PACKAGES = ["base-files", "bzip2", "coreutils", "dash", "diffutils", "findutils", "gcc", "gzip", "libc6-dev"]
PACKAGES += ["openssl", "perl", "python3", "sqlite3", "xz-utils"]
# Nothing that is run reads these, and they are most of the files.
UNUSED = ["./dev/*", "./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./var/cache/*"]
ROOT_FREE = 64 * 1024 * 1024
# mke2fs is where users' PATH often does not lead.
ENVIRONMENT = dict(os.environ, PATH=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", LC_ALL="C")


class Error(Exception):
    """What a person can do something about."""


def call(command, **more):
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=ENVIRONMENT, check=False, **more)
    except FileNotFoundError as error:
        raise Error(f"\"{command[0]}\" is not installed; get it with: scripts/setup bench") from error
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-15:])
        raise Error(f"{command[0]} failed:\n{tail}")
    return result.stdout


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    directory = pathlib.Path(base) / "hospes" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def fresh(path):
    """A place to make `path` at; what an interrupted run has left there goes."""
    new = path.with_name(path.name + ".new")
    if new.is_dir():
        shutil.rmtree(new)
    else:
        new.unlink(missing_ok=True)
    return new


def forget_others(path, stem):
    """Removes what earlier states of the sources were built to."""
    for old in path.parent.glob(f"{stem}-*"):
        if old.name != path.name:
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def compile_program(program, side, directory):
    architecture = NATIVE if side == "native" else side
    sources = [str(HERE / "programs" / f"{name.replace('ARCH', architecture)}.c") for name in program.sources]
    command = [COMPILERS[side], *suite.CFLAGS, *program.flags, f'-DPROGRAM_NAME="{program.name}"', *sources]
    call(command + ["-o", str(directory / program.name), "-lm"])


def programs_key():
    digest = hashlib.sha256(repr((suite.CFLAGS, suite.COMPUTE, suite.OS, suite.HELPERS, COMPILERS)).encode())
    for path in sorted((HERE / "programs").iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for compiler in COMPILERS.values():
        digest.update(call([compiler, "--version"]).encode())
    return digest.hexdigest()[:12]


def programs(say):
    """Directory with native/NAME and riscv64/NAME."""
    path = cache() / f"programs-{programs_key()}"
    if path.is_dir():
        return path
    say("compiling the programs")
    new = fresh(path)
    for side in COMPILERS:
        (new / side).mkdir(parents=True)
        for program in suite.COMPUTE + suite.OS + suite.HELPERS:
            compile_program(program, side, new / side)
    new.rename(path)
    forget_others(path, "programs")
    return path


def input_files(say):
    path = cache() / f"inputs-{hashlib.sha256((HERE / 'inputs.py').read_bytes()).hexdigest()[:12]}"
    if not path.is_dir():
        say("making the inputs")
        new = fresh(path)
        inputs.write(new)
        new.rename(path)
        forget_others(path, "inputs")
    return path


def tree_size(directory):
    """Whole blocks of 4 KiB and an inode each."""
    size = 0
    for base, directories, files in os.walk(directory):
        size += 4608 * len(directories)
        size += sum((os.lstat(os.path.join(base, name)).st_size + 4095) // 4096 * 4096 + 512 for name in files)
    return size


def make_disk(directory, path, label, free):
    size = tree_size(directory) * 21 // 20 + free
    call(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-L", label, "-d", str(directory), str(path), f"{size // 1024}k"])


def collect(directory, side, programs_directory, inputs_directory):
    """What both sides have at /bench: the programs of one architecture, the scripts, the inputs."""
    directory.mkdir()
    for source in (programs_directory / side).iterdir():
        shutil.copy2(source, directory)
    shutil.copytree(HERE / "real", directory / "real")
    shutil.copytree(inputs_directory, directory / "inputs")


def bench_directory(side, say):
    """Directory of the native side, or the disk of the guest."""
    made, data = programs(say), input_files(say)
    scripts = b"".join(path.name.encode() + path.read_bytes() for path in sorted((HERE / "real").iterdir()))
    key = hashlib.sha256(f"{made.name} {data.name} ".encode() + scripts).hexdigest()[:12]
    stem = f"bench-{side}"
    path = cache() / f"{stem}-{key}"
    if path.exists():
        return path
    new = fresh(path)
    collect(new, side, made, data)
    if side != "native":
        say("making the disk of the programs")
        disk = fresh(path.with_name("disk"))
        make_disk(new, disk, "hospes-bench", 4 * 1024 * 1024)
        shutil.rmtree(new)
        new = disk
    new.rename(path)
    forget_others(path, stem)
    return path


def mirror():
    """The Debian archive that this host's apt uses, or None: then mmdebstrap has its own."""
    lines = call(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
    for pattern in (r"^Debian\|Debian\|(http\S+)$", r"^\|\|(http\S+/debian/?)$"):
        found = re.search(pattern, lines, re.MULTILINE)
        if found:
            return found.group(1)
    return None


def make_root(architecture, path, say):
    """A root directory of the release as its packages have it. None of their scripts is run: that
    would need an emulator, and no program measured misses it."""
    archive = fresh(path.with_suffix(".tar"))
    say(f"getting Debian {RELEASE} for {architecture}")
    command = ["mmdebstrap", "--variant=extract", "--format=tar", f"--architectures={architecture}", f"--include={','.join(PACKAGES)}", RELEASE, str(archive)]
    source = mirror()
    call(command + ([source] if source else []))
    new = fresh(path)
    new.mkdir()
    call(["tar", "-x", "-f", str(archive), "-C", str(new), *(f"--exclude={pattern}" for pattern in UNUSED)])
    archive.unlink()
    for name in ("bench", "dev", "proc", "tmp"):
        (new / name).mkdir(exist_ok=True)
    return new


def roots(say):
    """Root directory of the native side and disk of the guest. Both or none: the same day's packages."""
    key = hashlib.sha256(repr((RELEASE, PACKAGES, UNUSED, ROOT_FREE)).encode()).hexdigest()[:12]
    native, guest = cache() / f"root-amd64-{key}", cache() / f"root-riscv64-{key}"
    if native.is_dir() and guest.is_file():
        return native, guest
    tree = make_root("riscv64", guest, say)
    say("making the disk of Debian's programs")
    disk = fresh(guest.with_name("root-disk"))
    make_disk(tree, disk, "hospes-root", ROOT_FREE)
    shutil.rmtree(tree)
    tree = make_root("amd64", native, say)
    if native.is_dir():
        shutil.rmtree(native)
    tree.rename(native)
    disk.rename(guest)
    forget_others(native, "root-amd64")
    forget_others(guest, "root-riscv64")
    return native, guest


def cpio_entry(name, mode, data=b"", device=(0, 0)):
    """Linux Documentation/driver-api/early-userspace/buffer-format.rst: "newc"."""
    raw = name.encode() + b"\0"
    fields = (1, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
    out = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
    out += bytes(-len(out) % 4) + data
    return out + bytes(-len(out) % 4)


def init_archive(say, with_programs):
    """Initial RAM disk with our own init, and the programs where Debian would have them mounted."""
    made = programs(say)
    path = made / ("initrd-programs" if with_programs else "initrd")
    if not path.exists():
        out = [cpio_entry(name, 0o40755) for name in ("dev", "proc", "bench", "bench/programs")]
        out.append(cpio_entry("dev/console", 0o20600, device=(5, 1)))
        out.append(cpio_entry("init", 0o100755, (made / "riscv64" / "init").read_bytes()))
        for program in sorted((made / "riscv64").iterdir()) if with_programs else []:
            out.append(cpio_entry(f"bench/programs/{program.name}", 0o100755, program.read_bytes()))
        out.append(cpio_entry("TRAILER!!!", 0))
        new = fresh(path)
        new.write_bytes(b"".join(out))
        new.rename(path)
    return path
