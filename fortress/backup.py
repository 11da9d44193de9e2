"""Backups of the database: where they go, how long they stay, and the text of the files that make them.

What does the work on the host is scripts/database_backup.py, which writes and reads the two files that it is told by.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from fortress import text
from fortress.firewall import EgressTarget
from fortress.scripts import database_backup
from fortress.scripts.database_backup import CONFIG, LATE_S, PROGRAM, SECRETS, Config, TargetSecrets
from fortress.values import Address, HostKey, MemberName, Model, PlainPath, Port, User, matching, refusal

__all__ = ("CONFIG", "LATE_S", "PROGRAM", "SECRETS")

STATE = (str(PROGRAM), "state")
"""Words that ask a host how its last runs went."""

PACKAGES = ("mariadb-backup", "restic", "python3")
SFTP_PACKAGES = ("openssh-client",)
SERVICE_PATH = "/etc/systemd/system/fortress-backup@.service"
TIMER_PATH = "/etc/systemd/system/fortress-backup@daily.timer"
SHIP, DAILY, TIMER = "fortress-backup@ship", "fortress-backup@daily", "fortress-backup@daily.timer"
EVERY_UNIT = "fortress-backup@*"
"""Pattern of the units of all its runs, as systemctl has it."""
FOLDERS = (database_backup.STATE, database_backup.CACHE, database_backup.RUN)
"""What the program keeps on the host beside its configuration."""

# For `fortress-push put --check`: it is whole, and a program.
PROGRAM_CHECK = "python3 -I -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' \"$1\""

FIRST = f"if [ ! -e {database_backup.STATE}/full.json ]; then systemctl start --no-block {DAILY}; fi"
"""Shell command for the first backup of all, which no timer has to be waited for."""

MAX_AGE_H = 26.0
"""Hours after which a full backup is late: a day, and two hours for the run itself."""
CHECK_AGE_H = 26.0
"""The same for reading back."""

ShipEvery = Annotated[int, Field(ge=5, le=40)]
"""Seconds; with what a run takes, a commit is stored elsewhere within a minute."""
Kept = Annotated[int, Field(ge=0, le=1000)]


class SftpTarget(Model):
    """A host that is reached by SFTP."""

    address: Address
    """Its address."""
    port: Port = 22
    """Port of its SSH."""
    user: User
    """User who logs in, with the secret setting `backup_sftp_key`."""
    path: PlainPath
    """Folder there, in which two repositories are made. It must exist, and be the user's."""
    host_key: HostKey
    """Its pinned key; with another one nothing is sent."""


class S3Target(Model):
    """A bucket of an S3-compatible store."""

    endpoint: Annotated[
        str,
        matching(
            r"https?://[a-z0-9.-]+(:[0-9]{1,5})?",
            "the URL of an S3 endpoint without a path, such as https://s3.example.org",
        ),
    ]
    """URL of the store, without a path. What is sent is encrypted before, and its key is never sent; with http anyone
    on the way could still keep it from arriving."""
    bucket: Annotated[str, matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket")]
    """Bucket, one for this stack alone or with a `prefix`."""
    prefix: Annotated[str, matching(r"([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?", "a path such as stacks/oslo")] = ""
    """Path inside the bucket."""
    region: Annotated[str, matching(r"[A-Za-z0-9-]{1,64}", "the name of a region")] = "us-east-1"
    """Region that requests are signed for; many stores take the default."""
    access_key_id: Annotated[str, matching(r"[A-Za-z0-9_-]{3,128}", "the id of an access key")]
    """Id of an access key; its secret is the setting `backup_s3_secret_access_key`."""


class Keep(Model):
    """How many full backups stay: the last one of each day, week and month that has any."""

    daily: Annotated[int, Field(ge=1, le=1000)] = 7
    """Days."""
    weekly: Kept = 5
    """Weeks (ISO 8601)."""
    monthly: Kept = 12
    """Months."""


class Backup(Model):
    """Backups of the database, encrypted on its host with the secret setting `backup_password` before they leave it.

    Exactly one of `directory`, `sftp` and `s3` says where they go."""

    site: MemberName
    """Site that the target stands at, by its name in `sites`; it must be sovereign."""
    directory: PlainPath | None = None
    """Folder on the database's host, such as a mount of another machine; it must exist. A folder on its own disks is no
    backup."""
    sftp: SftpTarget | None = None
    s3: S3Target | None = None
    daily_at: Annotated[str, matching(r"([01][0-9]|2[0-3]):[0-5][0-9]", 'a time in quotes, such as "02:30"')] = "02:30"
    """When the full backup is taken each day, in UTC."""
    keep: Keep = Keep()
    point_in_time_days: Annotated[int, Field(ge=1, le=366)] = 7
    """Days back to which any second can be restored; at most `keep.daily`, since binary logs are played on the full
    backup of their day."""
    ship_every_s: ShipEvery = 20
    """Seconds between two looks at the binary log. What is new is sent at once; a commit is stored elsewhere within a
    minute."""
    drill_days: Annotated[int, Field(ge=0, le=366)] = 30
    """Days between two restore drills, for which the host's disk needs room for the data once more under
    /var/lib/fortress-backup; 0 for none."""
    append_only: bool = False
    """Whether the target lets this host add only. It then deletes nothing, and old backups are deleted from elsewhere,
    with another key (docs/backups.md)."""

    @model_validator(mode="after")
    def _one_target(self) -> Backup:
        given = [name for name in ("directory", "sftp", "s3") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"directory: set exactly one of directory, sftp and s3; found {' and '.join(given) or 'none'}"
            )
        return self

    @model_validator(mode="after")
    def _has_a_full_for_each_point(self) -> Backup:
        if self.point_in_time_days > self.keep.daily:
            wrong = f"must be at most keep.daily, which is {self.keep.daily}"
            raise refusal(("point_in_time_days",), self.point_in_time_days, wrong)
        return self

    def egress(self) -> EgressTarget | None:
        """What its host connects to; None for a directory. A store by its name has addresses that change."""
        if self.sftp:
            return EgressTarget(address=self.sftp.address, port=self.sftp.port, comment="Backups, by SFTP.")
        if self.s3 is None:
            return None
        store = urlsplit(self.s3.endpoint)
        address: str | None = None
        with suppress(ValueError):
            address = str(ip_address(store.hostname or ""))
        port = store.port or {"http": 80, "https": 443}[store.scheme]
        return EgressTarget(address=address, port=port, comment="Backups, to their store.")

    def secrets_problems(self, given: set[str]) -> list[str]:
        """Which secret settings are missing, as `name: problem`; `given` are the names of those that are set."""
        needed = {"backup_password": "database.backup is set, and nothing leaves the host without a key to encrypt it"}
        if self.sftp:
            needed["backup_sftp_key"] = "database.backup.sftp is set and needs the private key of its user"
        if self.s3:
            needed["backup_s3_secret_access_key"] = "database.backup.s3 is set and needs the secret of its access key"  # noqa: S105 - words
        return [f"{name}: missing; {why}" for name, why in needed.items() if name not in given]


def config(backup: Backup, host: str) -> Config:
    """What the host is told; nothing in it is secret."""
    kind = "directory" if backup.directory else "sftp" if backup.sftp else "s3"
    target = getattr(backup, kind)
    return Config(
        host=host,
        target={kind: target if isinstance(target, str) else target.model_dump()},
        daily=backup.keep.daily,
        weekly=backup.keep.weekly,
        monthly=backup.keep.monthly,
        points_days=backup.point_in_time_days,
        every_s=backup.ship_every_s,
        drill_days=backup.drill_days or None,
        prune=not backup.append_only,
    )


def secrets(password: str, sftp_key: str | None, s3_secret_access_key: str | None) -> str:
    """The text of the file of secrets."""
    return TargetSecrets(password, s3_secret_access_key, sftp_key).text()


def program() -> str:
    """The program that does the work on the host."""
    return text.script("database_backup.py")


def packages(backup: Backup) -> tuple[str, ...]:
    """What the host needs."""
    return (*PACKAGES, *(SFTP_PACKAGES if backup.sftp else ()))


def service(backup: Backup) -> str:
    """Give the unit at SERVICE_PATH; its instances are the program's verbs."""
    return text.render("fortress-backup.service.j2", program=PROGRAM, directory=backup.directory)


def timer(backup: Backup) -> str:
    """Give the timer at TIMER_PATH."""
    return text.render("fortress-backup.timer.j2", at=backup.daily_at)
