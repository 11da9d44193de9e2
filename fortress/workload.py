"""The systemd unit of a worker's workload: an account of its own, few rights, secrets as credentials.

Written for systemd 252 to 257 (Debian 12 and 13). The sandbox forbids memory that is both written and executed, which
CPython does not need; programs that compile while they run (Java, Node.js) do.
"""

from __future__ import annotations

import re
import shlex
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from fortress import mariadb, text
from fortress.values import (
    PLAIN_PATH,
    Address,
    Base64,
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
    refusal,
)

_UNITS = """
acpid anacron apparmor apport atd auditd autovt blk-availability chrony chronyd cron dbus dbus-broker debug-shell
dhcpcd dmesg dnsmasq e2scrub-all emergency fail2ban fstrim fwupd getty grub-common haproxy halt hwclock ifup ifupd
initrd-cleanup irqbalance iscsid keyboard-setup kexec kmod lvm2-lvmpolld lvm2-monitor lxd-agent man-db mariadb
mdadm mdmonitor modprobe multipathd mysql mysqld needrestart netfilter-persistent networkd-dispatcher networking
nftables nscd ntp ntpd ntpsec open-vm-tools packagekit plymouth polkit polkitd poweroff procps qemu-guest-agent
quotaon rc rc-local rcs rdnssd reboot rescue resolvconf rpcbind rsync rsyslog screen-cleanup serial-getty snapd
ssh sshd sshd-keygen ssh-agent sudo syslog system-update-cleanup sysstat ua-timer ubuntu-advantage ubuntu-fan udev
udisks2 ufw unattended-upgrades upower user user-runtime-dir uuidd vgauth wpa-supplicant x11-common xinetd
"""
RESERVED = frozenset(_UNITS.split())
"""Names of units that hosts of the fortress need or have, by the packages of Debian's and Ubuntu's cloud images: a unit
in /etc/systemd/system takes their place."""
_FAMILIES = """
amazon- apt- cloud- console- container-getty dpkg- e2scrub ec2- fortress- google- initrd- mariadb- modprobe- snap-
systemd- user- wg-
"""
RESERVED_BEGINNINGS = tuple(_FAMILIES.split())

_PLAIN = re.compile(r"[A-Za-z0-9._/:=,+@-]+")


def _free(value: str) -> str:
    if value in RESERVED or value.startswith(RESERVED_BEGINNINGS):
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


def _beside_each_other(files: dict[str, str]) -> dict[str, str]:
    for path in files:
        for folder in files:
            if path.startswith(f"{folder}/"):
                raise refusal((path,), path, f"is below {folder}, which is a file too; rename one")

    return files


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
    files: Annotated[dict[HostPath, str], AfterValidator(_beside_each_other)] = {}
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


class WorkloadFiles(Workload):
    """A workload with all its files, those that are no text among them."""

    binary_files: dict[HostPath, Base64] = {}
    """Path on the host: bytes in base64."""

    @model_validator(mode="after")
    def _each_path_once(self) -> WorkloadFiles:
        for path in self.binary_files:
            if path in self.files:
                raise refusal(("binary_files", path), path, "is in files too; give it once")
        _beside_each_other({**self.files, **self.binary_files})
        return self


class Database(Model):
    """The database as a workload sees it."""

    address: Address
    port: Port
    name: mariadb.DatabaseName
    user: mariadb.AccountName
    ca_pem: str
    """Certificate of the authority that signs the server's, PEM."""


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
