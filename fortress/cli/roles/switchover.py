"""`fortress switchover`: another server of the database takes the writes, and no acknowledged commit is lost."""

from __future__ import annotations

from functools import partial

from fortress.cli.hosts.roles import Reports
from fortress.cli.roles.change import RoleChange
from fortress.facts import DatabaseFacts
from fortress.scripts.roles.states import SYNCED, ServerReport, ahead

HAND_OVER_TAKES_S = 90.0
BEHIND_S = 3.0
"""A copy that is less behind is at its place."""


def decide(reports: Reports, database: DatabaseFacts, to: str) -> RoleChange:
    """Let the primary hand over to `to`."""
    former, why = refusal(reports, database, to)
    return RoleChange(
        to,
        refused=why,
        on=former,
        words=("hand-over", to),
        takes_s=HAND_OVER_TAKES_S,
        former=former,
        unsettled=partial(unsettled, database=database, to=to),
        achieved=f"{to} takes the writes, and every other server follows it",
        next=f"set database.primary: {to} in the settings: changes then reach the copies first, and {to} last",
    )


def refusal(reports: Reports, database: DatabaseFacts, to: str) -> tuple[str, str]:
    """The primary, and why the writes are not handed over; no word where they can be."""
    taking = [name for name, report in reports.items() if isinstance(report, ServerReport) and report.takes_writes]
    silent = [f"{name} ({report})" for name, report in reports.items() if isinstance(report, str)]
    if not taking:
        asked = f"; these did not answer: {', '.join(silent)}" if silent else ""
        return "", f"no server takes the writes now{asked}. If the primary is lost: fortress promote {to}"
    if len(taking) > 1:
        return "", f"{' and '.join(taking)} both take writes: stop the workload, then compare them"
    (former,) = taking
    if former == to:
        return former, f"{to} takes the writes already"
    copy, primary = reports[to], reports[former]
    if isinstance(copy, str):
        return former, f"{to} does not answer: {copy}"
    if trouble := copy.service or copy.own.trouble:
        return former, f"{to}: {trouble}"
    if copy.votes:
        member = copy.own.member
        if member is None or not member.stands or member.state != SYNCED:
            return former, f"{to} is no member of the cluster that has all data: {copy.why}"
        return former, ""
    source = copy.own.source
    if source is None or source.address != database.servers[former]:
        return former, f"{to} does not follow {former}: {copy.why}"
    if not (source.receiving and source.applying):
        return former, f"{to} does not keep up with {former}: {source.error or 'its replication does not run'}"
    if isinstance(primary, ServerReport) and not primary.own.semi_sync:
        return former, f"commits on {former} do not wait for a copy now: see `semi-sync` of `fortress verify`"
    return former, ""


def unsettled(reports: Reports, database: DatabaseFacts, to: str) -> str:
    """Why not every server is at its place yet, of those that answer; no word where all are."""
    new = reports[to]
    if isinstance(new, str) or not new.takes_writes:
        return f"{to} does not take the writes yet: {new if isinstance(new, str) else new.service or new.why}"
    if new.votes:
        others = {name: report for name, report in reports.items() if name != to and isinstance(report, ServerReport)}
        late = [name for name, report in others.items() if report.own.primary != to or not report.own.read_only]
        return f"{late[0]} does not know yet that {to} takes the writes" if late else ""
    for name, report in reports.items():
        if name == to or isinstance(report, str):
            continue
        source = report.own.source
        if source is None or source.address != database.servers[to] or not (source.receiving and source.applying):
            return f"{name} does not follow {to} yet: {source.error if source and source.error else report.why}"
        if report.lag_s is None or report.lag_s > BEHIND_S:
            return f"{name} is still catching up with {to}"
        if ahead(report.own.position, new.own.position):
            return f"{name} has transactions that {to} lacks"
    return "" if new.own.semi_sync else f"commits on {to} do not wait for a copy yet"
