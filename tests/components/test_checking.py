"""Arguments of components: refused in the words of stack files, before anything is registered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest

from components import (
    AwsMachine,
    AwsSite,
    DataFortress,
    EphemeralWorker,
    HAProxyEdge,
    Host,
    HostFile,
    OpenStackMachine,
    OpenStackSite,
    PrivateContainer,
    WireGuardMesh,
)
from tests.components.engine import HOST_KEY, WIREGUARD_KEY, member
from tests.components.test_data_fortress import PEM as CA
from tests.components.test_data_fortress import args as database
from tests.components.test_ephemeral_worker import WORK
from tests.components.test_ephemeral_worker import args as worker
from tests.components.test_haproxy_edge import FRANKFURT, OSLO
from tests.components.test_haproxy_edge import args as edge
from tests.components.test_options import EC2, MACHINE
from tests.components.test_wireguard_mesh import FLOWS
from tests.components.test_wireguard_mesh import args as mesh
from tests.doubles.pulumi_mocks import run

NAMES = "must be a name of lower-case letters, digits, dots and hyphens, at most 63"
ADDRESS = "must be the IPv4 or IPv6 address of one machine, such as 192.0.2.11"
MEMBERS = "is not a member; known: db, edge, fra-1, fra-2"
PATH = "must be a plain absolute path, such as /etc/ssl/private/site.pem"
PREFIX = "must be 1 to 32 of a-z, 0-9 and -, starting with a letter and not with sg-, not ending in -"
TWICE = f"{FLOWS[0]['source']} to {FLOWS[0]['destination']}, tcp/{FLOWS[0]['port']}"
LONG = "/opt" + "/a" * 99
HOST: dict[str, Any] = {
    "address": "192.0.2.11",
    "site": "oslo",
    "mesh_address": "10.100.0.1",
    "mesh_network": "10.100.0.0/24",
    "operators": ["192.0.2.10/32"],
}
MAKE: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "HAProxyEdge": lambda more: HAProxyEdge("it", edge(**more)),
    "DataFortress": lambda more: DataFortress("it", database(**more)),
    "EphemeralWorker": lambda more: EphemeralWorker("it", worker(**more)),
    "WireGuardMesh": lambda more: WireGuardMesh("it", mesh(**more)),
    "Host": lambda more: Host("it", {**HOST, **more}),  # type: ignore[typeddict-item]
    "HostFile": lambda more: HostFile("it", {"host": member(), "path": "/etc/note", "content": "x\n", **more}),  # type: ignore[typeddict-item]
    "OpenStackMachine": lambda more: OpenStackMachine("it", {**MACHINE, **more}),  # type: ignore[typeddict-item]
    "AwsMachine": lambda more: AwsMachine("it", {**EC2, **more}),  # type: ignore[typeddict-item]
    "PrivateContainer": lambda more: PrivateContainer("it", {"container": "c", "versioning": True, **more}),  # type: ignore[typeddict-item]
    "AwsSite": lambda more: AwsSite("it", {"zones": [], "key_pair": "x", **more}),  # type: ignore[typeddict-item]
    "OpenStackSite": lambda more: OpenStackSite("it", {"external_network_id": "n", "key_pair": "x", **more}),  # type: ignore[typeddict-item]
}


def printed(name: str) -> str:
    return {
        "oslo-db-host-key": HOST_KEY,
        "oslo-db-key": WIREGUARD_KEY,
        "oslo-db-facts": "1987",
        "it-authority": CA,
    }.get(name, "")


@pytest.mark.parametrize(
    ("component", "more", "lines"),
    [
        ("HAProxyEdge", {"checks": {"inter_ms": 50}}, ["checks.inter_ms: 50 must be at least 100"]),
        ("HAProxyEdge", {"checks": {"inter_ms": 150.5}}, ["checks.inter_ms: 150.5 must be a whole number"]),
        ("HAProxyEdge", {"timeout_client_ms": 10}, ["timeout_client_ms: 10 must be at least 100"]),
        ("HAProxyEdge", {"server_name": "a\nb"}, ["server_name: 'a\\nb' must be a DNS name in lower case"]),
        ("HAProxyEdge", {"primary": {**OSLO, "site": "oslo; x"}}, [f"primary.site: 'oslo; x' {NAMES}"]),
        ("HAProxyEdge", {"overflow": {**FRANKFURT, "maxconn": 0}}, ["overflow.maxconn: 0 must be at least 1"]),
        (
            "HAProxyEdge",
            {"maxconn": 40},
            ["maxconn: 40 is not above the 40 slots of oslo's servers: requests could never spill over"],
        ),
        (
            "DataFortress",
            {"database": "mysql", "user": "app'"},
            [
                "database: 'mysql' is reserved by MariaDB",
                'user: "app\'" must be a name: a lower-case letter, then lower-case letters, digits and underscores, '
                "at most 64",
            ],
        ),
        (
            "DataFortress",
            {"clients": "0.0.0.0/0"},
            ["clients: '0.0.0.0/0' must be an IPv4 network of at most 2^24 addresses, such as 10.100.0.0/24"],
        ),
        (
            "DataFortress",
            {"buffer_pool_mb": 500},
            ["buffer_pool_mb: 500 must be a multiple of 8; the next below is 496"],
        ),
        (
            "DataFortress",
            {"flush_log_at_commit": 2},
            [
                "flush_log_at_commit: 2 is not allowed here: it loses the last second on a power cut. "
                "Use 1, or set cross_cloud_copy: true"
            ],
        ),
        (
            "DataFortress",
            {"host": member("Oslo_DB")},
            [f"host.name: 'Oslo_DB' {NAMES}"],
        ),
        ("EphemeralWorker", {"work": {**WORK, "port": 0}}, ["workload.port: 0 must be at least 1"]),
        (
            "EphemeralWorker",
            {"work": {**WORK, "name": "ssh", "packages": ["--force"]}},
            [
                "workload.name: 'ssh' is taken: the host already has a unit of this name",
                "workload.packages[0]: '--force' must be the name of a Debian package",
            ],
        ),
        (
            "EphemeralWorker",
            {"work": {**WORK, "files": {"/etc/wireguard/wg0.conf": "x"}}},
            [
                "workload.files: '/etc/wireguard/wg0.conf' must not be in /etc/wireguard, which the program itself "
                "manages"
            ],
        ),
        (
            "EphemeralWorker",
            {"work": {**WORK, "environment": {"FORTRESS_HOST": "x"}}},
            [
                "workload.environment: 'FORTRESS_HOST' must not start with FORTRESS_: "
                "these variables are set by the program"
            ],
        ),
        (
            "EphemeralWorker",
            {"clients": ["10.100.0.3 accept"]},
            [
                "clients[0]: '10.100.0.3 accept' must be an IPv4 address or range without host bits, such as "
                "10.100.0.0/24"
            ],
        ),
        (
            "WireGuardMesh",
            {"flows": [FLOWS[0], {**FLOWS[1], "port": 0, "protocol": "sctp"}]},
            ["flows[1].port: 0 must be at least 1", "flows[1].protocol: 'sctp' must be 'tcp' or 'udp'"],
        ),
        (
            "WireGuardMesh",
            {"mtu": 500, "keepalive_s": 0},
            ["mtu: 500 must be at least 576", "keepalive_s: 0 must be at least 1"],
        ),
        ("WireGuardMesh", {"hubs": ["db\n"]}, [f"hubs[0]: 'db\\n' {NAMES}"]),
        ("WireGuardMesh", {"members": {"d b": member("db")}, "hubs": [], "flows": []}, [f"members: 'd b' {NAMES}"]),
        (
            "WireGuardMesh",
            {"members": {"fra-1.2": member("fra-1.2", mesh_address="10.100.0")}, "flows": []},
            ["members[\"fra-1.2\"].mesh_address: '10.100.0' must be the IPv4 address of one host, such as 10.100.0.1"],
        ),
        ("Host", {"port": 0}, ["port: 0 must be at least 1"]),
        ("Host", {"adress": "192.0.2.11"}, ["adress: unknown argument; did you mean address?"]),
        ("Host", {"site": None}, ["site: missing"]),
        ("Host", {"port": "22"}, ["port: '22' must be a whole number"]),
        ("Host", {"operators": []}, ["operators: [] must not be empty"]),
        (
            "Host",
            {"operators": ["0.0.0.0/0"]},
            ['operators: ["0.0.0.0/0"] is the whole world (IPv4); name the ranges that operators come from'],
        ),
        ("Host", {"mesh_port": 99999}, ["mesh_port: 99999 must be at most 65535"]),
        (
            "Host",
            {"mesh_address": "10.200.0.1"},
            [
                "mesh_address: '10.200.0.1' is outside mesh_network 10.100.0.0/24, whose hosts have 10.100.0.1 to "
                "10.100.0.254"
            ],
        ),
        *(
            ("Host", {"address": address}, [f"address: '{address}' {ADDRESS}"])
            for address in ("127.0.0.1", "255.255.255.255", "169.254.1.1", "::1", "fe80::1")
        ),
        *(
            (
                "Host",
                {"mesh_network": network, "mesh_address": "10.100.0.1"},
                [f"mesh_network: '{network}' must be a network whose addresses hosts can have, such as 10.100.0.0/24"],
            )
            for network in ("0.0.0.0/16", "169.254.0.0/16", "127.0.0.0/16")
        ),
        (
            "Host",
            {"bastion": {"address": "jump.example", "user": "a b", "port": 0, "host_key": "ssh-ed25519 AAAA"}},
            [
                f"bastion.address: 'jump.example' {ADDRESS}",
                "bastion.port: 0 must be at least 1",
                "bastion.user: 'a b' must be the name of a Unix user",
                "bastion.host_key: 'ssh-ed25519 AAAA' must be an SSH host key, type and base64, as "
                "`ssh-keyscan -t ed25519 ADDRESS` prints it after the address",
            ],
        ),
        (
            "OpenStackMachine",
            {"fixed_address": "10.20.0.300"},
            ["fixed_address: '10.20.0.300' must be an IPv4 address"],
        ),
        ("Host", {"address": None}, ["address: set exactly one of address, openstack and aws, not 0 of them"]),
        ("WireGuardMesh", {"mtu": -7}, ["mtu: -7 must be at least 576"]),
        (
            "WireGuardMesh",
            {"mtu": 9000},
            [
                "mtu: 9000 does not fit: a path of 1500 bytes carries at most 1420 inside the tunnel (80 bytes of "
                "overhead); lower mtu, or raise path_mtu if the path is wider"
            ],
        ),
        ("WireGuardMesh", {"keepalive_s": -5}, ["keepalive_s: -5 must be at least 1"]),
        ("WireGuardMesh", {"hubs": ["oslo-hub"], "flows": []}, [f"hubs[0]: 'oslo-hub' {MEMBERS}"]),
        (
            "WireGuardMesh",
            {"flows": [{"source": "fra-1", "destination": "oslo", "port": 80}]},
            [f"flows[0].destination: 'oslo' {MEMBERS}"],
        ),
        (
            "WireGuardMesh",
            {"flows": [FLOWS[0], {**FLOWS[0], "open": True}]},
            [f"flows[1]: {TWICE!r} is flows[0] too; leave it out"],
        ),
        (
            "WireGuardMesh",
            {"members": {"db": member("db"), "edge": member("edge")}, "flows": []},
            ["members.edge.mesh_address: '10.100.0.1' is the address of db too"],
        ),
        (
            "WireGuardMesh",
            {"hubs": []},
            ["hubs: [] must not be empty: hosts that are no hubs cannot reach each other"],
        ),
        ("HAProxyEdge", {"server_name": "1.2.3"}, ["server_name: '1.2.3' must be a DNS name in lower case"]),
        (
            "HAProxyEdge",
            {"primary": {**OSLO, "servers": {}}, "overflow": None},
            ["primary.servers: must not be empty: nothing would answer"],
        ),
        (
            "HAProxyEdge",
            {"host": "oslo-edge"},
            [
                "host: 'oslo-edge' must be a mapping with address, port, user, host_key, name, site, machine_id, "
                "mesh_address, public_key, ram_mb, gone, bastion, adopt, in_mesh, host_urn"
            ],
        ),
        (
            "EphemeralWorker",
            {"work": {**WORK, "packages": ["foo-"]}},
            ["workload.packages[0]: 'foo-' must be the name of a Debian package"],
        ),
        (
            "EphemeralWorker",
            {"work": {**WORK, "files": {"/opt/a": "x", "/opt/a/b": "y"}}},
            ["workload.files[\"/opt/a/b\"]: '/opt/a/b' is below /opt/a, which is a file too; rename one"],
        ),
        (
            "EphemeralWorker",
            {"work": {**WORK, "files": {LONG: "x"}}},
            [f"workload.files: '{LONG[:76]}... must be a plain absolute path on the host, such as /opt/app/app.py"],
        ),
        ("EphemeralWorker", {"database": None}, ["database: give it together with database_password, or neither"]),
        (
            "DataFortress",
            {"privileges": ["TRIGGER"]},
            [
                "privileges[0]: 'TRIGGER' must be 'ALTER', 'CREATE', 'CREATE TEMPORARY TABLES', 'CREATE VIEW', "
                "'DELETE', 'DROP', 'EXECUTE', 'INDEX', 'INSERT', 'LOCK TABLES', 'REFERENCES', 'SELECT', 'SHOW VIEW' "
                "or 'UPDATE'"
            ],
        ),
        (
            "DataFortress",
            {"volume": {"device": "nvme1n1"}},
            ["volume.device: 'nvme1n1' must be a device such as /dev/nvme1n1"],
        ),
        ("HostFile", {"path": "etc/note"}, [f"path: 'etc/note' {PATH}"]),
        ("HostFile", {"mode": "rw"}, ["mode: 'rw' must be an octal mode, such as 0644"]),
        ("AwsMachine", {"disk_gb": 1}, ["disk_gb: 1 must be at least 8"]),
        ("PrivateContainer", {"expire_days": 0}, ["expire_days: 0 must be at least 1"]),
        (
            "AwsSite",
            {"operators": ["192.0.2.0/24"], "zones": ["eu-central-1"]},
            ["zones[0]: 'eu-central-1' must be a zone of AWS, such as eu-central-1a"],
        ),
        (
            "AwsSite",
            {"operators": ["0.0.0.0/0"]},
            ['operators: ["0.0.0.0/0"] is the whole world (IPv4); name the ranges that operators come from'],
        ),
        ("HostFile", {"binary_content": "AAAA"}, ["content: set either content or binary_content"]),
        ("HostFile", {"content": None}, ["content: set either content or binary_content"]),
        (
            "HostFile",
            {"content": None, "binary_content": "no!"},
            ["binary_content: 'no!' must be bytes in base64"],
        ),
        ("OpenStackSite", {"operators": []}, ["operators: [] must not be empty"]),
        (
            "OpenStackSite",
            {"operators": ["192.0.2.0/24"], "name_prefix": "a-"},
            [f"name_prefix: 'a-' {PREFIX}"],
        ),
        (
            "AwsSite",
            {"operators": ["192.0.2.0/24"], "name_prefix": "sg-two"},
            [f"name_prefix: 'sg-two' {PREFIX}"],
        ),
        (
            "DataFortress",
            {"volume": {"openstack": {"size_gb": 10, "instance_id": "i", "name_prefix": "A"}}},
            [f"volume.openstack.name_prefix: 'A' {PREFIX}"],
        ),
    ],
)
def test_what_is_known_is_refused_before_anything_is_registered(
    component: str, more: dict[str, Any], lines: list[str]
) -> None:
    said = []

    def program() -> None:
        try:
            MAKE[component](more)
        except ValueError as bad:
            said.append(str(bad))

    done = run(program)
    assert said == ["\n".join(f'{component} "it": {line}' for line in lines)]
    assert dict(done.resources) == {}


@pytest.mark.parametrize(
    ("component", "more", "said"),
    [
        (
            "HAProxyEdge",
            lambda: {"primary": {**OSLO, "servers": {"web": pulumi.Output.from_input("web:80")}}},
            r"HAProxyEdge \"it\": primary\.servers\.web: 'web:80' must be an address and a port",
        ),
        (
            "DataFortress",
            lambda: {"host": member(ram_mb=pulumi.Output.from_input(200))},
            r"DataFortress \"it\": host\.ram_mb: 200 must be at least 256",
        ),
        (
            "EphemeralWorker",
            lambda: {"work": {**WORK, "environment": {"GREETING": pulumi.Output.from_input("a\nUser=root")}}},
            r"EphemeralWorker \"it\": workload\.environment\.GREETING: 'a\\nUser=root' must be one line",
        ),
        (
            "Host",
            lambda: {"address": pulumi.Output.from_input("db; reboot")},
            r"Host \"it\": address: 'db; reboot' must be the IPv4 or IPv6 address of one machine",
        ),
        (
            "Host",
            lambda: {"host_key": pulumi.Output.from_input("ssh-rsa AAAA")},
            r"Host \"it\": host_key: 'ssh-rsa AAAA' must be ",
        ),
    ],
)
def test_what_becomes_known_later_is_refused_in_the_same_words(
    component: str, more: Callable[[], dict[str, Any]], said: str
) -> None:
    def program() -> None:
        MAKE[component](more())

    with pytest.raises(ValueError, match=said):
        run(program)


def test_what_is_none_counts_as_not_given() -> None:
    def sent(**more: Any) -> Mapping[str, Any]:
        def program() -> None:
            HAProxyEdge("it", edge(**more))

        return run(program).resources["it-files"].inputs

    assert sent(maxconn=None, health_path=None) == sent()


@pytest.mark.parametrize(
    ("component", "more", "path"),
    [
        ("Host", lambda: {"mesh_address": pulumi.Output.from_input("10.100.0.1")}, "mesh_address"),
        ("WireGuardMesh", lambda: {"mtu": pulumi.Output.from_input(1360)}, "mtu"),
        ("EphemeralWorker", lambda: {"work": {**WORK, "name": pulumi.Output.from_input("app")}}, "workload.name"),
        ("HAProxyEdge", lambda: {"primary": pulumi.Output.from_input(OSLO)}, "primary"),
        ("DataFortress", lambda: {"host": {**member(), "name": pulumi.Output.from_input("db")}}, "host.name"),
    ],
)
def test_an_output_where_a_value_must_be_known_says_so(
    component: str, more: Callable[[], dict[str, Any]], path: str
) -> None:
    said = f'{component} "it": {path}: is an Output, known only later; this must be a plain value'

    def program() -> None:
        MAKE[component](more())

    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        run(program)


def test_a_host_stands_for_its_member() -> None:
    def program(pick: Callable[[Host], Any]) -> Callable[[], None]:
        def make() -> None:
            host = Host("oslo-db", HOST)  # type: ignore[arg-type]
            DataFortress("it", database(host=pick(host)))
            WireGuardMesh("mesh", {"members": {"oslo-db": pick(host)}, "hubs": ["oslo-db"], "flows": [], "mtu": 1360})

        return make

    assert run(program(lambda host: host), stdout=printed).resources == (
        run(program(lambda host: host.member), stdout=printed).resources
    )
