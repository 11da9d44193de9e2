"""The command line of the lab: `python -m lab`."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

from lab import api
from lab.base import folders, topology
from lab.base.errors import LabError
from lab.host import hosts, secure_shell
from lab.image import machine
from lab.net import network

FAILED = 1
NOT_OURS = 125
"""Exit of `run`, `ssh`, `outside` and `console` when the command could not even be tried, as env(1) and docker do."""


def _hosts_of(site: topology.LabSite) -> str:
    return ", ".join(
        host.name for host in topology.HOSTS.values() if host.site == site and host.name not in topology.CLOUD
    )


HELP = f"""Hosts on this machine, to run a fortress on.

Real Debian hosts (systemd-nspawn) at two sites that are {api.LinkSettings().rtt_ms:g} ms apart, in network namespaces
without a way out. The names and addresses are always the same:

\b
  oslo       {topology.OSLO.network}     {_hosts_of(topology.OSLO)}
  frankfurt  {topology.FRANKFURT.network}   {_hosts_of(topology.FRANKFURT)}
  clouds     {min(topology.CLOUD)} … {max(topology.CLOUD)}: machines that the stand-ins for the clouds hand out
  operator   {topology.OPERATOR}       who works on the hosts: `run -- CMD`
  outside    {topology.OUTSIDE}    a client of the fortress: `outside -- CMD`

\b
  python -m lab up                                   bring it up, or whatever is missing
  python -m lab ssh oslo-db -- sudo systemctl status
  python -m lab run -- pulumi preview                in the operator's namespace
  python -m lab link --cut                           separate the sites, until `link --heal`
  python -m lab kill oslo-web                        pull the plug, until `start oslo-web`
  python -m lab down

FORTRESS_LAB names the lab (`lab` if it is not set); several can run side by side. Must be run as root.
Exit: 0 done, 1 failed, 2 wrong usage; run, ssh, outside and console exit as their command does, and with {NOT_OURS}
when the lab or the host is not up.
"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 110},
)

HostName = Annotated[str, typer.Argument(metavar="HOST", help=f"One of {', '.join(topology.HOSTS)}.")]
Command = Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The command and its arguments.")]


def fail(error: LabError, code: int = FAILED) -> NoReturn:
    """Say what is wrong, and the cure, and end."""
    print(f"lab: {error.problem}", file=sys.stderr)
    if error.cure:
        print(f"fix: {error.cure}", file=sys.stderr)
    raise SystemExit(code)


def become(command: Sequence[str], environment: dict[str, str]) -> NoReturn:
    """Go on as another command: its exit status, its signals and its terminal are then truly its own."""
    sys.stdout.flush()
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606 - no shell is meant
    except FileNotFoundError:
        fail(LabError(f"{command[0]} is not installed"), NOT_OURS)


class Progress:
    """One line for each step with its seconds; on a terminal, what is under way now below them."""

    def __init__(self) -> None:
        from rich.console import Console  # takes a tenth of a second, which `run` and `ssh` need not spend

        self.console = Console(stderr=True, highlight=False)
        self.status = self.console.status("")
        self.running: list[str] = []
        self.began = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def _show(self) -> None:
        if not self.console.is_terminal:
            return
        if self.running:
            self.status.update(", ".join(self.running))
            self.status.start()
        else:
            self.status.stop()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step and print it when it is done."""
        began = time.monotonic()
        self.running.append(name)
        self._show()
        try:
            yield
            self.console.print(f"{time.monotonic() - began:7.1f} s  {name}")
        finally:
            self.running.remove(name)
            self._show()

    def done(self, text: str) -> None:
        """The last line."""
        self.status.stop()
        self.console.print(f"{time.monotonic() - self.began:7.1f} s  {text}")


@app.callback(help=HELP)
def prepare() -> None:
    """Whatever is done to a lab takes root."""
    try:
        machine.check_root()
    except LabError as error:
        fail(error)


@app.command()
def up(
    names: Annotated[
        str | None,
        typer.Option(
            "--hosts", metavar="A,B", help=f"Hosts to have up instead of {', '.join(topology.STANDARD)}; '' for none."
        ),
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Debian's release that the hosts run: {' or '.join(folders.RELEASES)}; the lab's own when left out, "
            f"{folders.RELEASES[0]} in a new lab.",
        ),
    ] = None,
) -> None:
    """Bring the lab up. Existing parts are left alone; missing ones are created and started."""
    try:
        with Progress() as progress:
            wanted = None if names is None else [name for name in names.split(",") if name]
            started = api.up(wanted, progress.step, release)
            name = api.current().name
            progress.done(f"lab {name!r} is up" + ("" if started or names == "" else ": it was complete already"))
    except LabError as error:
        fail(error)


@app.command()
def down() -> None:
    """Take the lab down and remove all of it: hosts, disks, stack state, networks. The cache stays."""
    try:
        with Progress() as progress:
            api.down(progress.step)
            progress.done(f"lab {api.current().name!r} is down")
    except LabError as error:
        fail(error)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for programs.")] = False,
) -> None:
    """Show the state of the lab. Exit 0 if it and all its hosts are up, else 1."""
    try:
        found = api.status()
    except LabError as error:
        fail(error)
    if as_json:
        print(json.dumps(found.plain(), indent=2))
    else:
        print_status(found)
    raise SystemExit(0 if found.ok else FAILED)


def describe(link: api.LinkSettings) -> str:
    """The link's settings in a few words."""
    rate = f"{link.rate_mbit:g} Mbit/s" if link.rate_mbit else "no rate limit"
    return f"{link.rtt_ms:g} ms, {link.loss:g} % loss each way, {rate}{', cut' if link.cut else ''}"


def print_status(found: api.LabStatus) -> None:
    """A table of the hosts, and what carries the lab."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    missing = [name for name, stands in found.parts.items() if not stands]
    if len(missing) == len(found.parts):
        console.print(f"lab {found.lab!r} is not up")
        return
    table = Table("host", "site", "address", "state", "pid")
    for host in found.hosts.values():
        table.add_row(host.name, host.site, host.address, "up" if host.running else "[red]off[/]", str(host.pid or ""))
    console.print(table)
    console.print(f"release     {found.release}")
    console.print(f"link        {describe(found.link)} ({found.link_kind or 'down'})")
    console.print(f"wireguard   {found.wireguard}")
    console.print(f"packages    {topology.REPOSITORY_URL}")
    if missing:
        console.print(f"[red]missing[/]     {', '.join(missing)}; fix: python -m lab up")


@app.command()
def env() -> None:
    """Print what a shell needs to work with the lab: eval "$(python -m lab env)"."""
    try:
        wanted = api.environment()
        for name in sorted(name for name in os.environ if name.startswith(folders.FOREIGN) and name not in wanted):
            print(f"unset {name}")
        for name, value in wanted.items():
            print(f"export {name}={shlex.quote(value)}")
    except LabError as error:
        fail(error)


@app.command()
def run(command: Command) -> None:
    """Run a command of this machine in the operator's namespace, in this folder, with the lab's environment."""
    try:
        lab = api.current()
        become([*network.enter(lab, "operator"), *command], lab.surroundings(os.environ))
    except LabError as error:
        fail(error, NOT_OURS)


@app.command()
def outside(command: Command) -> None:
    """Run a command of this machine as a client outside, who reaches both sites and has no rights there."""
    try:
        words = [*network.enter(api.current(), "outside"), *command]
        become(words, {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"})
    except LabError as error:
        fail(error, NOT_OURS)


@app.command()
def ssh(
    host: HostName,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CMD...]", help="Command to run there; a shell if left out.")
    ] = None,
) -> None:
    """Log in to a host as its operator does, over the lab's network, or run a command there.

    One word is a line for the host's shell; several reach the command as they are.
    """
    try:
        words = secure_shell.command(
            api.current(),
            topology.host(host),
            shlex.join(command) if command and len(command) > 1 else (command[0] if command else None),
            terminal=command is None and sys.stdin.isatty(),
        )
    except LabError as error:
        fail(error, NOT_OURS)
    become(words, dict(os.environ))


@app.command()
def console(
    host: HostName,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CMD...]", help="Command to run there; a shell if left out.")
    ] = None,
) -> None:
    """Work inside a host as root, not through the network: for when SSH is locked out."""
    try:
        words = [*hosts.console(api.current(), topology.host(host)), *(command or ["bash", "-l"])]
    except LabError as error:
        fail(error, NOT_OURS)
    become(words, dict(os.environ))


@app.command()
def kill(
    host: HostName,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Delete its disk too: it starts again as a new machine.")
    ] = False,
) -> None:
    """Pull a host's plug. Its disk stays as it is."""
    try:
        api.kill(host, wipe)
    except LabError as error:
        fail(error)


@app.command()
def start(host: HostName) -> None:
    """Start a host with its disk unchanged, or a host that is new to the lab, and wait for it."""
    try:
        with Progress() as progress, progress.step(f"host {host}"):
            api.start(host)
    except LabError as error:
        fail(error)


@app.command()
def link(
    rtt_ms: Annotated[float | None, typer.Option(help="Round trip in milliseconds.")] = None,
    loss: Annotated[float | None, typer.Option(help="Percent of packets lost, each way.")] = None,
    rate_mbit: Annotated[float | None, typer.Option(help="Mbit/s each way; 0 is no limit.")] = None,
    cut: Annotated[bool, typer.Option("--cut", help="Drop every packet.")] = False,
    heal: Annotated[bool, typer.Option("--heal", help="Undo --cut.")] = False,
) -> None:
    """Change the link between the sites without dropping connections; values not given stay unchanged."""
    if cut and heal:
        raise typer.BadParameter("--cut and --heal exclude each other")
    try:
        settings = api.link(rtt_ms, loss, rate_mbit, True if cut else False if heal else None)
    except LabError as error:
        fail(error)
    print(describe(settings))


if __name__ == "__main__":
    app(prog_name="python -m lab")
