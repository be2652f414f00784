"""Validate the pages as other machines would compute them, and print how far they are off.

Other processors, other numbers of threads, another engine, another locale, other places.
"""

import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import conftest
from tools.pages import ROOT

# What a processor must have; OpenBLAS and oneDNN call instructions without asking.
NEEDS = {
    "OPENBLAS_CORETYPE=Prescott": "pni",
    "OPENBLAS_CORETYPE=Nehalem": "sse4_2",
    "OPENBLAS_CORETYPE=Sandybridge": "avx",
    "OPENBLAS_CORETYPE=Haswell": "avx2",
    "OPENBLAS_CORETYPE=SkylakeX": "avx512f",
    "DNNL_MAX_CPU_ISA=SSE41": "sse4_1",
    "DNNL_MAX_CPU_ISA=AVX2": "avx2",
}
SETTINGS = [
    "",
    *NEEDS,
    "OMP_NUM_THREADS=1",
    "OMP_NUM_THREADS=2",
    "OMP_NUM_THREADS=4",
    "MXNET_ENGINE_TYPE=NaiveEngine",
    "LC_ALL=C",
    "HOME=/dev/null/none",  # where not even root can make one
]
VALIDATE = "-m pytest --nbval book -n auto -q -p no:cacheprovider".split()


def processor():
    """What this processor can do, by the names of Linux."""
    if os.uname()[::4] != ("Linux", "x86_64"):
        sys.exit("make matrix: it knows the processors of Linux on x86-64 alone.")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line for line in lines if line.startswith("flags")).split()


@contextmanager
def copy(name):
    """A copy of the book's files in a folder of this name, with our environment."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with TemporaryDirectory() as folder:
        root = Path(folder, name)
        for file in filter(None, files.split("\0")):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, root / file)
        (root / ".venv").symlink_to(ROOT / ".venv")
        (root / "_build").mkdir()
        yield root


def validate(root, deviations, environment=(), prefix=()):
    """The last line of a validation, and whether it passed."""
    run = subprocess.run(
        [*prefix, sys.executable, *VALIDATE, f"--deviations={deviations}"],
        cwd=root,
        env=os.environ | dict(environment),
        capture_output=True,
        text=True,
    )
    lines = (run.stdout + run.stderr).strip().splitlines()
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            print(f"  {line}", flush=True)
    return lines[-1] if lines else f"exit {run.returncode}", run.returncode == 0


# Only _build can be written, also for root.
READ_ONLY = """
mount --bind . . && mount --bind _build _build && cd "$PWD" &&
mount -o remount,ro,bind . && ! touch book/x 2>/dev/null && touch _build/x && exec "$@"
"""


def cases():
    """What to validate: a name, and a function of the file for the deviations."""
    able = processor()
    for setting in SETTINGS:
        if NEEDS.get(setting, able[0]) not in able:
            yield setting, None
            continue
        environment = [setting.split("=")] if setting else []
        yield setting or "as it is", lambda file, e=environment: validate(ROOT, file, e)

    def spaced(file):
        with copy("a path with spaces") as root:
            return validate(root, file)

    def read_only(file):
        with copy("read-only") as root:
            command = ["unshare", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh"]
            return validate(root, file, prefix=command)

    yield "a path with spaces", spaced
    yield "all but _build read-only", read_only


def main():
    passed = True
    largest = defaultdict(float)
    print(f"{'':32}{'seconds':>8}{'off by':>10}  tests")
    for name, run in cases():
        if run is None:
            print(f"{name:32}{'':18}  not on this processor: no {NEEDS[name]}", flush=True)
            continue
        with TemporaryDirectory() as folder:
            file = Path(folder, "deviations")
            start = time.perf_counter()
            summary, fine = run(file)
            seconds = time.perf_counter() - start
            here = [0.0]
            for line in file.read_text().splitlines() if file.exists() else ():
                page, deviation = line.split()
                largest[page] = max(largest[page], float(deviation))
                here.append(float(deviation))
        print(f"{name:32}{seconds:>8.0f}{max(here):>10.1e}  {summary}", flush=True)
        passed &= fine
    print(f"\n{'':32}{'off by':>10}{'tolerance':>12}")
    for page in sorted(largest):
        print(f"{page:32}{largest[page]:>10.1e}{conftest.RELATIVE:>12.1e}")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
