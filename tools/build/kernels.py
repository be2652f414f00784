"""The environment in which pages are executed."""

import os

from tools.project import BUILD


def kernel_environment():
    """Return the environment variables of a page's kernel."""
    environment = dict(os.environ)
    # Without a date of its own, Matplotlib writes the current time into every figure.
    environment["SOURCE_DATE_EPOCH"] = "0"
    # Matplotlib prints a warning into the page if it can't keep its cache.
    if not os.access(os.path.expanduser("~"), os.W_OK):
        environment.setdefault("MPLCONFIGDIR", str(BUILD / "matplotlib"))
    return environment
