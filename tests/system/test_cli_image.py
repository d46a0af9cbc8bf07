# SPDX-License-Identifier: Apache-2.0
"""The image commands and `hospes run NAME`, with an image whose kernel is a few instructions."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from test_cli import assert_one_line
from test_cli_run import FOREVER, power_off, program_file, say


@pytest.fixture
def images(home, engine_arguments):
    """A store with the image "tiny", which greets and powers off, and "endless"."""
    home.store = home.path / ".local" / "share" / "hospes" / "images"
    for name, words in (("tiny", say("tiny\n") + power_off(0)), ("endless", say("endless\n") + [FOREVER])):
        directory = home.store / name
        directory.mkdir(parents=True)
        (directory / "disk.raw").write_bytes(bytes(2 << 20))
        program_file(directory / "kernel", words)
        (directory / "initrd").write_bytes(b"initrd")
        (directory / "packages").write_text("")
        manifest = {"version": 1, "name": name, "architecture": "riscv64", "release": "test 1", "date": "2026-01-31T12:00:00Z", "append": "console=ttyS0"}
        manifest |= {f"{part}_sha256": "0" * 64 for part in ("packages", "kernel", "initrd")}
        (directory / "manifest.json").write_text(json.dumps(manifest))
    home.arguments = ["run", "--cpus", "1", "--memory", "32M", "--net", "none", *engine_arguments]
    return home


def contents(images):
    """The store without the lock files that stand beside the images."""
    return {name: value for name, value in images.snapshot().items() if name.startswith(".local") and name.count("/") > 4}


def test_ls(images):
    result = images.run("image", "ls")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "endless", "tiny"]
    assert re.search(r"test 1 +riscv64 +2 MiB +\S+ \S+ +2026-01-31T12:00:00Z$", lines[1])
    assert images.run("image", "ls", "--names").stdout == "endless\ntiny\n"


def test_ls_of_nothing(home):
    assert home.run("image", "ls").stdout == "no images; make one with: hospes image build debian\n"
    assert home.run("image", "ls", "--names").stdout == ""
    assert home.snapshot() == {}


def test_run_by_name(images):
    result = images.run(*images.arguments, "tiny")
    assert (result.returncode, result.stdout) == (0, "tiny\n")
    assert result.stderr == "hospes: tiny: 1 CPU, 32 MiB of memory\n"


def test_a_name_wins_over_a_file_of_that_name(images):
    (images.path / "tiny").write_bytes(b"no disk image")
    assert images.run(*images.arguments, "tiny").stdout == "tiny\n"
    assert_one_line(images.run(*images.arguments, "--quiet", "./tiny"), 1, '"./tiny"')


def test_append_is_added(images):
    result = images.run(*images.arguments, "--append", "init=/bin/sh", "--dump-dtb", "tree", "tiny")
    assert result.returncode == 0, result.stderr
    assert b"console=ttyS0 init=/bin/sh\0" in (images.path / "tree").read_bytes()


def test_the_disk_of_the_image_counts(images):
    (images.path / "d.raw").write_bytes(bytes(1 << 20))
    arguments = [word for i in range(5) for word in ("--disk", f"d.raw,readonly,serial={i}")]
    assert_one_line(images.run(*images.arguments, *arguments, "tiny"), 2, "beside the image's own a machine takes 4")


def test_rm(images):
    assert images.run("image", "rm", "tiny").returncode == 0
    assert images.run("image", "ls", "--names").stdout == "endless\n"
    assert_one_line(images.run("image", "rm", "tiny"), 1, 'no image "tiny"')
    assert [p.name for p in images.store.iterdir()] == ["endless"]  # and no lock's file


def test_image_in_use(images):
    process = subprocess.Popen(
        [images.program, *images.arguments, "--quiet", "endless"], env=images.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"endless\n"
        before = contents(images)
        assert_one_line(images.run("image", "rm", "endless"), 1, "/endless/disk.raw")
        assert_one_line(images.run(*images.arguments, "--quiet", "endless"), 1, "disk.raw")
        assert contents(images) == before
        # Told before anything is downloaded, and not when the new image is to take its place.
        (images.store / "endless").rename(images.store / "debian")
        assert_one_line(images.run("image", "build", "--replace", "--mirror", "http://127.0.0.1:9/", "debian"), 1, "/debian/disk.raw")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("part", ["kernel", "disk.raw"])
def test_image_with_a_part_missing(images, part):
    (images.store / "tiny" / part).unlink()
    result = images.run(*images.arguments, "--quiet", "tiny")
    assert_one_line(result, 1, '"tiny"' if "tiny\"" in result.stderr else part)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 99, "name": "tiny"}', "\0\0"])
def test_corrupt_manifest(images, text):
    (images.store / "tiny" / "manifest.json").write_text(text)
    assert_one_line(images.run(*images.arguments, "tiny"), 1, "image build --replace tiny")
    assert images.run("image", "ls", "--names").stdout == "endless\n"


def test_build_of_what_is_there(images):
    (images.store / "tiny").rename(images.store / "debian")
    path = images.store / "debian" / "manifest.json"
    path.write_text(path.read_text().replace('"tiny"', '"debian"'))
    before = contents(images)
    result = images.run("image", "build", "--if-missing", "debian")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert_one_line(images.run("image", "build", "debian"), 1, '"debian" is already there')
    assert_one_line(images.run("image", "build", "debian"), 1, "hospes image build --replace debian")
    assert contents(images) == before


@pytest.mark.parametrize(
    "arguments,words",
    [
        (["debain"], 'did you mean "debian"?'),
        (["plan9"], 'cannot build "plan9"; known is: debian'),
        (["--size", "1M", "debian"], "'--size' takes 1 GiB to"),
        (["--if-missing", "--replace", "debian"], "both '--if-missing' and '--replace'"),
    ],
)
def test_build_usage(home, arguments, words):
    assert_one_line(home.run("image", "build", *arguments), 2, words)
    assert home.snapshot() == {}


def test_build_without_an_archive(home):
    result = home.run("image", "build", "--mirror", "http://127.0.0.1:9/debian", "debian", seconds=120)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("hospes: "), result.stderr
    assert home.run("image", "ls", "--names").stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_build_stopped_by_a_signal(home, number):
    """Nothing half made stays behind, neither on disk nor running, and the shell sees the signal."""
    fake = home.path / "bin" / "apt-get"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nsleep 1000 &\necho $! > "$HOME/sleeper.new"\nmv "$HOME/sleeper.new" "$HOME/sleeper"\nwait\n')
    fake.chmod(0o755)
    sleeper = home.path / "sleeper"
    # Programs from elsewhere than the system's directories are not begun in the jail.
    environment = dict(home.environment, PATH=f"{fake.parent}:{home.environment['PATH']}", HOSPES_JAIL="off")
    command = [str(home.program), "image", "build", "--mirror", "http://127.0.0.1:9/debian", "debian"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # whatever ran the tests may ignore it
    )
    try:
        end = time.monotonic() + 30
        while not sleeper.exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == -number
    store = home.path / ".local" / "share" / "hospes" / "images"
    assert list(store.iterdir()) == []
    state = pathlib.Path(f"/proc/{sleeper.read_text().strip()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


# ---- code profiles ----


def profiled(images, *arguments):
    """What --stats told, by name."""
    result = images.run("run", "--cpus", "1", "--memory", "32M", "--net", "none", "--quiet", "--stats", *arguments)
    if "cannot translate" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr
    return {name: float(value) for name, value in re.findall(r"^hospes: (.+?)  +([\d.]+)$", result.stderr, re.MULTILINE)}


def profiles(images, cache=".cache"):
    return sorted(path.name for path in (images.path / cache / "hospes" / "profiles").glob("*"))


def test_an_image_has_a_code_profile(images):
    assert profiled(images, "--engine", "translate,heat=0", "tiny")["units of profile"] == 0
    (name,) = profiles(images)
    assert re.fullmatch(r"tiny-[0-9a-f]{16}", name)
    warm = profiled(images, "--engine", "translate", "tiny")
    assert warm["units"] == warm["units of profile"] >= 1
    assert profiles(images) == [name]
    assert "units" not in profiled(images, "--engine", "translate", "--code-profile", "none", "tiny")


def test_images_share_no_code_profile(images):
    shutil.copytree(images.store / "tiny", images.store / "other")
    manifest = images.store / "other" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"other"'))
    profiled(images, "--engine", "translate,heat=0", "tiny")
    assert "units" not in profiled(images, "--engine", "translate", "other")
    profiled(images, "--engine", "translate,heat=0", "other")
    assert [name.split("-")[0] for name in profiles(images)] == ["other", "tiny"]
    assert images.run("image", "rm", "tiny").returncode == 0
    assert [name.split("-")[0] for name in profiles(images)] == ["other"]


def test_code_profiles_are_in_the_cache_directory(images):
    images.environment["XDG_CACHE_HOME"] = str(images.path / "elsewhere")
    profiled(images, "--engine", "translate,heat=0", "tiny")
    assert len(profiles(images, "elsewhere")) == 1 and not (images.path / ".cache").exists()
    assert (images.path / "elsewhere" / "hospes" / "profiles").stat().st_mode & 0o7777 == 0o700


def test_no_code_profile_where_nothing_runs(images):
    assert images.run(*images.arguments, "--dump-dtb", "tree", "tiny").returncode == 0
    assert not (images.path / ".cache").exists()


def test_a_cache_that_cannot_be_written_is_told(images):
    (images.path / ".cache").write_text("no directory")
    result = images.run("run", "--cpus", "1", "--memory", "32M", "--net", "none", "--quiet", "--engine", "translate,heat=0", "tiny")
    if "cannot translate" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert (result.returncode, result.stdout) == (0, "tiny\n")
    assert result.stderr and all("code profile" in line for line in result.stderr.splitlines())
