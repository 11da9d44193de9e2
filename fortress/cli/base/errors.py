"""What the `fortress` command says when it cannot go on."""

from __future__ import annotations

import csv

GARBLED = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError, csv.Error)
"""What reading may raise where a host printed something else than what it was asked for."""

LONGEST = 300
"""Characters of something said elsewhere that are shown."""


class CannotAskError(Exception):
    """Something is missing before any check could be made: one line that names it, and the cure. Exit status 2."""


def printable(text: str) -> str:
    """Text from elsewhere as one line that is safe on any terminal: breaks become `; `, all but plain ASCII `?`."""
    joined = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(character if " " <= character <= "~" else "?" for character in joined)


def clipped(text: str) -> str:
    """The same, at most LONGEST characters of it."""
    line = printable(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
