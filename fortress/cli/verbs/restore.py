"""`fortress restore`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fortress.cli.base.verb import confirm, is_terminal, orderly
from fortress.cli.options import Json, Key, Stack, Timeout, Yes


def restore(
    stack: Stack,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Restore to this time, such as 2026-11-29T14:00:00Z; in UTC unless it names a zone. The newest point "
            "that is kept if not given.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the data that the database's host has.")
    ] = False,
    deletions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="SQL that deletes what people asked to have deleted since the backup. It is applied before anybody "
            "can see the restored data; if it fails, nothing is restored.",
        ),
    ] = None,
    yes: Yes = False,
    json: Json = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Put a backup in place of the database's data.

    On the stack's database host: the one that made it, or a new one that `pulumi up` has set up under the same name.
    The backup is restored beside the data, which takes as much room again, with the binary logs on top of it; the old
    data are served until then, and deleted once the server runs on the new ones. If anything fails, they stay. What was
    committed after TIME is lost with them. A full backup follows by itself.

    Of several servers the one that makes the backups restores. Before its data change places the others are stopped,
    and then they get all data from it, one after another. All of them must be there when it begins. The one that
    restored takes the writes from then on.

    \b
    Examples:
      fortress restore --stack oslo                    to a new, empty host
      fortress restore -s oslo --at 2026-11-29T14:00:00Z --overwrite
      fortress restore -s oslo --overwrite --deletions deleted.sql

    \b
    Exit status:
      0  the database runs on the restored data
      1  nothing was restored: it has data and --overwrite is missing, TIME is
         outside what is kept, not confirmed, or it failed; or another server
         does not have the restored data yet, as the text says
      2  could not begin: no such stack, no backups set, a host that does not
         answer
    """
    from fortress.cli.backup import show
    from fortress.cli.backup.run import in_json, moment, text_of, work

    with orderly(in_json(stack, json)):
        options = ["--at", moment(at)] if at is not None else []
        options += ["--overwrite"] if overwrite else []
        text = text_of(deletions) if deletions else ""
        if overwrite:
            question = f"Replace the data of stack {stack} by those of {at or 'the newest backup'}?"
            confirm(question, yes=yes, unchanged="nothing was restored")
    as_text = partial(show.restored, how="restored", terminal=is_terminal())
    work(stack, "restore", as_text, *options, text=text, json=json, timeout=timeout, key=key)
