"""Validate a page, or a notebook that isn't one of the pages, such as a mutant of a page."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from tempfile import NamedTemporaryFile

import nbformat

from tools.build.notebook import PageError, pages_with_code, read_old_recording
from tools.build.pages import find_page
from tools.project import BOOK, BUILD, ROOT, relative


@contextmanager
def temporary_notebook(notebook):
    """Yield the path of a file that holds the notebook; delete it afterwards."""
    folder = BUILD / "notebooks"  # in the project, so that pytest loads our conftest.py
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", suffix=".ipynb", dir=folder) as file:
        nbformat.write(notebook, file)
        file.flush()
        yield file.name


def run_pytest(*arguments, **environment):
    """Run pytest in the project's root; return its exit code and its output.

    The exit code is 0 or 1, or negative if a test crashed Python. Raise RuntimeError if pytest
    couldn't run the tests.
    """
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    variables = {"MATPLOTLIBRC": str(BOOK / "matplotlibrc")}  # for notebooks outside of book/
    env = os.environ | variables | environment
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if run.returncode > 1:
        raise RuntimeError(run.stdout + run.stderr)
    return run.returncode, run.stdout


def failing_cells(notebook):
    """Return the indices of the code cells whose outputs nbval can't reproduce."""
    with temporary_notebook(notebook) as path:
        _, output = run_pytest("--nbval", path, "-rfE")
    numbers = re.findall(r"^FAILED .*Cell (\d+)", output, re.MULTILINE)
    return {int(number) - 1 for number in numbers}


def main():
    try:
        path = find_page(sys.argv[1], pages_with_code()).with_suffix(".ipynb")
    except PageError as error:
        sys.exit(str(error))
    if not read_old_recording(path).cells:
        command = f"make notebooks page={path.stem}"
        sys.exit(f"{relative(path)} is missing or incomplete; run '{command}'")
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "--nbval", relative(path)])


if __name__ == "__main__":
    main()
