# SPDX-License-Identifier: Apache-2.0
"""scripts/setup with programs in the place of apt, dpkg and sudo: nothing is installed."""

import os
import subprocess

import pytest

from conftest import ROOT

# What sudo does by default ("closefrom" of sudoers(5)): no descriptor above 2 is passed on.
SUDO = """#!/bin/sh
[ "$1" = -n ] && exit 0
exec "$@" 3>&- 4>&- 5>&-
"""
APT = """#!/bin/sh
echo "apt-get $*" >> "$FAKES/calls"
case "$*" in *Status-Fd=3*) echo 'pmstatus:gcc:40.0:Unpacking gcc' >&3 || exit 9 ;; esac
echo 'Setting up gcc'
echo 'W: a warning' >&2
exit "${APT_STATUS:-0}"
"""


@pytest.fixture
def setup(tmp_path):
    """Runs it as a user without rights on a host where every package is missing."""
    for name, text in (("sudo", SUDO), ("apt-get", APT), ("dpkg-query", "#!/bin/sh\n"), ("id", "#!/bin/sh\necho 1000\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(**more):
        environment = dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}", FAKES=str(tmp_path), TMPDIR=str(tmp_path), **more)
        return subprocess.run(
            [str(ROOT / "scripts" / "setup"), "build"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )

    run.directory = tmp_path
    return run


def test_progress_arrives_through_sudo(setup):
    result = setup()
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert any(line.startswith("installing: gcc - ") for line in lines)
    assert lines[-1] == "installing: 40 %"
    assert not list(setup.directory.glob("tmp.*"))


def test_failure_shows_what_apt_said(setup):
    result = setup(APT_STATUS="100")
    assert result.returncode == 1
    assert "Setting up gcc" in result.stderr and "W: a warning" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("setup: could not install: gcc ")
    calls = (setup.directory / "calls").read_text().splitlines()
    assert [next(word for word in ("install", "update") if word in call.split()) for call in calls] == ["install", "update", "install"]
    assert not list(setup.directory.glob("tmp.*"))
