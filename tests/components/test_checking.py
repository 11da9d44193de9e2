"""Arguments of components: refused in the words of stack files, before anything is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest

from components import AwsSite, DataFortress, EphemeralWorker, HAProxyEdge, Host, OpenStackSite, WireGuardMesh
from tests.components.engine import member
from tests.components.test_data_fortress import args as database
from tests.components.test_ephemeral_worker import WORK
from tests.components.test_ephemeral_worker import args as worker
from tests.components.test_haproxy_edge import FRANKFURT, OSLO
from tests.components.test_haproxy_edge import args as edge
from tests.components.test_wireguard_mesh import FLOWS
from tests.components.test_wireguard_mesh import args as mesh
from tests.doubles.pulumi_mocks import run

NAMES = "must be a name of lower-case letters, digits, dots and hyphens, at most 63"
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
    "AwsSite": lambda more: AwsSite("it", {"zones": [], "key_pair": "x", **more}),  # type: ignore[typeddict-item]
    "OpenStackSite": lambda more: OpenStackSite("it", {"key_pair": "x", **more}),  # type: ignore[typeddict-item]
}


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
            ["host.name: 'Oslo_DB' must be a DNS name in lower case"],
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
        ("WireGuardMesh", {"members": {"d b": member("d b")}, "flows": []}, [f"members: 'd b' {NAMES}"]),
        (
            "WireGuardMesh",
            {"members": {"fra-1.2": member("fra-1.2", mesh_address="10.100.0")}, "flows": []},
            ["members[\"fra-1.2\"].mesh_address: '10.100.0' must be the IPv4 address of one host, such as 10.100.0.1"],
        ),
        ("Host", {"port": 0}, ["port: 0 must be at least 1"]),
        (
            "AwsSite",
            {"operators": ["0.0.0.0/0"]},
            ['operators: ["0.0.0.0/0"] is the whole world (IPv4); name the ranges that operators come from'],
        ),
        ("OpenStackSite", {"operators": []}, ["operators: [] must not be empty"]),
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

        return run(program).resources["it-haproxy.cfg"].inputs

    assert sent(maxconn=None, health_path=None) == sent()
