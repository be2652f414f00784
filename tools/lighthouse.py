"""Print Lighthouse's scores for every page of the built site, by its mobile profile."""

import json
import os
import shutil
import subprocess
import sys

from tools.browser import MISSING, chromium_path
from tools.serve import names, serving

LIGHTHOUSE = "lighthouse@12.8.2"
FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking"
SCORES = ["performance", "accessibility", "best-practices", "seo"]
TIMES = ["first-contentful-paint", "largest-contentful-paint", "total-blocking-time"]


def report(address, chromium):
    run = subprocess.run(
        ["npx", "--yes", LIGHTHOUSE, address, "--quiet", "--output=json"]
        + [f"--chrome-flags={FLAGS}", "--only-categories=" + ",".join(SCORES)],
        env=os.environ | {"CHROME_PATH": chromium},
        stdout=subprocess.PIPE,
        text=True,
    )
    if run.returncode:
        sys.exit(f"make lighthouse: no report of {address}")
    return json.loads(run.stdout)


def row(address, chromium):
    found = report(address, chromium)
    scores = [round(100 * (found["categories"][name]["score"] or 0)) for name in SCORES]
    audits = {name: audit.get("numericValue") for name, audit in found["audits"].items()}
    seconds = [f"{audits[name] / 1000:.1f}" for name in TIMES]
    shift = f"{audits['cumulative-layout-shift']:.3f}"
    return [*scores, *seconds, shift, round(audits["total-byte-weight"] / 1024)]


def main():
    if (chromium := chromium_path()) is None:
        sys.exit(f"make lighthouse: {MISSING}")
    if not shutil.which("npx"):
        sys.exit("make lighthouse: no npx found: install Node.js with npm")
    head = ["perf", "a11y", "best", "seo", "FCP s", "LCP s", "TBT s", "CLS", "KiB"]
    print(f"{'':34}" + "".join(f"{word:>7}" for word in head))
    with serving() as site:
        for name in [*names(), "search"]:
            cells = row(f"{site}/{name}.html", chromium)
            print(f"{name:34}" + "".join(f"{cell:>7}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
