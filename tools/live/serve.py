"""Serve the built site with running code cells, which is what `make live` does.

The server is a Jupyter server that only this machine can reach. Anyone on the machine can
read the pages, to which it adds a script and a style sheet; everything else needs the token.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from jupyter_server.auth import IdentityProvider
from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.log import LogFormatter
from tornado.web import RequestHandler
from traitlets import Dict
from traitlets.config import Config

from tools.project import BOOK, ROOT, SITE

ASSETS = ROOT / "tools" / "live"
THEBE = ROOT / ".venv" / "live" / "node_modules" / "thebe" / "lib"
PORT_FILE = ROOT / ".venv" / "live-port"
TOKEN = secrets.token_urlsafe(32)
LIVE_ASSETS = b"""
<link rel="stylesheet" href="/live/live.css">
<script defer src="/live/live.js"></script>
</head>"""
HEADERS = {
    # Adds to the page's own policy, which the editor can live with. Whatever a cell displays,
    # the browser runs none of its scripts and sends nothing to other hosts.
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class LivePages(FileFindHandler):
    """Files that need no token. Pages get the script and the style sheet."""

    @classmethod
    def get_absolute_path(cls, roots, path):
        # Jupyter's own method remembers paths regardless of their root.
        return "" if "\0" in path else os.path.abspath(os.path.join(*roots, path))

    @classmethod
    def get_content(cls, abspath, start=None, end=None):
        data = Path(abspath).read_bytes()
        if abspath.endswith(".html"):
            data = data.replace(b"</head>", LIVE_ASSETS, 1)
        return data[start:end]

    def get_content_size(self):
        return len(self.get_content(self.absolute_path))

    def compute_etag(self):
        # Not cached, because the site may be rebuilt while we serve it
        return f'"{self.get_content_version(self.absolute_path)}"'

    def write_error(self, status_code, **kwargs):
        RequestHandler.write_error(self, status_code, **kwargs)  # Jupyter's page sets a cookie


class TokenOnly(IdentityProvider):
    """Accept only the token, and only from our own pages.

    Cookies aren't used because browsers send them to all ports of a host.
    """

    def should_check_origin(self, handler):
        return True

    def set_login_cookie(self, handler, user):
        pass

    def get_user_cookie(self, handler):
        return None


class LiveKernels(AsyncMappingKernelManager):
    """Kernels that end when no page has used them for a while, even if they are busy."""

    last_use = Dict()  # when a page was last connected to a kernel, by the kernel's id

    async def cull_kernel_if_idle(self, kernel_id):
        # Jupyter's own method takes each output of an endless loop for a sign of use.
        now = time.monotonic()
        if self.kernel_model(kernel_id)["connections"]:
            self.last_use[kernel_id] = now
        elif now - self.last_use.setdefault(kernel_id, now) > self.cull_idle_timeout:
            await self.shutdown_kernel(kernel_id)


class LiveConnection(ZMQChannelsWebsocketConnection):
    """The connection of a page and its kernel."""

    def connect(self):
        # By default, TCP holds each message back until the previous one is acknowledged,
        # which takes about 40 ms.
        self.websocket_handler.set_nodelay(True)
        return super().connect()

    def create_stream(self):
        # By default, a closed socket tries for a second to deliver what a dead kernel hasn't
        # read. It then reaches the new kernel, which takes it for this page's new connection
        # (both have the same identity) and ignores the real one.
        super().create_stream()
        for stream in self.channels.values():
            stream.socket.linger = 0

    def handle_incoming_message(self, message):
        try:
            super().handle_incoming_message(message)
        except Exception:  # depends on what is wrong with the message
            self.websocket_handler.close(1007, "malformed message")


class TokenFilter(LogFormatter):
    """Replace the token in whatever is logged, because logs are shown to others."""

    def format(self, record):
        return super().format(record).replace(TOKEN, "(token)")


class LiveServer(ServerApp):
    """A Jupyter server for the site and its kernels that ignores the user's configuration."""

    default_services = ("api", "kernels", "sessions")

    def load_config_file(self, suppress_errors=True):
        pass

    def init_signal(self):
        # Not by signal.signal: if a signal arrives just before the loop waits, Python runs the
        # handler only after the wait.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.io_loop.asyncio_loop.add_signal_handler(number, self.stop)

    def write_browser_open_file(self):
        # Opened instead of the address because other users can see a command's arguments
        page = f'<meta http-equiv="refresh" content="0; url={self.address}">'
        Path(self.browser_open_file).write_text(page)

    @property
    def address(self):
        return f"http://{self.ip}:{self.port}/#token={TOKEN}"


def choose_port(file):
    """Return the port that this checkout has used before, or a new one if it's taken.

    On a port that other programs use too, they could leave a service worker or edited cells
    in the browser. The open file remembers the port, and its lock keeps it for one server.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # any free port, because the checkout's other server uses the remembered one
    for port in (int(file.read() or 0), 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            port = probe.getsockname()[1]
            file.seek(0)
            file.truncate()
            print(port, end="", file=file, flush=True)
            return port


def serve(folder, port):
    """Serve until a signal arrives. Kernels run in `folder`, and all files are written there."""
    shutil.copy(BOOK / "matplotlibrc", folder)
    os.chdir(folder)
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        os.environ[variable] = tempfile.mkdtemp(dir=folder)
    desktop = sys.platform == "darwin" or {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}

    server = LiveServer.instance(
        ip="127.0.0.1",
        port=port,
        port_retries=0,
        root_dir=folder,
        default_url="/book/index.html",
        identity_provider_class=TokenOnly,
        kernel_manager_class=LiveKernels,
        kernel_websocket_connection_class=LiveConnection,
        max_body_size=10_000_000,  # read before the token is checked
        open_browser=bool(desktop),
        tornado_settings={"headers": HEADERS},
        allow_root=True,  # containers often run as root
        log_level="ERROR",
        logging_config={
            "formatters": {"console": {"class": f"{__name__}.TokenFilter"}},
            "root": {"handlers": ["console"]},
        },
        config=Config(
            IdentityProvider={"token": TOKEN},
            KernelManager={"transport_encryption": "required"},
            MappingKernelManager={
                "cull_idle_timeout": 600,  # seconds after a page is closed
                "cull_interval": 60,
                "buffer_offline_messages": False,  # what an endless loop prints fills the memory
            },
        ),
    )
    server.initialize(argv=[], find_extensions=False)
    handlers = [
        (r"/live/(live\.(?:css|js))", LivePages, {"path": str(ASSETS)}),
        (r"/live/thebe/(.*)", LivePages, {"path": str(THEBE)}),
        (r"/(?!api\b)(.+)", LivePages, {"path": str(SITE)}),
    ]
    server.web_app.add_handlers(".*", handlers)
    server.io_loop.add_callback(
        print,
        f"The book, with running cells: {server.address}\n"
        "Anyone who has this address can run code as you. Ctrl-C stops the server.",
        flush=True,
    )
    server.start()


if __name__ == "__main__":
    os.umask(0o077)  # everything that we write is for this user only
    with (
        PORT_FILE.open("a+") as file,
        tempfile.TemporaryDirectory(prefix="live-") as folder,
    ):
        file.seek(0)
        serve(folder, choose_port(file))
