"""Check that the pages are complete, and write new ones."""

import re
from pathlib import Path

import jupytext
import yaml
from jupytext.config import load_jupytext_configuration_file
from sphinx_external_toc.parsing import MalformedError

from tools.build.notebook import PageError, code_cells, read_page
from tools.project import BOOK, ROOT, configuration, page_names, relative

DESCRIPTION_LENGTHS = range(70, 171)  # characters that search engines show
NO_KERNEL = "has a code cell but no kernelspec in its header; copy another page's header"
# The header of a page with code, up to the description.
HEADER = """---
jupytext:
  formats: md:myst,ipynb
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
myst:
  html_meta:
    description: """
NEW_PAGE = """TODO
---

# TITLE

Start with a need, a picture, or a result.

```{code-cell} ipython3
import mxnet as mx
from mxnet import npx

npx.set_np()
mx.random.seed(0)
```

## Summary

- What stands alone.
"""


def check_pages():
    """Raise PageError if _toc.yml, _config.yml, and book/ don't agree, or a page is incomplete."""
    try:
        listed = set(page_names())
    except (MalformedError, yaml.YAMLError) as error:
        raise PageError(f"_toc.yml: {error}") from error
    existing = {f"book/{path.stem}": path for path in BOOK.glob("*.md")}
    errors = [f"_toc.yml: page {name}.md doesn't exist" for name in listed - existing.keys()]
    errors += [f"{name}.md: not listed in _toc.yml" for name in existing.keys() - listed]
    forwards = configuration()["sphinx"]["config"].get("forwards", {}).values()
    errors += [f"_config.yml: forwards: page {name} doesn't exist" for name in {*forwards} - listed]
    for path in existing.values():
        problems = find_header_problems(path) + find_fence_problems(path)
        errors += [f"{relative(path)}: {problem}" for problem in problems]
    if errors:
        raise PageError("\n".join(sorted(errors)))


def find_page(name, paths):
    """Return the one among paths that a name means: a page's name, or the path of its file.

    Raise PageError if there is none.
    """
    for path in paths:
        if path.stem == Path(name).stem:
            return path
    names = ", ".join(path.stem for path in paths)
    raise PageError(f"no page with code is called {name!r}; these are: {names}")


def lacks_kernel(notebook):
    """Return whether a page has code, but a header that doesn't say which kernel runs it."""
    return code_cells(notebook) and "kernelspec" not in notebook.metadata


def find_fence_problems(path):
    """Return what is wrong with the ::: and ``` that open and close a page's directives.

    For such mistakes, Sphinx blames correct lines further down.
    """
    problems, fences = [], []  # open fences, each with its line
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        fence, rest = re.match(r"(:{3,}|`{3,}|)(.*)", line).groups()
        if rest.startswith("{code-cell}") and fences:
            opened, start = fences[-1]
            problems.append(f"the {opened} of line {start} isn't closed before line {number}")
            fences.clear()
        inside_code = fences and fences[-1][0].startswith("`")
        if fences and not rest and fence == fences[-1][0]:
            fences.pop()
        elif fence and rest and not inside_code:
            fences.append((fence, number))
        elif fence.startswith(":") and not inside_code:
            problems.append(f"the {fence} of line {number} closes nothing")
    return problems + [f"the {fence} of line {number} isn't closed" for fence, number in fences]


def find_header_problems(path):
    """Return what is wrong with a page's header."""
    if not path.read_text("utf-8").strip():
        return ["is empty"]
    notebook = read_page(path)
    problems = []
    if lacks_kernel(notebook):
        problems.append(NO_KERNEL)
    myst = notebook.metadata.get("myst", {})
    length = len(" ".join(myst.get("html_meta", {}).get("description", "").split()))
    if not length:
        problems.append("has no description in its header (myst: html_meta: description)")
    elif length not in DESCRIPTION_LENGTHS:
        problems.append(
            f"the description in its header has {length} characters; 70 to 170 are needed"
        )
    if not any(re.search("(?m)^# ", c.source) for c in notebook.cells if c.cell_type == "markdown"):
        problems.append("has no title (# ...)")
    return problems


def formatted(path):
    """Return the text of a page as JupyterLab would write it."""
    settings = load_jupytext_configuration_file(str(BOOK / "jupytext.toml"))
    notebook = jupytext.reads(path.read_text("utf-8"), fmt="md:myst", config=settings)
    return jupytext.writes(notebook, fmt="md:myst", config=settings)


def format_pages():
    """Write the pages as JupyterLab would, which wraps their headers and drops blank lines.

    Raise PageError if a page's header can't be read, before any page is written.
    """
    paths = sorted(BOOK.glob("*.md"))
    for path in paths:
        if lacks_kernel(read_page(path)):
            raise PageError(f"{relative(path)}: {NO_KERNEL}")
    for path in paths:
        if path.read_text("utf-8") != (text := formatted(path)):
            path.write_text(text, "utf-8")
            print(f"Formatted {relative(path)}.")


def write_new_page(name):
    """Write book/NAME.md and list it at the end of _toc.yml.

    Raise PageError if the page exists or the name isn't made of lowercase words and hyphens.
    """
    path = BOOK / f"{name}.md"
    if not name:
        raise PageError("say which page to write: make page name=my-layer")
    if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name):
        message = "a page's name consists of lowercase words and hyphens, as in name=my-layer"
        raise PageError(f"{name!r}: {message}")
    if path.exists():
        raise PageError(f"{relative(path)} exists already")
    title = name.replace("-", " ").capitalize()
    path.write_text(HEADER + NEW_PAGE.replace("TITLE", title), "utf-8")
    contents = ROOT / "_toc.yml"
    text = contents.read_text("utf-8").rstrip()
    indentation = re.findall(r"(?m)^( *)- file:", text)[-1]
    contents.write_text(f"{text}\n{indentation}- file: book/{name}\n", "utf-8")
    print(f"Wrote {relative(path)} and listed it in _toc.yml. Next: 'make preview'.")
