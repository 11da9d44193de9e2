"""An edge in front of anything that answers HTTP: two servers at home, and one elsewhere for when they are full."""

import pulumi
from pulumi_fortress import HAProxyEdge, Host, export_facts

host = Host(
    "front",
    {
        "address": "192.0.2.12",
        "site": "home",
        # A mesh without other members: the servers are reached directly.
        "mesh_address": "10.9.0.1",
        "mesh_network": "10.9.0.0/24",
        "operators": ["198.51.100.0/24"],  # who may open SSH connections; everyone else is dropped
    },
)
edge = HAProxyEdge(
    "edge",
    {
        "host": host.member,
        "server_name": "www.example.org",
        "primary": {
            "site": "home",
            "servers": {"web-1": "192.0.2.21:8080", "web-2": "192.0.2.22:8080"},
            "maxconn": 100,  # concurrent requests per server; above that the other site helps
        },
        "overflow": {"site": "elsewhere", "servers": {"web-3": "203.0.113.23:8080"}, "maxconn": 100},
        "health_path": "/",
    },
)
pulumi.export("url", edge.url)
export_facts([host], edge=edge)  # what `fortress status`, `verify`, `drift` and `report` read
