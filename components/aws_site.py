"""What an AWS account holds for the machines of one site: VPC, security group, key pair."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any, NotRequired, TypedDict

import pulumi

from fortress import cloud

from . import sdk
from .checking import Facts, arguments, build, facts_of, wrong
from .remote import child_options

WORLD_IPV4, WORLD_IPV6 = "0.0.0.0/0", "::/0"


class AwsNewNetwork(TypedDict):
    """A VPC that is made, with a public subnet a zone."""

    cidr: str
    """Its IPv4 range, parted into eight by the letters of zones."""
    ipv6: NotRequired[bool]
    """Whether AWS gives it an IPv6 range too."""


class AwsExistingNetwork(TypedDict):
    """A VPC that is there, with subnets that lead out."""

    vpc_id: pulumi.Input[str]
    """The VPC."""
    subnets: Mapping[str, pulumi.Input[str]]
    """Its subnet for machines, by zone."""


class AwsSiteArgs(TypedDict):
    """A site of an AWS account. Exactly one of `network` and `existing` is given."""

    network: NotRequired[AwsNewNetwork | None]
    """The VPC to be made."""
    existing: NotRequired[AwsExistingNetwork | None]
    """The VPC that is there."""
    zones: list[str]
    """Zones in use, such as eu-central-1a."""
    operators: list[str]
    """Address ranges that may open SSH connections; never the whole world. Known at once: rules are named by them."""
    ssh_port: NotRequired[int]
    """TCP port of SSH, 22 when not given."""
    key_pair: str
    """Name of the key pair for first logins."""
    public_key: NotRequired[pulumi.Input[str] | None]
    """Its SSH public key, and the pair is made from it; when not given, the region has one of that name."""
    name_prefix: NotRequired[str | None]
    """Put before the names in the account of all that is made, with a hyphen, since another stack there may have the
    same; none when not given. The key pair's name is as it is given."""


class AwsSite(pulumi.ComponentResource):
    """Machines take its ids, and wait for the whole of it by `depends_on`: for rules, routes and key pair."""

    vpc_id: pulumi.Output[str]
    """The VPC of its machines."""
    key_pair: pulumi.Output[str]
    """Name of the key pair. No machine is replaced with the pair: a new key reaches new machines only."""
    group_id: pulumi.Output[str]
    """For every machine: SSH from operators, and the way out. Workers dial hubs, so nothing else comes in."""

    def __init__(self, name: str, args: AwsSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the site, or look up what exists of it.

        Raises:
            ValueError: not exactly one network is given, a zone has no subnet or does not exist, or operators are
                the whole world.
        """
        args = arguments("AwsSite", name, AwsSiteArgs, args)
        network, existing = args.get("network"), args.get("existing")
        plan = build("AwsSite", name, _plan(args))
        if (network is None) == (existing is None):
            raise wrong("AwsSite", name, "network", "set either network, to create one, or existing, to use one")
        if missing := [zone for zone in plan.zones if existing and zone not in existing["subnets"]]:
            raise wrong("AwsSite", name, "existing.subnets", f"none for {', '.join(missing)}")
        super().__init__("fortress:index:AwsSite", name, {}, opts)
        options = child_options(self, opts)
        self.subnet_ids: dict[str, pulumi.Output[str]] = {}
        """Subnets by zone."""
        ipv6 = False
        prefix = plan.name_prefix
        if network is not None:
            ipv6 = network.get("ipv6", False)
            self._make_network(name, network, args["zones"], prefix, options)
        elif existing is not None:
            self.vpc_id = pulumi.Output.from_input(existing["vpc_id"])
            self.subnet_ids = {zone: pulumi.Output.from_input(existing["subnets"][zone]) for zone in args["zones"]}

        group = sdk.aws.ec2.SecurityGroup(
            f"{name}-group",
            name=cloud.prefixed(prefix, f"{name}-machines"),
            description="Every machine: SSH from operators",
            vpc_id=self.vpc_id,
            opts=options,
        )
        for operators in cloud.operator_ranges(plan):
            sdk.aws.vpc.SecurityGroupIngressRule(
                f"{name}-ssh-{cloud.label(operators)}",
                security_group_id=group.id,
                description="SSH from operators",
                ip_protocol="tcp",
                from_port=plan.ssh_port,
                to_port=plan.ssh_port,
                cidr_ipv4=str(operators) if operators.version == 4 else None,
                cidr_ipv6=str(operators) if operators.version == 6 else None,
                opts=options,
            )
        # Of ICMP, "ports" are type and code (RFC 792: 3 and 4; RFC 4443: 2 and 0): how a path says how wide it is.
        sdk.aws.vpc.SecurityGroupIngressRule(
            f"{name}-too-big-ipv4",
            security_group_id=group.id,
            description="Fragmentation needed",
            ip_protocol="icmp",
            from_port=3,
            to_port=4,
            cidr_ipv4=WORLD_IPV4,
            opts=options,
        )
        _way_out(f"{name}-out-ipv4", group, options, cidr_ipv4=WORLD_IPV4)
        if ipv6:
            sdk.aws.vpc.SecurityGroupIngressRule(
                f"{name}-too-big-ipv6",
                security_group_id=group.id,
                description="Packet too big",
                ip_protocol="icmpv6",
                from_port=2,
                to_port=0,
                cidr_ipv6=WORLD_IPV6,
                opts=options,
            )
            _way_out(f"{name}-out-ipv6", group, options, cidr_ipv6=WORLD_IPV6)
        self.group_id = group.id

        if (public_key := args.get("public_key")) is not None:
            sdk.aws.ec2.KeyPair(
                f"{name}-key",
                key_name=args["key_pair"],
                public_key=public_key,
                # Two pairs cannot have one name.
                opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(delete_before_replace=True)),
            )
        # The name and not the pair's output: the engine replaces what takes a value of something replaced.
        self.key_pair = pulumi.Output.from_input(args["key_pair"])
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "subnet_ids": self.subnet_ids,
                "key_pair": self.key_pair,
                "group_id": self.group_id,
            }
        )

    def _make_network(
        self, name: str, args: AwsNewNetwork, zones: list[str], prefix: str | None, opts: pulumi.ResourceOptions
    ) -> None:
        def tags(part: str) -> dict[str, str]:
            return {"Name": cloud.prefixed(prefix, f"{name}-{part}")}

        ipv6 = args.get("ipv6", False)
        network = sdk.aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args["cidr"],
            assign_generated_ipv6_cidr_block=True if ipv6 else None,
            tags=tags("vpc"),
            opts=opts,
        )
        gateway = sdk.aws.ec2.InternetGateway(f"{name}-gateway", vpc_id=network.id, tags=tags("gateway"), opts=opts)
        routes = [sdk.aws.ec2.RouteTableRouteArgs(cidr_block=WORLD_IPV4, gateway_id=gateway.id)]
        if ipv6:
            routes.append(sdk.aws.ec2.RouteTableRouteArgs(ipv6_cidr_block=WORLD_IPV6, gateway_id=gateway.id))
        table = sdk.aws.ec2.RouteTable(
            f"{name}-routes", vpc_id=network.id, routes=routes, tags=tags("routes"), opts=opts
        )
        for zone in zones:
            subnet = sdk.aws.ec2.Subnet(
                f"{name}-subnet-{zone}",
                vpc_id=network.id,
                availability_zone=zone,
                cidr_block=str(cloud.zone_subnet(IPv4Network(args["cidr"]), zone)),
                ipv6_cidr_block=_ipv6_subnet(network, zone) if ipv6 else None,
                assign_ipv6_address_on_creation=True if ipv6 else None,
                tags=tags(zone),
                opts=opts,
            )
            sdk.aws.ec2.RouteTableAssociation(
                f"{name}-routes-{zone}", route_table_id=table.id, subnet_id=subnet.id, opts=opts
            )
            self.subnet_ids[zone] = subnet.id
        self.vpc_id = network.id


def _plan(args: AwsSiteArgs) -> Facts[cloud.AwsPlan]:
    network: Mapping[str, Any] = args.get("network") or {}
    return facts_of(cloud.AwsPlan, args, {"cidr": "network.cidr"}, cidr=network.get("cidr"))


def _ipv6_subnet(network: "sdk.aws.ec2.Vpc", zone: str) -> pulumi.Output[str]:
    return network.ipv6_cidr_block.apply(lambda whole: cloud.zone_subnet_ipv6(whole, zone))


def _way_out(
    name: str,
    group: "sdk.aws.ec2.SecurityGroup",
    opts: pulumi.ResourceOptions,
    *,
    cidr_ipv4: str | None = None,
    cidr_ipv6: str | None = None,
) -> None:
    sdk.aws.vpc.SecurityGroupEgressRule(
        name,
        security_group_id=group.id,
        description="The way out",
        ip_protocol="-1",
        cidr_ipv4=cidr_ipv4,
        cidr_ipv6=cidr_ipv6,
        opts=opts,
    )
