"""`fortress report`."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.verb import is_terminal, orderly, progress, put, put_unasked
from fortress.cli.options import Key, Output, Stack, Timeout


def report(
    stack: Stack,
    file: Output = None,
    kept: Annotated[
        bool, typer.Option("--kept", help="Show the last stored run. No host is contacted, no key is needed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Write the data of the page as one JSON object.")] = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Measure the running fortress and write one HTML page about it.

    A diagram of sites with country, operator and ultimate parent, hosts, tunnels and flows; each check with its limit
    and its history, from the runs that `fortress verify` and this command store beside Pulumi.yaml; certificates and
    keys by age; what the last `pulumi up` changed. The page is self-contained and loads nothing. It names hosts and
    addresses, and no secret.

    \b
    Examples:
      fortress report --stack lab -o lab.html
      fortress report --stack lab --kept -o lab.html   without asking the hosts
      fortress report --stack lab --json | jq '.up.touched'

    \b
    Exit status:
      0  the page is written, whatever the checks found; for that, see the exit
         status of `fortress verify`
      2  no page: no such stack, no engine, no SSH key, no stored run, FILE
         cannot be written
    """
    from fortress.cli import status as looking
    from fortress.cli.check import history
    from fortress.cli.engine import outputs as stack_outputs
    from fortress.cli.engine import run as engine
    from fortress.cli.hosts import ssh
    from fortress.cli.report import page as reports
    from fortress.cli.verify.measure import measure

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            put_unasked(file, reports.unasked(stack, str(error)))

    with orderly(tell_in_json):
        if file is None and not json and is_terminal():
            raise CannotAskError("refusing to print HTML to a terminal; use -o FILE, or -o - to print it anyway")
        credentials = None if kept else ssh.prepare(key, os.environ)
        with progress(f"reading stack {stack}") as tell:
            exported = engine.export(stack)
            outputs = stack_outputs.of_state(exported, stack)
            runs = history.kept(stack)
            looked = []
            if credentials is not None:
                asking = f"asking {len(outputs.hosts)} hosts"
                found = measure(
                    stack,
                    outputs,
                    credentials,
                    timeout=timeout,
                    besides=partial(looking.question, outputs),
                    tell=lambda done, total: tell(f"{asking}: {done} of {total} answers"),
                )
                looked = [check for check in found if check.kind in looking.KINDS]
                runs.append(history.remember(stack, [check for check in found if check.kind not in looking.KINDS]))
            tell("reading the engine's history")
            facts = reports.collect(stack, outputs, runs, looked, exported)
        text = reports.as_json(facts) if json else reports.as_html(facts)
        put(file, text)
