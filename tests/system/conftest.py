# SPDX-License-Identifier: Apache-2.0
"""What every test of the whole program shares: the program, a clean home, and guests to boot.

HOSPES            the program (default: build/hospes in the repository)
HOSPES_ENGINE     passed as --engine by the boot tests, if set
HOSPES_TEST_LONG  also run what takes minutes

Guests come from the image store in build/test-cache, which `hospes image build` fills once and
every build directory shares.
"""

import fcntl
import hashlib
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "test-cache"
RECIPE = ROOT / "share" / "image" / "debian"
# Making Debian downloads about 150 MB and sets up its packages inside hospes.
IMAGE_SECONDS = 1800


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; run with HOSPES_TEST_LONG=1")


def pytest_collection_modifyitems(items):
    if os.environ.get("HOSPES_TEST_LONG"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; runs with HOSPES_TEST_LONG=1"))


@pytest.fixture(scope="session")
def program():
    path = pathlib.Path(os.environ.get("HOSPES") or ROOT / "build" / "hospes").resolve()
    assert path.exists(), f"{path} is not built; run: make"
    return path


class Home:
    """A directory with nothing in it but what the test puts there, and hospes run inside."""

    def __init__(self, program, path):
        self.program = program
        self.path = path
        self.environment = dict(os.environ, HOME=str(path), LC_ALL="C.UTF-8")
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            self.environment.pop(name, None)

    def run(self, *arguments, seconds=60, **keywords):
        keywords.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            [str(self.program), *arguments], cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False, **keywords
        )

    def snapshot(self):
        """Every file with its size and time, to see that nothing was changed."""
        return {str(p.relative_to(self.path)): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in sorted(self.path.rglob("*"))}


@pytest.fixture
def home(program, tmp_path):
    return Home(program, tmp_path)


@pytest.fixture(scope="session")
def store():
    """The environment of the image store that the boot tests share."""
    (CACHE / "data").mkdir(parents=True, exist_ok=True)
    (CACHE / "cache").mkdir(parents=True, exist_ok=True)
    return dict(os.environ, XDG_DATA_HOME=str(CACHE / "data"), XDG_CACHE_HOME=str(CACHE / "cache"), LC_ALL="C.UTF-8")


def build_debian(program, environment):
    command = [str(program), "image", "build", "--if-missing", "debian"]
    # Of the processes that run tests side by side, the first one makes it.
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=IMAGE_SECONDS, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return environment


@pytest.fixture(scope="session")
def debian(program, store):
    """Makes the Debian image if it is missing; returns the environment in which `hospes run debian` boots it."""
    return build_debian(program, store)


def recipe_is_met(image):
    """Whether an image has all packages that its recipe names."""
    named = [line.split()[0] for line in (RECIPE / "packages").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return (image / "packages").exists() and set(named) <= {line.split()[0] for line in (image / "packages").read_text(encoding="utf-8").splitlines()}


@pytest.fixture(scope="session")
def debian_of_now(program, store):
    """As `debian`, for what needs the image of today's recipe: the shared one is kept for as long as it boots. One that
    lacks a package stays, and another is made beside it, under the recipe's hash."""
    if not recipe_is_met(CACHE / "data" / "hospes" / "images" / "debian"):
        text = b"".join(path.read_bytes() for path in sorted(RECIPE.iterdir()))
        data = CACHE / "recipes" / hashlib.sha256(text).hexdigest()[:16]
        data.mkdir(parents=True, exist_ok=True)
        store = dict(store, XDG_DATA_HOME=str(data))
    return build_debian(program, store)


@pytest.fixture(scope="session")
def engine_arguments(profile_arguments):
    return (["--engine", os.environ["HOSPES_ENGINE"]] if os.environ.get("HOSPES_ENGINE") else []) + profile_arguments
