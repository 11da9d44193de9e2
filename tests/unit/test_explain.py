"""What is said about facts that are wrong: where, the value, what is wrong; and nothing about those not known yet."""

from __future__ import annotations

from typing import Any

import pytest

from fortress import access, haproxy, mariadb, wireguard
from fortress.explain import UNKNOWN, Place, build, check
from tests.unit.facts import changed_facts

OSLO = {"site": "oslo", "servers": {"oslo-web": "10.100.0.4:80"}, "maxconn": 40}
FRANKFURT = {"site": "frankfurt", "servers": {}, "maxconn": 40}
EDGE: dict[str, Any] = {"server_name": "www.example.org", "primary": OSLO, "overflow": FRANKFURT}
HERE = Place('HAProxyEdge "edge": ', {"timeouts.client_ms": "timeout_client_ms", "overflow": "second"})


def test_nothing_is_said_about_what_is_right() -> None:
    assert check(haproxy.Edge, EDGE, HERE) == []
    assert build(haproxy.Edge, EDGE, HERE).primary.slots == 40


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"checks": {"inter_ms": 50}}, ["checks.inter_ms: 50 must be at least 100"]),
        ({"checks": {"intre_ms": 500}}, ["checks.intre_ms: unknown argument; did you mean inter_ms?"]),
        (
            {"checks": [1]},
            ["checks: [1] must be a mapping with inter_ms, fastinter_ms, timeout_ms, rise, fall, connect_ms"],
        ),
        ({"timeouts": {"client_ms": 1}}, ["timeout_client_ms: 1 must be at least 100"]),
        ({"timeouts": {"server_ms": 1}}, ["timeouts.server_ms: 1 must be at least 100"]),
        ({"overflow": {**FRANKFURT, "maxconn": 0}}, ["second.maxconn: 0 must be at least 1"]),
        ({"overflow": {**FRANKFURT, "site": "oslo"}}, ["second.site: 'oslo' is the primary's site; name another one"]),
        (
            {"primary": {**OSLO, "servers": {"web.1": "nonsense"}}},
            [
                "primary.servers[\"web.1\"]: 'nonsense' must be an address and a port, such as 10.100.0.3:80 or "
                "[2001:db8::1]:80"
            ],
        ),
        (
            {"maxconn": "many", "health_path": "health"},
            [
                "maxconn: 'many' must be a whole number",
                "health_path: 'health' must be the path of a URL, such as /health",
            ],
        ),
    ],
)
def test_each_line_says_where(change: dict[str, Any], lines: list[str]) -> None:
    wrong = {**EDGE, **change}
    assert check(haproxy.Edge, wrong, HERE) == [f'HAProxyEdge "edge": {line}' for line in lines]
    with pytest.raises(ValueError, match=r"^HAProxyEdge") as bad:
        build(haproxy.Edge, wrong, HERE)
    assert str(bad.value).split("\n") == check(haproxy.Edge, wrong, HERE)


def test_what_is_missing_is_said() -> None:
    assert check(wireguard.Flow, {"source": "fra-1", "port": 80}) == ["destination: missing"]


@pytest.mark.parametrize(
    "unknown",
    [
        {"server_name": UNKNOWN},
        {"primary": UNKNOWN},
        {"primary": {**OSLO, "servers": UNKNOWN}},
        {"primary": {**OSLO, "servers": {"oslo-web": UNKNOWN}}},
        {"checks": {"fastinter_ms": UNKNOWN}},
    ],
)
def test_nothing_is_said_about_what_is_not_known_yet(unknown: dict[str, Any]) -> None:
    assert check(haproxy.Edge, {**EDGE, **unknown}) == []
    assert check(haproxy.Edge, {**EDGE, **unknown, "maxconn": 0}) == ["maxconn: 0 must be at least 1"]


def test_a_name_is_looked_at_before_its_value_is_known() -> None:
    (line,) = check(haproxy.Backend, {**OSLO, "servers": {"web 1": UNKNOWN}})
    assert line.startswith("servers: 'web 1' must be a name of lower-case letters")


def test_words_that_hold_braces_are_said_as_they_are() -> None:
    (line,) = check(access.Application, {"database": "{ge}{", "user": "app", "network": "10.100.0.0/24"})
    assert line.startswith("database: '{ge}{' must be a name")
    small = mariadb.Server(address="10.100.0.1", ram_mb=1024)
    assert check(mariadb.Server, {**dict(small), "ram_mb": 256}, Place(paths={"": "db{0}"}))[0].startswith("db{0}")


def test_facts_that_were_built_cannot_be_changed() -> None:
    edge = build(haproxy.Edge, EDGE)
    with pytest.raises(ValueError, match="frozen"):
        edge.maxconn = 1  # type: ignore[misc]
    assert changed_facts(edge, maxconn=41).maxconn == 41
