"""A pytest plugin that makes nbval compare numbers and figures instead of text.

nbval reruns every recorded cell and fails if the text of an output differs. With this
plugin, it compares texts by tools/quality/comparison.py and figures by svg_comparison.py.
"""

import os
import tempfile

import nbval.kernel
import nbval.plugin
from jupyter_client.manager import KernelManager

from tools.project import cell_timeout
from tools.quality.comparison import outputs_match, relative_deviation
from tools.quality.svg_comparison import compare_figures


class Output(str):
    """The text of an output, compared with `outputs_match`."""

    __hash__ = None
    deviation_log = None  # a file to which each comparison appends its kind and deviation

    def __eq__(self, other):
        equal = outputs_match(str(self), str(other))
        if equal:
            self.log("text", relative_deviation(str(self), str(other)))
        return equal

    def __ne__(self, other):
        return not self == other

    def log(self, kind, deviation):
        if self.deviation_log:
            with open(self.deviation_log, "a") as file:
                file.write(f"{kind} {deviation}\n")


class Figure(Output):
    """A figure, compared with `compare_figures`."""

    def __eq__(self, other):
        difference, distance = compare_figures(str(self), str(other))
        if not difference:
            self.log("figure", distance)
        return not difference


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
    """Return an `Output` or a `Figure`, which nbval then compares."""
    if not isinstance(text, str):
        return text
    return (Figure if text.startswith("<?xml") else Output)(text)


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
