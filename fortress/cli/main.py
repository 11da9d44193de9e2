"""The `fortress` command: its arguments, its output and its exit statuses."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fortress.cli import completion
from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.terminal import COULD_NOT_ASK, INTERRUPTED, complain
from fortress.cli.preview.forge import Forge

if TYPE_CHECKING:
    from fortress.cli.check.check import Check
    from fortress.cli.check.history import PastRun

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text, which reads the same in a pipe
)

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


def _print_version(context: typer.Context, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        _say(f"fortress {version('data-fortress')}\n")
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
      fortress preview --stack lab           what would `pulumi up` do?
      fortress report --stack lab -o r.html  one page about all of it
      fortress forget fra-1 --stack lab      remove a lost host from the state
      fortress --install-completion          complete names with the Tab key

    `fortress COMMAND --help` has more examples, and the exit statuses. Ctrl-C stops any of them cleanly, with
    status 130.
    """


@app.command()
def verify(
    stack: Stack,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    io: Annotated[
        bool, typer.Option("--io", help="Benchmark the database's disk too (fio): half a minute of load.")
    ] = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Measure the running fortress against its limits.

    Host keys, handshakes, round trips and MTU in the tunnel and outside, the age of keys, the database over TLS and
    from outside, its I/O wait and replication, each backend, certificates, clocks, open ports. The limits are the
    settings under `verify`. Nothing is changed on hosts; checks from outside are made from the machine that runs this.
    The result is kept in .fortress/, beside Pulumi.yaml, for `fortress report`.

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
    from fortress.cli.engine import outputs as stack_outputs
    from fortress.cli.hosts import ssh
    from fortress.cli.verify.measure import measure

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            _say(show.as_json(stack, [], str(error)))

    with _orderly(tell_in_json):
        credentials = ssh.prepare(key, os.environ)
        with _progress(f"reading stack {stack}") as tell:
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
        _say(show.as_json(stack, checks) if json else show.as_table(stack, checks, terminal=_is_terminal()))
        _keep(stack, checks)
        raise typer.Exit(exit_status(checks))


@app.command()
def preview(
    stack: Stack,
    file: Output = None,
    forge: Annotated[Forge, typer.Option(help="Where the comment is posted: limits its length.")] = Forge.GITHUB,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object that includes the comment.")] = False,
) -> None:
    """Write a comment for a reviewer that shows what `pulumi up` would do.

    In Markdown: first resources with data that would be replaced or deleted, and what happens, in a few sentences:
    services that restart, machines that reboot, who leaves the edge, whether a password changes. Then, host by host in
    the order of consequence, the changed lines of each file and the effect on its service; the cloud resources; the
    whole report, folded. Secrets stay masked. Nothing is changed, and no host is contacted. Its first line is a marker,
    by which examples/ci finds the comment to update.
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
            _put_unasked(file, previews.unasked(stack, str(error)))

    with _orderly(tell_in_json):
        with _progress(f"previewing stack {stack}"):
            found = previews.read(stack)
        text = previews.render(stack, found, forge, as_object=json)
        _put(file, text)
        if found.errors:
            complain(f"`pulumi up` would fail on stack {stack}; the comment says why")
        raise typer.Exit(found.status)


@app.command()
def forget(
    host: HostArgument,
    stack: Stack,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
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

    with _orderly():
        with _progress(f"reading the state of {stack}"):
            exported = engine.export(stack)
            removal = forgetting.removal_of(exported["deployment"], host)
        _say(forgetting.listing(stack, removal))
        if not yes:
            if not sys.stdin.isatty():
                complain("nothing was written; use --yes to forget it without confirmation")
                raise typer.Exit(1)
            if not _confirmed(f"Forget {host}? [y/N] "):
                complain("nothing was written")
                raise typer.Exit(1)
        try:
            with _progress("writing the state"):
                forgetting.forget(stack, removal, exported)
        except forgetting.NotForgottenError as error:
            complain(str(error))
            raise typer.Exit(1) from None
        _say(forgetting.farewell(stack, removal))


@app.command()
def drift(
    stack: Stack,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", "--mend", help="Repair the differences through the engine, and check again.")
    ] = False,
    timeout: Timeout = 10.0,
    key: Key = None,
) -> None:
    """Read back what was pushed, and show the differences.

    Every file with its mode and owner, units, the live firewall, the tunnel's peers, the database's variables. An edit
    by hand is distinguished from an interrupted push. Needs the stack's passphrase; for a file with a secret it only
    says that it differs, and a private key in any other file is shown as [secret]. Without --repair nothing is changed.

    --repair writes the differences into the stack's state, as a refresh does, and runs `pulumi up` for just these. If
    the state cannot be written, nothing has changed: run it again. Once it is written, the next `pulumi up` completes
    an interrupted repair, and so does another --repair. Its older name, --mend, means the same.

    \b
    Examples:
      fortress drift --stack lab
      fortress drift --stack lab --repair
      fortress drift --stack lab --json | jq -r '.checks[].diff // empty'

    \b
    Exit status:
      0  everything is as pushed, or was repaired
      1  something differs
      2  nothing differs, but something could not be checked: no such stack, no
         engine, no passphrase, no SSH key, a host that does not answer
    """
    from fortress.cli.drift import show
    from fortress.cli.drift.run import Drift
    from fortress.cli.hosts import ssh

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            _say(show.as_json(stack, [], str(error)))

    with _orderly(tell_in_json):
        credentials = ssh.prepare(key, os.environ)
        drifting = Drift(stack, credentials, timeout)
        with _progress(f"reading stack {stack}") as tell:
            before = drifting.look(tell)
        after, refused = before, None
        if repair and drifting.can_repair:
            if not json:
                _say(show.as_text(stack, before, terminal=_is_terminal()))
            with _progress("repairing") as tell:
                refused = drifting.repair(tell)
            with _progress("checking again") as tell:
                after = drifting.look(tell)
        if refused:
            complain(refused)
        if json:
            _say(show.as_json(stack, after, refused, before if repair else None))
        else:
            repaired = before if repair else ()
            _say(show.as_text(stack, after, terminal=_is_terminal(), cure=not repair, before=repaired))
        raise typer.Exit(1 if refused else drifting.exit_status)


@app.command()
def status(
    stack: Stack,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    timeout: Timeout = 5.0,
    key: Key = None,
) -> None:
    """Show one health line per host.

    Uptime, peers heard, services, remaining days of certificates, last push: one quick question to each host.
    `fortress verify` measures thoroughly.

    \b
    Examples:
      fortress status --stack lab
      fortress status -s lab --json | jq '.checks[] | select(.host == "fra-1")'

    \b
    Exit status:
      0  all is well
      1  a peer is silent, a service is down, a certificate is about to expire,
         or a push is unfinished
      2  none of these, but some host could not be asked
    """
    from fortress.cli import status as looking
    from fortress.cli.check import show
    from fortress.cli.check.check import exit_status
    from fortress.cli.engine import outputs as stack_outputs
    from fortress.cli.hosts import ssh

    def tell_in_json(error: CannotAskError) -> None:
        if json:
            _say(show.as_json(stack, [], str(error)))

    with _orderly(tell_in_json):
        credentials = ssh.prepare(key, os.environ)
        with _progress(f"reading stack {stack}") as tell:
            outputs = stack_outputs.read(stack)
            found = looking.ask(
                outputs,
                credentials,
                timeout=timeout,
                tell=lambda done, total: tell(f"{done} of {total} hosts answered"),
            )
        text = looking.as_table(outputs, stack, found, terminal=_is_terminal())
        _say(show.as_json(stack, found) if json else text)
        raise typer.Exit(exit_status(found))


@app.command()
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

    A diagram of sites, hosts, tunnels and flows; each check with its limit and its history, from the runs that
    `fortress verify` and this command store beside Pulumi.yaml; certificates and keys by age; what the last `pulumi up`
    changed. The page is self-contained and loads nothing. It names hosts and addresses, and no secret.

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
            _put_unasked(file, reports.unasked(stack, str(error)))

    with _orderly(tell_in_json):
        if file is None and not json and _is_terminal():
            raise CannotAskError("refusing to print HTML to a terminal; use -o FILE, or -o - to print it anyway")
        credentials = None if kept else ssh.prepare(key, os.environ)
        with _progress(f"reading stack {stack}") as tell:
            exported = engine.export(stack)
            outputs = stack_outputs.of_state(exported, stack)
            runs = history.kept(stack)
            looked: Sequence[Check] = ()
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
                runs.append(_keep(stack, [check for check in found if check.kind not in looking.KINDS]))
            tell("reading the engine's history")
            facts = reports.collect(stack, outputs, runs, looked, exported)
        text = reports.as_json(facts) if json else reports.as_html(facts)
        _put(file, text)


@app.command("ssh")
def ssh_to(
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

    with _orderly():
        with _progress(f"reading stack {stack}"):
            outputs = stack_outputs.read(stack)
        words = openssh.command(outputs, host, command or [], key)
        try:
            os.execvp(words[0], words)  # noqa: S606 - no shell is wanted: signals and terminal are ssh's own
        except OSError as error:
            raise CannotAskError(f"ssh cannot be started: {error.strerror}") from None


@contextmanager
def _orderly(tell: Callable[[CannotAskError], None] = lambda _error: None) -> Iterator[None]:
    """End as a command should: one line and status 2 if something is missing, nothing and status 130 on Ctrl-C."""
    try:
        yield
    except CannotAskError as error:
        complain(str(error))
        tell(error)
        raise typer.Exit(COULD_NOT_ASK) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal's standard error what is in progress, and wipe it away at the end."""
    if not sys.stderr.isatty():
        yield lambda _message: None
        return
    from rich.console import Console

    with Console(stderr=True, markup=False, highlight=False).status(message, spinner="line") as status:
        yield status.update


def _say(text: str) -> None:
    """Print to standard output; a reader that went away (`| head`) is no error, a full disk is one."""
    if sys.stdout is None:
        complain("cannot write to standard output: it is closed")
        raise typer.Exit(COULD_NOT_ASK)
    try:
        print(text, end="", flush=True)
    except OSError as error:
        # Python would try once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            complain(f"cannot write to standard output: {error.strerror}")
            raise typer.Exit(COULD_NOT_ASK) from None


def _put(file: Path | None, text: str) -> None:
    """Write it to a file; where there is none, and where it is `-`, to standard output."""
    if file is None or str(file) == "-":
        _say(text)
    else:
        from fortress.cli.preview.run import save

        save(file, text)


def _put_unasked(file: Path | None, text: str) -> None:
    """Put the object that says why there is no answer in place of an older one; print it if FILE cannot be written."""
    try:
        _put(file, text)
    except CannotAskError:
        _say(text)


def _keep(stack: str, checks: Sequence[Check]) -> PastRun:
    """Keep the results for the history of `fortress report`; if that fails, only complain."""
    from fortress.cli.check import history

    run = history.PastRun(time.time(), tuple(checks))
    try:
        history.keep(stack, run)
    except OSError as error:
        complain(f"the result is not kept for `fortress report`: {error.filename}: {error.strerror}")
    return run


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _confirmed(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
