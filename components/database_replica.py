"""One of several servers with the same data: who the others are, the service that decides who takes the writes, and its
place among them."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi

from fortress import activation, firewall, galera, push, replication, wireguard

from .checking import Facts, arguments, build, check, wrong
from .host_file import put, put_fragment
from .remote import Member, Target, after, child_options, command, serving, version, with_depends_on


class ServerArgs(TypedDict):
    """A server of the database, as the others see it."""

    address: str
    """Its address in the mesh."""
    ca_pem: pulumi.Input[str]
    """A `DataFortress`'s `ca_pem`."""


class DatabaseReplicaArgs(TypedDict):
    """What one server of several has, beside its `DataFortress`."""

    host: Member
    """Where it runs: a `Host`'s `member`."""
    servers: Mapping[str, ServerArgs]
    """Every server of the database by its host's name, itself among them; without those that are gone."""
    network: str
    """IPv4 network that servers and clients come from: the mesh's."""
    password: NotRequired[pulumi.Input[str] | None]
    """By which the servers read from each other; secret. Members of a cluster have none."""
    cluster: NotRequired[Sequence[str] | None]
    """Of a Galera cluster: addresses in the mesh of its servers and of its witness."""
    witness: NotRequired[ServerArgs | None]
    """Its witness, where it has one that is not gone."""
    first: bool
    """Whether it takes the writes where no server ever did."""
    endpoint: pulumi.Input[str]
    """The `endpoint` of its `DataFortress`."""
    waits_for: NotRequired[Sequence[pulumi.Input[str]]]
    """Endpoints of members that join the cluster before it."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""


class DatabaseReplica(pulumi.ComponentResource):
    """A server at its place: it takes the writes, or copies from the one that does.

    A copy that has no data yet gets the primary's through the tunnel. Who the primary is, is the servers' own truth,
    and none of the arguments changes it.
    """

    endpoint: pulumi.Output[str]
    """Its address in the mesh and port. What uses it waits until the server has its place."""

    def __init__(self, name: str, args: DatabaseReplicaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("DatabaseReplica", name, DatabaseReplicaArgs, args)
        host = args["host"]
        check("DatabaseReplica", name, _servers(args), *_voter(args))
        servers = build("DatabaseReplica", name, _servers(args))
        super().__init__("fortress:index:DatabaseReplica", name, {}, opts)
        target: Target = {"member": host, "private_key": args.get("private_key")}
        late = serving(target, args["endpoint"])
        options = child_options(self, opts)
        restart = activation.restart_if_enabled(replication.UNIT)
        cluster = args.get("cluster")
        listed = put(
            f"{name}-servers.json",
            late,
            replication.SERVERS_PATH,
            replication.render_servers(servers),
            options,
            apply=restart,
        )
        known = {server: facts["ca_pem"] for server, facts in args["servers"].items()}
        if witness := args.get("witness"):
            known[WITNESS] = witness["ca_pem"]
        trusted = put(f"{name}-ca.pem", late, replication.CA_PATH, bundle(known), options, apply=restart)
        pushed = [listed, trusted]
        if not cluster:
            given = args.get("password")
            if given is None:
                raise wrong("DatabaseReplica", name, "password", "missing; only members of a cluster need none")
            pushed.append(
                put(
                    f"{name}-replication-password",
                    late,
                    replication.PASSWORD_PATH,
                    pulumi.Output.secret(given),
                    options,
                    mode="0400",
                    apply=restart,
                )
            )
        opened = put_fragment(
            f"{name}-firewall",
            target,
            "31-database-role.nft",
            firewall.Fragment(
                title="Which server takes the writes, for hosts of the mesh: who is a peer is decided by flows.",
                rules=[
                    firewall.AcceptRule(
                        port=replication.PORT,
                        comment="database role",
                        sources=[args["network"]],
                        interface=wireguard.INTERFACE,
                    ),
                    *_between_members(host["mesh_address"], cluster or ()),
                ],
            ),
            options,
        )
        unit = put(
            f"{name}-service",
            late,
            replication.UNIT_PATH,
            replication.render_unit(cluster=bool(cluster)),
            with_depends_on(options, *pushed),
            apply=f"systemctl daemon-reload && {activation.enable_and_restart(replication.UNIT)}",
            remove_apply=(
                f"systemctl -q disable --now {replication.UNIT}; systemctl daemon-reload; "
                f"rm -rf {replication.RUN_FOLDER}"
            ),
            unit=replication.UNIT,
        )
        words = replication.role("join", *(("--first",) if args["first"] else ()))
        joined = command(
            f"{name}-joined",
            serving(target, args["endpoint"], *args.get("waits_for", [])),
            lambda machine: push.for_machine(machine, *words),
            with_depends_on(options, unit, opened),
            delete=lambda machine: push.for_machine(machine, *replication.role("leave")),
            # The command does not read it: another list, authority or password is followed by another look.
            stdin=pulumi.Output.unsecret(pulumi.Output.all(*(each.stdout for each in pushed), unit.stdout)).apply(
                lambda answers: version("replica", *answers)
            ),
        )
        self.endpoint = after(pulumi.Output.from_input(args["endpoint"]), joined)
        self.host = host["name"]
        """Name of its host."""
        self.register_outputs({"endpoint": self.endpoint})


WITNESS = "witness"


def _between_members(own: str, members: Sequence[str]) -> list[firewall.AcceptRule]:
    others = [each for each in members if each != own]
    words = {
        galera.GROUP_PORT: "Galera",
        galera.MISSING_PORT: "Galera: what was missed",
        galera.STATE_PORT: "Galera: all data",
    }
    return [
        firewall.AcceptRule(port=port, comment=comment, sources=others, interface=wireguard.INTERFACE)
        for port, comment in words.items()
        if others
    ]


def bundle(authorities: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    """The certificates of all servers' authorities, in the order of their names: whichever server answers is known."""
    return pulumi.Output.all(*(authorities[name] for name in sorted(authorities))).apply(
        lambda known: "".join(f"{pem.strip()}\n" for pem in known)
    )


def _voter(args: DatabaseReplicaArgs) -> list[Facts[galera.Voter]]:
    """Of a cluster: the addresses that the firewall is opened to."""
    host, cluster = args["host"], args.get("cluster")
    if not cluster:
        return []
    values = {"name": host["name"], "address": host["mesh_address"], "members": tuple(cluster)}
    paths = {"name": "host.name", "address": "host.mesh_address", "members": "cluster"}
    return [Facts(galera.Voter, values, paths)]


def _servers(args: DatabaseReplicaArgs) -> Facts[replication.Servers]:
    values = {
        "me": args["host"]["name"],
        "servers": {name: server["address"] for name, server in args["servers"].items()},
        "network": args["network"],
        "cluster": bool(args.get("cluster")),
        "witness": bool(args.get("witness")),
    }
    return Facts(replication.Servers, values, {"me": "host.name"})
