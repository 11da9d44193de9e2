"""How checks are shown: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from fortress.cli.base.screen import Screen
from fortress.cli.check.check import Check, Status

NARROW = 60
"""Columns below which a table of five columns cannot be read."""

STYLES = {Status.OK: "green", Status.FAIL: "bold red", Status.UNKNOWN: "yellow"}
WORDS = {Status.OK: "ok", Status.FAIL: "FAIL", Status.UNKNOWN: "unknown"}
"""Told apart without colour too."""

_TIED = "\u00a0"
"""A space where no line is broken, until it is shown."""

COMMAND = ": fortress ssh "
"""Where a detail ends in a command, which is there to be copied."""


def as_json(
    stack: str, checks: Sequence[Check], error: str | None = None, more: Mapping[str, object] | None = None
) -> str:
    """One object for programs: whether every check holds, the checks, `more`, and why nothing, or not all, was done."""
    return envelope(stack, [check.as_json() for check in checks], error, more)


def envelope(
    stack: str, checks: Sequence[Mapping[str, object]], error: str | None, more: Mapping[str, object] | None
) -> str:
    """The same from checks as JSON has them."""
    ok = error is None and bool(checks) and all(check["status"] == Status.OK for check in checks)
    found: dict[str, object] = {"ok": ok, "stack": stack, "checks": checks, **(more or {})}
    if error is not None:
        found["error"] = error
    return json.dumps(found, indent=2) + "\n"


def as_table(stack: str, checks: Sequence[Check], *, terminal: bool, width: int | None = None) -> str:
    """The checks as a table, or as a list on a narrow terminal; then what does not hold, and the tally.

    `terminal` and `width` are as `Screen` has them.
    """
    screen = Screen(terminal=terminal, width=width)
    table = _table(checks)
    if screen.width < NARROW or not screen.fits(table):
        for check in checks:
            screen.print(_line(check.status, f"{check.name}, {check.host}: {_measured(check)}", screen.width))
    else:
        screen.print(table)
    screen.print()
    for (status, host, detail), names in reasons(checks).items():
        # Soft: only a command is longer than a line, and a terminal that breaks it copies it whole.
        screen.print(_line(status, f"{', '.join(names)} on {host}: {detail}", screen.width), soft_wrap=True)
    screen.print(Text(f"{stack}: {tally(checks)}"))
    return screen.text()


def reasons(checks: Sequence[Check]) -> dict[tuple[Status, str, str], list[str]]:
    """What does not hold, by host and reason: a silent host leaves a dozen checks unknown for one."""
    found: dict[tuple[Status, str, str], list[str]] = {}
    for check in checks:
        if check.status is not Status.OK:
            key = (check.status, check.host, check.detail or "no reason given")
            found.setdefault(key, []).append(check.name)
    return found


def tally(checks: Sequence[Check]) -> str:
    """How many checks hold, fail and are unknown, in words."""
    counts = {status: sum(check.status is status for check in checks) for status in Status}
    said = [f"{len(checks)} checks", f"{counts[Status.OK]} ok"]
    said += [f"{counts[status]} {status}" for status in (Status.FAIL, Status.UNKNOWN) if counts[status]]
    return ", ".join(said)


def _table(checks: Sequence[Check]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "check", "host"):
        table.add_column(title, overflow="fold", no_wrap=title == "host")
    for title in ("value", "limit"):
        table.add_column(title, justify="right", overflow="fold")
    for check in checks:
        table.add_row(_status(check), Text(check.name), Text(check.host), Text(with_unit(check)), Text(limit_of(check)))
    return table


def _line(status: Status, said: str, width: int) -> Text:
    """Something about a check, with what does not fit the line hanging below; a command at its end stays whole."""
    word = WORDS[status]
    said, command, arguments = said.partition(COMMAND)
    filled = textwrap.fill(f"{word}  {said}", width, subsequent_indent="    ", break_on_hyphens=False)
    line = Text(filled.replace(_TIED, " "))
    line.append(command.replace(" ", "\n", 1) + arguments)
    line.stylize(STYLES[status], 0, len(word))
    return line


def _status(check: Check) -> Text:
    return Text(WORDS[check.status], style=STYLES[check.status])


def _measured(check: Check) -> str:
    value, limit = with_unit(check), limit_of(check)
    if check.unit:  # a number and its unit stay on one line
        value, limit = value.replace(" ", _TIED), limit.replace(" ", _TIED)
    return f"{value} (limit{_TIED}{limit})" if limit else value


def with_unit(check: Check) -> str:
    """What was measured, `-` where nothing was."""
    if check.value is None:
        return "-"
    return f"{number(check.value)} {check.unit}" if check.unit else number(check.value)


def limit_of(check: Check) -> str:
    """The limit with its unit, empty where there is none."""
    if check.limit is None:
        return ""
    limit = "-".join(number(end) for end in check.limit) if isinstance(check.limit, tuple) else number(check.limit)
    return f"{limit} {check.unit}" if check.unit else limit


def number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"
