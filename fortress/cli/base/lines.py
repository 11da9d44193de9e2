"""A text's lines as a diff shows them."""

from __future__ import annotations


def lines(text: str) -> list[str]:
    """Each line without its line feed, which alone ends one. Carriage returns show, and so does an end without one."""
    found = text.split("\n")
    last = found.pop()
    shown = [line.replace("\r", "\\r") for line in found]
    return [*shown, last.replace("\r", "\\r"), "\\ no line feed at the end"] if last else shown
