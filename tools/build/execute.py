"""Execute pages, several at a time, and keep the results in Jupyter Book's cache.

jupyter-cache has a parallel executor, but it doesn't say which cell failed.
"""

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

from tools.build.failure import REQUEST, describe_error
from tools.build.notebook import PageError, code_cells, name_cell, tags
from tools.build.progress import Progress
from tools.project import BOOK, EXECUTION_CACHE, ROOT, cell_timeout, relative

# What outputs depend on besides their page.
SHARED_INPUTS = [
    ROOT / "requirements.txt",
    ROOT / "binder" / "runtime.txt",
    BOOK / "matplotlibrc",
    ROOT / "tools" / "jupyter" / "ipython_kernel_config.py",
]


def execute_page(path, notebook, on_cell=None):
    """Execute a page's notebook in place, in a kernel of its own.

    Call `on_cell()` before each code cell.

    Raise PageError if a cell raises without the tag `raises-exception`, exceeds the time
    limit, or kills its kernel.
    """
    current = reply = None

    def track_current_cell(cell, cell_index):
        nonlocal current
        current = cell
        if on_cell:
            on_cell()

    async def ask_for_frames(**_):
        nonlocal reply
        reply = await client.kc.execute(**REQUEST)

    # Through files, because two kernels can claim the same TCP port, and other users of this
    # machine could read what is sent.
    folder = tempfile.TemporaryDirectory(prefix="kernel-")
    client = NotebookClient(
        notebook,
        timeout=cell_timeout(),
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        config=Config(KernelManager={"transport": "ipc", "ip": f"{folder.name}/ipc"}),
        on_cell_execute=track_current_cell,
        on_cell_error=ask_for_frames,
    )
    try:
        with folder:
            client.execute()
    except CellExecutionError as error:
        index = index_of(current, notebook)
        message = describe_error(path, index, error.ename, error.evalue, reply)
        raise PageError(message) from error
    except (CellTimeoutError, DeadKernelError, RuntimeError) as error:
        place = name_cell(path, index_of(current, notebook)) if current else relative(path)
        raise PageError(f"{place}: {describe_cause(error)}") from error
    notebook.metadata.language_info.pop("version", None)  # differs between machines


def describe_cause(error):
    """Return in a few words why a notebook couldn't be executed to its end."""
    match error:
        case CellTimeoutError():
            return f"timed out after {cell_timeout()} s"
        case DeadKernelError():
            return "the kernel died"
    return str(error)


def index_of(cell, notebook):
    """Return the index of a cell among the code cells of a notebook."""
    return [other is cell for other in code_cells(notebook)].index(True)


def execute_pages(notebooks, on_executed, on_failed=None):
    """Execute notebooks, given by path, and call `on_executed(path, notebook)` for each.

    Call `on_failed(path, notebook)`, if it's given, for each in which a cell raised an error.
    Raise PageError with a line for each page that failed, after all have ended.
    """
    errors = []
    # The longest pages first, so that no core idles at the end.
    by_size = sorted(notebooks, key=lambda path: -path.stat().st_size)
    # In threads, because nbclient's Ctrl-C handler for the main thread ends one notebook only.
    pool = ThreadPoolExecutor(os.cpu_count())
    progress = Progress()

    def execute(path):
        execute_page(path, notebooks[path], progress.start(path, notebooks[path]))

    futures = {pool.submit(execute, path): path for path in by_size}
    try:
        for future in as_completed(futures):
            path = futures[future]
            if isinstance(error := future.exception(), PageError):
                errors.append(str(error))
                if on_failed and isinstance(error.__cause__, CellExecutionError):
                    on_failed(path, notebooks[path])
                progress.end(path)
                continue
            future.result()
            on_executed(path, notebooks[path])
            progress.end(path, "executed")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if errors:
        raise PageError("\n".join(errors))


class ExecutionCache:
    """Jupyter Book's cache of executed notebooks, emptied if a shared input has changed."""

    def __init__(self):
        self._cache = get_cache(str(EXECUTION_CACHE))
        inputs = b"".join(path.read_bytes() for path in SHARED_INPUTS)
        fingerprint, file = hashlib.sha256(inputs).hexdigest(), EXECUTION_CACHE / "inputs.sha256"
        if not file.exists() or file.read_text() != fingerprint:
            self._cache.clear_cache()
            EXECUTION_CACHE.mkdir(parents=True, exist_ok=True)
            file.write_text(fingerprint)

    def add_outputs(self, notebook):
        """Return the notebook with its outputs; raise KeyError if the cache lacks them."""
        return self._cache.merge_match_into_notebook(notebook)[1]

    def has_outputs_of(self, notebook):
        """Return whether the cache holds a notebook's outputs, without unexpected errors."""
        try:
            executed = self.add_outputs(notebook)
        except KeyError:
            return False
        return not any(
            output.output_type == "error"
            for cell in code_cells(executed)
            if "raises-exception" not in tags(cell)
            for output in cell.outputs
        )

    def store(self, path, notebook):
        """Store an executed notebook."""
        bundle = CacheBundleIn(notebook, str(path))
        self._cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)

    def entries(self):
        """Return the set of the cache's entries, as pairs of a URI and a hash."""
        return {(record.uri, record.hashkey) for record in self._cache.list_cache_records()}
