"""Settings of sites and hosts: where machines come from, and which of them cannot stand side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fortress import mariadb, wireguard
from fortress.cloud import Zone
from fortress.settings.types import Https, ProjectPath
from fortress.values import Address, HostKey, Model, Name, Network, OneLine, distinct, matching

Role = Literal["database", "edge", "worker"]
Region = Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-[0-9]", "a region of AWS, such as eu-central-1")]
InstanceType = Annotated[str, matching(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "a type of EC2, such as c5.large")]
Owner = Annotated[str, matching(r"[0-9]{12}", "the 12 digits of an AWS account, in quotes")]
Container = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "1 to 63 letters, digits, dots, _ and -")]
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
    """File in this project; the key pair is made from it. When not given, the cloud has one of this name."""


class CloudNetwork(Model):
    """A network that the stack makes (`cidr`), or one that is there (`existing`)."""

    cidr: Network | None = None
    """Range of a network to be made; it overlaps neither the mesh nor another site's. /25 or wider on AWS."""
    existing: OneLine | None = None
    """Name of an OpenStack network, id of a VPC."""

    @model_validator(mode="after")
    def _one(self) -> CloudNetwork:
        if (self.cidr is None) == (self.existing is None):
            raise ValueError("cidr: give either cidr, for a network to be made, or existing, for one that is there")
        return self


class OpenStackNetwork(CloudNetwork):
    """The network of an OpenStack site."""

    dns: Annotated[list[Address], AfterValidator(distinct)] = []
    """Name servers that its machines are given; the cloud's own when empty."""

    @model_validator(mode="after")
    def _of_what_is_made(self) -> OpenStackNetwork:
        if self.existing and self.dns:
            raise ValueError("dns: a network that is there has its own; leave it out")
        return self


class AwsNetwork(CloudNetwork):
    """The VPC of an AWS site."""

    ipv6: bool = False
    """Whether the VPC and its machines get IPv6 too."""

    @model_validator(mode="after")
    def _of_what_is_made(self) -> AwsNetwork:
        if self.existing and self.ipv6:
            raise ValueError("ipv6: a VPC that is there has its own ranges; leave it out")
        return self


class ObjectContainer(Model):
    """A private object container."""

    versioning: bool = True
    """Whether old versions of its objects are kept."""
    expire_days: Annotated[int, Field(ge=1)] | None = None
    """After how many days its objects end; they stay when not given."""


class OpenStackSite(Model):
    """An OpenStack project. Credentials: `OS_*` variables, clouds.yaml, or an application credential."""

    auth_url: Https
    """Of the identity service (Keystone), such as https://api.coolvds.com/v3."""
    region: OneLine
    """Such as NO-Oslo-1."""
    project_id: OneLine | None = None
    """The project that the credentials must be of: those of another one would miss all that stands."""
    application_credential_id: OneLine | None = None
    """With the secret setting `openstack_application_credential_secret`."""
    external_network: OneLine
    """Name of the network that leads out, and that floating addresses come from."""
    network: OpenStackNetwork
    key_pair: KeyPair
    containers: dict[Container, ObjectContainer] = {}
    """Object containers to be made, by name."""


class AwsImage(Model):
    """Which machine image, by who publishes it and the pattern of its name; the newest one."""

    owner: Owner = "136693071363"
    """Debian's account (https://wiki.debian.org/Cloud/AmazonEC2Image); Canonical's is 099720109477."""
    name: OneLine = "debian-13-amd64-*"
    """Pattern of its name, with * and ?."""
    pinned: bool = True
    """Whether a machine keeps the image it was made with. When false, a newer image replaces it."""


class AwsSite(Model):
    """An AWS account and region. Credentials: `AWS_*` variables, ~/.aws, or an access key."""

    region: Region = "eu-central-1"
    """Where its machines stand."""
    account_id: Owner | None = None
    """The account that the credentials must be of: those of another one would miss all that stands."""
    access_key_id: Annotated[str, matching(r"[A-Z0-9]{16,128}", "the id of an access key")] | None = None
    """With the secret setting `aws_secret_access_key`."""
    network: AwsNetwork
    key_pair: KeyPair
    image: AwsImage = AwsImage()
    tags: Tags = {}
    """On everything that the stack makes here."""


class Site(Model):
    """A place where hosts stand, who operates it, and the cloud that makes machines there."""

    operator: OneLine
    """Who runs the machines: the company's name."""
    country: Annotated[str, matching(r"[A-Z]{2}", "a country's two letters (ISO 3166), such as NO")]
    """Where the machines are. `"NO"` in quotes: YAML reads a bare NO as false."""
    sovereign: bool
    """Whether personal data may rest here; true for the site of the database."""
    openstack: OpenStackSite | None = None
    aws: AwsSite | None = None

    @model_validator(mode="after")
    def _one_cloud(self) -> Site:
        if self.openstack and self.aws:
            raise ValueError("aws: a site is of one cloud; make two sites of it")
        return self


class OpenStackHost(Model):
    """A machine of an OpenStack site."""

    name: Note | None = None
    """The instance's name; the host's when not given."""
    flavor: OneLine
    """By name, as `openstack flavor list` has it."""
    image: OneLine
    """Name or id."""
    image_pinned: bool = True
    """Whether the machine keeps the image it was made with. When false, a newer image replaces it."""
    fixed_address: Annotated[str, matching(r"[0-9.]+", "an IPv4 address")] | None = None
    """Inside the site's network; the cloud's choice when not given. Not for a worker, whose next generation stands
    beside it."""
    floating_address: bool = True
    """Whether it gets an address from the external network, which outlives the machine."""
    security_groups: Annotated[list[OneLine], AfterValidator(distinct)] = []
    """Groups that are there already, by name, besides those that the stack makes."""
    metadata: dict[Annotated[str, matching(r"[A-Za-z0-9_.:-]{1,255}", "a metadata key")], Note] = {}
    """Of the instance, as `{role: primary-db}`."""
    availability_zone: OneLine | None = None
    """The cloud's choice when not given."""


class AwsHost(Model):
    """A worker on AWS."""

    type: InstanceType = "c5.large"
    """How large a machine."""
    zone: Zone
    """Where in the site's region."""
    disk_gb: Annotated[int, Field(ge=8, le=16384)] = 20
    """Of its root disk."""
    spot: bool = False
    """Cheaper, and taken away when AWS wants it."""
    tags: Tags = {}
    """On the machine, besides the site's."""


class Host(Model):
    """One machine: one that exists (`address`), or one that the stack makes (`openstack`, `aws`).

    Each host has exactly one of the three. One host has `role: database`, at a sovereign site, one has `role: edge`,
    and at least one has `role: worker`; on AWS stand workers only.
    """

    site: Name
    """Where it stands: a name under `sites`."""
    role: Role
    """What it is for."""
    slot: Annotated[int, Field(ge=1)]
    """The host's fixed place in the mesh network, which no other host has: slot 1 of 10.100.0.0/24 is 10.100.0.1."""
    address: Address | None = None
    """Where a machine that exists answers SSH, and where others of the mesh find it when it is a hub."""
    openstack: OpenStackHost | None = None
    aws: AwsHost | None = None
    generation: Annotated[int, Field(ge=1)] = 1
    """Of a worker that the stack makes: raised by one, a new machine takes over before the old one leaves."""
    host_key: HostKey | None = None
    """Pinned when given; learnt once at first contact otherwise."""
    memory_mb: mariadb.Memory | None = None
    """Memory to size services by, in MB; the machine's own when not given."""
    incarnation: Annotated[int, Field(ge=1)] = 1
    """Raised by one when another machine took over an `address`: its key is learnt anew, everything pushed again."""
    gone: bool = False
    """The machine is lost: nothing contacts it any more, so that it can be taken out of the settings."""

    @model_validator(mode="after")
    def _one_origin(self) -> Host:
        if sum(origin is not None for origin in (self.address, self.openstack, self.aws)) != 1:
            raise ValueError("address: give exactly one of address, for a machine that exists, openstack and aws")
        if self.made:
            for given, name in ((self.host_key, "host_key"), (self.incarnation > 1, "incarnation")):
                if given:
                    raise ValueError(
                        f"{name}: is for a machine that exists; leave it out: the cloud says which machine this one is"
                    )
        if self.gone and self.made and self.role == "worker":
            raise ValueError("gone: is not for a worker that the stack makes; take it out, or raise its generation")
        if self.generation > 1 and not (self.made and self.role == "worker"):
            raise ValueError(f"generation: {self.generation} is for a worker that the stack makes; leave it out")
        return self

    @property
    def made(self) -> bool:
        """Whether the stack makes the machine."""
        return self.address is None


def problems(sites: Mapping[str, Site], hosts: Mapping[str, Host], mesh: IPv4Network) -> Iterable[str]:
    """What is wrong with hosts side by side, each as `path: what, and the cure`."""
    yield from _taken_twice(hosts, mesh)
    yield from _networks(sites, mesh)
    for name, host in hosts.items():
        if host.site not in sites:
            yield f"hosts.{name}.site: {host.site!r} is not in sites; known: {', '.join(sites)}"
        elif host.openstack:
            yield from _openstack(name, host, host.openstack, sites[host.site])
        elif host.aws:
            yield from _aws(name, host, host.aws, sites[host.site])


def _taken_twice(hosts: Mapping[str, Host], mesh: IPv4Network) -> Iterator[str]:
    room = wireguard.capacity(mesh)
    slots: dict[int, str] = {}
    addresses: dict[tuple[str, str], str] = {}
    for name, host in hosts.items():
        if host.slot > room:
            yield f"hosts.{name}.slot: {host.slot} is outside {mesh}, which has slots 1 to {room}"
        if other := slots.get(host.slot):
            yield f"hosts.{name}.slot: {host.slot} is taken by hosts.{other}; give each host a slot of its own"
        slots[host.slot] = name
        if host.address:
            if other := addresses.get(("", host.address)):
                yield f"hosts.{name}.address: {host.address} is taken by hosts.{other}"
            if ip_address(host.address) in mesh:
                yield f"hosts.{name}.address: {host.address} lies inside mesh.network {mesh}"
            addresses["", host.address] = name
        if host.openstack and (fixed := host.openstack.fixed_address):
            if other := addresses.get((host.site, fixed)):
                yield f"hosts.{name}.openstack.fixed_address: {fixed} is taken by hosts.{other}; give it one of its own"
            addresses[host.site, fixed] = name


def _networks(sites: Mapping[str, Site], mesh: IPv4Network) -> Iterator[str]:
    """Ranges that overlap: a packet for one would go to the other."""
    found: list[tuple[str, IPv4Network]] = [("mesh.network", mesh)]
    for name, site in sites.items():
        cloud = site.openstack or site.aws
        if cloud is None or cloud.network.cidr is None:
            continue
        path = f"sites.{name}.{'openstack' if site.openstack else 'aws'}.network.cidr"
        for other, network in found:
            if network.overlaps(cloud.network.cidr):
                yield f"{path}: {cloud.network.cidr} overlaps {other}, {network}; give each a range of its own"
        if site.aws and cloud.network.cidr.prefixlen > 25:
            yield f"{path}: {cloud.network.cidr} is too narrow for subnets of eight zones; take a /25 or wider"
        found.append((path, cloud.network.cidr))


def _openstack(name: str, host: Host, machine: OpenStackHost, site: Site) -> Iterator[str]:
    if site.openstack is None:
        yield f"hosts.{name}.openstack: sites.{host.site} has no openstack block; give it one, or the host an address"
        return
    path = f"hosts.{name}.openstack.fixed_address"
    cidr = site.openstack.network.cidr
    if cidr and not machine.floating_address:
        yield (
            f"hosts.{name}.openstack.floating_address: false, and nobody outside reaches {cidr}; "
            "set it to true, or use a network.existing that is reached"
        )
    if machine.fixed_address is None:
        return
    try:
        address = IPv4Address(machine.fixed_address)
    except ValueError:
        yield f"{path}: {machine.fixed_address!r} must be an IPv4 address"
        return
    if host.role == "worker":
        yield f"{path}: {address} cannot stand for a worker, whose next generation stands beside it; leave it out"
    # The first address of a subnet is its gateway's, the last one is everyone's.
    if cidr and (address not in cidr or address in (cidr[0], cidr[1], cidr[-1])):
        yield f"{path}: {address} is outside the machines' part of {cidr}, {cidr[2]} to {cidr[-2]}"


def _aws(name: str, host: Host, machine: AwsHost, site: Site) -> Iterator[str]:
    if site.aws is None:
        yield f"hosts.{name}.aws: sites.{host.site} has no aws block; give it one, or the host an address"
        return
    if host.role != "worker":
        yield f"hosts.{name}.aws: machines on AWS are workers; a host with role: {host.role} stands elsewhere"
    if not machine.zone.startswith(site.aws.region):
        region = f"sites.{host.site}.aws.region, {site.aws.region}"
        yield f"hosts.{name}.aws.zone: {machine.zone} is not in {region}; take one of its zones"
