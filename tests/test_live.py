"""`make live` in a browser: pages run, and nobody without the token gets at a kernel."""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, run

import pytest
from playwright.sync_api import expect

from tests.conftest import skip_or_fail, wait_for
from tools.build.notebook import code_cells, pages_with_code, tags
from tools.project import ROOT, SITE
from tools.static_server import serve_folder

pytestmark = [pytest.mark.browser, pytest.mark.npm, pytest.mark.network]

PAGES = {f"book/{path.stem}": code_cells(page) for path, page in pages_with_code().items()}
PAGE = "book/layers-without-parameters"
CODE, NOTE, RECORDED = ".CodeMirror-code", ".live-note", ".cell_output:not(.live-output)"

expect.set_options(timeout=30_000)


class Server:
    """A running `make live`: its process, address, and token."""

    def __init__(self, process):
        self.process = process
        printed = ""
        while not (found := re.search(r"(http://(127\.0\.0\.1:\d+))/#token=(\S+)\n", printed)):
            line = process.stdout.readline()
            assert line, f"make live ended without printing its address:\n{printed}"
            printed += line
        self.url, self.host, self.token = found.groups()

    def request(self, path, method="GET", token=None, **headers):
        """Return the status and the text of the response."""
        if token:
            headers["Authorization"] = f"token {token}"
        connection = HTTPConnection(self.host)
        connection.request(method, path, "{}" if method == "POST" else None, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def ids(self, kind):
        """Return the ids of the running kernels or sessions."""
        items = json.loads(self.request(f"/api/{kind}", token=self.token)[1])
        return {item["id"] for item in items}

    def stop(self):
        """Press Ctrl-C; return what was printed after the address."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.communicate(timeout=60)[0]


@contextmanager
def make_live(**variables):
    """Run `make live` as in a terminal without a desktop; yield a Server."""
    unset = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "MAKEFLAGS", "MAKELEVEL"}
    environment = {k: v for k, v in os.environ.items() if k not in unset} | variables
    options = {"stdout": PIPE, "stderr": STDOUT, "text": True, "start_new_session": True}
    with Popen(["make", "--silent", "live"], cwd=ROOT, env=environment, **options) as process:
        try:
            yield Server(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def live():
    """Yield the server of the tests that don't stop it."""
    command = ["make", "--silent", ".venv/live/installed"]
    installation = run(command, cwd=ROOT, capture_output=True, text=True)
    if installation.returncode:
        skip_or_fail(installation.stderr)
    with make_live() as server:
        yield server


class Reader:
    """A browser window with a live page, the requests it made, and the errors in it."""

    def __init__(self, context):
        self.page = context.new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("pageerror", lambda error: self.errors.append(error))
        self.status = self.page.get_by_role("status")
        self.cells = self.page.locator("div.cell:has(div.cell_input)")

    def open(self, server, name=PAGE):
        """Open a page at the address with the token."""
        self.page.goto(f"{server.url}/{name}.html#token={server.token}")
        expect(self.status).not_to_be_empty()

    def open_without_kernel(self, server, name=PAGE):
        for session in server.ids("sessions"):
            server.request(f"/api/sessions/{session}", "DELETE", server.token)
        self.open(server, name)

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def find_cell(self, code):
        """Return the number, from 1, of the first cell that contains this code."""
        sources = self.page.locator("div.cell .CodeMirror").all_text_contents()
        return next(i for i, source in enumerate(sources, 1) if code in source)

    def in_cell(self, number, selector):
        return self.cells.nth(number - 1).locator(selector)

    def output(self, number):
        group = self.page.get_by_role("group", name=f"Output of cell {number}", exact=True)
        return group.locator(".jp-OutputArea-output")

    def editor(self, number):
        return self.page.get_by_role("textbox", name=f"Code of cell {number}.")

    def run(self, number, code):
        """Replace the code of a cell and run it."""
        self.editor(number).focus()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")

    def evaluate(self, code):
        """Run code in the first cell; return the value of its last line."""
        self.run(1, code)
        expect(self.output(1)).not_to_be_empty()
        return eval(self.output(1).inner_text())


@pytest.fixture
def reader(browser):
    with browser.new_context(reduced_motion="reduce") as context:
        reader = Reader(context)
        yield reader
        assert reader.errors == []


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
        if recorded and "remove-stdout" not in tags(cell):
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
    reader.page.get_by_text("return x - x.mean()").click()
    reader.page.keyboard.press("End")
    reader.page.keyboard.type(" + 7")
    reader.press(f"Run cells 1 to {call}")
    expect(reader.in_cell(call, NOTE)).to_contain_text("ran in")
    changed = reader.output(call).inner_text()
    assert changed and changed != recorded
    reader.press(f"Recorded output of cell {call}")
    assert reader.in_cell(call, RECORDED).inner_text() == recorded
    expect(reader.output(call)).to_be_hidden()
    reader.press(f"My output of cell {call}")
    assert reader.output(call).inner_text() == changed

    reader.page.reload()
    expect(reader.status).to_have_text("Ready.")  # the page has found its kernel
    expect(code).to_contain_text("x.mean() + 7")
    reader.press(f"Reset code of cell {layer}")
    expect(code).not_to_contain_text("+ 7")
    reader.page.reload()
    expect(code).not_to_contain_text("+ 7")

    reader.run(call, "print('mine')")
    expect(reader.output(call)).to_have_text("mine")
    reader.page.once("dialog", lambda dialog: dialog.accept())
    reader.press("Reset page: restore its code and outputs")
    expect(reader.output(call)).to_be_hidden()
    expect(reader.in_cell(call, RECORDED)).to_be_visible()
    expect(reader.in_cell(call, CODE)).not_to_contain_text("mine")


def test_exercise_and_its_folded_solution_run(live, reader):
    reader.open(live, "book/exercises")
    code = ["class AffineLayer", "check_affine(AffineLayer)", "class PlainAffineLayer"]
    starter, check, solution = map(reader.find_cell, code)
    expect(reader.in_cell(solution, ".live-tools")).to_be_hidden()
    reader.page.locator("details.solution > summary").first.click()
    reader.press(f"Run cells 1 to {solution}")
    expect(reader.output(check)).to_contain_text("AffineLayer is not written yet")
    expect(reader.output(solution)).to_contain_text("passed  works inside sequential")
    answer = PAGES["book/exercises"][solution - 1].source.partition("\n\n\ncheck_affine")[0]
    reader.run(starter, answer.replace("PlainAffine", "Affine"))
    reader.editor(check).press("Shift+Enter")
    expect(reader.output(check)).to_contain_text("passed  works inside sequential")
    lines = reader.output(check).inner_text().splitlines()
    assert len(lines) == 10 and all(line.startswith("passed  ") for line in lines)


def test_error_stops_the_cells_below(live, reader):
    reader.open(live)
    reader.run(2, "1 / 0")
    expect(reader.output(2)).to_contain_text("division by zero")
    reader.press("Run cells 1 to 4")
    expect(reader.status).to_have_text("Ready. Cell 2 raised ZeroDivisionError.")
    expect(reader.in_cell(3, NOTE)).to_have_text("Cell 3: not run")


def test_endless_loop_can_be_interrupted(live, reader):
    reader.open(live)
    reader.run(1, "print('started')\nwhile True:\n    pass")
    expect(reader.output(1)).to_contain_text("started")
    reader.editor(2).press("Shift+Enter")
    expect(reader.in_cell(2, NOTE)).to_have_text("Cell 2: waiting")
    reader.press("Interrupt the running cell")
    expect(reader.output(1).last).to_contain_text("KeyboardInterrupt")
    expect(reader.in_cell(2, NOTE)).to_have_text("Cell 2: not run")
    reader.run(1, "6 * 7")
    expect(reader.output(1)).to_have_text(["42"])  # a list waits until there is only one


@pytest.mark.parametrize("dies", [True, False], ids=["dead", "restarted"])
def test_new_kernel_is_announced_and_empty(live, reader, dies):
    reader.open(live)
    reader.run(1, "known = 1" + dies * "\nimport os\nos.kill(os.getpid(), 9)")
    expect(reader.in_cell(1, NOTE)).to_contain_text("stopped" if dies else "ran in")
    if not dies:
        reader.press("Restart the kernel")
    expect(reader.status).to_contain_text(dies * "The kernel died. " + "Ready. The new kernel")
    assert reader.evaluate("'known' in globals()") is False


def test_keyboard_reaches_everything(live, reader):
    reader.open_without_kernel(live)
    focused = reader.page.locator(":focus")

    def tab_to(name):
        for _ in range(50):
            reader.page.keyboard.press("Tab")
            if focused.get_attribute("aria-label") == name:
                return
        pytest.fail(f"Tab doesn't reach {name}")

    tab_to("Start the kernel")
    assert focused.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    reader.page.keyboard.press("Enter")
    expect(reader.status).to_have_text("Ready.")
    expect(focused).to_have_attribute("aria-label", "Run all cells")
    tab_to("Run cell 2")  # past two editors
    reader.editor(1).focus()
    reader.page.keyboard.press("Control+a")
    reader.page.keyboard.type("for n in 1, 2:\nprint(n / 2)")  # the editor indents
    reader.page.keyboard.press("Shift+Enter")
    expect(reader.output(1)).to_have_text("0.5\n1.0\n")
    reader.page.keyboard.press("Escape")
    expect(focused).to_have_attribute("aria-label", "Run cell 1")
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


@pytest.mark.parametrize("name", ["kernels", "sessions", "kernelspecs", "status"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("token", [None, "0" * 43], ids=["no token", "wrong token"])
def test_request_without_the_token_is_rejected(live, name, method, token):
    kernels = live.ids("kernels")
    assert live.request(f"/api/{name}", method, token)[0] == 403
    assert live.ids("kernels") == kernels


@pytest.mark.parametrize("path", ["/api/contents", "/api/terminals", "/files/matplotlibrc"])
def test_server_offers_kernels_only(live, path):
    assert live.request(path, token=live.token)[0] == 404


def test_foreign_host_name_is_rejected(live):
    # as in DNS rebinding, where a foreign name resolves to this machine
    assert live.request("/api/kernels", token=live.token, Host="example.org")[0] == 403


ATTACKS = {
    "form": """fetch(URL + "/api/sessions", {
        method: "POST", mode: "no-cors", credentials: "include", body: "{}"})""",
    "token in a header": """fetch(URL + "/api/kernels", {
        method: "POST", headers: {Authorization: "token " + TOKEN}})""",
    "token in the address": 'fetch(URL + "/api/kernels?token=" + TOKEN, {method: "POST"})',
    "socket to a running kernel": """new Promise((resolve, reject) => {
        const path = "/api/kernels/KERNEL/channels?token=" + TOKEN;
        const socket = new WebSocket(URL.replace("http", "ws") + path);
        Object.assign(socket, {onopen: () => resolve("open"), onerror: reject});
    })""",
    "frame": """new Promise(resolve => {
        const frame = document.createElement("iframe");
        Object.assign(frame, {src: URL + "/book/index.html", onload: () => resolve("")});
        document.body.append(frame);
    })""",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_foreign_origin_cannot_use_or_start_a_kernel(live, reader, tmp_path, attack):
    reader.open(live)
    assert reader.evaluate("1") == 1
    kernels = live.ids("kernels")
    script = ATTACKS[attack].replace("KERNEL", min(kernels))
    for name, value in ("URL", live.url), ("TOKEN", live.token):
        script = script.replace(name, json.dumps(value))
    (tmp_path / "index.html").write_text("<title>foreign</title>")
    with serve_folder(tmp_path) as address:
        page = reader.page.context.new_page()
        page.goto(address)
        read = "result => result.text?.() ?? result"
        assert page.evaluate(f"() => ({script}).then({read}).catch(() => '')") == ""
        assert not any(frame.url.startswith(live.url) for frame in page.frames)
    assert live.ids("kernels") == kernels


def test_page_without_the_token_says_what_to_do(live, reader):
    reader.page.goto(f"{live.url}/{PAGE}.html")
    expect(reader.status).to_contain_text("open the address that “make live” printed")
    reader.press("Start the kernel")
    expect(reader.status).to_contain_text("open the address that “make live” printed")


def test_token_does_not_leak_and_the_opened_browser_gets_it_once(live, reader, tmp_path):
    command, opened = tmp_path / "browser", tmp_path / "opened"
    command.write_text(f"#!/bin/sh\necho \"$@\" >'{opened}.part'\nmv '{opened}.part' '{opened}'\n")
    command.chmod(0o755)
    with make_live(BROWSER=str(command)) as server:
        token = server.token
        assert len(token) >= 43 and token != live.token
        wait_for(opened.exists, server.process)
        address = opened.read_text().strip()
        assert address.startswith(server.url) and token not in address
        reader.page.goto(address)
        assert token in reader.page.evaluate("Object.values(localStorage)")
        assert token not in reader.page.url
        assert server.request(address.removeprefix(server.url))[0] == 404

        reader.page.goto(f"{server.url}/{PAGE}.html")
        folder = Path(reader.evaluate("import os\nos.getcwd()"))
        reader.page.locator("a.next-page").click()
        assert reader.page.evaluate("document.referrer") == ""
        assert reader.page.context.cookies() == []
        assert not any(token in r.headers.get("referer", "") for r in reader.requests)
        for path in [*folder.rglob("*"), *SITE.rglob("*")]:
            assert not path.is_file() or token.encode() not in path.read_bytes(), path
        server.request(f"/api/kernels?token=wrong{token}")
        server.request(f"/nowhere?token={token}")
        assert token not in server.stop()


def test_static_site_contains_nothing_of_it():
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
