"""Runs of pytest that need not import anything first.

Most of the time of a page's validation goes into imports. Here one process imports MXNet,
Matplotlib, Jupyter and pytest once; each run of pytest is a fork of it, and each kernel a
fork of that run. (MXNet provides for it: its DataLoader's workers are forks.)
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback

from tools.pages import ROOT

own = threading.local()


def run(*arguments, **environment):
    """Run pytest in the book's folder; returns its exit code and what it printed.

    Raises RuntimeError if there was no such run.
    """
    # On macOS a fork must not use the system's libraries.
    return (cold if sys.platform == "darwin" else warm)(arguments, os.environ | environment)


def cold(arguments, environment):
    command = [sys.executable, "-m", "pytest", *arguments]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def warm(arguments, environment):
    if not hasattr(own, "server"):  # each thread has one
        own.server = subprocess.Popen(
            [sys.executable, "-m", "tools.warm_pytest"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    print(json.dumps([arguments, environment]), file=own.server.stdin, flush=True)
    if not (answer := own.server.stdout.readline()):
        raise RuntimeError("the process whose forks run pytest has ended")
    return json.loads(answer)


def serve(questions, answers):
    """Answer what `warm` asks, a line each."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as in a kernel
    import ipykernel.kernelapp  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import mxnet  # noqa: F401
    import nbformat  # noqa: F401
    import pytest
    from jupyter_client.provisioning import local_provisioner

    local_provisioner.launch_kernel = Kernel  # in place of a Popen
    for question in questions:
        arguments, environment = json.loads(question)
        with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as printed:

            def child():
                os.dup2(nothing.fileno(), 0)
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
                replace_environment(environment)
                return pytest.main(arguments)

            code = Fork(child).wait()
            printed.seek(0)
            print(json.dumps([code, printed.read()]), file=answers, flush=True)


def replace_environment(environment):
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # which was read from the old one


class Fork:
    """A process that runs a function and ends with the exit code that this returns.

    Has what Jupyter uses of a Popen.
    """

    stdin = stdout = stderr = returncode = None

    def __init__(self, function):
        if pid := os.fork():
            self.pid = pid
            return
        code = 1
        try:
            code = function() or 0
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def wait(self, options=0):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def poll(self):
        return self.wait(os.WNOHANG)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


class Kernel(Fork):
    """A kernel, from the command that would start it."""

    def __init__(self, command, env, cwd=None, **_):
        def child():
            replace_environment(env)
            os.chdir(cwd or ".")
            asyncio.set_event_loop(asyncio.new_event_loop())  # not the one it was forked in
            parent = f"--IPKernelApp.parent_handle={os.getppid()}"  # ends with it
            sys.argv = [*command[command.index("-m") + 1 :], parent]
            from ipykernel.kernelapp import launch_new_instance

            launch_new_instance()

        super().__init__(child)
        os.setpgid(self.pid, self.pid)  # Jupyter signals to the whole group


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word
    serve(sys.stdin, answers)
