"""The options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fortress.cli import completion


def _named(stack: str) -> str:
    """Refuse an empty name, such as an unset variable of a script: the engine would use the stack selected last."""
    if not stack.strip():
        raise typer.BadParameter("name a stack; `pulumi stack ls` lists them")
    return stack


Stack = Annotated[
    str,
    typer.Option(
        "--stack",
        "-s",
        metavar="STACK",
        help="The stack, as `pulumi stack ls` names it.",
        callback=_named,
        autocompletion=completion.stacks,
    ),
]
HostArgument = Annotated[
    str,
    typer.Argument(metavar="HOST", help="The host's name in the settings.", autocompletion=completion.hosts),
]
Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=1.0, max=600.0, help="How long a host may take for one answer.")
]
Key = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A private key for the hosts, in addition to those of the agent.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to this file; `-`, the default, is standard output."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
JsonTable = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
