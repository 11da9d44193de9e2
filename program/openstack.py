"""A site on OpenStack: who logs in, what is asked of it, and the arguments of its site and machines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pulumi

from components import sdk
from components.openstack_machine import OpenStackMachineArgs
from components.openstack_site import OpenStackSiteArgs
from fortress.cloud import class_metadata, prefixed, render_cloud_config
from fortress.settings.hosts import HostSettings, OpenStackHost, OpenStackSiteSettings
from fortress.settings.model import Settings, declared
from program.asking import Cloud, Clouds, Found, public_key_of

SECRET = "openstack_application_credential_secret"  # noqa: S105 - a setting's name


def credential_problems(path: str, cloud: OpenStackSiteSettings, secret: bool) -> Iterable[str]:
    """Why nobody can log in there. `secret` is whether the application credential's secret is given."""
    # gophercloud, below the provider, takes a password or a token of the environment before an application credential.
    others = [name for name in ("OS_PASSWORD", "OS_TOKEN", "OS_CLOUD") if os.environ.get(name)]
    if cloud.application_credential_id and secret and others:
        yield f"{path}.application_credential_id: {', '.join(others)} in the environment would override it; unset it"
    if bool(cloud.application_credential_id) != secret:
        missing = f"{path}.application_credential_id" if secret else SECRET
        yield f"{missing}: missing; an application credential has an id and a secret, but only one of them is set"
    elif not secret and not _login():
        yield (
            f"{path}: no credentials: neither OS_PASSWORD, OS_TOKEN, OS_APPLICATION_CREDENTIAL_SECRET nor OS_CLOUD "
            "is set, and no application_credential_id; source the project's openrc file, or "
            "run `openstack application credential create fortress` and set its id and secret"
        )


def _login() -> bool:
    names = ("OS_PASSWORD", "OS_TOKEN", "OS_APPLICATION_CREDENTIAL_SECRET", "OS_CLOUD")
    return any(os.environ.get(name) for name in names)


def provider(name: str, cloud: OpenStackSiteSettings, config: pulumi.Config) -> pulumi.ProviderResource:
    """The site's own, which logs in. It and the SDK are made only where a stack has such a site."""
    return sdk.openstack.Provider(
        name,
        auth_url=cloud.auth_url,
        region=cloud.region,
        application_credential_id=cloud.application_credential_id,
        application_credential_secret=config.get_secret(SECRET),
    )


def site_args(s: Settings, name: str, cloud: OpenStackSiteSettings, found: Found, project: Path) -> OpenStackSiteArgs:
    """Arguments of what the project holds for a site's machines."""
    cidr = cloud.network.cidr
    return {
        "external_network_id": found.external_networks[name],
        "network": {"cidr": str(cidr), "dns": cloud.network.dns} if cidr else None,
        "existing": None if cidr else {"network_id": found.networks[name], "subnet_id": found.subnets[name]},
        "operators": s.ssh.operators,
        "ssh_port": s.ssh.port,
        "mesh_port": s.mesh.port,
        "key_pair": cloud.key_pair.name,
        "public_key": public_key_of(cloud.key_pair, project),
        "name_prefix": cloud.name_prefix,
        "anti_affinity": sum(s.members[host].site == name for host in s.with_role("database")) > 1,
    }


def machine_args(s: Settings, clouds: Clouds, name: str, machine: OpenStackHost) -> OpenStackMachineArgs:
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
    return {
        "instance_name": f"{machine.name or prefixed(cloud.name_prefix, declared(name))}{generation}",
        "flavor": machine.flavor,
        "image_id": clouds.found.images[name],
        "image_pinned": machine.image_pinned,
        "key_pair": site.key_pair,
        "network_id": site.network_id,
        "subnet_id": site.subnet_id,
        "fixed_address": machine.fixed_address,
        "group_ids": groups,
        "floating_pool": cloud.external_network if machine.floating_address else None,
        "metadata": {**machine.metadata, **class_metadata(host.keeps)},
        "server_group_id": site.server_group_id if host.role == "database" else None,
        "availability_zone": machine.availability_zone,
        "user_data": render_cloud_config(name, s.ssh.user),
    }


def look_up(
    cloud: Cloud, site: str, settings: OpenStackSiteSettings, hosts: Mapping[str, HostSettings], found: Found
) -> None:
    """Ask the project for what the settings of a site and of its machines name."""
    compute, opts = sdk.openstack.compute, cloud.opts
    path = f"sites.{site}.openstack"
    scope = cloud.ask(
        path,
        "check that auth_url, region and credentials are those of the project (`openstack token issue`)",
        sdk.openstack.identity.get_auth_scope,
        name="fortress",
        opts=opts,
    )
    if scope is None:
        return
    if settings.project_id and scope.project_id != settings.project_id:
        cloud.problems.append(
            f"{path}.project_id: {settings.project_id!r} is requested, but these credentials belong to "
            f"{scope.project_id!r}; log in to the project of the fortress"
        )
        return
    network = _network(cloud, f"{path}.external_network", settings.external_network)
    found.external_networks[site] = network or ""
    if settings.network.existing:
        found.networks[site] = _network(cloud, f"{path}.network.existing", settings.network.existing) or ""
        found.subnets[site] = _subnet(cloud, path, found.networks[site], settings.network.existing)
    if not settings.key_pair.public_key:
        cloud.ask(
            f"{path}.key_pair.name",
            f"{settings.key_pair.name!r} is requested; `openstack keypair list` lists the existing ones, "
            "and public_key creates one",
            compute.get_keypair,
            name=settings.key_pair.name,
            opts=opts,
        )
    sizes = []
    for name, host in hosts.items():
        machine = host.openstack
        if machine is None:
            continue
        at = f"hosts.{declared(name)}.openstack"
        size = cloud.ask(
            f"{at}.flavor",
            f"{machine.flavor!r} is requested; `openstack flavor list` lists the existing ones",
            compute.get_flavor,
            name=machine.flavor,
            opts=opts,
        )
        if size:
            sizes.append(size)
        found.images[name] = _image(cloud, f"{at}.image", machine.image)
        groups = [_group(cloud, f"{at}.security_groups", group, scope.project_id) for group in machine.security_groups]
        found.groups[name] = [group for group in groups if group]
    # Nova shows a project's members its quota set (os_compute_api:os-quota-sets:show), but the limits of a project that
    # is named, as the provider does, to administrators alone (os_compute_api:limits).
    quota = cloud.may_ask(compute.get_quota_set_v2, project_id=scope.project_id, opts=opts)
    if quota:
        wanted = {
            "instances": (len(hosts), quota.instances),
            "cores": (sum(size.vcpus or 0 for size in sizes), quota.cores),
            "MB of memory": (sum(size.ram or 0 for size in sizes), quota.ram),
        }
        for what, (needed, most) in wanted.items():
            # A negative limit is none.
            if 0 <= most < needed:
                cloud.problems.append(
                    f"{path}: its hosts need {needed} {what}, but the project's quota is {most}; "
                    "use fewer hosts or smaller flavors, or ask the operator for more"
                )


def _network(cloud: Cloud, path: str, name: str) -> str | None:
    answer = cloud.ask(
        path,
        f"{name!r} is requested; `openstack network list` lists the existing ones",
        sdk.openstack.networking.get_network,
        name=name,
        opts=cloud.opts,
    )
    return answer.id if answer else None


def _subnet(cloud: Cloud, path: str, network: str, name: str) -> str:
    """The one IPv4 subnet of an existing network."""
    if not network:
        return ""
    answer = cloud.ask(
        f"{path}.network.existing",
        f"check that the login may list the subnets of {name!r}",
        sdk.openstack.networking.get_subnet_ids_v2,
        network_id=network,
        ip_version=4,
        opts=cloud.opts,
    )
    if answer is None:
        return ""
    if len(answer.ids) != 1:
        cloud.problems.append(
            f"{path}.network.existing: {name!r} has {len(answer.ids)} IPv4 subnets, but exactly one is needed; "
            "name a network with one, or set network.cidr to create one"
        )
        return ""
    return str(answer.ids[0])


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _image(cloud: Cloud, path: str, image: str) -> str:
    cure = (
        f"{image!r} is requested; `openstack image list` lists the existing ones. "
        "An existing machine keeps the image it was created with"
    )
    if _UUID.fullmatch(image):
        every = cloud.ask(path, cure, sdk.openstack.images.get_image_ids, opts=cloud.opts)
        if every and image not in every.ids:
            cloud.problems.append(f"{path}: no image has this id; {cure}")
        return image
    answer = cloud.ask(path, cure, sdk.openstack.images.get_image, name=image, most_recent=True, opts=cloud.opts)
    return answer.id if answer else ""


def _group(cloud: Cloud, path: str, name: str, project: str) -> str | None:
    answer = cloud.ask(
        path,
        f"{name!r} is requested; `openstack security group list` lists the existing ones",
        sdk.openstack.networking.get_sec_group,
        name=name,
        tenant_id=project,  # an administrator is shown those of every project
        opts=cloud.opts,
    )
    return answer.id if answer else None
