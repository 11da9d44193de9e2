"""`fortress backups`."""

from __future__ import annotations

import typer

from fortress.cli.base.verb import is_terminal, say
from fortress.cli.options import Json, Key, Stack, Timeout


def backups(stack: Stack, json: Json = False, timeout: Timeout = 10.0, key: Key = None) -> None:
    """List the backups of the database, and the times that can be restored.

    \b
    Examples:
      fortress backups --stack oslo
      fortress backups -s oslo --json | jq '.points'

    \b
    Exit status:
      0  the target was read
      1  it cannot be read, or holds no backup
      2  could not ask: no such stack, no backups set, a host that does not
         answer
    """
    from fortress.cli.backup import show
    from fortress.cli.backup.run import listing

    found = listing(stack, json=json, timeout=timeout, key=key)
    say(show.as_json(stack, found) if json else show.listed(stack, found, terminal=is_terminal()))
    raise typer.Exit(0 if found["backups"] else 1)
