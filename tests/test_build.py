"""What can go wrong while pages are executed: a clear error, and nothing half-written."""

import os
import re
import resource
import signal

import nbformat
import psutil
import pytest

from tests.conftest import PAGE, wait_for
from tools.build.notebook import code_cells

# The code of a cell whose first line is line 23 of its page, and what is reported
DEFINITION = (
    "def check(x):\n    if x:\n        assert (\n            x == 2\n        )%s\n\n\ncheck(1)"
)
FAILING_CELLS = {
    "exception": ("1 / 0", "23: cell 2: ZeroDivisionError: division by zero"),
    "second line": (":tags: [x]\n\n1\nopen('x')", "26: cell 2: FileNotFoundError: [Errno 2]"),
    "assertion": ("x = 1\nassert x == 2", "24: cell 2: AssertionError: assert x == 2"),
    "in a function": (
        DEFINITION % "",
        "30: cell 2: AssertionError: assert x == 2 (raised at line 25)\n",
    ),
    "with a message": (DEFINITION % ", 'no'", "30: cell 2: AssertionError: no (assert x == 2) (ra"),
    "without a message": ("def f():\n    raise ValueError\nf()", "25: cell 2: ValueError (raised"),
    "without assert": ("raise AssertionError('no')", "23: cell 2: AssertionError: no"),
    "in a library": (
        "from unittest import TestCase\nTestCase().fail('no')",
        "24: cell 2: AssertionError: no\n",
    ),
    "syntax": ("1\nx = (", "24: cell 2: SyntaxError: incomplete input\n"),
    "recursion": ("def f():\n    f()\nf()", "25: cell 2: RecursionError: "),
    "dead kernel": ("import os; os.kill(os.getpid(), 9)", "22: cell 2: the kernel died"),
    "out of memory": (
        "import resource as r\nr.setrlimit(r.RLIMIT_AS, (2**30, 2**30))\nbytes(2**40)",
        "25: cell 2: MemoryError\n",
    ),
}


@pytest.mark.parametrize("code, message", FAILING_CELLS.values(), ids=FAILING_CELLS)
def test_failing_statement_is_located(checkout, code, message):
    checkout.write(code)
    assert f"book/page.md:{message}" in checkout.fail()


def test_endless_cell_is_located(checkout):
    checkout.configure(lambda config: config["execute"].update(timeout=3))
    checkout.write("while True: pass")
    assert checkout.fail().strip().endswith("book/page.md:22: cell 2: timed out after 3 s")


def test_failing_cell_fails_every_build(checkout):
    checkout.write("1 / 0")
    errors = checkout.fail("site")
    assert "book/page.md:23: cell 2: " in errors
    assert checkout.fail("site") == errors


def test_build_needs_no_network_and_reuses_the_cache(checkout):
    checkout.write("open('../executed', 'a').write('x')")
    nowhere = dict.fromkeys(["http_proxy", "https_proxy", "all_proxy"], "http://127.0.0.1:9")
    for _ in range(2):
        site = checkout.build(env=os.environ | nowhere)
    assert (site / "book" / "page.html").exists()
    assert (checkout.folder / "executed").read_text() == "x"


def test_kernels_communicate_through_files(checkout):
    # Over TCP, two kernels can claim the same port, and any user of this machine could listen.
    file = "__import__('ipykernel').get_connection_file()"
    checkout.write(f'assert \'"transport": "ipc"\' in open({file}).read()')
    checkout.build()


def test_shared_input_that_changes_during_a_build_empties_the_cache(checkout):
    size = "__import__('matplotlib').rcParams['figure.figsize']"
    path = checkout.folder / "book" / "matplotlibrc"
    checkout.write(
        f"assert {size} != [9, 9]\nopen('matplotlibrc', 'w').write('figure.figsize: 9, 9')"
    )
    assert checkout.start("site").wait() == 0
    assert "figure.figsize: 9, 9" in path.read_text()
    assert "AssertionError" in checkout.start("site").communicate()[1]


def test_recording_keeps_neither_timestamps_nor_versions(checkout):
    checkout.write("print(2)\nprint(3)")
    process = checkout.start()
    assert process.communicate() and process.returncode == 0
    recorded = nbformat.read(checkout.folder / "book" / "page.ipynb", as_version=4)
    assert [cell.outputs[0].get("text") for cell in recorded.cells[2:]] == ["2\n3\n"]
    assert "version" not in recorded.metadata.language_info
    assert not any("execution" in cell.metadata for cell in recorded.cells)


BROKEN_PAGES = {
    "merge conflict": (
        "page.md",
        PAGE.replace("kernelspec:", "<<<<<<< HEAD\nkernelspec:\n=======\n>>>>>>> theirs"),
    ),
    "invalid header": ("exercises.md", PAGE.replace("jupytext:", "jupytext: [")),
}


@pytest.mark.parametrize("name, text", BROKEN_PAGES.values(), ids=BROKEN_PAGES)
def test_unreadable_page_is_named(checkout, name, text):
    checkout.write("2 + 2")
    (checkout.folder / "book" / name).write_text(text)
    assert f"book/{name}: not a MyST notebook: " in checkout.fail()


BAD_CONTENTS = {
    "missing page": (
        "root: book/page\nchapters: [file: book/exercises, file: book/nowhere]",
        "_toc.yml: page book/nowhere.md doesn't exist\n",
    ),
    "page listed twice": (
        "root: book/page\nchapters: [file: book/exercises, file: book/page]",
        "_toc.yml: document file used multiple times: 'book/page'\n",
    ),
    "unlisted page": ("root: book/page", "book/exercises.md: not listed in _toc.yml\n"),
    "no file": ("root: book/page\nchapters: [book/exercises]", "_toc.yml: entry not a mapping"),
    "invalid YAML": ("root: [", "_toc.yml: while parsing a flow node"),
}


@pytest.mark.parametrize("contents, message", BAD_CONTENTS.values(), ids=BAD_CONTENTS)
def test_wrong_contents_are_reported_before_execution(checkout, contents, message):
    checkout.write("open('ran', 'w').close()")
    (checkout.folder / "_toc.yml").write_text(f"format: jb-book\n{contents}\n")
    assert checkout.fail("site").startswith(message)


def test_forward_to_a_missing_page_is_reported(checkout):
    checkout.write("1")
    checkout.configure(lambda config: config["sphinx"]["config"]["forwards"].update(a="book/b"))
    assert checkout.fail("site") == "_config.yml: forwards: page book/b doesn't exist\n"


def test_full_disk_is_reported(checkout):
    checkout.write("'x' * 300_000")

    def limit_file_size():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    errors = checkout.fail(preexec_fn=limit_file_size)
    assert re.search("too large|No space|full", errors)


def test_interrupt_leaves_no_files_and_no_kernels(checkout):
    checkout.write("open('started', 'w').close(); import time; time.sleep(60)")
    process = checkout.start(start_new_session=True)
    started = checkout.folder / "book" / "started"
    wait_for(started.exists, process)
    started.unlink()
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert kernels
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("Interrupted."), errors
    assert checkout.is_unchanged()
    assert not psutil.wait_procs(kernels, timeout=60)[1]


def test_concurrent_builds_take_turns(checkout):
    checkout.write("2 + 2")
    processes = [checkout.start() for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sum("Waiting for another build" in output for output, _ in outputs) == 1
    assert not checkout.is_unchanged()


def test_recording_keeps_what_did_not_change(checkout):
    def record():
        process = checkout.start()
        assert process.wait() == 0, process.stderr.read()
        return process.stdout.read(), code_cells(nbformat.read(recording, as_version=4))

    page, recording = (checkout.folder / "book" / f"page.{suffix}" for suffix in ("md", "ipynb"))
    checkout.write(":tags: [nbval-ignore-output]\n\nimport time\ntime.time_ns()")
    _, first = record()
    page.write_text(page.read_text().replace("# A page", "# A better page"))
    printed, after_prose = record()
    assert "executed" not in printed and after_prose == first
    assert "A better page" in recording.read_text()
    page.write_text(page.read_text().replace("1 + 1", "1 + 2"))
    printed, after_code = record()
    assert "executed book/page.md" in printed
    assert after_code[0].outputs[0].data["text/plain"] == "3"
    assert after_code[1].outputs == first[1].outputs  # measured time stays
    page.write_text(page.read_text().replace("time_ns()", "time_ns() + 1"))
    assert record()[1][1].outputs != first[1].outputs


def test_recording_that_jupyterlab_saved_is_made_anew(checkout):
    checkout.write("2 + 3")
    assert checkout.start().wait() == 0
    path = checkout.folder / "book" / "page.ipynb"
    recording = path.read_text()
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["jupytext"] = {"formats": "md:myst,ipynb"}
    notebook.cells[-1].outputs[0].data["text/plain"] = "7"
    nbformat.write(notebook, path)
    assert checkout.start().wait() == 0
    assert path.read_text() == recording


def test_build_lists_outputs_that_changed(checkout):
    code = "from matplotlib import pyplot as plt\nplt.title('loss')\nplt.show()\n1 < 2"
    checkout.write(code)
    assert checkout.start().wait() == 0
    checkout.write(code.replace("loss", "gain").replace("<", ">"))
    process = checkout.start("site")
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert re.search(r"book/page.md:22: .*False \(recorded: .*True\)\n", printed)
    assert re.search(r"book/page.md:22: the figure has changed: .* 'loss' is now 'gain'\n", printed)
    assert "If you meant these changes, run 'make notebooks'." in printed
    recorded = checkout.start().communicate()[0]
    assert "'loss' is now 'gain'\n" in recorded and "False (recorded: " in recorded
    assert "No outputs to record" in checkout.start().communicate()[0]


def test_output_that_changed_without_its_code_is_recorded(checkout):
    checkout.write("7")
    assert checkout.start().wait() == 0
    path = checkout.folder / "book" / "page.ipynb"
    recording = path.read_text()
    path.write_text(recording.replace('"7"', '"6"'))
    assert "book/page.md:22: 7 (recorded: 6)\n" in checkout.start("site").communicate()[0]
    assert "executed book/page.md" in checkout.start().communicate()[0]
    assert path.read_text() == recording


@pytest.mark.parametrize("name", ["page", "page.md", "book/page.md", "book/page.ipynb"])
def test_one_page_is_recorded_by_its_name_or_file(checkout, name):
    checkout.write("7")
    assert "executed book/page.md" in checkout.start("record", name).communicate()[0]


def test_pages_that_can_be_recorded_are_listed(checkout):
    checkout.write("7")
    process = checkout.start("record", "pages")
    assert "no page with code is called 'pages'; these are: page" in process.communicate()[1]


def test_page_without_its_header_is_neither_formatted_nor_recorded(checkout):
    checkout.write("7")
    path = checkout.folder / "book" / "page.md"
    text = path.read_text().partition("---\n")[2]
    path.write_text(text)
    for task in "format", "record":
        process = checkout.start(task)
        assert "book/page.md: has a code cell but no kernelspec" in process.communicate()[1]
        assert path.read_text() == text and checkout.is_unchanged()


def test_new_page_builds(checkout):
    checkout.write("1")
    contents = "format: jb-book\nroot: book/page\nchapters:\n  - file: book/exercises\n# end"
    (checkout.folder / "_toc.yml").write_text(contents)
    process = checkout.start("page", "my-layer")
    assert "_toc.yml. Next: 'make preview'." in process.communicate()[0]
    page = checkout.folder / "book" / "my-layer.md"
    assert (
        "in its header has 4 characters; 70 to 170 are needed"
        in checkout.start("site").communicate()[1]
    )
    page.write_text(page.read_text().replace("TODO", "A description of a new page. " * 3))
    assert (checkout.build() / "book" / "my-layer.html").exists()
    assert "my-layer.md exists already" in checkout.start("page", "my-layer").communicate()[1]
    assert "lowercase words" in checkout.start("page", "../page").communicate()[1]
    assert "say which page" in checkout.start("page", "").communicate()[1]


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ("kernelspec:", "kernel:", "has a code cell but no kernelspec in its header"),
        ("description: A small page that tests build, with", "description:", "characters; 70"),
        ("description: A small", "text: A small", "has no description in its header"),
        ("# A page", "A page", "has no title"),
        ("# A page", "# A page\n\n:::{note}\nText", "the ::: of line 18 isn't closed before"),
        ("# A page", "# A page\n\n::{note}\nText\n:::", "the ::: of line 20 closes nothing"),
        ("# A page", "# A page\n\n```{note}\nText", "the ``` of line 18 isn't closed before line"),
    ],
)
def test_incomplete_header_is_named(checkout, old, new, problem):
    checkout.write("1")
    path = checkout.folder / "book" / "page.md"
    path.write_text(path.read_text().replace(old, new))
    errors = checkout.fail("site")
    assert errors.startswith("book/page.md: ") and problem in errors
