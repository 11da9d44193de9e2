"""`fortress reseed`: a copy of the database gets all of its data from the primary again."""

from __future__ import annotations

from fortress.cli.hosts.roles import Reports
from fortress.cli.roles.change import RoleChange
from fortress.facts import DatabaseFacts
from fortress.scripts.roles.states import ServerReport

COPYING_TAKES_S = 12 * 3600.0


def decide(reports: Reports, _database: DatabaseFacts, host: str) -> RoleChange:
    """Let `host` throw its data away and copy those of the primary."""
    own = reports[host]
    if isinstance(own, str):
        return RoleChange(host, refused=own if own.startswith(host) else f"{host}: {own}")
    if own.takes_writes or not own.own.read_only:
        return RoleChange(host, refused=f"{host} takes the writes; use fortress switchover first")
    taking = [(n, r) for n, r in reports.items() if isinstance(r, ServerReport) and r.takes_writes]
    if len(taking) != 1:
        why = "there is not exactly one server that takes the writes, so there is nothing to copy from"
        return RoleChange(host, refused=why)
    name, primary = taking[0]
    state = own.own.trouble or f"at {own.own.position}"
    return RoleChange(
        host,
        on=host,
        words=("reseed",),
        takes_s=COPYING_TAKES_S,
        former=name,
        warning=f"{host} is {state}; {name}, which takes the writes, is at {primary.own.position}.\n"
        f"All data on {host} are thrown away, with the transactions that {name} lacks, and copied from {name} again.\n",
    )
