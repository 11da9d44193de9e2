"""Where things are, and whose machines they are on."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from fortress.cloud import CLASS_KEY
from fortress.sovereignty.evidence import CLOUDS, Evidence, Resource, Withheld
from fortress.sovereignty.finding import Outcome, RuleFinding, rule
from fortress.sovereignty.rules.words import about, no_register, unseen
from fortress.values import DataClass

EDPB_01 = "EDPB recommendations 01/2020, version 2.0, annex 2"
EDPB_05 = "EDPB guidelines 05/2021, example 12"

CLASSES: tuple[DataClass, ...] = ("none", "pseudonymised", "ciphertext", "personal")
KEEPERS = {
    "openstack:compute/instance:Instance": "metadata",
    "openstack:blockstorage/volume:Volume": "metadata",
    "openstack:objectstorage/container:Container": "metadata",
    "openstack:sharedfilesystem/share:Share": "metadata",
    "openstack:images/image:Image": "properties",
    "aws:ec2/instance:Instance": "tags",
    "aws:ec2/launchTemplate:LaunchTemplate": "tags",
}
"""Types that keep data, and the property by which each says what class of data."""

AWS_TYPES = frozenset(
    f"aws:{kind}"
    for kind in (
        *("ec2/instance:Instance", "ec2/launchTemplate:LaunchTemplate", "ec2/placementGroup:PlacementGroup"),
        *("ec2/keyPair:KeyPair", "ec2/vpc:Vpc", "ec2/subnet:Subnet", "ec2/internetGateway:InternetGateway"),
        *("ec2/egressOnlyInternetGateway:EgressOnlyInternetGateway", "ec2/natGateway:NatGateway", "ec2/eip:Eip"),
        *("ec2/eipAssociation:EipAssociation", "ec2/route:Route", "ec2/routeTable:RouteTable"),
        *("ec2/routeTableAssociation:RouteTableAssociation", "ec2/networkInterface:NetworkInterface"),
        *("ec2/networkAcl:NetworkAcl", "ec2/networkAclRule:NetworkAclRule", "ec2/securityGroup:SecurityGroup"),
        *("ec2/securityGroupRule:SecurityGroupRule", "vpc/securityGroupIngressRule:SecurityGroupIngressRule"),
        *("vpc/securityGroupEgressRule:SecurityGroupEgressRule", "ec2/defaultSecurityGroup:DefaultSecurityGroup"),
        *("ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation", "ec2/spotInstanceRequest:SpotInstanceRequest"),
    )
)
"""Compute and network of AWS."""

HARMLESS = frozenset(
    ("command", "pulumi", "fortress", "random", "tls", "time", "null", "pulumi-python", "pulumi-nodejs")
)
"""Packages whose resources are nowhere: they run here, or on hosts that the stack has already."""

DATA_OUT = {
    "openstack:images/imageAccess:ImageAccess": "shares an image with another project",
    "openstack:images/imageAccessAccept:ImageAccessAccept": "takes an image of another project",
    "openstack:blockstorage/volumeV2:VolumeV2": "is of an interface without data classes",
    "openstack:orchestration/stackV1:StackV1": "makes resources that no rule sees",
    "aws:ec2/amiCopy:AmiCopy": "copies an image to another region",
    "aws:ec2/amiFromInstance:AmiFromInstance": "makes an image of a running machine",
    "aws:ec2/amiLaunchPermission:AmiLaunchPermission": "shares an image with another account",
    "aws:ec2/imageBlockPublicAccess:ImageBlockPublicAccess": "decides on the public sharing of images",
    "aws:ec2/snapshotCreateVolumePermission:SnapshotCreateVolumePermission": "shares a snapshot with another account",
    "aws:ebs/snapshot:Snapshot": "copies a disk",
    "aws:ebs/snapshotCopy:SnapshotCopy": "copies a snapshot to another region",
    "aws:ebs/snapshotImport:SnapshotImport": "makes a snapshot of a disk's image",
    "aws:rds/snapshotCopy:SnapshotCopy": "copies a snapshot to another region",
    "aws:rds/clusterSnapshotCopy:ClusterSnapshotCopy": "copies a snapshot to another region",
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": "replicates a bucket",
    "aws:s3/bucketReplicationConfigV2:BucketReplicationConfigV2": "replicates a bucket",
    "aws:dynamodb/tableReplica:TableReplica": "replicates a table",
    "aws:rds/globalCluster:GlobalCluster": "replicates a database to other regions",
}
"""Types that carry data elsewhere."""

COPIES = {
    "openstack:objectstorage/container:Container": ("containerSyncTo", "containerSyncKey"),
    "openstack:blockstorage/volume:Volume": ("backupId", "sourceReplica"),
    "openstack:images/image:Image": ("imageSourceUrl",),
    "aws:s3/bucket:Bucket": ("replicationConfiguration",),
    "aws:s3/bucketV2:BucketV2": ("replicationConfigurations",),
    "aws:dynamodb/table:Table": ("replicas",),
    "aws:secretsmanager/secret:Secret": ("replicas",),
    "aws:ecr/replicationConfiguration:ReplicationConfiguration": ("replicationConfiguration",),
}
"""Properties by which a resource copies what it keeps, or is a copy, by type."""


@rule(
    "data-class",
    why="Which rules hold for a resource depends on what it keeps, which its type does not say.",
    source="Article 30(1) GDPR: categories of data are part of the record",
)
def data_class(evidence: Evidence) -> Iterator[RuleFinding]:
    """Everything that keeps data says what class of data: metadata or tag `data-class`."""
    known = ", ".join(CLASSES)
    for resource in evidence.of_type(*KEEPERS):
        where = KEEPERS[resource.type]
        cure = f"set {where} {CLASS_KEY} to one of {known}"
        found = resource.get(where, CLASS_KEY)
        if isinstance(found, Withheld):
            yield unseen(resource, f"{where}.{CLASS_KEY}", found, cure)
        elif found is None:
            yield about(resource, f"UNDECLARED: no {CLASS_KEY} in its {where}", cure)
        elif found not in CLASSES:
            yield about(resource, f"{CLASS_KEY} {found!r} is no class of data", cure)


@rule(
    "sovereign-storage",
    why="A region in the EEA does not help where the company that runs it can be ordered to hand data over by a third "
    "country.",
    source=f"{EDPB_05}; {EDPB_01}, use case 6",
)
def sovereign_storage(evidence: Evidence) -> Iterator[RuleFinding]:
    """Personal data is kept only where the operator and its ultimate parent company are inside the profile's area."""
    if evidence.declared is None:
        return
    yield from no_register(evidence, "who runs the sites is not known")
    if evidence.settings:
        yield from _sites(evidence)
        yield from _kept(evidence)
    for resource in evidence.of_type(*KEEPERS):
        if resource.get(KEEPERS[resource.type], CLASS_KEY) != "personal":
            continue
        sites = evidence.sites_of(resource)
        cure = "keep it at a sovereign site, or keep no personal data in it"
        if isinstance(sites, Withheld):
            yield unseen(resource, "its region", sites, cure)
        elif not sites:
            yield about(resource, "keeps personal data at a place that is none of the settings' sites", cure)
        elif not all(evidence.declared.sites[site].sovereign for site in sites):
            yield about(resource, f"keeps personal data at {', '.join(sites)}, which is not sovereign", cure)


def _sites(evidence: Evidence) -> Iterator[RuleFinding]:
    sites = evidence.declared.sites if evidence.declared else {}
    for name, site in sites.items():
        operator = evidence.operator(name)
        if site.sovereign and operator and (why := evidence.outside(operator)):
            yield RuleFinding(
                f"sites.{name}.sovereign",
                f"true, but {site.operator} {why}, outside the {evidence.profile}",
                "choose an operator inside, or set it to false and keep no personal data there",
            )


def _kept(evidence: Evidence) -> Iterator[RuleFinding]:
    """Data that is kept somewhere by the settings alone."""
    assert evidence.declared is not None  # noqa: S101 - the caller looked
    sites = evidence.declared.sites
    places = {host.setting: host.site for host in evidence.declared.hosts.values()}
    for host in evidence.declared.hosts.values():
        if host.data_class == "personal" and not sites[host.site].sovereign:
            yield RuleFinding(
                f"hosts.{host.setting}.site",
                f"{host.site} is not sovereign, and the host keeps personal data",
                "place it at a sovereign site, or keep no personal data on it (data_class)",
            )
    for name, data in (evidence.register.data_sets if evidence.register else {}).items():
        if data.data_class != "personal":
            continue
        path = f"sovereignty.data_sets.{name}"
        if not data.stored_on:
            yield RuleFinding(f"{path}.stored_on", "UNDECLARED: where it is kept", "name the hosts or containers")
        for index, place in enumerate(data.stored_on):
            site = places.get(place, place.partition("/")[0])
            if not sites[site].sovereign:
                cure = "keep it at a sovereign site, pseudonymise it, or encrypt it with a key of your own"
                yield RuleFinding(f"{path}.stored_on[{index}]", f"{place} is at {site}, which is not sovereign", cure)
        for index, site in enumerate(data.backups_at):
            if not sites[site].sovereign:
                cure = "keep backups at a sovereign site"
                yield RuleFinding(f"{path}.backups_at[{index}]", f"{site} is not sovereign", cure)


@rule(
    "openstack-endpoint",
    why="A login to another cloud, or to another region of it, puts everything that follows there.",
    source="docs.openstack.org, keystoneauth: auth_url and region_name decide which services are used",
)
def openstack_endpoint(evidence: Evidence) -> Iterator[RuleFinding]:
    """OpenStack is used at the identity service and in the region of a site, which its operator is known for."""
    if evidence.declared is None:
        return
    sites = evidence.sites_on("openstack")
    if evidence.settings:
        for name, site in sites.items():
            operator, host = evidence.operator(name), urlsplit(site.auth_url or "").hostname
            if operator and host not in operator.endpoints:
                cure = f"correct it, or add {host} to sovereignty.operators[{site.operator!r}].endpoints"
                yield RuleFinding(f"sites.{name}.openstack.auth_url", f"{host} is no endpoint of {site.operator}", cure)
        yield from _sites_regions(evidence, "openstack")
    hosts = {urlsplit(site.auth_url or "").hostname for site in sites.values()}
    regions = {site.region for site in sites.values()}
    for provider in evidence.of_type("pulumi:providers:openstack"):
        url = provider.get("authUrl")
        cure = f"use one of the settings' sites: {', '.join(sorted(map(str, hosts))) or 'none is on OpenStack'}"
        if not isinstance(url, str):
            yield unseen(provider, "authUrl", url, cure)
        elif urlsplit(url).hostname not in hosts or urlsplit(url).scheme != "https":
            yield about(provider, f"logs in at {url}, which no site has", cure)
        yield from _region(provider, provider.get("region"), regions)
    for resource in evidence.of_package("openstack"):
        if resource.get("region") is not None:
            yield from _region(resource, resource.get("region"), regions)


def _sites_regions(evidence: Evidence, cloud: str) -> Iterator[RuleFinding]:
    """Sites in regions that the register does not know of their operator."""
    for name, site in evidence.sites_on(cloud).items():
        operator = evidence.operator(name)
        if operator and site.region not in operator.regions:
            cure = f"correct it, or add {site.region} to sovereignty.operators[{site.operator!r}].regions"
            yield RuleFinding(f"sites.{name}.{cloud}.region", f"{site.region} is no region of {site.operator}", cure)


def _region(resource: Resource, region: object, allowed: set[str | None]) -> Iterator[RuleFinding]:
    cure = f"use a region of the settings' sites: {', '.join(sorted(map(str, allowed))) or 'none'}"
    if not isinstance(region, str):
        yield unseen(resource, "its region", region, cure)
    elif region not in allowed:
        yield about(resource, f"is in region {region}, which no site has", cure)


@rule(
    "aws-region",
    why="Each AWS resource may have a region of its own, which overrules that of the login.",
    source="Pulumi AWS provider 7: the property `region` of every resource",
)
def aws_region(evidence: Evidence) -> Iterator[RuleFinding]:
    """The region in effect of everything on AWS is one that the settings name and the register allows."""
    if evidence.declared is None:
        return
    if evidence.settings:
        yield from _sites_regions(evidence, "aws")
    allowed = {site.region for site in evidence.sites_on("aws").values()}
    for provider in evidence.of_type("pulumi:providers:aws"):
        yield from _region(provider, provider.get("region"), allowed)
    for resource in evidence.of_package("aws"):
        if resource.provider or resource.get("region") is not None:
            yield from _region(resource, evidence.region_of(resource), allowed)


@rule(
    "default-providers",
    why="A default provider logs in with whatever the shell of whoever runs the engine has: another account, region or "
    "cloud.",
    source="pulumi.com/docs, Providers: default provider configuration; `pulumi:disable-default-providers`",
)
def default_providers(evidence: Evidence) -> Iterator[RuleFinding]:
    """Resources of clouds have an explicit provider, and default ones are disabled."""
    uses_clouds = evidence.declared and any(site.cloud for site in evidence.declared.sites.values())
    if evidence.settings and uses_clouds:
        disabled = evidence.toolchain.disabled_providers
        path, cure = "pulumi:disable-default-providers", f"set it to [{', '.join(CLOUDS)}] in the stack file"
        if disabled is None:
            yield RuleFinding(path, "it is not known", cure, Outcome.NOT_EVALUATED)
        elif "*" not in disabled and (missing := [cloud for cloud in CLOUDS if cloud not in disabled]):
            yield RuleFinding(path, f"does not have {', '.join(missing)}", cure)
    for resource in evidence.resources:
        if resource.package not in HARMLESS and not resource.is_provider:
            name = resource.provider.split("::")[3] if resource.provider.count("::") >= 3 else ""
            if not resource.provider or name == "default" or name.startswith("default_"):
                yield about(
                    resource,
                    f"has no explicit provider: {resource.package} would be used as the shell happens to be logged in",
                    "give it the provider of its site",
                )
        elif resource.is_provider and resource.package not in HARMLESS and resource.name.startswith("default"):
            yield about(resource, "is a default provider", "make an explicit one for the site")


@rule(
    "aws-types",
    why="Workers need machines and a network. Everything else that a cloud offers keeps something, and its operator "
    "needs it in clear text.",
    source=f"{EDPB_01}, use case 6",
)
def aws_types(evidence: Evidence) -> Iterator[RuleFinding]:
    """On AWS there are machines and networks only, and no other cloud is used that the rules do not know."""
    for resource in evidence.resources:
        if resource.is_provider or resource.package in HARMLESS or resource.package == "openstack":
            continue
        if resource.package == "aws":
            if resource.type not in AWS_TYPES:
                cure = "keep it at a sovereign site; on AWS only compute and network types are allowed"
                yield about(resource, f"{resource.type} is neither compute nor network", cure)
        else:
            yield RuleFinding(
                resource.name,
                f"no rule knows the package {resource.package}",
                "leave it out, or exempt this resource for a time (sovereignty.exemptions)",
                Outcome.NOT_EVALUATED,
                resource.urn,
            )


@rule(
    "replication",
    why="A copy elsewhere is a transfer, whoever makes it, and no flow shows it.",
    source="Article 44 GDPR; docs.openstack.org, Swift: container sync",
)
def replication(evidence: Evidence) -> Iterator[RuleFinding]:
    """Nothing copies images, snapshots, buckets, containers or tables elsewhere."""
    for resource in evidence.resources:
        if why := DATA_OUT.get(resource.type):
            yield about(resource, f"{resource.type} {why}", "leave it out; backups go to a sovereign site, encrypted")
        elif resource.type.startswith("aws:backup/"):
            yield about(resource, "AWS Backup keeps and copies data", "leave it out")
        for name in COPIES.get(resource.type, ()):
            value = resource.get(name)
            if isinstance(value, Withheld):
                yield unseen(resource, name, value, f"leave {name} out")
            elif value:
                yield about(resource, f"{name} copies data from or to another place", f"leave {name} out")
