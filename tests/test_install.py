"""Test the installer on a bare machine, the locked requirements and the workflows."""

import ast
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import zipfile
from importlib.metadata import packages_distributions
from subprocess import PIPE, Popen, run

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from traitlets.config import PyFileConfigLoader

from tests.conftest import wait_for
from tools.project import ROOT

UV = f'"{ROOT}/.venv/bin/uv" "$@"'
# A Python without pip, whose virtual environments have a pip that installs a failing uv.
NO_PIP = """case $0,$3 in *python3,.venv/pip) mkdir -p $3/bin; cp $0 $3/bin/python;;
*/pip/*,install) mkdir -p .venv/uv/bin; cp $0 .venv/uv/bin/uv;;
*/uv,*) echo fetched >&2; false;; *) false; esac"""
PACKAGE = {
    "thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
    "thing-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
    "thing-1.0.dist-info/RECORD": "thing.py,,\n",
    "pyproject.toml": "build-system = {requires=[], build-backend='thing', backend-path=['.']}",
    "thing.py": "raise SystemExit('executed')",
}
FAILURES = [
    ("uname", "echo Darwin arm64", "make: .* Apple .* container .* 'arch -x86_64 make html'.*"),
    ("uname", "echo MINGW64_NT-10.0 x86_64", "make: .* Windows: .* container .* WSL.*"),
    ("uname", "echo Linux riscv64", "make: .* no wheel for Linux riscv64.*"),
    ("ldd", "echo musl libc >&2; exit 1", "make: .* musl .* glibc.*"),
    ("python3", "exit 1", "make: found neither uv nor a python3 with pip.*"),
    ("python3", "[ $3 != install ] || ! cat >&2", r"uv==.*\n( .*\n)+make: pip couldn't .*"),
    ("python3", NO_PIP, "fetched\nmake: uv couldn't set up Python 3.11.*"),
    ("uv", "echo $UV_DEFAULT_INDEX $PATH >&2; [ $1 != venv ]", "mirror /usr/bin:.*\nmake: uv .*"),
]


class Machine:
    """A machine with a checkout of the project, but without a usable Python or uv."""

    def __init__(self, folder):
        self.folder, self.checkout = folder, folder / "a checkout"
        self.venv = self.checkout / ".venv"
        shutil.copytree(ROOT / "tools", self.checkout / "tools")
        shutil.copy(ROOT / "requirements.txt", self.checkout)
        shutil.copytree(ROOT / "binder", self.checkout / "binder")
        (folder / "bin").mkdir()
        (folder / "pip.conf").write_text("[global]\nindex-url = mirror\n")
        self.add_program("uv", "exit 1")
        self.add_program("python3", "exit 1")
        self.add_program("python3.11", f'exec "{os.path.realpath(sys.executable)}" "$@"')

    def add_program(self, name, script):
        (self.folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / "bin" / name).chmod(0o755)

    def pin(self, filename="thing-1.0-py3-none-any.whl", digest=None):
        """Add uv, and pin a package in requirements.txt."""
        self.add_program("uv", UV)
        with zipfile.ZipFile(self.folder / filename, "w") as archive:
            for path, text in PACKAGE.items():
                archive.writestr(path, text)
        digest = digest or hashlib.sha256((self.folder / filename).read_bytes()).hexdigest()
        lock = f"--no-index\n--find-links {self.folder}\nthing==1.0 --hash=sha256:{digest}\n"
        (self.checkout / "requirements.txt").write_text(lock)

    def start(self):
        environment = {"PATH": f"{self.folder}/bin:{os.defpath}", "HOME": str(self.folder)}
        environment["PIP_CONFIG_FILE"] = f"{self.folder}/pip.conf"
        options = {"cwd": self.checkout, "env": environment, "start_new_session": True}
        return Popen(["tools/install.sh", "html"], stdout=PIPE, stderr=PIPE, text=True, **options)

    def install(self):
        """Run the installer and return its error messages, which are "" if it succeeds."""
        _, errors = (process := self.start()).communicate(timeout=60)
        assert (process.returncode == 0) == (not errors) == (self.venv / "installed").exists()
        return errors


machine = pytest.fixture(lambda tmp_path: Machine(tmp_path))


@pytest.mark.parametrize("program, script, errors", FAILURES)
def test_failure_is_explained(machine, program, script, errors):
    machine.add_program(program, script)
    assert re.fullmatch(errors, machine.install().strip())


def test_untrusted_package_is_rejected(machine):
    machine.pin("thing-1.0.zip")
    assert "no usable wheels" in (errors := machine.install()) and "executed" not in errors
    machine.pin(digest="0" * 64)
    assert re.search("Hash mismatch.*\n(.*\n)+make: uv couldn't install", machine.install())


@pytest.mark.skipif(not shutil.which("flock"), reason="needs flock")
@pytest.mark.parametrize("end", [0, 1, signal.SIGINT, signal.SIGKILL])
def test_second_install_waits_and_repairs(machine, end):
    machine.pin()
    assert machine.install() == ""
    python = machine.venv / "bin" / "python"
    started, finish = machine.folder / "started", machine.folder / "finish"
    module = machine.venv / "lib" / "python3.11" / "site-packages" / "thing.py"
    breaking = f"""rm "{module}"; ln -sf missing "{python}"; touch {started}
until [ -e {finish} ]; do sleep 0.1; done; exit {end:d}"""
    machine.add_program("uv", f"{UV}; [ $1 != pip ] || {{ {breaking}; }}")
    wait_for(started.exists, first := machine.start())
    if end > 1:
        os.killpg(first.pid, end)
        assert re.match("make: interrupted.*\n$", first.communicate()[1]) or end == signal.SIGKILL
    machine.add_program("uv", UV)
    second = machine.start()
    output = second.stdout.readline()
    assert ("Waiting" in output) == (end < 2)
    finish.touch()
    rest, errors = second.communicate(timeout=60)
    output += rest
    assert errors == ""
    assert ("Installing" in output) == module.exists() == python.exists() == (end > 0)
    assert "relocatable = true" in (machine.venv / "pyvenv.cfg").read_text()
    assert (machine.venv / "etc" / "ipython" / "ipython_kernel_config.py").exists()


def test_kernel_draws_svg_and_prints_short_tracebacks():
    cells = [new_code_cell("import matplotlib.pyplot as plt\nplt.plot(1);"), new_code_cell("1 / 0")]
    NotebookClient(new_notebook(cells=cells), allow_errors=True).execute()
    assert "image/svg+xml" in cells[0].outputs[-1].data and len(cells[1].outputs[0].traceback) == 1


def test_lock_matches_requirements_in():
    lines = (ROOT / "requirements.in").read_text("utf-8").splitlines()
    assert not [line for line in lines if line and not re.search("# *[^ ]", line)], "no reason"
    requirements = [Requirement(text) for line in lines if (text := line.partition("#")[0])]
    entries = re.findall(r"(?m)^(\S+)==(\S+)((?:.|\n )*)", (ROOT / "requirements.txt").read_text())
    locked = {name: version for name, version, rest in entries if "-r requirements.in" in rest}
    assert locked.keys() == {each.name for each in requirements}
    assert [each for each in requirements if locked[each.name] not in each.specifier] == []


def test_requirements_in_lists_what_is_imported():
    listed = re.findall(r"(?m)^[\w-]+", (ROOT / "requirements.in").read_text("utf-8"))
    imported = set()
    for path in [*ROOT.glob("tools/**/*.py"), *ROOT.glob("tests/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    packages = packages_distributions()
    needed = {canonicalize_name(packages[name][0]) for name in imported & packages.keys()}
    assert {"pytest", "beautifulsoup4"} < needed and needed - set(listed) == set()


def test_workflows_are_valid():
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema=vendor.github-workflows"]
    run([*check, *ROOT.glob(".github/workflows/*")], check=True)


def read_container():
    return json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))


def test_dev_container_has_our_python_and_calls_tasks_that_exist():
    container = read_container()
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().replace("-", ":")
    assert re.fullmatch(rf"{version}-\w+", container["image"])
    tasks = re.findall(r"make (\w+)", json.dumps(container))
    assert "html" in tasks and "lab" in tasks
    run(["make", "--dry-run", *tasks], cwd=ROOT, check=True, stdout=PIPE)


@pytest.mark.parametrize("variable", ["DEVCONTAINER", "OTHER"])
def test_browser_of_dev_container_gets_address_instead_of_file(monkeypatch, variable):
    monkeypatch.delenv("DEVCONTAINER", raising=False)
    monkeypatch.setenv(variable, "true")
    loader = PyFileConfigLoader("jupyter_lab_config.py", str(ROOT / "tools" / "jupyter"))
    assert loader.load_config().ServerApp.use_redirect_file == (variable == "OTHER")
    assert "DEVCONTAINER" in read_container()["containerEnv"]
