"""A restore to several servers: one restores while the others are stopped, and then these get its data."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fortress import galera
from fortress.cli.backup.host import Keeper, RunFailedError, RunProgress
from fortress.cli.base.errors import CannotAskError
from fortress.cli.hosts import roles, ssh
from fortress.cli.hosts.visit import visit
from fortress.facts import DatabaseFacts, StackOutputs
from fortress.scripts.database_backup import RESTORE_UNIT, WAITING
from fortress.scripts.roles.states import ServerReport

STOPPING_TAKES_S = 900.0
"""MariaDB writes what it has in memory."""
RECEIVING_TAKES_S = 12 * 3600.0
MARIADB = "mariadb"


@dataclass(frozen=True)
class Members:
    """Who is to be stopped while one server restores."""

    servers: tuple[str, ...]
    """The other servers; of copies the one that takes the writes last."""
    witness: tuple[str, ...] = ()
    """Host of the witness, where there is one."""
    option: str = "--cluster"
    """How the host is told what they are."""


def members(keeper: Keeper) -> Members | None:
    """The others of several servers; None where there is one.

    Raises:
        RunFailedError: one of the servers is not at its place, so that its data might come back later.
        CannotAskError: no server can be asked.
    """
    database = keeper.outputs.database
    if database is None or not database.servers:
        return None
    reports = roles.ask_all(keeper.outputs, database, keeper.credentials, keeper.timeout)
    answers = {name: report for name, report in reports.items() if isinstance(report, ServerReport)}
    if not answers:
        raise CannotAskError("; ".join(f"{name}: {report}" for name, report in reports.items()))
    others = tuple(name for name in database.servers if name != keeper.host)
    if any(report.votes for report in answers.values()):
        found, refused = Members(others, tuple(witnesses(keeper.outputs, database))), not_there(reports)
    elif others:
        writers_last = sorted(others, key=lambda name: name in answers and answers[name].takes_writes)
        found, refused = Members(tuple(writers_last), option="--copies"), away(reports)
    else:
        return None
    if refused and not _restoring(keeper):
        raise RunFailedError(f"nothing was changed: {refused}")
    return found


CURE = "bring it back, with `fortress reseed` where it does not come by itself, or set it as gone and `pulumi up`"


def away(reports: Mapping[str, ServerReport | str]) -> str:
    """Why a server and its copies cannot be restored to as they are; no word where they can."""
    lost = []
    for name, report in sorted(reports.items()):
        if isinstance(report, str) or report.service or report.own.trouble:
            why = report if isinstance(report, str) else report.service or report.own.trouble
            lost.append(f"{name} does not answer ({why})")
        elif report.own.seeding or report.own.number == 0:
            lost.append(f"{name} has no whole copy of the data ({report.why})")
    return f"{'; '.join(lost)}: {CURE}" if lost else ""


def not_there(reports: Mapping[str, ServerReport | str]) -> str:
    """Why a cluster cannot be restored to as it is; no word where it can."""
    lost = []
    for name, report in sorted(reports.items()):
        if isinstance(report, str):
            lost.append(f"{name} does not answer ({report})")
        elif report.own.member is None or not report.own.member.stands:
            lost.append(f"{name} is in no majority")
    if len(lost) == len(reports):
        return "no server is in a majority: see `fortress recover`"
    return f"{'; '.join(lost)}: {CURE}" if lost else ""


def witnesses(outputs: StackOutputs, database: DatabaseFacts) -> list[str]:
    """Hosts that vote and keep no data: those that servers reach by Galera's port and are none of them."""
    reached = {flow.destination for flow in outputs.flows if flow.port == galera.GROUP_PORT}
    return sorted(reached - set(database.servers))


def restore(
    keeper: Keeper, others: Members, hear: Callable[[RunProgress], None], *options: str, text: str = ""
) -> dict[str, Any]:
    """Restore; gives the facts of it, with `reseeded`, the members that have all of it.

    Raises:
        RunFailedError: it failed, or a member does not have the restored data yet; the text says which.
        CannotAskError: the host cannot be asked.
    """
    stopped = False

    def listen(now: RunProgress) -> None:
        nonlocal stopped
        hear(now)
        if now.phase == WAITING and not stopped:
            stopped = True
            if wrong := _each(keeper, others, "stop", STOPPING_TAKES_S):
                raise RunFailedError(f"nothing was restored, {'; '.join(wrong)}")

    try:
        facts = keeper.run("restore", listen, others.option, *options, text=text)
    except RunFailedError as error:
        # They come back to the member that has the old data still.
        if stopped and (wrong := _each(keeper, others, "start", RECEIVING_TAKES_S)):
            raise RunFailedError(f"{error}; and {'; '.join(wrong)}") from None
        raise
    for name in others.servers:
        hear(RunProgress(f"{name} gets the restored data"))
        if wrong := _run(keeper, [name], lambda session: roles.command(session, "reseed"), RECEIVING_TAKES_S):
            why = f"{keeper.host} has the restored data and takes the writes, but {'; '.join(wrong)}"
            raise RunFailedError(
                f"{why}. Use `fortress reseed` for each of {', '.join(others.servers)} that lacks them"
            )
    if wrong := _each(keeper, Members((), others.witness), "start", STOPPING_TAKES_S):
        raise RunFailedError(f"the restored data are on all servers, but {'; '.join(wrong)}")
    return {**facts, "reseeded": list(others.servers)}


def _each(keeper: Keeper, others: Members, verb: str, takes: float) -> list[str]:
    """Stop or start the others' units, one after another; gives what went wrong.

    Two that left at the same time would take the majority with them.
    """
    for hosts, unit in ((others.servers, MARIADB), (others.witness, galera.WITNESS_UNIT)):
        for name in hosts:
            if wrong := _run(keeper, [name], partial(_systemctl, verb, unit), takes):
                return wrong
    return []


def _systemctl(verb: str, unit: str, session: ssh.Session) -> str:
    return shlex.join([*session.sudo, "systemctl", verb, unit])


def _run(keeper: Keeper, hosts: Sequence[str], words: Callable[[ssh.Session], str], takes: float) -> list[str]:
    wrong: list[str] = []

    def run(name: str, session: ssh.Session) -> None:
        result = session.run(words(session), takes=takes)
        if result.status != 0:
            wrong.append(f"{name}: {result.stderr or f'it ended with status {result.status}'}")

    trouble = visit(keeper.outputs, keeper.credentials, keeper.timeout, run, hosts=hosts) if hosts else {}
    return [*wrong, *trouble.values()]


def _restoring(keeper: Keeper) -> bool:
    """Whether a restore is under way there: of this command, whose connection broke."""
    return not _run(keeper, [keeper.host], partial(_systemctl, "is-active", RESTORE_UNIT), 10.0)
