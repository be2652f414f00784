"""Load the plugin that compares the pages' outputs."""

pytest_plugins = ["tools.quality.nbval_plugin"]
