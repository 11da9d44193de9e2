"""Lines as diffs show them."""

from __future__ import annotations

import pytest

from fortress.cli.base.lines import lines
from fortress.cli.drift.readback import _diff


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", []),
        ("a\nb\n", ["a", "b"]),
        ("a\r\nb\r\n", ["a\\r", "b\\r"]),
        ("a\nb", ["a", "b", "\\ no line feed at the end"]),
        ("a\x0bb\u2028c\n", ["a\x0bb\u2028c"]),
        ("\n\n", ["", ""]),
    ],
)
def test_a_text_by_its_lines(text: str, shown: list[str]) -> None:
    assert lines(text) == shown


def test_which_lines_differ_by_their_ends() -> None:
    assert _diff("a\nb\nc\n", "a\nb\r\nc", "as pushed", "on db")[3:] == (
        " a",
        "-b",
        "+b\\r",
        " c",
        "+\\ no line feed at the end",
    )


def test_bytes_that_are_no_text_are_not_shown() -> None:
    assert _diff("\udcff", "x", "as pushed", "on db")[2:] == ("  it is no text; its bytes differ",)
