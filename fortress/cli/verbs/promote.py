"""`fortress promote`."""

from __future__ import annotations

from fortress.cli.options import HostArgument, Json, Key, Stack, Timeout, Yes


def promote(
    host: HostArgument,
    stack: Stack,
    yes: Yes = False,
    json: Json = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Let a copy take the writes, since the primary is lost.

    Says first what may be missing on the copy, and asks; with --json, use --yes. It is refused while a server that
    answers takes the writes, and where another copy has more. A primary that comes back stays read-only and follows
    HOST; if it has transactions that HOST lacks, it says so and waits for you.

    \b
    Examples:
      fortress promote oslo-db2 --stack lab    says what may be missing, and asks
      fortress promote oslo-db2 --stack lab --yes    in a script

    \b
    Exit status:
      0  HOST takes the writes
      1  nothing changed: not confirmed, or refused with the reason
      2  could not begin: no such stack, no copies, no such server, no SSH key,
         HOST does not answer
    """
    from fortress.cli.roles.promote import decide
    from fortress.cli.roles.run import change_role

    change_role(stack, host, decide, question=f"Promote {host}?", yes=yes, json=json, timeout=timeout, key=key)
