"""A version's notes: its section of CHANGELOG.md."""

from __future__ import annotations

import re

HEADING = re.compile(r"## (?P<version>\d+\.\d+\.\d+) - (?P<day>\d{4}-\d{2}-\d{2})")
"""The heading of each released version; `## Unreleased` comes before the first of them."""


def notes(changelog: str, version: str) -> str:
    """The text under the heading of `version`.

    Raises:
        ValueError: there is no such heading, or no text under it.
    """
    found = ""
    inside = False
    for line in changelog.splitlines(keepends=True):
        if line.startswith("## "):
            heading = HEADING.fullmatch(line.rstrip())
            inside = heading is not None and heading["version"] == version
        elif inside:
            found += line
    if not found.strip():
        raise ValueError(f"CHANGELOG.md has no text under a heading `## {version} - YYYY-MM-DD`")
    return found.strip() + "\n"
