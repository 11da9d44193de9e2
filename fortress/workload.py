"""The systemd unit of a worker's workload: an account of its own, few rights, secrets as credentials.

Written for systemd 252 to 257 (Debian 12 and 13). The sandbox forbids memory that is both written and executed, which
CPython does not need; programs that compile while they run (Java, Node.js) do.
"""

import dataclasses
import re
import shlex
from collections.abc import Mapping

from fortress import text

RESERVED = frozenset(
    ["cron", "dbus", "getty", "haproxy", "mariadb", "mysql", "networking", "nftables", "rescue", "ssh", "sshd", "udev"]
)
"""Names of units that a host of the fortress needs or has: a unit in /etc/systemd/system takes their place."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FILE = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._@+-]*)+")
_PLAIN = re.compile(r"[A-Za-z0-9._/:=,+@-]+")


def _refuse(field: str, value: object, wanted: str) -> ValueError:
    return ValueError(f"{field}: {value!r} is not {wanted}")


def _check_match(field: str, value: object, pattern: re.Pattern[str], wanted: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _refuse(field, value, wanted)


def _check_printable(field: str, value: object) -> None:
    if not isinstance(value, str) or not value.isprintable():
        raise _refuse(field, value, "one line of printable text")


@dataclasses.dataclass(frozen=True)
class Workload:
    """The facts of one workload.

    name: of the unit, `<name>.service`; not one that a host has already.
    command: absolute path of the program and its arguments, split as a shell would; nothing in it is expanded.
    port: TCP port that it listens on; below 1024 the unit may bind it, and nothing more.
    environment: variables, readable by everyone on the host: nothing secret.
    credentials: name -> file on the host, mode 0400; the workload reads $CREDENTIALS_DIRECTORY/<name>.
    """

    name: str
    command: str
    port: int
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    credentials: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError naming the field."""
        _check_match("name", self.name, _NAME, "a name of lower-case letters, digits and hyphens, at most 32")
        if self.name in RESERVED or self.name.startswith(("systemd-", "wg-")):
            raise _refuse("name", self.name, "free: a unit of the host has this name")
        _check_printable("command", self.command)
        _check_match("command", self.arguments[0] if self.arguments else "", _FILE, "the absolute path of a program")
        if not isinstance(self.port, int) or isinstance(self.port, bool) or not 1 <= self.port <= 65535:
            raise _refuse("port", self.port, "a whole number from 1 to 65535")
        for name, value in self.environment.items():
            _check_match("environment", name, _VARIABLE, "the name of an environment variable")
            _check_printable(f"environment.{name}", value)
        for name, path in self.credentials.items():
            _check_match("credentials", name, _CREDENTIAL, "the name of a credential: letters, digits, dots, hyphens")
            _check_match(f"credentials.{name}", path, _FILE, "a plain absolute path")

    @property
    def arguments(self) -> list[str]:
        """The words of `command`; raises ValueError when a quote is left open."""
        try:
            return shlex.split(self.command)
        except ValueError as error:
            raise _refuse("command", self.command, f"a command line: {error}") from None


def _word(value: str, *, dollars: bool) -> str:
    """Quote one word as systemd.syntax(7) reads it; dollars: where $VARIABLE would be replaced (systemd.service(5))."""
    value = value.replace("%", "%%")
    if dollars:
        value = value.replace("$", "$$")
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def render(workload: Workload) -> str:
    """Give the unit file; variables and credentials stand in the order of their names."""
    return text.render(
        "workload.service.j2",
        workload=workload,
        command=" ".join(_word(argument, dollars=True) for argument in workload.arguments),
        environment=[_word(f"{name}={value}", dollars=False) for name, value in sorted(workload.environment.items())],
        # An account's name has at most 31 characters.
        user=f"workload-{workload.name[:22]}".rstrip("-"),
    )
