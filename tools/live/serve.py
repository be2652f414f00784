"""Serve the built site with running code cells, which is what `make live` does.

The server is a Jupyter server that only this machine can reach. Anyone on the machine can
read the pages, to which it adds a script and a style sheet; everything else needs the token.
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

from tools.project import BOOK, ROOT, SITE

ASSETS = ROOT / "tools" / "live"
THEBE = ROOT / ".venv" / "live" / "node_modules" / "thebe" / "lib"
PAGE_POLICY = re.compile(rb'<meta http-equiv="Content-Security-Policy"[^>]*>')
LIVE_ASSETS = b"""
<link rel="stylesheet" href="/live/live.css">
<script defer src="/live/live.js"></script>
</head>"""
HEADERS = {
    "Cache-Control": "no-cache",  # the site may be rebuilt while we serve it
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Replaces the page's own policy, which is too strict for the editor. Whatever a cell
    # outputs, the page can't load from or send to other hosts and can't be framed.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data: blob:;"
    " frame-ancestors 'none'",
}


class PublicFiles(StaticFileHandler):
    """A file handler that needs no token."""

    def set_extra_headers(self, path):
        for name, value in HEADERS.items():
            self.set_header(name, value)

    @allow_unauthenticated
    async def get(self, path, include_body=True):
        await super().get(path, include_body)

    @allow_unauthenticated
    async def head(self, path):
        await super().head(path)


class LivePages(PublicFiles):
    """The built site, with the script and the style sheet added to its pages."""

    @classmethod
    def get_content(cls, abspath, start=None, end=None):
        data = Path(abspath).read_bytes()
        if abspath.endswith(".html"):
            data = PAGE_POLICY.sub(b"", data).replace(b"</head>", LIVE_ASSETS, 1)
        return data[start:end]

    def get_content_size(self):
        return len(self.get_content(self.absolute_path))


class OneTimeLogin(RequestHandler):
    """Redirect to the address with the token, once.

    The browser that we open gets a one-time key in its address instead of the token because
    other users can see the arguments of its command.
    """

    def initialize(self, logins):
        self.logins = logins

    @allow_unauthenticated
    def get(self, key):
        if key not in self.logins:
            raise HTTPError(404)
        self.redirect(self.logins.pop(key))


class TokenOnly(IdentityProvider):
    """Accept only the token, and only from our own pages.

    Cookies aren't used because browsers send them to all ports of a host.
    """

    def get_token(self, handler):
        origin = handler.request.headers.get("Origin")
        if origin in (None, f"http://{handler.request.host}"):
            return super().get_token(handler)

    def set_login_cookie(self, handler, user):
        pass

    def get_user_cookie(self, handler):
        return None


class UndelayedConnection(ZMQChannelsWebsocketConnection):
    """Send a kernel's messages at once.

    By default, TCP holds each message back until the previous one is acknowledged, which
    takes about 40 ms.
    """

    def connect(self):
        self.websocket_handler.set_nodelay(True)
        return super().connect()


class LiveServer(ServerApp):
    """A Jupyter server for the site and its kernels that ignores the user's configuration."""

    default_services = ("api", "kernels", "kernelspecs", "sessions")

    def load_config_file(self, suppress_errors=True):
        pass

    def write_server_info_file(self):
        pass  # it would contain the token

    def init_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop(from_signal=True))


def announce(address, token, key):
    """Print the book's address; on a desktop, also open it in a browser."""
    print(f"The book, with running cells: {address}/#token={token}")
    print("Anyone who has this address can run code as you. Ctrl-C stops the server.", flush=True)
    if sys.platform == "darwin" or {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        login = f"{address}/open/{key}"
        threading.Thread(target=webbrowser.open, args=[login], daemon=True).start()


def serve(folder):
    """Serve until a signal arrives. Kernels run in `folder`, and all files are written there."""
    shutil.copy(BOOK / "matplotlibrc", folder)
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        os.environ[variable] = tempfile.mkdtemp(dir=folder)

    token = secrets.token_urlsafe(32)
    server = LiveServer.instance(
        ip="127.0.0.1",
        port=8890,
        root_dir=folder,
        default_url="/book/index.html",
        identity_provider_class=TokenOnly,
        kernel_websocket_connection_class=UndelayedConnection,
        open_browser=False,
        no_browser_open_file=True,
        allow_root=True,  # containers often run as root
        log_level="ERROR",
    )
    server.config.IdentityProvider.token = token
    server.config.KernelManager.transport_encryption = "auto"
    server.config.MappingKernelManager.cull_idle_timeout = 600  # seconds after a page is closed
    server.initialize(argv=[], find_extensions=False)

    key = secrets.token_urlsafe()
    handlers = [
        (r"/live/(live\.(?:css|js))", PublicFiles, {"path": str(ASSETS)}),
        (r"/live/thebe/(.*)", PublicFiles, {"path": str(THEBE)}),
        (r"/open/(.*)", OneTimeLogin, {"logins": {key: f"/#token={token}"}}),
        (r"/(?!api\b|static/)(.+)", LivePages, {"path": str(SITE)}),
    ]
    server.web_app.add_handlers(".*", handlers)

    # Jupyter binds its port in a callback too, which runs before this one.
    server.io_loop.add_callback(announce, f"http://127.0.0.1:{server.port}", token, key)
    server.start()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        serve(folder)
