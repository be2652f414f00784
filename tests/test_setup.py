"""What a new machine meets: the installer's messages, the lock, the workflow."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.conftest import wait_for
from tools.pages import ROOT

UV = ROOT / ".venv" / "bin" / "uv"
PYTHON = os.path.realpath(sys.executable)
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture
def start(tmp_path):
    """A function that starts the installer on a bare machine.

    `commands` names what the machine has beside the basic tools: a program, or the
    body of a shell script.
    """
    checkout = tmp_path / "a checkout"
    (checkout / "tools").mkdir(parents=True)
    for name in ("tools/install.sh", "requirements.txt"):
        shutil.copy(ROOT / name, checkout / name)
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("awk", "cat", "ldd", "ln", "mkdir", "readlink", "rm", "sh", "sleep", "touch", "uname"):
        (path / name).symlink_to(shutil.which(name))

    def start(commands, **environment):
        for name, command in commands.items():
            (path / name).unlink(missing_ok=True)
            if os.path.exists(command):
                (path / name).symlink_to(command)
            else:
                (path / name).write_text(f"#!/bin/sh\n{command}\n")
                (path / name).chmod(0o755)
        return subprocess.Popen(
            ["tools/install.sh", "html"],
            cwd=checkout,
            env=environment | {"PATH": str(path), "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    start.installed = checkout / ".venv" / "installed"
    return start


@pytest.fixture
def install(start):
    """A function that starts the installer where it must fail; returns the one line."""

    def install(commands, **environment):
        process = start(commands, **environment)
        _, printed = process.communicate()
        assert process.returncode != 0
        assert not start.installed.exists()
        [line] = printed.splitlines()
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
    absent = {"UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON_PREFERENCE": "only-managed"}
    message = install({"uv": UV}, **absent)
    assert "no Python 3.11 here" in message and "install it" in message


def test_the_systems_python_is_sought_first(install, tmp_path):
    install({"uv": f'echo "$PATH" >"{tmp_path}/path"; exit 1'})
    assert (tmp_path / "path").read_text().startswith("/usr/bin:")


def test_no_package_index_is_named(install):
    message = install(
        {"uv": UV, "python3.11": PYTHON}, UV_DEFAULT_INDEX=NOWHERE, UV_HTTP_RETRIES="0"
    )
    assert "the package index was not reached" in message


@pytest.fixture
def thing(tmp_path):
    """An index with one small package, which the lock of the checkout names."""
    about, name = "thing-1.0.dist-info/", "thing-1.0-py3-none-any.whl"
    index = tmp_path / "simple"
    (index / "thing").mkdir(parents=True)
    (index / "thing" / "index.html").write_text(f'<a href="{name}">{name}</a>')
    wheel = index / "thing" / name
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        file.writestr(about + "WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(about + "RECORD", "thing.py,,\n")
        file.writestr("thing.py", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = tmp_path / "a checkout" / "requirements.txt"
    lock.write_text(f"thing==1.0 --hash=sha256:{digest}\n")
    return SimpleNamespace(index=index.as_uri(), lock=lock, digest=digest)


def test_a_package_that_is_not_the_locked_one_is_named(install, thing):
    thing.lock.write_text(thing.lock.read_text().replace(thing.digest, "0" * 64))
    message = install({"uv": UV, "python3.11": PYTHON}, UV_DEFAULT_INDEX=thing.index)
    assert "a package differs from its hash in requirements.txt" in message


def test_an_interrupted_install_is_made_good(start, thing, tmp_path):
    module = start.installed.parent / "lib" / "python3.11" / "site-packages" / "thing.py"
    # Ctrl-C comes when a package is there, and one of its files is not yet.
    half = f'{UV} "$@" || exit; if [ "$1" = pip ]; then rm "{module}"; touch "{tmp_path}/now"; sleep 60; fi'
    process = start({"uv": half, "python3.11": PYTHON}, UV_DEFAULT_INDEX=thing.index)
    wait_for((tmp_path / "now").exists, process)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=10)
    assert process.returncode != 0 and not start.installed.exists()
    assert "interrupted while installing: run make again" in printed
    assert not module.exists()

    process = start({"uv": UV}, UV_DEFAULT_INDEX=thing.index)
    assert process.communicate()[1] == ""
    assert start.installed.exists() and module.exists()


def test_a_killed_install_does_not_block_the_next(start, thing, tmp_path):
    process = start({"uv": f"touch {tmp_path}/now; sleep 60", "python3.11": PYTHON})
    wait_for((tmp_path / "now").exists, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    process = start({"uv": UV}, UV_DEFAULT_INDEX=thing.index)
    process.communicate(timeout=60)
    assert start.installed.exists()


def test_two_installs_wait_for_each_other(start, thing, tmp_path):
    alone = f'mkdir {tmp_path}/busy || exit 9; {UV} "$@"; code=$?; sleep 0.5; rm -r {tmp_path}/busy; exit $code'
    commands = {"uv": alone, "python3.11": PYTHON}
    first = start(commands, UV_DEFAULT_INDEX=thing.index)
    wait_for((tmp_path / "busy").exists, first)
    second = start({}, UV_DEFAULT_INDEX=thing.index)
    told = [process.communicate(timeout=60) for process in (first, second)]
    assert first.returncode == second.returncode == 0, told
    assert "Waiting for another make" in told[1][0] and "Installing" not in told[1][0]


def test_an_install_that_failed_is_tried_again_by_who_waited(start, thing, tmp_path):
    start.installed.parent.mkdir()
    start.installed.touch()
    os.utime(start.installed, (0, 0))  # older than the lock
    failing = f"touch {tmp_path}/now; sleep 1; exit 1"
    first = start({"uv": failing, "python3.11": PYTHON})
    wait_for((tmp_path / "now").exists, first)
    second = start({"uv": UV}, UV_DEFAULT_INDEX=thing.index)
    printed, _ = second.communicate(timeout=60)
    assert first.wait() != 0 and second.returncode == 0
    assert "Waiting for another make" in printed and "Installing" in printed


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
