"""The `fortress` command: its verbs in the order of its help, each in a file of fortress/cli/verbs."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from fortress.cli.base.verb import say
from fortress.cli.verbs.audit import audit
from fortress.cli.verbs.backup import backup
from fortress.cli.verbs.backups import backups
from fortress.cli.verbs.drift import drift
from fortress.cli.verbs.drill import drill
from fortress.cli.verbs.forget import forget
from fortress.cli.verbs.preview import preview
from fortress.cli.verbs.promote import promote
from fortress.cli.verbs.record import record
from fortress.cli.verbs.recover import recover
from fortress.cli.verbs.report import report
from fortress.cli.verbs.reseed import reseed
from fortress.cli.verbs.restore import restore
from fortress.cli.verbs.ssh import ssh
from fortress.cli.verbs.status import status
from fortress.cli.verbs.switchover import switchover
from fortress.cli.verbs.verify import verify

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text, which reads the same in a pipe
)


def _print_version(context: typer.Context, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        say(f"fortress {version('data-fortress')}\n")
        raise typer.Exit


@app.callback()
def fortress(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Look after a data fortress that `pulumi up` has brought up.

    Run it in the folder of Pulumi.yaml, from a machine that can reach the hosts. It logs in to them with the keys of
    your SSH agent.

    \b
    Examples:
      fortress verify --stack lab            do all checks pass?
      fortress verify --stack lab --json     the same, for a program
      fortress status --stack lab            one line per host
      fortress drift --stack lab             was anything changed by hand?
      fortress drift --stack lab --repair    then repair it
      fortress ssh oslo-db --stack lab       log in, with the stack's pinned key
      fortress audit --stack lab             do the rules of sovereignty hold?
      fortress preview --stack lab           what would `pulumi up` do?
      fortress report --stack lab -o r.html  one page about all of it
      fortress record --stack lab            who processes what, where and why
      fortress backups --stack lab           which backups are there?
      fortress forget fra-1 --stack lab      remove a lost host from the state
      fortress --install-completion          complete names with the Tab key

    `fortress COMMAND --help` has more examples, and the exit statuses. Ctrl-C stops any of them cleanly, with
    status 130.
    """


for run in (
    *(verify, preview, forget, switchover, promote, reseed, recover, drift, audit, status, report, record, ssh),
    *(backups, drill, restore),
):
    app.command()(run)
app.add_typer(backup, name="backup")
