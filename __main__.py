"""The stack: settings, clouds, hosts, mesh, database, workers, edge, in this order, each made of those before."""

from pathlib import Path

import pulumi

from components import (
    DatabaseReplica,
    DatabaseWitness,
    DataFortress,
    EphemeralWorker,
    HAProxyEdge,
    Host,
    HostExporters,
    PasswordRotation,
    WireGuardMesh,
    export_facts,
    look_before_removal,
)
from program import arguments, clouds
from program.load import load
from program.rules import hold_rules
from program.standing import has_come_up

settings, secrets = load(pulumi.Config(), Path(__file__).parent)
# Nothing is registered before this: each resource is looked at before it is made, whoever asks for it.
hold_rules(settings, secrets.project)
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
databases: dict[str, DataFortress] = {}
for name in settings.database_hosts:
    before = [each.endpoint for each in list(databases.values())[-1:]] if one_by_one else []
    databases[name] = DataFortress(
        arguments.database_name(settings, name),
        arguments.database_args(settings, secrets, members, name, before),
        arguments.database_options(settings, sites, name),
    )
witness = None
if settings.witness:
    witness = DatabaseWitness(
        "witness",
        arguments.witness_args(settings, secrets, members, settings.witness, databases),
        arguments.lifetime(settings, sites, settings.witness),
    )
replicas: dict[str, DatabaseReplica] = {}
for name in arguments.joining_order(settings) if settings.copies else ():
    replicas[name] = DatabaseReplica(
        f"replica-{name}",
        arguments.replica_args(settings, secrets, members, name, databases, witness, list(replicas.values())),
        arguments.lifetime(settings, sites, name),
    )
served = [database.endpoint for database in (replicas or databases).values()]
workers: dict[str, EphemeralWorker] = {}
for name in settings.rollout_order:
    before = [worker.endpoint for worker in list(workers.values())[-1:]] if one_by_one else []
    workers[name] = EphemeralWorker(
        f"{settings.workload.name}-{name}",
        arguments.worker_args(settings, secrets, members, name, databases, [*served, *before]),
        arguments.lifetime(settings, sites, name),
    )
rotations = [
    PasswordRotation(
        f"{arguments.database_name(settings, name)}-passwords",
        arguments.rotation_args(secrets, members, name, databases, workers),
        arguments.lifetime(settings, sites, name),
    )
    for name in databases
]
edge_host = settings.edge_host
edge = HAProxyEdge(
    "edge",
    arguments.edge_args(settings, secrets, members, workers),
    arguments.lifetime(settings, sites, edge_host),
)
exporters = [
    HostExporters(
        f"exporters-{name}",
        arguments.exporters_args(settings, secrets, members, name, replicas or databases),
        arguments.lifetime(settings, sites, name),
    )
    for name in settings.monitored
]
services = [*databases.values(), *replicas.values(), *workers.values(), *rotations, edge, *exporters]
look_before_removal(hosts.values(), mesh, *services, *([witness] if witness else []))

pulumi.export("url", edge.url)
pulumi.export("sovereignty", arguments.declared(settings))
export_facts(
    hosts.values(),
    mesh,
    database=databases.pop(settings.database_host),
    copies=databases.values(),
    workers=workers.values(),
    edge=edge,
    exporters=exporters,
    guests=settings.edge.guests,
    sites=arguments.sites(settings),
    limits=settings.verify.model_dump(),
)
