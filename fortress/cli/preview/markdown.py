"""Text from elsewhere as Markdown that no forge interprets: no mention, no reference, no HTML, no end of a fence."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence

LONGEST_LINE = 400
"""Characters of one line that are shown."""

_MEANT = "<>&\"'@#!$%~*_`[]:\\"
"""What HTML, Markdown or a forge could take for its own."""


def visible(text: str) -> str:
    """Text with what cannot be seen written out: control characters, and those that turn text around."""
    if text.isprintable():  # so is nearly every line
        return text
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else f"\\u{{{ord(character):x}}}"
        for character in text
    )


def clipped(line: str, longest: int = LONGEST_LINE) -> str:
    """One line, at most so many characters of it, with the rest counted."""
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
    """The same where only HTML is read, as in the summary of a fold."""
    line = clipped(" ".join(visible(text).split("\n")))
    # Forges look for nothing within <code>; written as numbers, a mention is none before it is rendered either.
    return f"<code>{''.join(f'&#{ord(sign)};' if sign in _MEANT else sign for sign in line)}</code>"


def fitting(lines: Sequence[str], longest: int) -> list[str]:
    """As many lines, from the first, as `longest` bytes take, each as a block of code shows it."""
    kept: list[str] = []
    for line in lines:
        kept.append(clipped(visible(line)))
        longest -= len(kept[-1].encode()) + 1
        if longest < 0:
            return kept[:-1]
    return kept


def block(lines: Sequence[str], language: str = "") -> str:
    """What `fitting` gives as a block of code, whatever backticks it holds."""
    text = "\n".join(lines)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def fenced(text: str, language: str = "", longest: int = sys.maxsize) -> str:
    """Text as a block of code; of more than `longest` bytes the first lines, with the rest counted."""
    lines = text.rstrip("\n").split("\n")
    kept = fitting(lines, longest)
    more = [f"… {len(lines) - len(kept)} more lines"] if len(kept) < len(lines) else []
    return block([*kept, *more], language)


def fold(summary: str, body: str) -> str:
    """A part that is shown when it is asked for; `summary` is HTML, `body` Markdown."""
    return f"<details><summary>{summary}</summary>\n\n{body.rstrip()}\n\n</details>\n"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
