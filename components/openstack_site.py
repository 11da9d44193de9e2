"""What an OpenStack project holds for the machines of one site: network, security groups, key pair."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

import pulumi

from fortress import cloud, haproxy

from . import sdk
from .checking import Facts, arguments, build, facts_of, wrong
from .remote import child_options

WORLD = {4: "0.0.0.0/0", 6: "::/0"}
VERSIONS: tuple[Literal[4, 6], ...] = (4, 6)


class OpenStackNewNetwork(TypedDict):
    """A network that is made, with a router that leads out."""

    cidr: str
    """IPv4 range of its subnet."""
    dns: list[str]
    """Name servers that its machines are given; the cloud's own when empty."""


class OpenStackExistingNetwork(TypedDict):
    """A network that is there, and leads out by itself."""

    network_id: pulumi.Input[str]
    """The network."""
    subnet_id: pulumi.Input[str]
    """Its subnet for machines."""


class OpenStackSiteArgs(TypedDict):
    """A site of an OpenStack project. Exactly one of `network` and `existing` is given."""

    external_network_id: pulumi.Input[str]
    """Where the router of a network that is made leads."""
    network: NotRequired[OpenStackNewNetwork | None]
    """The network to be made."""
    existing: NotRequired[OpenStackExistingNetwork | None]
    """The network that is there."""
    operators: list[str]
    """Address ranges that may open SSH connections; never the whole world. Known at once: rules are named by them."""
    ssh_port: NotRequired[int]
    """TCP port of SSH, 22 when not given."""
    mesh_port: NotRequired[int]
    """UDP port of WireGuard, 51820 when not given."""
    key_pair: str
    """Name of the key pair for first logins."""
    public_key: NotRequired[pulumi.Input[str] | None]
    """Its SSH public key, and the pair is made from it; when not given, the project has one of that name."""
    name_prefix: NotRequired[str | None]
    """Put before the names in the project of all that is made, with a hyphen, since another stack there may have the
    same; none when not given. The key pair's name is as it is given."""
    anti_affinity: NotRequired[bool]
    """Whether a server group keeps machines on different hypervisors."""


class OpenStackSite(pulumi.ComponentResource):
    """Machines take its ids, and wait for the whole of it by `depends_on`: for rules, router and key pair."""

    network_id: pulumi.Output[str]
    """The network of its machines."""
    subnet_id: pulumi.Output[str]
    """The subnet of its machines."""
    key_pair: pulumi.Output[str]
    """Name of the key pair. No machine is replaced with the pair: a new key reaches new machines only."""
    internal_group_id: pulumi.Output[str]
    """For every machine: SSH from operators, ICMP, and the way out."""
    hub_group_id: pulumi.Output[str]
    """For hubs of the mesh: WireGuard from everywhere."""
    edge_group_id: pulumi.Output[str]
    """For the edge: HTTP and HTTPS from everywhere."""

    def __init__(self, name: str, args: OpenStackSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the site, or look up what exists of it.

        Raises:
            ValueError: not exactly one network is given, or operators are the whole world.
        """
        args = arguments("OpenStackSite", name, OpenStackSiteArgs, args)
        network, existing = args.get("network"), args.get("existing")
        plan = build("OpenStackSite", name, _plan(args))
        if (network is None) == (existing is None):
            raise wrong("OpenStackSite", name, "network", "set either network, to create one, or existing, to use one")
        super().__init__("fortress:index:OpenStackSite", name, {}, opts)
        options = child_options(self, opts)
        prefix = plan.name_prefix
        self.routed: pulumi.Resource | None = None
        """The router's interface: without it no floating address reaches the network. None where none is made."""
        if network is not None:
            self._make_network(name, network, args["external_network_id"], prefix, options)
        elif existing is not None:
            self.network_id = pulumi.Output.from_input(existing["network_id"])
            self.subnet_id = pulumi.Output.from_input(existing["subnet_id"])
        ssh_port, mesh_port = plan.ssh_port, plan.mesh_port

        internal = _group(
            f"{name}-internal",
            cloud.prefixed(prefix, "secure-internal"),
            "Every machine: SSH from operators, ICMP",
            options,
        )
        for operators in cloud.operator_ranges(plan):
            _open(
                f"{name}-internal-ssh-{cloud.label(operators)}",
                internal,
                operators.version,
                str(operators),
                "SSH from operators",
                options,
                "tcp",
                ssh_port,
            )
        hub = _group(f"{name}-hub", cloud.prefixed(prefix, f"{name}-hub"), "Hubs of the mesh: WireGuard", options)
        edge = _group(f"{name}-edge", cloud.prefixed(prefix, f"{name}-edge"), "The edge: HTTP and HTTPS", options)
        for version in VERSIONS:
            world = WORLD[version]
            # Paths say by ICMP how wide they are.
            icmp = "icmp" if version == 4 else "ipv6-icmp"
            _open(f"{name}-internal-icmp-ipv{version}", internal, version, world, "ICMP", options, icmp)
            sdk.openstack.networking.SecGroupRule(
                f"{name}-internal-out-ipv{version}",
                security_group_id=internal.id,
                direction="egress",
                ethertype=f"IPv{version}",
                description="The way out",
                opts=options,
            )
            _open(f"{name}-hub-mesh-ipv{version}", hub, version, world, "WireGuard", options, "udp", mesh_port)
            _open(f"{name}-edge-http-ipv{version}", edge, version, world, "HTTP", options, "tcp", haproxy.HTTP_PORT)
            _open(f"{name}-edge-https-ipv{version}", edge, version, world, "HTTPS", options, "tcp", haproxy.HTTPS_PORT)
        self.internal_group_id, self.hub_group_id, self.edge_group_id = internal.id, hub.id, edge.id

        if (public_key := args.get("public_key")) is not None:
            sdk.openstack.compute.Keypair(
                f"{name}-key",
                name=args["key_pair"],
                public_key=public_key,
                # Two pairs cannot have one name.
                opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(delete_before_replace=True)),
            )
        # The name and not the pair's output: the engine replaces what takes a value of something replaced.
        self.key_pair = pulumi.Output.from_input(args["key_pair"])
        self.server_group_id: pulumi.Output[str] | None = None
        """The server group, where anti-affinity was asked for."""
        if args.get("anti_affinity", False):
            apart = sdk.openstack.compute.ServerGroup(
                f"{name}-apart", name=cloud.prefixed(prefix, f"{name}-apart"), policies="anti-affinity", opts=options
            )
            self.server_group_id = apart.id
        self.register_outputs(
            {
                "network_id": self.network_id,
                "subnet_id": self.subnet_id,
                "key_pair": self.key_pair,
                "internal_group_id": self.internal_group_id,
                "hub_group_id": self.hub_group_id,
                "edge_group_id": self.edge_group_id,
                "server_group_id": self.server_group_id,
            }
        )

    def _make_network(
        self,
        name: str,
        args: OpenStackNewNetwork,
        external: pulumi.Input[str],
        prefix: str | None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        network = sdk.openstack.networking.Network(
            f"{name}-network",
            name=cloud.prefixed(prefix, f"{name}-network"),
            admin_state_up=True,
            tags=cloud.TAGS,
            opts=opts,
        )
        subnet = sdk.openstack.networking.Subnet(
            f"{name}-subnet",
            name=cloud.prefixed(prefix, f"{name}-subnet"),
            network_id=network.id,
            cidr=args["cidr"],
            ip_version=4,
            dns_nameservers=args["dns"] or None,
            tags=cloud.TAGS,
            opts=opts,
        )
        router = sdk.openstack.networking.Router(
            f"{name}-router",
            name=cloud.prefixed(prefix, f"{name}-router"),
            external_network_id=external,
            tags=cloud.TAGS,
            opts=opts,
        )
        self.routed = sdk.openstack.networking.RouterInterface(
            f"{name}-routed", router_id=router.id, subnet_id=subnet.id, opts=opts
        )
        self.network_id, self.subnet_id = network.id, subnet.id


def _plan(args: OpenStackSiteArgs) -> Facts[cloud.OpenStackPlan]:
    network: Mapping[str, Any] = args.get("network") or {}
    paths = {"cidr": "network.cidr", "dns": "network.dns"}
    return facts_of(cloud.OpenStackPlan, args, paths, cidr=network.get("cidr"), dns=network.get("dns"))


def _group(
    name: str, group: str, description: str, opts: pulumi.ResourceOptions
) -> "sdk.openstack.networking.SecGroup":
    return sdk.openstack.networking.SecGroup(
        name, name=group, description=description, delete_default_rules=True, tags=cloud.TAGS, opts=opts
    )


def _open(
    name: str,
    group: "sdk.openstack.networking.SecGroup",
    version: int,
    source: str,
    description: str,
    opts: pulumi.ResourceOptions,
    protocol: str,
    port: int | None = None,
) -> None:
    sdk.openstack.networking.SecGroupRule(
        name,
        security_group_id=group.id,
        direction="ingress",
        ethertype=f"IPv{version}",
        protocol=protocol,
        port_range_min=port,
        port_range_max=port,
        remote_ip_prefix=source,
        description=description,
        opts=opts,
    )
