"""A database with copies: who takes part, and the text of what each server and each client of it has on its host.

Who takes writes is said by the data and decided by the servers themselves (scripts/roles): nothing here
names a primary. Values without a source beside them: docs/decisions/0021.
"""

from __future__ import annotations

import ipaddress
import json
import shlex
from typing import Annotated

from pydantic import Field, model_validator

from fortress import access, mariadb, push, text
from fortress.values import DnsName, Model, TunnelAddress, refusal

PORT = 3307
"""On which each server says, by HTTPS, whether it takes the writes; beside MariaDB's own."""
PACKAGES = ("mariadb-backup", "python3")
CLIENT_PACKAGES = ("haproxy",)

FOLDER = "/etc/fortress/database"
SERVERS_PATH = f"{FOLDER}/servers.json"
CA_PATH = mariadb.AUTHORITIES_PATH
PASSWORD_PATH = f"{FOLDER}/replication-password"
START_PATH = "/etc/mysql/mariadb.conf.d/91-fortress-start.cnf"
UNIT = "fortress-database-role"
UNIT_PATH = f"/etc/systemd/system/{UNIT}.service"
RUN_FOLDER = "/run/fortress-database"
"""Of its unit, which keeps it while the service restarts."""
SCRIPT = "database_role.py"
MODULES = "roles"
"""Folder of what it imports, beside it here and on the host."""
TOOL = f"{push.LIBRARY}/{SCRIPT}"


class Servers(Model):
    """Every server of one database, and which of them this one is."""

    me: DnsName
    servers: Annotated[dict[DnsName, TunnelAddress], Field(min_length=1)]
    """Name to address in the mesh."""
    network: access.Network
    """The mesh's."""
    cluster: bool = False
    """Whether they are a Galera cluster."""
    witness: bool = False
    """Whether that has a witness too."""

    @model_validator(mode="after")
    def _knows_itself(self) -> Servers:
        if self.me not in self.servers:
            raise refusal(("servers",), sorted(self.servers), f"must have {self.me}, the server itself")
        if len(set(self.servers.values())) < len(self.servers):
            raise refusal(("servers",), sorted(self.servers), "must have an address of its own for each")
        return self


def render_servers(servers: Servers) -> str:
    """Give servers.json as it stands at SERVERS_PATH, one server a line."""
    known = {
        "me": servers.me,
        "port": PORT,
        "database_port": mariadb.PORT,
        "clients": ipaddress.IPv4Network(servers.network).with_netmask,
        "servers": dict(sorted(servers.servers.items())),
        **({"cluster": True, "witness": servers.witness} if servers.cluster else {}),
    }
    return json.dumps(known, indent=2) + "\n"


def render_start() -> str:
    """Give the file at START_PATH: each start is read-only."""
    return text.render("91-fortress-start.cnf.j2")


def render_unit(*, cluster: bool = False) -> str:
    """Give the unit at UNIT_PATH; members of a `cluster` have no replication password."""
    return text.render("fortress-database-role.service.j2", cluster=cluster)


def render_client(servers: dict[str, str]) -> str:
    """Give the haproxy.cfg of a client: one listener that leads to whichever server takes the writes."""
    return text.render(
        "haproxy-database.cfg.j2",
        servers=sorted(servers.items()),
        address=mariadb.CLIENT_ADDRESS,
        port=mariadb.PORT,
        role_port=PORT,
        ca=CA_PATH,
    )


def programs() -> tuple[str, ...]:
    """The host script and its modules, as `text.script` knows them: they are of one version, and land together."""
    return (*text.scripts(MODULES), SCRIPT)


def in_turn(*, last: bool) -> str:
    """Shell command that fails where a server that takes the writes would restart before its copies.

    Before the host script is there, the server is nobody's primary.
    """
    return f"{{ [ ! -e {TOOL} ] || {shlex.join(role('may-restart', 'last' if last else 'first'))}; }}"


def role(*words: str) -> tuple[str, ...]:
    """The words that run the host script as root."""
    return ("python3", "-I", TOOL, *words)
