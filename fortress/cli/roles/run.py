"""What `switchover`, `promote` and `reseed` do alike: ask the servers, decide, have it confirmed, carry it out."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.terminal import complain
from fortress.cli.base.verb import confirm, orderly, progress, say
from fortress.cli.engine import outputs as stack_outputs
from fortress.cli.hosts import roles, ssh
from fortress.cli.roles import change
from fortress.cli.roles.change import RoleChanged

UNCHANGED = "nothing was changed"


def change_role(
    stack: str,
    host: str,
    decide: change.Decide,
    *,
    question: str = "",
    yes: bool = True,
    json: bool,
    timeout: float,
    key: Path | None,
) -> None:
    """Exit with the verb's status: 0 if it is done, 1 if it is refused, not confirmed or not completed."""

    def end(done: RoleChanged) -> typer.Exit:
        say(change.as_json(done) if json else change.as_text(done))
        if not done.ok:
            complain(done.detail)
        return typer.Exit(0 if done.ok else 1)

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            say(change.as_json(RoleChanged(False, host, detail=str(error))))

    with orderly(tell_in_json):
        credentials = ssh.prepare(key, os.environ)
        with progress(f"reading stack {stack}") as tell:
            outputs = stack_outputs.read(stack)
            database = roles.database_of(outputs, stack)
            roles.server_of(database, host)
            tell("asking the servers")
            planned = decide(roles.ask_all(outputs, database, credentials, timeout), database, host)
        if planned.refused:
            raise end(RoleChanged(False, host, planned.former, f"{UNCHANGED}: {planned.refused}"))
        if question:
            if not json:
                say(planned.warning)
            confirm(question, yes=yes, possible=not json, unchanged=UNCHANGED)
        with progress(f"{planned.on}: {' '.join(planned.words)}") as tell:
            done = change.carry_out(outputs, database, credentials, planned, timeout=timeout, tell=tell)
        raise end(done)
