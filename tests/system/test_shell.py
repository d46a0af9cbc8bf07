# SPDX-License-Identifier: Apache-2.0
"""Into a guest: a shell with a terminal by ssh, programs by the agent, ports by `hospes vsock`."""

import os
import re
import shutil
import stat
import subprocess
import time

import pexpect
import pytest

from guest import PROMPT
from test_cli import assert_one_line
from test_cli_run import guests  # noqa: F401
from test_machines import machines  # noqa: F401

SECONDS = 120

ECHO = r"""
cd /etc/systemd/system
printf '[Socket]\nListenStream=vsock::1234\nAccept=yes\n' > echo.socket
printf '[Service]\nStandardInput=socket\nExecStart=/bin/cat\n' > echo@.service
systemctl start echo.socket
"""


def spawn(machines, *arguments, dimensions=(40, 100)):  # noqa: F811
    return pexpect.spawn(
        str(machines.home.program), ["shell", *arguments], env=dict(machines.home.environment, TERM="xterm-256color"), encoding="utf-8", timeout=SECONDS, dimensions=dimensions
    )


def ask(terminal, line, pattern):
    """What follows the shell's echo of the line; the quotes keep that apart."""
    terminal.sendline(f"echo be''gin; {line}")
    terminal.expect("begin\r\n")
    terminal.expect(pattern)
    answer = terminal.match.group(0)
    terminal.expect(PROMPT)
    return answer


# ---- without a guest that listens ----


def test_vsock_of_nobody(machines):  # noqa: F811
    machines.create("web", "echo")
    assert_one_line(machines.run("vsock", "web", "22"), 1, 'machine "web" does not run')
    assert_one_line(machines.run("vsock", "db", "22"), 1, 'no machine "db"')
    assert_one_line(machines.run("vsock", "web"), 2, "give a machine and a port")
    assert_one_line(machines.run("vsock", "web", "1", "2"), 2, 'unexpected argument "2"')
    for port in ("", "x", "-1", " 1", "1x", "4294967295", "99999999999999999999"):
        assert_one_line(machines.run("vsock", "--", "web", port), 2, f'"{port}" is no port')
    machines.good("start", "web")
    assert_one_line(machines.run("vsock", "web", "22"), 1, "nobody listens at port 22 of the guest")


def test_shell_of_a_guest_without_anything(machines):  # noqa: F811
    machines.create("web", "echo")
    assert_one_line(machines.run("shell", "-t", "web"), 1, 'machine "web" does not run')
    assert not (machines.directory / "web" / "ssh").exists()
    machines.good("start", "web")
    assert_one_line(machines.run("shell", "web"), 2, "no program named")
    assert_one_line(machines.run("shell", "--user", "-x", "web"), 2, '"-x" cannot be the name of a user')
    assert_one_line(machines.run("shell", "-t", "web"), 1, 'cannot get into "web" by ssh; use: hospes console web: the guest\'s agent does not answer')
    assert_one_line(machines.run("ssh-config", "web"), 1, "the guest's agent does not answer")


# ---- Debian ----


@pytest.fixture
def web(machines, debian_of_now):  # noqa: F811
    """A Debian that runs, and its agent answers."""
    for tool in ("ssh", "ssh-keygen"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    machines.home.environment.update(XDG_DATA_HOME=debian_of_now["XDG_DATA_HOME"], XDG_CACHE_HOME=debian_of_now["XDG_CACHE_HOME"])
    engine = ["--engine", machines.engine] if machines.engine else []
    machines.good("create", "web", "--image", "debian", "--memory", "512M", "--net", "user", "--net", "lab", *engine, seconds=300)
    machines.good("start", "--wait", "web", seconds=300)
    return machines


def check_terminal(web):
    terminal = spawn(web, "web")
    terminal.expect(PROMPT)
    assert ask(terminal, "tty", r"/dev/\S+").startswith("/dev/pts/")
    assert ask(terminal, "stty size", r"\d+ \d+") == "40 100"
    terminal.setwinsize(50, 120)
    # The change is a message of its own, which no prompt waits for.
    assert ask(terminal, "until [ \"$(stty size)\" = '50 120' ]; do sleep 0.1; done; stty size", r"\d+ \d+") == "50 120"
    assert ask(terminal, "echo $TERM", r"xterm\S*") == "xterm-256color"
    assert ask(terminal, "shopt -q login_shell && echo login; pwd", r"login\r\n/root")
    assert ask(terminal, "echo ${SSH_AUTH_SOCK:-no agent}", "no agent")
    terminal.sendline("(echo st''arted; exec sleep 1000); echo it en''ded")
    terminal.expect("started")
    interrupt(terminal)
    assert "it ended" not in terminal.before
    # Ctrl-Z, and the job goes on in the background.
    terminal.sendline("(echo st''arted; exec sleep 1000)")
    terminal.expect("started")
    terminal.send("\x1a")
    terminal.expect("Stopped")
    terminal.expect(PROMPT)
    assert ask(terminal, "bg; kill %1; wait %1; echo st=$?", r"st=\d+") == "st=143"
    terminal.sendline("exit 7")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 7


def check_programs(web):
    """Words come out as they went in, whichever way, and so does the status."""
    words = ["a b", "c'd", '"$HOME"', "%s;*", "-x"]
    wanted = "".join(f"<{word}>" for word in words)
    for option in ([], ["--user", "root"]):
        assert web.good("shell", *option, "web", "--", "printf", "<%s>", *words) == wanted
        assert web.run("shell", *option, "web", "sh", "-c", "exit 5").returncode == 5
    assert re.fullmatch(r"/dev/pts/\d+\n", web.good("shell", "-t", "web", "--", "tty"))
    assert web.run("shell", "web", "--", "tty").stdout == "not a tty\n"
    terminal = spawn(web, "--tty", "web", "--", "sh", "-c", "stty size; kill -TERM $$")
    terminal.expect("40 100")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 143
    terminal = spawn(web, "--tty", "web", "sh", "-c", "echo started; exec sleep 1000")
    terminal.expect("started")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    web.good("shell", "web", "--", "useradd", "--create-home", "alice")
    assert web.good("shell", "--user", "alice", "web", "--", "sh", "-c", "id -un; stat -c %U:%a .ssh/authorized_keys") == "alice\nalice:600\n"
    # It is put there once.
    assert web.good("shell", "web", "--", "wc", "-l", "/root/.ssh/authorized_keys").split()[0] == "1"
    assert_one_line(web.run("shell", "--user", "bob", "web", "--", "true"), 1, 'the guest has no user "bob"')


def check_what_is_kept(web):
    own = web.directory / "web" / "ssh"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700 and stat.S_IMODE((own / "key").stat().st_mode) == 0o600
    assert not (web.path / ".ssh").exists()
    hosts = (own / "known_hosts").read_text(encoding="utf-8").splitlines()
    assert hosts and all(re.fullmatch(r"hospes-web ssh-\S+ [A-Za-z0-9+/=]+", line) for line in hosts)


def check_counters(web):
    """Whatever an interface is connected to, and of disks what the guest did to them."""
    web.good("shell", "web", "--", "sh", "-c", "ping -c 3 -i 0.2 10.0.2.2; dd if=/dev/urandom of=/root/file bs=1M count=4 conv=fsync status=none")
    before = web.info("web")
    for network in before["networks"]:
        assert 0 < 14 * network["frames_out"] <= network["bytes_out"]
    user, lab = before["networks"]
    assert user["frames_in"] >= 4 and user["bytes_in"] >= 3 * 98 and user["frames_out"] >= 4
    # What it asks the network is answered by its own machine: DHCP at the least.
    assert lab["frames_in"] >= 1 and lab["lost_in"] == 0
    (disk,) = before["disks"]
    assert disk["reads"] > 100 and disk["read_bytes"] >= 512 * disk["reads"] and disk["failed"] == 0
    assert disk["written_bytes"] >= 4 << 20 and disk["flushes"] > 0
    text = web.good("info", "web")
    assert re.search(r"^disks +/.*/disk.raw\n +\S+ MiB in \d+ reads, \S+ MiB in \d+ writes$", text, re.MULTILINE), text
    assert re.search(r"^networks +user: in \S+ [KM]iB, \d+ frames \(0 lost\); out \S+ [KM]iB, \d+ frames \(\d+ lost\)\n +lab: in ", text, re.MULTILINE), text
    web.good("shell", "web", "--", "sh", "-c", "ping -c 3 -i 0.2 10.0.2.2")
    after = web.info("web")["networks"]
    assert after[0]["frames_out"] >= user["frames_out"] + 3 and after[0]["bytes_in"] >= user["bytes_in"] + 3 * 98


def check_ports(web):
    web.good("shell", "web", "--", "sh", "-c", ECHO)
    data = os.urandom(1 << 20)
    result = subprocess.run([str(web.home.program), "vsock", "web", "1234"], env=web.home.environment, input=data, capture_output=True, timeout=SECONDS, check=False)
    assert (result.returncode, result.stderr) == (0, b"") and result.stdout == data
    assert_one_line(web.run("vsock", "web", "4321"), 1, "nobody listens at port 4321 of the guest")
    # Whoever reads no more is no failure of the guest's.
    assert subprocess.run(f"yes | '{web.home.program}' vsock web 1234 | head -c 100000 | wc -c", shell=True, env=web.home.environment, capture_output=True, timeout=SECONDS, check=False).stdout.strip() == b"100000"


def check_config(web):
    """What is printed is enough for another ssh, over a restart of the guest; and a guest with other keys is not let in."""
    config = web.path / "config"
    config.write_text(web.good("ssh-config", "web"), encoding="utf-8")
    other = {name: value for name, value in web.home.environment.items() if not name.startswith("HOSPES_")}

    def ssh(*words):
        return subprocess.run(["ssh", "-F", str(config), "hospes-web", *words], env=other, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)

    assert ssh("echo $HOME").stdout == "/root\n"
    # The agent that ran it may be another one, which knows of nothing, before it is asked how that went.
    web.good("shell", "web", "--", "systemd-run", "--quiet", "sh", "-c", "sleep 3; systemctl reboot")
    end = time.monotonic() + 600
    while "rebooted" not in [event["event"] for event in web.events("web")]:
        assert time.monotonic() < end
        time.sleep(0.1)
    while (result := ssh("hostname")).stdout != "web\n":
        assert time.monotonic() < end, result
        time.sleep(0.5)
    web.good("shell", "web", "--", "sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key")
    result = ssh("true")
    assert result.returncode == 255 and "verification failed" in result.stderr, result
    assert web.good("shell", "--user", "root", "web", "--", "echo", "in") == "in\n", "the agent tells the new ones"
    assert ssh("echo in").stdout == "in\n"


def check_without_ssh(web):
    web.good("shell", "web", "--", "mv", "/usr/sbin/sshd", "/usr/sbin/sshd.away")
    result = web.run("shell", "-t", "web", "--", "echo", "here")
    assert (result.returncode, result.stdout) == (0, "here\n")
    assert result.stderr == "hospes: no terminal, the agent runs it: the guest has no ssh; install it there (apt install openssh-server)\n"
    assert_one_line(web.run("shell", "-t", "web"), 1, 'cannot get into "web" by ssh; use: hospes console web: the guest has no ssh')


def interrupt(terminal):
    """Ctrl-C, until the prompt is back. A shell between its fork and its exec may take the first one for itself."""
    for _ in range(5):
        terminal.sendintr()
        if terminal.expect([PROMPT, pexpect.TIMEOUT], timeout=20) == 0:
            return
    raise AssertionError(f"Ctrl-C does nothing: {terminal.before}")


def test_debian(web):
    check_terminal(web)
    check_programs(web)
    check_what_is_kept(web)
    check_counters(web)
    check_ports(web)
    check_config(web)
    check_without_ssh(web)
