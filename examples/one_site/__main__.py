"""A fortress without Frankfurt: database, worker and edge at one site, joined by a mesh."""

from pathlib import Path

import pulumi
from pulumi_fortress import DataFortress, EphemeralWorker, HAProxyEdge, Host, WireGuardMesh

OPERATORS = ["198.51.100.0/24"]  # who may open SSH connections; everyone else is dropped
NETWORK = "10.9.0.0/24"
HOSTS = {  # SSH address, and address in the mesh
    "oslo-db": ("192.0.2.11", "10.9.0.1"),
    "oslo-edge": ("192.0.2.12", "10.9.0.2"),
    "oslo-web": ("192.0.2.13", "10.9.0.3"),
}
APP = Path(__file__).parents[1] / "app" / "app.py"

password = pulumi.Config().require_secret("database_password")
hosts = {
    name: Host(
        name,
        {
            "address": address,
            "site": "oslo",
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
        "hubs": ["oslo-db", "oslo-edge"],
        "flows": [
            {"source": "oslo-web", "destination": "oslo-db", "port": 3306},
            {"source": "oslo-edge", "destination": "oslo-web", "port": 80},
        ],
        "mtu": 1380,
    },
)


def on(name: str, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
    """Options of a service on a host: it comes after the host's part of the mesh and its other dependencies."""
    return pulumi.ResourceOptions(depends_on=[hosts[name], mesh.members[name], *needs])


database = DataFortress(
    "db",
    {
        "host": hosts["oslo-db"].member,
        "database": "app",
        "user": "app",
        "password": password,
        "clients": NETWORK,
        "privileges": ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE"],
    },
    on("oslo-db"),
)
worker = EphemeralWorker(
    "notes",
    {
        "host": hosts["oslo-web"].member,
        "workload": {
            "name": "notes",
            "packages": ["python3-pymysql"],
            "files": {"/opt/notes/app.py": APP.read_text(encoding="utf-8")},
            "command": "/usr/bin/python3 /opt/notes/app.py",
            "port": 80,
            "health": "/health",
        },
        "clients": [HOSTS["oslo-edge"][1]],
        "database": {
            "address": database.address,
            "port": 3306,
            "name": "app",
            "user": "app",
            "ca_pem": database.ca_pem,
        },
        "database_password": password,
    },
    on("oslo-web", mesh.members["oslo-db"], database),
)
edge = HAProxyEdge(
    "edge",
    {
        "host": hosts["oslo-edge"].member,
        "server_name": "notes.example",
        "primary": {"site": "oslo", "servers": {"oslo-web": f"{HOSTS['oslo-web'][1]}:80"}, "maxconn": 40},
    },
    on("oslo-edge", worker),
)
pulumi.export("url", edge.url)
