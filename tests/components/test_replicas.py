"""A database on two hosts: what each server and each client has, and in which order changes reach them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components import DatabaseReplica, DatabaseReplicaArgs
from fortress import activation, mariadb, push, replication, text
from fortress.facts import parse as parse_output
from fortress.settings.parse import parse
from program import arguments
from tests.components.engine import member, sent
from tests.components.whole_stack import BACKED_UP, PASSWORD, PEM, made_of, stopped
from tests.doubles.pulumi_mocks import Run, run, secret_paths
from tests.doubles.pulumi_resource_command.values import Secret
from tests.unit.stack_file import ROOT, changed, lab
from tests.unit.test_replication import REPLICA

pytestmark = pytest.mark.usefixtures("agent")

SECRETS = {"database_replication_password": "HUSH"}
WORKERS = ("fra-1", "fra-2", "oslo-web")


def stack(changes: Mapping[str, Any] | None = None, **more: Any) -> Run:
    return made_of(changed({**REPLICA, **(changes or {})}), secrets=SECRETS, **more)


def replica(preview: bool = False, **more: Any) -> Run:
    args: dict[str, Any] = {
        "host": member(),
        "servers": {
            "oslo-db": {"address": "10.100.0.1", "ca_pem": "ONE\n"},
            "oslo-db2": {"address": "10.100.0.6", "ca_pem": "TWO"},
        },
        "network": "10.100.0.0/24",
        "password": "HUSH",
        "first": True,
        "endpoint": "10.100.0.1:3306",
        **more,
    }
    return run(lambda: {"e": DatabaseReplica("it", DatabaseReplicaArgs(**args)).endpoint}, preview=preview)  # type: ignore[typeddict-item]


def test_what_a_server_has_beside_its_database() -> None:
    done = replica()
    found = done.resources
    assert sent(found["it-ca.pem"]) == "ONE\nTWO\n", "whichever server answers is known"
    servers = json.loads(sent(found["it-servers.json"]))
    assert servers["servers"] == {"oslo-db": "10.100.0.1", "oslo-db2": "10.100.0.6"}
    assert sent(found["it-service"]) == replication.render_unit()
    assert isinstance(found["it-replication-password"].inputs["stdin"], Secret)
    assert " 0400 root:root " in str(found["it-replication-password"].inputs["create"])
    assert "HUSH" not in str([each.inputs.get("create") for each in found.values()])
    (rule,) = [line for line in sent(found["it-firewall"]).splitlines() if "accept" in line]
    assert 'iifname "wg0" ip saddr { 10.100.0.0/24 } tcp dport 3307 accept' in rule
    assert done.outputs["e"].value == "10.100.0.1:3306"


def test_a_server_joins_once_all_of_it_is_there_and_leaves_before_anything_goes() -> None:
    done = replica()
    joined = done.resources["it-joined"]
    assert str(joined.inputs["create"]).endswith("database_role.py join --first")
    assert str(joined.inputs["delete"]).endswith("database_role.py leave")
    assert {"it-service", "it-firewall", "it-ca.pem", "it-servers.json", "it-replication-password"} <= done.before(
        "it-joined"
    )
    assert str(replica(first=False).resources["it-joined"].inputs["create"]).endswith("database_role.py join")


def test_wrong_arguments_are_refused_before_anything_is_made() -> None:
    with pytest.raises(ValueError, match=r'DatabaseReplica "it": servers: .* must have oslo-db'):
        replica(servers={"oslo-db2": {"address": "10.100.0.6", "ca_pem": "TWO"}})


def test_the_components_of_a_stack_with_a_copy() -> None:
    done = stack()
    components = {name: found.type.split(":")[2] for name, found in done.children(None).items()}
    assert {name for name, kind in components.items() if kind == "DataFortress"} == {"db-oslo-db", "db-oslo-db2"}
    assert {name for name, kind in components.items() if kind == "DatabaseReplica"} == {
        "replica-oslo-db",
        "replica-oslo-db2",
    }


def test_what_one_server_has_is_its_own_with_copies_too() -> None:
    """The engine finds by the alias what it knows as `db`, so nothing is made anew on a host that has data."""
    clouds: Any = None  # hosts with an address need none
    several, single = parse(changed(REPLICA), ROOT), parse(lab(), ROOT)
    (alias,) = arguments.database_options(several, clouds, "oslo-db").aliases or ()
    assert isinstance(alias, pulumi.Alias)
    assert (alias.name, arguments.database_name(single, "oslo-db")) == ("db", "db")
    assert not arguments.database_options(several, clouds, "oslo-db2").aliases
    (alias,) = arguments.database_options(single, clouds, "oslo-db").aliases or ()
    assert isinstance(alias, pulumi.Alias)
    assert alias.name == arguments.database_name(several, "oslo-db"), "and back again"


def test_each_server_may_be_the_primary() -> None:
    done = stack()
    for name in ("oslo-db", "oslo-db2"):
        found = {each: done.resources[f"db-{name}-{each}"] for each in ("90-fortress.cnf", "91-fortress-start.cnf")}
        assert "gtid_strict_mode = ON" in sent(found["90-fortress.cnf"])
        assert sent(found["91-fortress-start.cnf"]) == replication.render_start()
        tool = done.resources[f"db-{name}-role-tool"].inputs
        files = dict(push.parts(str(tool["create"]), str(tool["stdin"])))
        assert {put.path: push.received(str(sent)) for put, sent in files.items() if isinstance(put, push.Put)} == {
            f"{push.LIBRARY}/{program}": text.script(program) for program in replication.programs()
        }, "all of one version"
        assert f"{name}-91-fortress-start.cnf" in str(done.before(f"db-{name}-90-fortress.cnf")), "read-only at first"
        authority = str(done.resources[f"db-{name}-authority"].inputs["create"])
        assert authority.endswith(f"{name} {mariadb.CLIENT_ADDRESS}"), "clients know it by their own proxy's address"


def test_a_change_reaches_the_copy_first_and_the_primary_once_that_is_at_its_place() -> None:
    done = stack()
    for part in ("90-fortress.cnf", "prepared"):
        assert "db-oslo-db2-settled" in done.before(f"db-oslo-db-{part}")
        for host, turn in (("oslo-db2", "first"), ("oslo-db", "last")):
            inputs = done.resources[f"db-{host}-{part}"].inputs
            checks = [
                put.check
                for put, _ in push.parts(str(inputs["create"]), str(inputs["stdin"]))
                if isinstance(put, push.Put)
            ]
            assert f"may-restart {turn}" in str(checks[0])
    turned = stack({"database/primary": "oslo-db2"})
    assert "db-oslo-db-settled" in turned.before("db-oslo-db2-90-fortress.cnf")
    at_first = stack(has_come_up=False)
    assert "db-oslo-db2-settled" not in at_first.before("db-oslo-db-90-fortress.cnf")


def test_both_restarts_are_seen_in_a_preview() -> None:
    done = stack()
    for name in ("oslo-db", "oslo-db2"):
        create = str(done.resources[f"db-{name}-90-fortress.cnf"].inputs["create"])
        assert str(activation.of_command(create)) == "mariadb restarts"


def test_workers_reach_whichever_server_takes_the_writes() -> None:
    done = stack()
    for worker in WORKERS:
        name = f"app-{worker}"
        proxy = sent(done.resources[f"{name}-database-listener"])
        assert "server oslo-db 10.100.0.1:3306 verifyhost oslo-db" in proxy
        assert "server oslo-db2 10.100.0.6:3306 verifyhost oslo-db2" in proxy
        files = str(done.resources[f"{name}-files"].inputs["stdin"])
        assert f"FORTRESS_DATABASE_ADDRESS={mariadb.CLIENT_ADDRESS}" in files
        assert sent(done.resources[f"{name}-database-authorities"]).count(PEM) == 2
        before = done.before(f"{name}-files")
        assert {f"{name}-database-listener", "replica-oslo-db-joined", "replica-oslo-db2-joined"} <= before


def test_a_lost_server_is_on_nobodys_list() -> None:
    done = stack({"hosts/oslo-db/gone": True})
    servers = json.loads(sent(done.resources["replica-oslo-db2-servers.json"]))
    assert servers["servers"] == {"oslo-db2": "10.100.0.6"}
    assert "oslo-db 10" not in sent(done.resources["app-fra-1-database-listener"])
    assert parse_output(done.outputs["fortress"].value).database is not None


def test_outputs_name_every_server() -> None:
    facts = parse_output(stack().outputs["fortress"].value)
    assert facts.database is not None
    assert facts.database.servers == {"oslo-db2": "10.100.0.6", "oslo-db": "10.100.0.1"}
    assert facts.database.host == "oslo-db"
    assert {name for name, host in facts.hosts.items() if host.role == "database"} == {"oslo-db", "oslo-db2"}
    assert not [flow for flow in facts.flows if flow.source in WORKERS and flow.port == mariadb.PORT]
    assert [flow for flow in facts.flows if flow.source in WORKERS and flow.port == replication.PORT]


def test_a_copy_makes_the_backups_and_the_command_is_told_which() -> None:
    secrets = {**SECRETS, "backup_password": "a key of twenty letters"}
    done = made_of(changed({**REPLICA, **BACKED_UP}), secrets=secrets)
    (config,) = (each for name, each in done.resources.items() if name.endswith("-backup.json"))
    assert json.loads(sent(config))["host"] == "oslo-db2", "as a preview shows it"
    database = parse_output(done.outputs["fortress"].value).database
    assert database
    assert (database.host, database.backup_host) == ("oslo-db", "oslo-db2")


def test_only_passwords_are_secret() -> None:
    done = stack()
    secret = {name for name, found in done.resources.items() if "stdin" in secret_paths(found.inputs)}
    assert secret == {
        *("db-oslo-db-account", "db-oslo-db2-account"),
        *(f"replica-{name}-replication-password" for name in ("oslo-db", "oslo-db2")),
        *(f"app-{worker}-credentials" for worker in WORKERS),
    }


def test_copies_need_a_password_of_their_own() -> None:
    hidden = {"database_password": PASSWORD}
    (line,) = stopped(changed(REPLICA), hidden)
    assert line.startswith(
        "data-fortress:database_replication_password: missing; database.mode is replica; set it with"
    )
    assert not [each for each in lab() if "replication" in each]
