"""Run a build task: `python -m tools.build check`, or a different one of TASKS."""

import argparse
import fcntl
import os
import sys
from contextlib import contextmanager

from tools.build.notebook import PageError
from tools.build.pages import check_pages, format_pages, write_new_page
from tools.build.record import record_pages
from tools.build.scratch import copy_pages
from tools.build.site import build_site, prepare_preview
from tools.build.student import write_student_edition
from tools.project import BUILD

TASKS = {
    "check": check_pages,
    "site": build_site,
    "preview": prepare_preview,
    "record": record_pages,
    "student": write_student_edition,
    "scratch": copy_pages,
    "format": format_pages,
    "page": write_new_page,
}


@contextmanager
def exclusive_build_lock():
    """Wait until no other process builds in this checkout."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another build in this folder ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("page", nargs="?", help="the page to record or to write, without .md")
    arguments = parser.parse_args()
    page = [arguments.page] if arguments.task in ("record", "page") else []
    try:
        with exclusive_build_lock():
            TASKS[arguments.task](*page)
    except (PageError, OSError) as error:  # OSError: a full disk, above all
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Interrupted. Finished pages are kept; no file is half-written.", file=sys.stderr)
        os._exit(130)  # doesn't wait for running pages; their kernels end without this process


if __name__ == "__main__":
    main()
