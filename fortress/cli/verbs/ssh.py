"""`fortress ssh`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.verb import orderly, progress
from fortress.cli.options import HostArgument, Key, Stack


def ssh(
    host: HostArgument,
    stack: Stack,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Command to run there, after `--`, as with `ssh`.")
    ] = None,
    key: Key = None,
) -> None:
    """Log in to a host with OpenSSH, and check its pinned key.

    User, port and bastion come from the stack. A host with another key than the pinned one is refused.
    Your ~/.ssh/config applies to everything else.

    \b
    Examples:
      fortress ssh oslo-db --stack lab
      fortress ssh oslo-db --stack lab -- sudo wg show

    \b
    Exit status:
      that of `ssh`: the command's, or 255 if it could not connect
      2  could not begin: no such stack, no such host, no engine, no `ssh`
    """
    from fortress.cli.engine import outputs as stack_outputs
    from fortress.cli.hosts import openssh

    with orderly():
        with progress(f"reading stack {stack}"):
            outputs = stack_outputs.read(stack)
        words = openssh.command(outputs, host, command or [], key)
        try:
            os.execvp(words[0], words)  # noqa: S606 - no shell is wanted: signals and terminal are ssh's own
        except OSError as error:
            raise CannotAskError(f"ssh cannot be started: {error.strerror}") from None
