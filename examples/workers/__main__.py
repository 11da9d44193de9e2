"""Workers that join a fortress of another stack: it gives what it exports, and gets a file for a peer a worker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
from pulumi_fortress import EphemeralWorker, FlowArgs, Host, Member, WireGuardMesh

OPERATORS = ["192.0.2.10/32"]  # who may open SSH connections; nobody else gets an answer
NETWORK = "10.100.0.0/24"  # the fortress's mesh
HUBS = {"oslo-db": "10.100.0.1", "oslo-edge": "10.100.0.3"}  # of the fortress: its database and its edge
WORKERS = {  # where each answers SSH, and its address in the mesh, which no host of the fortress has
    "fra-8": ("203.0.113.28", "10.100.0.8"),
    "fra-9": ("203.0.113.29", "10.100.0.9"),
}
APP = Path(__file__).parents[1] / "app" / "app.py"

config = pulumi.Config()
password = config.require_secret("database_password")
fortress = pulumi.StackReference(config.require("fortress")).require_output("fortress")


def fact(pick: Callable[[Any], Any]) -> pulumi.Output[Any]:
    """One value of what the fortress exports: each by itself, so that none hides the others where it changes."""
    return fortress.apply(pick)


def hub(name: str) -> Member:
    """A host of the fortress as this stack's mesh takes it."""
    return {
        "name": name,
        "site": "oslo",
        "address": fact(lambda found: found["hosts"][name]["address"]),
        "port": fact(lambda found: int(found["hosts"][name]["port"])),
        "user": fact(lambda found: found["hosts"][name]["user"]),
        "host_key": fact(lambda found: found["hosts"][name]["host_key"]),
        # Its key was born on the machine and never leaves it: another machine has another.
        "machine_id": fact(lambda found: found["hosts"][name]["public_key"]),
        "mesh_address": HUBS[name],
        "public_key": fact(lambda found: found["hosts"][name]["public_key"]),
        "ram_mb": 0,
        "gone": False,
    }


def flows(worker: str) -> list[FlowArgs]:
    """What a worker reaches, and what reaches it."""
    return [
        {"source": worker, "destination": "oslo-db", "port": 3306},
        {"source": "oslo-edge", "destination": worker, "port": 80},
    ]


hosts = {
    name: Host(
        name,
        {
            "address": address,
            "site": "frankfurt",
            "user": "ops",
            "mesh_address": mesh_address,
            "mesh_network": NETWORK,
            "operators": OPERATORS,
        },
    )
    for name, (address, mesh_address) in WORKERS.items()
}
mesh = WireGuardMesh(
    "workers",
    {
        "members": {name: hub(name) for name in HUBS} | {name: host.member for name, host in hosts.items()},
        "hubs": list(HUBS),
        "elsewhere": list(HUBS),  # their mesh is the fortress's own
        "flows": [flow for name in WORKERS for flow in flows(name)],
        "mtu": 1360,
    },
)
for name, host in hosts.items():
    EphemeralWorker(
        f"notes-{name}",
        {
            "host": host.member,
            "workload": {
                "name": "notes",
                "packages": ["python3-pymysql"],
                "files": {"/opt/notes/app.py": APP.read_text(encoding="utf-8")},
                "command": "/usr/bin/python3 /opt/notes/app.py",
                "port": 80,
                "health": "/health",
            },
            "clients": [HUBS["oslo-edge"]],
            "database": {
                "address": fact(lambda found: found["database"]["address"]),
                "port": 3306,
                "name": "app",
                "user": "app",
                "ca_pem": fact(lambda found: found["database"]["ca_pem"]),
            },
            "database_password": password,
        },
        pulumi.ResourceOptions(depends_on=[host, *mesh.members.values()]),
    )
