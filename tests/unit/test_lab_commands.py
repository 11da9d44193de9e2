"""lab/base/commands.py: what a failed command is said to have failed by."""

from __future__ import annotations

import pytest

from lab.base.commands import failure, succeeds


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["true"], None),
        (["sh", "-c", "echo out; echo refused >&2; echo >&2; exit 255"], "refused"),
        (["sh", "-c", "exit 3"], "exit code 3"),
        (["no-such-command"], "no-such-command is not installed"),
        (["sleep", "30"], "no end within 0.2 s"),
    ],
)
def test_why_a_command_failed(command: list[str], said: str | None) -> None:
    assert failure(command, seconds=0.2 if command[0] == "sleep" else 10) == said


def test_whether_a_command_succeeds() -> None:
    assert succeeds(["true"])
    assert not succeeds(["false"])
