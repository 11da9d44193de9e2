"""Each rule: it holds for a good stack, and finds what is wrong in bad ones, which never come through green."""

from __future__ import annotations

import base64
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from fortress import firewall, push, text
from fortress.settings.declare import declare
from fortress.settings.parse import parse
from fortress.sovereignty import evaluate
from fortress.sovereignty.declared import DeclaredBackup
from fortress.sovereignty.evidence import Evidence, Resource, Toolchain, Withheld
from fortress.sovereignty.finding import Outcome, RuleFinding
from fortress.sovereignty.register import Rule
from fortress.sovereignty.rules.flows import DerivedFlow, derived
from tests.unit.evidence import (
    AT_HOME,
    CAREFUL,
    COMMAND,
    CONTAINER,
    FRANKFURT,
    GROUP_RULE,
    HTTPS,
    INGRESS,
    INSTANCE,
    PERSONAL,
    SERVER,
    TODAY,
    VOLUME,
    WORKER,
    altered,
    evidence,
    found,
    resource,
)
from tests.unit.stack_file import GONE, ROOT, changed, lab

UNKNOWN, SECRET = Withheld.UNKNOWN, Withheld.SECRET
CUSTOMERS = "sovereignty/data_sets/customers"
REQUESTS = "sovereignty/flows/frankfurt-requests"
AWS = "sovereignty/operators/Amazon Web Services"
COOLVDS = "sovereignty/operators/CoolVDS"
ACCOUNT_AT_HOME = {"edge/home_paths": ["/account"]}
DATABASE_TO_ALL = {**HTTPS, "portRangeMin": 3306, "portRangeMax": 3306}
OPEN = firewall.render_base(firewall.Base(operators=["192.0.2.10/32"], ssh_port=22))
PLAIN_DB = "[mariadbd]\nport = 3306\n"


@dataclass(frozen=True)
class Bad:
    """A stack that one rule must not let through, and the words that say why."""

    rule: Rule
    words: str
    resources: Sequence[Resource] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    toolchain: Toolchain = AT_HOME
    today: date = TODAY
    outcome: Outcome = Outcome.FAILED


def aws(kind: str, **properties: Any) -> list[Resource]:
    return [resource(f"aws:{kind}", "x", properties)]


def worker(**properties: Any) -> list[Resource]:
    return [altered("fra-1.1-machine-instance", **properties)]


def login(name: str, **properties: Any) -> list[Resource]:
    return [altered(name, **properties)]


def server(**properties: Any) -> list[Resource]:
    return [altered("oslo-db-machine-instance", **properties)]


def container(**properties: Any) -> list[Resource]:
    return [altered("oslo-backups", **properties)]


def volume(**properties: Any) -> list[Resource]:
    return [altered("db-data", **properties)]


def image(**properties: Any) -> list[Resource]:
    return [resource("openstack:images/image:Image", "x", {"properties": {"data-class": "none"}, **properties})]


def share(**properties: Any) -> list[Resource]:
    return [resource("openstack:sharedfilesystem/share:Share", "x", {"metadata": {"data-class": "none"}, **properties})]


BOOTS: Mapping[str, Any] = {"sourceType": "image", "destinationType": "volume", "bootIndex": 0}


def ingress(properties: Mapping[str, Any], kind: str = GROUP_RULE) -> list[Resource]:
    return [resource(kind, "x", properties)]


NOT = Outcome.NOT_EVALUATED
BAD: dict[str, Bad] = {
    # 1
    "a volume of no class": Bad("data-class", "UNDECLARED: no data-class in its metadata", volume(metadata=None)),
    "a worker of no class": Bad("data-class", "no data-class in its tags", worker(tags={"Name": "x"})),
    "a class that is none": Bad("data-class", "'private' is no class", container(metadata={"data-class": "private"})),
    "a class that is unknown": Bad("data-class", "not known yet", container(metadata=UNKNOWN), outcome=NOT),
    # 2
    "personal data on a worker": Bad(
        "sovereign-storage", "at frankfurt, which is not sovereign", worker(tags=PERSONAL)
    ),
    "personal data in another region": Bad(
        "sovereign-storage", "none of the settings' sites", volume(region="NO-Bergen-1")
    ),
    "an operator that was bought": Bad(
        "sovereign-storage", "has its parent company in US", settings={f"{COOLVDS}/parent_country": "US"}
    ),
    "a Norwegian operator in the EU's profile": Bad(
        "sovereign-storage", "is established in NO, outside the EU", settings={"sovereignty/profile": "EU"}
    ),
    "a data set in Frankfurt": Bad(
        "sovereign-storage", "fra-1 is at frankfurt", settings={f"{CUSTOMERS}/stored_on": ["fra-1"]}
    ),
    "backups in Frankfurt": Bad(
        "sovereign-storage", "frankfurt is not sovereign", settings={f"{CUSTOMERS}/backups_at": ["frankfurt"]}
    ),
    "a host of personal data in Frankfurt": Bad(
        "sovereign-storage", "frankfurt is not sovereign", settings={"hosts/fra-1/data_class": "personal"}
    ),
    "a data set that is kept nowhere": Bad(
        "sovereign-storage", "where it is kept", settings={f"{CUSTOMERS}/stored_on": []}
    ),
    # 3
    "another OpenStack": Bad(
        "openstack-endpoint", "logs in at https://evil.example/v3", login("oslo", authUrl="https://evil.example/v3")
    ),
    "OpenStack without TLS": Bad(
        "openstack-endpoint", "logs in at http:", login("oslo", authUrl="http://api.coolvds.com/v3")
    ),
    "another region of OpenStack": Bad("openstack-endpoint", "SE-1", login("oslo", region="SE-1")),
    "a resource in another region": Bad("openstack-endpoint", "SE-1", volume(region="SE-1")),
    "a login by the shell's variables": Bad(
        "openstack-endpoint", "authUrl is not given", login("oslo", authUrl=None), outcome=NOT
    ),
    "a login that is not known yet": Bad(
        "openstack-endpoint", "not known yet", login("oslo", authUrl=UNKNOWN), outcome=NOT
    ),
    "an endpoint that the operator is not known for": Bad(
        "openstack-endpoint",
        "example.org is no endpoint of CoolVDS",
        login("oslo", authUrl="https://example.org/v3"),
        {"sites/oslo/openstack/auth_url": "https://example.org/v3"},
    ),
    "a region that the operator is not known for": Bad(
        "openstack-endpoint", "NO-Oslo-1 is no region", settings={f"{COOLVDS}/regions": ["NO-Oslo-2"]}
    ),
    # 4
    "another region of AWS": Bad("aws-region", "us-east-1", login("frankfurt", region="us-east-1")),
    "a region of its own": Bad("aws-region", "us-east-1", worker(region="us-east-1")),
    "a region that is not known": Bad("aws-region", "not known yet", worker(region=UNKNOWN), outcome=NOT),
    "a region by the shell's variables": Bad("aws-region", "not given", login("frankfurt", region=None), outcome=NOT),
    "a region that is not allowed": Bad("aws-region", "no region of Amazon", settings={f"{AWS}/regions": []}),
    # 5
    "default providers are enabled": Bad(
        "default-providers", "does not have aws", toolchain=replace(AT_HOME, disabled_providers=("openstack",))
    ),
    "nobody knows of default providers": Bad(
        "default-providers", "not known", toolchain=replace(AT_HOME, disabled_providers=None), outcome=NOT
    ),
    "no provider": Bad("default-providers", "has no explicit provider", worker(provider="")),
    "a default provider in a state": Bad(
        "default-providers", "no explicit provider", worker(provider=FRANKFURT.replace("frankfurt", "default_7_51_1"))
    ),
    # 6
    "a bucket": Bad("aws-types", "neither compute nor network", aws("s3/bucketV2:BucketV2", bucket="x")),
    "a database of AWS": Bad("aws-types", "neither compute nor network", aws("rds/instance:Instance")),
    "a disk of AWS": Bad("aws-types", "neither compute nor network", aws("ebs/volume:Volume", encrypted=True)),
    "another cloud": Bad(
        "aws-types",
        "no rule knows the package azure-native",
        [resource("azure-native:storage:StorageAccount", "x", {}, provider="urn:a::b::c::d")],
        outcome=NOT,
    ),
    # 7
    "an image copied to another region": Bad(
        "replication", "copies an image", aws("ec2/amiCopy:AmiCopy", sourceAmiRegion="eu-central-1")
    ),
    "a snapshot shared": Bad(
        "replication",
        "shares a snapshot",
        aws("ec2/snapshotCreateVolumePermission:SnapshotCreateVolumePermission"),
    ),
    "a bucket replicated": Bad("replication", "replicates", aws("s3/bucketReplicationConfig:BucketReplicationConfig")),
    "a container synced": Bad(
        "replication", "containerSyncTo copies", container(containerSyncTo="https://elsewhere.example/v1/AUTH_x/c")
    ),
    "a container synced to who knows": Bad("replication", "not known", container(containerSyncTo=UNKNOWN), outcome=NOT),
    "a volume of another's replica": Bad("replication", "sourceReplica", volume(sourceReplica="x")),
    "an image shared": Bad(
        "replication",
        "shares an image",
        [resource("openstack:images/imageAccess:ImageAccess", "x", {"memberId": "p"})],
    ),
    "a plan of AWS Backup": Bad("replication", "AWS Backup", aws("backup/plan:Plan")),
    # 8
    "keys in AWS KMS": Bad(
        "key-custody", "aws-kms is in the custody", settings={f"{CUSTOMERS}/keys/service": "aws-kms"}
    ),
    "keys abroad": Bad("key-custody", "US is outside the EEA", settings={f"{CUSTOMERS}/keys/country": "US"}),
    "keys with an American operator": Bad(
        "key-custody", "parent company in US", settings={f"{CUSTOMERS}/keys/holder": "Amazon Web Services"}
    ),
    "keys of nobody": Bad("key-custody", "UNDECLARED: who can decrypt", settings={f"{CUSTOMERS}/keys": None}),
    "a key of KMS": Bad("key-custody", "custody of AWS", aws("kms/key:Key")),
    "a disk with a key of KMS": Bad("key-custody", "key of AWS KMS", worker(kmsKeyId="arn:aws:kms:x")),
    # 9
    "a volume of another type": Bad("volume-encryption", "of type hdd", volume(volumeType="hdd")),
    "a volume of the default type": Bad("volume-encryption", "default type", volume(volumeType=None)),
    "a volume of a type not known": Bad("volume-encryption", "not known yet", volume(volumeType=UNKNOWN), outcome=NOT),
    "data in clear text": Bad(
        "volume-encryption", "kept in clear text", settings={f"{CUSTOMERS}/keys/service": "unencrypted"}
    ),
    "a disk in clear text": Bad("volume-encryption", "is not encrypted", aws("ebs/volume:Volume")),
    "a machine that makes itself a volume": Bad("volume-encryption", "default type", server(blockDevices=[BOOTS])),
    "a machine that makes itself a volume of another type": Bad(
        "volume-encryption", "of type hdd", server(blockDevices=[{**BOOTS, "volumeType": "hdd"}])
    ),
    "disks that are not known": Bad("volume-encryption", "not known", server(blockDevices=UNKNOWN), outcome=NOT),
    # 10
    "a container for all": Bad("public-container", "'.r:*'", container(containerRead=".r:*")),
    "a container to list": Bad("public-container", "opens it", container(containerRead="p:u,.rlistings")),
    "a container for all to write": Bad("public-container", "containerWrite", container(containerWrite="*:*")),
    "a container for one user everywhere": Bad("public-container", "'*:u'", container(containerRead="*:u")),
    "an access list that is not known": Bad(
        "public-container", "not known", container(containerRead=UNKNOWN), outcome=NOT
    ),
    "a public bucket": Bad("public-container", "acl opens", aws("s3/bucketAclV2:BucketAclV2", acl="public-read")),
    "an object by its address": Bad(
        "public-container",
        "anybody who has the address",
        [resource("openstack:objectstorage/tempUrl:TempUrl", "x", {})],
    ),
    "an image for every project": Bad("public-container", "'public' shows it", image(visibility="public")),
    "an image for some project": Bad("public-container", "'shared' shows it", image(visibility="shared")),
    "an image for who knows whom": Bad("public-container", "not known", image(visibility=UNKNOWN), outcome=NOT),
    "a share for every project": Bad("public-container", "isPublic", share(isPublic=True)),
    "a share for who knows whom": Bad("public-container", "not known", share(isPublic=UNKNOWN), outcome=NOT),
    "a share for the world": Bad(
        "public-container",
        "'0.0.0.0/0' opens it",
        [resource("openstack:sharedfilesystem/shareAccess:ShareAccess", "x", {"accessTo": "0.0.0.0/0"})],
    ),
    # 11
    "the database's port to the world": Bad("private-database", "lets 0.0.0.0/0 reach", ingress(DATABASE_TO_ALL)),
    "every port to the world": Bad(
        "private-database",
        "lets 0.0.0.0/0 reach",
        ingress({**HTTPS, "portRangeMin": None, "portRangeMax": None, "protocol": None}),
    ),
    "no source at all": Bad("private-database", "lets", ingress({**DATABASE_TO_ALL, "remoteIpPrefix": None})),
    "a range with the database's port": Bad(
        "private-database",
        "lets 10.0.0.0/8",
        ingress({**HTTPS, "portRangeMin": 3000, "portRangeMax": 4000, "remoteIpPrefix": "10.0.0.0/8"}),
    ),
    "the database's port on AWS": Bad(
        "private-database",
        "lets 0.0.0.0/0",
        ingress({"ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0"}, INGRESS),
    ),
    "a group with a way in": Bad(
        "private-database",
        "lets 198.51.100.0/24",
        aws(
            "ec2/securityGroup:SecurityGroup",
            ingress=[{"protocol": "tcp", "fromPort": 3306, "toPort": 3306, "cidrBlocks": ["198.51.100.0/24"]}],
        ),
    ),
    "a source that is not known": Bad(
        "private-database", "not known", ingress({**DATABASE_TO_ALL, "remoteIpPrefix": UNKNOWN}), outcome=NOT
    ),
    "a group that is not known": Bad(
        "private-database", "not known", aws("ec2/securityGroup:SecurityGroup", ingress=UNKNOWN), outcome=NOT
    ),
    "the database's port open in one of several files": Bad(
        "private-database",
        "firewall lets others",
        [
            resource(
                COMMAND,
                "x",
                {"create": "fortress-push files /x /etc/nftables.d/y.nft", "stdin": "tcp dport 3306 accept"},
            )
        ],
    ),
    "a database without TLS": Bad("private-database", "without TLS", [altered("db-90", stdin=PLAIN_DB)]),
    "a firewall that lets others in": Bad(
        "private-database", "firewall lets others", [altered("db-fw", stdin="tcp dport 3306 accept")]
    ),
    "a firewall that lets the world in by wg0": Bad(
        "private-database",
        "firewall lets others",
        [altered("db-fw", stdin='iifname "wg0" ip saddr { 0.0.0.0/0 } tcp dport { 80, 3306 } accept')],
    ),
    "a balancer before the database": Bad(
        "private-database",
        "leads to port 3306 past the tunnel",
        [resource("openstack:loadbalancer/listener:Listener", "x", {"protocol": "TCP", "protocolPort": 3306})],
    ),
    "a balancer before who knows what": Bad(
        "private-database",
        "not known",
        [resource("openstack:loadbalancer/listener:Listener", "x", {"protocolPort": UNKNOWN})],
        outcome=NOT,
    ),
    "a database of the cloud": Bad(
        "private-database", "operator runs", [resource("openstack:database/instance:Instance", "x", {})]
    ),
    # 12
    "a volume's backup by the cloud": Bad(
        "backup-encryption", "not encrypted by the host", [resource("openstack:blockstorage/backup:Backup", "x", {})]
    ),
    # 13
    "overflow that nobody registered": Bad(
        "registered-flows", "oslo-edge connects to fra-1, and the register", settings={REQUESTS: GONE}
    ),
    "a flow at another port": Bad("registered-flows", "no such flow", settings={f"{REQUESTS}/port": 8080}),
    "a flow of mesh.flows": Bad(
        "registered-flows",
        "oslo-web connects to fra-1",
        settings={"mesh/flows": [{"source": "oslo-web", "destination": "fra-1", "port": 9100}]},
    ),
    "metrics of another operator's hosts": Bad(
        "registered-flows",
        "oslo-edge connects to fra-1, and the register has no such flow",
        settings={"monitoring": {"scrapers": ["oslo-edge"], "hosts": ["fra-1"]}},
    ),
    "metrics of the database, asked from elsewhere": Bad(
        "registered-flows",
        "fra-1 connects to oslo-db, and the register has no such flow",
        settings={"monitoring": {"scrapers": ["fra-1"], "hosts": ["oslo-db"]}},
    ),
    "a guest at a port of its own": Bad(
        "registered-flows",
        "the edge sends requests to fra-9 at 198.51.100.9:80",
        [
            resource(
                COMMAND, "edge-cfg", {"create": "put /etc/haproxy/haproxy.cfg", "stdin": "server fra-9 198.51.100.9:80"}
            )
        ],
    ),
    "a peer with the world behind it": Bad(
        "registered-flows",
        "the tunnel carries 0.0.0.0/0",
        [resource(COMMAND, "p", {"create": "put /etc/wireguard/wg0.d/x.conf", "stdin": "AllowedIPs = 0.0.0.0/0"})],
    ),
    "a way in that no flow needs": Bad(
        "registered-flows",
        "lets 203.0.113.0/24 reach port 5432",
        ingress({**HTTPS, "portRangeMin": 5432, "portRangeMax": 5432, "remoteIpPrefix": "203.0.113.0/24"}),
    ),
    "requests with personal data that nobody registered": Bad(
        "registered-flows",
        "requests for /account may go to frankfurt, and no flow there names customers",
        settings={f"{CUSTOMERS}/paths": ["/account"], f"{REQUESTS}/data_sets": []},
    ),
    "requests with personal data, some of which stay at home": Bad(
        "registered-flows",
        "requests for /orders may go",
        settings={**ACCOUNT_AT_HOME, f"{CUSTOMERS}/paths": ["/Account/7", "/orders"], f"{REQUESTS}/data_sets": []},
    ),
    "all requests": Bad(
        "registered-flows",
        "requests for / may go",
        settings={**ACCOUNT_AT_HOME, f"{CUSTOMERS}/paths": ["/"], f"{REQUESTS}/data_sets": []},
    ),
    "requests with personal data that are said to have none": Bad(
        "registered-flows",
        "none, but requests for /account carry customers",
        settings={f"{CUSTOMERS}/paths": ["/account"], f"{REQUESTS}/data_class": "none"},
    ),
    "a tunnel of the cloud's own": Bad(
        "registered-flows",
        "joins a network to another one",
        [resource("openstack:vpnaas/siteConnection:SiteConnection", "x", {"peerAddress": "198.51.100.1"})],
    ),
    "SSH from the world": Bad(
        "registered-flows", "reach port 22", ingress({**HTTPS, "portRangeMin": 22, "portRangeMax": 22})
    ),
    # 14
    "clear text that nobody exempted": Bad(
        "third-country-flows",
        "personal, but the operator of frankfurt has its parent company in US",
        settings={f"{REQUESTS}/exemption": None},
    ),
    "an exemption that has ended": Bad(
        "third-country-flows",
        "the exemption ended on 2026-11-28",
        settings={f"{REQUESTS}/exemption": {"reason": "r", "owner": "o", "end": "2026-11-28"}},
    ),
    "a flow past its review": Bad(
        "third-country-flows", "was to be reviewed by 2026-11-28", settings={f"{REQUESTS}/review": "2026-11-28"}
    ),
    "a flow without a review": Bad("third-country-flows", "UNDECLARED", settings={f"{REQUESTS}/review": None}),
    "a flow without a basis": Bad("third-country-flows", "UNDECLARED, but", settings={f"{REQUESTS}/basis": None}),
    "a transfer that calls itself none": Bad(
        "third-country-flows", "no-transfer, but", settings={f"{REQUESTS}/basis": "no-transfer"}
    ),
    "ciphertext of a use case without remedy": Bad(
        "third-country-flows", "without a remedy", settings={f"{REQUESTS}/data_class": "ciphertext"}
    ),
    # 15
    "a secret on AWS": Bad("database-secrets", "userData is a secret", worker(userData=SECRET)),
    "a worker made from the database": Bad(
        "database-secrets",
        "is made from db-account",
        worker(depends=frozenset(["urn:pulumi:x::y::fortress:index:DataFortress$command:remote:Command::db-account"])),
    ),
    # 16
    "IMDSv1": Bad("disposable-compute", "IMDSv1", worker(metadataOptions={"httpTokens": "optional"})),
    "no word on IMDS": Bad("disposable-compute", "not given: IMDSv1", worker(metadataOptions=None)),
    "a disk of a worker in clear text": Bad(
        "disposable-compute", "the disk is in clear text", worker(rootBlockDevice={"encrypted": False})
    ),
    "a disk that stays": Bad(
        "disposable-compute",
        "outlives the machine",
        worker(rootBlockDevice={"encrypted": True, "deleteOnTermination": False}),
    ),
    "a second disk that stays": Bad(
        "disposable-compute", "ebsBlockDevices.0.deleteOnTermination", worker(ebsBlockDevices=[{"encrypted": True}])
    ),
    "a protected worker": Bad("disposable-compute", "is protected", worker(protect=True)),
    "a worker that cannot be ended": Bad("disposable-compute", "thrown away", worker(disableApiTermination=True)),
    "a disk not known": Bad("disposable-compute", "not known yet", worker(rootBlockDevice=UNKNOWN), outcome=NOT),
    # 17
    "a password in user data": Bad(
        "plain-metadata", "a password", worker(userData="#!/bin/sh\nPASSWORD=hunter2hunter")
    ),
    "a password in base64": Bad(
        "plain-metadata", "a password", worker(userDataBase64=base64.b64encode(b"db_password: hunter2x").decode())
    ),
    "a password in a file of a machine": Bad(
        "plain-metadata", "a password", server(personality=[{"file": "/etc/app", "content": "password = hunter2x"}])
    ),
    "a password of a machine": Bad("plain-metadata", "adminPass holds a secret", server(adminPass=SECRET)),
    "a private key in user data": Bad(
        "plain-metadata", "a private key", server(userData="-----BEGIN OPENSSH PRIVATE KEY-----")
    ),
    "a key of AWS in metadata": Bad(
        "plain-metadata", "a key of AWS", server(metadata={**PERSONAL, "k": "AKIAIOSFODNN7EXAMPLE"})
    ),
    "an address in a tag": Bad(
        "plain-metadata", "an e-mail address", worker(tags={"Owner": "kari@fortress.example", "data-class": "none"})
    ),
    "an identity number in a name": Bad("plain-metadata", "a Norwegian identity number", server(name="x 01017012345")),
    "a random word": Bad("plain-metadata", "looks like a key", server(userData="x: q8Zr2LpX0vTn7WbK4yHs9JdFm3Ec")),
    "a secret name": Bad("plain-metadata", "name holds a secret", server(name=SECRET)),
    "user data not known": Bad("plain-metadata", "not known yet", worker(userData=UNKNOWN), outcome=NOT),
    "an address in default tags": Bad(
        "plain-metadata", "an e-mail address", login("frankfurt", defaultTags='{"tags":{"o":"a@b.no"}}')
    ),
    # 18
    "logs at AWS": Bad("log-custody", "custody of AWS", aws("cloudwatch/logGroup:LogGroup")),
    "logs sent on": Bad(
        "log-custody",
        "sends logs somewhere",
        [resource(COMMAND, "x", {"create": "fortress-push put /etc/rsyslog.d/50-far.conf", "stdin": "*.* @@x"})],
        outcome=NOT,
    ),
    "logs sent on by one of several files": Bad(
        "log-custody",
        "sends logs somewhere",
        [resource(COMMAND, "x", {"create": "fortress-push files /x /etc/rsyslog.d/50-far.conf", "stdin": "*.* @@x"})],
        outcome=NOT,
    ),
    # 19
    "state at the vendor's": Bad(
        "state-custody", "api.pulumi.com", toolchain=replace(AT_HOME, backend="https://api.pulumi.com")
    ),
    "state in a bucket of AWS": Bad("state-custody", "bucket of AWS", toolchain=replace(AT_HOME, backend="s3://x")),
    "state in a bucket of AWS by its region": Bad(
        "state-custody", "bucket of AWS", toolchain=replace(AT_HOME, backend="s3://x?region=eu-north-1")
    ),
    "state in a bucket somewhere": Bad(
        "state-custody",
        "s3.example.org is not in",
        toolchain=replace(AT_HOME, backend="s3://x?endpoint=s3.example.org"),
    ),
    "state at AWS by a list": Bad(
        "state-custody",
        "store of a third-country operator",
        settings={"sovereignty/state": {"endpoints": ["s3.eu-north-1.amazonaws.com"]}},
        toolchain=replace(AT_HOME, backend="s3://x?endpoint=s3.eu-north-1.amazonaws.com"),
    ),
    "state at Google": Bad("state-custody", "third-country", toolchain=replace(AT_HOME, backend="gs://x")),
    "state nobody knows where": Bad(
        "state-custody", "not known", toolchain=replace(AT_HOME, backend=None), outcome=NOT
    ),
    "secrets by AWS KMS": Bad("state-custody", "awskms", toolchain=replace(AT_HOME, secrets_provider="awskms://x")),
    "secrets by the vendor": Bad("state-custody", "service", toolchain=replace(AT_HOME, secrets_provider="service")),
    "secrets nobody knows how": Bad(
        "state-custody", "not known", toolchain=replace(AT_HOME, secrets_provider=None), outcome=NOT
    ),
    # 20
    "an operator that is not declared": Bad("processors", "UNDECLARED; declared: CoolVDS", settings={AWS: GONE}),
    "an operator without an agreement": Bad("processors", "UNDECLARED", settings={f"{AWS}/agreement": None}),
    "an operator of unknown parents": Bad("processors", "UNDECLARED", settings={f"{AWS}/parent_country": None}),
    "an operator past its review": Bad(
        "processors", "the entry of CoolVDS was to be reviewed by 2028-06-30", today=date(2028, 7, 1)
    ),
    "an American operator without a basis": Bad(
        "processors", "no-transfer, but", settings={f"{AWS}/basis": "no-transfer"}
    ),
}


def run_with(**changes: Any) -> Toolchain:
    return replace(AT_HOME, environment=replace(CAREFUL, **changes))


# 21
BAD |= {
    "a site in Frankfurt that lets everything out": Bad(
        "egress",
        "hosts there may connect to anywhere, and frankfurt is not sovereign",
        settings={"sites/frankfurt/egress": "open"},
    ),
    "a firewall in Frankfurt that lets everything out": Bad(
        "egress",
        "lets everything out, although the egress of its site is closed",
        [altered("fra-1.1-push", stdin=push.content(text.push_script()) + push.content(OPEN))],
    ),
    "a firewall in Frankfurt that nobody can read": Bad(
        "egress", "not known yet", [altered("fra-1.1-push", stdin=UNKNOWN)], outcome=NOT
    ),
    "a firewall in Frankfurt by an older version": Bad(
        "egress",
        "lets everything out",
        [
            resource(
                COMMAND,
                "fra-1.1-firewall",
                {"create": push.Put(firewall.BASE, machine="i-1", resource="x").render(), "stdin": push.content(OPEN)},
            )
        ],
    ),
    # 22
    "a passphrase that can be guessed": Bad(
        "toolchain", "is worth 13 bits at most, less than 60", toolchain=run_with(passphrase_bits=12.9)
    ),
    "a passphrase that nobody sees": Bad(
        "toolchain", "it cannot be seen here", toolchain=run_with(passphrase_bits=None), outcome=NOT
    ),
    "an engine that asks for updates": Bad(
        "toolchain", "asks the engine's vendor", toolchain=run_with(asks_for_updates=True)
    ),
    "plugins from somewhere": Bad(
        "toolchain", "taken from https://evil.example/x", toolchain=run_with(plugin_servers=("https://evil.example/x",))
    ),
    "a plugin from somewhere": Bad(
        "toolchain",
        "takes its plugin from https://evil.example",
        login("oslo", pluginDownloadURL="https://evil.example"),
    ),
    "a plugin from who knows where": Bad(
        "toolchain", "not known yet", login("oslo", pluginDownloadURL=UNKNOWN), outcome=NOT
    ),
}


def of(bad: Bad) -> Evidence:
    return evidence(bad.settings, bad.resources, toolchain=bad.toolchain, today=bad.today)


def test_a_good_stack_has_no_finding_but_what_was_exempted() -> None:
    known = evidence()
    assert found(known) == []
    exempt = found(known, Outcome.EXEMPT, Outcome.EXPIRES)
    assert {(one.rule, one.subject) for one in exempt} == {
        ("third-country-flows", f"sovereignty.flows.frankfurt-{name}.data_class") for name in ("requests", "database")
    }
    assert all("until 2028-06-30 by Kari Nordmann: " in one.wrong for one in exempt)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_stack_never_comes_through_green(case: str) -> None:
    bad = BAD[case]
    seen = [one for one in found(of(bad)) if one.rule == bad.rule]
    assert [one for one in seen if bad.words in one.wrong and one.outcome is bad.outcome], seen
    rule = next(rule for rule in evaluate.ALL if rule.name == bad.rule)
    assert any(evaluate.stops(one) for one in seen) == (rule.level == "mandatory")
    for one in seen:
        assert one.cure
        assert evaluate.sentence(one).isprintable()


def test_every_rule_has_a_bad_stack_and_a_place_in_the_order() -> None:
    names = list(typing.get_args(Rule))
    assert [rule.name for rule in evaluate.ALL] == names
    assert list(dict.fromkeys(bad.rule for bad in BAD.values())) == names
    for rule in evaluate.ALL:
        assert rule.what.endswith(".")
        assert rule.why.endswith(".")
        assert rule.source


GOOD: dict[str, Evidence] = {
    "a volume that the host encrypts": evidence(
        {"database/volume/encrypted": True},
        [resource(VOLUME, "db-data", {"metadata": PERSONAL}, within="fortress:index:DataFortress$")],
    ),
    "state at home": evidence(
        {"sovereignty/state": {"endpoints": ["s3.example.no"]}},
        toolchain=replace(AT_HOME, backend="s3://state?endpoint=https://s3.example.no:9000&region=x"),
    ),
    "state in PostgreSQL, secrets in a vault": evidence(
        {"sovereignty/state": {"endpoints": ["db.example.no"]}},
        toolchain=replace(AT_HOME, backend="postgres://u@db.example.no/x", secrets_provider="hashivault://k"),
    ),
    "an image and a share of one's own": evidence(resources=[*image(visibility="private"), *share(isPublic=False)]),
    "a machine that makes itself an encrypted volume": evidence(
        resources=server(blockDevices=[{**BOOTS, "volumeType": "nvme"}, {"sourceType": "volume", "uuid": "x"}])
    ),
    "metrics that stay with one operator": evidence(
        {"monitoring": {"scrapers": ["oslo-edge"], "hosts": ["oslo-db", "oslo-edge", "oslo-web"]}}
    ),
    "metrics of another operator's hosts, in the register": evidence(
        {
            "monitoring": {"scrapers": ["oslo-edge"], "hosts": ["fra-1"]},
            "sovereignty/flows/metrics": {
                **{"source": "oslo", "destination": "frankfurt", "port": 9100, "data_class": "none"},
                **{"basis": "adequacy", "purpose": "Figures that name nobody", "review": "2028-06-30"},
            },
        }
    ),
    "a container for one project": evidence(resources=container(containerRead="4711:kari")),
    "the database's port from the tunnel": evidence(
        resources=ingress({**DATABASE_TO_ALL, "remoteIpPrefix": "10.100.0.0/24"}),
    ),
    "a hub that passes the database's connections on": evidence(
        resources=[
            altered("db-fw", stdin='iifname "wg0" ip saddr 10.100.0.2 ip daddr 10.100.0.1 tcp dport 3306 accept')
        ]
    ),
    "ICMP": evidence(resources=ingress({**HTTPS, "protocol": "icmp", "portRangeMin": None, "portRangeMax": None})),
    "a way out": evidence(resources=ingress({"direction": "egress", "ethertype": "IPv4"})),
    "SSH from operators": evidence(
        resources=ingress({**HTTPS, "portRangeMin": 22, "portRangeMax": 22, "remoteIpPrefix": "192.0.2.10/32"})
    ),
    "ciphertext needs no exemption": evidence(
        {f"{REQUESTS}/data_class": "ciphertext", f"{REQUESTS}/use_case": 1, f"{REQUESTS}/exemption": None}
    ),
    "harmless user data": evidence(resources=worker(userDataBase64=base64.b64encode(b"hostname: fra-1").decode())),
    "another worker": evidence(resources=[resource(INSTANCE, "y", WORKER)]),
    "requests with personal data that stay at home": evidence(
        {**ACCOUNT_AT_HOME, f"{CUSTOMERS}/paths": ["/account", "/accounts"], f"{REQUESTS}/data_sets": []}
    ),
    "requests with personal data that are registered": evidence({f"{CUSTOMERS}/paths": ["/account"]}),
    "plugins from a server of one's own": evidence(
        {"sovereignty/state": {"endpoints": ["plugins.example.no"]}},
        login("oslo", pluginDownloadURL="https://plugins.example.no/x"),
        toolchain=run_with(plugin_servers=("https://plugins.example.no",)),
    ),
    "secrets by a vault, and no passphrase": evidence(
        toolchain=replace(run_with(passphrase_bits=None), secrets_provider="hashivault://k")
    ),
    "a run that leaves its environment to the audit": evidence(toolchain=replace(AT_HOME, environment=None)),
    "another server": evidence(resources=[resource(SERVER, "y", {"metadata": {"data-class": "none"}})]),
    "a private container": evidence(resources=[resource(CONTAINER, "y", {"metadata": PERSONAL})]),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_a_rule_lets_through(case: str) -> None:
    allowed = {"registered-flows"} if "tunnel" in case else set[str]()
    assert [one for one in found(GOOD[case]) if one.rule not in allowed] == []


# --- exemptions, levels, profiles, time ---


def exempt(rule: str, subject: str, end: str) -> dict[str, Any]:
    entry = {"rule": rule, "subject": subject, "reason": "we know", "owner": "Kari Nordmann", "end": end}
    return {"sovereignty/exemptions": {"one": entry}}


def of_rule(known: Evidence, rule: Rule) -> list[RuleFinding]:
    return [one for one in evaluate.findings(evaluate.evaluate(known)) if one.rule == rule]


def test_an_exemption_is_of_one_thing_from_one_rule_until_a_day() -> None:
    hdd = volume(volumeType="hdd")
    (one,) = of_rule(evidence(exempt("volume-encryption", "db-data", "2027-06-30"), hdd), "volume-encryption")
    assert (one.outcome, evaluate.stops(one)) == (Outcome.EXEMPT, False)
    assert "exempt until 2027-06-30 by Kari Nordmann: we know" in one.wrong
    for rule, subject in (("volume-encryption", "other"), ("key-custody", "db-data")):
        (one,) = of_rule(evidence(exempt(rule, subject, "2027-06-30"), hdd), "volume-encryption")
        assert evaluate.stops(one)
    (one,) = of_rule(evidence(exempt("volume-encryption", "db-data", "2026-11-28"), hdd), "volume-encryption")
    assert evaluate.stops(one)
    assert "the exemption ended on 2026-11-28" in one.wrong
    kept, warned = of_rule(evidence(exempt("volume-encryption", "db-data", "2026-12-20"), hdd), "volume-encryption")
    assert (kept.outcome, warned.outcome) == (Outcome.EXEMPT, Outcome.EXPIRES)


@pytest.mark.parametrize(
    ("today", "outcome"),
    [
        (date(2028, 5, 30), None),
        (date(2028, 5, 31), Outcome.EXPIRES),
        (date(2028, 6, 30), Outcome.EXPIRES),
        (date(2028, 7, 1), Outcome.FAILED),
    ],
)
def test_an_assumption_warns_for_thirty_days_and_fails_after_its_review(today: date, outcome: Outcome | None) -> None:
    seen = of_rule(evidence(today=today), "processors")
    assert {one.outcome for one in seen} == ({outcome} if outcome else set())
    assert [one.subject for one in seen] == (
        ["sovereignty.operators.CoolVDS.review", "sovereignty.operators['Amazon Web Services'].review"]
        if outcome
        else []
    )


def test_a_level_is_a_setting() -> None:
    hdd = volume(volumeType="hdd")
    (one,) = of_rule(evidence({"sovereignty/levels": {"volume-encryption": "advisory"}}, hdd), "volume-encryption")
    assert (one.level, evaluate.stops(one)) == ("advisory", False)
    logs = aws("cloudwatch/logGroup:LogGroup")
    (one,) = of_rule(evidence({"sovereignty/levels": {"log-custody": "mandatory"}}, logs), "log-custody")
    assert evaluate.stops(one)


def test_a_stack_without_a_register_goes_on_and_is_told_what_was_not_evaluated() -> None:
    store = replace(AT_HOME, backend="s3://x?endpoint=s3.example.org")
    seen = found(evidence({"sovereignty": GONE}, toolchain=store))
    assert {one.rule for one in seen} == {
        *("sovereign-storage", "key-custody", "volume-encryption", "registered-flows", "third-country-flows"),
        *("state-custody", "processors"),
    }
    assert {(one.outcome, one.level) for one in seen} == {(NOT, "advisory")}
    # What needs no register stops it all the same.
    known = evidence({"sovereignty": GONE}, container(containerRead=".r:*"))
    assert [one.rule for one in found(known) if evaluate.stops(one)] == ["public-container"]


def test_flows_are_derived_from_what_the_stack_has() -> None:
    known = evidence({"edge/guests": {"fra-8": "10.100.0.8:80"}})
    assert known.declared is not None
    assert derived(known.declared) == [
        DerivedFlow("frankfurt", "oslo", 3306, "tcp", (("fra-1", "oslo-db"), ("fra-2", "oslo-db"))),
        DerivedFlow(
            "oslo", "frankfurt", 80, "tcp", (("oslo-edge", "fra-1"), ("oslo-edge", "fra-2"), ("oslo-edge", "fra-8"))
        ),
    ]


def test_copies_of_the_database_at_another_operators_site_are_flows_to_be_registered() -> None:
    copies = {
        **{"database/mode": "replica", "database/primary": "oslo-db"},
        "sites/bergen": {"operator": "Another cloud", "country": "NO", "sovereign": True},
        "hosts/bergen-db": {"site": "bergen", "role": "database", "slot": 20, "address": "198.51.100.20"},
        "mesh/hubs": ["oslo-db", "oslo-edge", "bergen-db"],
    }
    known = Evidence(TODAY, declare(parse(changed(copies, lab), ROOT)), toolchain=AT_HOME)
    assert known.declared is not None
    found = {(flow.source, flow.destination, flow.port) for flow in derived(known.declared)}
    assert {(*pair, port) for pair in (("oslo", "bergen"), ("bergen", "oslo")) for port in (3306, 3307)} <= found
    unregistered = {one.subject for one in of_rule(known, "registered-flows") if evaluate.stops(one)}
    assert {"oslo to bergen, tcp/3306", "bergen to oslo, tcp/3306"} <= unregistered


def test_an_entry_for_a_flow_that_does_not_exist_is_reported_and_stops_nothing() -> None:
    entry = {
        "source": "oslo-db",
        "destination": "frankfurt",
        "port": 9999,
        "data_class": "none",
        "review": "2028-06-30",
    }
    more = {**entry, "basis": "adequacy", "purpose": "p"}
    (one,) = of_rule(evidence({"sovereignty/flows/old": more}), "registered-flows")
    assert "has no flow from oslo-db to frankfurt" in one.wrong
    assert not evaluate.stops(one)


def test_backups_and_the_register_say_the_same() -> None:
    made = {"database/backup": {"site": "oslo", "directory": "/mnt/backups"}}
    (one,) = of_rule(evidence(made), "backup-encryption")
    assert (one.subject, evaluate.stops(one)) == ("database.backup", False)
    assert "no data set in the register says so" in one.wrong
    both = evidence({**made, f"{CUSTOMERS}/backups_at": ["oslo"]})
    assert of_rule(both, "backup-encryption") == []
    (one,) = of_rule(evidence({f"{CUSTOMERS}/backups_at": ["oslo"]}), "backup-encryption")
    assert "nothing in the stack keeps a backup at oslo" in one.wrong
    assert both.declared is not None
    (backup,) = both.declared.backups
    in_clear = replace(both, declared=both.declared.model_copy(update={"backups": (replace_encrypted(backup),)}))
    (one,) = of_rule(in_clear, "backup-encryption")
    assert "is not encrypted on the host" in one.wrong
    assert evaluate.stops(one)


def replace_encrypted(backup: DeclaredBackup) -> DeclaredBackup:
    return backup.model_copy(update={"encrypted": False})


def test_a_flow_that_names_data_which_stays_at_home_is_reported_and_stops_nothing() -> None:
    known = evidence({**ACCOUNT_AT_HOME, f"{CUSTOMERS}/paths": ["/account"]})
    (one,) = of_rule(known, "registered-flows")
    assert one.subject == "sovereignty.flows.frankfurt-requests.data_sets"
    assert "names customers, whose requests all stay at home" in one.wrong
    assert not evaluate.stops(one)


def test_a_flow_of_one_pair_of_hosts_does_not_cover_others() -> None:
    (one,) = of_rule(evidence({f"{REQUESTS}/destination": "fra-1"}), "registered-flows")
    assert "oslo-edge connects to fra-2" in one.wrong
