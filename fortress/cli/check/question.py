"""A question to a host, and the checks that its answer decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fortress.cli.check.check import Check
from fortress.cli.hosts.ssh import Session


@dataclass(frozen=True)
class Question:
    """Checks, still unknown, and the conversation with a host that answers them."""

    checks: tuple[Check, ...]
    ask: Callable[[Session], list[Check]]
