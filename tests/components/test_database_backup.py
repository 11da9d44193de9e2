"""Backups of the database: what they add to its host, and what of it is secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components import DataFortress
from components.database_backup import BackupArgs
from fortress import backup, push
from fortress.scripts.database_backup import Config, TargetSecrets
from tests.components.engine import REMOTE, texts, waits
from tests.components.test_data_fortress import answers, args, database
from tests.doubles.pulumi_mocks import Run, plain, run, secret_paths

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINunBNtxzuN4QNytbTPYsxqmhpVwk8TOLiJ/onl+Uy9r"
FOLDER: BackupArgs = {"site": "oslo", "password": "HUSH-key-of-backups-HUSH", "directory": "/srv/backup"}
SFTP: BackupArgs = {
    "site": "vault",
    "password": "HUSH-key-of-backups-HUSH",
    "sftp": {"address": "192.0.2.40", "user": "keeper", "path": "/srv/vault", "host_key": HOST_KEY},
    "sftp_key": "HUSH-sftp",
}
S3: BackupArgs = {
    "site": "vault",
    "password": "HUSH-key-of-backups-HUSH",
    "s3": {"endpoint": "https://s3.example.org", "bucket": "vault", "access_key_id": "THEID"},
    "s3_secret_access_key": "HUSH-s3",
}


def backed_up(given: BackupArgs, **more: Any) -> Run:
    return database(backup=given, **more)


def added(done: Run) -> dict[str, Any]:
    """What backups add to a database."""
    return {name: found for name, found in done.children("db").items() if name not in database().resources}


def test_what_they_add_and_nothing_of_it_without_them() -> None:
    done = backed_up(FOLDER)
    assert {name: (found.type, found.parent) for name, found in added(done).items()} == {
        f"db-backup{name}": (REMOTE, "db")
        for name in ("-packages", "-tool", "-secrets", ".json", "-target", ".service", ".timer")
    }
    without = {name: found.inputs for name, found in database().children("db").items()}
    assert {name: done.resources[name].inputs for name in without} == without


def test_their_commands() -> None:
    found = {name: push.parse(str(pair[0])) for name, pair in texts(added(backed_up(SFTP))).items()}
    packages = found["db-backup-packages"]
    assert isinstance(packages, push.Packages)
    assert packages.names == ("mariadb-backup", "restic", "python3", "openssh-client")
    put = {name: each for name, each in found.items() if isinstance(each, push.Put)}
    assert {name: (each.path, each.mode, each.unit) for name, each in put.items()} == {
        "db-backup-tool": ("/usr/local/lib/fortress/database-backup", "0755", None),
        "db-backup-secrets": ("/etc/fortress/backup.secrets", "0600", None),
        "db-backup.json": ("/etc/fortress/backup.json", "0644", None),
        "db-backup.service": ("/etc/systemd/system/fortress-backup@.service", "0644", "fortress-backup@ship"),
        "db-backup.timer": (
            "/etc/systemd/system/fortress-backup@daily.timer",
            "0644",
            "fortress-backup@daily.timer",
        ),
    }
    target = found["db-backup-target"]
    assert isinstance(target, push.Run)
    assert target.command == ("/usr/local/lib/fortress/database-backup", "init")


def test_they_begin_once_the_database_serves_and_the_target_was_tried() -> None:
    done = backed_up(FOLDER)
    found = waits(added(done))
    assert "db-account" in done.before("db-backup-packages")
    assert found["db-backup-target"] >= {"db-backup-secrets", "db-backup.json"}
    assert "db-backup-target" in found["db-backup.service"]
    assert "db-backup.service" in found["db-backup.timer"]


@pytest.mark.parametrize("given", [FOLDER, SFTP, S3])
def test_only_what_holds_a_secret_is_secret(given: BackupArgs) -> None:
    done = backed_up(given)
    secret = {name for name, found in added(done).items() if "stdin" in secret_paths(found.inputs)}
    assert secret == {"db-backup-secrets", "db-backup-target"}
    for name, found in added(done).items():
        shown = found.inputs if name not in secret else {**found.inputs, "stdin": None}
        assert "HUSH" not in repr(shown), name
    # What runs the target's command again says nothing about the secrets themselves.
    assert "HUSH" not in str(plain(added(done)["db-backup-target"].inputs["stdin"]))


@pytest.mark.parametrize("given", [FOLDER, SFTP, S3])
def test_the_files_are_those_that_the_program_reads(given: BackupArgs) -> None:
    found = added(backed_up(given))
    told = Config.read(push.received(plain(found["db-backup.json"].inputs["stdin"])))
    assert told.host == "oslo-db"
    assert (told.daily, told.weekly, told.monthly, told.points_days, told.drill_days) == (7, 5, 12, 7, 30)
    assert told.prune
    secrets = TargetSecrets.read(push.received(plain(found["db-backup-secrets"].inputs["stdin"])))
    assert secrets == TargetSecrets(
        given["password"],  # type: ignore[arg-type]
        given.get("s3_secret_access_key"),  # type: ignore[arg-type]
        given.get("sftp_key"),  # type: ignore[arg-type]
    )


def test_settings_reach_the_host() -> None:
    given: BackupArgs = {**FOLDER, "daily_at": "04:15", "keep": {"weekly": 0}, "drill_days": 0, "append_only": True}
    found = added(backed_up(given))
    told = json.loads(push.received(plain(found["db-backup.json"].inputs["stdin"])))
    assert (told["weekly"], told["drill_days"], told["prune"]) == (0, None, False)
    assert "OnCalendar=*-*-* 04:15:00 UTC" in plain(found["db-backup.timer"].inputs["stdin"])
    assert "ReadWritePaths=/srv/backup" in plain(found["db-backup.service"].inputs["stdin"])


def test_another_secret_has_the_target_tried_again() -> None:
    first, second = (
        plain(added(backed_up({**FOLDER, "password": password}))["db-backup-target"].inputs["stdin"])
        for password in ("HUSH-key-of-backups-HUSH", "HUSH-another-key-of-backups")
    )
    assert first != second


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"site": "oslo", "password": "x"},
            r"backup\.directory: set exactly one of directory, sftp and s3; found none",
        ),
        ({**FOLDER, "s3": S3["s3"]}, r"backup\.directory: set exactly one .* found directory and s3"),
        ({**SFTP, "sftp_key": None}, r"backup\.sftp_key: needed, since backup\.sftp is set"),
        ({**S3, "s3_secret_access_key": None}, r"backup\.s3_secret_access_key: needed, since backup\.s3 is set"),
        ({**FOLDER, "directory": "srv"}, r"backup\.directory: 'srv' must be a plain absolute path"),
        ({**FOLDER, "ship_every_s": 60}, r"backup\.ship_every_s: 60 must be at most 40"),
        ({**FOLDER, "daily_at": "24:00"}, r"backup\.daily_at: '24:00' must be a time in quotes"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_registered(given: Any, line: str) -> None:
    def program() -> Mapping[str, Any]:
        DataFortress("db", args(backup=given), pulumi.ResourceOptions())
        return {}

    with pytest.raises(ValueError, match=line):
        run(program, stdout=answers)


def test_what_is_known_of_them_is_exported() -> None:
    def program() -> Mapping[str, Any]:
        return {"facts": pulumi.Output.from_input(DataFortress("db", args(backup=SFTP)).facts)}

    done = run(program, stdout=answers)
    assert plain(done.outputs["facts"].value)["backup"] == {
        "site": "vault",
        "target": "sftp 192.0.2.40:/srv/vault",
        "host": "oslo-db",
    }
    done = run(lambda: {"facts": pulumi.Output.from_input(DataFortress("db", args(backup=S3)).facts)}, stdout=answers)
    url = plain(done.outputs["facts"].value)["backup"]["url"]
    assert url == "https://s3.example.org/vault", "where it is asked without a login"
    assert backup.PROGRAM_CHECK in texts(added(backed_up(SFTP)))["db-backup-tool"][0].replace("'\"'\"'", "'")  # type: ignore[union-attr]
