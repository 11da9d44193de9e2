"""Which machine stands behind a host's name: every command for the host carries it, and changes with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"(?P<host>.+)\.(?P<incarnation>[0-9]+)", re.DOTALL)


@dataclass(frozen=True)
class Incarnation:
    """The identity of a machine that has an address: NAME.INCARNATION. One that a cloud made goes by the cloud's id."""

    host: str
    number: int

    def __str__(self) -> str:
        return f"{self.host}.{self.number}"


def incarnation(machine: str) -> Incarnation | None:
    """The incarnation that an identity names, None for a cloud's id."""
    found = _TEXT.fullmatch(machine)
    return Incarnation(found["host"], int(found["incarnation"])) if found else None
