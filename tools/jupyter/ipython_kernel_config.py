"""Configure the kernels of the book's environment: how figures and errors look."""

import os
import tempfile

c = get_config()  # noqa: F821 (IPython defines it)
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.print_figure_kwargs = {"metadata": {"Date": None}}  # equal figures, equal files
c.InteractiveShell.xmode = "Minimal"

# Without a writable home, Matplotlib prints a warning into the page about its cache.
if not os.access(os.path.expanduser("~"), os.W_OK):
    os.environ.setdefault("MPLCONFIGDIR", os.path.join(tempfile.gettempdir(), "matplotlib"))
