"""Who may enter the database: its databases, roles and accounts, as the text of a file on its host.

`scripts/mariadb_access.py` reads it there, and makes the server as it says. Passwords are not in it: that script has
them from its standard input. Values without a source beside them: docs/decisions/0006.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fortress import push
from fortress.mariadb import DEFAULT_PRIVILEGES, AccountName, ConnectionsPerClient, DatabaseName, Privileges
from fortress.values import Model, Text, distinct, refusal

PATH = "/etc/fortress/access.json"
SCRIPT = "mariadb_access.py"
TOOL = "mariadb-access"
"""Name of that script on a host."""
CONNECTIONS_PER_CLIENT = 200
"""Our choice: a fifth of all."""

OldPasswords = Literal["end", "overlap", "keep"]


def _client_network(value: str) -> str | None:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        return None
    return value if "/" in value and network.prefixlen >= 8 else None


def network_of(client: str) -> ipaddress.IPv4Network | None:
    """An address, or a network without host bits, as a network; None for anything else, such as a host's name."""
    try:
        return ipaddress.IPv4Network(client)
    except ValueError:
        return None


def _client(value: str) -> str | None:
    return value if HOST_NAME.fullmatch(value) or network_of(value) else None


HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]")
Client = Annotated[
    str, Text("a host, such as fra-1, or addresses of the mesh, such as 10.100.0.8 or 10.100.0.8/30", _client)
]
Network = Annotated[str, Text("an IPv4 network of at most 2^24 addresses, such as 10.100.0.0/24", _client_network)]
Grants = dict[DatabaseName, Privileges]
"""Database to privileges there."""


class Application(Model):
    """The database and the account of what this is for."""

    database: DatabaseName
    user: AccountName
    network: Network
    """Where the account may come from."""
    privileges: Privileges = list(DEFAULT_PRIVILEGES)
    """On that database only."""
    connections_per_client: ConnectionsPerClient = CONNECTIONS_PER_CLIENT
    """Those that the account may have open from one address."""


class Account(Model):
    """One account, and what it may do."""

    networks: Annotated[list[Network], Field(min_length=1), AfterValidator(distinct)]
    """Where it may come from."""
    privileges: Grants = {}
    """By database."""
    role: AccountName | None = None
    """Whose privileges it has beside its own, from its login on."""
    connections_per_client: ConnectionsPerClient = CONNECTIONS_PER_CLIENT
    """Those that it may have open from one address."""

    @model_validator(mode="after")
    def _may_something(self) -> Account:
        if not self.privileges and self.role is None:
            raise refusal(("privileges",), {}, "may do nothing: give it privileges on a database, or a role")
        return self


class LocalAccount(Model):
    """One that a program of the database's host has by the unix socket, without a password: the user that it runs as
    has the account's name."""

    privileges: tuple[Literal["SLAVE MONITOR"], ...]
    """On the whole server, and on no table."""
    connections: ConnectionsPerClient
    """Those that it may have open."""


class Access(Model):
    """All accounts of one server."""

    databases: Annotated[list[DatabaseName], Field(min_length=1), AfterValidator(distinct)]
    """Made where they are not there; never dropped."""
    roles: dict[AccountName, Grants] = {}
    """Privileges that several accounts share."""
    accounts: Annotated[dict[AccountName, Account], Field(min_length=1)]
    old_passwords: OldPasswords = "end"
    """What becomes of a password that is changed: it ends at once; it works too until `retire`; or until this is
    another word."""
    local: dict[AccountName, LocalAccount] = {}
    """Accounts of programs of the host itself."""

    @model_validator(mode="after")
    def _agrees(self) -> Access:
        for role, grants in self.roles.items():
            if role in self.accounts:
                raise refusal(("roles", role), role, "is the name of an account too; give the role another one")
            self._known(("roles", role), grants)
        for name, account in self.accounts.items():
            self._known(("accounts", name, "privileges"), account.privileges)
            if account.role is not None and account.role not in self.roles:
                known = ", ".join(self.roles) or "none"
                raise refusal(("accounts", name, "role"), account.role, f"is not in roles; known: {known}")
        for name in self.local:
            if name in self.roles or name in self.accounts:
                place = "roles" if name in self.roles else "accounts"
                raise refusal((place, name), name, "is the account of a program of the host; use another name")
        return self

    def _known(self, path: tuple[str, ...], grants: Iterable[str]) -> None:
        for database in grants:
            if database not in self.databases:
                known = ", ".join(self.databases)
                raise refusal((*path, database), database, f"is not in databases; known: {known}")


def render(access: Access) -> str:
    """Give the file at PATH, one fact a line, in one order."""
    said = {
        "databases": access.databases,
        "roles": {name: _grants(grants) for name, grants in sorted(access.roles.items())},
        "accounts": {
            name: {
                "networks": sorted(ipaddress.IPv4Network(each).with_netmask for each in account.networks),
                "connections": account.connections_per_client,
                "privileges": _grants(account.privileges),
                "role": account.role,
            }
            for name, account in sorted(access.accounts.items())
        },
        "old_passwords": access.old_passwords,
    }
    if access.local:  # a file without any is as it was before there were such accounts
        said["local"] = {
            name: {"connections": account.connections, "privileges": sorted(account.privileges)}
            for name, account in sorted(access.local.items())
        }
    return json.dumps(said, indent=2) + "\n"


def _grants(grants: Grants) -> dict[str, list[str]]:
    return {database: sorted(privileges) for database, privileges in sorted(grants.items())}


def passwords(by_account: Mapping[str, str]) -> str:
    """What the script has on its standard input: a line for each account."""
    return "".join(f"{name} {password}\n" for name, password in sorted(by_account.items()))


def ensure(text: str) -> tuple[str, ...]:
    """The words that make the server as a file of this text says, which is at PATH."""
    return (*push.ENSURE_ACCESS, hashlib.sha256(text.encode()).hexdigest())
