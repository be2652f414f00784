"""How nbval compares a recorded output with a new one.

nbval asks whether the two texts differ. Ours compare their decimal numbers with a
tolerance, since other processors round otherwise, and everything else exactly: words,
shapes, integers, how many numbers there are.
"""

import math
import os
import re
import tempfile

import nbval.kernel
import nbval.plugin
import pytest
import yaml
from jupyter_client.manager import KernelManager
from tools.pages import do_without_home
from xdist.scheduler import LoadScopeScheduling

RELATIVE = 2e-6
# Only for two numbers that are both as good as zero beside numbers of order one.
NEARLY_ZERO = 1e-6

# A number with a decimal point or an exponent that is not part of a name, a version
# or a path, and the white space that NumPy pads it with.
DECIMAL = re.compile(
    r"\s*(?<![\w.])([-+]?(?:\d+\.\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+))"
    r"(?!(?!j\b)\w|\.\d)\s*",
    re.IGNORECASE,
)


def same_number(a, b):
    """Whether two decimal numbers are equal but for rounding."""
    if abs(a) < NEARLY_ZERO and abs(b) < NEARLY_ZERO:
        return True
    return math.isclose(a, b, rel_tol=RELATIVE)


def same_output(a, b):
    """Whether two texts are equal but for the rounding of their decimal numbers."""
    words_a, words_b = DECIMAL.split(a)[::2], DECIMAL.split(b)[::2]
    numbers_a, numbers_b = DECIMAL.findall(a), DECIMAL.findall(b)
    return words_a == words_b and all(
        same_number(float(x), float(y)) for x, y in zip(numbers_a, numbers_b)
    )


def deviation(a, b):
    """The largest relative difference of two decimal numbers of equal outputs."""
    pairs = zip(*(map(float, DECIMAL.findall(text)) for text in (a, b)))
    large = ((x, y) for x, y in pairs if max(abs(x), abs(y)) >= NEARLY_ZERO)
    return max((abs(x - y) / max(abs(x), abs(y)) for x, y in large), default=0.0)


class Output(str):
    """The text of an output, which is equal to another one by `same_output`."""

    __hash__ = None
    deviations = None  # a file that gets the deviation of each comparison

    def __new__(cls, text, page=""):
        output = super().__new__(cls, text)
        output.page = page
        return output

    def __eq__(self, other):
        same = same_output(str(self), str(other))
        if same and self.deviations:
            with open(self.deviations, "a") as file:
                file.write(f"{self.page} {deviation(str(self), str(other))}\n")
        return same

    def __ne__(self, other):
        return not self == other


class FileKernelManager(KernelManager):
    """Talks to its kernel through files: for a TCP port, two kernels may race.

    They and the temporary files of the page end with the kernel, which is killed.
    """

    def __init__(self, **kwargs):
        self._folder = tempfile.TemporaryDirectory(prefix="kernel-")
        super().__init__(transport="ipc", ip=f"{self._folder.name}/ipc", **kwargs)

    def start_kernel(self, **kwargs):
        super().start_kernel(env=os.environ | {"TMPDIR": self._folder.name}, **kwargs)

    def shutdown_kernel(self, **kwargs):
        super().shutdown_kernel(**kwargs)
        self._folder.cleanup()


def sanitize(cell, text):
    return Output(text, cell.parent.path.stem) if isinstance(text, str) else text


nbval.plugin.IPyNbCell.sanitize = sanitize
nbval.kernel.KernelManager = FileKernelManager


class NotebookScheduling(LoadScopeScheduling):
    """Keeps on one worker what shares a kernel or a server; spreads all other tests."""

    def _split_scope(self, nodeid):
        file, _, _ = nodeid.partition("::")
        return file if file.endswith((".ipynb", "test_live.py")) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return NotebookScheduling(config, log)


def pytest_addoption(parser):
    parser.addoption("--deviations", help="write how far numbers are off to this file")


def pytest_configure(config):
    do_without_home()
    Output.deviations = config.option.deviations
    # The kernel of this environment, whatever else is called "python3".
    config.option.nbval_current_env = True
    # nbval does not notice that a kernel died; its own limit is half an hour.
    settings = yaml.safe_load((config.rootpath / "_config.yml").read_text("utf-8"))
    limits = config.option.nbval_cell_timeout, settings["execute"]["timeout"]
    config.option.nbval_cell_timeout = min(limits)
