"""`fortress forget`."""

from __future__ import annotations

import typer

from fortress.cli.base.terminal import complain
from fortress.cli.base.verb import confirm, orderly, progress, say
from fortress.cli.options import HostArgument, Stack, Yes


def forget(
    host: HostArgument,
    stack: Stack,
    yes: Yes = False,
) -> None:
    """Remove a lost host from a stack's state.

    Everything that the stack put on the host is removed from the state; the host is not contacted, and no machine is
    deleted. Other hosts learn of it at the next `pulumi up`, which would set the host up again if the settings still
    name it: remove it there first, or give it a new incarnation.

    \b
    Examples:
      fortress forget fra-1 --stack lab              lists what goes, and asks
      fortress forget fra-1 --stack lab --yes        in a script

    \b
    Exit status:
      0  the host is removed
      1  nothing was written: not confirmed, something is protected, the state
         changed meanwhile
      2  could not begin: no such stack, no such host, no engine
    """
    from fortress.cli import forget as forgetting
    from fortress.cli.engine import run as engine

    with orderly():
        with progress(f"reading the state of {stack}"):
            exported = engine.export(stack)
            removal = forgetting.removal_of(exported["deployment"], host)
        say(forgetting.listing(stack, removal))
        confirm(f"Forget {host}?", yes=yes, unchanged="nothing was written")
        try:
            with progress("writing the state"):
                forgetting.forget(stack, removal, exported)
        except forgetting.NotForgottenError as error:
            complain(str(error))
            raise typer.Exit(1) from None
        say(forgetting.farewell(stack, removal))
