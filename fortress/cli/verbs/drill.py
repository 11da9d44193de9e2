"""`fortress drill`."""

from __future__ import annotations

from functools import partial

from fortress.cli.base.verb import is_terminal
from fortress.cli.options import Json, Key, Stack, Timeout


def drill(stack: Stack, json: Json = False, timeout: Timeout = 10.0, key: Key = None) -> None:
    """Restore the newest backup beside the data, and read every row of it.

    On the database's host, which needs room for the data once more under /var/lib/fortress-backup; a server that nobody
    reaches is started on it, each table is counted and summed up, and all of it is deleted again. The dated result
    stays on the host, and `fortress verify` knows its age. The database goes on meanwhile.

    \b
    Examples:
      fortress drill --stack oslo
      fortress drill -s oslo --json | jq '.tables'

    \b
    Exit status:
      0  it was restored, and every row was read
      1  it could not be restored
      2  could not begin: no such stack, no backups set, a host that does not
         answer
    """
    from fortress.cli.backup import show
    from fortress.cli.backup.run import work

    work(
        stack, "drill", partial(show.restored, how="drill", terminal=is_terminal()), json=json, timeout=timeout, key=key
    )
