"""The stack's output `fortress`, of whatever a program makes of the components: what the command `fortress` reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import pulumi

from fortress import explain, galera, haproxy, mariadb
from fortress.facts import OUTPUT, VERSION, StackOutputs
from fortress.host import SitePlan
from fortress.limits import Limits
from fortress.wireguard import Flow

from .data_fortress import DataFortress
from .database_replica import bundle
from .ephemeral_worker import EphemeralWorker
from .haproxy_edge import HAProxyEdge
from .host import Host
from .host_exporters import HostExporters
from .remote import Bastion
from .wireguard_mesh import WireGuardMesh


class SiteArgs(TypedDict):
    """A location of hosts."""

    operator: str
    """Name of the company that runs the machines."""
    country: str
    """Where the machines are, two letters (ISO 3166) such as NO."""
    sovereign: bool
    """Whether personal data may be stored there."""


def export_facts(
    hosts: Iterable[Host],
    mesh: WireGuardMesh | None = None,
    *,
    database: DataFortress | None = None,
    copies: Iterable[DataFortress] = (),
    workers: Iterable[EphemeralWorker] = (),
    edge: HAProxyEdge | None = None,
    exporters: Iterable[HostExporters] = (),
    guests: Iterable[str] = (),
    sites: Mapping[str, SiteArgs] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> None:
    """Export what `fortress verify`, `status`, `drift` and `report` need. Called once, after all components.

    Args:
        hosts: all hosts of the stack. One that is gone is left out.
        mesh: the mesh between them. Without one, nothing of it is checked.
        database: the database, if there is one.
        copies: the other servers of the same data; each of them and `database` may take the writes.
        workers: the workers, if there are any.
        edge: the edge, if there is one.
        exporters: those of metrics, of any hosts. The edge tells of its own.
        guests: names of the edge's servers that come and go without this stack, so that nobody checks them.
        sites: who runs the machines of a site, and where they are; for all sites of the hosts, or for none.
        limits: those that differ from the defaults of `fortress.limits.Limits`, by their names there.

    Raises:
        ValueError: a line for each of `sites` and `limits` that is wrong, or hosts are behind different bastions.
    """
    every = list(hosts)
    pulumi.export(
        OUTPUT,
        facts(
            every,
            mesh,
            database,
            list(copies),
            list(workers),
            edge,
            list(exporters),
            set(guests),
            _sites(every, sites or {}),
            _limits(every, sites or {}, limits or {}),
        ),
    )


def facts(
    hosts: Sequence[Host],
    mesh: WireGuardMesh | None,
    database: DataFortress | None,
    copies: Sequence[DataFortress],
    workers: Sequence[EphemeralWorker],
    edge: HAProxyEdge | None,
    exporters: Sequence[HostExporters],
    guests: set[str],
    sites: Mapping[str, SitePlan],
    limits: Limits,
) -> dict[str, Any]:
    """What is exported: a `StackOutputs` with Outputs in it.

    Raises:
        ValueError: hosts are behind different bastions, or it is no `StackOutputs`.
    """
    databases = [*([database] if database else []), *copies]
    standing = {host.member["name"] for host in hosts if not host.member["gone"]}
    absent = guests | {host.member["name"] for host in hosts} - standing
    found: dict[str, Any] = {
        "version": VERSION,
        "sites": {name: site.model_dump(include=set(SitePlan.model_fields)) for name, site in sites.items()},
        "hosts": {
            host.member["name"]: {
                **_host(host, mesh, databases, workers, edge),
                "exporters": _exporters(host, exporters, edge),
            }
            for host in hosts
            if host.member["name"] in standing
        },
        "flows": [
            flow.model_dump()
            for flow in (mesh.flows if mesh else ())
            if _to_be_tried(flow, standing, databases, workers, edge)
        ],
        "mesh": mesh and {"network": next((host.mesh_network for host in hosts), ""), **mesh.facts},
        "database": database
        and {
            **database.facts,
            **_servers(databases, standing),
            **{key: each.facts[key] for each in databases for key in ("backup",) if key in each.facts},
            "clients": [worker.host for worker in workers if worker.uses_database],
        },
        "edge": edge
        and {
            **edge.facts,
            "backends": {
                backend: {name: address for name, address in servers.items() if name not in absent}
                for backend, servers in edge.facts["backends"].items()
            },
        },
        "bastion": _bastion(hosts),
        "limits": limits.model_dump(),
    }
    if wrong := explain.check(StackOutputs, _without_outputs(found), explain.Place("export_facts: ")):
        raise ValueError("\n".join(wrong))
    return found


def _host(
    host: Host,
    mesh: WireGuardMesh | None,
    databases: Sequence[DataFortress],
    workers: Sequence[EphemeralWorker],
    edge: HAProxyEdge | None,
) -> dict[str, Any]:
    member = host.member
    name = member["name"]
    is_edge = edge is not None and name == edge.host
    roles = {
        "database": any(name == database.host for database in databases),
        "edge": is_edge,
        "worker": any(name == worker.host for worker in workers),
        "host": True,
    }
    open_tcp = [member["port"], *((haproxy.HTTP_PORT, haproxy.HTTPS_PORT) if is_edge else ())]
    return {
        "address": host.address,
        "port": member["port"],
        "user": member["user"],
        "host_key": host.host_key,
        "public_key": host.public_key,
        "mesh_address": member["mesh_address"],
        "site": member["site"],
        "role": next(role for role, has in roles.items() if has),
        "peers": mesh.peers(name) if mesh else [],
        "egress": "closed" if host.closed else "open",
        "open_tcp": open_tcp,
        "listens": [
            *(
                f"tcp/{port}"
                for port in dict.fromkeys([*open_tcp, *(each.port for each in workers if each.host == name)])
            ),
            f"udp/{host.mesh_port}",
        ],
    }


def _exporters(host: Host, exporters: Sequence[HostExporters], edge: HAProxyEdge | None) -> dict[str, int]:
    name = host.member["name"]
    found = {key: port for each in exporters if each.host == name for key, port in each.facts.items()}
    return found | (edge.exporters if edge is not None and edge.host == name else {})


def _to_be_tried(
    flow: Flow,
    standing: set[str],
    databases: Sequence[DataFortress],
    workers: Sequence[EphemeralWorker],
    edge: HAProxyEdge | None,
) -> bool:
    """Whether it is between hosts that stand, and not one that a worker or the edge is checked by."""
    if not standing.issuperset((flow.source, flow.destination)):
        return False
    if flow.protocol != "tcp":
        return True
    clients = [worker.host for worker in workers if worker.uses_database]
    hosts = [database.host for database in databases]
    if flow.destination in hosts and flow.port == mariadb.PORT and flow.source in clients:
        return False
    if flow.destination in hosts and flow.port in (galera.MISSING_PORT, galera.STATE_PORT):
        return False  # it listens there while it receives data
    servers = [(worker.host, worker.port) for worker in workers]
    return not (edge and flow.source == edge.host and (flow.destination, flow.port) in servers)


def _servers(databases: Sequence[DataFortress], standing: set[str]) -> dict[str, Any]:
    """What several servers of the same data have beside the facts of one."""
    if not any(database.copies for database in databases):
        return {"servers": {}}
    servers = {each.host: each.facts["address"] for each in databases if each.host in standing}
    known = {each.host: each.ca_pem for each in databases if each.host in standing}
    return {"servers": servers, "ca_pem": bundle(known)}


def _bastion(hosts: Sequence[Host]) -> Bastion | None:
    first, *others = [host.member.get("bastion") for host in hosts] or [None]
    if any(other != first for other in others):
        raise ValueError("export_facts: hosts: must all be behind the same bastion, or all behind none")
    return first


def _sites(hosts: Sequence[Host], sites: Mapping[str, SiteArgs]) -> dict[str, SitePlan]:
    """The sites, checked.

    Raises:
        ValueError: one is wrong, or a host's is missing.
    """
    for host in hosts:
        name, site = host.member["name"], host.member["site"]
        if sites and site not in sites:
            raise ValueError(f"export_facts: sites: {site!r} is missing, the site of {name}; known: {', '.join(sites)}")
    return {
        name: explain.build(SitePlan, site, explain.Place("export_facts: ", {"": explain.path_of(("sites", name))}))
        for name, site in sites.items()
    }


def _limits(hosts: Sequence[Host], sites: Iterable[str], limits: Mapping[str, Any]) -> Limits:
    """The limits, checked.

    Raises:
        ValueError: one is wrong, or between sites that are not there.
    """
    found = explain.build(Limits, limits, explain.Place("export_facts: ", {"": "limits"}))
    known = sorted({host.member["site"] for host in hosts}.union(sites))
    names = [host.member["name"] for host in hosts]
    # A worker's name has its generation, which its setting does not have.
    settings = [name.rpartition(".")[0] or name for name in names]
    if wrong := found.pairs_problem(known) or found.listeners_problem(known, {*names, *settings}):
        raise ValueError(f"export_facts: limits.{wrong}")
    return found


def _without_outputs(value: Any) -> Any:
    """The same without what is known only once hosts have answered."""
    if isinstance(value, pulumi.Output):
        return explain.UNKNOWN
    if isinstance(value, dict):
        return {name: _without_outputs(part) for name, part in value.items()}
    return value
