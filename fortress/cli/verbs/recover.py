"""`fortress recover`."""

from __future__ import annotations

from typing import Annotated

import typer

from fortress.cli.options import Key, Stack, Timeout, Yes


def recover(
    stack: Stack,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="HOST", help="A server that is lost; may be repeated.")
    ] = None,
    yes: Yes = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Begin a database cluster again that has lost its majority.

    Stops MariaDB on each server to see what its data are worth, says so, and asks. The one that has most begins,
    whatever any of them says of being safe to begin with; the others then get what they lack. It is refused while a
    majority stands, and while a server that does not answer is not named as lost.

    \b
    Examples:
      fortress recover --stack lab    says what each server has, and asks
      fortress recover --stack lab --without oslo-db3

    \b
    Exit status:
      0  the cluster stands, with every server that answers
      1  not confirmed, refused, or not completed: run it again
      2  could not begin: no such stack, no copies, no such server, no SSH key
    """
    from fortress.cli.roles.recover import recover_cluster

    recover_cluster(stack, without or [], yes=yes, timeout=timeout, key=key)
