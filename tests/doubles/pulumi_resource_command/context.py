"""What a running request carries: its log, its deadline, and the engine's wish to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from .words import CommandError


class Severity(Enum):
    """Of a line in the engine's log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Log = Callable[[Severity, str, bool], None]
"""Takes severity, message, and whether the line is only a passing status."""


@dataclass
class Context:
    """One request. `timeout` is in whole seconds, as the plugin's library counts; 0 is none."""

    log: Log
    cancelled: threading.Event
    timeout: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def status(self, message: str) -> None:
        """A line that the engine shows while the resource is being worked on."""
        self.log(Severity.INFO, message, True)

    def remaining(self) -> float | None:
        """Seconds to the deadline, None where there is none."""
        if not int(self.timeout):
            return None
        return max(0.0, self._started + int(self.timeout) - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Waits, unless the request ends first.

        Raises: CommandError when it was cancelled or its deadline passed.
        """
        remaining = self.remaining()
        if self.cancelled.wait(seconds if remaining is None else min(seconds, remaining)):
            raise CommandError("context canceled")
        if remaining is not None and remaining <= seconds:
            raise CommandError("context deadline exceeded")

    def ended(self) -> bool:
        """Whether the request was cancelled or its deadline has passed."""
        return self.cancelled.is_set() or self.remaining() == 0.0
