"""Servers of a database with copies: what each says, turned into checks. Plain functions."""

from __future__ import annotations

from collections.abc import Mapping

from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from fortress.scripts.roles.states import SYNCED, ServerReport

QUEUE_LIMIT = 256
"""Write-sets, of gcs.fc_limit: from there on a member makes the others wait."""
FLOW_LIMIT_PERCENT = 5.0
"""Our choice: less is not felt, more comes from a member that is too slow for what is written."""
ERROR_SHOWN = 150
"""Characters of MariaDB's error that are shown, so that the cure behind it is too."""


def judge(host: str, report: ServerReport, lag_limit_s: float) -> list[Check]:
    """The role of one server and, of the primary, whether commits wait for a copy; of a copy, whether it follows."""
    role = Check(Kind.DATABASE_ROLE, host)
    if trouble := report.service or report.own.trouble:
        return [role.fail(None, trouble)]
    if report.own.member is not None or report.votes:
        return _member(host, report, role)
    if report.takes_writes:
        return [role.ok("primary", report.why), _semi_sync(host, report)]
    source = report.own.source
    if source is None:
        return [role.fail("read-only", report.why)]
    copied = Check(Kind.REPLICATION, host, limit="runs")
    lag = Check(Kind.REPLICATION_LAG, host, limit=lag_limit_s)
    found = [role.ok("copy", report.why)]
    if source.receiving and source.applying:
        found.append(copied.ok("runs", f"at {report.own.position}"))
    else:
        cure = f"; fortress reseed {host} replaces its data with the primary's" if source.diverged else ""
        stopped = "does not receive" if not source.receiving else "does not apply"
        error = source.error[:ERROR_SHOWN] or f"it connects to {source.address}"
        found.append(copied.fail(stopped, f"{error}{cure}"))
    if report.lag_s is None:
        found.append(lag.unknown("it has not seen the primary yet"))
    else:
        seen = report.primary_seen
        detail = f"it saw the primary {seen.ago_s:.1f} s ago" if seen else "it never saw the primary"
        found.append(lag.judge(report.lag_s <= lag_limit_s, report.lag_s, detail))
    return found


def _member(host: str, report: ServerReport, role: Check) -> list[Check]:
    member = report.own.member
    if member is None or not member.stands:
        return [role.fail("no member", report.why)]
    found = [role.ok("primary" if report.takes_writes else "member", report.why)]
    if not report.takes_writes and (not report.own.read_only or report.own.primary not in member.members):
        found = [role.fail("no place", report.why)]
    votes = Check(Kind.CLUSTER, host, limit=report.votes)
    if member.state != SYNCED:
        found.append(votes.fail(member.size, f"it is {member.state}: it receives data, or gives them to another one"))
    else:
        named = ", ".join(member.members)
        missing = "" if member.size == report.votes else "; whoever is missing: start it, or set it as gone"
        found.append(votes.judge(member.size == report.votes, member.size, f"{named}{missing}"))
    queue = Check(Kind.RECEIVE_QUEUE, host, limit=QUEUE_LIMIT)
    found.append(queue.judge(member.queue <= QUEUE_LIMIT, member.queue, f"applied up to {member.committed}"))
    flow = Check(Kind.FLOW_CONTROL, host, limit=FLOW_LIMIT_PERCENT)
    if report.flow_paused is None:
        found.append(flow.unknown("its service has just started"))
    else:
        percent = round(report.flow_paused * 100, 1)
        found.append(flow.judge(percent <= FLOW_LIMIT_PERCENT, percent, "see the receive queue of each member"))
    return found


def _semi_sync(host: str, report: ServerReport) -> Check:
    check = Check(Kind.SEMI_SYNC, host, limit="on")
    copies = report.own.semi_sync_copies
    if report.own.semi_sync and copies:
        return check.ok("on", f"acknowledged by one of {copies}" if copies > 1 else "acknowledged by the copy")
    why = "no copy is connected" if not copies else "no copy acknowledged in time, and none has caught up since"
    return check.fail("off", f"commits do not wait for a copy, so a lost primary takes the last ones along: {why}")


def primary(check: Check, reports: Mapping[str, ServerReport | str]) -> Check:
    """Exactly one server takes the writes."""
    taking = [name for name, report in reports.items() if isinstance(report, ServerReport) and report.takes_writes]
    silent = [name for name, report in reports.items() if isinstance(report, str)]
    if len(taking) > 1:
        return check.fail(" ".join(taking), "more than one server takes writes: stop the workload, then compare them")
    if taking:
        return check.ok(taking[0])
    if silent:
        return check.unknown(f"no server that answered takes writes; {', '.join(silent)} did not answer")
    why = "; ".join(f"{name}: {report.why}" for name, report in reports.items() if isinstance(report, ServerReport))
    return check.fail("none", f"no server takes writes. {why}")
