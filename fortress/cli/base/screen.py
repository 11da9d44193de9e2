"""What people read on a terminal, rendered by rich."""

from __future__ import annotations

import io

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

ENDLESS = 10_000
"""Columns where there is no terminal: what reads a pipe breaks lines as it likes, and finds each name in one piece."""


class Screen(Console):
    """A console whose text is taken as a whole: where a pipe breaks, rich would end the program by itself.

    `terminal` is whether there are colours; `width` in columns, the terminal's own when not given; there is no
    limit where there is no terminal.
    """

    def __init__(self, *, terminal: bool, width: int | None) -> None:
        self._rendered = io.StringIO()
        super().__init__(
            file=self._rendered,
            force_terminal=True if terminal else None,
            width=ENDLESS if width is None and not terminal else width,
            markup=False,
            highlight=False,
            emoji=False,
        )

    def fits(self, table: Table) -> bool:
        """Whether a table has room without breaking a word, or what it forbids to wrap."""
        return Measurement.get(self, self.options, table).minimum <= self.width

    def text(self) -> str:
        """All that was printed."""
        return self._rendered.getvalue()
