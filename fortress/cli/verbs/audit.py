"""`fortress audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.verb import is_terminal, orderly, progress, put, say
from fortress.cli.options import Json, Stack


def audit(
    stack: Stack,
    json: Json = False,
    sarif: Annotated[
        Path | None,
        typer.Option("--sarif", metavar="FILE", help="Write the findings to this file too, as SARIF 2.1.0."),
    ] = None,
) -> None:
    """Hold a standing stack against the rules of sovereignty.

    The same rules that `pulumi preview` and `pulumi up` hold the program to (docs/rules.md), with the state and the
    register in it, as of today: an agreement whose review is past fails here without any change. What a rule could not
    see is not evaluated, and never passes for well. No host is contacted, nothing is changed, no secret is read.

    \b
    Examples:
      fortress audit --stack oslo
      fortress audit --stack oslo --sarif audit.sarif      for a forge
      fortress audit -s oslo --json | jq '.checks[] | select(.status != "ok")'

    \b
    Exit status:
      0  every rule holds, or what it found is exempted until a day
      1  a mandatory rule does not hold, or could not be evaluated
      2  neither, but an advisory one could not be evaluated; or nothing could be
         judged: no such stack, no engine, FILE cannot be written
    """
    from fortress.cli.audit import judge as auditing
    from fortress.cli.audit import show
    from fortress.cli.engine import run as engine

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            say(show.unasked(stack, str(error)))

    with orderly(tell_in_json):
        with progress(f"reading the state of {stack}"):
            found = auditing.judge(stack, engine.run("stack", "export", stack=stack))
        if sarif is not None:
            put(sarif, show.as_sarif(found))
        say(show.as_json(found) if json else show.as_text(found, terminal=is_terminal()))
        raise typer.Exit(auditing.exit_status(found))
