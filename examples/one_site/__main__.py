"""A fortress without Frankfurt: database, worker and edge at one site, joined by a mesh."""

from pathlib import Path

import pulumi
from pulumi_fortress import (
    DataFortress,
    EphemeralWorker,
    HAProxyEdge,
    Host,
    WireGuardMesh,
    export_facts,
    look_before_removal,
)

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
# What serves on a host of the mesh waits for that host's part of it, and who takes an endpoint for what answers there;
# what prepares for that, such as packages, is done meanwhile.
database = DataFortress(
    "db",
    {
        "host": mesh.member("oslo-db"),
        "database": "app",
        "user": "app",
        "password": password,
        "clients": NETWORK,
        "privileges": ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE"],
    },
)
worker = EphemeralWorker(
    "notes",
    {
        "host": mesh.member("oslo-web"),
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
        "waits_for": [database.endpoint],
    },
)
edge = HAProxyEdge(
    "edge",
    {
        "host": mesh.member("oslo-edge"),
        "server_name": "notes.example",
        "primary": {"site": "oslo", "servers": {"oslo-web": worker.endpoint}, "maxconn": 40},
    },
)
look_before_removal(hosts.values(), mesh, database, worker, edge)  # says what to do where a host is dead by then
pulumi.export("url", edge.url)
export_facts(  # what `fortress status`, `verify`, `drift` and `report` read
    hosts.values(),
    mesh,
    database=database,
    workers=[worker],
    edge=edge,
    sites={"oslo": {"operator": "A Norwegian cloud", "country": "NO", "sovereign": True}},
)
