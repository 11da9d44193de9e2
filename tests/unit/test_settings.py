"""Settings: the stack file of the lab stands, and each thing that cannot stand is refused in one line."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress import access, haproxy, mariadb, workload
from fortress.settings.parse import parse
from tests.unit.stack_file import GONE, KEY, ROOT, RSA_KEY, changed, lab
from tests.unit.verdicts import HOSTILE, accepted, every_text, refused

NAME = "must be 2 to 32 of a-z, 0-9 and -, starting with a letter, not ending in -"
LINE = "must be one line of printable text, at most 1000 characters"
PATH = "must be a plain absolute path on the host, such as /opt/app/app.py"
SERVER = "must be an IPv4 address and a port, such as 10.100.0.8:80"
PRIVILEGES = ", ".join(map(repr, mariadb.PRIVILEGES[:-1])) + f" or {mariadb.PRIVILEGES[-1]!r}"


def test_the_labs_stack_file_stands() -> None:
    settings = parse(lab(), ROOT)
    assert (settings.database_host, settings.edge_host) == ("oslo-db", "oslo-edge")
    assert settings.workers == ["oslo-web", "fra-1", "fra-2"]
    assert settings.servers("frankfurt") == {"fra-1": "10.100.0.2:80", "fra-2": "10.100.0.5:80"}
    assert str(settings.mesh_address("oslo-edge")) == "10.100.0.3"
    assert [(flow.source, flow.destination, flow.port) for flow in settings.flows()] == [
        flow
        for worker in ("oslo-web", "fra-1", "fra-2")
        for flow in ((worker, "oslo-db", 3306), ("oslo-edge", worker, 80))
    ]


def test_guests_are_servers_of_the_overflow_site_and_members_of_nothing() -> None:
    plain = parse(lab(), ROOT)
    settings = parse(changed({"edge/guests": {"fra-8": "10.100.0.8:8080"}}), ROOT)
    assert settings.servers("frankfurt") == {**plain.servers("frankfurt"), "fra-8": "10.100.0.8:8080"}
    assert settings.servers("oslo") == plain.servers("oslo")
    assert (settings.members, settings.flows()) == (plain.members, plain.flows())


def test_what_may_be_left_out() -> None:
    least = changed(
        {
            **{f"mesh/{key}": GONE for key in ("network", "port", "path_mtu", "mtu", "keepalive_s")},
            **{f"edge/{key}": GONE for key in lab()["edge"] if key not in ("server_name", "primary", "overflow")},
            **{f"workload/{key}": GONE for key in ("packages", "files", "port", "health")},
            **{"database": GONE, "verify": GONE, "ssh/user": GONE},
        }
    )
    settings = parse(least, ROOT)
    assert (settings.ssh.user, settings.ssh.port, settings.mesh.mtu, settings.edge.maxconn) == (
        "debian",
        22,
        1360,
        2000,
    )


EGRESS = {"source": "frankfurt", "address": "198.51.100.7", "port": 443, "purpose": "To be paid."}


def test_where_a_member_may_connect_to() -> None:
    targets = {"pay": EGRESS, "logs": {**EGRESS, "source": "fra-2", "port": 514, "protocol": "udp"}}
    settings = parse(changed({"egress": targets}), ROOT)
    assert settings.egress_of("oslo-db") is None
    ports = {name: [each.port for each in settings.egress_of(name) or ()] for name in ("fra-1", "fra-2")}
    assert ports == {"fra-1": [443], "fra-2": [443, 514]}
    assert parse(changed({"sites/frankfurt/egress": GONE}), ROOT).egress_of("fra-1") is None


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (
            {"sftp": {"address": "192.0.2.9", "port": 2022, "user": "b", "path": "/b", "host_key": KEY}},
            ["ip daddr 192.0.2.9/32 tcp dport 2022"],
        ),
        (
            {"s3": {"endpoint": "https://s3.example.no", "bucket": "abc", "access_key_id": "key"}},
            ["meta skuid 0 tcp dport 443"],
        ),
        (
            {"s3": {"endpoint": "http://192.0.2.9:9000", "bucket": "abc", "access_key_id": "key"}},
            ["ip daddr 192.0.2.9/32 tcp dport 9000"],
        ),
        ({"directory": "/mnt/backups"}, []),
    ],
)
def test_the_databases_host_reaches_the_target_of_its_backups(target: dict[str, Any], match: list[str]) -> None:
    closed = {"sites/oslo/egress": "closed", "database/backup": {"site": "oslo", **target}}
    settings = parse(changed(closed), ROOT)
    assert [each.match for each in settings.egress_of("oslo-db") or ()] == match
    assert settings.egress_of("oslo-web") == []


REFUSALS: dict[str, tuple[dict[str, Any], list[str]]] = {
    # --- keys
    "unknown": (
        {"mesh/mut": 1360},
        ["mesh.mut: unknown setting; did you mean mtu?"],
    ),
    "unknown in a host": (
        {"hosts/fra-1/adress": "203.0.113.9"},
        ["hosts.fra-1.adress: unknown setting; did you mean address?"],
    ),
    "unknown in a bastion": (
        {
            "ssh/bastion": {"address": "198.51.100.1", "host_key": KEY, "usr": "x"},
            **{f"hosts/{name}/host_key": KEY for name in lab()["hosts"]},
        },
        ["ssh.bastion.usr: unknown setting; did you mean user?"],
    ),
    "unknown at the top": ({"meshh": {}}, ["meshh: unknown setting; did you mean mesh?"]),
    "a secret misspelt": (
        {"database_pasword": "x"},
        ["database_pasword: unknown setting; did you mean database_password?"],
    ),
    "unknown, nothing near": (
        {"edge/certificate": {"file": "examples/app/README.md", "zzz": 1}},
        ["edge.certificate.zzz: unknown setting; known here: file"],
    ),
    "unknown and hostile": (
        {"mesh/x\ny": 1},
        [
            'mesh["x\\ny"]: unknown setting; known here: network, port, path_mtu, mtu, keepalive_s, hubs, flows',
        ],
    ),
    "missing": ({"hosts/fra-1/slot": GONE}, ["hosts.fra-1.slot: missing; add it to the stack file"]),
    "a section missing": ({"mesh": GONE}, ["mesh: missing; add it to the stack file"]),
    "several at once": (
        {"hosts/fra-1/slot": GONE, "mesh/mtu": "wide", "ssh/prt": 22},
        [
            "ssh.prt: unknown setting; did you mean port?",
            "hosts.fra-1.slot: missing; add it to the stack file",
            "mesh.mtu: 'wide' must be a whole number",
        ],
    ),
    # --- egress
    "egress from nowhere": (
        {"egress": {"pay": {**EGRESS, "source": "bergen"}}},
        [
            "egress.pay.source: 'bergen' is neither a site nor a host; known: oslo, frankfurt, oslo-db, oslo-edge, "
            "oslo-web, fra-1, fra-2"
        ],
    ),
    "egress from where all is open": (
        {"egress": {"pay": {**EGRESS, "source": "oslo-web"}}},
        [
            "egress.pay: hosts of oslo may connect to anywhere, so that it says nothing; set sites.oslo.egress to "
            "closed, or leave it out"
        ],
    ),
    "egress to the world": (
        {"egress": {"pay": {**EGRESS, "address": "0.0.0.0/0"}}},
        [
            "egress.pay.address: '0.0.0.0/0' must be an address or a range without host bits, not all addresses, such "
            "as 198.51.100.7/32"
        ],
    ),
    # --- types
    "text for a mapping": (
        {"ssh": "root"},
        ["ssh: 'root' must be a mapping with user, port, operators, bastion"],
    ),
    "a list for a mapping": ({"hosts": ["fra-1"]}, ['hosts: ["fra-1"] must be a mapping']),
    "nothing for a mapping": (
        {"hosts/fra-1": None},
        [
            "hosts.fra-1: null must be a mapping with "
            "site, role, slot, address, openstack, aws, generation, host_key, memory_mb, incarnation, "
            "data_class, gone, adopt",
        ],
    ),
    "text for a list": ({"mesh/hubs": "oslo-db"}, ["mesh.hubs: 'oslo-db' must be a list"]),
    "text for a number": ({"mesh/port": "51820"}, ["mesh.port: '51820' must be a whole number"]),
    "a fraction": ({"mesh/mtu": 1360.5}, ["mesh.mtu: 1360.5 must be a whole number"]),
    "a truth value for a number": ({"hosts/fra-1/slot": True}, ["hosts.fra-1.slot: true must be a whole number"]),
    "text for a truth value": (
        {"sites/oslo/sovereign": "no"},
        ["sites.oslo.sovereign: 'no' must be true or false"],
    ),
    "what YAML makes of a bare NO": (
        {"sites/oslo/country": False},
        ["sites.oslo.country: false must be text; if it is, put it in quotes"],
    ),
    "a number for text": (
        {"hosts/fra-1/address": 203},
        ["hosts.fra-1.address: 203 must be text; if it is, put it in quotes"],
    ),
    "an empty list": ({"ssh/operators": []}, ["ssh.operators: [] must not be empty"]),
    "an empty mapping": ({"sites": {}}, ["sites: {} must not be empty"]),
    "a role that is none": (
        {"hosts/fra-1/role": "cache"},
        ["hosts.fra-1.role: 'cache' must be 'database', 'edge', 'monitor', 'witness' or 'worker'"],
    ),
    "a protocol that is none": (
        {"mesh/flows": [{"source": "fra-1", "destination": "fra-2", "port": 9, "protocol": "sctp"}]},
        ["mesh.flows[0].protocol: 'sctp' must be 'tcp' or 'udp'"],
    ),
    # --- ranges of numbers
    "port 0": ({"workload/port": 0}, ["workload.port: 0 must be at least 1"]),
    "port 65536": ({"ssh/port": 65536}, ["ssh.port: 65536 must be at most 65535"]),
    "slot 0": ({"hosts/fra-1/slot": 0}, ["hosts.fra-1.slot: 0 must be at least 1"]),
    "incarnation 0": ({"hosts/fra-1/incarnation": 0}, ["hosts.fra-1.incarnation: 0 must be at least 1"]),
    "memory too small": ({"hosts/fra-1/memory_mb": 64}, ["hosts.fra-1.memory_mb: 64 must be at least 256"]),
    "keepalive too long": ({"mesh/keepalive_s": 600}, ["mesh.keepalive_s: 600 must be at most 120"]),
    "path too narrow": ({"mesh/path_mtu": 500}, ["mesh.path_mtu: 500 must be at least 576"]),
    "tunnel too narrow": ({"mesh/mtu": 500}, ["mesh.mtu: 500 must be at least 576"]),
    "patience too long": (
        {"workload/healthy_within_s": 3600},
        ["workload.healthy_within_s: 3600 must be at most 600"],
    ),
    # --- names and texts
    "a name with a newline": ({"hosts/a\nb": lab()["hosts"]["fra-1"]}, [f"hosts: 'a\\nb' {NAME}"]),
    "a name with a quote": ({"sites/os'lo": lab()["sites"]["oslo"]}, [f'sites: "os\'lo" {NAME}']),
    "a name with a semicolon": ({"mesh/hubs": ["oslo-db;reboot"]}, [f"mesh.hubs[0]: 'oslo-db;reboot' {NAME}"]),
    "a name with a letter of another script": (
        {"hosts/fra-1/site": "\u043eslo"},
        [f"hosts.fra-1.site: '\u043eslo' {NAME}"],
    ),
    "a name that is too long": ({"edge/primary": "a" * 33}, [f"edge.primary: '{'a' * 33}' {NAME}"]),
    "a name that is far too long": ({"edge/overflow": "a" * 500}, [f"edge.overflow: '{'a' * 76}... {NAME}"]),
    "a name of one letter": ({"edge/overflow": "a"}, [f"edge.overflow: 'a' {NAME}"]),
    "a name that ends in a hyphen": ({"workload/name": "app-"}, [f"workload.name: 'app-' {NAME}"]),
    "an operator of two lines": ({"sites/oslo/operator": "A\nB"}, [f"sites.oslo.operator: 'A\\nB' {LINE}"]),
    "an operator of nothing": ({"sites/oslo/operator": "  "}, [f"sites.oslo.operator: '  ' {LINE}"]),
    "text that turns round": ({"sites/oslo/operator": "a\u202eb"}, [f"sites.oslo.operator: 'a\\u202eb' {LINE}"]),
    "a country": (
        {"sites/oslo/country": "Norway"},
        ["sites.oslo.country: 'Norway' must be a country's two letters (ISO 3166), such as NO"],
    ),
    "a user": ({"ssh/user": "ops; id"}, ["ssh.user: 'ops; id' must be the name of a Unix user"]),
    "a package": (
        {"workload/packages": ["--allow-unauthenticated"]},
        ["workload.packages[0]: '--allow-unauthenticated' must be the name of a Debian package"],
    ),
    "a DNS name": (
        {"edge/server_name": "Lab.Example"},
        ["edge.server_name: 'Lab.Example' must be a DNS name in lower case"],
    ),
    "a DNS name that is too long": (
        {"edge/server_name": "a." * 127 + "ab"},
        [f"edge.server_name: '{'a.' * 38}... must be a DNS name in lower case"],
    ),
    "a health path": (
        {"workload/health": "/health?x=1 HTTP/1.0"},
        ["workload.health: '/health?x=1 HTTP/1.0' must be the path of a URL, such as /health"],
    ),
    # --- addresses
    "an address": (
        {"hosts/fra-1/address": "203.0.113.256"},
        ["hosts.fra-1.address: '203.0.113.256' must be the IPv4 or IPv6 address of one machine, such as 192.0.2.11"],
    ),
    "an address with a zone, which may hold anything": (
        {"hosts/fra-1/address": "fe80::1%x\nPostUp = reboot"},
        [
            "hosts.fra-1.address: 'fe80::1%x\\nPostUp = reboot' must be the IPv4 or IPv6 address of one machine, "
            "such as 192.0.2.11"
        ],
    ),
    "no address": (
        {"hosts/fra-1/address": "0.0.0.0"},
        ["hosts.fra-1.address: '0.0.0.0' must be the IPv4 or IPv6 address of one machine, such as 192.0.2.11"],
    ),
    "everybody's address": (
        {"hosts/fra-1/address": "ff02::1"},
        ["hosts.fra-1.address: 'ff02::1' must be the IPv4 or IPv6 address of one machine, such as 192.0.2.11"],
    ),
    "a range with host bits": (
        {"ssh/operators": ["192.0.2.10/24"]},
        ["ssh.operators[0]: '192.0.2.10/24' must be an address range without host bits, such as 192.0.2.0/24"],
    ),
    "a range with a zone": (
        {"ssh/operators": ["fe80::%x accept\n/64"]},
        ["ssh.operators[0]: 'fe80::%x accept\\n/64' must be an address range without host bits, such as 192.0.2.0/24"],
    ),
    "the whole world": (
        {"ssh/operators": ["192.0.2.10/32", "0.0.0.0/0"]},
        [
            'ssh.operators: ["192.0.2.10/32", "0.0.0.0/0"] is the whole world (IPv4); '
            "name the ranges that operators come from"
        ],
    ),
    "the whole of IPv6": (
        {"ssh/operators": ["::/0"]},
        ['ssh.operators: ["::/0"] is the whole world (IPv6); name the ranges that operators come from'],
    ),
    "the whole world in two halves": (
        {"ssh/operators": ["0.0.0.0/1", "128.0.0.0/1"]},
        [
            'ssh.operators: ["0.0.0.0/1", "128.0.0.0/1"] is the whole world (IPv4); '
            "name the ranges that operators come from"
        ],
    ),
    "a mesh with host bits": (
        {"mesh/network": "10.100.0.1/24"},
        [
            "mesh.network: '10.100.0.1/24' must be an IPv4 network from /16 to /28 without host bits, "
            "such as 10.100.0.0/24"
        ],
    ),
    "a mesh that is too wide": (
        {"mesh/network": "10.0.0.0/8"},
        ["mesh.network: '10.0.0.0/8' must be an IPv4 network from /16 to /28 without host bits, such as 10.100.0.0/24"],
    ),
    "a mesh of a number": (
        {"mesh/network": 10},
        ["mesh.network: 10 must be an IPv4 network from /16 to /28 without host bits, such as 10.100.0.0/24"],
    ),
    "a mesh on this machine": (
        {"mesh/network": "127.0.0.0/24"},
        ["mesh.network: '127.0.0.0/24' must be a network whose addresses hosts can have, such as 10.100.0.0/24"],
    ),
    "a host key": (
        {"hosts/fra-1/host_key": "ssh-ed25519 AAAA"},
        [
            "hosts.fra-1.host_key: 'ssh-ed25519 AAAA' must be an SSH host key, type and base64, "
            "as `ssh-keyscan -t ed25519 ADDRESS` prints it after the address"
        ],
    ),
    "a host key with more after it": (
        {"hosts/fra-1/host_key": f"{KEY} root@fra-1"},
        [
            "hosts.fra-1.host_key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB... "
            "must be an SSH host key, type and base64, "
            "as `ssh-keyscan -t ed25519 ADDRESS` prints it after the address"
        ],
    ),
    "an RSA host key": (
        {"hosts/fra-1/host_key": RSA_KEY},
        [
            f"hosts.fra-1.host_key: '{RSA_KEY[:76]}... must be an ed25519 or ecdsa key, since no login works by an RSA "
            "one any more; `ssh-keyscan -t ed25519 ADDRESS` prints it after the address"
        ],
    ),
    # --- hosts
    "a slot twice": (
        {"hosts/fra-2/slot": 2},
        ["hosts.fra-2.slot: 2 is taken by hosts.fra-1; give each host a different slot"],
    ),
    "a slot outside": (
        {"hosts/fra-2/slot": 127},
        ["hosts.fra-2.slot: 127 is outside 10.100.0.0/24, which has slots 1 to 126"],
    ),
    "an address twice": (
        {"hosts/fra-2/address": "203.0.113.21"},
        ["hosts.fra-2.address: 203.0.113.21 is taken by hosts.fra-1"],
    ),
    "an address twice, spelt otherwise": (
        {"hosts/fra-1/address": "2001:db8::1", "hosts/fra-2/address": "2001:0db8:0::1"},
        ["hosts.fra-2.address: 2001:db8::1 is taken by hosts.fra-1"],
    ),
    "an address in the mesh": (
        {"hosts/fra-2/address": "10.100.0.9"},
        ["hosts.fra-2.address: 10.100.0.9 lies inside mesh.network 10.100.0.0/24"],
    ),
    "a site that is none": (
        {"hosts/fra-2/site": "paris"},
        ["hosts.fra-2.site: 'paris' is not in sites; known: oslo, frankfurt"],
    ),
    "no database": (
        {"hosts/oslo-db/role": "worker"},
        ["hosts: exactly one host has role: database, found 0 (none)"],
    ),
    "two databases": (
        {"hosts/oslo-web/role": "database", "edge/primary": "frankfurt", "edge/overflow": "oslo"},
        [
            "hosts: exactly one host has role: database, found 2 (oslo-db, oslo-web); for copies set "
            "database.mode: replica or galera"
        ],
    ),
    "no edge": (
        {"hosts/oslo-edge/role": "worker"},
        ["hosts: exactly one host has role: edge, found 0 (none)"],
    ),
    "two edges": (
        {"hosts/fra-1/role": "edge"},
        ["hosts: exactly one host has role: edge, found 2 (oslo-edge, fra-1)"],
    ),
    "no worker": (
        {f"hosts/{name}": GONE for name in ("oslo-web", "fra-1", "fra-2")},
        [
            "hosts: at least one host has role: worker",
            "edge.primary: no host with role: worker is at 'oslo'; name a site with workers",
        ],
    ),
    "personal data abroad": (
        {"hosts/oslo-db/site": "frankfurt"},
        ["hosts.oslo-db.site: frankfurt is not sovereign, but personal data is stored here"],
    ),
    "a bastion without pinned keys": (
        {
            "ssh/bastion": {"address": "198.51.100.1", "host_key": KEY},
            **{f"hosts/{name}/host_key": KEY for name in lab()["hosts"] if name != "fra-2"},
        },
        ["hosts.fra-2.host_key: needed with ssh.bastion; a key cannot be learnt through another host"],
    ),
    "a bastion without a key of its own": (
        {"ssh/bastion": {"address": "198.51.100.1"}},
        ["ssh.bastion.host_key: missing; add it to the stack file"],
    ),
    "SSH on the edge's port": (
        {"ssh/port": 443},
        ["ssh.port: 443 is the port of HAProxy; let SSH listen on a different one"],
    ),
    "SSH on the database's port": (
        {"ssh/port": 3306},
        ["ssh.port: 3306 is the port of MariaDB; let SSH listen on a different one"],
    ),
    "SSH on the workload's port": (
        {"workload/port": 22},
        ["ssh.port: 22 is the port of the workload; let SSH listen on a different one"],
    ),
    # --- mesh
    "an MTU that does not fit": (
        {"mesh/mtu": 1371},
        [
            "mesh.mtu: 1371 does not fit: a path of 1450 bytes carries at most 1370 inside the tunnel "
            "(80 bytes of overhead); lower mtu, or raise path_mtu if the path is wider"
        ],
    ),
    "a hub that is none": (
        {"mesh/hubs": ["oslo-db", "oslo-hub"]},
        ["mesh.hubs: 'oslo-hub' is not in hosts; known: oslo-db, oslo-edge, oslo-web, fra-1, fra-2"],
    ),
    "a hub twice": (
        {"mesh/hubs": ["oslo-db", "oslo-db"]},
        ['mesh.hubs: ["oslo-db", "oslo-db"] must not contain duplicates'],
    ),
    "no hub": ({"mesh/hubs": []}, ["mesh.hubs: [] must not be empty"]),
    "a flow from nowhere": (
        {
            "mesh/flows": [
                {"source": "fra-1", "destination": "fra-2", "port": 9},
                *[{"source": "nobody"} | {"destination": "fra-2", "port": 9}],
            ]
        },
        ["mesh.flows[1]: 'nobody' is not in hosts; known: oslo-db, oslo-edge, oslo-web, fra-1, fra-2"],
    ),
    "a flow in a circle": (
        {"mesh/flows": [{"source": "fra-1", "destination": "fra-1", "port": 9}]},
        ["mesh.flows[0]: a flow joins two hosts, not fra-1 with itself"],
    ),
    "a flow twice": (
        {
            "mesh/flows": [
                {"source": "fra-1", "destination": "fra-2", "port": 9},
                {"source": "fra-1", "destination": "fra-2", "port": 9, "protocol": "udp"},
                {"source": "fra-1", "destination": "fra-2", "port": 9, "protocol": "tcp"},
                {"source": "fra-1", "destination": "oslo-db", "port": 3306},
            ]
        },
        [
            "mesh.flows[2]: fra-1 to fra-2, tcp/9 is mesh.flows[0] too; leave it out",
            "mesh.flows[3]: fra-1 to oslo-db, tcp/3306 is open by their roles; leave it out",
        ],
    ),
    # --- database
    "a privilege that is none": (
        {"database/privileges": ["SELECT", "FILE"]},
        [f"database.privileges[1]: 'FILE' must be {PRIVILEGES}"],
    ),
    "a privilege twice": (
        {"database/privileges": ["SELECT", "SELECT"]},
        ['database.privileges: ["SELECT", "SELECT"] must not contain duplicates'],
    ),
    "no privilege": (
        {"database/privileges": []},
        ["database.privileges: [] must not be empty"],
    ),
    "a database's name": (
        {"database/name": "app; DROP"},
        [
            "database.name: 'app; DROP' must be a name: a lower-case letter, then lower-case letters, digits and "
            "underscores, at most 64"
        ],
    ),
    "a database that MariaDB has": (
        {"database/name": "mysql"},
        ["database.name: 'mysql' is reserved by MariaDB"],
    ),
    "an account that MariaDB has": (
        {"database/user": "root"},
        ["database.user: 'root' is reserved by MariaDB"],
    ),
    "commits that may be lost": (
        {"database/flush_log_at_commit": 2},
        [
            "database.flush_log_at_commit: 2 is not allowed here: it loses the last second on a power cut. "
            "Use 1, or set cross_cloud_copy: true"
        ],
    ),
    "commits that are lost": (
        {"database/flush_log_at_commit": 0},
        ["database.flush_log_at_commit: 0 must be at least 1"],
    ),
    "a pool of broken extents": (
        {"database/buffer_pool_mb": 500},
        ["database.buffer_pool_mb: 500 must be a multiple of 8; the next below is 496"],
    ),
    "a pool that is too big for its host": (
        {"database/buffer_pool_mb": 1000},
        ["database.buffer_pool_mb: 1000 must be at most 896 on a host of 1024 MB"],
    ),
    "a pool that is too small": (
        {"database/buffer_pool_mb": 64},
        ["database.buffer_pool_mb: 64 must be at least 128"],
    ),
    "a pool of broken extents on a host of unknown size": (
        {"database/buffer_pool_mb": 500, "hosts/oslo-db/memory_mb": GONE},
        ["database.buffer_pool_mb: 500 must be a multiple of 8; the next below is 496"],
    ),
    "a host that is too small for a database": (
        {"hosts/oslo-db/memory_mb": 256},
        [
            "hosts.oslo-db.memory_mb: 256 is not enough: 70% of it is 176 MB, but only a buffer pool of 128 to 128 MB "
            "would fit; set buffer_pool_mb or use a larger host"
        ],
    ),
    # --- workload
    "a unit that a host has": (
        {"workload/name": "ssh"},
        ["workload.name: 'ssh' is taken: the host already has a unit of this name"],
    ),
    "a unit of systemd's": (
        {"workload/name": "systemd-resolved"},
        ["workload.name: 'systemd-resolved' is taken: the host already has a unit of this name"],
    ),
    "a program by its name": (
        {"workload/command": "python3 app.py"},
        ["workload.command: 'python3 app.py' does not start with the absolute path of a program"],
    ),
    "a quote left open": (
        {"workload/command": "/usr/bin/echo 'x"},
        ["""workload.command: "/usr/bin/echo 'x" is not a command line: No closing quotation"""],
    ),
    "a command of two lines": (
        {"workload/command": "/bin/true\nExecStartPre=/bin/false"},
        [f"workload.command: '/bin/true\\nExecStartPre=/bin/false' {LINE}"],
    ),
    "a variable that is the program's": (
        {"workload/environment": {"FORTRESS_DATABASE_ADDRESS": "198.51.100.1"}},
        [
            "workload.environment: 'FORTRESS_DATABASE_ADDRESS' must not start with FORTRESS_: "
            "these variables are set by the program"
        ],
    ),
    "a variable's name": (
        {"workload/environment": {"A=B C": "x"}},
        [
            "workload.environment: 'A=B C' must be the name of an environment variable: A-Z, 0-9 and _, "
            "starting with a letter"
        ],
    ),
    "a variable of two lines": (
        {"workload/environment": {"GREETING": "a\nb"}},
        [f"workload.environment.GREETING: 'a\\nb' {LINE}"],
    ),
    "a path on the host": (
        {"workload/files": {"opt/app": "examples/app/README.md"}},
        [f"workload.files: 'opt/app' {PATH}"],
    ),
    "a path upwards": (
        {"workload/files": {"/opt/../etc/passwd": "examples/app/README.md"}},
        [f"workload.files: '/opt/../etc/passwd' {PATH}"],
    ),
    "a path of two slashes": (
        {"workload/files": {"//opt/app": "examples/app/README.md"}},
        [f"workload.files: '//opt/app' {PATH}"],
    ),
    "a path that is the program's": (
        {"workload/files": {"/etc/wireguard/wg0.conf": "examples/app/README.md"}},
        ["workload.files: '/etc/wireguard/wg0.conf' must not be in /etc/wireguard, which the program itself manages"],
    ),
    "a file that is missing": (
        {"workload/files": {"/opt/app/app.py": "examples/app/nothing.py"}},
        [
            "workload.files[\"/opt/app/app.py\"]: 'examples/app/nothing.py' is not a file in this project; "
            "paths are relative to the folder of Pulumi.yaml"
        ],
    ),
    "a file outside the project": (
        {"workload/files": {"/opt/app/app.py": "../secret"}},
        [
            "workload.files[\"/opt/app/app.py\"]: '../secret' must be a path inside this project, "
            "such as examples/app/app.py"
        ],
    ),
    "a file of the machine": (
        {"workload/files": {"/opt/app/app.py": "/etc/shadow"}},
        [
            "workload.files[\"/opt/app/app.py\"]: '/etc/shadow' must be a path inside this project, "
            "such as examples/app/app.py"
        ],
    ),
    # --- edge
    "a primary site that is none": (
        {"edge/primary": "paris"},
        ["edge.primary: 'paris' is not in sites; known: oslo, frankfurt"],
    ),
    "an overflow site that is none": (
        {"edge/overflow": "paris"},
        ["edge.overflow: 'paris' is not in sites; known: oslo, frankfurt"],
    ),
    "one site twice": (
        {"edge/overflow": "oslo"},
        ["edge.overflow: 'oslo' is the primary's site; name another one"],
    ),
    "a primary site without workers": (
        {"hosts/oslo-web/site": "frankfurt"},
        ["edge.primary: no host with role: worker is at 'oslo'; name a site with workers"],
    ),
    "requests that could never spill over": (
        {"edge/maxconn": 40},
        ["edge.maxconn: 40 is not above the 40 slots of oslo's servers: requests could never spill over"],
    ),
    "no connection": ({"edge/maxconn": 0}, ["edge.maxconn: 0 must be at least 1"]),
    "no slot": ({"edge/server_maxconn": 0}, ["edge.server_maxconn: 0 must be at least 1"]),
    "patience with clients": (
        {"edge/timeout_client_ms": 10},
        ["edge.timeout_client_ms: 10 must be at least 100"],
    ),
    "patience with workers": (
        {"edge/timeout_server_ms": 10},
        ["edge.timeout_server_ms: 10 must be at least 100"],
    ),
    "patience with connections": (
        {"edge/timeout_connect_ms": 6000},
        ["edge.timeout_connect_ms: 6000 must be at most 5000"],
    ),
    "checks that are too rare": (
        {"edge/checks/inter_ms": 5000},
        ["edge.checks.inter_ms: 5000 must be at most 2000"],
    ),
    "checks that are slower when in doubt": (
        {"edge/checks/fastinter_ms": 1500},
        ["edge.checks.fastinter_ms: 1500 must be at most 1000, which is inter_ms"],
    ),
    "checks and connections at once": (
        {"edge/checks/fall": 9, "edge/server_maxconn": -1, "edge/timeout_client_ms": 1},
        [
            "edge.server_maxconn: -1 must be at least 1",
            "edge.timeout_client_ms: 1 must be at least 100",
            "edge.checks.fall: 9 must be at most 3",
        ],
    ),
    "a guest's name": ({"edge/guests": {"fra.8": "10.100.0.8:80"}}, [f"edge.guests: 'fra.8' {NAME}"]),
    "a guest without a port": (
        {"edge/guests": {"fra-8": "10.100.0.8"}},
        [f"edge.guests.fra-8: '10.100.0.8' {SERVER}"],
    ),
    "a guest's port": (
        {"edge/guests": {"fra-8": "10.100.0.8:65536"}},
        [f"edge.guests.fra-8: '10.100.0.8:65536' {SERVER}"],
    ),
    "a guest with options of HAProxy's": (
        {"edge/guests": {"fra-8": "10.100.0.8:80 weight 256"}},
        [f"edge.guests.fra-8: '10.100.0.8:80 weight 256' {SERVER}"],
    ),
    "a guest as a mapping": (
        {"edge/guests": {"fra-8": {"address": "10.100.0.8"}}},
        ['edge.guests.fra-8: {"address": "10.100.0.8"} must be text; if it is, put it in quotes'],
    ),
    "a guest that is a host": (
        {"edge/guests": {"oslo-web": "10.100.0.8:80"}},
        ["edge.guests.oslo-web: 'oslo-web' is in hosts; leave it out, or give the guest another name"],
    ),
    "guests outside the mesh, and at addresses of its own": (
        {"edge/guests": {"fra-7": "203.0.113.28:80", "fra-8": "10.100.0.0:80", "fra-9": "10.100.0.255:80"}},
        [
            f"edge.guests.{guest} is outside mesh.network 10.100.0.0/24, 10.100.0.1 to 10.100.0.254; "
            "use the guest's address in the mesh"
            for guest in ("fra-7: 203.0.113.28", "fra-8: 10.100.0.0", "fra-9: 10.100.0.255")
        ],
    ),
    "guests in a host's slot": (
        {"edge/guests": {"fra-8": "10.100.0.2:80", "fra-9": "10.100.0.130:8080"}},
        [
            f"edge.guests.{guest} is taken by hosts.fra-1, whose slot has two addresses; use another one for the guest"
            for guest in ("fra-8: 10.100.0.2", "fra-9: 10.100.0.130")
        ],
    ),
    "two guests at one address": (
        {"edge/guests": {"fra-8": "10.100.0.8:80", "fra-9": "10.100.0.8:81"}},
        ["edge.guests.fra-9: 10.100.0.8 is taken by edge.guests.fra-8; use another one for the guest"],
    ),
    "a guest beside a slot outside": (
        {"edge/guests": {"fra-8": "10.100.0.8:80"}, "hosts/fra-2/slot": 127},
        ["hosts.fra-2.slot: 127 is outside 10.100.0.0/24, which has slots 1 to 126"],
    ),
    "a certificate that is missing": (
        {"edge/certificate": {"file": "site.pem"}},
        [
            "edge.certificate.file: 'site.pem' is not a file in this project; "
            "paths are relative to the folder of Pulumi.yaml"
        ],
    ),
    # --- verify
    "a pair of sites misspelt": (
        {"verify/rtt_ms": {"oslo-frankfurt": [20, 30]}},
        [
            "verify.rtt_ms: 'oslo-frankfurt' must be two sites in alphabetical order: "
            "frankfurt-frankfurt, frankfurt-oslo, oslo-oslo"
        ],
    ),
    "a hostile pair": (
        {"verify/rtt_ms": {"a\nb": [20, 30]}},
        [
            "verify.rtt_ms: 'a\\nb' must be two sites in alphabetical order: "
            "frankfurt-frankfurt, frankfurt-oslo, oslo-oslo"
        ],
    ),
    "one limit": (
        {"verify/rtt_ms": {"frankfurt-oslo": [20]}},
        [
            "verify.rtt_ms.frankfurt-oslo: [20] must be the minimum and maximum round trip in ms, such as [20, 30]",
        ],
    ),
    "limits the wrong way round": (
        {"verify/rtt_ms": {"frankfurt-oslo": [30, 20]}},
        [
            "verify.rtt_ms.frankfurt-oslo: [30, 20] must be the minimum and maximum round trip in ms, such as [20, 30]",
        ],
    ),
    "a limit that is none": (
        {"verify/rtt_ms": {"frankfurt-oslo": [20, float("inf")]}},
        ["verify.rtt_ms.frankfurt-oslo[1]: Infinity must be a number"],
    ),
    "tables that are none": (
        {"verify/firewall_tables": ["ip nat", "table ip nat", "nat", "ipx nat", "ip nat; flush ruleset", "ip nat\n"]},
        [
            f"verify.firewall_tables[{index}]: '{table}' must be the family and name of an nftables table and nothing "
            "else, such as inet f2b-table"
            for index, table in enumerate(["table ip nat", "nat", "ipx nat", "ip nat; flush ruleset", "ip nat\\n"], 1)
        ],
    ),
    "a table twice": (
        {"verify/firewall_tables": ["ip nat", "ip nat"]},
        ['verify.firewall_tables: ["ip nat", "ip nat"] must not contain duplicates'],
    ),
    "a handshake's age": ({"verify/handshake_s": 5}, ["verify.handshake_s: 5 must be at least 60"]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_stand_is_refused_in_one_line(case: str) -> None:
    changes, lines = REFUSALS[case]
    assert refused(changed(changes)) == lines


def test_nothing_at_all() -> None:
    assert refused({}) == [
        f"{section}: missing; add it to the stack file"
        for section in ("ssh", "sites", "hosts", "mesh", "workload", "edge")
    ]


def test_a_certificate_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "examples/app").mkdir(parents=True)
    (tmp_path / "examples/app/app.py").write_bytes(b"\xff\xfe")  # as any file of a workload may be
    (tmp_path / "site.pem").write_bytes(b"\xff\xfe")
    with_certificate = changed({"edge/certificate": {"file": "site.pem"}})
    assert refused(with_certificate, tmp_path) == ["edge.certificate.file: 'site.pem' is not UTF-8 text"]


def test_settings_that_stand_cannot_be_changed() -> None:
    settings = parse(lab(), ROOT)
    with pytest.raises(ValueError, match="frozen"):
        settings.mesh.mtu = 1  # type: ignore[misc]


# --- whatever is typed ---

# Where text goes, and a value there that stands.
TEXTS: dict[str, str] = {
    "ssh/user": "ops",
    "ssh/operators/0": "192.0.2.10/32",
    "sites/oslo/operator": "A Norwegian cloud",
    "sites/oslo/country": "NO",
    "hosts/fra-1/site": "frankfurt",
    "hosts/fra-1/role": "worker",
    "hosts/fra-1/address": "203.0.113.21",
    "hosts/fra-1/host_key": KEY,
    "mesh/network": "10.100.0.0/24",
    "mesh/hubs/0": "oslo-db",
    "database/name": "app",
    "database/user": "app",
    "database/privileges/0": "SELECT",
    "workload/name": "app",
    "workload/packages/0": "python3-pymysql",
    "workload/command": "/usr/bin/python3 /opt/app/app.py",
    "workload/health": "/health",
    "workload/environment/GREETING": "hello",
    "edge/server_name": "lab.fortress.example",
    "edge/primary": "oslo",
    "edge/overflow": "frankfurt",
    "edge/guests/fra-8": "10.100.0.8:80",
}
# Where a name is the key.
KEYS = {
    "sites": {"operator": "x", "country": "NO", "sovereign": False},
    "hosts": {"site": "oslo", "role": "worker", "slot": 9, "address": "192.0.2.19"},
    "workload/files": "examples/app/README.md",
    "workload/environment": "x",
    "edge/guests": "10.100.0.8:80",
    "verify/rtt_ms": [1, 2],
    "mesh": 1,
}


@pytest.mark.parametrize("path", TEXTS)
@given(before=HOSTILE, inside=HOSTILE, after=HOSTILE)
def test_no_text_that_is_accepted_holds_a_control_character(path: str, before: str, inside: str, after: str) -> None:
    stands = TEXTS[path]
    assert accepted(changed({path: stands})) is not None
    middle = len(stands) // 2
    hostile = f"{before}{stands[:middle]}{inside}{stands[middle:]}{after}"
    settings = accepted(changed({path: hostile}))
    if settings is not None:
        assert all(text.isprintable() for text in every_text(settings.model_dump())), hostile


@pytest.mark.parametrize("path", TEXTS)
def test_a_second_line_is_refused_wherever_text_goes(path: str) -> None:
    for line_end in ("\n", "\r", "\x85", "\u2028", "\0"):
        for hostile in (f"{TEXTS[path]}{line_end}", f"{TEXTS[path]}{line_end}x", f"{line_end}{TEXTS[path]}"):
            assert accepted(changed({path: hostile})) is None, hostile


@pytest.mark.parametrize("path", KEYS)
@given(name=HOSTILE | st.text("abc\n;' ", max_size=6).map(lambda text: f"/opt/{text}"))
def test_no_key_that_is_accepted_holds_a_control_character(path: str, name: str) -> None:
    values = lab()
    place: Any = values
    for part in path.split("/"):
        place = place.setdefault(part, {})
    place[name] = KEYS[path]
    settings = accepted(values)
    if settings is not None:
        assert all(text.isprintable() for text in every_text(settings.model_dump())), name


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    path=st.sampled_from([*TEXTS, "ssh", "sites/oslo", "hosts", "mesh/flows", "edge/checks", "verify/rtt_ms"]),
    value=json_values,
)
def test_whatever_stands_where_is_accepted_or_refused_in_lines(path: str, value: Any) -> None:
    accepted(changed({path: value}))


NUMBERS = {
    "hosts/oslo-db/memory_mb": st.integers(0, 2**26),
    "database/buffer_pool_mb": st.integers(0, 2000) | st.integers(0, 250).map(lambda extents: extents * 8),
    "database/flush_log_at_commit": st.integers(-1, 3),
    "workload/port": st.integers(-1, 70000),
    "edge/maxconn": st.integers(-1, 2_000_000),
    "edge/server_maxconn": st.integers(-1, 2_000_000),
    "edge/timeout_client_ms": st.integers(0, 10_000_000),
    "edge/timeout_connect_ms": st.integers(0, 10_000),
    "edge/checks/inter_ms": st.integers(0, 3000),
    "edge/checks/fastinter_ms": st.integers(0, 3000),
    "edge/checks/rise": st.integers(-1, 5),
    "edge/checks/fall": st.integers(-1, 5),
}
TEXTS_OF_SERVICES = {
    "database/name": st.from_regex(r"[a-z_0-9]{0,70}|mysql|sys|app;", fullmatch=True),
    "workload/name": st.sampled_from(sorted(workload.RESERVED)) | st.from_regex(r"[a-z-]{1,34}", fullmatch=True),
    "workload/command": st.text(max_size=20).map(lambda text: f"/usr/bin/x {text}"),
}


@given(st.fixed_dictionaries({}, optional={**NUMBERS, **TEXTS_OF_SERVICES}))
def test_whatever_is_accepted_can_be_rendered(changes: dict[str, Any]) -> None:
    """What the modules that render refuse is refused here first, so that no component fails half way."""
    settings = accepted(changed(changes))
    if settings is None:
        return
    database, work, edge = settings.database, settings.workload, settings.edge
    server = mariadb.Server(
        address=str(settings.mesh_address(settings.database_host)),
        ram_mb=settings.hosts["oslo-db"].memory_mb or 0,
        buffer_pool_mb=database.buffer_pool_mb,
        innodb_flush_log_at_trx_commit=database.flush_log_at_commit,
        cross_cloud_copy=database.cross_cloud_copy,
    )
    mariadb.render(server)
    access.Application(
        database=database.name,
        user=database.user,
        network=str(settings.mesh.network),
        privileges=database.privileges,
    )
    workload.render(workload.Unit(name=work.name, command=work.command, port=work.port, environment=work.environment))

    def backend(site: str) -> haproxy.Backend:
        return haproxy.Backend(site=site, servers=settings.servers(site), maxconn=edge.server_maxconn)

    haproxy.render(
        haproxy.Edge(
            server_name=edge.server_name,
            primary=backend(edge.primary),
            overflow=backend(edge.overflow),
            maxconn=edge.maxconn,
            timeouts=haproxy.Timeouts(client_ms=edge.timeout_client_ms, server_ms=edge.timeout_server_ms),
            checks=haproxy.Checks(**edge.checks.model_dump(), connect_ms=edge.timeout_connect_ms),
            health_path=work.health,
        )
    )


@given(slot=st.integers(1, 300), prefix=st.integers(16, 28))
def test_every_slot_that_is_accepted_has_an_address_in_the_mesh(slot: int, prefix: int) -> None:
    settings = accepted(changed({"hosts/fra-2/slot": slot, "mesh/network": f"10.100.0.0/{prefix}"}))
    if settings is not None:
        addresses = [settings.mesh_address(name) for name in settings.hosts]
        assert len(set(addresses)) == len(addresses)
        assert all(address in ipaddress.IPv4Network(f"10.100.0.0/{prefix}") for address in addresses)
