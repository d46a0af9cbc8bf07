# SPDX-License-Identifier: Apache-2.0
"""Debian on four CPUs under ThreadSanitizer: no data race of hospes's own."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import CACHE, ROOT
from guest import Guest


@pytest.fixture(scope="module")
def thread_sanitized():
    build = CACHE / "thread-sanitizer"
    if not (build / "build.ninja").exists():
        shutil.rmtree(build, ignore_errors=True)
        options = ["-Db_sanitize=thread", "-Db_lundef=false"]
        subprocess.run(["meson", "setup", *options, str(build), str(ROOT)], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    result = subprocess.run(["ninja", "-C", str(build), "hospes"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:]
    return build / "hospes"


def test_smp_boot_has_no_race(thread_sanitized, debian, tmp_path):
    environment = dict(debian, TSAN_OPTIONS=f"log_path={tmp_path}/race")
    guest = Guest(thread_sanitized, ["--ephemeral", "--cpus", "4", "--memory", "1G", "debian"], environment)
    try:
        guest.boot()
        assert guest.check("nproc") == "4"
        # Work for all of them at once: processes, pipes, the disk.
        output = guest.check("for i in 1 2 3 4; do (cat /bin/* 2>/dev/null | head -c 2000000 | sha256sum) & done; wait", seconds=300)
        assert len(set(re.findall(r"[0-9a-f]{64}", output))) == 1
        assert guest.power_off() == 0
    finally:
        guest.kill()
    reports = [open(tmp_path / name, encoding="utf-8").read() for name in os.listdir(tmp_path) if name.startswith("race")]
    assert not reports, reports[0][:4000]
