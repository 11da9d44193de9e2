"""`fortress status`."""

from __future__ import annotations

import os

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.verb import is_terminal, orderly, progress, say
from fortress.cli.options import JsonTable, Key, Stack, Timeout


def status(
    stack: Stack,
    json: JsonTable = False,
    timeout: Timeout = 5.0,
    key: Key = None,
) -> None:
    """Show one health line per host.

    Uptime, peers heard, services, remaining days of certificates, last push: one quick question to each host.
    `fortress verify` measures thoroughly.

    \b
    Examples:
      fortress status --stack lab
      fortress status -s lab --json | jq '.checks[] | select(.host == "fra-1")'

    \b
    Exit status:
      0  all is well
      1  a peer is silent, a service is down, a certificate is about to expire,
         or a push is unfinished
      2  none of these, but some host could not be asked
    """
    from fortress.cli import status as looking
    from fortress.cli.check import show
    from fortress.cli.check.check import exit_status
    from fortress.cli.engine import outputs as stack_outputs
    from fortress.cli.hosts import ssh

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            say(show.as_json(stack, [], str(error)))

    with orderly(tell_in_json):
        credentials = ssh.prepare(key, os.environ)
        with progress(f"reading stack {stack}") as tell:
            outputs = stack_outputs.read(stack)
            found = looking.ask(
                outputs,
                credentials,
                timeout=timeout,
                tell=lambda done, total: tell(f"{done} of {total} hosts answered"),
            )
        text = looking.as_table(outputs, stack, found, terminal=is_terminal())
        say(show.as_json(stack, found) if json else text)
        raise typer.Exit(exit_status(found))
