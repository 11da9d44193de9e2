"""What a stack needs of its clouds before anything is made: asked at once, each answer missing is one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pulumi
import pulumi_aws as aws
import pulumi_openstack as openstack

from fortress.host_settings import AwsSite, Host, OpenStackSite
from fortress.settings import PROJECT, Settings, declared

T = TypeVar("T")


@dataclass
class Found:
    """What the clouds answered, by the settings that named it."""

    networks: dict[str, str] = field(default_factory=dict)
    """Site: id of its existing network, or VPC."""
    external_networks: dict[str, str] = field(default_factory=dict)
    """Site: id of the network that leads out."""
    subnets: dict[str, dict[str, str]] = field(default_factory=dict)
    """Site: ids of the subnets of its existing network, by zone on AWS and under `""` on OpenStack."""
    images: dict[str, str] = field(default_factory=dict)
    """Member: id of its image."""
    groups: dict[str, list[str]] = field(default_factory=dict)
    """Member: ids of the security groups that it names."""


def look_up(s: Settings, providers: Mapping[str, pulumi.ProviderResource]) -> Found:
    """Ask each cloud for what the settings name.

    Raises `pulumi.RunError` with a line for each setting that names what is not there.
    """
    found, problems = Found(), list[str]()
    for site, provider in providers.items():
        hosts = {name: host for name, host in s.members.items() if host.site == site and host.made}
        asked = _Cloud(pulumi.InvokeOptions(provider=provider), problems)
        cloud = s.sites[site]
        if cloud.openstack:
            _openstack(asked, site, cloud.openstack, hosts, found)
        elif cloud.aws:
            _aws(asked, site, cloud.aws, hosts, found)
    if problems:
        lines = [f"  {PROJECT}:{line}" for line in dict.fromkeys(problems)]
        raise pulumi.RunError("\n".join(["these settings do not fit their clouds:", *lines]))
    return found


@dataclass
class _Cloud:
    """One cloud to ask, and the list of what it could not answer."""

    opts: pulumi.InvokeOptions
    problems: list[str]

    def ask(self, path: str, cure: str, question: Callable[[pulumi.InvokeOptions], T]) -> T | None:
        try:
            return question(self.opts)
        except Exception as bad:  # noqa: BLE001 - the SDK raises plain Exception for whatever the cloud refused
            self.problems.append(f"{path}: {_reason(bad)}; {cure}")
            return None

    def may_ask(self, question: Callable[[pulumi.InvokeOptions], T]) -> T | None:
        """The answer where the login is allowed the question: what cannot be known before is the cloud's to refuse."""
        try:
            return question(self.opts)
        except Exception as bad:  # noqa: BLE001 - as above
            pulumi.log.debug(f"not asked: {_reason(bad)}")
            return None


_ENVELOPE = (
    (r"^invoke of \S+ failed: ", ""),
    (r"^invocation of \S+ returned an error: ", ""),
    (r"^invoking \S+: ", ""),
    (r"^\d+ errors? occurred: \* ", ""),
    # AWS's SDK for Go, around what the service said
    (r"operation error [\w ]+: \w+, ", ""),
    (r"exceeded maximum number of attempts, \d+, ", ""),
    (r"https response error StatusCode: \d+, RequestID: [^,]*, ", ""),
    (r"(api error|request send failed,) (?=\w)", ""),
    # gophercloud, around an error of a service in JSON
    (r"Expected HTTP response code \[.*?\{.*?\"message\": ?\"((?:[^\"\\]|\\.)+)\".*", r"\1"),
    # advice that is not for here
    (r" Please see https://www\.pulumi\.com/.*", ""),
    (r" Make sure you have set your AWS region, e\.g\. .*", ""),
    (r" Please change your search criteria and try again\.?$", ""),
)


def _reason(bad: Exception) -> str:
    """The cloud's words as one line that a terminal can show, without what the layers in between put around them."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(bad))
    words = " ".join(words.split())
    for layer, instead in _ENVELOPE:
        words = re.sub(layer, instead, words)
    return (words.strip(" .") or type(bad).__name__)[:500]


def _openstack(cloud: _Cloud, site: str, settings: OpenStackSite, hosts: Mapping[str, Host], found: Found) -> None:
    path = f"sites.{site}.openstack"
    scope = cloud.ask(
        path,
        "see that auth_url, region and credentials are those of the project (`openstack token issue`)",
        lambda opts: openstack.identity.get_auth_scope(name="fortress", opts=opts),
    )
    if scope is None:
        return
    if settings.project_id and scope.project_id != settings.project_id:
        cloud.problems.append(
            f"{path}.project_id: {settings.project_id!r} is asked for, and these credentials are of "
            f"{scope.project_id!r}; log in to the project that the fortress stands in"
        )
        return
    network = _openstack_network(cloud, f"{path}.external_network", settings.external_network)
    found.external_networks[site] = network or ""
    if settings.network.existing:
        found.networks[site] = _openstack_network(cloud, f"{path}.network.existing", settings.network.existing) or ""
        found.subnets[site] = {"": _openstack_subnet(cloud, path, found.networks[site], settings.network.existing)}
    if not settings.key_pair.public_key:
        cloud.ask(
            f"{path}.key_pair.name",
            f"{settings.key_pair.name!r} is asked for; `openstack keypair list` shows those that are there, "
            "and public_key has one made",
            lambda opts: openstack.compute.get_keypair(name=settings.key_pair.name, opts=opts),
        )
    sizes = []
    for name, host in hosts.items():
        machine = host.openstack
        if machine is None:
            continue
        at = f"hosts.{declared(name)}.openstack"
        flavor = machine.flavor
        size = cloud.ask(
            f"{at}.flavor",
            f"{flavor!r} is asked for; `openstack flavor list` shows those that are there",
            lambda opts, flavor=flavor: openstack.compute.get_flavor(name=flavor, opts=opts),  # type: ignore[misc]
        )
        if size:
            sizes.append(size)
        found.images[name] = _openstack_image(cloud, f"{at}.image", machine.image)
        groups = [_openstack_group(cloud, f"{at}.security_groups", group) for group in machine.security_groups]
        found.groups[name] = [group for group in groups if group]
    # Nova lets administrators alone name the project, which the provider always does (os_compute_api:limits).
    limits = cloud.may_ask(lambda opts: openstack.compute.get_limits_v2(project_id=scope.project_id, opts=opts))
    if limits:
        wanted = {
            "instances": (len(hosts), limits.max_total_instances),
            "cores": (sum(size.vcpus or 0 for size in sizes), limits.max_total_cores),
            "MB of memory": (sum(size.ram or 0 for size in sizes), limits.max_total_ram_size),
        }
        for what, (needed, most) in wanted.items():
            # A negative limit is none.
            if 0 <= most < needed:
                cloud.problems.append(
                    f"{path}: its hosts need {needed} {what}, and the project's quota is {most}; "
                    "take fewer hosts or smaller flavors, or ask the operator for more"
                )


def _openstack_network(cloud: _Cloud, path: str, name: str) -> str | None:
    answer = cloud.ask(
        path,
        f"{name!r} is asked for; `openstack network list` shows those that are there",
        lambda opts: openstack.networking.get_network(name=name, opts=opts),
    )
    return answer.id if answer else None


def _openstack_subnet(cloud: _Cloud, path: str, network: str, name: str) -> str:
    """The one IPv4 subnet of an existing network."""
    if not network:
        return ""
    answer = cloud.ask(
        f"{path}.network.existing",
        f"see that the login may list the subnets of {name!r}",
        lambda opts: openstack.networking.get_subnet_ids_v2(network_id=network, ip_version=4, opts=opts),
    )
    if answer is None:
        return ""
    if len(answer.ids) != 1:
        cloud.problems.append(
            f"{path}.network.existing: {name!r} has {len(answer.ids)} IPv4 subnets, and one is needed; "
            "name a network with one, or give network.cidr to have one made"
        )
        return ""
    return str(answer.ids[0])


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _openstack_image(cloud: _Cloud, path: str, image: str) -> str:
    cure = (
        f"{image!r} is asked for; `openstack image list` shows those that are there. "
        "A machine that stands keeps the image it was made with"
    )
    if _UUID.fullmatch(image):
        every = cloud.ask(path, cure, lambda opts: openstack.images.get_image_ids(opts=opts))
        if every and image not in every.ids:
            cloud.problems.append(f"{path}: no image has this id; {cure}")
        return image
    answer = cloud.ask(path, cure, lambda opts: openstack.images.get_image(name=image, most_recent=True, opts=opts))
    return answer.id if answer else ""


def _openstack_group(cloud: _Cloud, path: str, name: str) -> str | None:
    answer = cloud.ask(
        path,
        f"{name!r} is asked for; `openstack security group list` shows those that are there",
        lambda opts: openstack.networking.get_sec_group(name=name, opts=opts),
    )
    return answer.id if answer else None


def _aws(cloud: _Cloud, site: str, settings: AwsSite, hosts: Mapping[str, Host], found: Found) -> None:
    path = f"sites.{site}.aws"
    zones = cloud.ask(
        path,
        "see that region is right and that the credentials are this account's (`aws sts get-caller-identity`)",
        lambda opts: aws.get_availability_zones(state="available", opts=opts),
    )
    if zones is None:
        return
    if not settings.key_pair.public_key:
        cloud.ask(
            f"{path}.key_pair.name",
            f"{settings.key_pair.name!r} is asked for; `aws ec2 describe-key-pairs` shows those that are there, "
            "and public_key has one made",
            lambda opts: aws.ec2.get_key_pair(key_name=settings.key_pair.name, opts=opts),
        )
    image = cloud.ask(
        f"{path}.image",
        f"{settings.image.name!r} is asked for; `aws ec2 describe-images --owners {settings.image.owner}` shows those "
        "that are there. A machine that stands keeps the image it was made with",
        lambda opts: aws.ec2.get_ami(
            owners=[settings.image.owner],
            filters=[
                {"name": "name", "values": [settings.image.name]},
                {"name": "virtualization-type", "values": ["hvm"]},
            ],
            most_recent=True,
            opts=opts,
        ),
    )
    machines = {name: host.aws for name, host in hosts.items() if host.aws}
    for name, machine in machines.items():
        found.images[name] = image.id if image else ""
        if machine.zone not in zones.names:
            cloud.problems.append(
                f"hosts.{declared(name)}.aws.zone: {machine.zone} is not open to this account; "
                f"take one of {', '.join(zones.names)}"
            )
    for kind in dict.fromkeys(machine.type for machine in machines.values()):
        named = next(name for name, machine in machines.items() if machine.type == kind)
        cloud.ask(
            f"hosts.{declared(named)}.aws.type",
            f"{kind!r} is asked for; `aws ec2 describe-instance-types` shows those that are there",
            lambda opts, kind=kind: aws.ec2.get_instance_type(instance_type=kind, opts=opts),  # type: ignore[misc]
        )
    if settings.network.existing:
        found.networks[site] = settings.network.existing
        found.subnets[site] = _aws_subnets(
            cloud, f"{path}.network.existing", settings.network.existing, {m.zone for m in machines.values()}
        )


def _aws_subnets(cloud: _Cloud, path: str, vpc: str, zones: set[str]) -> dict[str, str]:
    """A public subnet of an existing VPC in each zone."""
    there = cloud.ask(
        path,
        f"{vpc!r} is asked for; `aws ec2 describe-vpcs` shows those that are there",
        lambda opts: aws.ec2.get_vpc(id=vpc, opts=opts),
    )
    if there is None:
        return {}
    subnets = {}
    for zone in sorted(zones):
        filters: list[Any] = [
            {"name": "vpc-id", "values": [vpc]},
            {"name": "availability-zone", "values": [zone]},
            {"name": "map-public-ip-on-launch", "values": ["true"]},
        ]
        answer = cloud.ask(
            path,
            f"see that the login may list the subnets of {zone}",
            lambda o, f=filters: aws.ec2.get_subnets(filters=f, opts=o),  # type: ignore[misc]
        )
        if answer and not answer.ids:
            cloud.problems.append(
                f"{path}: {vpc} has no subnet in {zone} that gives public addresses; "
                "name a VPC with one, or give network.cidr to have one made"
            )
        elif answer and len(answer.ids) > 1:
            cloud.problems.append(
                f"{path}: {vpc} has {len(answer.ids)} subnets in {zone} that give public addresses, and one is needed; "
                "name a VPC with one in each zone, or give network.cidr to have one made"
            )
        elif answer:
            subnets[zone] = answer.ids[0]
    return subnets
