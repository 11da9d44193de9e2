"""The record as a page that prints well: it holds all it shows, runs no script, and makes the browser load nothing."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence

from fortress.cli.record import drawing
from fortress.cli.record.chapters import LIMITS, article, chapters, rules_line, signers, stamp, title
from fortress.sovereignty.record.model import UNDECLARED, ProcessingRecord
from fortress.text import render_page


def render(record: ProcessingRecord) -> str:
    """The whole document."""
    return _page(record, None, ())


def changes(record: ProcessingRecord, since: str, sentences: Sequence[str]) -> str:
    """What changed since an earlier record, as a page of the same kind."""
    return _page(record, since, sentences)


def _page(record: ProcessingRecord, since: str | None, sentences: Sequence[str]) -> str:
    style = render_page("record.css")
    return render_page(
        "record.html.j2",
        record=record,
        style=style,
        style_hash=f"sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        title=title(record),
        article=article(record),
        chapters=chapters(record),
        stamp=stamp(record),
        gaps=record.gaps(),
        rules_line=rules_line(record),
        signers=signers(record),
        limits=LIMITS,
        drawing=drawing.draw(record),
        box=(drawing.BOX_WIDTH, drawing.BOX_HEIGHT),
        boxes_width=drawing.BOXES_WIDTH,
        longest_line=drawing.LONGEST_LINE,
        fitting=drawing.fitting,
        undeclared=UNDECLARED,
        since=since,
        sentences=sentences,
    )
