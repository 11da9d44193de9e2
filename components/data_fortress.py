"""The database host: MariaDB on the tunnel's address, with a certificate authority whose key stays there."""

from typing import NotRequired, TypedDict

import pulumi

from fortress import activation, answers, firewall, mariadb, push, wireguard

from .checking import Facts, arguments, build, check
from .data_volume import VolumeArgs, check_volume, mount
from .host_file import free, put, put_fragment, put_script
from .remote import Member, Target, after, child_options, command, question, serving, with_depends_on


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
    buffer_pool_mb: NotRequired[int | None]
    """InnoDB's buffer pool in MB; 70 % of the host's memory when not given."""
    flush_log_at_commit: NotRequired[int]
    """1 when not given; 2 only together with `cross_cloud_copy`."""
    cross_cloud_copy: NotRequired[bool]
    """Whether a copy in another cloud is the goal."""
    keep_data: NotRequired[bool]
    """Whether the data outlives this component on the host, and its volume is protected; yes when not given."""
    volume: NotRequired[VolumeArgs | None]
    """A volume of its own for the data; on the root disk when not given."""
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

    def __init__(self, name: str, args: DataFortressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("DataFortress", name, DataFortressArgs, args)
        host = args["host"]
        ram_mb = host["ram_mb"]
        # What does not fit the largest host is refused before this one has been asked.
        server = _server(args, ram_mb if isinstance(ram_mb, int | float) else mariadb.MOST_MEMORY_MB)
        check("DataFortress", name, _access(args), _authority(host), server)
        access = build("DataFortress", name, _access(args))
        volume = args.get("volume")
        if volume is not None:
            check_volume("DataFortress", name, volume)
        super().__init__("fortress:index:DataFortress", name, {}, opts)
        target: Target = {"member": host, "private_key": args.get("private_key")}
        options = child_options(self, opts)
        keep_data = bool(args.get("keep_data", True))
        account_facts = mariadb.access_arguments(access)
        names = mariadb.authority_arguments(build("DataFortress", name, _authority(host)))

        mounted = [mount(name, volume, target, options, keep_data=keep_data)] if volume is not None else []
        adopt = host.get("adopt", False)
        # Before the package, whose installation starts MariaDB: by then it has its sandbox.
        drop_in = put(
            f"{name}-after-tunnel",
            target,
            mariadb.DROP_IN_PATH,
            mariadb.drop_in(),
            with_depends_on(options, *mounted),
            check=free("mariadb", mariadb.DATA_FOLDER, adopt=adopt),
            apply=f"systemctl daemon-reload; {activation.restart_if_enabled('mariadb')}",
            remove_apply="systemctl daemon-reload",
        )
        packages = command(
            f"{name}-packages",
            target,
            lambda machine: push.Packages(machine=machine, names=mariadb.PACKAGES).render(),
            # Their installation makes the data folder, or takes over the one that is there.
            with_depends_on(options, drop_in),
        )
        authority_tool = put_script(f"{name}-authority-tool", target, "mariadb-authority", options)
        access_tool = put_script(f"{name}-access-tool", target, "mariadb-access", options)
        authority = question(
            f"{name}-authority",
            target,
            lambda machine: push.for_machine(machine, *push.script("mariadb-authority", *names)),
            with_depends_on(options, packages, authority_tool),
            delete=lambda machine: push.for_machine(machine, *push.script("mariadb-authority", "remove")),
        )
        config = put(
            f"{name}-90-fortress.cnf",
            serving(target),
            mariadb.CONFIG_PATH,
            pulumi.Output.from_input(ram_mb).apply(
                lambda known: mariadb.render(build("DataFortress", name, _server(args, known)))
            ),
            with_depends_on(options, authority),
            check=f"{mariadb.CONFIG_CHECK}; {push.in_force('mariadb-next', push.PUT_FILE)}",
            apply=f"{activation.enable_and_restart('mariadb')} && {push.in_force('mariadb', push.PUT_FILE)}",
            remove_apply="systemctl -q disable --now mariadb",
            unit="mariadb",
        )
        opened = put_fragment(
            f"{name}-firewall",
            target,
            "30-database.nft",
            firewall.Fragment(
                title="MariaDB, for hosts of the mesh: who is a peer of this host is decided by its flows.",
                rules=[
                    firewall.AcceptRule(
                        port=mariadb.PORT,
                        comment="MariaDB",
                        sources=[access.network],
                        interface=wireguard.INTERFACE,
                    )
                ],
            ),
            options,
        )
        account = command(
            f"{name}-account",
            target,
            lambda machine: push.for_machine(machine, *push.script("mariadb-access", *account_facts)),
            with_depends_on(options, access_tool, config, opened),
            delete=lambda machine: push.for_machine(
                machine, *(push.script("mariadb-access", "remove") if keep_data else push.WIPE_DATABASE)
            ),
            stdin=pulumi.Output.secret(args["password"]),
        )
        self.address = pulumi.Output.from_input(host["mesh_address"])
        self.ca_pem = pulumi.Output.unsecret(authority.stdout).apply(
            lambda said: answers.certificate(host["name"], said)
        )
        self.ready = account.stdout.apply(lambda _: True)
        self.endpoint = after(f"{host['mesh_address']}:{mariadb.PORT}", account)
        self.host = host["name"]
        """Name of its host."""
        self.facts = {
            "host": self.host,
            "address": self.address,
            "port": mariadb.PORT,
            "name": access.database,
            "user": access.user,
            "ca_pem": self.ca_pem,
            "copy_wanted": bool(args.get("cross_cloud_copy", False)),
        }
        """Its part of the output `fortress`, as `fortress.facts.DatabaseFacts` has it."""
        self.register_outputs(
            {"address": self.address, "ca_pem": self.ca_pem, "ready": self.ready, "endpoint": self.endpoint}
        )


def _access(args: DataFortressArgs) -> Facts[mariadb.Access]:
    values = {
        "database": args["database"],
        "user": args["user"],
        "network": args["clients"],
        "privileges": args.get("privileges"),
        "connections_per_client": args.get("connections_per_client"),
    }
    return Facts(mariadb.Access, values, {"network": "clients"})


def _authority(host: Member) -> Facts[mariadb.Authority]:
    values = {"address": host["mesh_address"], "names": (host["name"],)}
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
    }
    paths = {
        "volume_gb": "volume.openstack.size_gb",
        "address": "host.mesh_address",
        "ram_mb": "host.ram_mb",
        "innodb_flush_log_at_trx_commit": "flush_log_at_commit",
    }
    return Facts(mariadb.Server, values, paths)
