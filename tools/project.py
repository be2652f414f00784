"""The project's configuration, its list of pages, and the paths that several modules need."""

from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
SITE = BUILD / "html"
PDF = BUILD / "book.pdf"
EXECUTION_CACHE = BUILD / ".jupyter_cache"
EXERCISES = BOOK / "exercises.md"
STUDENT_EDITION = BUILD / "student" / "exercises.ipynb"
SCRATCH = ROOT / "scratch"


@cache
def configuration():
    """Return the content of _config.yml as a dictionary."""
    return yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))


def cell_timeout():
    """Return the time limit of a code cell, in seconds."""
    return configuration()["execute"]["timeout"]


def page_names():
    """Return the pages of _toc.yml in reading order, as in "book/index".

    Raise MalformedError or YAMLError if _toc.yml can't be parsed.
    """
    # Imported here because it imports Sphinx, which validation doesn't need.
    from sphinx_external_toc.parsing import parse_toc_yaml

    return [name.removesuffix(".md") for name in parse_toc_yaml(ROOT / "_toc.yml")]


def relative(path):
    """Return a path as messages show it: relative to the project's root."""
    return path.relative_to(ROOT).as_posix()
