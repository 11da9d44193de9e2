"""The database on its host."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components import DataFortress, DataFortressArgs
from components.data_volume import VolumeArgs
from fortress import access, activation, mariadb, push, text
from tests.components.clouds import inputs, run_in_cloud, unknown
from tests.components.engine import (
    LOAD,
    REMOTE,
    check_commands,
    connection,
    files,
    kinds,
    member,
    sent,
    steps,
    texts,
    waits,
    without_commands,
)
from tests.doubles.pulumi_mocks import Run, holds_unknown, plain, run, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Secret

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
NAMES = (*("prepared", "authority", "90-fortress.cnf", "account"),)


ALONE = access.Access(
    databases=["app"],
    accounts={
        "web": access.Account(networks=["10.100.0.0/24"], privileges={"app": ["SELECT", "INSERT", "UPDATE", "DELETE"]})
    },
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


PUSH = "/usr/local/sbin/fortress-push"
DROP_IN, FRAGMENT = "/etc/systemd/system/mariadb.service.d/50-fortress.conf", "/etc/nftables.d/30-database.nft"
REMOVALS = {
    DROP_IN: "systemctl daemon-reload",
    FRAGMENT: LOAD.strip("'"),
    "/usr/local/lib/fortress/mariadb-authority": None,
    "/usr/local/lib/fortress/mariadb-access": None,
    "/usr/local/lib/fortress/mariadb-live": None,
    "/usr/local/lib/fortress/mariadb-data": None,
    "/etc/fortress/access.json": None,
}
"""Files that it prepares with, and what takes each away from what reads it."""


def drop_in(done: Run) -> push.Put:
    """How the unit's drop-in is put."""
    return files(done.resources["db-prepared"])[DROP_IN][0]


def test_children_and_their_commands() -> None:
    done = database()
    assert kinds(done) == {
        "db": ("fortress:index:DataFortress", None),
        **{f"db-{name}": (REMOTE, "db") for name in NAMES},
    }
    check_commands(done.children("db").values(), connection())
    machine, scripts = "oslo-db.1", "/usr/local/lib/fortress"
    run_as = f"sudo env FORTRESS_MACHINE={machine} {scripts}"
    checksum = hashlib.sha256(access.render(ALONE).encode()).hexdigest()
    next_start = f'{scripts}/in-force mariadb-next "$1"'
    check = "'" + f"{mariadb.CONFIG_CHECK}; {next_start}".replace("'", "'\"'\"'") + "'"
    config = f"/etc/mysql/mariadb.conf.d/90-fortress.cnf 0644 root:root --check {check} "
    restart = (
        f'--apply \'if {scripts}/mariadb-live "$1"; then true; else systemctl reset-failed mariadb 2>/dev/null; '
        "systemctl -q is-enabled mariadb || systemctl -q enable mariadb && systemctl restart mariadb; fi "
        f'&& {scripts}/in-force mariadb "$1"\' --unit mariadb'
    )
    assert texts(done.children("db")) == {
        "db-prepared": (
            "sudo "
            + steps(
                f"{PUSH} packages --machine {machine} python3",
                f"{PUSH} files {' '.join(REMOVALS)} --machine {machine}",
                f"{PUSH} packages --machine {machine} mariadb-server openssl python3 fio",
                f"env FORTRESS_MACHINE={machine} {scripts}/mariadb-data upgraded",
            ),
            "sudo "
            + steps(
                f"env FORTRESS_MACHINE={machine} {scripts}/mariadb-authority remove",
                *(
                    push.Remove(path, machine=machine, resource="", apply=apply).render().replace(" --resource ''", "")
                    for path, apply in reversed(REMOVALS.items())
                ),
            ),
        ),
        "db-authority": (f"{run_as}/mariadb-authority ensure 10.100.0.1 oslo-db", None),
        "db-90-fortress.cnf": (
            f"sudo /usr/local/sbin/fortress-push put {config}{restart} --machine {machine}",
            "sudo /usr/local/sbin/fortress-push remove /etc/mysql/mariadb.conf.d/90-fortress.cnf "
            f"--apply 'systemctl -q disable --now mariadb' --machine {machine}",
        ),
        "db-account": (
            f"{run_as}/mariadb-access ensure {checksum}",
            f"{run_as}/mariadb-access remove",
        ),
    }


def test_what_is_sent() -> None:
    found = database().resources
    assert {name for name in NAMES if "stdin" not in found[f"db-{name}"].inputs} == {"authority"}
    landed = {path: text for path, (_, text) in files(found["db-prepared"]).items()}
    fragment = landed.pop(FRAGMENT)
    assert landed == {
        DROP_IN: mariadb.drop_in(),
        "/usr/local/lib/fortress/mariadb-authority": text.script("mariadb-authority"),
        "/usr/local/lib/fortress/mariadb-access": text.script(access.SCRIPT),
        "/usr/local/lib/fortress/mariadb-live": text.script("mariadb_live.py"),
        "/usr/local/lib/fortress/mariadb-data": text.script("mariadb_data.py"),
        access.PATH: access.render(ALONE),
    }
    assert sent(found["db-90-fortress.cnf"]) == mariadb.render(mariadb.Server(address="10.100.0.1", ram_mb=1024))
    rule = 'iifname "wg0" ip saddr { 10.100.0.0/24 } tcp dport 3306 accept  # MariaDB'
    assert [line.strip() for line in fragment.splitlines() if "accept" in line] == [rule]
    assert found["db-account"].inputs["stdin"] == Secret("web HUSH\n")


def test_databases_of_others_are_taken_over_only_by_adoption() -> None:
    adopted = drop_in(database(host=member(adopt=True)))
    assert adopted.check == "true"
    assert "mariadb-free" in str(drop_in(database()).check)


def test_the_sandbox_is_there_before_the_first_start() -> None:
    """So no start is for it alone: until there is a package, there is nothing to restart."""
    done = database()
    create = str(done.resources["db-prepared"].inputs["create"])
    does = [type(command).__name__ for command, _ in push.parts(create, None)]
    assert does == ["Packages", "Files", "Packages", "Run"]
    assert push.parts(create, None)[0][0].words()[2:] == ("python3",), "the first of these has no MariaDB"
    assert str(activation.of_command(drop_in(done).render())) == "mariadb restarts"


def test_data_that_are_there_are_looked_at_before_anything_lands() -> None:
    """What looks is one of the files that land together, and its check is that the server may have them."""

    def check(**more: Any) -> str:
        done = database(**more)
        return str(files(done.resources["db-prepared"])["/usr/local/lib/fortress/mariadb-data"][0].check)

    look = 'python3 -I "$1" may-have /var/lib/mysql'
    assert check().endswith(f" && {look}")
    assert check(host=member(adopt=True)).endswith(f" && {look}"), "whoever's they are"
    assert check(upgrade_to="11.8").endswith(f" && {look} 11.8")


@pytest.mark.parametrize("release", ["11", "11.8.3", "11.8 x", "$(id)", "", 11.8])
def test_a_release_is_two_numbers(release: object) -> None:
    with pytest.raises(Exception, match="upgrade_to"):
        database(upgrade_to=release)


def test_what_prepares_is_put_as_each_needs() -> None:
    put = {path: put for path, (put, _) in files(database().resources["db-prepared"]).items()}
    assert put[DROP_IN].check == "/usr/local/lib/fortress/in-force mariadb-free /var/lib/mysql"
    assert put[DROP_IN].apply == (
        "systemctl daemon-reload; systemctl reset-failed mariadb 2>/dev/null; "
        "if systemctl -q is-enabled mariadb; then systemctl restart mariadb; fi"
    )
    assert (put[FRAGMENT].check, put[FRAGMENT].apply) == ('nft -c -f "$1"', LOAD.strip("'"))
    tools = [put[f"/usr/local/lib/fortress/mariadb-{name}"] for name in ("authority", "access")]
    assert [tool.mode for tool in tools] == ["0755", "0755"]
    assert tools[0].check == 'sh -n "$1"'


def test_the_authority_is_not_removed_by_an_upgrade() -> None:
    """The resource that removed it is this one now: as another one, its end would run the removal."""
    assert "authority-removal" in str(database().resources["db-prepared"].aliases)


def test_order() -> None:
    assert waits(database().children("db")) == {
        "db-prepared": set(),
        "db-authority": {"db-prepared"},
        "db-90-fortress.cnf": {"db-authority"},
        "db-account": {"db-90-fortress.cnf"},
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
        "endpoint": "10.100.0.1:3306",
        "accounts": "true",
    }


def test_who_uses_the_address_waits_for_nothing_and_who_asks_for_ready_waits_for_the_account() -> None:
    def program() -> None:
        made = DataFortress("db", args())
        local.Command("early", create=made.address)
        local.Command("late", create=made.ready.apply(str))
        local.Command("later", create=made.endpoint)

    done = run(program, stdout=answers)
    assert "db-account" in done.resources["late"].waits
    assert "db-account" in done.resources["later"].waits
    assert done.resources["later"].inputs["create"] == "10.100.0.1:3306"
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
        ({"variables": {"max_connections": "400"}}, "max_connections = 400"),
        ({"variables": {"slow_query_log": "ON"}}, "slow_query_log = ON"),
        ({"flush_log_at_commit": 2, "cross_cloud_copy": True}, "innodb_flush_log_at_trx_commit = 2"),
    ],
)
def test_settings_reach_the_configuration(given: dict[str, Any], line: str) -> None:
    assert line in sent(database(**given).resources["db-90-fortress.cnf"]).splitlines()


def test_privileges_reach_the_account() -> None:
    accounts = json.loads(files(database(privileges=["SELECT", "CREATE"]).resources["db-prepared"])[access.PATH][1])[
        "accounts"
    ]
    assert accounts["web"]["privileges"] == {"app": ["CREATE", "SELECT"]}


SHOP: dict[str, Any] = {
    "databases": ["orders"],
    "roles": {"reader": {"orders": ["SELECT"]}},
    "accounts": {
        "billing": {
            "password": "BILLING",
            "privileges": {"orders": ["SELECT", "INSERT"]},
            "role": "reader",
            "clients": ["10.100.0.2/32"],
            "connections_per_client": 20.0,
        },
        "reports": {"password": pulumi.Output.secret("REPORTS"), "role": "reader"},
    },
    "old_passwords": "overlap",
}


def test_several_applications() -> None:
    def program() -> None:
        reports = {"password": pulumi.Output.secret("REPORTS"), "role": "reader"}
        DataFortress("db", args(**{**SHOP, "accounts": {**SHOP["accounts"], "reports": reports}}))

    done = run(program, stdout=answers)
    wanted = access.Access(
        databases=["app", "orders"],
        roles={"reader": {"orders": ["SELECT"]}},
        accounts={
            "web": ALONE.accounts["web"],
            "billing": access.Account(
                networks=["10.100.0.2/32"],
                privileges={"orders": ["SELECT", "INSERT"]},
                role="reader",
                connections_per_client=20,
            ),
            "reports": access.Account(networks=["10.100.0.0/24"], role="reader"),
        },
        old_passwords="overlap",
    )
    assert files(done.resources["db-prepared"])[access.PATH][1] == access.render(wanted)
    assert done.resources["db-account"].inputs["stdin"] == Secret("billing BILLING\nreports REPORTS\nweb HUSH\n")
    for name, found in done.children("db").items():
        assert secret_paths(found.inputs) - {"connection"} == ({"stdin"} if name == "db-account" else set()), name


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"accounts": {"web": {"password": "x", "role": "reader"}}}, "accounts.web: is `user`; give it another name"),
        ({"accounts": {"b": {"password": "x"}}}, "accounts.b.privileges: {} may do nothing"),
        ({"accounts": {"b": {"role": "reader"}}}, "accounts.b.password: missing"),
        ({"accounts": {"b": {"password": "x", "role": "writer"}}}, "accounts.b.role: 'writer' is not in roles"),
        (
            {"accounts": {"b": {"password": "x", "role": "reader", "clients": ["10.100.0.2"]}}},
            "accounts.b.clients[0]: '10.100.0.2' must be an IPv4 network",
        ),
        ({"roles": {"reader": {"order": ["SELECT"]}}}, "roles.reader.order: 'order' is not in databases; known: app"),
        ({"old_passwords": "forever"}, "old_passwords: 'forever' must be 'end', 'overlap' or 'keep'"),
    ],
)
def test_accounts_that_are_refused(more: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f'DataFortress "db": {line}')):
        database(**{**SHOP, **more})


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


# The data on a volume of its own.

MADE: VolumeArgs = {"openstack": {"size_gb": 40, "type": "nvme", "instance_id": "instance-1"}}
DEVICE: VolumeArgs = {"device": "/dev/nvme1n1"}
SEALED: VolumeArgs = {**MADE, "encrypted": True, "key": "SEALING"}
VOLUME, ATTACH = "openstack:blockstorage/volume:Volume", "openstack:compute/volumeAttach:VolumeAttach"
TOOL = "sudo env FORTRESS_MACHINE=oslo-db.1 /usr/local/lib/fortress/data-volume"
PLACE = "/var/lib/mysql mariadb"


def on_volume(volume: VolumeArgs, *, preview: bool = False, **more: Any) -> Run:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        return {"ready": DataFortress("db", args(volume=volume, **more), opts).ready}

    return run_in_cloud(make, preview=preview)


def only_volume(done: Run) -> dict[str, Any]:
    """What a volume adds to a database."""
    return {name: found for name, found in done.children("db").items() if name not in database().resources}


def test_a_volume_of_the_cloud() -> None:
    done = on_volume(MADE)
    added = only_volume(done)
    assert {name: (found.type, found.parent) for name, found in added.items()} == {
        "db-volume-tool": (REMOTE, "db"),
        "db-data": (VOLUME, "db"),
        "db-data-attached": (ATTACH, "db"),
        "db-data-mounted": (REMOTE, "db"),
    }
    cloud = {name: found for name, found in added.items() if found.type != REMOTE}
    assert inputs(cloud) == {
        "db-data": {
            "name": "db-data",
            "description": "Data of the database",
            "size": 40,
            "volumeType": "nvme",
            "enableOnlineResize": True,
        },
        "db-data-attached": {"instanceId": "instance-1", "volumeId": "db-data-id"},
    }
    assert {name: (found.provider, found.delete_before_replace) for name, found in cloud.items()} == {
        "db-data": ("openstack", False),
        "db-data-attached": ("openstack", True),
    }
    assert sent(added["db-volume-tool"]) == text.script("data-volume")
    assert texts(added)["db-data-mounted"] == (
        f"{TOOL} mount volume:db-data-id {PLACE} --size 40",
        f"{TOOL} unmount {PLACE}",
    )
    assert "stdin" not in added["db-data-mounted"].inputs


def test_the_rest_of_a_volume() -> None:
    least = on_volume({"openstack": {"size_gb": 40, "instance_id": "instance-1"}}).resources["db-data"]
    assert "volumeType" not in least.inputs
    zoned: VolumeArgs = {"openstack": {"size_gb": 40, "availability_zone": "nova-2", "instance_id": "instance-1"}}
    assert on_volume(zoned).resources["db-data"].inputs["availabilityZone"] == "nova-2"
    floats: VolumeArgs = {"openstack": {"size_gb": 40.0, "type": "nvme", "instance_id": "instance-1"}}  # type: ignore[typeddict-item]
    assert on_volume(floats).resources == on_volume(MADE).resources


@pytest.mark.parametrize("volume", [MADE, DEVICE, SEALED])
def test_a_database_on_a_volume_is_the_same_after_it(volume: VolumeArgs) -> None:
    """Its drop-in, before which it is asked whose data these are, waits for the mount; the rest of MariaDB's for it."""
    done, alone = on_volume(volume), database()
    for name, found in alone.children("db").items():
        on = done.resources[name]
        assert on.inputs == found.inputs, name
        assert on.waits == found.waits | ({"db-data-mounted"} if name == "db-prepared" else set()), name
    for name in ("db-prepared", "db-authority", "db-90-fortress.cnf", "db-account"):
        assert "db-data-mounted" in done.before(name), name


def test_order_of_a_volume() -> None:
    assert waits(only_volume(on_volume(SEALED))) == {
        "db-volume-tool": set(),
        "db-cryptsetup": set(),
        "db-data": set(),
        "db-data-attached": {"db-data"},
        "db-data-mounted": {"db-volume-tool", "db-cryptsetup", "db-data", "db-data-attached"},
    }
    assert waits(only_volume(on_volume(MADE)))["db-data-mounted"] == {"db-volume-tool", "db-data", "db-data-attached"}


def test_a_new_machine_waits_until_it_is_prepared() -> None:
    """The cloud could attach at once, but nothing is mounted before the host's first contact is over."""

    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        DataFortress("db", args(volume=MADE), opts)
        return {}

    done = run_in_cloud(make, gated=True)
    assert all("gate" in found.waits for found in only_volume(done).values())


def test_the_mount_is_undone_on_the_old_machine_before_it_ends() -> None:
    """The one command that another machine replaces: its deletion is what stops and unmounts there."""
    mounted = on_volume(MADE).resources["db-data-mounted"]
    assert mounted.inputs["triggers"] == ["instance-1"]
    assert mounted.delete_before_replace
    assert mounted.deleted_with is None
    others = [found for name, found in on_volume(MADE).children("db").items() if name != "db-data-mounted"]
    assert not any("triggers" in found.inputs for found in others)


def test_the_mount_is_undone_also_when_the_machine_goes_with_its_host() -> None:
    """All else is forgotten then, without a word to the machine; the volume must be unmounted before it is detached."""
    host = member(host_urn="urn:pulumi:lab::data-fortress::fortress:index:Host::oslo-db")
    done = on_volume(MADE, host=host)
    commands = {name: found for name, found in done.children("db").items() if found.type == REMOTE}
    assert {name for name, found in commands.items() if found.deleted_with is None} == {"db-data-mounted"}


def test_the_mount_is_a_command_as_any_other() -> None:
    mounted = on_volume(DEVICE, private_key="PRIVATE").resources["db-data-mounted"]
    check_commands([mounted], connection(privateKey="PRIVATE"))
    assert secret_paths(mounted.inputs) == {"connection"}


def test_another_machine_and_a_grown_volume_change_the_command() -> None:
    """An update then: what it mounts is looked at again, and its file system grows."""
    grown: VolumeArgs = {"openstack": {"size_gb": 80, "instance_id": "instance-1"}}
    assert str(on_volume(grown).resources["db-data-mounted"].inputs["create"]).endswith(" --size 80")
    moved = on_volume(MADE, host=member(machine_id="oslo-db.2")).resources["db-data-mounted"]
    assert "FORTRESS_MACHINE=oslo-db.2" in str(moved.inputs["create"])
    assert "FORTRESS_MACHINE=oslo-db.2" in str(moved.inputs["delete"])


def test_a_device_that_the_host_has() -> None:
    done = on_volume(DEVICE)
    assert {name: found.type for name, found in only_volume(done).items()} == {
        "db-volume-tool": REMOTE,
        "db-data-mounted": REMOTE,
    }
    mounted = done.resources["db-data-mounted"]
    assert texts({"db-data-mounted": mounted})["db-data-mounted"] == (
        f"{TOOL} mount device:/dev/nvme1n1 {PLACE}",
        f"{TOOL} unmount {PLACE}",
    )
    assert "triggers" not in mounted.inputs


@pytest.mark.parametrize("keep_data", [True, False, None])
def test_the_volume_is_protected_while_its_data_is_kept(keep_data: bool | None) -> None:
    more: dict[str, Any] = {} if keep_data is None else {"keep_data": keep_data}
    done = on_volume(MADE, **more)
    protected = {name for name, found in done.resources.items() if found.protect}
    assert protected == (set() if keep_data is False else {"db-data"})


@pytest.mark.parametrize("secret", [True, False])
def test_an_encrypted_volume(secret: bool) -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        key = pulumi.Output.secret("SEALING") if secret else "SEALING"
        DataFortress("db", args(volume={**SEALED, "key": key}), opts)
        return {}

    added = only_volume(run_in_cloud(make))
    assert texts(added)["db-cryptsetup"] == (
        "sudo /usr/local/sbin/fortress-push packages --machine oslo-db.1 cryptsetup-bin",
        None,
    )
    mounted = added["db-data-mounted"]
    assert texts(added)["db-data-mounted"][0] == f"{TOOL} mount volume:db-data-id {PLACE} --size 40 --encrypted"
    assert mounted.inputs["stdin"] == Secret(push.content("SEALING")), "with the line that says it came whole"
    for name, found in added.items():
        expected = {"connection"} if found.type == REMOTE else set()
        assert secret_paths(found.inputs) == expected | ({"stdin"} if found is mounted else set()), name
        assert "SEALING" not in repr({**found.inputs, "stdin": None}), name


@pytest.mark.parametrize(("volume", "encrypted"), [(SEALED, True), (MADE, None), (None, None)])
def test_whether_the_host_encrypts_is_told_to_whoever_measures(
    volume: VolumeArgs | None, encrypted: bool | None
) -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        return {"told": DataFortress("db", args(volume=volume), opts).facts.get("encrypted")}

    assert run_in_cloud(make).outputs["told"].value is encrypted


def test_at_preview_a_new_volume_leaves_only_the_mount_unknown() -> None:
    done = on_volume(MADE, preview=True)
    assert unknown(done.children("db")) == {"db-data-attached": {"volumeId"}, "db-data-mounted": {"create"}}


def test_at_preview_a_new_instance_is_unknown_where_it_stands() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        machine = local.Command("machine", create="true").stdout
        volume: VolumeArgs = {"openstack": {"size_gb": 40, "instance_id": machine}}
        made = DataFortress("db", args(volume=volume, host=member(machine_id=machine)), opts)
        return {"ready": made.ready}

    done = run_in_cloud(make, preview=True)
    assert unknown(done.children("db"))["db-data-attached"] == {"instanceId", "volumeId"}
    mounted = done.resources["db-data-mounted"].inputs
    assert {key for key, value in mounted.items() if holds_unknown(value)} == {"create", "delete", "triggers"}
    assert plain(mounted["triggers"]) in ([UNKNOWN], UNKNOWN)


def test_a_mount_on_a_machine_that_is_gone_is_left_alone() -> None:
    """Its trigger too: the next `up` that has a machine again replaces it, and the deletion is not dialled then."""
    mounted = on_volume(MADE, host=member(gone=True)).resources["db-data-mounted"]
    assert mounted.ignore_changes == ("connection", "create", "delete", "stdin", "triggers")
    assert mounted.retain_on_delete
    assert not {"create", "delete"} & set(mounted.inputs)
    assert not on_volume(MADE).resources["db-data-mounted"].retain_on_delete


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({}, "volume: set either openstack or device"),
        ({**MADE, **DEVICE}, "volume: set either openstack or device"),
        ({**MADE, "encrypted": True}, "volume.key: needed"),
    ],
)
def test_a_volume_that_is_none_is_refused(volume: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        on_volume(volume)
