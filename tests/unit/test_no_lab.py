"""Tests of this folder see no lab: neither one that the caller names nor one that the same process keeps for others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NAMES = ("FORTRESS_LAB", "FORTRESS_CLOUDS")


def test_no_lab_is_named_here() -> None:
    assert [name for name in NAMES if name in os.environ] == []


def test_no_lab_is_named_here_even_where_the_caller_names_one() -> None:
    test = f"{Path(__file__).relative_to(Path.cwd())}::{test_no_lab_is_named_here.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env={**os.environ, "PYTEST_ADDOPTS": "", **dict.fromkeys(NAMES, "nosuchlab")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
