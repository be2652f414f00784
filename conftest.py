"""Load the plugins that compare the pages' outputs and report what differs."""

pytest_plugins = ["tools.quality.nbval_plugin", "tools.quality.cell_report"]
