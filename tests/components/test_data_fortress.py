"""The database on its host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components import DataFortress, DataFortressArgs
from fortress import mariadb, text
from tests.components.engine import (
    REMOTE,
    check_commands,
    connection,
    kinds,
    member,
    put,
    sent,
    texts,
    waits,
    without_commands,
)
from tests.doubles.pulumi_mocks import Run, plain, run, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Secret

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
NAMES = (
    *("packages", "authority-tool", "access-tool", "authority"),
    *("after-tunnel", "90-fortress.cnf", "account", "firewall"),
)


def answers(name: str) -> str:
    return PEM if name == "db-authority" else "true"


def args(**more: Any) -> DataFortressArgs:
    known: dict[str, Any] = {
        "host": member(),
        "database": "app",
        "user": "web",
        "password": "HUSH",
        "clients": "10.100.0.0/24",
    }
    return DataFortressArgs(**{**known, **more})  # type: ignore[typeddict-item]


def database(preview: bool = False, opts: pulumi.ResourceOptions | None = None, **more: Any) -> Run:
    def program() -> Mapping[str, Any]:
        made = DataFortress("db", args(**more), opts)
        return {"address": made.address, "ca_pem": made.ca_pem, "ready": made.ready}

    return run(program, preview=preview, stdout=answers)


def test_children_and_their_commands() -> None:
    done = database()
    assert kinds(done) == {
        "db": ("fortress:index:DataFortress", None),
        **{f"db-{name}": (REMOTE, "db") for name in NAMES},
    }
    check_commands(done.children("db").values(), connection())
    machine, scripts = "oslo-db.1", "/usr/local/lib/fortress"
    run_as = f"sudo env FORTRESS_MACHINE={machine} {scripts}"
    script = "0755 root:root --check 'sh -n \"$1\"'"
    check = "'" + mariadb.CONFIG_CHECK.replace("'", "'\"'\"'") + "'"
    config = f"/etc/mysql/mariadb.conf.d/90-fortress.cnf 0644 root:root --check {check} "
    restart = "--apply 'systemctl -q enable mariadb && systemctl restart mariadb' --unit mariadb"
    assert texts(done.children("db")) == {
        "db-packages": (
            f"sudo /usr/local/sbin/fortress-push packages --machine {machine} mariadb-server openssl",
            None,
        ),
        "db-authority-tool": put(f"{scripts}/mariadb-authority {script}", machine=machine),
        "db-access-tool": put(f"{scripts}/mariadb-access {script}", machine=machine),
        "db-authority": (
            f"{run_as}/mariadb-authority ensure 10.100.0.1 oslo-db",
            f"{run_as}/mariadb-authority remove",
        ),
        "db-after-tunnel": put(
            "/etc/systemd/system/mariadb.service.d/50-fortress.conf 0644 root:root",
            apply="'systemctl daemon-reload'",
            machine=machine,
        ),
        "db-90-fortress.cnf": (
            f"sudo /usr/local/sbin/fortress-push put {config}{restart} --machine {machine}",
            "sudo /usr/local/sbin/fortress-push remove /etc/mysql/mariadb.conf.d/90-fortress.cnf "
            f"--apply 'systemctl -q disable --now mariadb' --machine {machine}",
        ),
        "db-account": (
            f"{run_as}/mariadb-access ensure app web 10.100.0.0/255.255.255.0 DELETE,INSERT,SELECT,UPDATE",
            f"{run_as}/mariadb-access remove",
        ),
        "db-firewall": put(
            "/etc/nftables.d/30-database.nft 0644 root:root --check 'nft -c -f \"$1\"'",
            apply="'nft -f /etc/nftables.conf'",
            machine=machine,
        ),
    }


def test_what_is_sent() -> None:
    found = database().resources
    assert {name for name in NAMES if "stdin" not in found[f"db-{name}"].inputs} == {"packages", "authority"}
    assert sent(found["db-authority-tool"]) == text.script("mariadb-authority")
    assert sent(found["db-access-tool"]) == text.script("mariadb-access")
    assert sent(found["db-after-tunnel"]) == mariadb.wait_for_tunnel()
    assert sent(found["db-90-fortress.cnf"]) == mariadb.render(mariadb.Server(address="10.100.0.1", ram_mb=1024))
    rule = 'iifname "wg0" ip saddr { 10.100.0.0/24 } tcp dport 3306 accept  # MariaDB'
    assert [line.strip() for line in sent(found["db-firewall"]).splitlines() if "accept" in line] == [rule]
    assert found["db-account"].inputs["stdin"] == Secret("HUSH"), "without a newline, which would belong to it"


def test_order() -> None:
    assert waits(database().children("db")) == {
        "db-packages": set(),
        "db-authority-tool": set(),
        "db-access-tool": set(),
        "db-after-tunnel": set(),
        "db-firewall": set(),
        "db-authority": {"db-packages", "db-authority-tool"},
        "db-90-fortress.cnf": {"db-authority", "db-after-tunnel"},
        "db-account": {"db-access-tool", "db-90-fortress.cnf"},
    }


def test_children_wait_for_what_the_component_waits_for() -> None:
    def program() -> None:
        gate = local.Command("gate", create="true")
        DataFortress("db", args(), pulumi.ResourceOptions(depends_on=[gate]))

    done = run(program, stdout=answers)
    alone = waits(database().children("db"))
    assert waits(done.children("db")) == {name: needed | {"gate"} for name, needed in alone.items()}


def test_outputs() -> None:
    done = database(private_key="PRIVATE")
    outputs = {name: (seen.value, seen.secret) for name, seen in done.outputs.items()}
    assert outputs == {"address": ("10.100.0.1", False), "ca_pem": (PEM, False), "ready": (True, False)}
    assert {name: plain(value) for name, value in done.registered["db"].items()} == {
        "address": "10.100.0.1",
        "ca_pem": PEM,
        "ready": True,
    }


def test_who_uses_the_address_waits_for_nothing_and_who_asks_for_ready_waits_for_the_account() -> None:
    def program() -> None:
        made = DataFortress("db", args())
        local.Command("early", create=made.address)
        local.Command("late", create=made.ready.apply(str))

    done = run(program, stdout=answers)
    assert "db-account" in done.resources["late"].waits
    assert "db-account" not in done.before("early")


def test_the_password_is_secret_and_nothing_else_is() -> None:
    for password in ("HUSH", None):

        def program(given: str | None = password) -> None:
            key = pulumi.Output.secret("PRIVATE")
            DataFortress("db", args(password=given or pulumi.Output.secret("HUSH"), private_key=key))

        done = run(program, stdout=answers)
        for name, found in done.children("db").items():
            secret = {"connection", "stdin"} if name == "db-account" else {"connection"}
            assert secret_paths(found.inputs) == secret, name
            assert "HUSH" not in repr({**found.inputs, "stdin": None}), name
            assert plain(found.inputs["connection"]) == connection(privateKey="PRIVATE")


def test_at_preview_an_unknown_memory_leaves_the_configuration_unknown() -> None:
    def program() -> Mapping[str, Any]:
        facts = local.Command("facts", create="date")
        made = DataFortress("db", args(host=member(ram_mb=facts.stdout.apply(int))))
        return {"ca_pem": made.ca_pem, "ready": made.ready, "address": made.address}

    done = run(program, preview=True)
    unknown = {name for name, found in done.children("db").items() if found.inputs.get("stdin") is UNKNOWN}
    assert unknown == {"db-90-fortress.cnf"}
    assert {name for name, seen in done.outputs.items() if not seen.known} == {"ca_pem", "ready"}
    assert texts(done.children("db")) == texts(database().children("db"))


def test_data_goes_only_where_a_setting_says_so() -> None:
    remove = texts(database(keep_data=True).children("db"))["db-account"][1]
    wipe = texts(database(keep_data=False).children("db"))["db-account"][1]
    assert remove == texts(database().children("db"))["db-account"][1]
    assert wipe == "sudo env FORTRESS_MACHINE=oslo-db.1 /usr/local/lib/fortress/mariadb-access wipe"
    assert "wipe" not in str(remove)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"buffer_pool_mb": 256}, "innodb_buffer_pool_size = 256M"),
        ({"flush_log_at_commit": 2, "cross_cloud_copy": True}, "innodb_flush_log_at_trx_commit = 2"),
    ],
)
def test_settings_reach_the_configuration(given: dict[str, Any], line: str) -> None:
    assert line in sent(database(**given).resources["db-90-fortress.cnf"]).splitlines()


def test_privileges_reach_the_account() -> None:
    create = texts(database(privileges=["SELECT", "CREATE"]).children("db"))["db-account"][0]
    assert str(create).endswith(" CREATE,SELECT")


def test_numbers_that_arrive_as_floats_are_written_whole() -> None:
    floats = database(host=member(ram_mb=1024.0), buffer_pool_mb=256.0, flush_log_at_commit=2.0, cross_cloud_copy=True)
    whole = database(buffer_pool_mb=256, flush_log_at_commit=2, cross_cloud_copy=True)
    assert floats.resources == whole.resources


def test_another_machine_changes_each_command_and_replaces_none() -> None:
    first = texts(database().children("db"))
    second = texts(database(host=member(machine_id="oslo-db.2")).children("db"))
    assert second == {
        name: tuple(text and str(text).replace("oslo-db.1", "oslo-db.2") for text in pair)
        for name, pair in first.items()
    }
    assert all("oslo-db.1" in str(pair[0]) for pair in first.values())


def test_a_machine_that_is_gone_is_left_alone() -> None:
    done = database(host=member(gone=True), opts=pulumi.ResourceOptions(retain_on_delete=True))
    standing = database()
    for name, found in done.children("db").items():
        assert found.retain_on_delete, name
        assert found.ignore_changes == ("connection", "create", "delete", "stdin"), name
        assert found.inputs == without_commands(standing.resources[name]), name
