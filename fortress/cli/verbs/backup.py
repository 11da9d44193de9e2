"""`fortress backup`."""

from __future__ import annotations

import typer

from fortress.cli.options import Json, Key, Stack, Timeout

backup = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Take a backup of the database.")


@backup.command("now")
def backup_now(stack: Stack, json: Json = False, timeout: Timeout = 10.0, key: Key = None) -> None:
    """Take a full backup of the database now.

    On the database's host, and encrypted there, as the timer does it each night. It goes on if the connection breaks or
    this command is stopped; started again, it tells of the one that runs.

    \b
    Examples:
      fortress backup now --stack oslo

    \b
    Exit status:
      0  it is complete
      1  it failed; earlier backups are as they were
      2  could not begin: no such stack, no backups set, a host that does not
         answer
    """
    from fortress.cli.backup import show
    from fortress.cli.backup.run import work

    work(stack, "full", show.taken, json=json, timeout=timeout, key=key)
