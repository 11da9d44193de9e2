"""The clouds of a stack: who logs in where, what each site gets, and the machine of each host."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pulumi_openstack as openstack

from fortress.cloud import render_cloud_config
from fortress.host_settings import AwsHost, AwsSite, KeyPair, OpenStackHost, OpenStackSite, Site
from fortress.settings import PROJECT, Settings, declared

from .aws_machine import AwsMachineArgs
from .aws_site import AwsSite as AwsSiteComponent
from .aws_site import AwsSiteArgs
from .lookups import Found, look_up
from .openstack_machine import OpenStackMachineArgs
from .openstack_site import OpenStackSite as OpenStackSiteComponent
from .openstack_site import OpenStackSiteArgs
from .private_container import PrivateContainer, PrivateContainerArgs

OPENSTACK_SECRET = "openstack_application_credential_secret"  # noqa: S105 - a setting's name
AWS_SECRET = "aws_secret_access_key"  # noqa: S105 - a setting's name


@dataclass(frozen=True)
class Clouds:
    """The clouds of a stack, ready for machines."""

    providers: Mapping[str, pulumi.ProviderResource]
    """By site."""
    openstack: Mapping[str, OpenStackSiteComponent]
    aws: Mapping[str, AwsSiteComponent]
    found: Found


def credential_problems(s: Settings, given: Iterable[str]) -> Iterable[str]:
    """Sites that nobody can log in to: found before anything is asked of them. `given` names the settings."""
    for name, site in s.sites.items():
        if site.openstack:
            yield from _openstack_problems(f"sites.{name}.openstack", site.openstack, OPENSTACK_SECRET in given)
        if site.aws:
            yield from _aws_problems(f"sites.{name}.aws", site.aws, AWS_SECRET in given)


def _openstack_problems(path: str, cloud: OpenStackSite, secret: bool) -> Iterable[str]:
    # gophercloud, below the provider, takes a password or a token of the environment before an application credential.
    others = [name for name in ("OS_PASSWORD", "OS_TOKEN", "OS_CLOUD") if os.environ.get(name)]
    if cloud.application_credential_id and secret and others:
        yield f"{path}.application_credential_id: {', '.join(others)} in the environment would win over it; unset it"
    if bool(cloud.application_credential_id) != secret:
        missing = f"{path}.application_credential_id" if secret else OPENSTACK_SECRET
        yield f"{missing}: missing; an application credential has an id and a secret, and one of them is given"
    elif not secret and not _openstack_login():
        yield (
            f"{path}: no credentials: neither OS_PASSWORD, OS_TOKEN, OS_APPLICATION_CREDENTIAL_SECRET nor OS_CLOUD "
            "is set, and no application_credential_id; source the project's openrc file, or "
            "`openstack application credential create fortress` and give its id and secret"
        )


def _openstack_login() -> bool:
    names = ("OS_PASSWORD", "OS_TOKEN", "OS_APPLICATION_CREDENTIAL_SECRET", "OS_CLOUD")
    return any(os.environ.get(name) for name in names)


def _aws_problems(path: str, cloud: AwsSite, secret: bool) -> Iterable[str]:
    if bool(cloud.access_key_id) != secret:
        missing = f"{path}.access_key_id" if secret else AWS_SECRET
        yield f"{missing}: missing; an access key has an id and a secret, and one of them is given"
    elif not secret and not _aws_login():
        yield (
            f"{path}: no credentials: neither AWS_ACCESS_KEY_ID, AWS_PROFILE nor AWS_WEB_IDENTITY_TOKEN_FILE is set, "
            "there is no ~/.aws, and no access_key_id; `aws configure`, or give the id and secret of an access key"
        )


def _aws_login() -> bool:
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    files = (
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
    )
    return any(os.environ.get(name) for name in names) or any(Path(file).expanduser().is_file() for file in files)


def build(s: Settings, project: Path, config: pulumi.Config) -> Clouds:
    """Log in to each cloud, ask it for what the settings name, and make what a site has before its machines.

    Raises `pulumi.RunError` with a line for each setting that names what is not there.
    """
    providers = {name: provider for name, site in s.sites.items() if (provider := _provider(name, site, config))}
    found = look_up(s, providers)
    stacks: dict[str, OpenStackSiteComponent] = {}
    vpcs: dict[str, AwsSiteComponent] = {}
    for name, provider in providers.items():
        opts = pulumi.ResourceOptions(providers=[provider])
        site = s.sites[name]
        if site.openstack:
            stacks[name] = OpenStackSiteComponent(name, _openstack_site(s, name, site.openstack, found, project), opts)
            for container, settings in site.openstack.containers.items():
                args: PrivateContainerArgs = {
                    "container": container,
                    "versioning": settings.versioning,
                    "protect": s.database.keep_data,
                }
                if settings.expire_days:
                    args["expire_days"] = settings.expire_days
                PrivateContainer(f"{name}-{container}", args, opts)
        elif site.aws:
            vpcs[name] = AwsSiteComponent(name, _aws_site(s, name, site.aws, found, project), opts)
    return Clouds(providers, stacks, vpcs, found)


def _provider(name: str, site: Site, config: pulumi.Config) -> pulumi.ProviderResource | None:
    if cloud := site.openstack:
        return openstack.Provider(
            name,
            auth_url=cloud.auth_url,
            region=cloud.region,
            application_credential_id=cloud.application_credential_id,
            application_credential_secret=config.get_secret(OPENSTACK_SECRET),
        )
    if account := site.aws:
        return aws.Provider(
            name,
            region=account.region,
            access_key=account.access_key_id,
            secret_key=config.get_secret(AWS_SECRET),
            allowed_account_ids=[account.account_id] if account.account_id else None,
            default_tags={"tags": {"project": PROJECT, "stack": pulumi.get_stack(), **account.tags}},
        )
    return None


def _openstack_site(s: Settings, name: str, cloud: OpenStackSite, found: Found, project: Path) -> OpenStackSiteArgs:
    args: OpenStackSiteArgs = {
        "external_network_id": found.external_networks[name],
        "operators": s.ssh.operators,
        "ssh_port": s.ssh.port,
        "mesh_port": s.mesh.port,
        "key_pair": cloud.key_pair.name,
    }
    if cloud.network.cidr:
        args["network"] = {"cidr": str(cloud.network.cidr), "dns": cloud.network.dns}
    else:
        args["existing"] = {"network_id": found.networks[name], "subnet_id": found.subnets[name][""]}
    if key := _public_key(cloud.key_pair, project):
        args["public_key"] = key
    databases = [host for host in s.named("database") if s.members[host].site == name]
    if len(databases) > 1:
        args["anti_affinity"] = True
    return args


def _aws_site(s: Settings, name: str, cloud: AwsSite, found: Found, project: Path) -> AwsSiteArgs:
    zones = sorted({host.aws.zone for host in s.hosts.values() if host.site == name and host.aws})
    args: AwsSiteArgs = {
        "zones": zones,
        "operators": s.ssh.operators,
        "ssh_port": s.ssh.port,
        "key_pair": cloud.key_pair.name,
    }
    if cloud.network.cidr:
        args["network"] = {"cidr": str(cloud.network.cidr), "ipv6": cloud.network.ipv6}
    else:
        args["existing"] = {"vpc_id": found.networks[name], "subnets": found.subnets[name]}
    if key := _public_key(cloud.key_pair, project):
        args["public_key"] = key
    return args


def _public_key(pair: KeyPair, project: Path) -> str | None:
    return (project / pair.public_key).read_text(encoding="utf-8").strip() if pair.public_key else None


def openstack_machine(s: Settings, clouds: Clouds, name: str, machine: OpenStackHost) -> OpenStackMachineArgs:
    """Arguments of a member's machine on OpenStack."""
    host = s.members[name]
    site = clouds.openstack[host.site]
    cloud = s.sites[host.site].openstack
    assert cloud is not None  # noqa: S101 - the settings were checked
    groups: list[pulumi.Input[str]] = [site.internal_group_id, *clouds.found.groups[name]]
    if name in s.mesh.hubs:
        groups.append(site.hub_group_id)
    if host.role == "edge":
        groups.append(site.edge_group_id)
    # Older clouds refuse an instance whose name ends like an address.
    generation = f"-{host.generation}" if host.role == "worker" else ""
    args: OpenStackMachineArgs = {
        "instance_name": f"{machine.name or declared(name)}{generation}",
        "flavor": machine.flavor,
        "image_id": clouds.found.images[name],
        "image_pinned": machine.image_pinned,
        "key_pair": site.key_pair,
        "network_id": site.network_id,
        "subnet_id": site.subnet_id,
        "group_ids": groups,
        "metadata": machine.metadata,
        "user_data": render_cloud_config(name, s.ssh.user),
    }
    if machine.fixed_address:
        args["fixed_address"] = machine.fixed_address
    if machine.floating_address:
        args["floating_pool"] = cloud.external_network
    if machine.availability_zone:
        args["availability_zone"] = machine.availability_zone
    if host.role == "database" and site.server_group_id is not None:
        args["server_group_id"] = site.server_group_id
    return args


def aws_machine(s: Settings, clouds: Clouds, name: str, machine: AwsHost) -> AwsMachineArgs:
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
        "tags": {"Name": name, **machine.tags},
        "user_data": render_cloud_config(name, s.ssh.user),
    }
