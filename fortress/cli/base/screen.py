"""What people read on a terminal, rendered by rich."""

from __future__ import annotations

import io

from rich.console import Console


class Screen(Console):
    """A console whose text is taken as a whole: where a pipe breaks, rich would end the program by itself.

    `terminal` is whether there are colours; `width` in columns, the terminal's own or 80 when not given.
    """

    def __init__(self, *, terminal: bool, width: int | None) -> None:
        self._rendered = io.StringIO()
        super().__init__(
            file=self._rendered,
            force_terminal=True if terminal else None,
            width=width,
            markup=False,
            highlight=False,
            emoji=False,
        )

    def text(self) -> str:
        """All that was printed."""
        return self._rendered.getvalue()
