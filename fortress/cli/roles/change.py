"""A change of role: decided from what the servers say, then done by the role script of one host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from fortress.cli.hosts import ssh
from fortress.cli.hosts.roles import Reports, ask_all, command
from fortress.cli.hosts.visit import visit
from fortress.facts import DatabaseFacts, StackOutputs
from fortress.scripts.roles.states import ServerReport

FOLLOW_S = 60.0
"""How long the servers may take to settle, after what the host's script may take."""


@dataclass(frozen=True)
class RoleChange:
    """What a verb would do, as one of them decides it."""

    host: str
    """Whose server changes its role."""
    refused: str = ""
    """Why it is not done."""
    on: str = ""
    """The host whose role script does it."""
    words: tuple[str, ...] = ()
    """For that script."""
    takes_s: float = 0.0
    """How long that may take."""
    warning: str = ""
    """What people read before they are asked."""
    former: str = ""
    """Who took the writes before, where that is known."""
    unsettled: Callable[[Reports], str] | None = None
    """Why not every server is at its place yet; asked afterwards until there is no reason left."""
    achieved: str = ""
    """What is so in the end, where the script does not say it."""
    next: str = ""
    """What somebody should do then."""


Decide = Callable[[Reports, DatabaseFacts, str], RoleChange]
"""The servers' reports, the database and the host. Raises CannotAskError where the host must answer and does not."""


@dataclass(frozen=True)
class RoleChanged:
    """What came of it."""

    ok: bool
    host: str
    former: str = ""
    detail: str = ""
    said: tuple[str, ...] = ()
    """What the role script printed."""
    seconds: float | None = None
    """From the beginning until it was done."""
    next: str = ""


def carry_out(
    outputs: StackOutputs,
    database: DatabaseFacts,
    credentials: ssh.Credentials,
    change: RoleChange,
    *,
    timeout: float,
    tell: Callable[[str], None],
) -> RoleChanged:
    """Have the host do it, and wait until every server that answers is at its place."""
    began = time.monotonic()
    said: list[str] = []
    wrong: list[str] = []

    def act(_name: str, session: ssh.Session) -> None:
        result = session.run(command(session, *change.words), takes=change.takes_s)
        said.extend(result.stdout.splitlines())
        if result.status != 0:
            wrong.append(result.stderr or f"it ended with status {result.status}")

    wrong += visit(outputs, credentials, timeout, act, hosts=[change.on]).values()
    if change.unsettled is not None:
        # The servers decide: if the connection broke, the change may be made all the same.
        while True:
            reports = ask_all(outputs, database, credentials, timeout)
            waiting = change.unsettled(reports)
            if not waiting or wrong or time.monotonic() - began > FOLLOW_S + change.takes_s:
                break
            tell(f"waiting: {waiting}")
            time.sleep(0.5)
        wrong = [f"{_writer(reports)} takes the writes", *wrong, waiting] if waiting else []
    seconds = round(time.monotonic() - began, 1)
    if wrong:
        return RoleChanged(False, change.host, change.former, "; ".join(wrong), tuple(said), seconds)
    return RoleChanged(True, change.host, change.former, change.achieved, tuple(said), seconds, change.next)


def _writer(reports: Reports) -> str:
    return next((n for n, r in reports.items() if isinstance(r, ServerReport) and r.takes_writes), "no server")


def as_text(done: RoleChanged) -> str:
    """For people; the reason of a failure is not in it."""
    lines = [*done.said]
    if done.ok and done.detail:
        lines.append(f"{done.detail} ({done.seconds:g} s in all)")
    if done.next:
        lines.append(f"Next: {done.next}")
    return "".join(f"{line}\n" for line in lines)


def as_json(done: RoleChanged) -> str:
    """For programs."""
    return json.dumps(asdict(done)) + "\n"
