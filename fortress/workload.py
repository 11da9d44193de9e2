"""The systemd unit of a worker's workload: an account of its own, few rights, secrets as credentials.

Written for systemd 252 to 257 (Debian 12 and 13). The sandbox forbids memory that is both written and executed, which
CPython does not need; programs that compile while they run (Java, Node.js) do.
"""

from __future__ import annotations

import re
import shlex
from typing import Annotated

from pydantic import AfterValidator, Field

from fortress import text
from fortress.values import (
    PLAIN_PATH,
    HostPath,
    Model,
    Name,
    OneLine,
    Package,
    PlainPath,
    Port,
    Printable,
    UrlPath,
    Variable,
    VariableName,
    matching,
)

RESERVED = frozenset(
    ["cron", "dbus", "getty", "haproxy", "mariadb", "mysql", "networking", "nftables", "rescue", "ssh", "sshd", "udev"]
)
"""Names of units that a host of the fortress needs or has: a unit in /etc/systemd/system takes their place."""

_PLAIN = re.compile(r"[A-Za-z0-9._/:=,+@-]+")


def _free(value: str) -> str:
    if value in RESERVED or value.startswith(("systemd-", "wg-")):
        raise ValueError("is taken: the host already has a unit of this name")
    return value


def _command(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"is not a command line: {error}") from None
    if not words or not _PROGRAM.fullmatch(words[0]):
        raise ValueError("does not start with the absolute path of a program")
    return value


_PROGRAM = re.compile(PLAIN_PATH)
UnitName = Annotated[Name, AfterValidator(_free)]
Command = Annotated[OneLine, AfterValidator(_command)]
Credential = Annotated[
    str, matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "the name of a credential: letters, digits, dots, hyphens")
]


class Workload(Model):
    """What workers run: packages, files and one systemd unit."""

    name: UnitName
    """Name of the systemd unit, `<name>.service`; must differ from units that a host already has."""
    packages: list[Package] = []
    """Debian packages that it needs."""
    files: dict[HostPath, str] = {}
    """Path on the host: text."""
    command: Command
    """Absolute path of the program, and its arguments; nothing in it is expanded."""
    port: Port = 80
    """TCP port that it listens on, on the host's mesh address."""
    health: UrlPath = "/health"
    """Path that answers 200 while the worker can work, for HAProxy's health checks."""
    environment: dict[Variable, OneLine] = {}
    """Environment variables, readable by everyone on the host: nothing secret. Names must not start with FORTRESS_."""
    healthy_within_s: Annotated[int, Field(ge=1, le=600)] = 60
    """Seconds within which a changed worker must be healthy; otherwise `up` stops before the next worker."""


class Unit(Model):
    """The facts of a workload's unit."""

    name: UnitName
    command: Command
    """Split as a shell would; nothing in it is expanded."""
    port: Port
    """Below 1024 the unit may bind it, and nothing more."""
    environment: dict[VariableName, Printable] = {}
    """Readable by everyone on the host."""
    credentials: dict[Credential, PlainPath] = {}
    """Name to file on the host, mode 0400; the workload reads $CREDENTIALS_DIRECTORY/<name>."""

    @property
    def arguments(self) -> list[str]:
        """The words of `command`."""
        return shlex.split(self.command)


def _word(value: str, *, dollars: bool) -> str:
    """Quote one word as systemd.syntax(7) reads it; dollars: where $VARIABLE would be replaced (systemd.service(5))."""
    value = value.replace("%", "%%")
    if dollars:
        value = value.replace("$", "$$")
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def render(unit: Unit) -> str:
    """Give the unit file; variables and credentials stand in the order of their names."""
    return text.render(
        "workload.service.j2",
        unit=unit,
        command=" ".join(_word(argument, dollars=True) for argument in unit.arguments),
        environment=[_word(f"{name}={value}", dollars=False) for name, value in sorted(unit.environment.items())],
        # An account's name has at most 31 characters.
        user=f"workload-{unit.name[:22]}".rstrip("-"),
    )
