"""A site on AWS: who logs in, what is asked of it, and the arguments of its site and machines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pulumi

from components import sdk
from components.aws_machine import AwsMachineArgs
from components.aws_site import AwsSiteArgs
from fortress.cloud import class_metadata, prefixed, render_cloud_config
from fortress.settings.hosts import AwsHost, AwsSiteSettings, HostSettings
from fortress.settings.model import Settings, declared
from fortress.settings.types import PROJECT
from program.asking import Cloud, Clouds, Found, public_key_of

SECRET = "aws_secret_access_key"  # noqa: S105 - a setting's name


def credential_problems(path: str, cloud: AwsSiteSettings, secret: bool) -> Iterable[str]:
    """Why nobody can log in there. `secret` is whether the secret access key is given."""
    if bool(cloud.access_key_id) != secret:
        missing = f"{path}.access_key_id" if secret else SECRET
        yield f"{missing}: missing; an access key has an id and a secret, but only one of them is set"
    elif not secret and not _login():
        yield (
            f"{path}: no credentials: neither AWS_ACCESS_KEY_ID, AWS_PROFILE nor AWS_WEB_IDENTITY_TOKEN_FILE is set, "
            "there is no ~/.aws, and no access_key_id; run `aws configure`, or set the id and secret of an access key"
        )


def _login() -> bool:
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    files = (
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
    )
    return any(os.environ.get(name) for name in names) or any(Path(file).expanduser().is_file() for file in files)


def provider(name: str, account: AwsSiteSettings, config: pulumi.Config) -> pulumi.ProviderResource:
    """The site's own, which logs in. It and the SDK are made only where a stack has such a site."""
    return sdk.aws.Provider(
        name,
        region=account.region,
        access_key=account.access_key_id,
        secret_key=config.get_secret(SECRET),
        allowed_account_ids=[account.account_id] if account.account_id else None,
        default_tags={"tags": {"project": PROJECT, "stack": pulumi.get_stack(), **account.tags}},
    )


def site_args(s: Settings, name: str, cloud: AwsSiteSettings, found: Found, project: Path) -> AwsSiteArgs:
    """Arguments of what the account holds for a site's machines."""
    cidr = cloud.network.cidr
    return {
        "network": {"cidr": str(cidr), "ipv6": cloud.network.ipv6} if cidr else None,
        "existing": None if cidr else {"vpc_id": found.networks[name], "subnets": found.zone_subnets[name]},
        "zones": sorted({host.aws.zone for host in s.hosts.values() if host.site == name and host.aws}),
        "operators": s.ssh.operators,
        "ssh_port": s.ssh.port,
        "key_pair": cloud.key_pair.name,
        "public_key": public_key_of(cloud.key_pair, project),
        "name_prefix": cloud.name_prefix,
    }


def machine_args(s: Settings, clouds: Clouds, name: str, machine: AwsHost) -> AwsMachineArgs:
    """Arguments of a member's machine on AWS."""
    host = s.members[name]
    site = clouds.aws[host.site]
    cloud = s.sites[host.site].aws
    assert cloud is not None  # noqa: S101 - the settings were checked
    return {
        "instance_type": machine.type,
        "ami": clouds.found.images[name],
        "image_pinned": cloud.image.pinned,
        "key_pair": site.key_pair,
        "subnet_id": site.subnet_ids[machine.zone],
        "group_ids": [site.group_id],
        "disk_gb": machine.disk_gb,
        "spot": machine.spot,
        "tags": {"Name": prefixed(cloud.name_prefix, name), **machine.tags, **class_metadata(host.keeps)},
        "user_data": render_cloud_config(name, s.ssh.user),
    }


def look_up(
    cloud: Cloud, site: str, settings: AwsSiteSettings, hosts: Mapping[str, HostSettings], found: Found
) -> None:
    """Ask the account for what the settings of a site and of its machines name."""
    ec2, opts = sdk.aws.ec2, cloud.opts
    path = f"sites.{site}.aws"
    zones = cloud.ask(
        path,
        "check that region is right and that the credentials belong to this account (`aws sts get-caller-identity`)",
        sdk.aws.get_availability_zones,
        state="available",
        opts=opts,
    )
    if zones is None:
        return
    if not settings.key_pair.public_key:
        cloud.ask(
            f"{path}.key_pair.name",
            f"{settings.key_pair.name!r} is requested; `aws ec2 describe-key-pairs` lists the existing ones, "
            "and public_key creates one",
            ec2.get_key_pair,
            key_name=settings.key_pair.name,
            opts=opts,
        )
    image = cloud.ask(
        f"{path}.image",
        f"{settings.image.name!r} is requested; `aws ec2 describe-images --owners {settings.image.owner}` lists the "
        "existing ones. An existing machine keeps the image it was created with",
        ec2.get_ami,
        owners=[settings.image.owner],
        filters=[
            {"name": "name", "values": [settings.image.name]},
            {"name": "virtualization-type", "values": ["hvm"]},
        ],
        most_recent=True,
        opts=opts,
    )
    machines = {name: host.aws for name, host in hosts.items() if host.aws}
    for name, machine in machines.items():
        found.images[name] = image.id if image else ""
        if machine.zone not in zones.names:
            cloud.problems.append(
                f"hosts.{declared(name)}.aws.zone: {machine.zone} is not available to this account; "
                f"use one of {', '.join(zones.names)}"
            )
    for kind in dict.fromkeys(machine.type for machine in machines.values()):
        named = next(name for name, machine in machines.items() if machine.type == kind)
        cloud.ask(
            f"hosts.{declared(named)}.aws.type",
            f"{kind!r} is requested; `aws ec2 describe-instance-types` lists the existing ones",
            ec2.get_instance_type,
            instance_type=kind,
            opts=opts,
        )
    if settings.network.existing:
        found.networks[site] = settings.network.existing
        found.zone_subnets[site] = _subnets(
            cloud, f"{path}.network.existing", settings.network.existing, {m.zone for m in machines.values()}
        )


def _subnets(cloud: Cloud, path: str, vpc: str, zones: set[str]) -> dict[str, str]:
    """A public subnet of an existing VPC in each zone."""
    there = cloud.ask(
        path,
        f"{vpc!r} is requested; `aws ec2 describe-vpcs` lists the existing ones",
        sdk.aws.ec2.get_vpc,
        id=vpc,
        opts=cloud.opts,
    )
    if there is None:
        return {}
    subnets = {}
    for zone in sorted(zones):
        answer = cloud.ask(
            path,
            f"check that the login may list the subnets of {zone}",
            sdk.aws.ec2.get_subnets,
            filters=[
                {"name": "vpc-id", "values": [vpc]},
                {"name": "availability-zone", "values": [zone]},
                {"name": "map-public-ip-on-launch", "values": ["true"]},
            ],
            opts=cloud.opts,
        )
        if answer and not answer.ids:
            cloud.problems.append(
                f"{path}: {vpc} has no subnet in {zone} that assigns public addresses; "
                "name a VPC with one, or set network.cidr to create one"
            )
        elif answer and len(answer.ids) > 1:
            cloud.problems.append(
                f"{path}: {vpc} has {len(answer.ids)} subnets in {zone} that assign public addresses, but one is "
                "needed; name a VPC with one in each zone, or set network.cidr to create one"
            )
        elif answer:
            subnets[zone] = answer.ids[0]
    return subnets
