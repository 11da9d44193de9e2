"""`fortress verify`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.verb import is_terminal, orderly, progress, say
from fortress.cli.options import JsonTable, Key, Stack, Timeout


def verify(
    stack: Stack,
    json: JsonTable = False,
    io: Annotated[
        bool, typer.Option("--io", help="Benchmark the database's disk too (fio): half a minute of load.")
    ] = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Measure the running fortress against its limits.

    Host keys, handshakes, round trips and MTU in the tunnel and outside, the age of keys, the database over TLS and
    from outside, its I/O wait and replication, each backend, certificates, clocks, open ports, what listens on hosts,
    and whether the tunnel's bytes are readable outside of it. The limits are the settings under `verify`. Nothing is
    changed on hosts; checks from outside are made from the machine that runs this. The result is kept in .fortress/,
    beside Pulumi.yaml, for `fortress report`.

    --io measures IOPS and commits too. It writes 1 GiB on the database's host while the database serves, and leaves
    nothing behind.

    \b
    Examples:
      fortress verify --stack lab
      fortress verify --stack oslo --io        with little or no traffic
      fortress verify -s lab --json | jq '.checks[] | select(.status != "ok")'
      fortress verify --stack oslo --timeout 30      over a slow link

    \b
    Exit status:
      0  all checks pass
      1  some checks fail
      2  no check fails, but some could not be made: no such stack, no engine,
         no SSH key, a host that does not answer
    """
    # Imported only when needed, so that `--help` answers at once.
    from fortress.cli.check import show
    from fortress.cli.check.check import exit_status
    from fortress.cli.check.history import remember
    from fortress.cli.engine import outputs as stack_outputs
    from fortress.cli.hosts import ssh
    from fortress.cli.verify.measure import measure

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            say(show.as_json(stack, [], str(error)))

    with orderly(tell_in_json):
        credentials = ssh.prepare(key, os.environ)
        with progress(f"reading stack {stack}") as tell:
            outputs = stack_outputs.read(stack)
            tell(f"asking {len(outputs.hosts)} hosts")
            checks = measure(
                stack,
                outputs,
                credentials,
                timeout=timeout,
                io=io,
                tell=lambda done, total: tell(f"asking {len(outputs.hosts)} hosts: {done} of {total} answers"),
            )
        say(show.as_json(stack, checks) if json else show.as_table(stack, checks, terminal=is_terminal()))
        remember(stack, checks)
        raise typer.Exit(exit_status(checks))
