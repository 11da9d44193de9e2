"""What a command printed: kept apart for the outputs, together for an error, and line by line for the log."""

from __future__ import annotations

import threading
from enum import Enum

from .context import Context


class Stream(Enum):
    """Where a command prints."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Capture:
    """Collects both streams of one command and logs those that `logging` names.

    `logging` is the resource's input: "stdout", "stderr", "stdoutAndStderr" (also when None), anything else is none.
    """

    def __init__(self, context: Context, logging: str | None) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._apart = {stream: bytearray() for stream in Stream}
        self._together = bytearray()
        self._line = bytearray()
        self._logged = {stream for stream in Stream if logging in (None, stream.value, "stdoutAndStderr")}

    def add(self, stream: Stream, data: bytes) -> None:
        """Takes what came next on a stream; safe from several threads."""
        with self._lock:
            self._apart[stream] += data
            self._together += data
            if stream in self._logged:
                self._line += data
                *lines, rest = self._line.split(b"\n")
                self._line = bytearray(rest)
                for line in lines:
                    self._log(line)

    def close(self) -> None:
        """Logs a last line that had no newline."""
        with self._lock:
            if self._line:
                self._log(self._line)
                self._line.clear()

    def output(self, stream: Stream) -> str:
        """All of a stream, without one final newline."""
        return _text(self._apart[stream]).removesuffix("\n")

    def together(self) -> str:
        """Both streams in the order in which they came."""
        return _text(self._together)

    def _log(self, line: bytearray) -> None:
        self._context.status(_text(line).removesuffix("\r"))


def _text(data: bytearray) -> str:
    return data.decode("utf-8", "replace")
