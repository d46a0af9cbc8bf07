# SPDX-License-Identifier: Apache-2.0
"""The command line: mistakes, help, and that the man pages and the completion tell what the table tells."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = ["run", "create", "start", "stop", "restart", "kill", "pause", "resume", "freeze", "thaw", "set", "delete", "ls", "info", "console", "shell", "cp", "vsock", "ssh-config", "logs", "events"]
COMMANDS += ["pool", "balance", "top", "image build", "image ls", "image rm", "image translate", "net ls", "net capture", "doctor", "help"]
# Those whose only operand is a named machine.
OF_A_MACHINE = ["start", "stop", "restart", "kill", "pause", "resume", "freeze", "thaw", "delete", "info", "console", "logs"]

# Arguments, and what the one line of the error says. Status 2: the request can never be right.
USAGE = [
    ([], "no command given; see: hospes help"),
    (["frob"], "unknown command 'frob'; see: hospes help"),
    (["rum", "debian"], "unknown command 'rum'; did you mean 'run'?"),
    (["imgae", "ls"], "unknown command 'imgae'; did you mean 'image'?"),
    (["doktor"], "unknown command 'doktor'; did you mean 'doctor'?"),
    (["--cpus", "2", "run"], "unknown option '--cpus' before the command; see: hospes help"),
    (["image"], "'image' needs to know what to do; see: hospes image --help"),
    (["image", "biuld", "debian"], "unknown command 'image biuld'; did you mean 'image build'?"),
    (["image", "frob"], "unknown command 'image frob'; see: hospes image --help"),
    (["image", "build"], "hospes image build debian"),
    (["image", "build", "a", "b"], "unexpected argument"),
    (["image", "rm"], "hospes image ls"),
    (["image", "ls", "extra"], "unexpected argument \"extra\""),
    (["image", "ls", "--nmaes"], "did you mean '--names'?"),
    (["net"], "'net' needs to know what to do; see: hospes net --help"),
    (["net", "ls", "extra"], "unexpected argument \"extra\""),
    (["net", "ls", "--jsno"], "did you mean '--json'?"),
    (["net", "capture"], "no network named; see: hospes net ls"),
    (["net", "capture", "user"], "\"user\" cannot be the name of a network"),
    (["net", "capture", "lab", "a.pcap", "b.pcap"], "unexpected argument \"b.pcap\""),
    (["pool", "plan"], "hospes pool plan web"),
    (["pool", "plan", "Web"], "cannot be the name of a machine"),
    (["pool", "plan", "web", "db"], "unexpected argument \"db\""),
    (["pool", "plans"], "unexpected argument \"plans\""),
    (["pool", "--memory", "4G"], "these options go with: hospes pool plan NAME"),
    (["pool", "plan", "web", "--cpus", "1", "--cpus-min", "2"], "it is promised 2 CPUs (--cpus-min) of its 1"),
    (["pool", "plan", "web", "--memory", "1G", "--memory-min", "2G"], "it is promised 2 GiB (--memory-min) of its 1 GiB of memory"),
    (["doctor", "extra"], "unexpected argument \"extra\""),
    (["doctor", "--jsno"], "unknown option '--jsno'; did you mean '--json'?"),
    (["help", "rum"], "unknown command 'rum'; did you mean 'run'?"),
    (["help", "run", "debian"], "unexpected argument \"debian\""),
    (["run"], "nothing to boot; give an image, --kernel FILE or --bios FILE"),
    (["run", "--cpu", "4", "debian"], "unknown option '--cpu'; did you mean '--cpus'?"),
    (["run", "--mem=1G", "debian"], "unknown option '--mem'; did you mean '--memory'?"),
    (["run", "--readonly", "debian"], "unknown option '--readonly'; see: hospes run --help"),
    (["run", "-x", "debian"], "unknown option '-x'; see: hospes run --help"),
    (["run", "debian", "--cpus"], "option '--cpus' needs a value: --cpus N"),
    (["run", "--cpus", "--memory", "1G", "debian"], "option '--cpus' needs a value: --cpus N"),
    (["run", "--cpus", "0", "debian"], "'--cpus' takes a number from 1 to 64, not \"0\""),
    (["run", "--cpus", "65", "debian"], "'--cpus' takes a number from 1 to 64, not \"65\""),
    (["run", "--cpus", "two", "debian"], "'--cpus' takes a number from 1 to 64, not \"two\""),
    (["run", "--cpus", "-1", "debian"], "'--cpus' takes a number from 1 to 64, not \"-1\""),
    (["run", "--cpus", "1", "--cpus", "2", "debian"], "option '--cpus' was given twice; give it once"),
    (["run", "--ephemeral=yes", "debian"], "option '--ephemeral' takes no value; leave out '=yes'"),
    (["run", "--memory", "1024", "debian"], "did you mean '--memory 1024M'?"),
    (["run", "--memory", "much", "debian"], "cannot read '--memory much'"),
    (["run", "--memory", "1.5G", "debian"], "cannot read '--memory 1.5G'"),
    (["run", "--memory", "999999999T", "debian"], "more than any machine has"),
    (["run", "--memory", "2M", "--kernel", "k"], "2 MiB of memory are too little; a machine takes 16 MiB or more"),
    (["run", "--memory", "1025K", "--kernel", "k"], "too little"),
    (["run", "--memory", "33M", "--kernel", "k"], "round it up to 34M"),
    (["run", "--memory", "2T", "--kernel", "k"], "too much; a machine takes 1 TiB or less"),
    (["run", "--disk-iops", "many", "debian"], "'--disk-iops' takes a number of requests a second up to 1000000000, or none, not \"many\""),
    (["run", "--disk-iops", "1000000001", "debian"], "not \"1000000001\""),
    (["run", "--disk-rate", "20", "debian"], "'--disk-rate 20' is in bytes a second; did you mean '--disk-rate 20M'?"),
    (["run", "--net-rate", "fast", "debian"], "cannot read '--net-rate fast'; use bytes a second with a unit, as in 20M, or none"),
    (["run", "--net-rate", "9999T", "debian"], "'--net-rate 9999T' is more than a limit can be; use 1024 TiB or less, or none"),
    (["set"], "no machine named; see: hospes ls"),
    (["set", "web", "db"], "unexpected argument \"db\"; name one machine"),
    (["set", "Web", "--net-rate", "1M"], "\"Web\" cannot be the name of a machine"),
    (["set", "--net-rates", "1M", "web"], "unknown option '--net-rates'; did you mean '--net-rate'?"),
    (["set", "web", "--disk-rate"], "option '--disk-rate' needs a value: --disk-rate SIZE"),
    (["set", "web", "--disk-rate", "-1"], "cannot read '--disk-rate -1'"),
    (["run", "--net", "Lab", "debian"], "\"Lab\" cannot be the name of a network; use --net user, none, tap=NAME or a name of a-z 0-9 -"),
    (["run", "--net", "tap", "debian"], "\"tap\" cannot be the name of a network"),
    (["run", *["--net", "lab"] * 5, "debian"], "too many networks at '--net lab'; a machine takes 4"),
    (["run", "--net", "user", "--net", "user", "--kernel", "k"], "the user network is given twice"),
    (["run", "--net", "none", "--net", "lab", "--kernel", "k"], "'--net none' goes with no other network"),
    (["run", "--net", "lab", "-p", "2222:22", "--kernel", "k"], "port forwards work in the user network only"),
    (["run", "--net", "tap=", "debian"], "use --net tap=NAME"),
    (["run", "--net", "tap=much-too-long-a-name", "debian"], "at most 15 letters"),
    (["run", "--console", "hvc0", "debian"], "unknown console \"hvc0\"; use --console serial or virtio"),
    (["run", "-p", "22", "debian"], "cannot read '-p 22'"),
    (["run", "-p", "2222:22:22", "debian"], "cannot read '-p 2222:22:22'"),
    (["run", "-p", "0:22", "debian"], "ports from 1 to 65535"),
    (["run", "-p", "2222:70000", "debian"], "ports from 1 to 65535"),
    (["run", "-p", "2222:22/sctp", "debian"], "cannot read '-p 2222:22/sctp'"),
    (["run", "-p", "2222:22", "-p", "2222:23", "--kernel", "k"], "host port 2222 is forwarded twice"),
    (["run", "--net", "none", "-p", "2222:22", "--kernel", "k"], "port forwards work in the user network only"),
    (["run", "--vsock", "", "debian"], "'--vsock ' names no file"),
    (["run", "--vsock", "v,cid=x", "debian"], "use a number for cid"),
    (["run", "--vsock", "v,cid=2", "--kernel", "k"], "2 cannot be the context identifier of a guest; use one from 3 to 4294967294"),
    (["run", "--vsock", "v" * 97, "--kernel", "k"], "is too long for sockets; use one of 96 letters or less"),
    (["run", "--disk", "d.raw,rw", "debian"], "unknown word \"rw\""),
    (["run", "--disk", "", "debian"], "names no file"),
    (["run", "--kernel", "k", "--disk", "d.raw", "--disk", "d.raw"], "disk \"d.raw\" is given twice"),
    (["run", "--kernel", "k", "--disk", "d.raw,serial=123456789012345678901"], "longer than 20 bytes"),
    (["run", "--kernel", "k", *["--disk", "d.raw,readonly"] * 7], "too many disks"),
    (["run", "--kernel", ""], "'--kernel' names no file"),
    (["run", "--code-profile", "", "debian"], "'--code-profile' names no file"),
    (["run", "--code-profile", "auto", "--kernel", "k"], "'--code-profile auto' goes with an image"),
    (["run", "--code-library", "", "debian"], "'--code-library' names no file"),
    (["run", "--code-library", "auto", "--kernel", "k"], "'--code-library auto' goes with an image"),
    (["create", "--code-library", "", "web"], "'--code-library' names no file"),
    (["create", "--code-library", "auto", "--kernel", "k", "web"], "'--code-library auto' goes with '--image'"),
    (["image", "translate"], "no image named"),
    (["image", "translate", "a", "b"], "unexpected argument"),
    (["run", "--initrd", "i"], "nothing to boot"),
    (["run", "--bios", "b", "--initrd", "i"], "'--initrd' needs a kernel; add --kernel FILE"),
    (["run", "--bios", "b", "--append", "quiet"], "'--append' needs a kernel; add --kernel FILE"),
    (["run", "--kernel", "k", "--append", "x" * 1100], "longer than 1023 bytes"),
    (["run", "--kernel", "k", "debian"], "both the image \"debian\" and '--kernel'; give one of them"),
    (["run", "--initrd", "i", "debian"], "'--initrd' goes with '--kernel'"),
    (["run", "debian", "ubuntu"], "two images, \"debian\" and \"ubuntu\""),
    (["run", "--kernel", "k", "--name", "a b"], "the name \"a b\" has other letters"),
    (["run", "--kernel", "k", "--name", ""], "the name \"\" has 0 letters"),
    (["create"], "the machine needs a name, as in: hospes create web --image debian"),
    (["create", "web"], "nothing to boot; give --image NAME, --kernel FILE or --bios FILE"),
    (["create", "web", "db", "--kernel", "riscv"], "two names, \"web\" and \"db\"; give one"),
    (["create", "Web", "--kernel", "riscv"], "\"Web\" cannot be the name of a machine; use 1 to 63 of a-z 0-9 -, as in web-1"),
    (["create", "web", "--image", "debian", "--kernel", "riscv"], "the image \"debian\" brings its own kernel"),
    (["create", "web", "--kernel", "riscv", "--disk", "d.raw"], "cannot read '--disk d.raw'; use a number and a unit, as in 10G"),
    (["create", "web", "--kernel", "riscv", "--disk", "512K"], "cannot read '--disk 512K'"),
    (["create", "web", "--kernel", "riscv", "--disk", "17T"], "a disk of 17 TiB cannot be; use 1M to 16T"),
    (["create", "web", "--kernel", "riscv", "--disk", "1025K", "--drive", "text", "--drive", "text"], "disk \""),
    (["create", "web", "--kernel", "riscv", "--drive", "d.raw,rw"], "unknown word \"rw\""),
    (["create", "web", "--kernel", "riscv", "--cpus", "0"], "'--cpus' takes a number from 1 to 64"),
    (["create", "web", "--kernel", "riscv", "--memory", "1024"], "did you mean '--memory 1024M'?"),
    (["create", "web", "--ephemeral"], "unknown option '--ephemeral'"),
    (["ls", "web"], "unexpected argument \"web\"; see: hospes info web"),
    (["ls", "--nmaes"], "did you mean '--names'?"),
    (["events", "a", "b"], "unexpected argument \"b\"; name one machine, or none"),
    (["start", "--foregruond", "web"], "did you mean '--foreground'?"),
    (["delete", "--forec", "web"], "did you mean '--force'?"),
    (["strat", "web"], "unknown command 'strat'; did you mean 'start'?"),
    *[([command], "no machine named; see: hospes ls") for command in OF_A_MACHINE],
    *[([command, "a", "b"], "unexpected argument \"b\"; name one machine") for command in OF_A_MACHINE],
    *[([command, "../a"], "\"../a\" cannot be the name of a machine") for command in [*OF_A_MACHINE, "events"]],
]

# Status 1: the request is well formed, and the host or a file does not allow it.
FAILURE = [
    (["run", "debian"], "no image \"debian\"; make it with: hospes image build debian"),
    (["run", "./debian"], "cannot open disk image \"./debian\": no such file or directory"),
    (["run", "debian.raw"], "cannot open disk image \"debian.raw\": no such file or directory"),
    (["run", "--kernel", "missing"], "cannot open kernel \"missing\": no such file or directory"),
    (["run", "--kernel", "directory"], "cannot open kernel \"directory\": is a directory"),
    (["run", "--bios", "missing"], "cannot open firmware \"missing\": no such file or directory"),
    (["run", "--kernel", "empty", "--initrd", "missing"], "cannot open initrd \"missing\": no such file or directory"),
    (["run", "--kernel", "empty", "--disk", "missing"], "cannot open disk \"missing\": no such file or directory"),
    (["run", "--kernel", "empty", "--memory", "1T"], "cannot give the machine 1 TiB of memory: this host has"),
    (["run", "--kernel", "empty"], "\"empty\""),
    (["run", "--kernel", "foreign"], "\"foreign\""),
    (["run", "--bios", "foreign"], "\"foreign\""),
    (["run", "--bios", "empty"], "\"empty\""),
    (["run", "--kernel", "riscv", "--disk", "empty"], "\"empty\""),
    (["run", "--kernel", "riscv", "--disk", "text"], "\"text\""),
    (["run", "--kernel", "riscv", "--initrd", "empty"], "\"empty\""),
    (["run", "--kernel", "riscv", "--engine", "warp"], "\"warp\""),
    (["run", "--kernel", "riscv", "--dump-dtb", "missing/tree.dtb"], "\"missing/tree.dtb\""),
    (["image", "rm", "debian"], "no image \"debian\""),
    (["create", "web", "--image", "debian"], "no image \"debian\"; make it with: hospes image build debian"),
    (["create", "web", "--kernel", "missing"], "cannot open kernel \"missing\": no such file or directory"),
    (["create", "web", "--kernel", "riscv", "--drive", "missing"], "cannot open disk \"missing\": no such file or directory"),
    *[([command, "web"], "there is no machine \"web\"; see what there is with: hospes ls") for command in [*OF_A_MACHINE, "events"]],
    (["set", "web", "--net-rate", "1M"], "there is no machine \"web\"; see what there is with: hospes ls"),
    (["net", "capture", "lab", "missing/a.pcap"], "cannot make \"missing/a.pcap\": no such file or directory"),
]


def elf_file(machine):
    """An ELF file of that machine (ELF e_machine): 64-bit, little-endian, executable, one loaded segment of 4 bytes."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += (2).to_bytes(2, "little") + machine.to_bytes(2, "little") + (1).to_bytes(4, "little")
    header += (0x80200000).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(8) + bytes(4)
    header += b"".join(n.to_bytes(2, "little") for n in (64, 56, 1, 64, 0, 0))
    segment = (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + (120).to_bytes(8, "little")
    segment += (0x80200000).to_bytes(8, "little") * 2 + (4).to_bytes(8, "little") * 2 + (4).to_bytes(8, "little")
    return header + segment + b"\x6f\x00\x00\x00"  # j .


@pytest.fixture
def files(home):
    (home.path / "directory").mkdir()
    (home.path / "empty").write_bytes(b"")
    (home.path / "text").write_text("no kernel, no disk\n")
    (home.path / "foreign").write_bytes(elf_file(62))  # x86-64
    (home.path / "riscv").write_bytes(elf_file(243))
    return home


def assert_one_line(result, status, words):
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("hospes: "), result.stderr
    assert words in result.stderr
    assert result.returncode == status
    assert result.stdout == ""
    assert not result.stderr.rstrip("\n").endswith(".")


@pytest.mark.parametrize("arguments,words", USAGE, ids=[" ".join(a)[:60] or "nothing" for a, _ in USAGE])
def test_usage_error(files, arguments, words):
    before = files.snapshot()
    assert_one_line(files.run(*arguments), 2, words)
    assert files.snapshot() == before


@pytest.mark.parametrize("arguments,words", FAILURE, ids=[" ".join(a)[:60] for a, _ in FAILURE])
def test_failure(files, arguments, words):
    before = files.snapshot()
    result = files.run(*arguments, seconds=20)
    # The line that says what is about to run may stand before the error.
    result.stderr = re.sub(r"^hospes: \w+: \d+ CPU.*\n", "", result.stderr)
    assert_one_line(result, 1 if words != "\"warp\"" else 2, words)
    assert files.snapshot() == before


def test_version(home):
    result = home.run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(r"hospes \d+\.\d+\.\d+\n", result.stdout)


@pytest.mark.parametrize("spelling", [["help"], ["--help"], ["-h"]])
def test_help_lists_the_commands(home, spelling):
    result = home.run(*spelling)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.findall(r"^  ([a-z-]+(?: [a-z]+)?)  ", result.stdout, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(home, command):
    result = home.run(*command.split(), "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: hospes {command}")
    # A worked example, of this very command.
    assert re.search(rf"^Examples?:\n  hospes {command}", result.stdout, re.MULTILINE)
    assert home.run("help", *command.split()).stdout == result.stdout
    assert home.run(*command.split(), "-h").stdout == result.stdout
    assert home.snapshot() == {}


def test_help_of_a_group(home):
    result = home.run("image", "--help")
    assert result.returncode == 0
    assert re.findall(r"^  image (\w+)", result.stdout, re.MULTILINE) == ["build", "ls", "rm", "translate"]


def test_help_into_a_full_disk(home):
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([home.program, "help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "hospes: cannot write to standard output\n"


def test_doctor(home):
    result = home.run("doctor")
    assert result.returncode in (0, 1) and result.stderr == ""
    findings = json.loads(home.run("doctor", "--json").stdout)
    names = [f["name"] for f in findings]
    for name in ("cores", "memory", "KVM", "huge pages", "cgroups", "binfmt_misc", "user namespaces", "tun", "io_uring", "seccomp", "landlock", "KSM", "max_map_count"):
        assert name in names
    for finding in findings:
        assert re.search(rf"^\w+ +{re.escape(finding['name'])} ", result.stdout, re.MULTILINE)
        assert finding["found"]
        assert (finding["verdict"] == "good") == ("remedy" not in finding)
    assert result.returncode == any(f["verdict"] == "needed" for f in findings)
    assert home.snapshot() == {}


def test_doctor_without_tools(home):
    """What is missing is told with its remedy: here the tools that images are made with."""
    home.environment.update(PATH="/nonexistent", XDG_DATA_HOME="/nonexistent", HOME="/nonexistent")
    findings = {f["name"]: f for f in json.loads(home.run("doctor", "--json").stdout)}
    assert findings["disk space"]["verdict"] == "needed"
    assert "XDG_DATA_HOME" in findings["disk space"]["remedy"]


def options_of(home, command):
    """Every spelling of every option in the help, and the names of the values."""
    text = home.run(*command.split(), "--help").stdout
    section = text[text.index("\nOptions:\n") : text.index("\nExample")]
    options = set()
    for line in re.findall(r"^  (-.*)$", section, re.MULTILINE):
        options.update(re.findall(r"(?:^|, )(--?[a-z-]+)", re.split(r"  ", line)[0]))
    assert options >= {"--help", "-h"}
    return options


def man_options(page, heading):
    text = (ROOT / "docs" / "man" / page).read_text()
    section = re.search(rf"^# {heading}\n(.*?)(?=^# |\Z)", text, re.MULTILINE | re.DOTALL).group(1)
    return {name for line in re.findall(r"^(\*-.*)$", section, re.MULTILINE) for name in re.findall(r"\*(--?[a-z-]+)\*", line)}


MAN = {
    "run": ("hospes-run.1.scd", "OPTIONS"),
    "create": ("hospes-create.1.scd", "OPTIONS"),
    "start": ("hospes-start.1.scd", "OPTIONS OF START"),
    "stop": ("hospes-start.1.scd", "OPTIONS OF STOP"),
    "restart": ("hospes-start.1.scd", "OPTIONS OF RESTART"),
    "kill": ("hospes-start.1.scd", "OPTIONS OF KILL"),
    "pause": ("hospes-start.1.scd", "OPTIONS OF PAUSE"),
    "resume": ("hospes-start.1.scd", "OPTIONS OF RESUME"),
    "freeze": ("hospes-start.1.scd", "OPTIONS OF FREEZE"),
    "thaw": ("hospes-start.1.scd", "OPTIONS OF THAW"),
    "delete": ("hospes-start.1.scd", "OPTIONS OF DELETE"),
    "ls": ("hospes-ls.1.scd", "OPTIONS OF LS"),
    "info": ("hospes-ls.1.scd", "OPTIONS OF INFO"),
    "console": ("hospes-console.1.scd", "OPTIONS OF CONSOLE"),
    "shell": ("hospes-console.1.scd", "OPTIONS OF SHELL"),
    "cp": ("hospes-console.1.scd", "OPTIONS OF CP"),
    "vsock": ("hospes-console.1.scd", "OPTIONS OF VSOCK"),
    "ssh-config": ("hospes-console.1.scd", "OPTIONS OF SSH-CONFIG"),
    "logs": ("hospes-ls.1.scd", "OPTIONS OF LOGS"),
    "events": ("hospes-ls.1.scd", "OPTIONS OF EVENTS"),
    "pool": ("hospes-pool.1.scd", "OPTIONS OF POOL"),
    "balance": ("hospes-pool.1.scd", "OPTIONS OF BALANCE"),
    "top": ("hospes-ls.1.scd", "OPTIONS OF TOP"),
    "set": ("hospes-set.1.scd", "OPTIONS"),
    "image build": ("hospes-image.1.scd", "OPTIONS OF BUILD"),
    "image ls": ("hospes-image.1.scd", "OPTIONS OF LS"),
    "image rm": ("hospes-image.1.scd", "OPTIONS OF RM"),
    "image translate": ("hospes-image.1.scd", "OPTIONS OF TRANSLATE"),
    "net ls": ("hospes-net.1.scd", "OPTIONS OF LS"),
    "net capture": ("hospes-net.1.scd", "OPTIONS OF CAPTURE"),
    "doctor": ("hospes-doctor.1.scd", "OPTIONS"),
}


@pytest.mark.parametrize("command", MAN)
def test_man_page_lists_the_options(home, command):
    assert man_options(*MAN[command]) == options_of(home, command)


def test_man_page_lists_the_commands():
    text = (ROOT / "docs" / "man" / "hospes.1.scd").read_text()
    section = re.search(r"^# COMMANDS\n(.*?)^# ", text, re.MULTILINE | re.DOTALL).group(1)
    assert re.findall(r"^\*([a-z -]+)\*", section, re.MULTILINE) == COMMANDS


def complete(words):
    """What bash offers for the last of the words."""
    script = """
        compopt() { :; }
        hospes() { :; }
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _hospes
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    command = ["bash", "-c", script, "bash", str(ROOT / "share" / "completion" / "hospes"), *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_completion_offers_the_options(home, command):
    offered = complete(["hospes", *command.split(), "--"]) | complete(["hospes", *command.split(), "-"])
    assert offered == options_of(home, command)


def test_completion_of_commands_and_values():
    assert complete(["hospes", ""]) == {command.split()[0] for command in COMMANDS} | {"--help", "--version"}
    assert complete(["hospes", "net", ""]) == {"ls", "capture", "--help"}
    assert complete(["hospes", "image", ""]) == {"build", "ls", "rm", "--help"}
    assert complete(["hospes", "ru"]) == {"run"}
    assert complete(["hospes", "help", "r"]) == {"run", "restart", "resume"}
    assert complete(["hospes", "create", "--disk", "1"]) == {"16G"}
    assert complete(["hospes", "create", "--drive", "/et"]) == {"/etc"}
    assert complete(["hospes", "run", "--net", ""]) == {"user", "none", "tap="}
    assert complete(["hospes", "set", "--net-rate", "no"]) == {"none"}
    assert complete(["hospes", "run", "--kernel", "/et"]) == {"/etc"}
    assert complete(["hospes", "run", "--vsock", "/et"]) == {"/etc"}
    assert complete(["hospes", "run", "--code-profile", "n"]) == {"none"}
    assert complete(["hospes", "run", "--code-library", "n"]) == {"none"}
    assert complete(["hospes", "run", "--code-profile", "/et"]) == {"/etc"}
    assert complete(["hospes", "image", "build", "d"]) == {"debian"}


def test_completion_is_clean():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    path = ROOT / "share" / "completion" / "hospes"
    result = subprocess.run(["shellcheck", "--shell=bash", str(path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
