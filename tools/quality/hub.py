"""Run the book on a JupyterHub of this machine, which binder/ sets up, the way a reader does.

Sign in, follow the first page's link, run all cells, and compare their outputs with the
recording. Everything is installed into _build/hub.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import nbformat
import psutil

from tools.build.record import list_differences
from tools.chromium import open_chromium
from tools.project import BOOK, BUILD

HUB, PAGE = BUILD / "hub", "layers-without-parameters"
SETUP = """set -eu
rm -rf home checkout && mkdir -p home checkout
cp -r ../../binder ../../book ../../requirements.txt ../../tools checkout
uv=../../.venv/bin/uv
$uv venv --quiet --allow-existing --python ../../.venv/bin/python env
$uv pip install --quiet --python env -r checkout/binder/requirements.txt
$uv pip install --quiet --python env jupyterhub==6.1.1
npm install --prefix=. --no-save --no-audit --no-fund --no-update-notifier --ignore-scripts \
    --loglevel=error configurable-http-proxy@5.3.0 >/dev/null
cd checkout && HOME=$PWD/../home binder/postBuild >/dev/null
"""
CONFIGURATION = f"""
c.JupyterHub.bind_url, c.JupyterHub.hub_port = "http://127.0.0.1:{{}}", {{}}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{{}}"
c.ConfigurableHTTPProxy.command = "node_modules/.bin/configurable-http-proxy"
c.JupyterHub.authenticator_class, c.JupyterHub.spawner_class = "dummy", "simple"
c.Authenticator.allow_all = True
c.SimpleLocalProcessSpawner.home_dir_template = "{HUB}/home"
c.Spawner.notebook_dir = "{HUB}/checkout"
c.Spawner.args = ["--allow-root", "--LabApp.expose_app_in_browser=True"]
"""
RUN_ALL_CELLS = """async () => {
    const { context } = jupyterapp.shell.currentWidget
    await context.ready
    await context.sessionContext.ready
    for (const command of ["clear-all-cell-outputs", "run-all-cells"])
        await jupyterapp.commands.execute(`notebook:${command}`)
    await context.save()
}"""


@contextmanager
def run_hub():
    """Install JupyterHub and yield its address; on exit, stop it and all that it has started."""
    HUB.mkdir(parents=True, exist_ok=True)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [each.getsockname()[1] for each in sockets]
    (HUB / "jupyterhub_config.py").write_text(CONFIGURATION.format(*ports))
    path = f"{HUB}/env/bin:{os.environ['PATH']}"
    options = {"cwd": HUB, "env": os.environ | {"PATH": path}}
    if subprocess.run(["sh", "-c", SETUP], **options).returncode:
        sys.exit("make hub: JupyterHub or the book couldn't be installed; see above.")
    for each in sockets:
        each.close()
    with open(HUB / "log", "w") as log:
        hub = subprocess.Popen(["jupyterhub"], stdout=log, stderr=log, **options)
    try:
        while "is now running" not in (HUB / "log").read_text():
            if hub.poll() is not None:
                sys.exit(f"make hub: JupyterHub didn't start; see {HUB}/log.")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        if hub.poll() is None:
            processes = psutil.Process(hub.pid).children(recursive=True)
            hub.terminate()
            hub.wait()
            for process in psutil.wait_procs(processes, timeout=10)[1]:
                process.kill()


def visit(page, address):
    """Sign in, run all cells of the book's first page, and return the names of listed files."""
    page.set_default_timeout(120_000)
    page.goto(address)
    page.get_by_label("Username").fill("reader")
    page.get_by_label("Password").fill("any")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/lab/tree/book/index.md")
    page.get_by_role("link", name="Start here").click()
    page.get_by_role("tab", name=PAGE).wait_for()
    page.evaluate(RUN_ALL_CELLS)
    return page.locator(".jp-DirListing-itemName").all_inner_texts()


def main():
    with open_chromium("hub") as chromium, run_hub() as address:
        files = visit(chromium.new_page(), address)
    notebook = nbformat.read(HUB / "checkout" / "book" / f"{PAGE}.ipynb", as_version=4)
    problems = list_differences(BOOK / f"{PAGE}.md", notebook)
    problems += [f"{name} is listed" for name in files if f"{name[:-3]}.ipynb" in files]
    print("\n".join(problems) or f"{PAGE} has its recorded outputs on a Hub.")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
