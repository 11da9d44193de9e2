"""The project's documents: their commands, what these are to print, and where their links lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ("README.md", "docs/tour.md")
"""Documents whose commands tests/lab/test_docs.py runs, in this order."""
FOLDERS = ("docs", "examples", "package", "tests/doubles", "tests/unit/recorded")
LANGUAGES = ("sh", "text", "yaml", "json", "python")

_FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.M | re.S)
_NOT_RUN = re.compile(r"<!-- not run: ([^\n]+) -->\n+")


@dataclass(frozen=True)
class Block:
    """A fenced block. `not_run` is why no test runs it; a mark on a document's first line is for all its blocks."""

    document: str
    line: int
    language: str
    text: str
    not_run: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Step:
    """Commands, and the lines that their output must have: those of the `text` block that comes next."""

    commands: Block
    shown: tuple[str, ...]


def documents() -> list[Path]:
    """Every document, but for goldens."""
    found = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    return sorted(path for path in found if "goldens" not in path.parts)


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    text = document.read_text()
    name = str(document.relative_to(ROOT))
    everywhere = _NOT_RUN.match(text)
    for found in _FENCE.finditer(text):
        before = text[: found.start()]
        mark = everywhere or next((mark for mark in _NOT_RUN.finditer(before) if mark.end() == len(before)), None)
        yield Block(name, before.count("\n") + 1, found[2], found[3], mark[1] if mark else "")


def steps(document: Path) -> list[Step]:
    """The commands of a document that are run."""
    every = list(blocks(document))
    found = []
    for block, after in zip(every, [*every[1:], None], strict=True):
        if block.language == "sh" and not block.not_run:
            shown = after.text if after and after.language == "text" else ""
            found.append(Step(block, tuple(shown.splitlines())))
    return found


def missing(shown: tuple[str, ...], output: str) -> str | None:
    """The first line that is not in the output, where each has to come after the one before; None when all are.

    `…` stands for anything, and one space for any number of them.
    """
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for wanted in shown:
        words = " ".join(wanted.split())
        if words in ("", "…"):
            continue
        pattern = ".*".join(re.escape(part) for part in words.split("…"))
        if not any(re.fullmatch(pattern, line) for line in lines):
            return wanted
    return None
