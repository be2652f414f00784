"""Validate the pages with other processors, numbers of threads, engines, and so on.

Print for each setting how long validation took, the largest relative deviation of a number
from the recorded one, the largest distance that anything in a figure moved, and pytest's last
line.
"""

import sys
import time
from pathlib import Path
from tempfile import NamedTemporaryFile

from tools.quality.comparison import RELATIVE_TOLERANCE
from tools.quality.svg_comparison import POINT_TOLERANCE
from tools.quality.validate import run_pytest

# Each setting, with the flag of a processor that can run it. OpenBLAS and oneDNN don't check.
SETTINGS = {
    "": None,
    "OPENBLAS_CORETYPE=Prescott": "pni",
    "OPENBLAS_CORETYPE=Nehalem": "sse4_2",
    "OPENBLAS_CORETYPE=Sandybridge": "avx",
    "OPENBLAS_CORETYPE=Haswell": "avx2",
    "OPENBLAS_CORETYPE=SkylakeX": "avx512f",
    "DNNL_MAX_CPU_ISA=SSE41": "sse4_1",
    "DNNL_MAX_CPU_ISA=AVX2": "avx2",
    "OMP_NUM_THREADS=1": None,
    "OMP_NUM_THREADS=2": None,
    "OMP_NUM_THREADS=4": None,
    "MXNET_ENGINE_TYPE=NaiveEngine": None,
    "LC_ALL=C": None,
    "HOME=/dev/null/none": None,  # a folder that even root can't create
}
OPTIONS = ["--nbval", "book", "-n", "auto", "--dist", "loadfile", "-q", "--deviations"]


def processor_flags():
    """Return the flags of the processor on Linux; an empty set elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def validate(setting):
    """Validate the pages with an environment variable, given as "NAME=VALUE", or without.

    Return the largest relative deviation of a number, the largest distance in a figure,
    pytest's last line, and its exit code.
    """
    variables = dict([setting.split("=")] if setting else [])
    with NamedTemporaryFile("r") as log:
        exit_code, output = run_pytest(*OPTIONS, log.name, **variables)
        deviations = {"text": 0.0, "figure": 0.0}
        for kind, deviation in map(str.split, log):
            deviations[kind] = max(deviations[kind], float(deviation))
    return *deviations.values(), output.strip().splitlines()[-1], exit_code


def main():
    flags, exit_codes = processor_flags(), []
    print(f"{'':32}{'seconds':>8}{'deviation':>11}{'points':>11}")
    print(f"{'tolerance':40}{RELATIVE_TOLERANCE:>11}{POINT_TOLERANCE:>11}")
    for setting, flag in SETTINGS.items():
        print(f"{setting or 'no setting':32}", end="", flush=True)
        if flag and flag not in flags:
            print(f"{'':30}  not on this processor, which has no {flag}")
            continue
        start = time.perf_counter()
        deviation, distance, summary, exit_code = validate(setting)
        seconds = time.perf_counter() - start
        print(f"{seconds:>8.0f}{deviation:>11.1e}{distance:>11.1e}  {summary}", flush=True)
        exit_codes.append(exit_code)
    sys.exit(any(exit_codes))


if __name__ == "__main__":
    main()
