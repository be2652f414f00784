"""Configure the JupyterLab of `make lab` and `make edit`: reachable from this machine only."""

import os

c = get_config()  # noqa: F821 (Jupyter defines it)
c.ServerApp.ip = "127.0.0.1"
c.JupyterApp.answer_yes = True  # Ctrl-C ends the server without a question
# The browser of a dev container is outside and can open an address, but none of our files.
c.ServerApp.use_redirect_file = "DEVCONTAINER" not in os.environ
c.LabApp.default_url = "/lab/tree/index.md"
# Show the address, and nothing else unless it fails; the Makefile sets this for the server.
c.Application.log_level = "ERROR"
c.KernelManager.transport_encryption = "auto"  # other users could read what kernels send
c.LabApp.extension_manager = "readonly"  # the default one contacts the package index
c.ServerApp.allow_root = True  # as in a container; a token protects the server
