"""How backups, and what became of a run, are told to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from fortress.cli.backup.host import RunProgress
from fortress.cli.base.screen import Screen

TABLES_SHOWN = 40
"""Tables that are listed for people; JSON has all of them."""


def moment(at: float) -> str:
    """As `--at` takes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: float) -> str:
    """Bytes, for people."""
    for unit, length in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count:.0f} bytes"


def span(seconds: float) -> str:
    """A duration, for people."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def progress(now: RunProgress) -> str:
    """One line: what is done, how much of how much, and how long it may still take."""
    if not now.total:
        return now.phase
    share = min(1.0, now.done / now.total)
    if now.unit == "bytes":
        amount = f"{size(now.done)} of about {size(now.total)}"
    else:
        amount = f"{now.done:.0f} of {now.total:.0f} {now.unit}"
    left = f", about {span(now.seconds / share - now.seconds)} left" if share > 0.02 and now.seconds > 1 else ""
    return f"{now.phase}: {amount}, {share:.0%}{left}"


def as_json(stack: str, facts: Mapping[str, Any], error: str | None = None) -> str:
    """One object for programs."""
    found: dict[str, Any] = {"ok": error is None, "stack": stack, **facts}
    if error is not None:
        found["error"] = error
    return json.dumps(found, indent=2) + "\n"


def listed(stack: str, found: Mapping[str, Any], *, terminal: bool) -> str:
    """The backups, oldest first, and of which times any second can be restored."""
    screen = Screen(terminal=terminal, width=None)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("completed")
    for title in ("size", "new data", "took"):
        table.add_column(title, justify="right")
    table.add_column("MariaDB")
    for each in found["backups"]:
        took = span(each["seconds"])
        cells = (moment(each["at"]), size(each["bytes"]), size(each["added"]), took, each["server"])
        table.add_row(*(Text(str(cell)) for cell in cells))
    if found["backups"]:
        screen.print(table)
        screen.print()
    for begin, end in found["points"]:
        screen.print(Text(f"any second from {moment(begin)} to {moment(end)} can be restored"), soft_wrap=True)
    count = len(found["backups"])
    screen.print(Text(f"{stack}: {count} backup{'' if count == 1 else 's'} at {found['target']}"), soft_wrap=True)
    return screen.text()


def taken(facts: Mapping[str, Any]) -> str:
    """What a backup that was just taken is."""
    return (
        f"backup of {moment(facts['at'])} is complete: {size(facts['bytes'])}, {size(facts['added'])} of it new, "
        f"in {span(facts['seconds'])}\n"
    )


def restored(facts: Mapping[str, Any], how: str, *, terminal: bool) -> str:
    """What was restored: its moment, and what is in it."""
    screen = Screen(terminal=terminal, width=None)
    tables: Sequence[Mapping[str, Any]] = facts["tables"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("table")
    table.add_column("rows", justify="right")
    sums = any("checksum" in each for each in tables)
    if sums:
        table.add_column("checksum", justify="right")
    for each in tables[:TABLES_SHOWN]:
        table.add_row(Text(each["table"]), Text(str(each["rows"])), *([Text(str(each["checksum"]))] if sums else []))
    if tables:
        screen.print(table)
    if len(tables) > TABLES_SHOWN:
        screen.print(Text(f"... and {len(tables) - TABLES_SHOWN} more; --json has all"))
    for name, rows in facts.get("deleted", {}).items():
        screen.print(Text(f"deletions: {rows} rows of {name}"))
    if "accounts" in facts:
        screen.print(Text(f"accounts of the application are {facts['accounts']}"))
    if facts.get("reseeded"):
        screen.print(Text(f"{', '.join(facts['reseeded'])} got all of it too"), soft_wrap=True)
    what = f"{len(tables)} tables, {facts['rows']} rows as of {moment(facts['point'])}"
    screen.print(
        Text(f"{how}: {what}, from the backup of {moment(facts['backup'])}, in {span(facts['restore_s'])}"),
        soft_wrap=True,
    )
    return screen.text()
