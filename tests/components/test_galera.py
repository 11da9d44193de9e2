"""A database on a Galera cluster: what each member and the witness have, and in which order they join."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from fortress import activation, galera, mariadb, replication
from fortress.facts import parse as parse_output
from tests.components.engine import sent
from tests.components.whole_stack import BACKED_UP, PEM, made_of
from tests.doubles.pulumi_mocks import Run, secret_paths
from tests.unit.stack_file import changed
from tests.unit.test_galera import GALERA, SECOND, WITH_WITNESS

pytestmark = pytest.mark.usefixtures("agent")

SERVERS = ("oslo-db", "oslo-db2", "oslo-db3")


def stack(settings: Mapping[str, Any] = GALERA, **more: Any) -> Run:
    return made_of(changed(settings), **more)


def test_members_know_each_other_and_need_no_password() -> None:
    done = stack()
    for name in SERVERS:
        config = sent(done.resources[f"db-{name}-90-fortress.cnf"])
        assert "wsrep_cluster_address = gcomm://10.100.0.1,10.100.0.6,10.100.0.7\n" in config
        assert f"wsrep_node_name = {name}\n" in config
        assert "wsrep_on" not in config, "a member is one once it has joined"
        servers = json.loads(sent(done.resources[f"replica-{name}-servers.json"]))
        assert (servers["cluster"], servers["witness"], len(servers["servers"])) == (True, False, 3)
        assert sent(done.resources[f"replica-{name}-service"]) == replication.render_unit(cluster=True)
        assert sent(done.resources[f"replica-{name}-ca.pem"]).count(PEM) == 3
        authority = str(done.resources[f"db-{name}-authority"].inputs["create"])
        assert "mariadb-authority peer 10.100.0." in authority, "its certificate is for both ends"
    assert not [name for name in done.resources if "replication-password" in name]
    secret = {name for name, found in done.resources.items() if "stdin" in secret_paths(found.inputs)}
    assert {f"db-{name}-account" for name in SERVERS} <= secret


def test_galera_is_open_to_the_other_voters_alone() -> None:
    rules = sent(stack().resources["replica-oslo-db-firewall"]).splitlines()
    for port in galera.PORTS:
        (rule,) = [rule for rule in rules if f" dport {port} " in rule]
        assert 'iifname "wg0" ip saddr { 10.100.0.6, 10.100.0.7 } tcp' in rule
    assert not [rule for rule in rules if "udp" in rule]


def test_members_join_one_after_another_the_primary_first() -> None:
    done = stack()
    create = {name: str(done.resources[f"replica-{name}-joined"].inputs["create"]) for name in SERVERS}
    assert create["oslo-db"].endswith("join --first")
    assert not create["oslo-db2"].endswith("--first")
    chain = ["oslo-db", "oslo-db3", "oslo-db2"]
    for before, after in itertools.pairwise(chain):
        assert f"replica-{before}-joined" in done.before(f"replica-{after}-joined")
    # Their services run before: who begins the cluster asks all of them.
    assert "replica-oslo-db-joined" not in done.before("replica-oslo-db2-service")


def test_a_change_reaches_one_member_after_another_the_primary_last() -> None:
    done = stack()
    for before, after in (("oslo-db2", "oslo-db3"), ("oslo-db3", "oslo-db")):
        assert f"db-{before}-settled" in done.before(f"db-{after}-90-fortress.cnf")
    create = str(done.resources["db-oslo-db2-90-fortress.cnf"].inputs["create"])
    assert "may-restart first" in create
    assert str(activation.of_command(create)) == "mariadb restarts"


def test_a_lost_member_makes_nobody_restart() -> None:
    whole, done = stack(), stack({**GALERA, "hosts/oslo-db2": {**SECOND, "gone": True}})
    for name in ("oslo-db", "oslo-db3"):
        config = f"db-{name}-90-fortress.cnf"
        assert sent(done.resources[config]) == sent(whole.resources[config])
        servers = json.loads(sent(done.resources[f"replica-{name}-servers.json"]))
        assert set(servers["servers"]) == {"oslo-db", "oslo-db3"}


def test_a_witness_has_a_vote_and_no_data() -> None:
    done = stack(WITH_WITNESS)
    unit = sent(done.resources["witness-service"])
    assert "--name oslo-db3 --group fortress --address gcomm://10.100.0.1,10.100.0.6 " in unit
    assert sent(done.resources["witness-ca.pem"]).count(PEM) == 3
    (rule,) = [line for line in sent(done.resources["witness-prepared"]).splitlines() if " dport 4567 accept" in line]
    assert 'iifname "wg0" ip saddr { 10.100.0.1, 10.100.0.6 } tcp dport 4567 accept' in rule
    assert str(done.resources["witness-authority"].inputs["create"]).endswith(
        "mariadb-authority witness 10.100.0.7 oslo-db3"
    )
    for name in ("oslo-db", "oslo-db2"):
        assert sent(done.resources[f"replica-{name}-ca.pem"]).count(PEM) == 3, "members trust it"
        assert json.loads(sent(done.resources[f"replica-{name}-servers.json"]))["witness"] is True
    assert not [name for name in done.resources if name.startswith("db-oslo-db3")]
    facts = parse_output(done.outputs["fortress"].value)
    assert facts.hosts["oslo-db3"].role == "host"


def test_flows_that_are_open_while_data_arrive_are_not_tried() -> None:
    facts = parse_output(stack().outputs["fortress"].value)
    tried = {flow.port for flow in facts.flows if flow.source in SERVERS and flow.destination in SERVERS}
    assert tried == {replication.PORT, galera.GROUP_PORT}
    assert facts.database is not None
    assert set(facts.database.servers) == set(SERVERS)
    assert mariadb.PORT not in tried


def test_one_member_makes_the_backups_and_the_command_is_told_which() -> None:
    done = stack({**GALERA, **BACKED_UP}, secrets={"backup_password": "a key of twenty letters"})
    assert [name for name in done.resources if name.endswith("-backup.json")] == ["db-oslo-db2-backup.json"]
    database = parse_output(done.outputs["fortress"].value).database
    assert database
    assert (database.host, database.backup_host) == ("oslo-db", "oslo-db2")
