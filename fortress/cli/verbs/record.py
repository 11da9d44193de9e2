"""`fortress record`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.terminal import complain
from fortress.cli.base.verb import orderly, progress, put, put_unasked
from fortress.cli.options import Output, Stack


def record(
    stack: Stack,
    file: Output = None,
    since: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Say what changed since FILE: an exported state, or what `fortress record --json` wrote.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object that includes the record.")] = False,
) -> None:
    """Write the record of processing activities (Article 30 GDPR).

    Who answers, data sets, operators, transfers, flows with a drawing, security measures: from the register in the
    settings (`sovereignty`) and the stack's state, each entry with where it came from. In Markdown; as a page to print
    and sign if FILE ends in .html. What must be declared and is not reads UNDECLARED. No host is contacted and no
    passphrase needed. The register is that of the last `pulumi up`.

    \b
    Examples:
      fortress record --stack oslo -o record.html      to print and sign
      fortress record --stack oslo -o record.md        to keep in a repository
      fortress record --stack oslo --json > 2026-11.json
      fortress record --stack oslo --since 2026-11.json
      fortress record --stack oslo --json | jq '.undeclared'

    \b
    Exit status:
      0  the record is complete
      1  it is written, and entries are UNDECLARED
      2  no record: no such stack, no engine, no register, FILE cannot be read
         or written
    """
    from datetime import UTC, datetime

    from fortress.cli.record import read as reading
    from fortress.cli.record import show

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            put_unasked(file, show.unasked(stack, str(error)))

    with orderly(tell_in_json):
        now = datetime.now(UTC)
        with progress(f"reading stack {stack}"):
            found = reading.standing_record(stack, now)
        before = reading.earlier(since, stack, now) if since else None
        html = file is not None and file.suffix.lower() in (".html", ".htm")
        put(file, show.as_json(found, before) if json else show.as_text(found, before, str(since), html=html))
        gaps = found.gaps()
        if gaps and not json:
            complain(f"{len(gaps)} {'entry is' if len(gaps) == 1 else 'entries are'} UNDECLARED: {show.missing(found)}")
        raise typer.Exit(1 if gaps else 0)
