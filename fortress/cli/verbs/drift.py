"""`fortress drift`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.terminal import complain
from fortress.cli.base.verb import is_terminal, orderly, progress, say
from fortress.cli.options import Json, Key, Stack, Timeout


def drift(
    stack: Stack,
    json: Json = False,
    repair: Annotated[
        bool, typer.Option("--repair", "--mend", help="Repair the differences through the engine, and check again.")
    ] = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Read back what was pushed, and show the differences.

    Every file with its mode and owner, units, the live firewall, the tunnel's peers, the database's variables. An edit
    by hand is distinguished from an interrupted push. Needs the stack's passphrase; for a file with a secret it only
    says that it differs, and a private key in any other file is shown as [secret]. Without --repair nothing is changed.

    --repair writes the differences into the stack's state, as a refresh does, and runs `pulumi up` for just these. If
    the state cannot be written, nothing has changed: run it again. Once it is written, the next `pulumi up` completes
    an interrupted repair, and so does another --repair. Its older name, --mend, means the same.

    \b
    Examples:
      fortress drift --stack lab
      fortress drift --stack lab --repair
      fortress drift --stack lab --json | jq -r '.checks[].diff // empty'

    \b
    Exit status:
      0  everything is as pushed, or was repaired
      1  something differs
      2  nothing differs, but something could not be checked: no such stack, no
         engine, no passphrase, no SSH key, a host that does not answer
    """
    from fortress.cli.drift import show
    from fortress.cli.drift.run import Drift
    from fortress.cli.hosts import ssh

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            say(show.as_json(stack, [], str(error)))

    with orderly(tell_in_json):
        credentials = ssh.prepare(key, os.environ)
        drifting = Drift(stack, credentials, timeout)
        with progress(f"reading stack {stack}") as tell:
            before = drifting.look(tell)
        after, refused = before, None
        if repair and drifting.can_repair:
            if not json:
                say(show.as_text(stack, before, terminal=is_terminal()))
            with progress("repairing") as tell:
                refused = drifting.repair(tell)
            with progress("checking again") as tell:
                after = drifting.look(tell)
        if refused:
            complain(refused)
        if json:
            say(show.as_json(stack, after, refused, before if repair else None))
        else:
            repaired = before if repair else ()
            say(show.as_text(stack, after, terminal=is_terminal(), cure=not repair, before=repaired))
        raise typer.Exit(1 if refused else drifting.exit_status)
