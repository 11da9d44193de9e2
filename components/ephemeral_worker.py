"""A worker: a workload that reaches the fortress through the tunnel, on a host that may be thrown away."""

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NotRequired, TypedDict

import pulumi

from fortress import activation, firewall, mariadb, push, replication, wireguard, workload

from .checking import Facts, arguments, build, check, wrong
from .database_client import put_listener
from .host_file import FileToPut, fragment_file, packages, put_together
from .remote import Member, Target, after, child_options, command, serving, version, with_depends_on


class WorkloadArgs(TypedDict):
    """What runs."""

    name: str
    """Name of the systemd unit."""
    command: str
    """Absolute path of the program and its arguments."""
    port: int
    """TCP port that it listens on, at the host's mesh address."""
    health: str
    """URL path that answers 200 while it can work."""
    packages: NotRequired[list[str]]
    """Debian packages that it needs."""
    files: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Path on the host: text, which lands byte for byte."""
    binary_files: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Path on the host: base64 of what is no text."""
    environment: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Variables besides the FORTRESS_ ones; nothing secret."""
    healthy_within_s: NotRequired[int]
    """Seconds until it must be healthy, 60 when not given."""


class DatabaseArgs(TypedDict):
    """The database as a client sees it."""

    address: pulumi.Input[str]
    """A `DataFortress`'s `address`."""
    port: int
    """TCP port."""
    name: str
    """Database."""
    user: str
    """Account."""
    ca_pem: pulumi.Input[str]
    """A `DataFortress`'s `ca_pem`; of several servers all of them, one behind the other."""
    servers: NotRequired[Mapping[str, str] | None]
    """Where it has several servers with the same data: host's name to address in the mesh. The workload then connects
    to a proxy on its own host, which leads to the one that takes the writes."""


class EphemeralWorkerArgs(TypedDict):
    """One worker."""

    host: Member
    """Where it runs: a `Host`'s `member`."""
    workload: WorkloadArgs
    """What runs."""
    clients: list[str]
    """Mesh addresses that may connect to it: the edge's."""
    database: NotRequired[DatabaseArgs | None]
    """Where its data is; the workload has no database when not given."""
    database_password: NotRequired[pulumi.Input[str] | None]
    """Secret, needed with `database`; the workload reads it from $CREDENTIALS_DIRECTORY/database-password."""
    waits_for: NotRequired[Sequence[pulumi.Input[str]]]
    """Endpoints of what must serve before anything of the workload changes: the database's, and of the worker before it
    where they follow each other."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""


class EphemeralWorker(pulumi.ComponentResource):
    """A workload under systemd, sandboxed, healthy before anything depends on it."""

    ready: pulumi.Output[bool]
    """True once the workload has answered its health check."""
    endpoint: pulumi.Output[str]
    """Its address in the mesh and port, as an edge takes it. What uses it waits until the workload is healthy."""

    def __init__(self, name: str, args: EphemeralWorkerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("EphemeralWorker", name, EphemeralWorkerArgs, args)
        host, work, database = args["host"], args["workload"], args.get("database")
        password = args.get("database_password")
        if (database is None) != (password is None):
            raise wrong("EphemeralWorker", name, "database", "give it together with database_password, or neither")
        reach = _reach(args)
        place: list[Facts[Any]] = []
        if database is not None:
            plain = {key: value for key, value in database.items() if key != "servers"}
            place.append(Facts(workload.Database, plain, {"": "database"}))
            if servers := database.get("servers"):
                # The mesh's network is no argument of a worker, and nothing here is made from it.
                known = {"me": next(iter(servers)), "servers": servers, "network": "10.0.0.0/8"}
                place.append(Facts(replication.Servers, known, {"": "database"}))
        check("EphemeralWorker", name, Facts(workload.WorkloadFiles, work, {"": "workload"}), reach, *place)
        rule = build("EphemeralWorker", name, reach)
        super().__init__("fortress:index:EphemeralWorker", name, {}, opts)
        target: Target = {"member": host, "private_key": args.get("private_key")}
        late = serving(target, *args.get("waits_for", []))
        options = child_options(self, opts)
        folder = _folder(args)
        gated = partial(
            FileToPut,
            apply=activation.restart_at_the_gate(work["name"]),
            remove_apply=activation.restart_if_enabled(work["name"]),
        )
        secrets = []
        if database is not None and password is not None:
            # Together, though one is no secret: both come from the database, and neither is known before it stands.
            secrets = [
                put_together(
                    f"{name}-credentials",
                    late,
                    [
                        gated(f"{folder}/database-ca.pem", database["ca_pem"]),
                        gated(f"{folder}/database-password", pulumi.Output.secret(password), mode="0400"),
                    ],
                    options,
                )
            ]
        ways: list[pulumi.Resource] = []
        if database is not None and (servers := database.get("servers")):
            ways.append(put_listener(name, target, late, servers, database["ca_pem"], options))
        place_of_database = database["address"] if database else None
        if ways:
            place_of_database = mariadb.CLIENT_ADDRESS
        service = pulumi.Output.all(place_of_database, work.get("environment", {})).apply(
            lambda known: workload.render(build("EphemeralWorker", name, _unit(args, *known)))
        )
        unit = put_together(
            f"{name}-files",
            late,
            [
                fragment_file(
                    f"30-{work['name']}.nft",
                    firewall.Fragment(title="The workload, for the edge.", rules=[rule]),
                ),
                *(
                    gated(path, content, send=send)
                    for given, send in ((work.get("files"), push.exact), (work.get("binary_files"), push.in_base64))
                    for path, content in (given or {}).items()
                ),
                FileToPut(
                    f"/etc/systemd/system/{work['name']}.service",
                    service,
                    apply=activation.enable_and_restart_gated(work["name"]),
                    remove_apply=f"systemctl -q disable --now {shlex.quote(work['name'])}; systemctl daemon-reload",
                    unit=work["name"],
                ),
            ],
            with_depends_on(options, *secrets, *ways),
            first=[packages("python3", *work.get("packages", []))],
        )
        url = f"http://{host['mesh_address']}:{rule.port}{work['health']}"
        limit = str(work.get("healthy_within_s") or 60)
        healthy = command(
            f"{name}-healthy",
            late,
            lambda machine: push.for_machine(machine, *push.HEALTH_GATE, url, limit, work["name"]),
            with_depends_on(options, unit),
            # The command does not read it. No two puts answer alike, so each is followed by the gate, also one that
            # brings back what stood before a release that failed there.
            stdin=pulumi.Output.unsecret(pulumi.Output.all(*(each.stdout for each in (unit, *secrets)))).apply(
                lambda answers: version("workload", *answers)
            ),
        )
        self.ready = healthy.stdout.apply(lambda _: True)
        self.endpoint = after(f"{host['mesh_address']}:{rule.port}", healthy)
        self.host = host["name"]
        """Name of its host."""
        self.port = rule.port
        """TCP port that the workload listens on."""
        self.uses_database = database is not None
        """Whether its workload has a database."""
        self.register_outputs({"ready": self.ready, "endpoint": self.endpoint})


def _reach(args: EphemeralWorkerArgs) -> Facts[firewall.AcceptRule]:
    work = args["workload"]
    values = {
        "port": work["port"],
        "comment": work["name"],
        "sources": list(args["clients"]),
        "interface": wireguard.INTERFACE,
    }
    return Facts(
        firewall.AcceptRule, values, {"port": "workload.port", "comment": "workload.name", "sources": "clients"}
    )


def _folder(args: EphemeralWorkerArgs) -> str:
    return f"/etc/fortress/{args['workload']['name']}"


def _unit(
    args: EphemeralWorkerArgs, database_address: str | None, environment: Mapping[str, str]
) -> Facts[workload.Unit]:
    host, work, database = args["host"], args["workload"], args.get("database")
    values: dict[str, Any] = {
        "name": work["name"],
        "command": work["command"],
        "port": work["port"],
        "environment": {
            **environment,
            "FORTRESS_HOST": host["name"],
            "FORTRESS_SITE": host["site"],
            "FORTRESS_LISTEN": f"{host['mesh_address']}:{work['port']}",
        },
    }
    if database is not None:
        values["environment"] |= {
            "FORTRESS_DATABASE_ADDRESS": database_address,
            "FORTRESS_DATABASE_PORT": str(database["port"]),
            "FORTRESS_DATABASE_NAME": database["name"],
            "FORTRESS_DATABASE_USER": database["user"],
            "FORTRESS_DATABASE_CA": f"{_folder(args)}/database-ca.pem",
        }
        values["credentials"] = {"database-password": f"{_folder(args)}/database-password"}
    return Facts(workload.Unit, values, {"": "workload"})
