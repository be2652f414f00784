"""Serve the built site with a kernel behind its code cells: what `make live` runs.

A Jupyter server for this machine alone. Whoever is on it may read the pages, which get
one more script and style on their way out; everything else wants the token.
"""

import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import webbrowser
from pathlib import Path

from jupyter_server.auth import IdentityProvider
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.web import HTTPError, RequestHandler, StaticFileHandler

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
THEBE = ROOT / ".venv" / "live" / "node_modules" / "thebe" / "lib"
POLICY = re.compile(rb'<meta http-equiv="Content-Security-Policy"[^>]*>')
LIVE = b"""
<link rel="stylesheet" href="/live/live.css" />
<script defer src="/live/live.js"></script>
</head>"""
HEADERS = {
    "Cache-Control": "no-cache",  # the page may be built anew
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # In place of the page's own, which has no room for an editor: whatever a cell
    # prints, the page asks nobody else and sits in nobody's frame.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data: blob:;"
    " frame-ancestors 'none'",
}


class Files(StaticFileHandler):
    """Files for everybody."""

    def set_extra_headers(self, path):
        for name, value in HEADERS.items():
            self.set_header(name, value)

    @allow_unauthenticated
    async def get(self, path, include_body=True):
        await super().get(path, include_body)

    @allow_unauthenticated
    async def head(self, path):
        await super().head(path)


class Site(Files):
    """The built site, each page of it with what makes it live."""

    @classmethod
    def get_content(cls, abspath, start=None, end=None):
        data = Path(abspath).read_bytes()
        if abspath.endswith(".html"):
            data = POLICY.sub(b"", data).replace(b"</head>", LIVE, 1)
        return data[start:end]

    def get_content_size(self):
        return len(self.get_content(self.absolute_path))


class Door(RequestHandler):
    """Gives the token to the browser that we open, once: `ps` shows its address."""

    def initialize(self, keys):
        self.keys = keys

    @allow_unauthenticated
    def get(self, key):
        if key not in self.keys:
            raise HTTPError(404)
        self.redirect(self.keys.pop(key))


class TokenAlone(IdentityProvider):
    """The token, from our own pages: no cookie, which goes to every port of a machine."""

    def get_token(self, handler):
        origin = handler.request.headers.get("Origin")
        if origin in (None, f"http://{handler.request.host}"):
            return super().get_token(handler)

    def set_login_cookie(self, handler, user):
        pass

    def get_user_cookie(self, handler):
        return None


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Sends a kernel's messages at once; else each waits some 40 ms for the one before."""

    def connect(self):
        self.websocket_handler.set_nodelay(True)
        return super().connect()


class LiveServer(ServerApp):
    """A Jupyter server for the site and its kernels, whatever else is configured."""

    default_services = ("api", "kernels", "kernelspecs", "sessions")

    def load_config_file(self, suppress_errors=True):
        pass

    def write_server_info_file(self):
        pass  # the token is in it

    def init_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop(from_signal=True))


def welcome(address, token, key):
    """Tell where the book is, and open a browser where there is a screen."""
    print(f"The book, with running cells: {address}/#token={token}")
    print("The address lets you run code here: keep it to yourself. Ctrl-C stops all.", flush=True)
    if sys.platform == "darwin" or {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        threading.Thread(
            target=webbrowser.open, args=[f"{address}/open/{key}"], daemon=True
        ).start()


def main(folder):
    """Serve until a signal comes. The kernels run, and all else is written, in `folder`."""
    shutil.copy(ROOT / "book" / "matplotlibrc", folder)
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        os.environ[variable] = tempfile.mkdtemp(dir=folder)

    token = secrets.token_urlsafe(32)
    server = LiveServer.instance(
        ip="127.0.0.1",
        port=8890,
        root_dir=folder,
        default_url="/book/index.html",
        identity_provider_class=TokenAlone,
        kernel_websocket_connection_class=PromptConnection,
        open_browser=False,
        no_browser_open_file=True,
        allow_root=True,  # as in a container
        log_level="ERROR",
    )
    server.config.IdentityProvider.token = token
    server.config.KernelManager.transport_encryption = "auto"
    server.config.MappingKernelManager.cull_idle_timeout = 600  # its page is closed
    server.initialize(argv=[], find_extensions=False)

    keys = {secrets.token_urlsafe(): f"/#token={token}"}
    files = [
        (r"/live/(live\.(?:css|js))", Files, {"path": str(HERE)}),
        (r"/live/thebe/(.*)", Files, {"path": str(THEBE)}),
        (r"/open/(.*)", Door, {"keys": keys}),
        (r"/(?!api\b|static/)(.+)", Site, {"path": str(ROOT / "_build" / "html")}),
    ]
    server.web_app.add_handlers(".*", files)

    # Jupyter binds its port in a callback of its own, before this one.
    server.io_loop.add_callback(welcome, f"http://127.0.0.1:{server.port}", token, *keys)
    server.start()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        main(folder)
