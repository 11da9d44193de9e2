"""A refusal of the program is one message, though its language host interrupts it for that."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.stack_file import ROOT

PROGRAM = """
import pulumi
from program.refusal import refusal

try:
    raise refusal("invalid settings:", ["mesh.mtu: no"])
except pulumi.RunError as error:
    print(error)
    {ends}
"""


@pytest.mark.parametrize(
    ("ends", "said"),
    [("raise KeyboardInterrupt", False), ("raise OSError('no room')", True)],
)
def test_an_interrupt_after_a_refusal_says_nothing_more(ends: str, said: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(ends=ends)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "invalid settings:\n  mesh.mtu: no\n"
    assert ("no room" in done.stderr, done.stderr != "") == (said, said)
    assert done.returncode != 0
