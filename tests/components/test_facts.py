"""The output that `fortress` reads, of programs that import the components: each example, and what is refused."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from components import HAProxyEdge, Host, HostArgs, export_facts
from components.remote import Bastion
from fortress.facts import LimitFacts, StackOutputs, parse
from fortress.limits import Limits
from fortress.settings.types import PROJECT
from tests.components.engine import BASTION_KEY, HOST_KEY, PEM, ssh_key
from tests.components.test_haproxy_edge import args as edge_args
from tests.doubles.pulumi_mocks import run
from tests.keys import wireguard_key
from tests.unit.stack_file import ROOT

pytestmark = pytest.mark.usefixtures("agent")


def printed(name: str) -> str:
    if name.endswith("-host-key"):
        return ssh_key(len(name))
    if name.endswith("-facts"):
        return "8192"
    return PEM if name.endswith("-authority") else wireguard_key(name.removesuffix("-key"))


def exported(program: Callable[[], object]) -> dict[str, Any]:
    """The output, and that it is not secret."""
    password = {f"{PROJECT}:database_password": "HUSH"}

    def without_result() -> None:
        program()

    done = run(
        without_result,
        stdout=printed,
        config={**password, f"{PROJECT}:fortress": "organization/data-fortress/lab"},
        secrets=[*password],
    )
    found = done.outputs["fortress"]
    assert not found.secret
    value: dict[str, Any] = found.value
    return value


def example(name: str) -> StackOutputs:
    return parse(exported(lambda: runpy.run_path(str(ROOT / "examples" / name / "__main__.py"))))


def test_of_a_mesh_alone() -> None:
    found = example("mesh")
    assert (found.database, found.edge, found.bastion, found.sites) == (None, None, None, {})
    assert {name: (host.role, host.peers, host.open_tcp) for name, host in found.hosts.items()} == {
        "office": ("host", ("archive", "shop"), (22,)),
        "shop": ("host", ("office",), (22,)),
        "archive": ("host", ("office",), (22,)),
    }
    assert [(each.source, each.destination, each.port) for each in found.flows] == [
        ("shop", "office", 5432),
        ("shop", "archive", 22),
    ]
    assert found.mesh is not None
    assert found.mesh.model_dump() == {
        "network": "10.9.0.0/24",
        "port": 51820,
        "mtu": 1380,
        "path_mtu": 1500,
        "hubs": ("office",),
        "interface": "wg0",
    }
    assert found.limits == LimitFacts.model_validate(Limits().model_dump())


def test_of_an_edge_alone() -> None:
    found = example("edge")
    assert (found.mesh, found.database) == (None, None)
    assert {name: (host.role, host.peers, host.open_tcp) for name, host in found.hosts.items()} == {
        "front": ("edge", (), (22, 80, 443))
    }
    assert found.edge is not None
    assert (found.edge.host, found.edge.health_path, found.edge.url) == ("front", "/", "https://192.0.2.12")
    assert found.edge.backends == {
        "home": {"web-1": "192.0.2.21:8080", "web-2": "192.0.2.22:8080"},
        "elsewhere": {"web-3": "203.0.113.23:8080"},
    }


def test_of_a_fortress_at_one_site() -> None:
    found = example("one_site")
    assert {name: host.role for name, host in found.hosts.items()} == {
        "oslo-db": "database",
        "oslo-edge": "edge",
        "oslo-web": "worker",
    }
    assert found.sites["oslo"].country == "NO"
    assert found.database is not None
    assert (found.database.host, found.database.address, found.clients()) == ("oslo-db", "10.9.0.1", ["oslo-web"])
    assert found.edge is not None
    assert found.edge.backends == {"oslo": {"oslo-web": "10.9.0.3:80"}}


HOST: HostArgs = {
    "address": "192.0.2.11",
    "site": "oslo",
    "mesh_address": "10.9.0.1",
    "mesh_network": "10.9.0.0/24",
    "operators": ["192.0.2.10/32"],
    "host_key": HOST_KEY,
}
BASTION: Bastion = {"address": "192.0.2.9", "port": 22, "user": "debian", "host_key": BASTION_KEY}


def host(name: str, **more: Any) -> Host:
    return Host(name, {**HOST, **more})  # type: ignore[typeddict-item]


def test_who_is_gone_and_who_is_a_guest_are_not_looked_at() -> None:
    def program() -> None:
        servers = {"here": "10.9.0.2:80", "lost": "10.9.0.3:80", "guest": "10.9.0.4:80"}
        hosts = [host("front"), host("here"), host("lost", gone=True)]
        primary = {"site": "oslo", "servers": servers, "maxconn": 40}
        edge = HAProxyEdge("edge", edge_args(host=hosts[0].member, primary=primary))
        export_facts(hosts, edge=edge, guests=["guest"])

    found = exported(program)
    assert [*found["hosts"]] == ["front", "here"]
    assert found["edge"]["backends"]["oslo"] == {"here": "10.9.0.2:80"}


def test_a_bastion_is_the_one_of_the_hosts() -> None:
    found = parse(exported(lambda: export_facts([host("one", bastion=BASTION), host("two", bastion=dict(BASTION))])))
    assert found.bastion is not None
    assert found.bastion.address == "192.0.2.9"


OSLO = {"operator": "A Norwegian cloud", "country": "NO", "sovereign": True}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            {"sites": {"oslo": {**OSLO, "country": "Norway"}}},
            "sites.oslo.country: 'Norway' must be a country's two letters (ISO 3166), such as NO",
        ),
        ({"sites": {"osl": OSLO}}, "sites: 'oslo' is missing, the site of one; known: osl"),
        ({"limits": {"handshake_s": 5}}, "limits.handshake_s: 5 must be at least 60"),
        (
            {"limits": {"rtt_ms": {"oslo-fra": [1, 2]}}, "sites": {"fra": OSLO, "oslo": OSLO}},
            "limits.rtt_ms: 'oslo-fra' must be two sites in alphabetical order: fra-fra, fra-oslo, oslo-oslo",
        ),
    ],
)
def test_what_is_wrong_is_refused(more: Mapping[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=r"^export_facts: ") as refused:
        run(lambda: export_facts([host("one")], **more), stdout=printed)
    assert str(refused.value) == f"export_facts: {line}"


def test_hosts_behind_different_bastions_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^export_facts: hosts: must all be behind the same bastion, or all behind no"
    ):
        run(lambda: export_facts([host("one", bastion=BASTION), host("two")]), stdout=printed)
