"""A WireGuard mesh between hosts you already have: one that the others dial, and a backup that flows over it."""

import pulumi
from pulumi_fortress import Host, WireGuardMesh, export_facts

OPERATORS = ["198.51.100.0/24"]  # who may open SSH connections; everyone else is dropped
NETWORK = "10.9.0.0/24"
HOSTS = {  # SSH address, and address in the mesh
    "office": ("192.0.2.1", "10.9.0.1"),
    "shop": ("192.0.2.2", "10.9.0.2"),
    "archive": ("198.51.100.3", "10.9.0.3"),
}

hosts = {
    name: Host(
        name,
        {
            "address": address,
            "user": "debian",
            "site": "office" if name != "archive" else "elsewhere",
            "mesh_address": mesh_address,
            "mesh_network": NETWORK,
            "operators": OPERATORS,
        },
    )
    for name, (address, mesh_address) in HOSTS.items()
}
mesh = WireGuardMesh(
    "mesh",
    {
        "members": {name: host.member for name, host in hosts.items()},
        "hubs": ["office"],  # has a fixed address
        "flows": [
            {"source": "shop", "destination": "office", "port": 5432, "open": True},
            # Neither is a hub, so this goes through the office.
            {"source": "shop", "destination": "archive", "port": 22, "open": True},
        ],
        "mtu": 1380,
    },
)
pulumi.export("public_keys", {name: host.public_key for name, host in hosts.items()})
export_facts(hosts.values(), mesh)  # what `fortress status`, `verify`, `drift` and `report` read
