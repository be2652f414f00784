"""Find out where a cell failed: ask its kernel for the frames of the last traceback.

Jupyter's error messages carry no line numbers when tracebacks are short, as in this book.
"""

import ast

from tools.build.notebook import find_line
from tools.project import relative

# The line and the cell's source for the failing cell's frame and for the innermost frame in a
# cell's code, which differ if the error is raised in a function that a cell defines
FRAMES = """(lambda frames: frames[:1] + frames[-1:])([
    (line, "".join(__import__("linecache").getlines(frame.f_code.co_filename)))
    for frame, line in __import__("traceback").walk_tb(__import__("sys").last_traceback)
    if "ipykernel_" in frame.f_code.co_filename
])"""
# Arguments for `execute` of a kernel's client, whose reply `describe_error` reads
REQUEST = {
    "code": "",
    "silent": True,
    "user_expressions": {"frames": FRAMES},
    "reply": True,
    "timeout": 10,
}


def describe_error(path, index, source, name, message, reply=None):
    """Return a line that says where an error was raised in a page, and which.

    `index` and `source` are those of the failing code cell, `name` and `message` those of the
    error, and `reply` is the kernel's to `REQUEST`. Without one, the line is the cell's.
    """
    frames = read_frames(reply)
    line = find_line(path, index)
    if frames:
        lines = path.read_text("utf-8").splitlines()
        line = lines.index(source.partition("\n")[0], line) + frames[0][0]
        statement = find_statement(*frames[-1])
        if name == "AssertionError" and isinstance(statement, ast.Assert):
            expression = f"assert {ast.unparse(statement.test)}"
            message = f"{message} ({expression})" if message else expression
    return f"{relative(path)}:{line}: cell {index + 1}: {name}: {message}"


def read_frames(reply):
    """Return the frames in a kernel's reply, as pairs of a line and a source."""
    frames = (reply or {}).get("content", {}).get("user_expressions", {}).get("frames", {})
    return ast.literal_eval(frames["data"]["text/plain"]) if frames.get("status") == "ok" else []


def find_statement(line, source):
    """Return the innermost statement at a line of a cell."""
    statements = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= node.end_lineno
    ]
    return max(statements, key=lambda node: (node.lineno, node.col_offset))
