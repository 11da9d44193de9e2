"""The record in the forms that the command writes."""

from __future__ import annotations

from fortress.cli.check import show
from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from fortress.cli.record import markdown, page
from fortress.sovereignty.record import model
from fortress.sovereignty.record.changes import sentences
from fortress.sovereignty.record.model import ProcessingRecord


def as_text(record: ProcessingRecord, before: ProcessingRecord | None, since: str, *, html: bool) -> str:
    """The document in Markdown or HTML; with an earlier one, what changed since."""
    if before is None:
        return page.render(record) if html else markdown.render(record)
    found = sentences(before, record)
    return page.changes(record, since, found) if html else markdown.changes(since, found)


def as_json(record: ProcessingRecord, before: ProcessingRecord | None) -> str:
    """One object for programs: what is undeclared, what changed, and the record."""
    gaps = record.gaps()
    check = Check(Kind.UNDECLARED, "", limit=0).judge(not gaps, len(gaps), missing(record))
    more: dict[str, object] = {
        "undeclared": [
            {"setting": entry.source, "section": section.title, "entry": entry.title} for section, entry in gaps
        ],
        "changes": None if before is None else sentences(before, record),
        "record": model.written(record),
    }
    return show.as_json(record.stack, [check], more=more)


def unasked(stack: str, error: str) -> str:
    """The object for a failure before there was a record."""
    return show.as_json(stack, [], error, {"undeclared": [], "changes": None, "record": None})


def missing(record: ProcessingRecord) -> str:
    """The settings to fill in."""
    return ", ".join(entry.source for _, entry in record.gaps())
