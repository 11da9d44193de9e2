"""What the database knows of copies of itself: those that it sends to, and the one that it is. Plain functions."""

from __future__ import annotations

from collections.abc import Iterator

from fortress.cli.base.result import Result
from fortress.cli.check.check import Check

QUERY = (
    "show all slaves status\\G "
    "select user as copy_user, host as copy_host, state as copy_state "
    "from information_schema.processlist where command like 'Binlog Dump%'\\G"
)
"""As mariadb's own client takes it; \\G prints a line a column."""

ALL_SENT = "Master has sent all binlog to slave"
"""How MariaDB's state of a thread begins that has nothing left to send (10.11)."""


def lag(check: Check, result: Result, limit_s: float, *, wanted: bool) -> list[Check]:
    """How far copies are behind, in seconds: no check where there is none and none is `wanted`.

    A source knows whether it has sent everything, not since when, nor what the copy made of it. A copy's own figure
    reads 0 while the network stalls, until slave_net_timeout (60 s here) ends its connection; so a thread that does not
    run is a failure.
    """
    if result.status != 0:
        return [check.unknown(result.stderr or "mariadb failed")]
    rows = list(_rows(result.stdout))
    sources = [row for row in rows if "Slave_IO_Running" in row]
    copies = [row for row in rows if "copy_state" in row]
    if not sources and not copies:
        return [check.fail(None, "no copy is connected, but database.cross_cloud_copy says that there is one")] * wanted
    for row in sources:
        for thread in ("IO", "SQL"):
            if row[f"Slave_{thread}_Running"] != "Yes":
                error = row.get(f"Last_{thread}_Error") or row[f"Slave_{thread}_Running"]
                return [check.fail(None, f"the copy's {thread} thread does not run: {error}")]
    behind = [row for row in sources if row["Seconds_Behind_Master"] == "NULL"]
    if behind or sending(result):
        what = (
            "a thread of this copy has just started"
            if behind
            else "a copy is still receiving; ask it how far behind it is"
        )
        return [check.unknown(what)]
    seconds = max((float(row["Seconds_Behind_Master"]) for row in sources), default=0.0)
    read_by = f"all sent to {', '.join(row['copy_host'] for row in copies)}" if copies else "no copy reads from here"
    return [check.judge(seconds <= limit_s, seconds, read_by)]


def sending(result: Result) -> bool:
    """Whether something is left to send to a copy, as it is for a moment after each commit."""
    return any("copy_state" in row and not row["copy_state"].startswith(ALL_SENT) for row in _rows(result.stdout))


def _rows(text: str) -> Iterator[dict[str, str]]:
    """Rows as \\G prints them: a line of stars, then `name: value` a line."""
    row: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("****"):
            if row:
                yield row
            row = {}
        else:
            name, _, value = line.partition(":")
            row[name.strip()] = value.strip()
    if row:
        yield row
