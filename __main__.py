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
from program.standing import has_come_up

settings, secrets = load(pulumi.Config(), Path(__file__).parent)
# A release that does not come up stops at the first worker, before the primary site. At first there is nothing to lose.
one_by_one = has_come_up()

sites = clouds.build(settings, secrets.project, pulumi.Config())
hosts = {
    name: Host(name, arguments.host_args(settings, secrets, sites, name), arguments.host_options(settings, sites, name))
    for name in settings.members
}
mesh = WireGuardMesh(
    "mesh", arguments.mesh_args(settings, secrets, {name: host.member for name, host in hosts.items()})
)
members = {name: mesh.member(name) for name in hosts}
database_host, edge_host = settings.database_host, settings.edge_host
database = DataFortress(
    "db", arguments.database_args(settings, secrets, members), arguments.lifetime(settings, sites, database_host)
)
workers: dict[str, EphemeralWorker] = {}
for name in settings.rollout_order:
    before = [worker.endpoint for worker in list(workers.values())[-1:]] if one_by_one else []
    workers[name] = EphemeralWorker(
        f"{settings.workload.name}-{name}",
        arguments.worker_args(settings, secrets, members, name, database, before),
        arguments.lifetime(settings, sites, name),
    )
edge = HAProxyEdge(
    "edge",
    arguments.edge_args(settings, secrets, members, workers),
    arguments.lifetime(settings, sites, edge_host),
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
