# SPDX-License-Identifier: Apache-2.0
"""What hospes does through the agent of a real guest: readiness, programs, files, CPUs, addresses, file systems held still, the end."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

import pytest

SECONDS = 300
MIB = 1 << 20


class Machine:
    def __init__(self, program, environment, name):
        self.program, self.environment, self.name = str(program), environment, name

    def run(self, *arguments, text="", check=0):
        result = subprocess.run([self.program, *arguments], env=self.environment, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert check is None or result.returncode == check, f"{arguments}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result

    def guest(self, words, check=0, text=""):
        """Of a shell in the guest."""
        return self.run("shell", self.name, "--", "sh", "-c", words, check=check, text=text).stdout.strip()

    def info(self):
        return json.loads(self.run("info", "--json", self.name).stdout)


@pytest.fixture(scope="module")
def web(program, debian, engine_arguments):
    """A machine that `start --wait` says is ready."""
    base = tempfile.mkdtemp(prefix="hospes-test-")
    # On the disk that the image is on: its copy has as many blocks.
    machines = tempfile.mkdtemp(prefix="machines-", dir=debian["XDG_DATA_HOME"])
    web = Machine(program, dict(debian, HOSPES_MACHINE_DIR=machines, HOSPES_RUN_DIR=f"{base}/run"), "web")
    try:
        web.run("create", "web", "--image", "debian", "--cpus", "1", "--cpus-max", "3", "--memory", "512M", *engine_arguments[:2])
        web.run("start", "--wait", "web")
        yield web
    finally:
        web.run("kill", "web", check=None)
        shutil.rmtree(machines)
        shutil.rmtree(base)


def test_shell(web):
    assert web.guest("uname -m; whoami") == "riscv64\nroot"
    assert web.guest("exit 7", check=7) == ""
    assert web.guest("wc -c", text="x" * 100000) == "100000"
    result = web.run("shell", "web", "--", "sh", "-c", "echo out; echo err >&2; kill -9 $$", check=128 + 9)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    result = web.run("shell", "web", "--", "/no/such/program", check=None)
    assert result.returncode and "/no/such/program" in result.stderr


def test_cp(web, tmp_path):
    data = os.urandom(3 * MIB + 5)
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "data").chmod(0o750)
    web.run("cp", str(tmp_path / "data"), "web:/root/")
    assert web.guest("sha256sum < /root/data; stat -c %a /root/data").split() == [hashlib.sha256(data).hexdigest(), "-", "750"]
    web.run("cp", "web:/root/data", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    assert "/root/none" in web.run("cp", "web:/root/none", str(tmp_path / "none"), check=1).stderr
    assert not (tmp_path / "none").exists()


def test_cpus(web):
    """Up and down in the running guest."""
    assert web.guest("nproc") == "1"
    for cpus in (3, 2, 1, 2):
        web.run("set", "web", "--cpus", str(cpus))
        assert web.guest("nproc; grep -c ^processor /proc/cpuinfo") == f"{cpus}\n{cpus}"
        # Each of them works.
        assert web.guest(f"for i in $(seq 0 {cpus - 1}); do taskset -c $i sh -c 'echo $((6 * 7))'; done") == "\n".join(["42"] * cpus)
        assert web.info()["description"]["cpus"] == cpus
    assert "3" in web.run("set", "web", "--cpus", "4", check=1).stderr


def test_addresses(web):
    guest = web.info()["guest"]
    assert guest["system"].startswith("Debian GNU/Linux 13") and guest["host_name"] == web.guest("hostname")
    told = {entry["name"]: entry for entry in guest["interfaces"]}
    for line in web.guest("ip -o address show scope global").splitlines():
        name, address = re.match(r"\d+: (\S+) +inet6? (\S+)", line).groups()
        assert address in told[name]["addresses"]
        assert told[name]["mac"] == web.guest(f"cat /sys/class/net/{name}/address")
    assert "lo" not in told and any("10.0.2.15/24" in entry["addresses"] for entry in told.values())
    text = web.run("info", "web").stdout
    assert re.search(r"^guest +\S+, Debian GNU/Linux 13", text, re.MULTILINE) and re.search(r"^addresses +\w+ 10\.0\.2\.15/24", text, re.MULTILINE)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_freeze(web):
    """Nothing is written to the disk until the guest's file systems are thawed."""
    web.guest("(while sleep 0.1; do date >> /root/dates; sync /root/dates; done) > /dev/null 2>&1 &")
    assert re.fullmatch(r"[1-9]\d* file systems? held still\n", web.run("freeze", "web").stdout)
    try:
        disk = f"{web.environment['HOSPES_MACHINE_DIR']}/web/disk.raw"
        before = digest(disk)
        assert "guest-exec" in web.run("shell", "web", "--", "true", check=1).stderr, "the agent refuses"
        time.sleep(1)
        assert digest(disk) == before
    finally:
        assert re.fullmatch(r"[1-9]\d* file systems? go on\n", web.run("thaw", "web").stdout)
    lines = web.guest("wc -l < /root/dates")
    web.guest("sleep 1; pkill -f dates; true", check=None)
    assert int(web.guest("wc -l < /root/dates")) > int(lines)
    assert web.run("thaw", "web").stdout == "0 file systems go on\n"


def test_the_guest_powers_off(web):
    """The last one: by the agent."""
    web.run("stop", "web")
    info = web.info()
    assert (info["state"], info["end"]) == ("stopped", "power-off") and "guest" not in info
    for verb in ("freeze", "thaw"):
        assert "does not run" in web.run(verb, "web", check=1).stderr
