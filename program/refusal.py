"""How the program refuses to go on: one message, and nothing around it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType

import pulumi


def refusal(title: str, lines: Iterable[str]) -> pulumi.RunError:
    """The error to raise, with a line for each reason; the engine prints it as it stands.

    The CLI's own language host interrupts the program as soon as the engine has heard of the error. What Python says of
    that interrupt, a traceback of both, is left out.
    """
    sys.excepthook = _unless_interrupted
    return pulumi.RunError("\n".join([title, *(f"  {line}" for line in lines)]))


def _unless_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
