"""`fortress reseed`."""

from __future__ import annotations

from fortress.cli.options import HostArgument, Json, Key, Stack, Timeout, Yes


def reseed(
    host: HostArgument,
    stack: Stack,
    yes: Yes = False,
    json: Json = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Throw a copy's data away, and copy the primary's again.

    For a server whose data do not continue into the primary's, such as a former primary with transactions that nobody
    else received. It says how far both are, and asks. What is cut can be run again.

    \b
    Examples:
      fortress reseed oslo-db --stack lab

    \b
    Exit status:
      0  HOST follows the primary
      1  not confirmed, refused, or not completed: run it again
      2  could not begin: no such stack, no copies, no such server, no SSH key
    """
    from fortress.cli.roles.reseed import decide
    from fortress.cli.roles.run import change_role

    question = f"Throw the data on {host} away?"
    change_role(stack, host, decide, question=question, yes=yes, json=json, timeout=timeout, key=key)
