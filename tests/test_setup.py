"""What a new machine meets: the installer's messages, the lock, the workflow."""

import os
import shutil
import subprocess
import sys

import pytest
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


def test_workflow_is_valid():
    subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
        + [ROOT / ".github" / "workflows" / "book.yml"],
        check=True,
    )
