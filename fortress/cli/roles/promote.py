"""`fortress promote`: a copy of the database takes the writes, since the primary is lost."""

from __future__ import annotations

from collections.abc import Mapping

from fortress.cli.base.errors import CannotAskError
from fortress.cli.hosts.roles import Reports
from fortress.cli.roles.change import RoleChange
from fortress.facts import DatabaseFacts
from fortress.mariadb import SEMI_SYNC_TIMEOUT_MS
from fortress.scripts.roles.states import ServerReport, ahead

PROMOTE_TAKES_S = 180.0


def decide(reports: Reports, _database: DatabaseFacts, host: str) -> RoleChange:
    """Let `host` take the writes without the primary.

    Raises:
        CannotAskError: it does not answer itself.
    """
    own = reports[host]
    if isinstance(own, str):
        raise CannotAskError(own if own.startswith(host) else f"{host}: {own}")
    if own.own.trouble:
        raise CannotAskError(f"{host}: {own.own.trouble}")
    silent = {name: report for name, report in reports.items() if isinstance(report, str)}
    silent |= {n: r.own.trouble for n, r in reports.items() if isinstance(r, ServerReport) and r.own.trouble}
    return RoleChange(
        host,
        refused=refusal(reports, own, host),
        on=host,
        words=("promote",),
        takes_s=PROMOTE_TAKES_S,
        warning=warning(own, silent, host),
        next="take the lost host out (gone: true, then fortress forget), or start it again: it stays read-only and "
        "follows. docs/runbook.md has both.",
    )


def refusal(reports: Reports, own: ServerReport, host: str) -> str:
    """Why it does not take them; no word where it may."""
    if own.votes:
        cure = "where the majority is lost, see fortress recover"
        return f"the members of a cluster agree themselves who takes the writes; {cure}"
    refused = ""
    if own.takes_writes:
        refused = f"{host} takes the writes already"
    elif own.own.seeding or own.own.number == 0:
        refused = f"{host} has no whole copy of the data"
    for name, report in reports.items():
        if name == host or isinstance(report, str) or report.own.trouble:
            continue
        if report.takes_writes or not report.own.read_only:
            refused = f"{name} takes the writes and answers; use fortress switchover --to {host}"
        elif not report.own.seeding and ahead(report.own.position, own.own.position):
            position = f"{report.own.position}; {host} is at {own.own.position}"
            refused = f"{name} has transactions that {host} lacks ({position}): promote {name}"
    return refused


def warning(report: ServerReport, silent: Mapping[str, str], host: str) -> str:
    """What may be missing on the copy, as far as it can be known. `silent` are those that do not answer, and why."""
    own = report.own
    lines = [f"{host} has everything up to {own.position}."]
    source = own.source
    if source is not None and ahead(source.received, own.position):
        lines.append(f"It has received up to {source.received}, which is applied first.")
    lines += [f"{name} does not answer: {why}" for name, why in silent.items()]
    if silent:
        lines += [
            _lost(report, host),
            "Be sure that no server that does not answer here still serves clients elsewhere: one that is cut off goes "
            "on taking writes until it hears of this promotion, and these are lost.",
        ]
    return "".join(f"{line}\n" for line in lines)


def _lost(report: ServerReport, host: str) -> str:
    seen, position = report.primary_seen, report.own.position
    if seen is None:
        return f"{host} has not seen the primary since its service started, so what is missing is not known."
    at = f"The primary was last seen {seen.ago_s:.0f} s ago at {seen.position}"
    missing = ""
    if ahead(seen.position, position):
        missing = f"; transactions from {position} up to there may be missing here"
    if not seen.semi_sync:
        return f"{at}{missing}. Its commits did not wait for a copy then: acknowledged ones may be lost."
    limit = SEMI_SYNC_TIMEOUT_MS // 1000
    return (
        f"{at}{missing}. Its commits waited for a copy then, so none that was acknowledged is lost, unless it went on "
        f"for more than {limit} s without one."
    )
