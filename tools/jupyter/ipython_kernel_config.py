"""Configure the kernels of the book's environment: SVG figures and short tracebacks."""

c = get_config()  # noqa: F821 (IPython defines it)
c.InlineBackend.figure_formats = {"svg"}
c.InteractiveShell.xmode = "Minimal"
