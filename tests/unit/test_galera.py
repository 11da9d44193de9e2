"""A Galera cluster: what its members and its witness are told, and which settings stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fortress import galera, mariadb, replication
from fortress.cli.drift.readback import variables
from fortress.mariadb import Server
from fortress.scripts.roles import host
from tests.unit.facts import refusal_of
from tests.unit.golden import check_golden
from tests.unit.stack_file import changed
from tests.unit.test_replication import REPLICA, ROLE_FLOW
from tests.unit.verdicts import accepted, refused

SECOND = {"site": "oslo", "role": "database", "slot": 6, "address": "192.0.2.14", "memory_mb": 1024}
THIRD = {"site": "oslo", "role": "database", "slot": 7, "address": "192.0.2.15", "memory_mb": 1024}
WITNESS = {"site": "oslo", "role": "witness", "slot": 7, "address": "192.0.2.15", "memory_mb": 512}
GALERA: dict[str, Any] = {
    "hosts/oslo-db2": SECOND,
    "hosts/oslo-db3": THIRD,
    "database/mode": "galera",
    "database/primary": "oslo-db",
    "mesh/hubs": ["oslo-db", "oslo-db2", "oslo-db3", "oslo-edge"],
    "sovereignty/flows/frankfurt-database-role": ROLE_FLOW,
}
WITH_WITNESS = {**GALERA, "hosts/oslo-db3": WITNESS}
ADDRESSES = ("10.100.0.1", "10.100.0.6", "10.100.0.7")
MEMBER = galera.Voter(
    name="oslo-db2", address=ADDRESSES[1], segment=1, members=ADDRESSES, donors=("oslo-db3", "oslo-db4")
)


def server(**changes: Any) -> Server:
    return Server(**{"address": ADDRESSES[1], "ram_mb": 8192, "copies": True, "cluster": MEMBER, **changes})


def test_files() -> None:
    check_golden("90-fortress-galera.cnf", mariadb.render(server()))
    check_golden("fortress-database-role-cluster.service", replication.render_unit(cluster=True))
    witness = galera.Witness(name="oslo-db3", address=ADDRESSES[2], segment=0, members=ADDRESSES)
    check_golden("fortress-witness.service", galera.render_witness(witness))


def test_all_options_stand_on_one_line_and_are_read_as_they_were_written() -> None:
    (line,) = [line for line in mariadb.render(server()).splitlines() if line.startswith("wsrep_provider_options")]
    found = galera.read_options(line.partition(" = ")[2])
    assert found["gmcast.listen_addr"] == "ssl://10.100.0.6:4567", "on the tunnel's address alone"
    assert found["gmcast.segment"] == "1"
    assert found["socket.ssl"] == "YES"
    assert (found["pc.ignore_sb"], found["pc.ignore_quorum"]) == ("false", "false")
    again = galera.provider_options(MEMBER, f"{mariadb.TLS_FOLDER}/server.pem", mariadb.AUTHORITIES_PATH, 1800)
    assert galera.read_options(again) == found


def test_the_cache_is_the_write_rate_by_the_outage_where_memory_allows() -> None:
    assert galera.cache_mb(4096) == galera.WRITE_MB_S * galera.OUTAGE_S == 1800
    assert galera.cache_mb(712) == 356
    assert galera.cache_mb(128) == galera.MIN_CACHE_MB
    assert server(cluster=None).cache_mb == 0


def test_the_cache_has_its_place_on_the_volume() -> None:
    assert server(volume_gb=4)
    (line,) = refusal_of(lambda: server(volume_gb=3))
    assert "use at least 4" in line


def test_a_member_must_be_among_the_members() -> None:
    (line,) = refusal_of(lambda: galera.Voter(name="a", address="10.100.0.9", members=ADDRESSES))
    assert "must have 10.100.0.9, the member itself" in line


def test_the_file_of_a_single_server_has_nothing_of_it() -> None:
    assert "wsrep" not in mariadb.render(server(cluster=None, copies=False))
    replica = mariadb.render(server(cluster=None))
    assert "rpl_semi_sync" in replica
    assert "wsrep" not in replica
    assert "rpl_semi_sync_master" not in mariadb.render(server())


def test_what_a_member_shows_of_its_options_is_no_drift() -> None:
    config = mariadb.render(server())
    options = galera.read_options(server().provider_options)
    shown = "; ".join(f"{name} = {value}" for name, value in {"base_port": "4567", **options}.items())
    live = f"wsrep_provider_options\t{shown}; \nwsrep_sst_auth\t********\n"
    assert variables(config, live) == ()
    changed_by_hand = live.replace("gcs.fc_limit = 256", "gcs.fc_limit = 16")
    assert variables(config, changed_by_hand) == (
        "- wsrep_provider_options = gcs.fc_limit=256",
        "+ wsrep_provider_options = gcs.fc_limit=16",
    )


def test_the_host_script_and_what_is_pushed_name_the_same_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(host.JOINED) == galera.JOINED_PATH
    file = tmp_path / "servers.json"
    three = {"a": ADDRESSES[0], "b": ADDRESSES[1], "c": ADDRESSES[2]}
    servers = replication.Servers(me="a", servers=three, network="10.100.0.0/24", cluster=True)
    file.write_text(replication.render_servers(servers))
    monkeypatch.setattr(host, "CONFIG", file)
    assert (host.read_config().cluster, host.read_config().votes) == (True, 3)
    two = servers.model_copy(update={"servers": {"a": ADDRESSES[0], "b": ADDRESSES[1]}, "witness": True})
    file.write_text(replication.render_servers(two))
    assert host.read_config().votes == 3
    apart = servers.model_copy(update={"cluster": False})
    assert "cluster" not in json.loads(replication.render_servers(apart)), "what copies have stays as it was"


def test_three_servers_stand() -> None:
    found = accepted(changed(GALERA))
    assert found
    assert found.cluster_addresses == ADDRESSES
    assert found.database_hosts == ["oslo-db2", "oslo-db3", "oslo-db"], "changes reach the primary last"
    member = found.cluster_member("oslo-db2")
    assert member
    assert member["donors"] == ("oslo-db3",), "not the one that takes the writes"
    flows = {(flow.source, flow.destination, flow.port) for flow in found.implied_flows()}
    for port in (*galera.PORTS, replication.PORT):
        assert {("oslo-db", "oslo-db3", port), ("oslo-db3", "oslo-db", port)} <= flows
    assert ("oslo-db", "oslo-db2", mariadb.PORT) not in flows, "members do not log in at each other"


def test_two_servers_and_a_witness_stand() -> None:
    found = accepted(changed(WITH_WITNESS))
    assert found
    assert found.witness == "oslo-db3"
    assert found.cluster_addresses == ADDRESSES
    flows = {(flow.source, flow.destination, flow.port) for flow in found.implied_flows()}
    assert {each for each in flows if "oslo-db3" in each[:2]} == {
        *((name, "oslo-db3", galera.GROUP_PORT) for name in ("oslo-db", "oslo-db2")),
        *(("oslo-db3", name, galera.GROUP_PORT) for name in ("oslo-db", "oslo-db2")),
    }


def test_a_member_of_each_site_is_a_segment() -> None:
    site = {"operator": "A Norwegian cloud", "country": "NO", "region": "NO-Bergen-1", "sovereign": True}
    found = accepted(changed({**GALERA, "sites/bergen": site, "hosts/oslo-db2": {**SECOND, "site": "bergen"}}))
    assert found
    assert [found.segment(name) for name in ("oslo-db", "oslo-db2", "oslo-db3")] == [1, 0, 1]


def test_what_cannot_stand_is_refused_in_one_line() -> None:
    even = "hosts: 2 hosts have role: database (oslo-db, oslo-db2), and half of them is no majority, so both halves "
    outside = "is not sovereign, but a witness receives every write-set: all personal data that are written"
    cases: dict[str, dict[str, Any]] = {
        "database.mode: galera is for three servers, or two and a witness; for one leave it out": {
            "database/mode": "galera"
        },
        f"{even}would stop; add another one, or a host with role: witness": {
            **GALERA,
            "hosts/oslo-db3": None,
            "mesh/hubs": ["oslo-db", "oslo-db2", "oslo-edge"],
        },
        "hosts.oslo-db4.role: 3 hosts have role: database, which need no witness: with it half of the votes is no "
        "majority; leave it out": {
            **GALERA,
            "hosts/oslo-db4": {**WITNESS, "slot": 8, "address": "192.0.2.16"},
            "mesh/hubs": [*GALERA["mesh/hubs"], "oslo-db4"],
        },
        f"hosts.oslo-db3.site: frankfurt {outside}": {
            **WITH_WITNESS,
            "hosts/oslo-db3": {**WITNESS, "site": "frankfurt"},
        },
        "hosts.oslo-db3.site: frankfurt is not sovereign, but personal data is stored here: a copy of the database is "
        "one of all personal data": {**GALERA, "hosts/oslo-db3": {**THIRD, "site": "frankfurt"}},
        "mesh.hubs: 'oslo-db3' is missing: with copies the witness is a hub, so that it is reached while another one "
        "is lost; add it": {**WITH_WITNESS, "mesh/hubs": ["oslo-db", "oslo-db2", "oslo-edge"]},
        "hosts.oslo-db3.role: a witness is for database.mode: galera; leave it out": {
            **WITH_WITNESS,
            "database/mode": "replica",
        },
    }
    for line, change in cases.items():
        kept = {path: value for path, value in change.items() if value is not None}
        assert refused(changed(kept)) == [line]


def test_a_member_that_does_not_take_the_writes_makes_the_backups() -> None:
    found = accepted(changed(GALERA))
    assert found
    assert (found.database_host, found.backup_host) == ("oslo-db", "oslo-db2")
    lost = accepted(changed({**GALERA, "hosts/oslo-db2": {**SECOND, "gone": True}}))
    assert lost
    assert lost.backup_host == "oslo-db3"


def test_a_copy_makes_the_backups_and_the_only_server_its_own() -> None:
    alone = {**REPLICA, "hosts/oslo-db2/gone": True}
    for settings, name in (({}, "oslo-db"), (REPLICA, "oslo-db2"), (alone, "oslo-db")):
        found = accepted(changed(settings))
        assert found
        assert found.backup_host == name
