# SPDX-License-Identifier: Apache-2.0
"""The image that the store built: what is on its disk and beside it, seen by other programs."""

import hashlib
import json
import os
import re
import subprocess


def image_directory(home):
    return home.path / ".local/share/hospes/images/debian"


def test_rm_of_an_absent_image_says_what_to_do(home):
    result = home.run("image", "rm", "debian")
    assert result.returncode == 1
    assert "hospes image ls" in result.stderr
    assert not image_directory(home).exists()


def test_unknown_mirror_changes_nothing(home):
    result = home.run("image", "build", "debian", "--mirror", "ftp://mirror.example/debian")
    assert result.returncode == 2
    assert "ftp://mirror.example/debian" in result.stderr
    assert not image_directory(home).exists()


def test_failed_download_names_the_log_and_leaves_no_image(home):
    # Port 9 of this host: nothing answers there, and no name has to be resolved.
    result = home.run("image", "build", "debian", "--mirror", "http://127.0.0.1:9/debian", seconds=120)
    assert result.returncode == 1
    log = re.search(r"log: ([^)]*)\)", result.stderr)
    assert log, result.stderr
    assert os.path.getsize(log.group(1)) > 0
    assert not image_directory(home).exists()
    assert not list(image_directory(home).parent.glob(".debian.new"))


def test_image_that_is_there_is_not_built_again(home):
    directory = image_directory(home)
    directory.mkdir(parents=True)
    digest = hashlib.sha256(b"").hexdigest()
    (directory / "disk.raw").write_bytes(b"")
    (directory / "manifest.json").write_text(
        json.dumps(
            {
                "version": 1,
                "name": "debian",
                "architecture": "riscv64",
                "release": "debian trixie",
                "date": "2026-01-31T12:00:00Z",
                "append": "",
                "packages_sha256": digest,
                "kernel_sha256": digest,
                "initrd_sha256": digest,
            }
        )
    )
    result = home.run("image", "build", "debian")
    assert result.returncode == 1
    assert "already there" in result.stderr
    assert "debian" in home.run("image", "ls").stdout
    result = home.run("image", "rm", "debian")
    assert result.returncode == 0, result.stderr
    assert not directory.exists()


def test_scripts_of_the_recipe_parse():
    recipe = os.path.join(os.path.dirname(__file__), "../../share/image/debian")
    for name in ("first-stage", "configure", "init", "second-stage"):
        result = subprocess.run(["sh", "-n", os.path.join(recipe, name)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
