# SPDX-License-Identifier: Apache-2.0
"""The rules of the source that a machine can check: layers, licence lines, who prints, formatting."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

# What a directory may include besides its own files. The longest match of a file's directory holds.
BACK_ENDS = {"base", "storage", "network", "stream"}
PARTS = BACK_ENDS | {"memory"}
LAYERS = {
    "base": set(),
    "memory": {"base"},
    "storage": {"base"},
    "network": {"base"},
    "stream": {"base"},
    "cpu": {"base", "memory"},
    "cpu/translate": {"base", "memory", "cpu"},
    "cpu/riscv": {"base", "memory", "cpu", "cpu/translate"},
    "cpu/host_x86_64": {"base", "memory", "cpu", "cpu/translate"},
    "cpu/kvm": {"base", "memory", "cpu"},
    "device": PARTS,
    "device/virtio": PARTS | {"device"},
    "firmware": PARTS | {"cpu", "cpu/riscv"},
    "board": PARTS | {"cpu", "cpu/riscv", "device", "device/virtio", "firmware"},
    "machine": PARTS | {"cpu", "cpu/riscv", "cpu/kvm", "device", "device/virtio", "firmware", "board"},
    "process": {"base", "memory", "cpu", "cpu/riscv"},
    "debug": {"base", "machine"},
    "image": PARTS | {"cpu", "machine", "process"},
    "host": PARTS | {"cpu", "machine", "image", "process"},
    "cli": PARTS | {"cpu", "machine", "debug", "image", "host", "process"},
}
SOURCES = sorted(p for p in SRC.rglob("*") if p.suffix in (".c", ".h", ".inc"))
# What is compiled or shown to a compiler, in all of the repository.
C_FILES = sorted(p for d in ("src", "tests", "fuzz", "bench", "examples") for s in ("*.c", "*.h", "*.inc") for p in (ROOT / d).rglob(s))


def name(path):
    return str(path.relative_to(ROOT))


def layer_of(path):
    directory = pathlib.PurePath(path).parent
    for candidate in (directory, *directory.parents):
        if str(candidate) in LAYERS:
            return str(candidate)
    return None


def code_of(path):
    """The file without comments and strings, with its lines kept."""
    text = path.read_text()
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def blank(match):
        return '""' + "\n" * match.group().count("\n")

    return re.sub(pattern, blank, text, flags=re.DOTALL)


def includes_up(path):
    """The includes of one file that the layers forbid, in words."""
    inside = path.relative_to(SRC)
    own = layer_of(inside)
    if own is None:
        return [f"{inside}: its directory has no layer in {pathlib.Path(__file__).name}"]
    wrong = []
    for target in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE):
        other = layer_of(target)
        if not (SRC / target).exists():
            wrong.append(f"{inside}: \"{target}\" is not named from src/")
        elif other != own and other not in LAYERS[own]:
            wrong.append(f"{inside} ({own}) includes {target} ({other})")
    return wrong


def test_there_are_sources():
    assert len(SOURCES) > 30


@pytest.mark.parametrize("directory", sorted({str(p.relative_to(SRC).parts[0]) for p in SOURCES}))
def test_includes_point_down(directory):
    wrong = [line for path in SOURCES if path.relative_to(SRC).parts[0] == directory for line in includes_up(path)]
    assert not wrong, "\n".join(wrong)


def test_the_layers_have_no_cycle():
    """The table itself cannot allow what the rule forbids."""
    done, doing = set(), set()

    def visit(layer):
        assert layer not in doing, f"a cycle through {layer}"
        if layer in done:
            return
        doing.add(layer)
        for below in LAYERS[layer]:
            visit(below)
        doing.remove(layer)
        done.add(layer)

    for layer in LAYERS:
        visit(layer)


def test_an_include_that_points_up_is_seen(tmp_path, monkeypatch):
    for file in ("base/a.h", "cpu/b.h", "device/c.c"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text('#include "base/a.h"\n#include "cpu/b.h"\n')
    monkeypatch.setattr("test_source.SRC", tmp_path)
    assert includes_up(tmp_path / "cpu/b.h") == []
    assert includes_up(tmp_path / "base/a.h") == ["base/a.h (base) includes cpu/b.h (cpu)"]
    assert includes_up(tmp_path / "device/c.c") == ["device/c.c (device) includes cpu/b.h (cpu)"]


def test_licence_lines():
    files = [*C_FILES, *(p for d in ("tests", "scripts", "fuzz", "bench") for p in (ROOT / d).rglob("*.py"))]
    files += [*(p for d in ("tests", "examples") for p in (ROOT / d).rglob("*.S")), *(p for p in (ROOT / "scripts").rglob("*") if p.is_file())]
    missing = [name(p) for p in files if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(p.read_text(errors="replace").splitlines()[:2])]
    assert not missing, missing


def test_few_conditionals():
    """Under 2 `#if` per 1,000 lines, guards of headers aside: differences live in files of their own."""
    lines, conditionals = 0, []
    for path in SOURCES:
        text = path.read_text()
        lines += text.count("\n")
        for number, line in enumerate(text.splitlines(), 1):
            if re.match(r"\s*#\s*if", line) and not re.match(r"#ifndef HOSPES_\w+_H$", line):
                conditionals.append(f"{name(path)}:{number}: {line}")
    assert len(conditionals) < 2 * lines / 1000, "\n".join(conditionals)


# bug() tells of our own broken promise; nothing else below cli/ speaks or ends the process.
SPEAKS = re.compile(r"\b(printf|fprintf|dprintf|vprintf|vfprintf|puts|putchar|fputs|perror|err|errx|warn|warnx|exit|_exit|_Exit|quick_exit|abort)\s*\(")
MAY_SPEAK = {"src/base/error.c"}
# A child of fork(), before exec() or for good, can only _exit(); what is written to a file is not said to a person.
MAY_CALL = {"_exit": ("src/image/", "src/process/", "src/network/user.c", "src/host/reader.c"), "fprintf": ("src/image/",), "dprintf": ("src/image/",), "fputs": ("src/image/",)}


def test_only_cli_speaks():
    wrong = []
    for path in SOURCES:
        if name(path) in MAY_SPEAK or name(path).startswith("src/cli/"):
            continue
        for number, line in enumerate(code_of(path).splitlines(), 1):
            for call in SPEAKS.findall(line):
                if not name(path).startswith(MAY_CALL.get(call, ("never",))):
                    wrong.append(f"{name(path)}:{number}: {call}()")
    assert not wrong, "\n".join(wrong)


def test_long_files_say_why():
    """A file of more than 1,000 lines tells in its first comment why it is not two."""
    wrong = []
    for path in SOURCES:
        text = path.read_text()
        if text.count("\n") > 1000 and not re.search(r"\b(long|lines|one file)\b", "\n".join(text.splitlines()[:40])):
            wrong.append(name(path))
    assert not wrong, wrong


def test_names():
    """`noun_verb`, no `_t` of our own, no typedef that hides a pointer."""
    wrong = []
    for path in SOURCES:
        for number, line in enumerate(code_of(path).splitlines(), 1):
            if re.match(r"\s*typedef\b.*\*\s*\w+;", line) or re.match(r"\s*typedef\b.*\b\w+_t;", line):
                wrong.append(f"{name(path)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def is_plain_build(build):
    options = subprocess.run(["meson", "introspect", "--buildoptions", str(build)], capture_output=True, text=True, check=False).stdout
    return '"b_sanitize", "value": "none"' in options.replace("'", '"')


def test_no_mutable_file_scope_state():
    """A machine is a value. The exceptions: the terminal that a dying process gives back, and whom a signal handler asks."""
    allowed = {"raw_terminal", "fault_thread", "fault_process", "signals_pipe"}
    build = pathlib.Path(os.environ.get("HOSPES_BUILD", ROOT / "build"))
    library = build / "libhospes.a"
    if not library.exists():
        pytest.skip(f"{library} is not built")
    if not is_plain_build(build):
        pytest.skip("sanitizers add state of their own")
    table = subprocess.run(["objdump", "-t", str(library)], capture_output=True, text=True, check=True).stdout
    wrong = []
    for line in table.splitlines():
        # value, flags, section, size, name; "O" is an object.
        match = re.match(r"^[0-9a-f]+ .{5,6}O (\.(?:data|bss|tbss|tdata|common)\S*)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$", line)
        if match and not match.group(1).startswith(".data.rel.ro") and match.group(2) not in allowed:
            wrong.append(f"{match.group(2)} in {match.group(1)}")
    assert "F .text" in table, "objdump shows no function: the pattern above would see nothing either"
    assert not wrong, "\n".join(wrong)


def clang_format():
    """Version 14: others lay out some lines otherwise."""
    for program in ("clang-format-14", "clang-format"):
        if shutil.which(program):
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            if re.search(r"version 14\.", version):
                return program
    return None


def test_formatting():
    program = clang_format()
    if not program:
        pytest.skip("clang-format 14 is not installed")
    files = [str(p) for p in C_FILES if p.suffix != ".inc" and "isa" not in p.relative_to(ROOT).parts]
    result = subprocess.run([program, "--dry-run", "--Werror", *files], capture_output=True, text=True, check=False)
    assert result.returncode == 0, "\n".join(line for line in result.stderr.splitlines() if "error:" in line)
