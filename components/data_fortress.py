"""The database host: MariaDB on the tunnel's address, with a certificate authority whose key stays there."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NotRequired, TypedDict

import pulumi

from fortress import (
    access,
    activation,
    answers,
    firewall,
    galera,
    mariadb,
    monitoring,
    push,
    replication,
    wireguard,
)

from .checking import Facts, arguments, build, check, wrong
from .data_volume import VolumeArgs, check_volume, mount
from .database_backup import BackupArgs, check_backup, keep_backups
from .host_file import FileToPut, fragment_file, free, packages, program_file, put, put_together, script, script_file
from .remote import Member, Target, after, child_options, command, question, serving, version, with_depends_on


class AccountArgs(TypedDict):
    """One more account of a database server."""

    password: pulumi.Input[str]
    """Its password; secret."""
    privileges: NotRequired[Mapping[str, Sequence[str]]]
    """What it may do, by database."""
    role: NotRequired[str]
    """A role whose privileges it has beside its own, from its login on."""
    clients: NotRequired[Sequence[str]]
    """IPv4 networks that it may come from; the same as all clients when not given."""
    connections_per_client: NotRequired[int]
    """Connections that it may have open from one address, 200 when not given."""


class ClusterArgs(TypedDict):
    """A server's place in a Galera cluster."""

    members: Sequence[str]
    """Addresses in the mesh of all servers and of the witness, this one and those that are gone among them."""
    segment: NotRequired[int]
    """The number of its site, 0 when not given."""
    donors: NotRequired[Sequence[str]]
    """Hosts that it prefers to receive data from."""


class DataFortressArgs(TypedDict):
    """One database server."""

    host: Member
    """Where it runs: a `Host`'s `member`."""
    database: str
    """Name of the application's database."""
    user: str
    """Name of the application's account."""
    password: pulumi.Input[str]
    """Its password; secret."""
    clients: str
    """IPv4 network that clients come from: the mesh's."""
    privileges: NotRequired[list[str]]
    """What the account may do in its database; reading and writing rows when not given."""
    connections_per_client: NotRequired[int]
    """Connections that the account may have open from one address, 200 when not given."""
    databases: NotRequired[Sequence[str]]
    """Further databases."""
    roles: NotRequired[Mapping[str, Mapping[str, Sequence[str]]]]
    """Privileges that several accounts share: by role, then by database."""
    accounts: NotRequired[Mapping[str, AccountArgs]]
    """Further accounts."""
    old_passwords: NotRequired[str]
    """What becomes of a password that is changed: `end`, at once, when not given; `overlap`, it works too until a
    `PasswordRotation` ends it; or `keep`, it works too until this is one of the others."""
    buffer_pool_mb: NotRequired[int | None]
    """InnoDB's buffer pool in MB; 70 % of the host's memory when not given."""
    flush_log_at_commit: NotRequired[int]
    """1 when not given; 2 only together with `cross_cloud_copy`."""
    cross_cloud_copy: NotRequired[bool]
    """Whether a copy in another cloud is the goal."""
    keep_data: NotRequired[bool]
    """Whether the data outlives this component on the host, and its volume is protected; yes when not given."""
    variables: NotRequired[Mapping[str, str]]
    """Values of further variables of MariaDB, by name."""
    copies: NotRequired[bool]
    """Whether it is one of several servers with the same data, of which each is a `DataFortress` and has a
    `DatabaseReplica`; no when not given."""
    cluster: NotRequired[ClusterArgs | None]
    """With `copies`: its place in a Galera cluster, where the servers are one; else they follow one of them."""
    restarts_last: NotRequired[bool]
    """Of several servers: whether this one takes the writes, as far as the program knows, so that a change which
    restarts MariaDB reaches it last. A server that takes the writes refuses to restart before; no when not given."""
    waits_for: NotRequired[Sequence[pulumi.Input[str]]]
    """Endpoints of servers of the same data that must be at their place before anything of this one restarts."""
    upgrade_to: NotRequired[str | None]
    """A release of MariaDB, such as `11.8`, to which data of an older one may be upgraded without a fresh backup that
    was restored; none when not given."""
    volume: NotRequired[VolumeArgs | None]
    """A volume of its own for the data; on the root disk when not given."""
    backup: NotRequired[BackupArgs | None]
    """Where backups go; none are made when not given."""
    monitored: NotRequired[bool]
    """Whether a `HostExporters` with `database` on its host may log in, and read states; no when not given."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""


class DataFortress(pulumi.ComponentResource):
    """MariaDB, reachable through the tunnel and over TLS only."""

    address: pulumi.Output[str]
    """The address that clients connect to, inside the mesh."""
    ca_pem: pulumi.Output[str]
    """Certificate of the authority that signs the server's, PEM."""
    ready: pulumi.Output[bool]
    """True once the account can be used."""
    endpoint: pulumi.Output[str]
    """Its address in the mesh and port. What uses it waits until the account can be used."""
    accounts: pulumi.Output[str]
    """What the server answered when its accounts were last looked at: another text each time."""

    def __init__(self, name: str, args: DataFortressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("DataFortress", name, DataFortressArgs, args)
        host = args["host"]
        ram_mb = host["ram_mb"]
        # What does not fit the largest host is refused before this one has been asked.
        server = _server(args, ram_mb if isinstance(ram_mb, int | float) else mariadb.MOST_MEMORY_MB)
        check("DataFortress", name, _application(args), _authority(args), server)
        application = build("DataFortress", name, _application(args))
        if application.user in args.get("accounts", {}):
            raise wrong("DataFortress", name, f"accounts.{application.user}", "is `user`; give it another name")
        accounts = access.render(build("DataFortress", name, _accounts(args)))
        volume = args.get("volume")
        if volume is not None:
            check_volume("DataFortress", name, volume)
        backup = args.get("backup")
        if backup is not None:
            check_backup("DataFortress", name, backup)
        super().__init__("fortress:index:DataFortress", name, {}, opts)
        target: Target = {"member": host, "private_key": args.get("private_key")}
        options = child_options(self, opts)
        keep_data = bool(args.get("keep_data", True))
        copies, cluster = bool(args.get("copies", False)), args.get("cluster")
        beside = () if not copies else galera.PACKAGES if cluster else replication.PACKAGES
        late = serving(target, *args.get("waits_for", []))
        in_turn = f" && {replication.in_turn(last=bool(args.get('restarts_last')))}" if copies else ""
        names = mariadb.authority_arguments(build("DataFortress", name, _authority(args)))

        mounted = [mount(name, volume, target, options, keep_data=keep_data)] if volume is not None else []
        adopt = host.get("adopt", False)
        prepared = put_together(
            f"{name}-prepared",
            late if args.get("waits_for") else target,
            [
                FileToPut(
                    mariadb.DROP_IN_PATH,
                    mariadb.drop_in(),
                    check=f"{free('mariadb', mariadb.DATA_FOLDER, adopt=adopt)}{in_turn}",
                    apply=f"systemctl daemon-reload; {activation.restart_if_enabled('mariadb')}",
                    remove_apply="systemctl daemon-reload",
                ),
                fragment_file(
                    "30-database.nft",
                    firewall.Fragment(
                        title="MariaDB, for hosts of the mesh: who is a peer of this host is decided by its flows.",
                        rules=[
                            firewall.AcceptRule(
                                port=mariadb.PORT,
                                comment="MariaDB",
                                sources=[application.network],
                                interface=wireguard.INTERFACE,
                            )
                        ],
                    ),
                ),
                script_file("mariadb-authority"),
                program_file(access.SCRIPT, access.TOOL),
                program_file("mariadb_live.py", "mariadb-live"),
                _data_program(args.get("upgrade_to")),
                FileToPut(access.PATH, accounts),
            ],
            pulumi.ResourceOptions.merge(
                with_depends_on(options, *mounted),
                # Its removal takes the authority away, which was this resource's before decision 0026.
                pulumi.ResourceOptions(aliases=[pulumi.Alias(name=f"{name}-authority-removal")]),
            ),
            first=[packages("python3")],  # by which a program is looked at before it takes its place
            # Their installation starts MariaDB, which has its sandbox by then, and makes the data folder or takes over
            # the one that is there.
            then=[packages(*mariadb.PACKAGES, *beside), script(*push.UPGRADED)],
            before_removal=[script(*push.script("mariadb-authority", "remove"))],
        )
        authority = question(
            f"{name}-authority",
            target,
            lambda machine: push.for_machine(machine, *push.script("mariadb-authority", *names)),
            with_depends_on(options, prepared),
        )
        if copies:
            role_tool = put_together(
                f"{name}-role-tool",
                target,
                [
                    replace(
                        program_file(program, program),
                        apply=activation.restart_if_enabled(replication.UNIT),
                        remove_apply="true",
                    )
                    for program in replication.programs()
                ],
                with_depends_on(options, prepared),
            )
            start = put(
                f"{name}-91-fortress-start.cnf",
                target,
                replication.START_PATH,
                replication.render_start(),
                with_depends_on(options, prepared),
            )
            authority_and_start = [authority, role_tool, start]
        else:
            authority_and_start = [authority]
        config = put(
            f"{name}-90-fortress.cnf",
            late,
            mariadb.CONFIG_PATH,
            pulumi.Output.from_input(ram_mb).apply(
                lambda known: mariadb.render(build("DataFortress", name, _server(args, known)))
            ),
            with_depends_on(options, *authority_and_start),
            check=f"{mariadb.CONFIG_CHECK}; {push.in_force('mariadb-next', push.PUT_FILE)}{in_turn}",
            apply=f"{activation.live_or_restart('mariadb')} && {push.in_force('mariadb', push.PUT_FILE)}",
            remove_apply="systemctl -q disable --now mariadb",
            unit="mariadb",
        )
        account = command(
            f"{name}-account",
            target,
            lambda machine: push.for_machine(machine, *access.ensure(accounts)),
            with_depends_on(options, config),
            delete=lambda machine: push.for_machine(
                machine, *(push.REMOVE_ACCESS if keep_data else push.WIPE_DATABASE)
            ),
            stdin=pulumi.Output.secret(pulumi.Output.all(**_passwords(args)).apply(access.passwords)),
        )
        last = account
        if copies:
            # Until it has its place again, nothing of another server changes.
            last = command(
                f"{name}-settled",
                target,
                lambda machine: push.for_machine(machine, *replication.role("settled")),
                with_depends_on(options, account),
                stdin=config.stdout.apply(lambda said: version("mariadb", said)),
            )
        kept = keep_backups(name, backup, target, with_depends_on(options, last)) if backup is not None else None
        self.address = pulumi.Output.from_input(host["mesh_address"])
        self.ca_pem = pulumi.Output.unsecret(authority.stdout).apply(
            lambda said: answers.certificate(host["name"], said)
        )
        self.accounts = pulumi.Output.unsecret(account.stdout)
        self.ready = last.stdout.apply(lambda _: True)
        self.endpoint = after(f"{host['mesh_address']}:{mariadb.PORT}", last)
        self.host = host["name"]
        """Name of its host."""
        self.copies = copies
        """Whether it is one of several servers with the same data."""
        self.facts = {
            "host": self.host,
            "address": self.address,
            "port": mariadb.PORT,
            "name": application.database,
            "user": application.user,
            "accounts": [application.user, *args.get("accounts", {})],
            "ca_pem": self.ca_pem,
            "copy_wanted": bool(args.get("cross_cloud_copy", False)),
            **({"backup": kept} if kept else {}),
            **({"encrypted": True} if volume is not None and volume.get("encrypted") else {}),
        }
        """Its part of the output `fortress`, as `fortress.facts.DatabaseFacts` has it."""
        self.register_outputs(
            {
                "address": self.address,
                "ca_pem": self.ca_pem,
                "ready": self.ready,
                "endpoint": self.endpoint,
                "accounts": self.accounts,
            }
        )


def _data_program(upgrade_to: str | None) -> FileToPut:
    """What looks at data that are there before a server has them: it lands only where the one of this host may."""
    one = program_file("mariadb_data.py", "mariadb-data")
    words = shlex.join([mariadb.DATA_FOLDER, *([upgrade_to] if upgrade_to else [])])
    return replace(one, check=f"{one.check} && python3 -I {push.PUT_FILE} may-have {words}")


def _application(args: DataFortressArgs) -> Facts[access.Application]:
    values = {
        "database": args["database"],
        "user": args["user"],
        "network": args["clients"],
        "privileges": args.get("privileges"),
        "connections_per_client": args.get("connections_per_client"),
    }
    return Facts(access.Application, values, {"network": "clients"})


def _accounts(args: DataFortressArgs) -> Facts[access.Access]:
    """All accounts of the server, the application's among them."""
    own = {
        "networks": [args["clients"]],
        "privileges": {args["database"]: args.get("privileges") or list(mariadb.DEFAULT_PRIVILEGES)},
        "connections_per_client": args.get("connections_per_client") or access.CONNECTIONS_PER_CLIENT,
    }
    accounts = {args["user"]: own}
    for name, given in args.get("accounts", {}).items():
        facts = {key: value for key, value in given.items() if key not in ("password", "clients")}
        accounts[name] = {**facts, "networks": given.get("clients") or [args["clients"]]}
    values = {
        "databases": [args["database"], *args.get("databases", [])],
        "roles": args.get("roles"),
        "accounts": accounts,
        "old_passwords": args.get("old_passwords"),
        "local": _local(bool(args.get("monitored", False))),
    }
    return Facts(access.Access, values, {f"accounts.{name}.networks": f"accounts.{name}.clients" for name in accounts})


def _local(monitored: bool) -> dict[str, dict[str, object]]:
    """Accounts of programs of the host."""
    exporter = {"privileges": monitoring.PRIVILEGES, "connections": monitoring.CONNECTIONS}
    return {monitoring.ACCOUNT: exporter} if monitored else {}


def _passwords(args: DataFortressArgs) -> dict[str, pulumi.Input[str]]:
    """Passwords by account."""
    return {args["user"]: args["password"]} | {
        name: given["password"] for name, given in args.get("accounts", {}).items()
    }


def _authority(args: DataFortressArgs) -> Facts[mariadb.Authority]:
    host = args["host"]
    values = {
        "address": host["mesh_address"],
        "names": (host["name"],),
        "copies": args.get("copies"),
        "cluster": bool(args.get("cluster")),
    }
    return Facts(mariadb.Authority, values, {"address": "host.mesh_address", "names[0]": "host.name"})


def _server(args: DataFortressArgs, ram_mb: float) -> Facts[mariadb.Server]:
    """The server's facts on a host of this memory, in MB."""
    volume = args.get("volume")
    made = volume.get("openstack") if volume else None
    values = {
        "address": args["host"]["mesh_address"],
        "ram_mb": ram_mb,
        "buffer_pool_mb": args.get("buffer_pool_mb"),
        "innodb_flush_log_at_trx_commit": args.get("flush_log_at_commit"),
        "cross_cloud_copy": args.get("cross_cloud_copy"),
        "volume_gb": made["size_gb"] if made else None,
        "copies": args.get("copies"),
        "variables": args.get("variables"),
        "cluster": _cluster(args),
        "upgrade_to": args.get("upgrade_to"),
    }
    paths = {
        "volume_gb": "volume.openstack.size_gb",
        "address": "host.mesh_address",
        "ram_mb": "host.ram_mb",
        "innodb_flush_log_at_trx_commit": "flush_log_at_commit",
    }
    return Facts(mariadb.Server, values, paths)


def _cluster(args: DataFortressArgs) -> dict[str, object] | None:
    cluster = args.get("cluster")
    if cluster is None:
        return None
    return {
        "name": args["host"]["name"],
        "address": args["host"]["mesh_address"],
        "segment": cluster.get("segment", 0),
        "members": tuple(cluster["members"]),
        "donors": tuple(cluster.get("donors", ())),
    }
