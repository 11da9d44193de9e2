"""Untrusted text as Markdown that no forge interprets: no mention, no reference, no HTML, no end of a fence."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence

LONGEST_LINE = 400
"""Maximum characters of a line that are shown."""

_MEANT = "<>&\"'@#!$%~*_`[]:\\"
"""Characters with a meaning in HTML, Markdown or a forge."""


def visible(text: str) -> str:
    """Text with invisible characters written out: control characters, and those that change its direction."""
    if text.isprintable():  # so is nearly every line
        return text
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else f"\\u{{{ord(character):x}}}"
        for character in text
    )


def clipped(line: str, longest: int = LONGEST_LINE) -> str:
    """One line, cut to a number of characters, with a count of the rest."""
    return line if len(line) <= longest else f"{line[:longest]}… ({len(line) - longest} more characters)"


def code(text: str, longest: int = LONGEST_LINE) -> str:
    """Text as code within a line: forges look for nothing in it."""
    line = clipped(" ".join(visible(text).replace("\t", " ").split("\n")), longest)
    if not line.strip():
        return "`(empty)`"
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or (line[0] == line[-1] == " ") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def tag_code(text: str) -> str:
    """The same for places that allow only HTML, such as the summary of a fold."""
    line = clipped(" ".join(visible(text).split("\n")))
    # Forges look for nothing within <code>; written as numbers, a mention is none before it is rendered either.
    return f"<code>{''.join(f'&#{ord(sign)};' if sign in _MEANT else sign for sign in line)}</code>"


def fitting(lines: Sequence[str], longest: int) -> list[str]:
    """The first lines that fit into `longest` bytes, each as it appears in a code block."""
    kept: list[str] = []
    for line in lines:
        kept.append(clipped(visible(line)))
        longest -= len(kept[-1].encode()) + 1
        if longest < 0:
            return kept[:-1]
    return kept


def block(lines: Sequence[str], language: str = "") -> str:
    """The result of `fitting` as a code block, whatever backticks it contains."""
    text = "\n".join(lines)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def fenced(text: str, language: str = "", longest: int = sys.maxsize) -> str:
    """Text as a code block; if longer than `longest` bytes its first lines, with a count of the rest."""
    lines = text.rstrip("\n").split("\n")
    kept = fitting(lines, longest)
    more = [f"… {len(lines) - len(kept)} more lines"] if len(kept) < len(lines) else []
    return block([*kept, *more], language)


def fold(summary: str, body: str) -> str:
    """A collapsed section; `summary` is HTML, `body` Markdown."""
    return f"<details><summary>{summary}</summary>\n\n{body.rstrip()}\n\n</details>\n"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def prose(text: str) -> str:
    """Text as words of a paragraph or a table's cell: nothing in it is markup, a line or the end of a cell."""
    line = " ".join(visible(text).replace("\t", " ").split("\n"))
    return re.sub(r"([\\`*_\[\]<>|~$&#])", r"\\\1", line)
