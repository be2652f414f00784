"""A pytest plugin that makes nbval compare numbers instead of text.

nbval reruns every recorded cell and fails if the text of an output differs. Processors
round differently, so this plugin allows decimal numbers a relative difference of
RELATIVE_TOLERANCE. Words, shapes, integers, and the count of numbers must be equal.
"""

import math
import os
import re
import tempfile

import nbval.kernel
import nbval.plugin
from jupyter_client.manager import KernelManager

from tools.project import cell_timeout

RELATIVE_TOLERANCE = 2e-6
# Two numbers below this magnitude are equal: both are zero up to rounding.
ZERO_TOLERANCE = 1e-6

# A number with a decimal point or an exponent, and the white space that NumPy pads it
# with. The number mustn't be part of a name, a version, or a path.
DECIMAL = re.compile(
    r"\s*(?<![\w.])([-+]?(?:\d+\.\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+))"
    r"(?!(?!j\b)\w|\.\d)\s*",
    re.IGNORECASE,
)


def numbers_match(a, b):
    """Return whether two floats are equal up to rounding."""
    if abs(a) < ZERO_TOLERANCE and abs(b) < ZERO_TOLERANCE:
        return True
    return math.isclose(a, b, rel_tol=RELATIVE_TOLERANCE)


def outputs_match(a, b):
    """Return whether two output texts are equal up to the rounding of their decimals."""
    numbers = zip(DECIMAL.findall(a), DECIMAL.findall(b))
    # Equal lists of words imply equal counts of numbers.
    return DECIMAL.split(a)[::2] == DECIMAL.split(b)[::2] and all(
        numbers_match(float(x), float(y)) for x, y in numbers
    )


def relative_deviation(a, b):
    """Return the largest relative difference between the decimals of matching outputs."""
    pairs = zip(*(map(float, DECIMAL.findall(text)) for text in (a, b)))
    large = ((x, y) for x, y in pairs if max(abs(x), abs(y)) >= ZERO_TOLERANCE)
    return max((abs(x - y) / max(abs(x), abs(y)) for x, y in large), default=0.0)


def mark_differences(recorded, new):
    """Return two output texts with the decimals that don't match in »guillemets«.

    Texts that differ in anything else are returned as they are.
    """
    parts = DECIMAL.split(recorded), DECIMAL.split(new)
    if parts[0][::2] != parts[1][::2]:
        return recorded, new
    for i in range(1, len(parts[0]), 2):
        a, b = float(parts[0][i]), float(parts[1][i])
        if not numbers_match(a, b):
            difference = abs(a - b) / max(abs(a), abs(b))
            parts[0][i] = f" »{parts[0][i]}« "
            parts[1][i] = f" »{parts[1][i]}« (differs by {difference:.1g} of its magnitude) "
        else:
            parts[0][i], parts[1][i] = f" {parts[0][i]} ", f" {parts[1][i]} "
    return "".join(parts[0]), "".join(parts[1])


class Output(str):
    """The text of an output, compared with `outputs_match`."""

    __hash__ = None
    deviation_log = None  # a file to which each comparison appends its deviation

    def __eq__(self, other):
        equal = outputs_match(str(self), str(other))
        if equal and self.deviation_log:
            with open(self.deviation_log, "a") as file:
                file.write(f"{relative_deviation(str(self), str(other))}\n")
        return equal

    def __ne__(self, other):
        return not self == other


class IPCKernelManager(KernelManager):
    """A kernel that communicates through files in a temporary folder.

    With TCP, kernels that start at the same time can claim the same port. The folder also
    holds the page's temporary files, because nbval kills kernels before they clean up.
    """

    def __init__(self, **kwargs):
        self._folder = tempfile.TemporaryDirectory(prefix="kernel-")
        super().__init__(transport="ipc", ip=f"{self._folder.name}/ipc", **kwargs)

    def start_kernel(self, **kwargs):
        environment = os.environ | {"TMPDIR": self._folder.name}
        super().start_kernel(env=environment, **kwargs)

    def shutdown_kernel(self, **kwargs):
        super().shutdown_kernel(**kwargs)
        self._folder.cleanup()


def sanitize(cell, text):
    """Return an `Output`, which nbval then compares."""
    return Output(text) if isinstance(text, str) else text


# nbval 0.11 offers no other hook for comparing outputs or choosing the kernel manager.
nbval.plugin.IPyNbCell.sanitize = sanitize
nbval.kernel.KernelManager = IPCKernelManager


def pytest_addoption(parser):
    parser.addoption("--deviations", help="append the deviation of each output to this file")


def pytest_configure(config):
    Output.deviation_log = config.option.deviations
    # Use this environment's kernel, whatever else is registered as "python3".
    config.option.nbval_current_env = True
    # nbval's own limit is half an hour, and it doesn't notice that a kernel died.
    limits = config.option.nbval_cell_timeout, cell_timeout()
    config.option.nbval_cell_timeout = min(limits)
