"""Backups of the database, by timers of its host."""

from typing import NotRequired, TypedDict

import pulumi

from fortress import activation, backup, push

from .checking import Facts, build, check, wrong
from .host_file import put
from .remote import Target, command, version, with_depends_on


class SftpTargetArgs(TypedDict):
    """A host that is reached by SFTP."""

    address: str
    """Its address."""
    port: NotRequired[int]
    """Port of its SSH, 22 when not given."""
    user: str
    """Who logs in."""
    path: str
    """Folder there that exists."""
    host_key: str
    """Its pinned key, type and base64."""


class S3TargetArgs(TypedDict):
    """A bucket of an S3-compatible store."""

    endpoint: str
    """URL of the store, without a path."""
    bucket: str
    """Bucket."""
    prefix: NotRequired[str]
    """Path inside the bucket; none when not given."""
    region: NotRequired[str]
    """Region that requests are signed for, us-east-1 when not given."""
    access_key_id: str
    """Id of an access key."""


class KeepArgs(TypedDict):
    """How many full backups stay: the last one of each day, week and month that has any."""

    daily: NotRequired[int]
    """Days, 7 when not given."""
    weekly: NotRequired[int]
    """Weeks, 5 when not given."""
    monthly: NotRequired[int]
    """Months, 12 when not given."""


class BackupArgs(TypedDict):
    """Where backups go, and how long they stay; exactly one of `directory`, `sftp` and `s3`."""

    site: str
    """The site that the target stands at."""
    password: pulumi.Input[str]
    """The key that everything is encrypted with on the host, at least 20 characters; secret. Without it no backup can
    be read."""
    directory: NotRequired[str | None]
    """A folder on the database's host that exists, such as a mount of another machine."""
    sftp: NotRequired[SftpTargetArgs | None]
    """A host that is reached by SFTP."""
    sftp_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key of its user; secret, needed with `sftp`."""
    s3: NotRequired[S3TargetArgs | None]
    """A bucket."""
    s3_secret_access_key: NotRequired[pulumi.Input[str] | None]
    """Secret of its access key; needed with `s3`."""
    daily_at: NotRequired[str]
    """When the full backup is taken each day, in UTC, 02:30 when not given."""
    keep: NotRequired[KeepArgs]
    """How many stay."""
    point_in_time_days: NotRequired[int]
    """Days back to which any second can be restored, 7 when not given."""
    ship_every_s: NotRequired[int]
    """Seconds between two looks at the binary log, 20 when not given."""
    drill_days: NotRequired[int]
    """Days between two restore drills; 30 when not given, 0 for none."""
    append_only: NotRequired[bool]
    """Whether the target lets this host add only; no when not given."""


_SECRET = ("password", "sftp_key", "s3_secret_access_key")


def check_backup(component: str, name: str, args: BackupArgs) -> None:
    """Refuse a backup that cannot be.

    Raises:
        ValueError: an argument is wrong; the message names it.
    """
    check(component, name, _backup(args))
    for target, secret in (("sftp", "sftp_key"), ("s3", "s3_secret_access_key")):
        if args.get(target) is not None and args.get(secret) is None:
            raise wrong(component, name, f"backup.{secret}", f"needed, since backup.{target} is set")


def keep_backups(name: str, args: BackupArgs, target: Target, opts: pulumi.ResourceOptions) -> dict[str, str]:
    """Have the host make backups; gives what is known of them, as `fortress.facts.BackupFacts` has it."""
    facts = build("DataFortress", name, _backup(args))
    config = backup.config(facts, target["member"]["name"])
    packages = command(
        f"{name}-backup-packages",
        target,
        lambda machine: push.Packages(machine=machine, names=backup.packages(facts)).render(),
        opts,
    )
    tool = put(
        f"{name}-backup-tool",
        target,
        str(backup.PROGRAM),
        backup.program(),
        with_depends_on(opts, packages),
        mode="0755",
        check=backup.PROGRAM_CHECK,
        apply=activation.restart_if_enabled(backup.SHIP),
        remove_apply=f"rm -rf {' '.join(str(folder) for folder in backup.FOLDERS)}",
    )
    known = pulumi.Output.all(*(args.get(each) for each in _SECRET))
    kept: pulumi.Output[str] = pulumi.Output.secret(known.apply(lambda texts: backup.secrets(*texts)))
    given = put(f"{name}-backup-secrets", target, str(backup.SECRETS), kept, with_depends_on(opts, tool), mode="0600")
    told = put(f"{name}-backup.json", target, str(backup.CONFIG), config.text(), with_depends_on(opts, tool))
    ready = command(
        f"{name}-backup-target",
        target,
        lambda machine: push.for_machine(machine, *push.script("database-backup", "init")),
        with_depends_on(opts, given, told),
        # It reads the files; asked again whenever one of them is another.
        stdin=kept.apply(lambda text: version("backup", config.text(), text)),
    )
    service = put(
        f"{name}-backup.service",
        target,
        backup.SERVICE_PATH,
        backup.service(facts),
        with_depends_on(opts, ready),
        apply=activation.enable_and_restart_pushed(backup.SHIP),
        remove_before=f"systemctl -q disable --now {backup.SHIP}; systemctl stop '{backup.EVERY_UNIT}'",
        # Most often none has failed.
        remove_apply=f"systemctl daemon-reload; systemctl reset-failed '{backup.EVERY_UNIT}' 2>/dev/null || true",
        unit=backup.SHIP,
    )
    put(
        f"{name}-backup.timer",
        target,
        backup.TIMER_PATH,
        backup.timer(facts),
        with_depends_on(opts, service),
        apply=f"{activation.enable_and_restart_pushed(backup.TIMER)} && {backup.FIRST}",
        remove_before=f"systemctl -q disable --now {backup.TIMER}",
        remove_apply="systemctl daemon-reload",
        unit=backup.TIMER,
    )
    url = f"{facts.s3.endpoint}/{facts.s3.bucket}" if facts.s3 else None
    return {
        "site": facts.site,
        "target": config.place,
        "host": target["member"]["name"],
        **({"url": url} if url else {}),
    }


def _backup(args: BackupArgs) -> Facts[backup.Backup]:
    values = {key: value for key, value in args.items() if key not in _SECRET}
    return Facts(backup.Backup, values, {"": "backup"})
