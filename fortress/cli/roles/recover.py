"""`fortress recover`: a database cluster that has lost its majority is begun again, by the member that has most."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import typer

from fortress.cli.base.terminal import complain
from fortress.cli.base.verb import confirm, orderly, progress, say
from fortress.cli.engine import outputs as stack_outputs
from fortress.cli.hosts import roles, ssh
from fortress.cli.hosts.visit import visit
from fortress.facts import StackOutputs
from fortress.scripts.roles.states import ServerReport

LOOKING_TAKES_S = 1200.0
"""MariaDB is stopped, and reads its data as after a crash."""
BEGINNING_TAKES_S = 1200.0
RECEIVING_TAKES_S = 12 * 3600.0


UNCHANGED = "nothing was changed"


@dataclass(frozen=True)
class Saved:
    """What the data of one member are worth, as it says itself."""

    server: str
    cluster: str
    """Which cluster they are of, for ever."""
    committed: int
    """Number of the last write-set that they have; negative where they are not whole."""
    safe_to_bootstrap: bool
    """Galera's own word, which is written when a member stops, and never taken back when others go on: not believed."""


@dataclass(frozen=True)
class Recovery:
    """What is known before it."""

    chosen: str = ""
    saved: dict[str, Saved] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    """Servers that do not answer, and why."""
    refused: str = ""


def recover_cluster(stack: str, without: Collection[str], *, yes: bool, timeout: float, key: Path | None) -> None:
    """Exit with the verb's status: 0 if it is done, 1 if it is refused, not confirmed or not completed."""
    with orderly():
        credentials = ssh.prepare(key, os.environ)
        with progress(f"reading stack {stack}") as tell:
            outputs = stack_outputs.read(stack)
            tell("asking the servers")
            found = plan(stack, outputs, credentials, without, timeout=timeout)
        say(shown(found))
        try:
            if found.refused:
                complain(f"{UNCHANGED}: {found.refused}")
                raise typer.Exit(1)
            confirm(f"Begin the cluster with the data of {found.chosen}?", yes=yes, unchanged=UNCHANGED)
        except typer.Exit:
            leave_as_it_was(outputs, credentials, found, timeout=timeout)
            raise
        with progress(f"beginning with {found.chosen}"):
            wrong, said = run(outputs, credentials, found, timeout=timeout)
        say(said)
        if wrong:
            complain(wrong)
            raise typer.Exit(1)


def parse(text: str) -> Saved:
    """What `database_role.py saved` printed.

    Raises:
        ValueError: it is none.
    """
    try:
        return Saved(**json.loads(text))
    except TypeError:
        raise ValueError(f"no answer of a member: {text!r}") from None


def plan(
    stack: str,
    outputs: StackOutputs,
    credentials: ssh.Credentials,
    without: Collection[str],
    *,
    timeout: float,
) -> Recovery:
    """Ask every server what its data are worth; MariaDB is stopped for it where no majority stands.

    Raises:
        CannotAskError: the stack has no copies, or one of `without` is no server.
    """
    database = roles.database_of(outputs, stack)
    for name in without:
        roles.server_of(database, name)
    reports = roles.ask_all(outputs, database, credentials, timeout)
    if refused := standing(reports):
        return Recovery(refused=refused)
    saved: dict[str, Saved] = {}
    silent: dict[str, str] = {}

    def look(name: str, session: ssh.Session) -> None:
        result = session.run(roles.command(session, "saved"), takes=LOOKING_TAKES_S)
        try:
            saved[name] = parse(result.stdout)
        except ValueError:
            silent[name] = result.stderr or f"it printed {result.stdout!r}"

    silent |= visit(outputs, credentials, timeout, look, hosts=list(database.servers))
    return choose(saved, silent, without)


def standing(reports: Mapping[str, ServerReport | str]) -> str:
    """Why there is nothing to recover; no word where there may be."""
    answers = {name: report for name, report in reports.items() if isinstance(report, ServerReport)}
    if answers and not any(report.votes for report in answers.values()):
        return "these servers are no cluster: for a lost primary there is fortress promote"
    for name, report in answers.items():
        if report.own.member is not None and report.own.member.stands:
            return f"{name} is in a majority, so the cluster stands: start mariadb on a host that is not in it"
    return ""


def choose(saved: Mapping[str, Saved], silent: Mapping[str, str], without: Collection[str]) -> Recovery:
    """The member with the highest number, whatever any of them says of being safe."""
    whole = {name: each for name, each in saved.items() if each.committed >= 0 and each.cluster.strip("0-")}
    known = Recovery(saved=dict(saved), silent=dict(silent))
    if not whole:
        return replace(known, refused="no member that answers has whole data: restore a backup")
    clusters = sorted({each.cluster for each in whole.values()})
    if len(clusters) > 1:
        found = "; ".join(f"{name} of {each.cluster}" for name, each in sorted(whole.items()))
        why = "the members' data are of different clusters, so their numbers cannot be compared"
        return replace(known, refused=f"{why} ({found}): look at both, then reseed the wrong one")
    missing = sorted(name for name in silent if name not in without)
    if missing:
        options = " ".join(f"--without {name}" for name in missing)
        why = f"{', '.join(missing)} may have commits that no other one has: start it first"
        return replace(known, refused=f"{why}; if it is lost, use {options}")
    return replace(known, chosen=max(sorted(whole), key=lambda name: whole[name].committed))


def shown(plan: Recovery) -> str:
    """What each member has, and who is chosen."""
    lines = []
    for name, each in sorted(plan.saved.items()):
        at = f"committed up to {each.committed}" if each.committed >= 0 else "its data are not whole"
        note = ", and says that it is safe to begin with, which proves nothing" if each.safe_to_bootstrap else ""
        lines.append(f"{name}: {at}{note}")
    lines += [f"{name}: {why}" for name, why in sorted(plan.silent.items())]
    if plan.chosen:
        lines.append(f"{plan.chosen} has most: the cluster begins again with it, and the others get what they lack.")
    if plan.chosen and plan.silent:
        lines.append("Commits that only a server had which does not answer are lost.")
    return "".join(f"{line}\n" for line in lines)


def run(outputs: StackOutputs, credentials: ssh.Credentials, plan: Recovery, *, timeout: float) -> tuple[str, str]:
    """What went wrong, and what the hosts printed: the chosen one begins, the others join one after another."""
    said: list[str] = []
    wrong: list[str] = []

    def begin(_name: str, session: ssh.Session) -> None:
        result = session.run(roles.command(session, "begin"), takes=BEGINNING_TAKES_S)
        said.append(result.stdout)
        if result.status != 0:
            wrong.append(result.stderr or f"it ended with status {result.status}")

    wrong += visit(outputs, credentials, timeout, begin, hosts=[plan.chosen]).values()
    for name in sorted(plan.saved):
        if wrong or name == plan.chosen:
            continue
        wrong += _start(outputs, credentials, [name], timeout, wait=True)
        said.append("" if wrong else f"{name} joined\n")
    return "; ".join(wrong), "".join(said)


def leave_as_it_was(outputs: StackOutputs, credentials: ssh.Credentials, plan: Recovery, *, timeout: float) -> None:
    """MariaDB tries again on the hosts where it was stopped for a look."""
    _start(outputs, credentials, sorted(plan.saved), timeout, wait=False)


def _start(
    outputs: StackOutputs, credentials: ssh.Credentials, hosts: list[str], timeout: float, *, wait: bool
) -> list[str]:
    wrong: list[str] = []

    def start(name: str, session: ssh.Session) -> None:
        words = [*session.sudo, "systemctl", *([] if wait else ["--no-block"]), "start", "mariadb"]
        result = session.run(shlex.join(words), takes=RECEIVING_TAKES_S)
        if result.status != 0:
            wrong.append(f"{name}: {result.stderr or f'it ended with status {result.status}'}")

    trouble = visit(outputs, credentials, timeout, start, hosts=hosts) if hosts else {}
    return [*wrong, *trouble.values()]
