"""What becomes of settings: they stand, or are refused in lines that a terminal can show; and text that may harm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from fortress.settings.model import Settings
from fortress.settings.parse import SettingsError, parse
from fortress.settings.types import PROJECT
from tests.unit.stack_file import ROOT

HOSTILE = st.text(max_size=12) | st.sampled_from(
    ["\n", "\r", "\0", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ud800", "'", '"', ";", "`id`", "$(id)", "%", "\\", "#"]
)


def refused(values: Mapping[str, Any], project: Path = ROOT) -> list[str]:
    """The lines of the refusal, without the `data-fortress:` that each starts with."""
    with pytest.raises(SettingsError) as bad:
        parse(values, project)
    lines = str(bad.value).split("\n")
    assert all(line.startswith(f"{PROJECT}:") for line in lines), lines
    return [line.removeprefix(f"{PROJECT}:") for line in lines]


def accepted(values: Mapping[str, Any]) -> Settings | None:
    """The settings, or nothing when they are refused, which must be in lines that a terminal can show."""
    try:
        return parse(values, ROOT)
    except SettingsError as bad:
        for line in str(bad).split("\n"):
            assert line.isprintable(), repr(line)
            assert line.startswith(f"{PROJECT}:")
        return None


def every_text(value: object) -> list[str]:
    """All text inside a value, keys too."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for pair in value.items() for item in pair for text in every_text(item)]
        case list() | tuple():
            return [text for item in value for text in every_text(item)]
        case _:
            return []
