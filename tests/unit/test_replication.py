"""What servers of a database with copies, and their clients, have on their hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fortress import mariadb, replication
from fortress.replication import Servers
from fortress.scripts.roles import host
from tests.unit.facts import refusal_of
from tests.unit.golden import check_golden
from tests.unit.stack_file import changed, lab
from tests.unit.verdicts import accepted, refused

TWO = Servers(me="oslo-db", servers={"oslo-db2": "10.100.0.6", "oslo-db": "10.100.0.1"}, network="10.100.0.0/24")
SECOND = {"site": "oslo", "role": "database", "slot": 6, "address": "192.0.2.14", "memory_mb": 1024}
ROLE_FLOW = {
    "source": "frankfurt",
    "destination": "oslo",
    "port": 3307,
    "data_class": "none",
    "basis": "adequacy",
    "purpose": "Workers in Frankfurt ask which server of the database takes the writes",
    "review": "2028-06-30",
}
"""A flow that the register of the lab's stack needs too."""
REPLICA = {
    "hosts/oslo-db2": SECOND,
    "database/mode": "replica",
    "database/primary": "oslo-db",
    "mesh/hubs": ["oslo-db", "oslo-db2", "oslo-edge"],
    "sovereignty/flows/frankfurt-database-role": ROLE_FLOW,
}


def test_the_list_of_servers_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "servers.json"
    file.write_text(replication.render_servers(TWO))
    monkeypatch.setattr(host, "CONFIG", file)
    found = host.read_config()
    assert found.servers == TWO.servers
    assert (found.me, found.port, found.database_port) == ("oslo-db", replication.PORT, mariadb.PORT)
    assert found.clients == "10.100.0.0/255.255.255.0"
    assert found.others == {"oslo-db2": "10.100.0.6"}
    assert list(json.loads(file.read_text())["servers"]) == ["oslo-db", "oslo-db2"], "in one order on every host"


def test_the_paths_of_the_host_script_are_those_that_are_pushed() -> None:
    assert str(host.CONFIG) == replication.SERVERS_PATH
    assert str(host.CA) == replication.CA_PATH
    assert str(host.PASSWORD) == replication.PASSWORD_PATH
    assert str(host.DATA) == mariadb.DATA_FOLDER
    assert str(host.CERTIFICATE.parent) == mariadb.TLS_FOLDER


def test_files() -> None:
    check_golden("91-fortress-start.cnf", replication.render_start())
    check_golden("fortress-database-role.service", replication.render_unit())
    check_golden("haproxy-database.cfg", replication.render_client(dict(TWO.servers)))


def test_a_server_must_be_in_its_own_list() -> None:
    (line,) = refusal_of(lambda: Servers(me="oslo-db3", servers=TWO.servers, network=TWO.network))
    assert "must have oslo-db3, the server itself" in line
    (line,) = refusal_of(lambda: Servers(me="a", servers={"a": "10.100.0.1", "b": "10.100.0.1"}, network=TWO.network))
    assert "an address of its own for each" in line


def test_a_network_that_is_none_is_named() -> None:
    (line,) = refusal_of(lambda: Servers(me="oslo-db", servers=TWO.servers, network="10.100.0.0/24 accept"))
    assert line.startswith("network: ")


def test_two_servers_stand() -> None:
    found = accepted(changed(REPLICA))
    assert found
    assert found.database_hosts == ["oslo-db2", "oslo-db"], "the primary's comes last"
    assert found.database_host == "oslo-db"
    flows = {(flow.source, flow.destination, flow.port) for flow in found.implied_flows()}
    for port in (mariadb.PORT, replication.PORT):
        assert {("oslo-db", "oslo-db2", port), ("oslo-db2", "oslo-db", port)} <= flows
        assert {(worker, server, port) for worker in found.workers for server in found.database_hosts} <= flows


def test_one_server_is_as_it_was() -> None:
    found = accepted(lab())
    assert found
    assert (found.copies, found.database_hosts) == (False, ["oslo-db"])
    assert replication.PORT not in {flow.port for flow in found.implied_flows()}


def test_what_is_left_of_two_servers_stands() -> None:
    """After a lost host was taken out."""
    assert accepted(changed({"database/mode": "replica"}))


def test_what_cannot_stand_is_refused_in_one_line() -> None:
    outside = {**SECOND, "site": "frankfurt"}
    cases: dict[str, dict[str, Any]] = {
        "database.primary: missing; name the host that takes the writes at first: one of oslo-db, oslo-db2": {
            "database/primary": None
        },
        "database.primary: 'oslo-web' is no host with role: database; known: oslo-db, oslo-db2": {
            "database/primary": "oslo-web"
        },
        "mesh.hubs: 'oslo-db2' is missing: with copies each server of the database is a hub, so that it is reached "
        "while another one is lost; add it": {"mesh/hubs": ["oslo-db", "oslo-edge"]},
        "hosts: exactly one host has role: database, found 2 (oslo-db, oslo-db2); for copies set database.mode: "
        "replica or galera": {"database/mode": "single"},
        "hosts.oslo-db2.site: frankfurt is not sovereign, but personal data is stored here: a copy of the database is "
        "one of all personal data": {"hosts/oslo-db2": outside},
        "workload.port: 3307 is taken by the database's own listener; use another one": {"workload/port": 3307},
    }
    for line, change in cases.items():
        assert refused(changed({**REPLICA, **change})) == [line]
