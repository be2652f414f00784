"""`make live` for tests: its server, and a reader with a browser."""

import fcntl
import json
import os
import pty
import re
import signal
import termios
from contextlib import contextmanager
from http.client import HTTPConnection
from subprocess import PIPE, STDOUT, Popen

from playwright.sync_api import expect

from tools.project import ROOT

PAGE = "book/layers-without-parameters"
NOTE, RECORDED = ".live-tools .live-note", ".cell_output:not(.live-output)"
DESKTOP = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"}

expect.set_options(timeout=30_000)


class Server:
    """A running `make live`: its process, address, and token."""

    def __init__(self, process, terminal):
        self.process, self.terminal = process, terminal
        printed = ""
        while not (found := re.search(r"(http://(127\.0\.0\.1:\d+))/#token=(\S+)\n", printed)):
            line = process.stdout.readline()
            assert line, f"make live ended without printing its address:\n{printed}"
            printed += line
        self.url, self.host, self.token = found.groups()

    def request(self, path, method="GET", token=None, body=None, **headers):
        """Return the status, the text, and the headers of the response."""
        if token:
            headers["Authorization"] = f"token {token}"
        connection = HTTPConnection(self.host, timeout=10)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers

    def ids(self, kind):
        """Return the ids of the running kernels or sessions."""
        items = json.loads(self.request(f"/api/{kind}", token=self.token)[1])
        return {item["id"] for item in items}

    def stop(self):
        """Press Ctrl-C; return what was printed after the address."""
        os.write(self.terminal, b"\x03")
        return self.process.communicate(timeout=60)[0]


def control_terminal():
    """Make the standard input this process's terminal: when it closes, the process ends."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` would have it ignored
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def make_live(command="make --silent live", folder=ROOT, **variables):
    """Run `make live` in a terminal without a desktop; yield a Server.

    The terminal closes when the tests end, even if they're killed, and that stops the server.
    """
    unset = DESKTOP | {"MAKEFLAGS", "MAKELEVEL"}
    environment = {k: v for k, v in os.environ.items() if k not in unset} | variables
    terminal, stdin = pty.openpty()
    options = {"stdin": stdin, "stdout": PIPE, "stderr": STDOUT, "text": True, "env": environment}
    options |= {"cwd": folder, "start_new_session": True, "preexec_fn": control_terminal}
    # In a shell, because make itself would wait for the server.
    with Popen(["sh", "-c", f"{command}; exit"], **options) as process:
        os.close(stdin)
        try:
            yield Server(process, terminal)
        finally:
            os.close(terminal)
            if not process.stdout.closed:
                process.communicate(timeout=60)  # ends when the server has


class Reader:
    """A browser window with a live page, the requests it made, and the errors in it."""

    def __init__(self, context):
        self.page = context.new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("pageerror", self.read_error)
        self.page.on("console", self.read_console)
        self.status = self.page.get_by_role("status")
        self.cells = self.page.locator("div.cell:has(div.cell_input)")

    def read_error(self, error):
        """Remember an error, except JupyterLab's when a kernel ends before it has replied."""
        if not error.message.startswith("Canceled future for "):
            self.errors.append(error)

    def read_console(self, message):
        """Remember what the page's scripts print."""
        if message.type in ("debug", "info", "log"):
            self.errors.append(message.text)

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
        sources = self.cells.locator(".cell_input .highlight > pre").all_text_contents()
        return next(i for i, source in enumerate(sources, 1) if code in source)

    def in_cell(self, number, selector):
        return self.cells.nth(number - 1).locator(selector)

    def output(self, number):
        group = self.page.get_by_role("group", name=f"Output of cell {number}", exact=True)
        return group.locator(".jp-OutputArea-output")

    def editor(self, number):
        """Return the editor of a cell after scrolling to it, which makes the page build it."""
        self.in_cell(number, ".cell_input").scroll_into_view_if_needed()
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
        expect(self.in_cell(1, NOTE)).to_contain_text("ran in")
        return eval(self.output(1).inner_text())
