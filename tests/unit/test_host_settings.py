"""Settings of sites and hosts: the stack on two clouds stands, and each thing that cannot is refused in one line."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fortress.settings.model import declared
from fortress.settings.parse import parse
from tests.unit.stack_file import GONE, KEY, ROOT, RSA_KEY, changed, lab, oslo, with_key_files
from tests.unit.verdicts import HOSTILE, accepted, every_text, refused

OPENSTACK: dict[str, Any] = oslo()["sites"]["oslo"]["openstack"]
AWS: dict[str, Any] = oslo()["sites"]["frankfurt"]["aws"]
ON_AWS: dict[str, Any] = oslo()["hosts"]["fra-1"]["aws"]
ON_OPENSTACK: dict[str, Any] = oslo()["hosts"]["oslo-web"]["openstack"]

LINE = "must be one line of printable text, at most 1000 characters"
NETWORK = "must be an IPv4 network from /16 to /28 without host bits, such as 10.100.0.0/24"
ORIGIN = "set exactly one of address (for a machine that exists), openstack and aws"
EITHER = "set either cidr, to create a network, or existing, to use one"
DISK = "set either size_gb, for a volume of the cloud, or device, for an existing disk"
PART = "is outside the range for machines in 10.20.0.0/24, 10.20.0.2 to 10.20.0.254"
IS_NO_KEY = "is not an SSH public key; use the .pub file that `ssh-keygen` made"


def test_the_stack_file_of_two_clouds_stands() -> None:
    settings = parse(oslo(), ROOT)
    assert (settings.database_host, settings.edge_host) == ("oslo-db", "oslo-edge")
    assert list(settings.members) == ["oslo-db", "oslo-edge", "oslo-web.1", "fra-1.1", "fra-2.1"]
    assert [declared(name) for name in settings.members] == list(settings.hosts)
    assert settings.workers == ["oslo-web.1", "fra-1.1", "fra-2.1"]
    assert settings.rollout_order == ["fra-1.1", "fra-2.1", "oslo-web.1"]
    assert {name: str(settings.mesh_address(name)) for name in settings.members} == {
        "oslo-db": "10.100.0.1",
        "fra-1.1": "10.100.0.2",
        "oslo-edge": "10.100.0.3",
        "oslo-web.1": "10.100.0.4",
        "fra-2.1": "10.100.0.5",
    }
    assert settings.servers("oslo") == {"oslo-web.1": "10.100.0.4:80"}
    assert settings.servers("frankfurt") == {"fra-1.1": "10.100.0.2:80", "fra-2.1": "10.100.0.5:80"}
    assert [(flow.source, flow.destination, flow.port) for flow in settings.flows()] == [
        flow
        for worker in ("oslo-web.1", "fra-1.1", "fra-2.1")
        for flow in ((worker, "oslo-db", 3306), ("oslo-edge", worker, 80))
    ]


def test_the_example_is_the_articles() -> None:
    """The article that started this names these; who copies the example gets them."""
    settings = parse(oslo(), ROOT)
    site, database = settings.sites["oslo"].openstack, settings.hosts["oslo-db"].openstack
    account, worker = settings.sites["frankfurt"].aws, settings.hosts["fra-1"].aws
    assert site is not None
    assert database is not None
    assert account is not None
    assert worker is not None
    assert (site.auth_url, site.region, site.key_pair.name) == (
        "https://api.coolvds.com/v3",
        "NO-Oslo-1",
        "deploy_key_2020",
    )
    assert (database.name, database.flavor, database.metadata) == (
        "coolvds-nvme-db-01",
        "v2-highcpu-nvme",
        {"role": "primary-db"},
    )
    assert database.security_groups == ["default"]
    assert (account.region, account.key_pair.name) == ("eu-central-1", "deploy_key_2020")
    assert (worker.type, worker.tags) == ("c5.large", {"Name": "worker-node-dr"})


def test_hosts_that_exist_keep_their_names() -> None:
    settings = parse(lab(), ROOT)
    assert list(settings.members) == list(settings.hosts)


def test_a_stack_may_mix_where_machines_come_from() -> None:
    settings = parse(changed({"hosts/fra-2/aws": GONE, "hosts/fra-2/address": "203.0.113.22"}, oslo), ROOT)
    assert list(settings.members) == ["oslo-db", "oslo-edge", "oslo-web.1", "fra-1.1", "fra-2"]
    assert settings.rollout_order == ["fra-1.1", "fra-2", "oslo-web.1"]


def test_the_next_generation_is_another_member_at_the_slots_other_address() -> None:
    """Its neighbours stay as they are; what is said of the host in other settings is said of the new member."""
    flow = {"source": "fra-1", "destination": "oslo-web", "port": 9100}
    settings = parse(changed({"hosts/fra-1/generation": 2, "mesh/flows": [flow]}, oslo), ROOT)
    assert list(settings.members) == ["oslo-db", "oslo-edge", "oslo-web.1", "fra-1.2", "fra-2.1"]
    assert settings.servers("frankfurt") == {"fra-1.2": "10.100.0.130:80", "fra-2.1": "10.100.0.5:80"}
    assert settings.rollout_order == ["fra-1.2", "fra-2.1", "oslo-web.1"]
    assert [(flow.source, flow.destination) for flow in settings.extra_flows()] == [("fra-1.2", "oslo-web.1")]
    third = parse(changed({"hosts/fra-1/generation": 3}, oslo), ROOT)
    assert str(third.mesh_address("fra-1.3")) == "10.100.0.2"


def test_what_may_be_left_out() -> None:
    gone = ["hosts/fra-1/aws/type", "hosts/fra-1/aws/tags", "hosts/fra-1/generation"]
    gone += ["sites/frankfurt/aws/region", "sites/frankfurt/aws/image", "sites/oslo/openstack/containers"]
    gone += ["sovereignty"]
    gone += [f"hosts/oslo-db/openstack/{key}" for key in ("name", "fixed_address", "security_groups", "metadata")]
    settings = parse(changed(dict.fromkeys(gone, GONE), oslo), ROOT)
    worker, account = settings.hosts["fra-1"].aws, settings.sites["frankfurt"].aws
    assert worker is not None
    assert account is not None
    assert (worker.type, worker.disk_gb, worker.spot, worker.tags) == ("c5.large", 20, False, {})
    assert (account.region, account.image.owner, account.image.name, account.image.pinned) == (
        "eu-central-1",
        "136693071363",
        "debian-13-amd64-*",
        True,
    )
    database = settings.hosts["oslo-db"].openstack
    assert database is not None
    assert (database.floating_address, database.image_pinned) == (True, True)


UNREACHED = (
    "false, but nobody outside can reach 10.20.0.0/24; set it to true, or use a network.existing that can be reached"
)

REFUSALS: dict[str, tuple[dict[str, Any], list[str]]] = {
    # --- where a machine comes from
    "no origin": ({"hosts/fra-1/aws": GONE}, [f"hosts.fra-1.address: {ORIGIN}"]),
    "an address besides a cloud": ({"hosts/fra-1/address": "203.0.113.9"}, [f"hosts.fra-1.address: {ORIGIN}"]),
    "two clouds": ({"hosts/fra-1/openstack": ON_OPENSTACK}, [f"hosts.fra-1.address: {ORIGIN}"]),
    "three origins": (
        {"hosts/fra-1/address": "203.0.113.9", "hosts/fra-1/openstack": ON_OPENSTACK},
        [f"hosts.fra-1.address: {ORIGIN}"],
    ),
    "a site of two clouds": (
        {"sites/oslo/aws": AWS},
        ["sites.oslo.aws: a site belongs to one cloud; split it into two sites"],
    ),
    "a machine of OpenStack on AWS": (
        {"hosts/fra-2/aws": GONE, "hosts/fra-2/openstack": ON_OPENSTACK},
        ["hosts.fra-2.openstack: sites.frankfurt has no openstack block; add one, or give the host an address"],
    ),
    "a machine of AWS on OpenStack": (
        {"hosts/fra-2/site": "oslo"},
        ["hosts.fra-2.aws: sites.oslo has no aws block; add one, or give the host an address"],
    ),
    "machines at a site without a cloud": (
        {"sites/frankfurt/aws": GONE},
        [
            f"hosts.fra-{number}.aws: sites.frankfurt has no aws block; add one, or give the host an address"
            for number in (1, 2)
        ],
    ),
    "a machine at a site that is none": (
        {"hosts/fra-2/site": "paris"},
        ["hosts.fra-2.site: 'paris' is not in sites; known: oslo, frankfurt"],
    ),
    "a database on AWS": (
        {"hosts/oslo-db/openstack": GONE, "hosts/oslo-db/aws": ON_AWS, "hosts/oslo-db/site": "frankfurt"},
        [
            "hosts.oslo-db.aws: only workers may be on AWS; a host with role: database must be elsewhere",
            "hosts.oslo-db.site: frankfurt is not sovereign, but personal data is stored here",
        ],
    ),
    "an edge on AWS": (
        {"hosts/oslo-edge/openstack": GONE, "hosts/oslo-edge/aws": ON_AWS, "hosts/oslo-edge/site": "frankfurt"},
        ["hosts.oslo-edge.aws: only workers may be on AWS; a host with role: edge must be elsewhere"],
    ),
    # --- what is for the one or the other only
    "a generation of a host that exists": (
        {"hosts/fra-1/aws": GONE, "hosts/fra-1/address": "203.0.113.9", "hosts/fra-1/generation": 2},
        ["hosts.fra-1.generation: 2 is only for a worker that the stack creates; leave it out"],
    ),
    "a generation of a hub": (
        {"hosts/oslo-db/generation": 2},
        ["hosts.oslo-db.generation: 2 is only for a worker that the stack creates; leave it out"],
    ),
    "generation 0": ({"hosts/fra-1/generation": 0}, ["hosts.fra-1.generation: 0 must be at least 1"]),
    "a host key of a machine to be made": (
        {"hosts/fra-1/host_key": KEY},
        ["hosts.fra-1.host_key: only for a machine that exists; leave it out: the cloud identifies this one"],
    ),
    "an incarnation of a machine to be made": (
        {"hosts/fra-1/incarnation": 2},
        ["hosts.fra-1.incarnation: only for a machine that exists; leave it out: the cloud identifies this one"],
    ),
    "a bastion before machines to be made": (
        {"ssh/bastion": {"address": "198.51.100.1", "host_key": KEY}},
        [
            f"hosts.{name}: no key can be learnt through ssh.bastion, and the stack creates this machine; "
            "leave ssh.bastion out, or give the host an address"
            for name in oslo()["hosts"]
        ],
    ),
    "root on machines to be made": (
        {"ssh/user": "root"},
        ["ssh.user: 'root' cannot log in to machines that the stack creates; use their first user, debian"],
    ),
    "a hub that nobody reaches": (
        {"hosts/oslo-db/openstack/floating_address": False},
        [f"hosts.oslo-db.openstack.floating_address: {UNREACHED}"],
    ),
    "a worker that nobody reaches": (
        {"hosts/oslo-web/openstack/floating_address": False},
        [f"hosts.oslo-web.openstack.floating_address: {UNREACHED}"],
    ),
    "a worker of the stack's that is gone": (
        {"hosts/fra-1/gone": True},
        ["hosts.fra-1.gone: not for a worker that the stack creates; remove the worker, or raise its generation"],
    ),
    "a database on a disk that ends with its machine": (
        {"database/volume": GONE},
        ["database.volume: missing; the disk of a machine that the stack creates ends with it; set size_gb"],
    ),
    "operators whom no machine can answer": (
        {"ssh/operators": ["2001:db8::/64"]},
        ["ssh.operators: no IPv4 range, but machines that the stack creates answer on IPv4; add one"],
    ),
    "root on new machines": (
        {"ssh/user": "root"},
        ["ssh.user: 'root' cannot log in to machines that the stack creates; use their first user, debian"],
    ),
    "name servers of a network that is there": (
        {"sites/oslo/openstack/network": {"existing": "lan", "dns": ["192.0.2.53"]}},
        ["sites.oslo.openstack.network.dns: an existing network has its own; leave it out"],
    ),
    "IPv6 of a VPC that is there": (
        {"sites/frankfurt/aws/network": {"existing": "vpc-1", "ipv6": True}},
        ["sites.frankfurt.aws.network.ipv6: an existing VPC has its own ranges; leave it out"],
    ),
    "an account that is none": (
        {"sites/frankfurt/aws/account_id": "12345"},
        ["sites.frankfurt.aws.account_id: '12345' must be the 12 digits of an AWS account, in quotes"],
    ),
    "a hub that is a worker": (
        {"mesh/hubs": ["oslo-db", "fra-1"]},
        ["mesh.hubs: 'fra-1' is a worker that the stack creates; a hub needs a fixed address"],
    ),
    "a hub by its machine's name": (
        {"mesh/hubs": ["oslo-db", "fra-1.1"]},
        [
            "mesh.hubs[1]: 'fra-1.1' must be 2 to 32 of a-z, 0-9 and -, starting with a letter, not ending in -",
        ],
    ),
    # --- places in networks
    "a slot twice": (
        {"hosts/fra-1/slot": 1},
        ["hosts.fra-1.slot: 1 is taken by hosts.oslo-db; give each host a different slot"],
    ),
    "a slot that is another's second address": (
        {"hosts/fra-1/slot": 129},
        ["hosts.fra-1.slot: 129 is outside 10.100.0.0/24, which has slots 1 to 126"],
    ),
    "a fixed address outside": (
        {"hosts/oslo-db/openstack/fixed_address": "10.21.0.11"},
        [f"hosts.oslo-db.openstack.fixed_address: 10.21.0.11 {PART}"],
    ),
    "the gateway's address": (
        {"hosts/oslo-db/openstack/fixed_address": "10.20.0.1"},
        [f"hosts.oslo-db.openstack.fixed_address: 10.20.0.1 {PART}"],
    ),
    "the network's own address": (
        {"hosts/oslo-db/openstack/fixed_address": "10.20.0.0"},
        [f"hosts.oslo-db.openstack.fixed_address: 10.20.0.0 {PART}"],
    ),
    "everyone's address": (
        {"hosts/oslo-db/openstack/fixed_address": "10.20.0.255"},
        [f"hosts.oslo-db.openstack.fixed_address: 10.20.0.255 {PART}"],
    ),
    "a fixed address that is taken": (
        {"hosts/oslo-edge/openstack/fixed_address": "10.20.0.11"},
        [
            "hosts.oslo-edge.openstack.fixed_address: 10.20.0.11 is taken by hosts.oslo-db; use another one",
        ],
    ),
    "a fixed address of a worker": (
        {"hosts/oslo-web/openstack/fixed_address": "10.20.0.13"},
        [
            "hosts.oslo-web.openstack.fixed_address: 10.20.0.13 is not possible for a worker, "
            "whose next generation runs beside it; leave it out"
        ],
    ),
    **{
        f"{text} for a fixed address": (
            {"hosts/oslo-db/openstack/fixed_address": text},
            [f"hosts.oslo-db.openstack.fixed_address: '{text}' must be an IPv4 address"],
        )
        for text in ("10.20.0.300", "10.20.0.011", "10.20.0", "2001:db8::1", "oslo-db")
    },
    "a network inside the mesh": (
        {"sites/frankfurt/aws/network/cidr": "10.100.0.0/20"},
        [
            "sites.frankfurt.aws.network.cidr: 10.100.0.0/20 overlaps mesh.network, 10.100.0.0/24; "
            "give each a different range"
        ],
    ),
    "networks of two sites": (
        {"sites/frankfurt/aws/network/cidr": "10.20.0.0/16"},
        [
            "sites.frankfurt.aws.network.cidr: 10.20.0.0/16 overlaps sites.oslo.openstack.network.cidr, "
            "10.20.0.0/24; give each a different range"
        ],
    ),
    "a VPC that is too narrow": (
        {"sites/frankfurt/aws/network/cidr": "10.30.0.0/26"},
        ["sites.frankfurt.aws.network.cidr: 10.30.0.0/26 is too small for subnets of eight zones; use a /25 or wider"],
    ),
    "a VPC that is too wide": (
        {"sites/frankfurt/aws/network/cidr": "10.0.0.0/8"},
        [f"sites.frankfurt.aws.network.cidr: '10.0.0.0/8' {NETWORK}"],
    ),
    "a network with host bits": (
        {"sites/oslo/openstack/network/cidr": "10.20.0.1/24"},
        [f"sites.oslo.openstack.network.cidr: '10.20.0.1/24' {NETWORK}"],
    ),
    "a network that is there and made": (
        {"sites/oslo/openstack/network/existing": "lan"},
        [f"sites.oslo.openstack.network.cidr: {EITHER}"],
    ),
    "a network that is neither": (
        {"sites/oslo/openstack/network/cidr": GONE},
        [f"sites.oslo.openstack.network.cidr: {EITHER}"],
    ),
    "a VPC that is there and made": (
        {"sites/frankfurt/aws/network/existing": "vpc-1"},
        [f"sites.frankfurt.aws.network.cidr: {EITHER}"],
    ),
    "a name server's name": (
        {"sites/oslo/openstack/network/dns": ["dns.example"]},
        [
            "sites.oslo.openstack.network.dns[0]: 'dns.example' must be the IPv4 or IPv6 address of one machine, "
            "such as 192.0.2.11"
        ],
    ),
    "a zone of another region": (
        {"hosts/fra-2/aws/zone": "eu-west-1a"},
        ["hosts.fra-2.aws.zone: eu-west-1a is not in sites.frankfurt.aws.region, eu-central-1; use one of its zones"],
    ),
    "another region than the zones'": (
        {"sites/frankfurt/aws/region": "eu-west-1"},
        [
            f"hosts.fra-{number}.aws.zone: eu-central-1{letter} is not in sites.frankfurt.aws.region, eu-west-1; "
            "use one of its zones"
            for number, letter in ((1, "a"), (2, "b"))
        ],
    ),
    "a zone that is none": (
        {"hosts/fra-2/aws/zone": "eu-central-1"},
        ["hosts.fra-2.aws.zone: 'eu-central-1' must be a zone of AWS, such as eu-central-1a"],
    ),
    "a region that is none": (
        {"sites/frankfurt/aws/region": "Frankfurt"},
        ["sites.frankfurt.aws.region: 'Frankfurt' must be a region of AWS, such as eu-central-1"],
    ),
    # --- the database's volume
    "a device of a machine to be made": (
        {"database/volume": {"device": "/dev/vdb"}},
        ["database.volume.device: the stack creates this host, and the volume too; set size_gb"],
    ),
    "a volume of no cloud": (
        {"hosts/oslo-db/openstack": GONE, "hosts/oslo-db/address": "192.0.2.11"},
        ["database.volume.size_gb: no cloud creates a volume for a host that exists; set device"],
    ),
    "a volume that is two": ({"database/volume/device": "/dev/vdb"}, [f"database.volume.size_gb: {DISK}"]),
    "a volume that is none": ({"database/volume": {"type": "nvme"}}, [f"database.volume.size_gb: {DISK}"]),
    "a device with a type": (
        {
            "hosts/oslo-db/openstack": GONE,
            "hosts/oslo-db/address": "192.0.2.11",
            "database/volume": {"device": "/dev/vdb", "type": "nvme"},
        },
        ["database.volume.type: 'nvme' is for a volume of the cloud; a device has none"],
    ),
    "a device that is none": (
        {"database/volume": {"device": "/dev/vdb; reboot"}},
        ["database.volume.device: '/dev/vdb; reboot' must be a device such as /dev/nvme1n1"],
    ),
    "a volume that may not hold the redo log": (
        {"database/volume/size_gb": 2},
        [
            "database.volume.size_gb: 2 may be too small: the redo log takes up to 2048 MB; use at least 3, or set "
            "buffer_pool_mb, which decides how much"
        ],
    ),
    "a volume that does not hold the redo log": (
        {"database/volume/size_gb": 1, "database/buffer_pool_mb": 2048},
        [
            "database.volume.size_gb: 1 is too small: the redo log takes 512 MB with a buffer pool of 2048 MB; "
            "use at least 2, or set a smaller buffer_pool_mb"
        ],
    ),
    "a volume of nothing": ({"database/volume/size_gb": 0}, ["database.volume.size_gb: 0 must be at least 1"]),
    "a size with its unit": (
        {"database/volume/size_gb": "100G"},
        ["database.volume.size_gb: '100G' must be a whole number"],
    ),
    # --- accounts and keys
    "a login over HTTP": (
        {"sites/oslo/openstack/auth_url": "http://api.coolvds.com/v3"},
        ["sites.oslo.openstack.auth_url: 'http://api.coolvds.com/v3' must be an https URL without a query"],
    ),
    "a login in the URL": (
        {"sites/oslo/openstack/auth_url": "https://me:secret@api.coolvds.com/v3"},
        ["sites.oslo.openstack.auth_url: 'https://me:secret@api.coolvds.com/v3' must be an https URL without a query"],
    ),
    "the id of an access key": (
        {"sites/frankfurt/aws/access_key_id": "AKIA"},
        ["sites.frankfurt.aws.access_key_id: 'AKIA' must be the id of an access key"],
    ),
    "a key file that is missing": (
        {"sites/oslo/openstack/key_pair/public_key": "deploy.pub"},
        [
            "sites.oslo.openstack.key_pair.public_key: 'deploy.pub' is not a file in this project; "
            "paths are relative to the folder of Pulumi.yaml"
        ],
    ),
    "a key file that is no key": (
        {"sites/frankfurt/aws/key_pair/public_key": "README.md"},
        [f"sites.frankfurt.aws.key_pair.public_key: 'README.md' {IS_NO_KEY}"],
    ),
    "a key file elsewhere": (
        {"sites/oslo/openstack/key_pair/public_key": "/root/.ssh/id_ed25519.pub"},
        [
            "sites.oslo.openstack.key_pair.public_key: '/root/.ssh/id_ed25519.pub' must be a path inside this "
            "project, such as examples/app/app.py"
        ],
    ),
    "an owner without quotes": (
        {"sites/frankfurt/aws/image/owner": 136693071363},
        ["sites.frankfurt.aws.image.owner: 136693071363 must be text; if it is, put it in quotes"],
    ),
    "an owner by name": (
        {"sites/frankfurt/aws/image/owner": "debian"},
        ["sites.frankfurt.aws.image.owner: 'debian' must be the 12 digits of an AWS account, in quotes"],
    ),
    # --- machines and containers
    "a machine without a flavor": (
        {"hosts/oslo-db/openstack/flavor": GONE},
        ["hosts.oslo-db.openstack.flavor: missing; add it to the stack file"],
    ),
    "a machine without a zone": (
        {"hosts/fra-1/aws/zone": GONE},
        ["hosts.fra-1.aws.zone: missing; add it to the stack file"],
    ),
    "a type that is none": (
        {"hosts/fra-1/aws/type": "large"},
        ["hosts.fra-1.aws.type: 'large' must be a type of EC2, such as c5.large"],
    ),
    "a disk that is too small": ({"hosts/fra-1/aws/disk_gb": 4}, ["hosts.fra-1.aws.disk_gb: 4 must be at least 8"]),
    "a group twice": (
        {"hosts/oslo-db/openstack/security_groups": ["default", "default"]},
        ['hosts.oslo-db.openstack.security_groups: ["default", "default"] must not contain duplicates'],
    ),
    "a tag that is AWS's": (
        {"hosts/fra-1/aws/tags": {"aws:x": "1"}},
        ["hosts.fra-1.aws.tags: 'aws:x' must be a tag's name, which does not start with aws:"],
    ),
    "a tag that is too long": (
        {"sites/frankfurt/aws/tags": {"note": "x" * 256}},
        [f"sites.frankfurt.aws.tags.note: '{'x' * 76}... must be at most 255 characters"],
    ),
    "a machine's name that is too long": (
        {"hosts/oslo-db/openstack/name": "x" * 256},
        [f"hosts.oslo-db.openstack.name: '{'x' * 76}... must be at most 255 characters"],
    ),
    "metadata that are too long": (
        {"hosts/oslo-db/openstack/metadata": {"note": "x" * 256}},
        [f"hosts.oslo-db.openstack.metadata.note: '{'x' * 76}... must be at most 255 characters"],
    ),
    "a container's name": (
        {"sites/oslo/openstack/containers": {"a/b": {}}},
        ["sites.oslo.openstack.containers: 'a/b' must be 1 to 63 letters, digits, dots, _ and -"],
    ),
    "objects that end at once": (
        {"sites/oslo/openstack/containers/fortress-backups/expire_days": 0},
        ["sites.oslo.openstack.containers.fortress-backups.expire_days: 0 must be at least 1"],
    ),
    # --- a newline, a quote, a semicolon
    "a tag of two lines": (
        {"hosts/fra-1/aws/tags": {"Name": "a\nb"}},
        [f"hosts.fra-1.aws.tags.Name: 'a\\nb' {LINE}"],
    ),
    "a tag's name with a semicolon": (
        {"hosts/fra-1/aws/tags": {"a;b": "x"}},
        ["hosts.fra-1.aws.tags: 'a;b' must be a tag's name, which does not start with aws:"],
    ),
    "metadata of two lines": (
        {"hosts/oslo-db/openstack/metadata": {"role": "a\nb"}},
        [f"hosts.oslo-db.openstack.metadata.role: 'a\\nb' {LINE}"],
    ),
    "a metadata key with a quote": (
        {"hosts/oslo-db/openstack/metadata": {"a'b": "x"}},
        ['hosts.oslo-db.openstack.metadata: "a\'b" must be a metadata key'],
    ),
    "an image of two lines": (
        {"hosts/oslo-db/openstack/image": "Debian\n12"},
        [f"hosts.oslo-db.openstack.image: 'Debian\\n12' {LINE}"],
    ),
    # --- keys
    "unknown in a machine of OpenStack": (
        {"hosts/oslo-db/openstack/flavour": "v2-standard-2"},
        ["hosts.oslo-db.openstack.flavour: unknown setting; did you mean flavor?"],
    ),
    "unknown in a machine of AWS": (
        {"hosts/fra-1/aws/typ": "c5.large"},
        ["hosts.fra-1.aws.typ: unknown setting; did you mean type?"],
    ),
    "unknown in a host": (
        {"hosts/fra-1/openstak": {}},
        ["hosts.fra-1.openstak: unknown setting; did you mean openstack?"],
    ),
    "unknown in a site's cloud": (
        {"sites/oslo/openstack/auth_uri": "x"},
        ["sites.oslo.openstack.auth_uri: unknown setting; did you mean auth_url?"],
    ),
    "a region beside that of a cloud": (
        {"sites/oslo/region": "NO-Oslo-2"},
        ["sites.oslo.region: leave it out; it is that of the cloud, NO-Oslo-1"],
    ),
    "unknown in a site": (
        {"sites/oslo/azure": {}},
        ["sites.oslo.azure: unknown setting; known here: operator, country, sovereign, region, egress, openstack, aws"],
    ),
    "what only the other cloud's network has": (
        {"sites/oslo/openstack/network/ipv6": True},
        ["sites.oslo.openstack.network.ipv6: unknown setting; known here: cidr, existing, dns"],
    ),
    "unknown in a key pair": (
        {"sites/oslo/openstack/key_pair/public_kye": "x"},
        ["sites.oslo.openstack.key_pair.public_kye: unknown setting; did you mean public_key?"],
    ),
    "unknown in a container": (
        {"sites/oslo/openstack/containers/fortress-backups/expire": 3},
        ["sites.oslo.openstack.containers.fortress-backups.expire: unknown setting; did you mean expire_days?"],
    ),
    "unknown in a volume": (
        {"database/volume/size": 100},
        ["database.volume.size: unknown setting; did you mean size_gb?"],
    ),
    "a secret misspelt": (
        {"aws_secret_acess_key": "x"},
        ["aws_secret_acess_key: unknown setting; did you mean aws_secret_access_key?"],
    ),
    "text for a machine": (
        {"hosts/oslo-web/openstack": "v2-standard-2"},
        [
            "hosts.oslo-web.openstack: 'v2-standard-2' must be a mapping with name, flavor, image, image_pinned, "
            "fixed_address, floating_address, security_groups, metadata, availability_zone"
        ],
    ),
    "text for a network": (
        {"sites/oslo/openstack/network": "10.20.0.0/24"},
        ["sites.oslo.openstack.network: '10.20.0.0/24' must be a mapping with cidr, existing, dns"],
    ),
    # --- together
    "several at once": (
        {
            "hosts/fra-2/aws/zone": "eu-west-1a",
            "hosts/fra-1/slot": 1,
            "hosts/oslo-db/openstack/floating_address": False,
            "sites/frankfurt/aws/network/cidr": "10.20.0.0/26",
        },
        [
            "hosts.fra-1.slot: 1 is taken by hosts.oslo-db; give each host a different slot",
            "sites.frankfurt.aws.network.cidr: 10.20.0.0/26 overlaps sites.oslo.openstack.network.cidr, "
            "10.20.0.0/24; give each a different range",
            "sites.frankfurt.aws.network.cidr: 10.20.0.0/26 is too small for subnets of eight zones; "
            "use a /25 or wider",
            f"hosts.oslo-db.openstack.floating_address: {UNREACHED}",
            "hosts.fra-2.aws.zone: eu-west-1a is not in sites.frankfurt.aws.region, eu-central-1; use one of its zones",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_stand_is_refused_in_one_line(case: str) -> None:
    changes, lines = REFUSALS[case]
    assert refused(changed(changes, oslo)) == lines


STANDS: dict[str, dict[str, Any]] = {
    "the first address that a machine may have": {"hosts/oslo-db/openstack/fixed_address": "10.20.0.2"},
    "the last address that a machine may have": {"hosts/oslo-db/openstack/fixed_address": "10.20.0.254"},
    "one fixed address at two sites": {
        "sites/bergen": {**oslo()["sites"]["oslo"], "openstack": {**OPENSTACK, "network": {"existing": "lan"}}},
        "hosts/oslo-edge/site": "bergen",
        "hosts/oslo-edge/openstack/fixed_address": "10.20.0.11",
    },
    "a hub in a network that is there": {
        "sites/oslo/openstack/network": {"existing": "lan"},
        "hosts/oslo-db/openstack/floating_address": False,
    },
    "a worker in a network that operators reach": {
        "sites/oslo/openstack/network": {"existing": "lan"},
        "hosts/oslo-web/openstack/floating_address": False,
    },
    "the narrowest VPC": {"sites/frankfurt/aws/network/cidr": "10.30.0.0/25"},
    "networks side by side": {
        "sites/oslo/openstack/network/cidr": "10.20.0.0/24",
        "sites/frankfurt/aws/network/cidr": "10.20.1.0/24",
        "mesh/network": "10.20.2.0/24",
    },
    "a device of a host that exists": {
        "hosts/oslo-db/openstack": GONE,
        "hosts/oslo-db/address": "192.0.2.11",
        "database/volume": {"device": "/dev/disk/by-id/virtio-0", "encrypted": True},
    },
    "a bastion before hosts that exist": {
        **{f"hosts/{name}": {**host, "host_key": KEY} for name, host in lab()["hosts"].items()},
        "database/volume": GONE,
        "ssh/bastion": {"address": "198.51.100.1", "host_key": KEY},
    },
    "every fixed value of the first generation": {"hosts/oslo-db/generation": 1, "hosts/oslo-db/incarnation": 1},
}


@pytest.mark.parametrize("case", STANDS)
def test_what_stands(case: str) -> None:
    parse(changed(STANDS[case], oslo), ROOT)


# --- key files ---


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"{KEY} someone at home\n", RSA_KEY])
def test_key_files_that_stand(tmp_path: Path, content: str) -> None:
    settings = parse(with_key_files(tmp_path, content.encode()), tmp_path)
    for site in settings.sites.values():
        cloud = site.openstack or site.aws
        assert cloud is not None
        assert cloud.key_pair.public_key == "deploy.pub"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"ssh-ed25519 AAAA\n",
        f"{KEY}\n{KEY}\n".encode(),
        f"from=192.0.2.1 {KEY}\n".encode(),
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE=\n-----END OPENSSH PRIVATE KEY-----\n",
    ],
    ids=["empty", "no text", "a key cut short", "two keys", "a line of authorized_keys", "a private key"],
)
def test_key_files_that_are_none(tmp_path: Path, content: bytes) -> None:
    assert refused(with_key_files(tmp_path, content), tmp_path) == [
        f"sites.{cloud}.key_pair.public_key: 'deploy.pub' {IS_NO_KEY}" for cloud in ("oslo.openstack", "frankfurt.aws")
    ]


# --- whatever is typed ---

# Where text goes, and a value there that stands.
TEXTS: dict[str, str] = {
    "sites/oslo/openstack/auth_url": "https://api.coolvds.com/v3",
    "sites/oslo/openstack/region": "NO-Oslo-1",
    "sites/oslo/openstack/application_credential_id": "7c6a",
    "sites/oslo/openstack/external_network": "public",
    "sites/oslo/openstack/network/cidr": "10.20.0.0/24",
    "sites/oslo/openstack/network/dns": "192.0.2.53",
    "sites/oslo/openstack/key_pair/name": "deploy_key_2020",
    "sites/frankfurt/aws/region": "eu-central-1",
    "sites/frankfurt/aws/access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "sites/frankfurt/aws/image/owner": "136693071363",
    "sites/frankfurt/aws/image/name": "debian-13-amd64-*",
    "sites/frankfurt/aws/tags/Team": "Ops",
    "hosts/oslo-db/openstack/name": "coolvds-nvme-db-01",
    "hosts/oslo-db/openstack/flavor": "v2-highcpu-nvme",
    "hosts/oslo-db/openstack/image": "Debian 13",
    "hosts/oslo-db/openstack/fixed_address": "10.20.0.11",
    "hosts/oslo-db/openstack/security_groups": "default",
    "hosts/oslo-db/openstack/metadata/role": "primary-db",
    "hosts/oslo-db/openstack/availability_zone": "nova",
    "hosts/fra-1/aws/type": "c5.large",
    "hosts/fra-1/aws/zone": "eu-central-1a",
    "hosts/fra-1/aws/tags/Name": "worker-node-dr",
    "database/volume/type": "nvme",
}
LISTS = ("sites/oslo/openstack/network/dns", "hosts/oslo-db/openstack/security_groups")
# Where a name is the key.
KEYS: dict[str, Any] = {
    "sites/oslo/openstack": 1,
    "sites/oslo/openstack/containers": {},
    "sites/frankfurt/aws/tags": "x",
    "hosts/oslo-db/openstack": 1,
    "hosts/oslo-db/openstack/metadata": "x",
    "hosts/fra-1/aws/tags": "x",
}


def with_text(path: str, text: str) -> dict[str, Any]:
    return changed({path: [text] if path in LISTS else text}, oslo)


@pytest.mark.parametrize("path", TEXTS)
@given(before=HOSTILE, inside=HOSTILE, after=HOSTILE)
def test_no_text_that_is_accepted_holds_a_control_character(path: str, before: str, inside: str, after: str) -> None:
    stands = TEXTS[path]
    assert accepted(with_text(path, stands)) is not None
    middle = len(stands) // 2
    hostile = f"{before}{stands[:middle]}{inside}{stands[middle:]}{after}"
    settings = accepted(with_text(path, hostile))
    if settings is not None:
        assert all(text.isprintable() for text in every_text(settings.model_dump())), hostile


@pytest.mark.parametrize("path", TEXTS)
def test_a_second_line_is_refused_wherever_text_goes(path: str) -> None:
    for line_end in ("\n", "\r", "\x85", "\u2028", "\0"):
        for hostile in (f"{TEXTS[path]}{line_end}", f"{TEXTS[path]}{line_end}x", f"{line_end}{TEXTS[path]}"):
            assert accepted(with_text(path, hostile)) is None, hostile


@pytest.mark.parametrize("path", KEYS)
@given(name=HOSTILE | st.text("abc\n;' ", max_size=6))
def test_no_key_that_is_accepted_holds_a_control_character(path: str, name: str) -> None:
    values = oslo()
    place: Any = values
    for part in path.split("/"):
        place = place.setdefault(part, {})
    place[name] = KEYS[path]
    settings = accepted(values)
    if settings is not None:
        assert all(text.isprintable() for text in every_text(settings.model_dump())), name


SITES_AND_HOSTS = [
    *("sites/oslo/openstack", "sites/oslo/openstack/network", "sites/oslo/openstack/key_pair", "hosts/fra-1/aws"),
    *(
        "sites/oslo/openstack/containers",
        "sites/frankfurt/aws",
        "sites/frankfurt/aws/image",
        "sites/frankfurt/aws/tags",
    ),
    *("hosts/oslo-db/openstack", "hosts/oslo-db/openstack/metadata", "hosts/fra-1", "hosts/fra-1/aws/spot"),
    *("hosts/oslo-db/openstack/floating_address", "hosts/fra-1/generation", "database/volume"),
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(path=st.sampled_from([*TEXTS, *SITES_AND_HOSTS]), value=ANYTHING)
@hypothesis_settings(max_examples=300)
def test_whatever_stands_where_is_accepted_or_refused_in_lines(path: str, value: Any) -> None:
    accepted(changed({path: value}, oslo))


NETWORKS = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(16, 28)).map(
    lambda parts: str(IPv4Network((int(IPv4Address(f"10.{parts[0] % 4}.{parts[1]}.0")), parts[2]), strict=False))
)


@given(mesh=NETWORKS, oslo_cidr=NETWORKS, frankfurt_cidr=NETWORKS, last=st.integers(0, 255))
@hypothesis_settings(max_examples=300)
def test_networks_that_are_accepted_are_apart_and_hold_their_machines(
    mesh: str, oslo_cidr: str, frankfurt_cidr: str, last: int
) -> None:
    address = IPv4Network(oslo_cidr)[0] + last
    settings = accepted(
        changed(
            {
                "mesh/network": mesh,
                "sites/oslo/openstack/network/cidr": oslo_cidr,
                "sites/frankfurt/aws/network/cidr": frankfurt_cidr,
                "hosts/oslo-db/openstack/fixed_address": str(address),
                "hosts/oslo-edge/openstack/fixed_address": GONE,
            },
            oslo,
        )
    )
    if settings is not None:
        networks = [IPv4Network(cidr) for cidr in (mesh, oslo_cidr, frankfurt_cidr)]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(networks, 2))
        assert address in list(networks[1].hosts())[1:]


@given(
    slots=st.lists(st.integers(1, 40), min_size=5, max_size=5),
    generations=st.lists(st.integers(1, 9), min_size=3, max_size=3),
)
def test_members_have_addresses_of_their_own_and_so_has_the_next_generation(
    slots: list[int], generations: list[int]
) -> None:
    names, workers = list(oslo()["hosts"]), ["oslo-web", "fra-1", "fra-2"]
    changes = {f"hosts/{name}/slot": slot for name, slot in zip(names, slots, strict=True)}
    now = {f"hosts/{name}/generation": number for name, number in zip(workers, generations, strict=True)}
    following = {path: number + 1 for path, number in now.items()}
    here, there = accepted(changed({**changes, **now}, oslo)), accepted(changed({**changes, **following}, oslo))
    assert (here is None) == (there is None) == (len(set(slots)) < len(slots))
    if here is not None and there is not None:
        addresses = [here.mesh_address(name) for name in here.members]
        addresses += [there.mesh_address(name) for name in there.members if name not in here.members]
        assert len(set(addresses)) == len(addresses) == 5 + 3
