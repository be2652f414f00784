"""`make live` in a browser: the pages run, and nobody else gets at the kernel."""

import functools
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.conftest import missing, wait_for
from tools.pages import ROOT, code_cells, pages

PAGES = {str(page.relative_to(ROOT).with_suffix("")): nb for page, nb in pages().items()}
LOCK = ROOT / "tools" / "live" / "package-lock.json"

expect.set_options(timeout=30_000)


def tags(cell):
    return cell.metadata.get("tags", [])


# The server.


class Live:
    """A running `make live`: its process, its address, its token."""

    def __init__(self, process):
        self.process = process
        printed = ""
        for line in process.stdout:  # the site's build first, where it is out of date
            printed += line
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/#token=(\S+)", line):
                self.url, self.token = found.groups()
                return
        raise AssertionError(f"make live ended without its address:\n{printed}")

    def ask(self, path, method="GET", token=None, **headers):
        """The status and the text of an answer, to who has the token or not."""
        if token:
            headers["Authorization"] = f"token {token}"
        data = b"{}" if method in ("POST", "PUT", "PATCH") else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def kernels(self):
        return json.loads(self.ask("/api/kernels", token=self.token)[1])

    def forget(self):
        """End the kernels of the tests before."""
        for session in json.loads(self.ask("/api/sessions", token=self.token)[1]):
            self.ask(f"/api/sessions/{session['id']}", "DELETE", self.token)

    def stop(self):
        """Press Ctrl-C; returns what was printed after the address."""
        os.killpg(self.process.pid, signal.SIGINT)
        printed, _ = self.process.communicate(timeout=60)
        return printed


@contextmanager
def make_live(**environment):
    """Run `make live` as in a terminal of its own."""
    desktop = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "MAKEFLAGS", "MAKELEVEL"}
    environment = {k: v for k, v in os.environ.items() if k not in desktop} | environment
    with subprocess.Popen(
        ["make", "--silent", "live"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Live(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def thebe():
    """Thebe in .venv/live, as `make live` installs it."""
    run = subprocess.run(
        ["make", "--silent", ".venv/live/installed"], cwd=ROOT, capture_output=True, text=True
    )
    if run.returncode:
        missing(run.stderr.partition("\n")[0])


@pytest.fixture(scope="module")
def live(thebe):
    with make_live() as live:
        yield live


# The reader, in a browser of their own.


class Reader:
    """A browser's page, what it asked for, and what went wrong in it."""

    def __init__(self, context):
        self.page = context.new_page()
        self.requests, self.problems = [], []
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("pageerror", lambda error: self.problems.append(error))
        self.state = self.page.get_by_role("status")
        self.cells = self.page.locator("div.cell:has(div.cell_input)")

    def open(self, live, name):
        """Open a page with the token; the page forgets where it came from."""
        self.page.goto(f"{live.url}/{name}.html#token={live.token}")
        expect(self.state).not_to_be_empty()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def start(self, live, name):
        """Open a page without a kernel, and start one."""
        live.forget()
        self.open(live, name)
        self.press("Start the kernel")
        expect(self.state).to_have_text("Ready.")

    def cell(self, number):
        return self.cells.nth(number - 1)

    def find(self, text):
        """The number of the first cell with this in its code, from 1."""
        sources = self.page.locator("div.cell .CodeMirror").all_text_contents()
        return next(i for i, source in enumerate(sources, 1) if text in source)

    def code(self, number):
        return self.cell(number).locator(".CodeMirror-code")

    def editor(self, number):
        return self.page.get_by_role("textbox", name=f"Code of cell {number}.")

    def output(self, number):
        group = self.page.get_by_role("group", name=f"Output of cell {number}", exact=True)
        return group.locator(".jp-OutputArea-output")

    def note(self, number):
        return self.cell(number).locator(".live-note")

    def write(self, number, code):
        """Replace a cell's code by hand."""
        self.editor(number).focus()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(code)

    def run(self, number, code):
        self.write(number, code)
        self.page.keyboard.press("Shift+Enter")


@contextmanager
def reading(browser):
    with browser.new_context(reduced_motion="reduce") as context:
        reader = Reader(context)
        yield reader
        assert reader.problems == []


@pytest.fixture
def reader(browser):
    with reading(browser) as reader:
        yield reader


# Of each cell, seen or folded: its note, and of its recorded and its new output the number
# of figures and whether there is text.
WHAT_IS_SHOWN = """cells => cells.map(cell => [
  cell.querySelector(".live-note").textContent,
  ...[".cell_output", ".live-output"].map(name => {
    const output = cell.querySelector(name);
    return output && [output.querySelectorAll("img").length, output.textContent.trim() !== ""];
  }),
])"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs_from_its_top_on_a_narrow_screen(live, reader, name):
    reader.page.set_viewport_size({"width": 400, "height": 800})
    reader.start(live, name)
    reader.press("Run all cells")
    expect(reader.state).to_contain_text("Running")
    expect(reader.state).to_have_text("Ready.", timeout=120_000)
    shown = reader.cells.evaluate_all(WHAT_IS_SHOWN)
    for cell, (said, recorded, output) in zip(code_cells(PAGES[name]), shown, strict=True):
        assert (" after " in said) == ("raises-exception" in tags(cell)), said
        if recorded and "remove-stdout" not in tags(cell):
            assert output == recorded
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 400
    hosts = {re.match(r"\w+://([^/]*)|\w+:", r.url).group(1) for r in reader.requests}
    assert hosts - {None} == {live.url.removeprefix("http://")}


def test_an_edited_layer_gives_another_output(live, reader):
    reader.open(live, "book/layers-without-parameters")
    layer = reader.find("class CenteredLayer")
    used = layer + 1
    recorded = reader.cell(used).locator(".cell_output").inner_text()
    reader.page.get_by_text("return x - x.mean()").click()
    reader.page.keyboard.press("End")
    reader.page.keyboard.type(" + 7")
    reader.press(f"Run cells 1 to {used}")
    expect(reader.note(used)).to_contain_text("ran in")
    changed = reader.output(used).inner_text()
    assert changed and changed != recorded

    reader.press(f"Recorded output of cell {used}")
    assert reader.cell(used).locator(".cell_output").inner_text() == recorded
    expect(reader.output(used)).to_be_hidden()
    reader.press(f"My output of cell {used}")
    assert reader.output(used).inner_text() == changed

    reader.page.reload()
    expect(reader.state).to_have_text("Ready.")  # its kernel is still there
    expect(reader.code(layer)).to_contain_text("x.mean() + 7")
    reader.press(f"Reset the code of cell {layer}")
    expect(reader.code(layer)).not_to_contain_text("+ 7")
    reader.page.reload()
    expect(reader.code(layer)).not_to_contain_text("+ 7")


def test_the_page_can_be_reset(live, reader):
    reader.open(live, "book/layers-with-parameters")
    reader.run(2, "print('mine')")
    expect(reader.output(2)).to_have_text("mine")
    reader.page.once("dialog", lambda dialog: dialog.accept())
    reader.press("Reset page: bring back its code and outputs")
    expect(reader.output(2)).to_be_hidden()
    expect(reader.cell(2).locator(".cell_output")).to_be_visible()
    expect(reader.code(2)).not_to_contain_text("mine")


def test_an_exercise_can_be_solved(live, reader):
    reader.open(live, "book/exercises")
    starter, check = reader.find("class AffineLayer"), reader.find("check_affine(AffineLayer)")
    reader.press(f"Run cells 1 to {check}")
    expect(reader.output(check)).to_have_text("AffineLayer is not written yet.")
    sources = [cell.source for cell in code_cells(PAGES["book/exercises"])]
    answer = next(source for source in sources if "class PlainAffineLayer" in source)
    answer = answer.partition("\n\n\ncheck_affine")[0].replace("PlainAffine", "Affine")
    reader.run(starter, answer)
    reader.editor(check).press("Shift+Enter")
    expect(reader.output(check)).to_contain_text("passed  works inside sequential")
    lines = reader.output(check).inner_text().splitlines()
    assert len(lines) == 10 and all(line.startswith("passed  ") for line in lines)


def test_a_folded_solution_runs(live, reader):
    reader.open(live, "book/exercises")
    answer = reader.find("class PlainAffineLayer")
    folded = reader.cell(answer)
    expect(folded.get_by_role("button", name=f"Run cell {answer}")).to_be_hidden()
    reader.page.locator(".solution").first.locator("summary, .toggle-button").first.click()
    reader.press(f"Run cells 1 to {answer}")
    expect(reader.output(answer)).to_contain_text("passed  works inside sequential")


def test_an_unexpected_error_stops_the_cells_below(live, reader):
    reader.open(live, "book/layers-without-parameters")
    reader.write(2, "1 / 0")
    reader.press("Run cells 1 to 4")
    expect(reader.state).to_have_text("Ready. Cell 2 raised ZeroDivisionError.")
    expect(reader.output(2)).to_contain_text("division by zero")
    expect(reader.note(3)).to_have_text("Cell 3: not run")


def test_an_endless_loop_can_be_interrupted(live, reader):
    reader.open(live, "book/layers-without-parameters")
    reader.run(1, "print('begun')\nwhile True:\n    pass")
    expect(reader.output(1)).to_contain_text("begun")
    reader.editor(2).press("Shift+Enter")
    expect(reader.note(2)).to_have_text("Cell 2: waiting")
    reader.press("Interrupt the running cell")
    expect(reader.output(1).last).to_contain_text("KeyboardInterrupt")
    expect(reader.note(2)).to_have_text("Cell 2: not run")
    reader.run(1, "6 * 7")
    expect(reader.output(1)).to_have_text(["42"])  # a list waits until there is only one


def assert_nothing_is_known(reader):
    """The kernel is not the one in which a cell has set `known`."""
    reader.run(1, "'known' in globals()")
    expect(reader.output(1)).to_have_text("False")


def test_a_dead_kernel_says_so_and_a_new_one_begins(live, reader):
    reader.open(live, "book/layers-without-parameters")
    reader.run(1, "known = 1\nimport os\nos.kill(os.getpid(), 9)")
    expect(reader.state).to_have_text(re.compile("The kernel died. Ready."))
    expect(reader.note(1)).to_have_text("Cell 1: stopped")
    assert_nothing_is_known(reader)


def test_a_restarted_kernel_knows_nothing(live, reader):
    reader.open(live, "book/layers-without-parameters")
    reader.run(1, "known = 1")
    expect(reader.note(1)).to_contain_text("ran in")
    reader.press("Restart the kernel")
    expect(reader.state).to_have_text(re.compile("Ready. A new kernel"))
    assert_nothing_is_known(reader)


def test_a_kernel_is_ours_and_writes_elsewhere(live, reader):
    reader.open(live, "book/layers-without-parameters")
    code = "import os, sys, matplotlib\n"
    code += "sys.executable, os.getcwd(), matplotlib.rcParams['figure.figsize']"
    reader.run(1, code)
    expect(reader.output(1)).not_to_be_empty()
    executable, folder, size = eval(reader.output(1).inner_text())
    assert os.path.samefile(executable, sys.executable)
    assert folder.startswith(tempfile.gettempdir())
    assert size == [6.4, 3.2]  # as book/matplotlibrc has it


def test_the_keyboard_is_enough(live, reader):
    live.forget()
    reader.open(live, "book/layers-without-parameters")
    focused = reader.page.locator(":focus")

    def tab_to(name):
        for _ in range(40):
            reader.page.keyboard.press("Tab")
            if focused.get_attribute("aria-label") == name:
                return
        pytest.fail(f"no Tab leads to {name}")

    tab_to("Start the kernel")
    assert focused.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    reader.page.keyboard.press("Enter")
    expect(reader.state).to_have_text("Ready.")
    expect(focused).to_have_attribute("aria-label", "Run all cells")
    tab_to("Run cell 2")  # past two editors
    reader.editor(1).focus()
    reader.page.keyboard.press("Control+a")
    reader.page.keyboard.type("for n in 1, 2:\nprint(n / 2)")  # the editor indents
    reader.page.keyboard.press("Shift+Enter")
    expect(reader.output(1)).to_have_text("0.5\n1.0\n")
    reader.page.keyboard.press("Escape")
    expect(focused).to_have_attribute("aria-label", "Run cell 1")
    for button in reader.page.locator(".live-button").all():
        assert button.get_attribute("aria-label")


def test_a_server_that_is_gone_leaves_nothing_but_the_page(thebe, reader):
    with make_live() as live:
        reader.open(live, "book/layers-without-parameters")
        reader.run(1, "import os\nos.getpid(), os.getcwd()")
        expect(reader.output(1)).not_to_be_empty()
        kernel, folder = eval(reader.output(1).inner_text())
        assert Path(folder).is_dir()
        printed = live.stop()
    assert "Traceback" not in printed
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    assert not Path(folder).exists()
    expect(reader.state).to_contain_text("The server is gone. You can read on")
    expect(reader.page.get_by_role("heading", level=1)).to_be_visible()
    expect(reader.output(1)).to_contain_text(str(kernel))


# Who must stay outside.

INTERFACES = [
    ("GET", "/api/kernels"),
    ("POST", "/api/kernels"),
    ("GET", "/api/sessions"),
    ("POST", "/api/sessions"),
    ("GET", "/api/kernelspecs"),
    ("GET", "/api/status"),
]


@pytest.mark.parametrize("method, path", INTERFACES)
@pytest.mark.parametrize("token", [None, "0" * 43], ids=["no token", "another token"])
def test_a_request_without_the_token_is_refused(live, method, path, token):
    before = live.kernels()
    assert live.ask(path, method, token)[0] == 403
    assert live.kernels() == before


@pytest.mark.parametrize("path", ["/api/contents", "/api/terminals", "/files/matplotlibrc"])
def test_there_is_nothing_but_kernels(live, path):
    assert live.ask(path, token=live.token)[0] == 404


def test_a_foreign_host_name_is_refused(live):
    # as of a page whose name was bound to this machine
    assert live.ask("/api/kernels", token=live.token, Host="example.org")[0] == 403


@pytest.fixture
def elsewhere(tmp_path):
    """An empty page on another port of this machine."""
    (tmp_path / "index.html").write_text("<title>elsewhere</title>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


ATTACKS = {
    "with a form's request": """url => fetch(url + "/api/sessions", {
        method: "POST", mode: "no-cors", credentials: "include", body: "{}"})
        .then(answer => answer.text())""",
    "with the token": """url => fetch(url + "/api/kernels", {
        method: "POST", headers: {Authorization: "token " + TOKEN}})
        .then(answer => answer.text())""",
    "with the token in the address": """url => fetch(
        url + "/api/kernels?token=" + TOKEN, {method: "POST"}).then(answer => answer.text())""",
    "to a running kernel": """url => new Promise((resolve, reject) => {
        const path = "/api/kernels/KERNEL/channels?token=" + TOKEN;
        const socket = new WebSocket(url.replace("http", "ws") + path);
        socket.onopen = resolve;
        socket.onerror = () => reject(Error("refused"));
    }).then(() => "open")""",
    "in a frame": """url => new Promise((resolve, reject) => {
        const frame = document.createElement("iframe");
        frame.src = url + "/book/index.html";
        frame.onload = () => resolve(frame.contentDocument?.title ?? "");
        document.body.append(frame);
    })""",
}


@pytest.fixture(scope="module")
def attacked(live, browser):
    """The browser of a reader whose page has a kernel."""
    with reading(browser) as reader:
        reader.open(live, "book/layers-without-parameters")
        reader.run(1, "1")
        expect(reader.output(1)).to_have_text("1")
        yield reader.page.context


@pytest.mark.parametrize("attack", ATTACKS)
def test_another_origin_is_refused(live, attacked, elsewhere, attack):
    before = {kernel["id"] for kernel in live.kernels()}
    other = attacked.new_page()
    other.goto(elsewhere)
    script = ATTACKS[attack].replace("TOKEN", json.dumps(live.token)).replace("KERNEL", min(before))
    got = other.evaluate(f"url => ({script})(url).catch(() => '')", live.url)
    assert got == ""
    assert {kernel["id"] for kernel in live.kernels()} == before


def test_a_page_without_the_token_says_what_to_do(live, reader):
    reader.page.goto(f"{live.url}/book/layers-without-parameters.html")
    expect(reader.state).to_contain_text("open the address that “make live” printed")
    reader.press("Start the kernel")
    expect(reader.state).to_contain_text("open the address that “make live” printed")


def test_the_token_stays_where_it_belongs(live, reader):
    others = live.token
    with make_live() as live:
        assert len(live.token) >= 43 and live.token != others
        reader.open(live, "book/layers-without-parameters")
        assert live.token not in reader.page.url
        reader.run(1, "import os\nos.getcwd()")
        expect(reader.output(1)).not_to_be_empty()
        folder = Path(eval(reader.output(1).inner_text()))
        reader.page.get_by_role("link", name="Next").or_(reader.page.locator("a.right-next")).first.click()
        assert reader.page.evaluate("document.referrer") == ""
        assert reader.page.context.cookies() == []
        assert not any(live.token in r.headers.get("referer", "") for r in reader.requests)
        for path in [*folder.rglob("*"), *(ROOT / "_build" / "html").rglob("*")]:
            assert not path.is_file() or live.token.encode() not in path.read_bytes(), path
        live.ask("/api/kernels?token=wrong" + live.token)
        live.ask("/nowhere?token=" + live.token)
        assert live.token not in live.stop()


def test_opening_a_browser_shows_the_token_to_nobody_else(thebe, tmp_path):
    opened = tmp_path / "opened"
    opener = tmp_path / "browser"
    opener.write_text(f"#!/bin/sh\necho \"$@\" >'{opened}.part'\nmv '{opened}.part' '{opened}'\n")
    opener.chmod(0o755)
    with make_live(BROWSER=str(opener)) as live:
        wait_for(opened.exists, live.process)
        address = opened.read_text().strip()
        assert address.startswith(live.url) and live.token not in address
        path = address.removeprefix(live.url)
        assert "The chapter" in live.ask(path)[1]
        assert live.ask(path)[0] == 404  # once is enough


# What it takes.


def test_the_static_site_knows_nothing_of_it():
    for page in (ROOT / "_build" / "html").rglob("*.html"):
        assert not re.search("live/|live-|thebe", page.read_text("utf-8")), page


def test_the_lock_pins_by_hash_and_names_no_registry():
    packages = json.loads(LOCK.read_text("utf-8"))["packages"]
    manifest = json.loads(LOCK.with_name("package.json").read_text("utf-8"))
    assert packages.pop("") == {"dependencies": manifest["dependencies"]}
    for package in packages.values():
        assert package["integrity"].startswith("sha512-") and "resolved" not in package


@pytest.fixture
def install(tmp_path):
    """A function that installs Thebe in another place, where that must fail."""
    checkout = tmp_path / "a checkout"
    shutil.copytree(ROOT / "tools" / "live", checkout / "tools" / "live")

    def install(**environment):
        run = subprocess.run(
            ["tools/live/install.sh"],
            cwd=checkout,
            env=os.environ | {"npm_config_cache": str(tmp_path / "cache")} | environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode != 0
        assert not (checkout / ".venv" / "live" / "installed").exists()
        [line] = run.stderr.splitlines()
        return line

    return install


def test_a_machine_without_npm_is_told(install, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(shutil.which("sh"))
    message = install(PATH=str(tmp_path / "bin"))
    assert "no npm" in message and "'make lab'" in message


@pytest.fixture
def npm():
    if not shutil.which("npm"):
        missing("no npm found")


def test_no_registry_is_named(install, npm):
    message = install(npm_config_registry="http://127.0.0.1:9/", npm_config_fetch_retries="0")
    assert "npm's registry was not reached" in message


def test_another_package_of_the_same_name_is_refused(install, npm):
    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            host = f"http://127.0.0.1:{self.server.server_port}"
            version = {"name": "thebe", "version": "0.9.3", "dist": {"tarball": f"{host}/thebe.tgz"}}
            package = {"name": "thebe", "versions": {"0.9.3": version}}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"other" if self.path.endswith("tgz") else json.dumps(package).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        message = install(npm_config_registry=f"http://127.0.0.1:{registry.server_port}/")
        registry.shutdown()
    assert "differs from its hash" in message
