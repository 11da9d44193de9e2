"""Workers that join the fortress of another stack, through its outputs and one peer file per worker on its hubs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
from pulumi_fortress import EphemeralWorker, FlowArgs, Host, Member, WireGuardMesh, export_facts

OPERATORS = ["192.0.2.10/32"]  # who may open SSH connections; everyone else is dropped
NETWORK = "10.100.0.0/24"  # the fortress's mesh
HUBS = {"oslo-db": "10.100.0.1", "oslo-edge": "10.100.0.3"}  # of the fortress: its database and its edge
WORKERS = {  # SSH address, and address in the mesh, which no host of the fortress may have
    "fra-8": ("203.0.113.28", "10.100.0.8"),
    "fra-9": ("203.0.113.29", "10.100.0.9"),
}
APP = Path(__file__).parents[1] / "app" / "app.py"

config = pulumi.Config()
password = config.require_secret("database_password")
fortress = pulumi.StackReference(config.require("fortress")).require_output("fortress")


def fact(pick: Callable[[Any], Any]) -> pulumi.Output[Any]:
    """One value of the fortress's output: each by itself, so that an unknown one does not hide the others."""
    return fortress.apply(pick)


def hub(name: str) -> Member:
    """A host of the fortress, as a member for this stack's mesh."""
    return {
        "name": name,
        "site": "oslo",
        "address": fact(lambda found: found["hosts"][name]["address"]),
        "port": fact(lambda found: int(found["hosts"][name]["port"])),
        "user": fact(lambda found: found["hosts"][name]["user"]),
        "host_key": fact(lambda found: found["hosts"][name]["host_key"]),
        # Its key was generated on the machine and never leaves it: another machine has another key.
        "machine_id": fact(lambda found: found["hosts"][name]["public_key"]),
        "mesh_address": HUBS[name],
        "public_key": fact(lambda found: found["hosts"][name]["public_key"]),
        "ram_mb": 0,
        "gone": False,
    }


def flows(worker: str) -> list[FlowArgs]:
    """The flows of a worker: to the database, and from the edge."""
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
        "elsewhere": list(HUBS),  # their mesh belongs to the fortress's stack
        "flows": [flow for name in WORKERS for flow in flows(name)],
        "mtu": 1360,
    },
)
workers = [
    EphemeralWorker(
        f"notes-{name}",
        {
            "host": mesh.member(name),
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
        # They are peers of the hubs first.
        pulumi.ResourceOptions(depends_on=[part for hub in HUBS for part in mesh.parts[hub]]),
    )
    for name in WORKERS
]
export_facts(hosts.values(), mesh, workers=workers)  # what `fortress status`, `verify`, `drift` and `report` read
