"""Run a build task: `python -m tools.build site`, `record`, or `student`."""

import argparse
import fcntl
import sys
from contextlib import contextmanager

from tools.build.notebook import PageError
from tools.build.record import record_pages
from tools.build.site import build_site
from tools.build.student import write_student_edition
from tools.project import BUILD

TASKS = {"site": build_site, "record": record_pages, "student": lambda: None}


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
    task = parser.parse_args().task
    try:
        with exclusive_build_lock():
            write_student_edition()  # which the site offers for download
            TASKS[task]()
    except (PageError, OSError) as error:  # OSError: a full disk, above all
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted. Pages that had finished are kept; no file is half-written.")


if __name__ == "__main__":
    main()
