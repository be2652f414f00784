"""What a new machine meets: the installer's messages, the lock, the workflow."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools.pages import ROOT

UV = ROOT / ".venv" / "bin" / "uv"
PYTHON = os.path.realpath(sys.executable)
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture
def install(tmp_path):
    """A function that runs the installer on a bare machine, where it must fail.

    `commands` names what the machine has beside the basic tools: a program, or the
    body of a shell script. The function returns the one line that was printed.
    """
    checkout = tmp_path / "a checkout"
    (checkout / "tools").mkdir(parents=True)
    for name in ("tools/install.sh", "requirements.txt"):
        shutil.copy(ROOT / name, checkout / name)
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("awk", "cat", "ldd", "mkdir", "rm", "sh", "touch", "uname"):
        (path / name).symlink_to(shutil.which(name))

    def install(commands, **environment):
        for name, command in commands.items():
            (path / name).unlink(missing_ok=True)
            if os.path.exists(command):
                (path / name).symlink_to(command)
            else:
                (path / name).write_text(f"#!/bin/sh\n{command}\n")
                (path / name).chmod(0o755)
        run = subprocess.run(
            ["tools/install.sh", "html"],
            cwd=checkout,
            env=environment | {"PATH": str(path), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert run.returncode != 0
        assert not (checkout / ".venv" / "installed").exists()
        [line] = run.stderr.splitlines()
        return line

    return install


@pytest.mark.parametrize(
    "system, machine, words",
    [
        ("Darwin", "arm64", ["Apple silicon", "x86-64", "Rosetta", "arch -x86_64 make html"]),
        ("MINGW64_NT-10.0", "x86_64", ["Windows", "WSL"]),
        ("Linux", "riscv64", ["Linux riscv64", "no wheel"]),
    ],
)
def test_a_platform_without_mxnet_is_named(install, system, machine, words):
    answers = f"-s) echo {system};; -m) echo {machine};; *) echo {system} {machine};;"
    message = install({"uname": f'case "$1" in {answers} esac'})
    assert all(word in message for word in words), message


def test_musl_is_named(install):
    assert "musl" in install({"ldd": "echo musl libc >&2; exit 1"})


def test_a_machine_without_python_is_told(install):
    assert "no uv and no python3" in install({})


def test_a_python_without_pip_is_told(install):
    assert "neither pip nor venv" in install({"python3": "echo No module named pip; exit 1"})


def test_no_package_index_for_uv_is_named(install):
    message = install({"python3": PYTHON}, PIP_INDEX_URL=NOWHERE, PIP_RETRIES="0")
    assert "pip could not fetch uv from the package index" in message


def test_no_python_3_11_is_named(install):
    message = install({"uv": UV, "python3": "exit 1"}, UV_PYTHON_DOWNLOADS="never")
    assert "no Python 3.11 here" in message and "install it" in message


def test_no_package_index_is_named(install):
    message = install(
        {"uv": UV, "python3.11": PYTHON}, UV_DEFAULT_INDEX=NOWHERE, UV_HTTP_RETRIES="0"
    )
    assert "the package index was not reached" in message


def test_a_package_that_is_not_the_locked_one_is_named(install, tmp_path):
    about, name = "thing-1.0.dist-info/", "thing-1.0-py3-none-any.whl"
    index = tmp_path / "simple"
    (index / "thing").mkdir(parents=True)
    (index / "thing" / "index.html").write_text(f'<a href="{name}">{name}</a>')
    with zipfile.ZipFile(index / "thing" / name, "w") as wheel:
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(about + "RECORD", "")
    lock = tmp_path / "a checkout" / "requirements.txt"
    lock.write_text(f"thing==1.0 --hash=sha256:{'0' * 64}\n")
    message = install({"uv": UV, "python3.11": PYTHON}, UV_DEFAULT_INDEX=index.as_uri())
    assert "a package differs from its hash in requirements.txt" in message


def test_the_lock_and_what_was_chosen_agree():
    lines = (ROOT / "requirements.in").read_text("utf-8").splitlines()
    chosen = {}
    for line in filter(None, lines):
        text, _, why = line.partition("#")
        assert why.strip(), f"requirements.in does not say what for: {line}"
        if text:
            requirement = Requirement(text)
            chosen[canonicalize_name(requirement.name)] = requirement.specifier
    lock = (ROOT / "requirements.txt").read_text("utf-8")
    pins, direct = {}, set()
    for entry in re.split(r"\n(?=[a-z])", lock):
        if pin := re.match(r"([\w.-]+)==(\S+)", entry):
            assert "--hash=sha256:" in entry, f"requirements.txt: {pin[1]} has no hash"
            pins[pin[1]] = pin[2]
            if "-r requirements.in" in entry:
                direct.add(pin[1])
    assert direct == set(chosen)
    for name, specifier in chosen.items():
        assert specifier.contains(pins[name]), f"{name}: {pins[name]} is not {specifier}"


def test_workflow_is_valid():
    subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
        + [ROOT / ".github" / "workflows" / "book.yml"],
        check=True,
    )
