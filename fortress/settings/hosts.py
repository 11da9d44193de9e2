"""Settings of sites and hosts: where machines come from, and which settings conflict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fortress import mariadb, wireguard
from fortress.cloud import SMALLEST_VPC, ContainerName, Days, DiskSize, FixedAddress, NamePrefix, Zone
from fortress.host import SitePlan
from fortress.settings.types import Https, ProjectPath
from fortress.values import Address, DataClass, HostKey, Model, Name, Network, OneLine, distinct, matching

Role = Literal["database", "edge", "monitor", "witness", "worker"]
Region = Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-[0-9]", "a region of AWS, such as eu-central-1")]
InstanceType = Annotated[str, matching(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "a type of EC2, such as c5.large")]
Owner = Annotated[str, matching(r"[0-9]{12}", "the 12 digits of an AWS account, in quotes")]
# Both clouds take at least this much.
Note = Annotated[OneLine, matching(r".{1,255}", "at most 255 characters")]
Tag = Annotated[
    str, matching(r"(?![aA][wW][sS]:)[A-Za-z0-9 _.:/=+@-]{1,127}", "a tag's name, which does not start with aws:")
]
Tags = dict[Tag, Note]


class KeyPair(Model):
    """The key that a cloud puts on a new machine for its first login."""

    name: OneLine
    """Its name in the cloud."""
    public_key: ProjectPath | None = None
    """File in this project, from which the key pair is created. If not given, the cloud must have one of this name."""


class CloudNetwork(Model):
    """A network that the stack creates (`cidr`), or an existing one (`existing`)."""

    cidr: Network | None = None
    """Range of the network to create; it must not overlap the mesh or another site's network. /25 or larger on AWS."""
    existing: OneLine | None = None
    """Name of an existing OpenStack network, or id of an existing VPC."""

    @model_validator(mode="after")
    def _one(self) -> CloudNetwork:
        if (self.cidr is None) == (self.existing is None):
            raise ValueError("cidr: set either cidr, to create a network, or existing, to use one")
        return self


class OpenStackNetwork(CloudNetwork):
    """The network of an OpenStack site."""

    dns: Annotated[list[Address], AfterValidator(distinct)] = []
    """Name servers for its machines; the cloud's own if empty."""

    @model_validator(mode="after")
    def _of_what_is_made(self) -> OpenStackNetwork:
        if self.existing and self.dns:
            raise ValueError("dns: an existing network has its own; leave it out")
        return self


class AwsNetwork(CloudNetwork):
    """The VPC of an AWS site."""

    ipv6: bool = False
    """Whether the VPC and its machines get IPv6 too."""

    @model_validator(mode="after")
    def _of_what_is_made(self) -> AwsNetwork:
        if self.existing and self.ipv6:
            raise ValueError("ipv6: an existing VPC has its own ranges; leave it out")
        return self


class ObjectContainer(Model):
    """A private object container."""

    versioning: bool = True
    """Whether old versions of its objects are kept."""
    data_class: DataClass = "personal"
    """What somebody who reads it has. It is written into the container's metadata as `data-class`."""
    expire_days: Days | None = None
    """Days after which its objects should expire, written into the container's metadata for those who upload; objects
    stay if not given."""


class OpenStackSiteSettings(Model):
    """An OpenStack project. Credentials: `OS_*` variables, clouds.yaml, or an application credential."""

    auth_url: Https
    """URL of the identity service (Keystone), such as https://api.coolvds.com/v3."""
    region: OneLine
    """Region, such as NO-Oslo-1."""
    project_id: OneLine | None = None
    """Project to which the credentials must belong: with those of another one, all existing resources look lost."""
    application_credential_id: OneLine | None = None
    """Id of an application credential; its secret is the setting `openstack_application_credential_secret`."""
    external_network: OneLine
    """Name of the network that leads outside and provides the floating addresses."""
    network: OpenStackNetwork
    key_pair: KeyPair
    name_prefix: NamePrefix | None = None
    """Put before the names that the stack chooses in the project, such as `staging` for `staging-secure-internal`, so
    that they differ from another stack's. Names in these settings, of the key pair, containers and instances, stay."""
    containers: dict[ContainerName, ObjectContainer] = {}
    """Object containers to create, by name."""


class AwsImage(Model):
    """The machine image: the newest one of this owner whose name matches the pattern."""

    owner: Owner = "136693071363"
    """Debian's account (https://wiki.debian.org/Cloud/AmazonEC2Image); Canonical's is 099720109477."""
    name: OneLine = "debian-13-amd64-*"
    """Pattern of its name, with * and ?."""
    pinned: bool = True
    """Whether a machine keeps the image it was created with. If false, a newer image replaces the machine."""


class AwsSiteSettings(Model):
    """An AWS account and region. Credentials: `AWS_*` variables, ~/.aws, or an access key."""

    region: Region = "eu-central-1"
    """Region of its machines."""
    account_id: Owner | None = None
    """Account to which the credentials must belong: with those of another one, all existing resources look lost."""
    access_key_id: Annotated[str, matching(r"[A-Z0-9]{16,128}", "the id of an access key")] | None = None
    """Id of an access key; its secret is the setting `aws_secret_access_key`."""
    network: AwsNetwork
    key_pair: KeyPair
    name_prefix: NamePrefix | None = None
    """Put before the names that the stack chooses in the account, so that they differ from another stack's. Set it
    before the first `up`: later it replaces the security group. The key pair's name in these settings stays."""
    image: AwsImage = AwsImage()
    tags: Tags = {}
    """Tags of everything that the stack creates here."""


class SiteSettings(SitePlan):
    """A location of hosts, its operator, and the cloud that provides machines there."""

    region: OneLine | None = None
    """Its operator's name for the location, such as NO-Oslo-1. Left out for a site with a cloud, which has one."""
    egress: Literal["open", "closed"] = "open"
    """What hosts there may connect to. `closed`: what they need themselves (packages, names, time, the tunnel, the
    cloud's metadata, a backup's target) and what `egress` names; anything else is refused on the host at once."""
    openstack: OpenStackSiteSettings | None = None
    aws: AwsSiteSettings | None = None

    @model_validator(mode="after")
    def _one_cloud(self) -> SiteSettings:
        if self.openstack and self.aws:
            raise ValueError("aws: a site belongs to one cloud; split it into two sites")
        if self.region and self.cloud:
            raise ValueError(f"region: leave it out; it is that of the cloud, {self.cloud.region}")
        return self

    @property
    def cloud(self) -> OpenStackSiteSettings | AwsSiteSettings | None:
        """Where the stack creates machines of this site."""
        return self.openstack or self.aws

    @property
    def place(self) -> str | None:
        """The region, of the cloud or as the settings say it."""
        return self.cloud.region if self.cloud else self.region


class OpenStackHost(Model):
    """A machine of an OpenStack site."""

    name: Note | None = None
    """The instance's name; the host's name if not given."""
    flavor: OneLine
    """Name of the flavor, as in `openstack flavor list`."""
    image: OneLine
    """Name or id of the image."""
    image_pinned: bool = True
    """Whether the machine keeps the image it was created with. If false, a newer image replaces the machine."""
    fixed_address: FixedAddress | None = None
    """Address inside the site's network; chosen by the cloud if not given. Not for a worker, whose next generation runs
    beside it."""
    floating_address: bool = True
    """Whether it gets an address from the external network, which outlives the machine."""
    security_groups: Annotated[list[OneLine], AfterValidator(distinct)] = []
    """Names of existing groups, in addition to those that the stack creates."""
    metadata: dict[Annotated[str, matching(r"[A-Za-z0-9_.:-]{1,255}", "a metadata key")], Note] = {}
    """Metadata of the instance, such as `{role: primary-db}`."""
    availability_zone: OneLine | None = None
    """Availability zone; chosen by the cloud if not given."""


class AwsHost(Model):
    """A worker on AWS."""

    type: InstanceType = "c5.large"
    """Instance type."""
    zone: Zone
    """Zone in the site's region."""
    disk_gb: DiskSize = 20
    """Size of its root disk."""
    spot: bool = False
    """Whether it is a spot instance: cheaper, and terminated when AWS wants it back."""
    tags: Tags = {}
    """Tags of the machine, in addition to the site's."""


class HostSettings(Model):
    """One machine: one that exists (`address`), or one that the stack creates (`openstack`, `aws`).

    Each host has exactly one of the three. One host has `role: database`, or several with `database.mode: replica` or
    `galera`, all at sovereign sites; with `galera` one may have `role: witness`, at a sovereign site too; one has
    `role: edge`, and at least one has `role: worker`; any may have `role: monitor`, for a Prometheus of your own
    (`monitoring`); on AWS there may be workers only.
    """

    site: Name
    """Its site: a name under `sites`."""
    role: Role
    """Its purpose."""
    slot: Annotated[int, Field(ge=1)]
    """The host's fixed and unique place in the mesh network: slot 1 of 10.100.0.0/24 is 10.100.0.1."""
    address: Address | None = None
    """Address of a machine that exists: for SSH, and for other members of the mesh if it is a hub."""
    openstack: OpenStackHost | None = None
    aws: AwsHost | None = None
    generation: Annotated[int, Field(ge=1)] = 1
    """For a worker that the stack creates: raise it by one, and a new machine takes over before the old one leaves."""
    host_key: HostKey | None = None
    """Its pinned key; if not given, learnt once at first contact."""
    memory_mb: mariadb.Memory | None = None
    """Memory to size services by, in MB; the machine's own if not given."""
    incarnation: Annotated[int, Field(ge=1)] = 1
    """Raise it by one when another machine took over an `address`: its key is learnt again, everything pushed again."""
    data_class: DataClass | None = None
    """What somebody who reads its disk has. When not given: `personal` for the database and for the edge, whose log has
    addresses of clients, `none` for a worker and a monitor. Metadata or tag `data-class` of a machine that the stack
    creates."""
    gone: bool = False
    """The machine is lost: nothing contacts it any more, so that it can be removed from the settings."""
    adopt: bool = False
    """Take the machine as it is: from another stack, to which the files on it belong and which must then `fortress
    forget` it, or with a firewall, an HAProxy, databases or exporters that no stack made."""

    @model_validator(mode="after")
    def _one_origin(self) -> HostSettings:
        if sum(origin is not None for origin in (self.address, self.openstack, self.aws)) != 1:
            raise ValueError("address: set exactly one of address (for a machine that exists), openstack and aws")
        if self.made:
            for given, name in ((self.host_key, "host_key"), (self.incarnation > 1, "incarnation")):
                if given:
                    raise ValueError(
                        f"{name}: only for a machine that exists; leave it out: the cloud identifies this one"
                    )
        if self.gone and self.made and self.role == "worker":
            raise ValueError(
                "gone: not for a worker that the stack creates; remove the worker, or raise its generation"
            )
        if self.generation > 1 and not (self.made and self.role == "worker"):
            raise ValueError(f"generation: {self.generation} is only for a worker that the stack creates; leave it out")
        return self

    @property
    def keeps(self) -> DataClass:
        """The class of the data on its disk."""
        return self.data_class or ("none" if self.role in ("monitor", "worker") else "personal")

    @property
    def made(self) -> bool:
        """Whether the stack creates the machine."""
        return self.address is None


def problems(sites: Mapping[str, SiteSettings], hosts: Mapping[str, HostSettings], mesh: IPv4Network) -> Iterable[str]:
    """Problems of hosts taken together, each as `path: problem; fix`."""
    yield from _taken_twice(hosts, mesh)
    yield from _networks(sites, mesh)
    for name, host in hosts.items():
        if host.site not in sites:
            yield f"hosts.{name}.site: {host.site!r} is not in sites; known: {', '.join(sites)}"
        elif host.openstack:
            yield from _openstack(name, host, host.openstack, sites[host.site])
        elif host.aws:
            yield from _aws(name, host, host.aws, sites[host.site])


def _taken_twice(hosts: Mapping[str, HostSettings], mesh: IPv4Network) -> Iterator[str]:
    room = wireguard.capacity(mesh)
    slots: dict[int, str] = {}
    addresses: dict[tuple[str, str], str] = {}
    for name, host in hosts.items():
        if host.slot > room:
            yield f"hosts.{name}.slot: {host.slot} is outside {mesh}, which has slots 1 to {room}"
        if other := slots.get(host.slot):
            yield f"hosts.{name}.slot: {host.slot} is taken by hosts.{other}; give each host a different slot"
        slots[host.slot] = name
        if host.address:
            if other := addresses.get(("", host.address)):
                yield f"hosts.{name}.address: {host.address} is taken by hosts.{other}"
            if ip_address(host.address) in mesh:
                yield f"hosts.{name}.address: {host.address} lies inside mesh.network {mesh}"
            addresses["", host.address] = name
        if host.openstack and (fixed := host.openstack.fixed_address):
            if other := addresses.get((host.site, fixed)):
                yield f"hosts.{name}.openstack.fixed_address: {fixed} is taken by hosts.{other}; use another one"
            addresses[host.site, fixed] = name


def _networks(sites: Mapping[str, SiteSettings], mesh: IPv4Network) -> Iterator[str]:
    """Ranges that overlap: a packet for one would go to the other."""
    found: list[tuple[str, IPv4Network]] = [("mesh.network", mesh)]
    for name, site in sites.items():
        cloud = site.openstack or site.aws
        if cloud is None or cloud.network.cidr is None:
            continue
        path = f"sites.{name}.{'openstack' if site.openstack else 'aws'}.network.cidr"
        for other, network in found:
            if network.overlaps(cloud.network.cidr):
                yield f"{path}: {cloud.network.cidr} overlaps {other}, {network}; give each a different range"
        if site.aws and cloud.network.cidr.prefixlen > SMALLEST_VPC:
            yield f"{path}: {cloud.network.cidr} is too small for subnets of eight zones; use a /25 or wider"
        found.append((path, cloud.network.cidr))


def _openstack(name: str, host: HostSettings, machine: OpenStackHost, site: SiteSettings) -> Iterator[str]:
    if site.openstack is None:
        yield f"hosts.{name}.openstack: sites.{host.site} has no openstack block; add one, or give the host an address"
        return
    path = f"hosts.{name}.openstack.fixed_address"
    cidr = site.openstack.network.cidr
    if cidr and not machine.floating_address:
        yield (
            f"hosts.{name}.openstack.floating_address: false, but nobody outside can reach {cidr}; "
            "set it to true, or use a network.existing that can be reached"
        )
    if machine.fixed_address is None:
        return
    address = IPv4Address(machine.fixed_address)
    if host.role == "worker":
        yield f"{path}: {address} is not possible for a worker, whose next generation runs beside it; leave it out"
    # The first address of a subnet is its gateway's, the last one is the broadcast address.
    if cidr and (address not in cidr or address in (cidr[0], cidr[1], cidr[-1])):
        yield f"{path}: {address} is outside the range for machines in {cidr}, {cidr[2]} to {cidr[-2]}"


def _aws(name: str, host: HostSettings, machine: AwsHost, site: SiteSettings) -> Iterator[str]:
    if site.aws is None:
        yield f"hosts.{name}.aws: sites.{host.site} has no aws block; add one, or give the host an address"
        return
    if host.role != "worker":
        yield f"hosts.{name}.aws: only workers may be on AWS; a host with role: {host.role} must be elsewhere"
    if not machine.zone.startswith(site.aws.region):
        region = f"sites.{host.site}.aws.region, {site.aws.region}"
        yield f"hosts.{name}.aws.zone: {machine.zone} is not in {region}; use one of its zones"
