"""A site on OpenStack: its credentials, what is asked of it, and the arguments of its site and machines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pulumi
import pulumi_openstack as openstack

from components.openstack_machine import OpenStackMachineArgs
from components.openstack_site import OpenStackSiteArgs
from fortress.cloud import render_cloud_config
from fortress.settings.hosts import Host, OpenStackHost, OpenStackSite
from fortress.settings.model import Settings, declared
from program.asking import Cloud, Clouds, Found, public_key_of

OPENSTACK_SECRET = "openstack_application_credential_secret"  # noqa: S105 - a setting's name


def openstack_problems(path: str, cloud: OpenStackSite, secret: bool) -> Iterable[str]:
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


def openstack_site(s: Settings, name: str, cloud: OpenStackSite, found: Found, project: Path) -> OpenStackSiteArgs:
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
    if key := public_key_of(cloud.key_pair, project):
        args["public_key"] = key
    databases = [host for host in s.with_role("database") if s.members[host].site == name]
    if len(databases) > 1:
        args["anti_affinity"] = True
    return args


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


def look_up_openstack(
    cloud: Cloud, site: str, settings: OpenStackSite, hosts: Mapping[str, Host], found: Found
) -> None:
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


def _openstack_network(cloud: Cloud, path: str, name: str) -> str | None:
    answer = cloud.ask(
        path,
        f"{name!r} is asked for; `openstack network list` shows those that are there",
        lambda opts: openstack.networking.get_network(name=name, opts=opts),
    )
    return answer.id if answer else None


def _openstack_subnet(cloud: Cloud, path: str, network: str, name: str) -> str:
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


def _openstack_image(cloud: Cloud, path: str, image: str) -> str:
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


def _openstack_group(cloud: Cloud, path: str, name: str) -> str | None:
    answer = cloud.ask(
        path,
        f"{name!r} is asked for; `openstack security group list` shows those that are there",
        lambda opts: openstack.networking.get_sec_group(name=name, opts=opts),
    )
    return answer.id if answer else None
