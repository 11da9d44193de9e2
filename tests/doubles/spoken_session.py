"""A connection to a host that says what it is told to: for answers that no real run gives at will."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fortress.cli.base.result import Result


@dataclass(frozen=True)
class SpokenSession:
    """Has the part of `fortress.cli.hosts.ssh.Session` that follows a run."""

    lines: Sequence[str]
    status: int = 0
    stderr: str = ""
    sudo: Sequence[str] = ("sudo", "-n")

    def follow(self, command: str, hear: Callable[[str], None], *, text: str, silence: float) -> Result:
        """Say the lines, whatever the command."""
        assert command.startswith("sudo -n /")
        assert (text, silence > 0) == ("", True)
        for line in self.lines:
            hear(line)
        return Result(self.status, "", self.stderr)
