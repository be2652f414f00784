"""JupyterLab for `make lab` and `make edit`: this machine alone, and nobody else's."""

c = get_config()  # noqa: F821 (Jupyter provides it)
c.ServerApp.ip = "127.0.0.1"
c.LabApp.extension_manager = "readonly"  # the other one asks the package index
c.ServerApp.allow_root = True  # as in a container; a token guards the server
