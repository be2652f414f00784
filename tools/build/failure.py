"""Find out where a cell failed: ask its kernel for the frames of the last traceback.

Jupyter's error messages carry no line numbers when tracebacks are short, as in this book.
"""

import ast
import re

from tools.build.notebook import code_cells, find_line, read_page
from tools.project import relative

# The line and the cell's source for the failing cell's frame and for the innermost frame in a
# cell's code, which differ if the error is raised in a function that a cell defines; of a syntax
# error, the line alone
FRAMES = """(lambda sys, frames: frames[:1] + frames[-1:] or [(sys.last_value.lineno, "")])(
    __import__("sys"),
    [
        (line, "".join(__import__("linecache").getlines(frame.f_code.co_filename)))
        for frame, line in __import__("traceback").walk_tb(__import__("sys").last_traceback)
        if "ipykernel_" in frame.f_code.co_filename
    ],
)"""
# Arguments for `execute` of a kernel's client, whose reply `describe_error` reads
REQUEST = {
    "code": "",
    "silent": True,
    "user_expressions": {"frames": FRAMES},
    "reply": True,
    "timeout": 10,
}


def describe_error(path, index, name, message, reply=None):
    """Return a line that says where an error was raised in a page, and which.

    `index` is that of the failing code cell, `name` and `message` are those of the error, and
    `reply` is the kernel's to `REQUEST`. Without one, the line is the cell's.
    """
    sources = [cell.source for cell in code_cells(read_page(path))]
    line, origin = find_line(path, index), ""
    message = re.sub(r" \(\d+\.py, line \d+\)$", "", message)  # names a temporary file
    if frames := read_frames(reply):
        (line_in_cell, source), (inner_line, inner_source) = frames[0], frames[-1]
        line = find_code_line(path, index, sources[index]) + find_start(line_in_cell, source)
        statement = find_statement(inner_line, inner_source)
        if name == "AssertionError" and isinstance(statement, ast.Assert):
            expression = f"assert {ast.unparse(statement.test)}"
            message = f"{message} ({expression})" if message else expression
        if frames[0] != frames[-1] and inner_source in sources:
            start = find_code_line(path, sources.index(inner_source), inner_source)
            origin = f" (raised at line {start + find_start(inner_line, inner_source)})"
    error = f"{name}: {message}" if message else name
    return f"{relative(path)}:{line}: cell {index + 1}: {error}{origin}"


def find_code_line(path, index, source):
    """Return the line of a page at which the code of a cell starts, below the cell's options."""
    lines = path.read_text("utf-8").splitlines()
    return lines.index(source.partition("\n")[0], find_line(path, index)) + 1


def read_frames(reply):
    """Return the frames in a kernel's reply, as pairs of a line and a source."""
    expressions = (reply or {}).get("content", {}).get("user_expressions", {})
    if expressions.get("frames", {}).get("status") != "ok":
        return []
    frames = ast.literal_eval(expressions["frames"]["data"]["text/plain"])
    return [(line, source.removesuffix("\n")) for line, source in frames]


def find_statement(line, source):
    """Return the innermost statement at a line of a cell, or None."""
    statements = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= node.end_lineno
    ]
    return max(statements, key=lambda node: (node.lineno, node.col_offset), default=None)


def find_start(line, source):
    """Return how many lines stand above the innermost statement at a line of a cell."""
    statement = find_statement(line, source)
    return (statement.lineno if statement else line) - 1
