"""What the database knows of copies of itself: those that it sends to, and the one that it is. Plain functions."""

from __future__ import annotations

from collections.abc import Iterator

from fortress.cli.checks import Check
from fortress.cli.ssh import Result

QUERY = (
    "show all slaves status\\G "
    "select user as copy_user, host as copy_host, time as copy_seconds, state as copy_state "
    "from information_schema.processlist where command like 'Binlog Dump%'\\G"
)
"""As mariadb's own client takes it; \\G prints a line a column."""

ALL_SENT = "Master has sent all binlog to slave"
"""How MariaDB's state of a thread begins that has nothing left to send (10.11)."""


def lag(check: Check, result: Result, limit_s: float, *, wanted: bool) -> list[Check]:
    """How far copies are behind, in seconds: no check where there is none and none is `wanted`.

    A source knows what it has sent, not what the copy made of it. A copy's own figure reads 0 while the network
    stalls, until slave_net_timeout (60 s here) ends its connection; so a thread that does not run is a failure.
    """
    if result.status != 0:
        return [check.unknown(result.stderr or "mariadb failed")]
    rows = list(_rows(result.stdout))
    sources = [row for row in rows if "Slave_IO_Running" in row]
    copies = [row for row in rows if "copy_state" in row]
    if not sources and not copies:
        return [check.fail(None, "no copy is connected, and database.cross_cloud_copy says that one is")] * wanted
    for row in sources:
        for thread in ("IO", "SQL"):
            if row[f"Slave_{thread}_Running"] != "Yes":
                error = row.get(f"Last_{thread}_Error") or row[f"Slave_{thread}_Running"]
                return [check.fail(None, f"the copy's {thread} thread does not run: {error}")]
    behind = [(float(row["Seconds_Behind_Master"]), f"behind {row['Master_Host']}") for row in sources]
    behind += [
        (0.0 if row["copy_state"].startswith(ALL_SENT) else float(row["copy_seconds"]), f"to {row['copy_host']}")
        for row in copies
    ]
    seconds, where = max(behind)
    return [check.judge(seconds <= limit_s, seconds, f"{where}; {len(copies)} copies read from here")]


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
