"""`fortress preview`."""

from __future__ import annotations

from typing import Annotated

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.terminal import complain
from fortress.cli.base.verb import orderly, progress, put, put_unasked
from fortress.cli.options import Output, Stack
from fortress.cli.preview.forge import Forge


def preview(
    stack: Stack,
    file: Output = None,
    forge: Annotated[Forge, typer.Option(help="Where the comment is posted: limits its length.")] = Forge.GITHUB,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object that includes the comment.")] = False,
) -> None:
    """Write a comment for a reviewer that shows what `pulumi up` would do.

    In Markdown: first resources with data that would be replaced or deleted, what changes in the record of
    processing, and what happens, in a few sentences: services that restart, machines that reboot, who leaves the
    edge, whether a password changes. Then, host by host in the order of consequence, the changed lines of each file
    and the effect on its service; the cloud resources; the whole report, folded. Secrets stay masked. Nothing is
    changed, and no host is contacted. Its first line is a marker, by which examples/ci finds the comment to update.
    The engine may take 30 minutes.

    \b
    Examples:
      fortress preview --stack oslo                          on a terminal
      fortress preview --stack oslo --forge gitlab -o comment.md
      fortress preview --stack oslo --json | jq '.risks'     what loses data

    \b
    Exit status:
      that of `pulumi preview`: 0 if `pulumi up` can run; otherwise the comment
         says what prevents it
      2  no preview: no such stack, no engine, no passphrase, FILE cannot be
         written
    """
    from fortress.cli.preview import run as previews

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            put_unasked(file, previews.unasked(stack, str(error)))

    with orderly(tell_in_json):
        with progress(f"previewing stack {stack}"):
            found = previews.read(stack)
        text = previews.render(stack, found, forge, as_object=json)
        put(file, text)
        if found.errors:
            complain(f"`pulumi up` would fail on stack {stack}; the comment says why")
        raise typer.Exit(found.status)
