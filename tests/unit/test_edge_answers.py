"""edge-answers: what it refuses, under dash; tests/engine/test_haproxy_real.py has it before real HAProxies."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "fortress" / "scripts" / "edge-answers"
NAME, PATH = "lab.fortress.example", "/health"


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ([], "usage: edge-answers SERVER_NAME PATH SECONDS [PORT SOCKET]"),
        ([NAME, PATH], "usage: "),
        ([NAME, PATH, "5", "443"], "usage: "),
        ([NAME, PATH, ""], "SECONDS: '' is not a number of seconds"),
        ([NAME, PATH, "5s"], "SECONDS: '5s' is not a number of seconds"),
        ([NAME, PATH, "100000"], "SECONDS: '100000' is not a number of seconds"),
    ],
)
def test_wrong_words_are_refused(arguments: list[str], wrong: str) -> None:
    done = subprocess.run(["dash", SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("edge-answers: ")
    assert wrong in done.stderr
