"""What comes of a command, here or on a host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str
