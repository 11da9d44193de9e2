"""The stack: settings, clouds, hosts, mesh, database, workers, edge, in this order, each made of those before."""

from pathlib import Path

import pulumi

from components import (
    DataFortress,
    EphemeralWorker,
    HAProxyEdge,
    Host,
    WireGuardMesh,
    export_facts,
    look_before_removal,
)
from program import arguments, clouds
from program.load import load

settings, secrets = load(pulumi.Config(), Path(__file__).parent)

sites = clouds.build(settings, secrets.project, pulumi.Config())
hosts = {
    name: Host(name, arguments.host_args(settings, secrets, sites, name), arguments.host_options(settings, sites, name))
    for name in settings.members
}
mesh = WireGuardMesh(
    "mesh", arguments.mesh_args(settings, secrets, {name: host.member for name, host in hosts.items()})
)
members = {name: mesh.member(name) for name in hosts}


def on(name: str, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
    """Options of a service on a host: it comes after these."""
    return pulumi.ResourceOptions.merge(
        arguments.lifetime(settings, sites, name), pulumi.ResourceOptions(depends_on=[*needs])
    )


database_host, edge_host = settings.database_host, settings.edge_host
database = DataFortress("db", arguments.database_args(settings, secrets, members), on(database_host))
workers: dict[str, EphemeralWorker] = {}
for name in settings.rollout_order:
    workers[name] = EphemeralWorker(
        f"{settings.workload.name}-{name}",
        arguments.worker_args(settings, secrets, members, name, database),
        # One after the other: a release that does not come up stops at the first, before the primary site.
        on(name, database.last, *[worker.last for worker in list(workers.values())[-1:]]),
    )
edge = HAProxyEdge(
    "edge",
    arguments.edge_args(settings, secrets, members),
    on(edge_host, *[worker.last for worker in workers.values()]),
)
for name, service in {database_host: database, edge_host: edge, **workers}.items():
    look_before_removal(hosts[name], mesh.parts[name], service)

pulumi.export("url", edge.url)
export_facts(
    hosts.values(),
    mesh,
    database=database,
    workers=workers.values(),
    edge=edge,
    guests=settings.edge.guests,
    sites=arguments.sites(settings),
    limits=settings.verify.model_dump(),
)
