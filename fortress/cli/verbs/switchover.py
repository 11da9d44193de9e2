"""`fortress switchover`."""

from __future__ import annotations

from typing import Annotated

import typer

from fortress.cli.options import Json, Key, Stack, Timeout


def switchover(
    stack: Stack,
    to: Annotated[str, typer.Option("--to", metavar="HOST", help="The host whose server is to take the writes.")],
    json: Json = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Let another database server take the writes, as planned.

    The primary becomes read-only, HOST gets every transaction that was acknowledged, takes the writes, and the others
    follow it. Clients' connections end and come back to HOST. It is refused, and nothing changes, where HOST does not
    follow the primary or commits do not wait for a copy. For a primary that is lost there is `fortress promote`.

    \b
    Examples:
      fortress switchover --to oslo-db2 --stack lab

    \b
    Exit status:
      0  HOST takes the writes and every other server follows it
      1  refused, or not completed: the text says who takes the writes
      2  could not begin: no such stack, no copies, no such server, no SSH key
    """
    from fortress.cli.roles.run import change_role
    from fortress.cli.roles.switchover import decide

    change_role(stack, to, decide, json=json, timeout=timeout, key=key)
