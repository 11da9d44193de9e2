"""What the `fortress` command says when it cannot go on."""

from __future__ import annotations


class CannotAskError(Exception):
    """Something is missing before any check could be made: one line that names it, and the cure. Exit status 2."""


def printable(text: str) -> str:
    """Text from elsewhere as one line that is safe on any terminal: breaks become `; `, all but plain ASCII `?`."""
    joined = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(character if " " <= character <= "~" else "?" for character in joined)
