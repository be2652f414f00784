"""Print Lighthouse's scores for every page of the built site, with its mobile profile."""

import json
import os
import shutil
import subprocess
import sys

from tools.chromium import CHROMIUM_MISSING, find_chromium
from tools.project import page_names
from tools.static_server import serve_folder

LIGHTHOUSE = "lighthouse@12.8.2"
CHROME_FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking"
CATEGORIES = ["performance", "accessibility", "best-practices", "seo"]
TIMES = ["first-contentful-paint", "largest-contentful-paint", "total-blocking-time"]
HEADINGS = ["perf", "a11y", "best", "seo", "FCP s", "LCP s", "TBT s", "CLS", "KiB"]


def run_lighthouse(address, chromium):
    """Return Lighthouse's report on an address as a dictionary."""
    run = subprocess.run(
        [
            *("npx", "--yes", LIGHTHOUSE, address, "--quiet", "--output=json"),
            f"--chrome-flags={CHROME_FLAGS}",
            f"--only-categories={','.join(CATEGORIES)}",
        ],
        env=os.environ | {"CHROME_PATH": chromium},
        stdout=subprocess.PIPE,
        text=True,
    )
    if run.returncode:
        sys.exit(f"make lighthouse: Lighthouse failed on {address}")
    return json.loads(run.stdout)


def summarize(report):
    """Return the columns of a report: scores from 0 to 100, seconds, shift, and KiB."""
    scores = [round(100 * (report["categories"][name]["score"] or 0)) for name in CATEGORIES]
    values = {name: audit.get("numericValue") for name, audit in report["audits"].items()}
    seconds = [f"{values[name] / 1000:.1f}" for name in TIMES]
    shift = f"{values['cumulative-layout-shift']:.3f}"
    return [*scores, *seconds, shift, round(values["total-byte-weight"] / 1024)]


def main():
    if (chromium := find_chromium()) is None:
        sys.exit(f"make lighthouse: {CHROMIUM_MISSING}")
    if not shutil.which("npx"):
        sys.exit("make lighthouse: no npx found: install Node.js with npm")
    print(f"{'':34}" + "".join(f"{heading:>7}" for heading in HEADINGS))
    with serve_folder() as site:
        for name in ["index", *page_names(), "search"]:
            columns = summarize(run_lighthouse(f"{site}/{name}.html", chromium))
            print(f"{name:34}" + "".join(f"{column:>7}" for column in columns), flush=True)


if __name__ == "__main__":
    main()
