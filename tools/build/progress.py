"""Show how far the execution of pages is."""

import shutil
import sys
import time

from tools.build.notebook import code_cells
from tools.project import relative


class Progress:
    """Print a line for each finished page, and in a terminal, one for what's running."""

    def __init__(self):
        self._running = {}  # by path: the current cell, the number of cells, and the start
        self._terminal = sys.stdout.isatty()

    def start(self, path, notebook):
        """Return a function to call at the start of each cell of a page."""
        state = self._running[path] = [0, len(code_cells(notebook)), time.monotonic()]

        def count_cell():
            state[0] += 1
            self._show_running()

        return count_cell

    def end(self, path, word=None):
        """Remove a page from what's running; print a line that starts with `word`, if given."""
        _, total, start = self._running.pop(path)
        if word:
            seconds = time.monotonic() - start
            clear = "\r\033[K" if self._terminal else ""
            cells = "1 cell" if total == 1 else f"{total} cells"
            text = f"{word} {relative(path)}: {cells} in {seconds:.1f} s"
            print(f"{clear}{text}\n", end="", flush=True)  # at once: other pages print, too
        self._show_running()

    def _show_running(self):
        if self._terminal:
            states = [f"{p.stem} {i}/{total}" for p, (i, total, _) in list(self._running.items())]
            line = ", ".join(states)[: shutil.get_terminal_size().columns - 1]
            print(f"\r\033[K{line}", end="", flush=True)
