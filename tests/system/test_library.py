# SPDX-License-Identifier: Apache-2.0
"""Machines of one image share translated code: made by one boot, taken by others, written by none of them."""

import json
import os
import re
import shutil
import stat
import subprocess

import pytest

from guest import Guest, own_machines, skip_sanitized

ENGINE = ["--engine", "translate"]


@pytest.fixture(scope="module")
def image(program, debian, tmp_path_factory):
    """An image of its own, whose disk is the one that there is, translated by this build."""
    home = tmp_path_factory.mktemp("library")
    there = os.path.join(debian["XDG_DATA_HOME"], "hospes", "images", "debian")
    store = home / "data" / "hospes" / "images" / "debian"
    store.mkdir(parents=True)
    for name in os.listdir(there):
        if name not in ("disk.raw", "code"):
            shutil.copy(os.path.join(there, name), store / name)
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", os.path.join(there, "disk.raw"), str(store / "disk.raw")], check=True)
    environment = {**debian, "XDG_DATA_HOME": str(home / "data"), "XDG_CACHE_HOME": str(home / "cache")}
    environment.pop("HOSPES_IMAGE_DIR", None)
    result = subprocess.run([program, "image", "translate", "debian"], env=environment, capture_output=True, text=True, timeout=300, check=False)
    if "has written no code" in result.stderr:
        pytest.skip("this host has no translator")
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"debian: [\d.]+ MiB of translated code for its machines to share\n", result.stdout), result.stdout
    return store, environment


def statistics(program, environment, library="auto"):
    guest = Guest(program, ["--ephemeral", "--stats", "--code-profile", "none", *ENGINE, "--code-library", library, "debian"], environment)
    try:
        guest.boot()
        mapped = open(f"/proc/{guest.process.pid}/maps", encoding="ascii").read()
        assert guest.check("perl -e 'print 6 * 7'") == "42"
        assert guest.power_off() == 0, guest.text
    finally:
        guest.kill()
    return mapped, {name: float(value) for name, value in re.findall(r"hospes: (\D+?) +([\d.]+)\r", guest.text)}


def test_the_file_is_its_owners(image):
    store, _ = image
    status = (store / "code").stat()
    assert stat.S_IMODE(status.st_mode) == 0o600 and status.st_size > 10 << 20
    assert not (store / "code.new").exists()


def test_a_machine_takes_what_another_one_translated(program, image):
    skip_sanitized(program)
    store, environment = image
    mapped, shared = statistics(program, environment)
    _, alone = statistics(program, environment, "none")
    assert shared["units of library"] > 20000 and alone["units of library"] == 0
    # 0.4 of both on a quiet host; more where the guest waits for a busy one, and so executes more.
    assert shared["units"] < alone["units"] * 0.85, (shared, alone)
    assert shared["code bytes"] < alone["code bytes"] * 0.85, (shared, alone)
    # To execute, and never to write.
    lines = [line for line in mapped.splitlines() if line.endswith(str(store / "code"))]
    assert lines and all(line.split()[1] in ("r--s", "r-xs") for line in lines), lines
    assert any(line.split()[1] == "r-xs" for line in lines)


def test_another_build_is_not_taken(program, image, tmp_path):
    store, environment = image
    damaged = bytearray((store / "code").read_bytes())
    damaged[10] ^= 1
    other = tmp_path / "code"
    other.write_bytes(damaged)
    _, n = statistics(program, environment, str(other))
    assert n["units of library"] == 0 and n["units"] > 10000


def test_what_others_may_write_is_told_and_not_taken(program, image, tmp_path):
    store, environment = image
    other = tmp_path / "code"
    shutil.copy(store / "code", other)
    other.chmod(0o666)
    result = subprocess.run([program, "run", "--ephemeral", "--dump-dtb", str(tmp_path / "tree"), "--code-library", str(other), "debian"],
                            env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0 and "code that others could have written; it is not used" in result.stderr, result.stderr


def test_engines_change_with_a_library(program, image):
    """A confined machine maps it again."""
    skip_sanitized(program)
    _, environment = image
    guest = Guest(program, ["--ephemeral", "--code-profile", "none", "--code-library", "auto", *ENGINE, "debian"], environment)
    try:
        guest.boot()
        for engine in ("interpret", "translate"):
            guest.process.send("\x01e")
            guest.expect(f"the engine is {engine} now")
            assert guest.check("perl -e 'print 6 * 7'") == "42"
        assert guest.power_off() == 0, guest.text
    finally:
        guest.kill()


def test_machines_of_an_image_share_it(program, image):
    """Two of them, made, started and asked."""
    skip_sanitized(program)
    _, environment = image
    with own_machines(program, environment) as own:
        def run(*arguments):
            result = subprocess.run([program, *arguments], env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False)
            assert result.returncode == 0, result.stderr
            return result.stdout

        for name in ("one", "two"):
            run("create", "--image", "debian", "--code-library", "auto", "--memory", "512M", name)
            run("start", "--wait", name)
        for name in ("one", "two"):
            code = json.loads(run("info", "--json", name))["code"]
            assert code["library"] > 5 << 20 and code["bytes"] < 40 << 20, code
        for name in ("one", "two"):
            run("stop", name)
