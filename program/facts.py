"""The stack's output `fortress`, as fortress/facts.py has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.data_fortress import DataFortress
from components.haproxy_edge import HAProxyEdge
from components.host import Host
from fortress import haproxy, mariadb
from fortress.facts import VERSION, StackOutputs
from fortress.settings.model import Settings
from fortress.wireguard import INTERFACE, topology


def facts(s: Settings, hosts: Mapping[str, Host], database: DataFortress, edge: HAProxyEdge) -> dict[str, Any]:
    """What `fortress` and other stacks read. Raises pydantic's ValidationError where it is no `StackOutputs`."""
    peers = topology({name: s.mesh_address(name) for name in s.members}, s.mesh.hubs, s.flows()).peers
    edge_ports = (haproxy.HTTP_PORT, haproxy.HTTPS_PORT)
    found = {
        "version": VERSION,
        "sites": {
            name: {"operator": site.operator, "country": site.country, "sovereign": site.sovereign}
            for name, site in s.sites.items()
        },
        "hosts": {
            name: {
                "address": host.address,
                "port": s.ssh.port,
                "user": s.ssh.user,
                "host_key": host.host_key,
                "public_key": host.public_key,
                "mesh_address": str(s.mesh_address(name)),
                "site": s.members[name].site,
                "role": s.members[name].role,
                "peers": [peer.name for peer in peers[name]],
                "open_tcp": [s.ssh.port, *edge_ports] if name == s.edge_host else [s.ssh.port],
            }
            for name, host in hosts.items()
            if not s.members[name].gone
        },
        "mesh": {
            "network": str(s.mesh.network),
            "port": s.mesh.port,
            "mtu": s.mesh.mtu,
            "path_mtu": s.mesh.path_mtu,
            "hubs": s.mesh.hubs,
            "interface": INTERFACE,
        },
        "database": {
            "host": s.database_host,
            "address": database.address,
            "port": mariadb.PORT,
            "name": s.database.name,
            "user": s.database.user,
            "ca_pem": database.ca_pem,
            "copy_wanted": s.database.cross_cloud_copy,
        },
        "edge": {
            "host": s.edge_host,
            "url": edge.url,
            "server_name": s.edge.server_name,
            "health_path": s.workload.health,
            "stats_socket": haproxy.STATS_SOCKET,
            # Not the guests: they come and go without this stack.
            "backends": {
                site: {name: s.servers(site)[name] for name in s.workers_at(site) if not s.members[name].gone}
                for site in (s.edge.primary, s.edge.overflow)
            },
            "silent_ms": haproxy.detection_bound_ms(s.edge.detection(), black_hole=True),
            "refused_ms": haproxy.detection_bound_ms(s.edge.detection(), black_hole=False),
        },
        "bastion": s.ssh.bastion.model_dump() if s.ssh.bastion else None,
        "limits": s.verify.model_dump(),
    }
    StackOutputs.model_validate(_with_text(found))
    return found


def _with_text(value: Any) -> Any:
    """The same with a text in place of each Output: all of them are texts, and known only once hosts answered."""
    if isinstance(value, pulumi.Output):
        return ""
    if isinstance(value, dict):
        return {name: _with_text(part) for name, part in value.items()}
    return value
