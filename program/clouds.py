"""The clouds of a stack: who logs in where, what each site gets, and the machine of each host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pulumi

from components.aws_site import AwsSite as AwsSiteComponent
from components.openstack_site import OpenStackSite as OpenStackSiteComponent
from components.private_container import PrivateContainer
from fortress.settings.hosts import SiteSettings
from fortress.settings.model import Settings
from fortress.settings.types import PROJECT
from program import aws, openstack
from program.asking import Cloud, Clouds, Found
from program.refusal import refusal


def credential_problems(s: Settings, given: Iterable[str]) -> Iterable[str]:
    """Sites that nobody can log in to: found before anything is asked of them. `given` names the settings."""
    for name, site in s.sites.items():
        if site.openstack:
            yield from openstack.credential_problems(
                f"sites.{name}.openstack", site.openstack, openstack.SECRET in given
            )
        if site.aws:
            yield from aws.credential_problems(f"sites.{name}.aws", site.aws, aws.SECRET in given)


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
            stacks[name] = OpenStackSiteComponent(
                name, openstack.site_args(s, name, site.openstack, found, project), opts
            )
            for container, settings in site.openstack.containers.items():
                PrivateContainer(
                    f"{name}-{container}",
                    {
                        "container": container,
                        "versioning": settings.versioning,
                        "expire_days": settings.expire_days,
                        "data_class": settings.data_class,
                        "protect": s.database.keep_data,
                    },
                    opts,
                )
        elif site.aws:
            vpcs[name] = AwsSiteComponent(name, aws.site_args(s, name, site.aws, found, project), opts)
    return Clouds(providers, stacks, vpcs, found)


def _provider(name: str, site: SiteSettings, config: pulumi.Config) -> pulumi.ProviderResource | None:
    if site.openstack:
        return openstack.provider(name, site.openstack, config)
    if site.aws:
        return aws.provider(name, site.aws, config)
    return None


def look_up(s: Settings, providers: Mapping[str, pulumi.ProviderResource]) -> Found:
    """Ask each cloud for what the settings name.

    Raises `pulumi.RunError` with a line for each setting that names what is not there.
    """
    found, problems = Found(), list[str]()
    for site, provider in providers.items():
        hosts = {name: host for name, host in s.members.items() if host.site == site and host.made}
        asked = Cloud(pulumi.InvokeOptions(provider=provider), problems)
        cloud = s.sites[site]
        if cloud.openstack:
            openstack.look_up(asked, site, cloud.openstack, hosts, found)
        elif cloud.aws:
            aws.look_up(asked, site, cloud.aws, hosts, found)
    if problems:
        raise refusal("the clouds reject these settings:", (f"{PROJECT}:{line}" for line in dict.fromkeys(problems)))
    return found
