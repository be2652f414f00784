"""`make live` in a browser: pages run, and a kernel can't be reached without the token."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen, run

import nbformat
import psutil
import pytest
from jupyter_client import BlockingKernelClient
from playwright.sync_api import expect

from tests.conftest import skip_or_fail
from tests.live import NOTE, PAGE, RECORDED, Reader, make_live
from tools.build.notebook import code_cells, pages_with_code, tags
from tools.live.serve import LiveKernels
from tools.project import ROOT, SITE
from tools.static_server import serve_folder

pytestmark = [pytest.mark.browser, pytest.mark.npm, pytest.mark.network]

PAGES = {f"book/{path.stem}": code_cells(page) for path, page in pages_with_code().items()}
CODE = ".CodeMirror-code"


@pytest.mark.parametrize("name", PAGES)
def test_page_runs_from_the_top_on_a_narrow_screen(live, reader, name):
    reader.page.set_viewport_size({"width": 400, "height": 800})
    reader.open_without_kernel(live, name)
    reader.press("Start the kernel")
    expect(reader.status).to_have_text("Ready.")
    reader.press("Run all cells")
    expect(reader.status).to_contain_text("Running")
    expect(reader.status).to_have_text("Ready.", timeout=120_000)
    # For each cell, folded or not: the number of figures, and whether there is text.
    script = """(cells, selectors) => cells.map(cell => selectors.map(selector => {
      const node = cell.querySelector(selector);
      return node && [node.querySelectorAll("img").length, node.textContent.trim() !== ""];
    }))"""
    states = reader.cells.evaluate_all(script, [RECORDED, ".live-output"])
    notes = reader.page.locator(NOTE).all_text_contents()
    for cell, note, (recorded, output) in zip(PAGES[name], notes, states, strict=True):
        assert (" after " in note) == ("raises-exception" in tags(cell)), note
        if recorded:
            assert output == recorded
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 400
    reader.page.get_by_role("contentinfo").scroll_into_view_if_needed()
    expect(reader.status).to_be_in_viewport()
    assert all(r.url.startswith((f"{live.url}/", "data:", "blob:")) for r in reader.requests)


def test_edit_changes_the_output_and_is_kept_until_reset(live, reader):
    reader.open(live)
    layer = reader.find_cell("class CenteredLayer")
    call = reader.find_cell("(np.array(")
    code = reader.in_cell(layer, CODE)
    recorded = reader.in_cell(call, RECORDED).inner_text()
    expect(reader.editor(layer)).to_have_count(1)
    reader.in_cell(layer, CODE).get_by_text("return x - x.mean()").click()
    expect(reader.page.locator(".CodeMirror-focused")).to_be_visible()
    reader.page.keyboard.press("Control+End")
    reader.page.keyboard.type(" + 7")
    reader.press(f"Run cells 1 to {call}")
    expect(reader.in_cell(call, NOTE)).to_contain_text("ran in")
    changed = reader.output(call).inner_text()
    assert changed and changed != recorded
    expect(reader.in_cell(call, RECORDED)).to_be_hidden()
    reader.in_cell(call, ".live-recorded > summary").click()
    assert reader.in_cell(call, RECORDED).inner_text() == recorded

    reader.page.reload()
    expect(reader.status).to_have_text("Ready.")  # the page has found its kernel
    expect(reader.page.get_by_text(f"Cells that were edited before: {layer}.")).to_be_visible()
    expect(reader.cells.nth(layer - 1)).to_have_class(re.compile("live-edited"))
    expect(code).to_contain_text("x.mean() + 7")
    reader.press(f"Reset code of cell {layer}")
    expect(code).not_to_contain_text("+ 7")
    reader.page.reload()
    reader.editor(layer)
    expect(code).not_to_contain_text("+ 7")


def test_exercise_and_its_folded_solution_run(live, reader):
    reader.open(live, "book/exercises")
    code = ["class AffineLayer", "check_affine(AffineLayer)", "class PlainAffineLayer"]
    starter, check, solution = map(reader.find_cell, code)
    expect(reader.in_cell(solution, ".live-tools")).to_be_hidden()
    reader.page.locator("details.solution > summary").first.click()
    reader.press(f"Run cells 1 to {solution}")
    expect(reader.output(check)).to_contain_text("AffineLayer isn't written yet")
    expect(reader.output(solution)).to_contain_text("passed  works in a network")
    answer = PAGES["book/exercises"][solution - 1].source.partition("\n\n\ncheck_affine")[0]
    reader.run(starter, answer.replace("PlainAffine", "Affine"))
    reader.editor(check).press("Shift+Enter")
    expect(reader.output(check)).to_contain_text("passed  works in a network")
    lines = reader.output(check).inner_text().splitlines()
    assert len(lines) == 12 and all(line.startswith("passed  ") for line in lines)


def test_error_stops_the_cells_below(live, reader):
    reader.open(live)
    reader.run(2, "1 / 0")
    expect(reader.output(2)).to_contain_text("division by zero")
    reader.press("Run cells 1 to 4")
    expect(reader.status).to_have_text("Ready. Cell 2 raised ZeroDivisionError.")
    expect(reader.status.locator("..")).to_have_attribute("data-state", "remark")
    expect(reader.in_cell(3, NOTE)).to_have_text("Cell 3: not run")


def test_endless_loop_can_be_interrupted(live, reader):
    reader.open(live)
    reader.run(1, "print('started')\nwhile True:\n    pass")
    expect(reader.output(1)).to_contain_text("started")
    reader.editor(2).press("Shift+Enter")
    expect(reader.in_cell(2, NOTE)).to_have_text("Cell 2: queued")
    reader.press("Interrupt the running cell")
    expect(reader.output(1).last).to_contain_text("KeyboardInterrupt")
    expect(reader.in_cell(2, NOTE)).to_have_text("Cell 2: not run")
    reader.run(1, "6 * 7")
    expect(reader.output(1)).to_have_text(["42"])  # a list waits until there is only one


@pytest.mark.parametrize("dies", [True, False], ids=["dead", "restarted"])
def test_new_kernel_is_announced_and_empty(live, reader, dies):
    reader.open(live)
    pid = reader.evaluate("known = 1\nimport os\nos.getpid()")
    if dies:
        reader.run(1, "while True:\n    pass")
        expect(reader.status).to_have_text("Running cell 1 …")
        os.kill(pid, signal.SIGKILL)
        reader.editor(2).focus()
        reader.page.keyboard.press("Control+Space")  # asks the dead kernel for completions
        expect(reader.in_cell(1, NOTE)).to_contain_text("stopped")
    else:
        reader.press("Restart the kernel")
    expect(reader.status).to_have_text(re.compile("Ready. .*The new kernel is empty"))
    assert reader.evaluate("'known' in globals()") is False


def test_keyboard_reaches_everything(live, reader):
    reader.open_without_kernel(live)
    focused = reader.page.locator(":focus")

    def tab_to(name, key="Tab"):
        for _ in range(50):
            reader.page.keyboard.press(key)
            if focused.get_attribute("aria-label") == name:
                return
        pytest.fail(f"Tab doesn't reach {name}")

    tab_to("Start the kernel")
    assert focused.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    reader.page.keyboard.press("Enter")
    expect(reader.status).to_have_text("Ready.")
    tab_to("Run cell 2")  # past two editors
    tab_to("Code of cell 1", "Shift+Tab")
    reader.page.keyboard.press("Enter")
    reader.page.keyboard.press("Control+a")
    reader.page.keyboard.type("for n in 1, 2:\nprint(n / 2)")  # the editor indents
    reader.page.keyboard.press("Escape")
    expect(focused).to_have_attribute("aria-label", "Code of cell 1")
    reader.page.keyboard.press("Enter")
    reader.page.keyboard.press("Shift+Enter")
    expect(reader.output(1)).to_have_text("0.5\n1.0\n")
    expect(focused).to_have_attribute("aria-label", re.compile("Code of cell 2. Shift Enter"))
    expect(reader.page.locator(".live-button:not([aria-label])")).to_have_count(0)


def test_kernel_is_the_books_and_leaves_nothing_when_the_server_stops(live, reader):
    with make_live() as server:
        reader.open(server)
        values = "sys.executable, matplotlib.rcParams['figure.figsize'], os.getcwd(), os.getpid()"
        python, size, folder, kernel = reader.evaluate(f"import os, sys, matplotlib\n{values}")
        assert os.path.samefile(python, sys.executable)
        assert size == [6.4, 3.2]  # from book/matplotlibrc
        assert folder.startswith(tempfile.gettempdir()) and Path(folder).is_dir()
        assert "Traceback" not in server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    assert not Path(folder).exists()
    expect(reader.status).to_contain_text("The server has stopped. You can keep reading")
    expect(reader.page.get_by_role("heading", level=1)).to_be_visible()
    expect(reader.output(1)).to_contain_text(str(kernel))


def test_busy_kernel_is_found_again(live, reader):
    reader.open(live)
    reader.run(1, "print('started')\nwhile True:\n    pass")
    expect(reader.output(1)).to_contain_text("started")
    reader.page.reload()
    expect(reader.status).to_contain_text("Busy with a cell from before")
    reader.press("Run cell 2")
    reader.press("Interrupt the running cell")
    expect(reader.in_cell(2, NOTE)).to_contain_text("NameError")  # because cell 1 didn't run
    reader.run(1, "print('started')\nwhile True:\n    pass")
    expect(reader.output(1)).to_contain_text("started")
    reader.page.reload()
    expect(reader.status).to_contain_text("Busy with a cell from before")
    reader.press("Restart the kernel")
    expect(reader.status).to_contain_text("The new kernel is empty")
    assert reader.evaluate("6 * 7") == 42


def test_kernel_without_a_page_ends_even_if_it_prints(tmp_path):
    async def run_endless_loop():
        kernels = LiveKernels(cull_idle_timeout=1, cull_interval=1, root_dir=str(tmp_path))
        kernel = kernels.get_kernel(await kernels.start_kernel())
        loop = kernel.client()
        loop.start_channels()
        await loop.wait_for_ready()
        loop.execute("import time\nwhile True: print(time.sleep(0.1))")
        await asyncio.sleep(2)
        assert kernel.execution_state == "busy"
        for _ in range(50):
            if not kernels.list_kernel_ids():
                return
            await asyncio.sleep(0.1)
        await kernels.shutdown_all(now=True)
        pytest.fail("the kernel runs on")

    with ThreadPoolExecutor(1) as thread:  # because Playwright's event loop runs in this one
        thread.submit(asyncio.run, run_endless_loop()).result()


def test_tabs_that_share_a_kernel_say_so(live, reader):
    reader.open(live)
    shared = "This page is open in several tabs, which share one kernel."
    expect(reader.page.get_by_text(shared)).to_have_count(0)
    second = Reader(reader.page.context)
    second.open(live, "book/exercises")
    expect(reader.page.get_by_text(shared)).to_have_count(0)
    second.open(live)
    for tab in reader, second:
        expect(tab.page.get_by_text(shared)).to_be_visible()


def test_editors_are_made_when_they_come_into_view(live, reader):
    reader.open(live)
    expect(reader.editor(1)).to_be_visible()
    assert reader.page.locator(".CodeMirror").count() < len(PAGES[PAGE]) / 2
    height = "document.documentElement.scrollHeight"
    before = reader.page.evaluate(height)
    for cell in range(2, len(PAGES[PAGE])):
        if reader.in_cell(cell, ".cell_input").is_visible():
            expect(reader.editor(cell)).to_have_count(1)
    assert abs(reader.page.evaluate(height) - before) <= 2  # nothing moves


def test_buttons_show_when_pointed_at_and_fold_with_the_code(live, reader):
    reader.open(live)
    button = reader.page.get_by_role("button", name="Run cells 1 to 2", exact=True)
    expect(button).to_have_css("opacity", "0")
    run_button = reader.page.get_by_role("button", name="Run cell 2", exact=True)
    expect(run_button).to_have_css("opacity", "1")
    reader.cells.nth(1).hover()
    expect(button).to_have_css("opacity", "1")
    folded = next(i for i, cell in enumerate(PAGES[PAGE], 1) if "hide-input" in tags(cell))
    expect(reader.in_cell(folded, ".live-tools")).to_be_hidden()
    reader.in_cell(folded, "details.hide > summary").click()
    expect(reader.in_cell(folded, ".live-tools")).to_be_visible()


def test_edit_is_copied_and_downloaded(live, reader):
    reader.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reader.open(live)
    reader.editor(2).focus()
    reader.page.keyboard.press("Control+a")
    reader.page.keyboard.insert_text("a = 1\nb = 2")
    reader.cells.nth(1).hover()
    reader.in_cell(2, ".copybtn").click()
    assert reader.page.evaluate("navigator.clipboard.readText()") == "a = 1\nb = 2"
    with reader.page.expect_download() as download:
        reader.page.get_by_text("Download notebook").click()
    assert download.value.suggested_filename == f"{Path(PAGE).name}.ipynb"
    notebook = nbformat.read(download.value.path(), as_version=4)
    nbformat.validate(notebook)
    expected = [cell.source for cell in PAGES[PAGE]]
    expected[1] = "a = 1\nb = 2"
    assert [cell.source for cell in code_cells(notebook)] == expected


def test_page_that_has_not_been_recorded_runs(live, reader):
    reader.page.add_init_script("""document.addEventListener("readystatechange", () =>
        document.querySelector(".page-actions [download]")?.remove())""")
    reader.open(live)
    reader.run(2, "6 * 7")
    expect(reader.output(2)).to_have_text("42")


def test_names_are_completed(live, reader):
    reader.open(live)
    assert reader.evaluate("recording_length = 64\n1") == 1
    reader.editor(2).focus()
    reader.page.keyboard.press("Control+a")
    reader.page.keyboard.type("recording_l")
    reader.page.keyboard.press("Control+Space")
    expect(reader.in_cell(2, CODE)).to_have_text("recording_length")


def test_landing_page_does_not_tell_to_start_the_server(live, reader):
    reader.page.goto(f"{live.url}/book/index.html")
    expect(reader.page.get_by_text("make live", exact=True)).to_be_hidden()
    expect(reader.page.get_by_text("make lab", exact=True)).to_be_visible()


def serve_checkout(checkout, **variables):
    """Serve a site of one page from a checkout of its own."""
    (checkout.folder / ".venv").mkdir(exist_ok=True)
    page = checkout.folder / "_build" / "html" / "page.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<head></head>first")
    return make_live(f"{sys.executable} -m tools.live.serve", checkout.folder, **variables)


def test_rebuilt_page_is_sent_again(checkout):
    page = checkout.folder / "_build" / "html" / "page.html"
    with serve_checkout(checkout) as server:
        headers = server.request("/page.html")[2]
        cached = {"If-None-Match": headers["ETag"], "If-Modified-Since": headers["Last-Modified"]}
        assert server.request("/page.html", **cached)[0] == 304
        written = page.stat().st_mtime
        page.write_text("<head></head>again")
        os.utime(page, (written, written))
        status, text, _ = server.request("/page.html", **cached)
        assert status == 200 and text.endswith("again")


def test_port_is_kept_unless_it_was_taken(checkout):
    with serve_checkout(checkout) as first, serve_checkout(checkout) as second:
        assert first.host != second.host
    with serve_checkout(checkout) as server:
        assert server.host == first.host
    address, _, port = first.host.partition(":")
    with socket.create_server((address, int(port))), serve_checkout(checkout) as server:
        assert server.host != first.host
    with serve_checkout(checkout) as again:
        assert again.host == server.host


def test_kernel_that_names_no_folder_starts_outside_the_checkout(checkout, tmp_path_factory):
    temporary = tmp_path_factory.mktemp("temporary")
    with serve_checkout(checkout, TMPDIR=str(temporary)) as server:
        assert server.request("/api/kernels", "POST", server.token)[0] == 201
        (connection,) = temporary.rglob("kernel-*.json")
        assert json.loads(connection.read_text())["curve_publickey"]
        client = BlockingKernelClient(connection_file=str(connection))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=30)
        client.execute_interactive("open('here', 'w').close()", timeout=30)
        assert next(temporary.glob("live-*")) / "here" in temporary.rglob("here")


def test_killed_tests_leave_nothing_behind(checkout, tmp_path_factory):
    temporary = tmp_path_factory.mktemp("temporary")
    code = """if True:
        import sys, time
        from tests.live import make_live
        with make_live(TMPDIR=sys.argv[1]) as server:
            server.request("/api/kernels", "POST", server.token)
            print(server.process.pid, flush=True)
            time.sleep(60)"""
    command = [sys.executable, "-c", code, str(temporary)]
    with Popen(command, cwd=ROOT, stdout=PIPE, text=True) as tests:
        shell = psutil.Process(int(tests.stdout.readline()))
        processes = [shell, *shell.children(recursive=True)]
        assert any("ipykernel_launcher" in process.cmdline() for process in processes)
        tests.kill()
    assert not psutil.wait_procs(processes, timeout=60)[1]
    assert not list(temporary.glob("live-*"))


def test_page_without_the_token_says_what_to_do(live, reader):
    reader.page.goto(f"{live.url}/{PAGE}.html")
    expect(reader.status).to_contain_text("open the address that “make live” printed")
    reader.press("Start the kernel")
    expect(reader.status).to_contain_text("open the address that “make live” printed")


def test_static_site_has_no_live_code():
    for page in SITE.rglob("*.html"):
        assert not re.search("/live/|live-|thebe", page.read_text("utf-8")), page


def test_lock_pins_hashes_and_names_no_registry():
    lock = ROOT / "tools" / "live" / "package-lock.json"
    packages = json.loads(lock.read_text("utf-8"))["packages"]
    manifest = json.loads(lock.with_name("package.json").read_text("utf-8"))
    assert packages.pop("") == {"dependencies": manifest["dependencies"]}
    for package in packages.values():
        assert package["integrity"].startswith("sha512-") and "resolved" not in package


@pytest.mark.parametrize("problem", ["npm is missing", "ECONNREFUSED", "EINTEGRITY"])
def test_failed_installation_shows_the_reason(tmp_path, problem):
    checkout = tmp_path / "a checkout"
    shutil.copytree(ROOT / "tools" / "live", checkout / "tools" / "live")
    variables = {"npm_config_cache": str(tmp_path / "cache"), "npm_config_fetch_retries": "0"}
    if problem == "npm is missing":
        variables["PATH"] = str(tmp_path)
    elif not shutil.which("npm"):
        skip_or_fail("npm isn't installed")
    with serve_folder(tmp_path) as registry:
        version = {"name": "thebe", "version": "0.9.3", "dist": {"tarball": f"{registry}/thebe"}}
        package = {"name": "thebe", "versions": {"0.9.3": version}}
        (tmp_path / "thebe").write_text(json.dumps(package))
        address = registry if problem == "EINTEGRITY" else "http://127.0.0.1:9"
        environment = os.environ | variables | {"npm_config_registry": address}
        options = {"cwd": checkout, "env": environment, "stderr": PIPE, "text": True}
        installation = run(["tools/live/install.sh"], **options)
    assert problem in installation.stderr
    assert installation.stderr.endswith("; 'make lab' works without npm.\n")
    assert installation.returncode and not list(checkout.rglob("installed"))
