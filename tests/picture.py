"""The picture of the README: `make picture` writes docs/report.png, the report of the fortress that stands in the lab.

Needs the lab up (`make lab`). The browser is that of tests/engine/chromium.py.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize

from tests.engine import chromium

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "report.png"
LARGEST = 200_000
"""Bytes: it is loaded with each look at the README."""


def main() -> None:
    """Write the picture. Ends with the status of `fortress report` where that fails."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        page = folder / "report.html"
        done = subprocess.run([ROOT / "lab/fortress.sh", "report", "--stack", "lab", "-o", page], check=False)
        if done.returncode:
            sys.exit(done.returncode)
        with (
            chromium.browser(folder) as browser,
            browser.new_page(viewport=ViewportSize(width=1200, height=900), color_scheme="light") as shown,
        ):
            shown.goto("file:///mnt/report.html")
            shown.screenshot(path=PICTURE)
    size = PICTURE.stat().st_size
    assert size <= LARGEST, f"{PICTURE} has {size} bytes, more than {LARGEST}"
    print(f"docs/report.png: {size // 1000} kB")


if __name__ == "__main__":
    main()
