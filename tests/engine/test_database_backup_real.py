"""Backups by Debian's own mariadb-backup and restic, to a folder, a real SFTP server and a real S3 server.

A host of each release for a folder, where everything is tried; the others differ in how the target is reached.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fortress import backup
from fortress.access import Access, Account
from fortress.backup import Backup
from fortress.scripts.database_backup import LATE_S, Config, TargetSecrets, told
from lab.base.folders import RELEASES
from lab.image import images
from tests.engine.mariadb_host import WORKERS, Host
from tests.engine.test_accounts_real import push, state
from tests.engine.test_mariadb_real import serving

PASSWORD = "a key of more than 20 characters"
STORE = WORKERS[0]
"""Address of the target, here on the host's own loopback device."""
PROGRAM = str(backup.PROGRAM)
SHIPPED_WITHIN_S = 60.0
FIGURES_MB = int(os.environ.get("FORTRESS_BACKUP_MB", "16"))
"""Size of the data that figures are taken of: docs/measured.md has them of 1 GB."""
FOLDER: dict[str, Any] = {"site": "oslo", "directory": "/srv/figures"}
SECRETS = TargetSecrets(PASSWORD)


@dataclass(frozen=True)
class Keeper:
    """A host whose database is backed up."""

    host: Host

    def set_up(self, config: Config, secrets: TargetSecrets) -> None:
        """Write the two files."""
        self.host.write(str(backup.CONFIG), config.text())
        self.host.write(str(backup.SECRETS), secrets.text(), 0o600)

    def run(self, *words: str) -> dict[str, Any]:
        """A run that goes well; gives its facts."""
        said = self.host.check(PROGRAM, *words, timeout=120)
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def refused(self, *words: str) -> str:
        """A run that fails; gives its one line."""
        done = self.host.run(PROGRAM, *words, timeout=120)
        assert done.returncode == 1, done.stdout.decode()
        (line,) = done.stderr.decode().splitlines()
        return line.removeprefix("database-backup: ")

    def rows(self, query: str) -> list[list[str]]:
        return self.host.sql(f"USE app_1; {query}")

    @contextmanager
    def shipping(self) -> Iterator[Callable[[], None]]:
        """Binary logs are sent meanwhile; what is given waits until all are that there were."""
        enter = ["nsenter", f"--target={self.host.pid}", "--mount", "--net", "--pid", "--root", "--wd", "--"]
        sending = subprocess.Popen([*enter, "env", "-i", "PATH=/usr/sbin:/usr/bin", PROGRAM, "ship"])

        def sent() -> None:
            began = time.monotonic()
            while (found := self.run("state"))["position"] != _place(found["ship"]["ok"]):
                assert found["ship"]["failed"] is None, found
                assert time.monotonic() - began < SHIPPED_WITHIN_S, found
                time.sleep(0.2)

        try:
            yield sent
        finally:
            self.host.run("pkill", "-f", "database-backup ship")
            sending.wait()


def _place(logs: Mapping[str, Any] | None) -> list[Any] | None:
    return [logs["file"], logs["position"]] if logs else None


def config(**target: Any) -> Config:
    found = backup.config(Backup(site="oslo", ship_every_s=5, **target), "oslo-db")
    return replace(found, every_s=1)


MESH = "10.100.0.0/24"
ACCOUNTS = Access(
    databases=["app_1"],
    roles={"reader": {"app_1": ["SELECT"]}},
    accounts={
        "app": Account(networks=[MESH], privileges={"app_1": ["SELECT", "INSERT", "CREATE", "DROP"]}),
        "reports": Account(networks=[MESH], role="reader"),
    },
)


@pytest.fixture(scope="module", params=RELEASES)
def keeper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    with serving(tmp_path_factory.mktemp("backup"), request.param) as db:
        found = Keeper(_with_program(db))
        db.check("mkdir", "-p", "/srv/backup", "/etc/fortress")
        found.set_up(config(directory="/srv/backup"), TargetSecrets(PASSWORD))
        yield found


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    """A host beside which targets of other kinds run."""
    with serving(tmp_path_factory.mktemp("elsewhere"), RELEASES[0]) as db:
        db.check("mkdir", "-p", "/run/sshd", "/etc/fortress", "/srv")
        yield Keeper(_with_program(db))


def _with_program(db: Host) -> Host:
    push(db, ACCOUNTS)
    db.write(PROGRAM, backup.program(), 0o755)
    for folder in backup.FOLDERS:
        db.check("mkdir", "-p", "-m", "700", str(folder))
    db.sql(
        "CREATE TABLE app_1.people (id INT PRIMARY KEY, name VARCHAR(100)); INSERT INTO app_1.people VALUES (1, 'Kari')"
    )
    return db


def test_a_backup_and_its_logs_are_restored_to_any_second(keeper: Keeper) -> None:
    """One course of things, since each step needs those before."""
    keeper.host.check(PROGRAM, "init")
    taken = keeper.run("full")
    assert (taken["server"], taken["bytes"] > 1_000_000) == (
        keeper.host.sql("SELECT @@version")[0][0].partition("-")[0],
        True,
    )
    assert [each["stream"] for each in keeper.run("list")["backups"]] == [taken["stream"]]

    with keeper.shipping() as sent:
        keeper.rows("INSERT INTO people VALUES (2, 'Ola'); FLUSH BINARY LOGS; INSERT INTO people VALUES (3, 'Åse')")
        sent()
        then = _next_second()
        keeper.rows("DELETE FROM people; CREATE TABLE late (id INT)")
        sent()
    begin, end = keeper.run("list")["points"][0]
    assert begin < then < end

    # Nothing of a person leaves the host readable.
    assert keeper.host.run("grep", "-rqa", "-e", "Kari", "-e", "Ola", "/srv/backup").returncode == 1

    drilled = keeper.run("drill")
    assert {each["table"]: each["rows"] for each in drilled["tables"]} == {"app_1.late": 0, "app_1.people": 0}
    assert keeper.run("state")["drill"]["ok"]["tables"] == drilled["tables"]

    refused = keeper.refused("restore", "--at", told(then))
    assert "has data (2 tables" in refused
    assert "--overwrite" in refused
    assert keeper.rows("SELECT COUNT(*) FROM people") == [["0"]]
    assert "outside what is kept" in keeper.refused("restore", "--at", told(begin - 60), "--overwrite")

    keeper.host.write("/run/fortress-backup/deletions.sql", "DELETE FROM app_1.people WHERE name = 'Ola';\n")
    restored = keeper.run("restore", "--at", told(then), "--overwrite")
    assert restored["tables"] == [{"table": "app_1.people", "rows": 2}]
    assert restored["deleted"] == {"app_1.people": 1}
    assert keeper.rows("SELECT id FROM people ORDER BY id") == [["1"], ["3"]]
    assert state(keeper.host)["differences"] == [], "accounts and roles are as they were before"
    # The new data are a new line: older logs are not played on them, and nothing of the restore is left.
    assert keeper.run("full")["line"] != taken["line"]
    assert keeper.host.run("sh", "-c", "ls -d /var/lib/mysql/.fortress-* /var/lib/fortress-backup/*.*/").stdout == b""


@pytest.mark.parametrize("cut", ["while the old data left", "while the new ones came"])
def test_a_restore_that_was_cut_is_taken_back_by_the_next_one(keeper: Keeper, cut: str) -> None:
    keeper.host.check(PROGRAM, "init")
    keeper.rows("REPLACE INTO people VALUES (1, 'Kari')")
    keeper.run("full")
    keeper.rows("REPLACE INTO people VALUES (8, 'later')")
    keeper.host.check("systemctl", "stop", "mariadb.service")
    steps = {
        "while the old data left": "mkdir .fortress-leaving && mv ibdata1 mysql .fortress-leaving/",
        "while the new ones came": "mkdir .fortress-before && mv [!.d]* .fortress-before/; mkdir mysql; touch ibdata1",
    }
    keeper.host.check("sh", "-c", f"cd /var/lib/mysql && {steps[cut]}")
    # Without the word it is refused, by the old data, which are all there again.
    assert "has data (1 tables, such as app_1.people)" in keeper.refused("restore")
    assert keeper.rows("SELECT name FROM people WHERE id = 8") == [["later"]]
    keeper.rows("DELETE FROM people WHERE id = 8")


def test_deletions_that_fail_leave_the_data_as_they_are(keeper: Keeper) -> None:
    keeper.host.check(PROGRAM, "init")
    keeper.run("full")
    keeper.rows("INSERT INTO people VALUES (9, 'after')")
    keeper.host.write("/run/fortress-backup/deletions.sql", "DELETE FROM app_1.nowhere;\n")
    refused = keeper.refused("restore", "--overwrite")
    assert "the deletions cannot be applied, so nothing was restored" in refused
    assert "nowhere" in refused
    assert keeper.rows("SELECT COUNT(*) FROM people WHERE id = 9") == [["1"]]
    keeper.rows("DELETE FROM people WHERE id = 9")


def test_what_is_too_old_is_forgotten_with_its_data_and_the_rest_reads_back(keeper: Keeper) -> None:
    keeper.host.check(PROGRAM, "init")
    for _ in range(2):
        keeper.run("full")
    assert len(keeper.run("list")["backups"]) >= 2
    lines = {each["line"] for each in keeper.run("list")["backups"]}
    assert keeper.run("prune")["fulls"] == len(lines)  # all are of one day
    left = keeper.run("list")["backups"]
    assert {each["line"] for each in left} == lines
    # restic 0.14 names a new snapshot by the first eight digits of its id.
    assert {each["stream"][:8] for each in left} == {id_[:8] for id_ in _snapshots(keeper, "data", "stream")}
    keeper.run("daily")
    state = keeper.run("state")
    assert state["check"]["ok"]
    assert not state["check"]["failed"]
    # What lies there is encrypted; the server's own files are not.
    stored = state["check"]["ok"]["stored"]
    assert (stored["begins"], stored["entropy"] > 7.9, stored["sample"] > 4096) == ("", True, True), stored
    assert len(keeper.run("list")["backups"]) == len(lines)


def test_damage_at_the_target_is_found_when_it_is_read_back(keeper: Keeper) -> None:
    keeper.host.check(PROGRAM, "init")
    keeper.run("full")
    keeper.host.check("sh", "-c", "cp -a /srv/backup /srv/kept && find /srv/backup/data/data -type f -delete")
    keeper.refused("daily")
    state = keeper.run("state")
    assert state["check"]["failed"]["why"].startswith("directory /srv/backup: ")
    keeper.host.check(
        "sh", "-c", "rm -rf /srv/backup && mv /srv/kept /srv/backup && rm -rf /var/cache/fortress-backup/*"
    )


def test_a_server_that_fails_on_the_way_leaves_no_backup(keeper: Keeper) -> None:
    keeper.host.check(PROGRAM, "init")
    before = _snapshots(keeper, "data", "stream")
    keeper.host.write(
        "/usr/local/bin/mariadb-backup", "#!/bin/sh\nhead -c 3000000 /dev/urandom; echo broken >&2; exit 1\n", 0o755
    )
    keeper.host.check(
        "sh",
        "-c",
        "mv /usr/bin/mariadb-backup /usr/bin/mariadb-backup.kept; mv /usr/local/bin/mariadb-backup /usr/bin/",
    )
    try:
        assert keeper.refused("full") == "mariadb-backup failed: broken"
    finally:
        keeper.host.check("mv", "/usr/bin/mariadb-backup.kept", "/usr/bin/mariadb-backup")
    assert _snapshots(keeper, "data", "stream") == before
    assert keeper.run("state")["full"]["failed"]["why"] == "mariadb-backup failed: broken"


def test_a_wrong_key_a_missing_folder_and_a_full_target_are_said_in_one_line(keeper: Keeper) -> None:
    keeper.host.check(PROGRAM, "init")
    good, right = config(directory="/srv/backup"), TargetSecrets(PASSWORD)
    keeper.set_up(good, TargetSecrets("another key of 20 characters"))
    for verb in ("init", "full", "list"):
        assert "backup_password is not the key of this repository" in keeper.refused(verb)
    keeper.set_up(config(directory="/srv/nowhere"), right)
    assert keeper.refused("init") == "directory /srv/nowhere: the folder is not there; mount or create it"
    keeper.host.check("sh", "-c", "mkdir -p /srv/small && mount -t tmpfs -o size=700k tmpfs /srv/small")
    keeper.set_up(config(directory="/srv/small"), right)
    keeper.host.check(PROGRAM, "init")
    assert keeper.refused("full") == "directory /srv/small: the target is full; make room there"
    assert keeper.run("list")["backups"] == []
    keeper.host.check("umount", "/srv/small")
    keeper.set_up(good, right)


def _next_second() -> float:
    """A whole second that lies between what was committed before, and what will be after."""
    then = float(int(time.time()) + 1)
    while time.time() < then + 1:
        time.sleep(0.05)
    return then


def _snapshots(keeper: Keeper, part: str, tag: str) -> list[str]:
    found = Config.read((keeper.host.root / "etc/fortress/backup.json").read_text())
    words = ("restic", "--no-cache", "--repo", found.repository(part), "snapshots", "--json", "--tag", tag)
    said = keeper.host.check("env", f"RESTIC_PASSWORD={PASSWORD}", *words)
    return [each["id"] for each in json.loads(said)]


# --- SFTP and S3 ------------------------------------------------------------------------------------------------------


@contextmanager
def sftp(keeper: Keeper) -> Iterator[tuple[str, str]]:
    """A real sshd; gives the private key of its user, and its host key."""
    host = keeper.host
    host.check("sh", "-c", "rm -f /etc/ssh/own* /root/own*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/own")
    host.check(
        "sh",
        "-c",
        "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/own-user; usermod -p '*' keeper; "
        "install -d -o keeper /home/keeper/store",
    )
    user = "/home/keeper/.ssh"
    host.check(
        "sh",
        "-c",
        f"install -d -m 700 -o keeper {user}; install -m 600 -o keeper /etc/ssh/own-user.pub {user}/authorized_keys",
    )
    words = [
        "-f",
        "/dev/null",
        "-h",
        "/etc/ssh/own",
        "-o",
        f"ListenAddress={STORE}",
        "-o",
        "Subsystem=sftp internal-sftp",
    ]
    host.check("/usr/sbin/sshd", *words, "-o", "PidFile=/run/own.pid")
    try:
        yield (
            (host.root / "etc/ssh/own-user").read_text(),
            (host.root / "etc/ssh/own.pub").read_text().rsplit(" ", 1)[0],
        )
    finally:
        host.run("sh", "-c", "kill $(cat /run/own.pid)")


def sftp_config(host_key: str) -> Config:
    return config(sftp={"address": STORE, "user": "keeper", "path": "/home/keeper/store", "host_key": host_key})


def test_a_target_by_sftp_with_its_pinned_key(elsewhere: Keeper) -> None:
    with sftp(elsewhere) as (key, host_key):
        elsewhere.set_up(sftp_config(host_key), TargetSecrets(PASSWORD, sftp_key=key))
        elsewhere.host.check(PROGRAM, "init")
        _in_and_out(elsewhere)

        stranger = (elsewhere.host.root / "etc/ssh/own-user.pub").read_text().rsplit(" ", 1)[0]
        elsewhere.set_up(sftp_config(stranger), TargetSecrets(PASSWORD, sftp_key=key))
        assert "another host key than the pinned one, so nothing was sent" in elsewhere.refused("list")

        own = (elsewhere.host.root / "etc/ssh/own").read_text()
        elsewhere.set_up(sftp_config(host_key), TargetSecrets(PASSWORD, sftp_key=own))
        assert "refuses backup_sftp_key" in elsewhere.refused("list")
    assert f"does not answer on {STORE}:22 (connection refused)" in elsewhere.refused("full")


@contextmanager
def s3(keeper: Keeper) -> Iterator[None]:
    """A real S3 server, on a folder."""
    host = keeper.host
    host.check("mkdir", "-p", "/srv/s3/vault")
    (host.root / "usr/bin/versitygw").write_bytes(images.s3_server().read_bytes())
    (host.root / "usr/bin/versitygw").chmod(0o755)
    keys = "ROOT_ACCESS_KEY=theid ROOT_SECRET_KEY=thesecret"
    host.check(
        "sh",
        "-c",
        f"{keys} setsid versitygw --port {STORE}:7070 posix /srv/s3 >/run/s3.log 2>&1 & echo $! >/run/s3.pid",
    )
    began = time.monotonic()
    while True:
        try:
            host.dial(STORE, 7070).close()
            break
        except OSError:
            assert time.monotonic() - began < 60, (host.root / "run/s3.log").read_text()
            time.sleep(0.1)
    try:
        yield
    finally:
        host.run("pkill", "versitygw")


def test_a_target_by_s3(elsewhere: Keeper) -> None:
    there = config(
        s3={"endpoint": f"http://{STORE}:7070", "bucket": "vault", "prefix": "oslo", "access_key_id": "theid"}
    )
    with s3(elsewhere):
        elsewhere.set_up(there, TargetSecrets(PASSWORD, "thesecret"))
        elsewhere.host.check(PROGRAM, "init")
        _in_and_out(elsewhere)
        elsewhere.set_up(there, TargetSecrets(PASSWORD, "another secret"))
        assert "the target denies access" in elsewhere.refused("list")
    assert "does not answer" in elsewhere.refused("full")


def _in_and_out(keeper: Keeper) -> None:
    keeper.rows("REPLACE INTO people VALUES (1, 'Kari')")
    keeper.run("full")
    with keeper.shipping() as sent:
        keeper.rows("REPLACE INTO people VALUES (2, 'Ola')")
        sent()
    drilled = keeper.run("drill")
    assert {each["table"]: each["rows"] for each in drilled["tables"]} == {"app_1.people": 2}
    keeper.rows("DELETE FROM people WHERE id = 2")


def test_a_commit_is_stored_within_a_minute_and_what_a_backup_takes(elsewhere: Keeper) -> None:
    """The interval is the default one, so a commit right after a look waits longest."""
    host = elsewhere.host
    host.check("mkdir", "-p", "/srv/figures")
    elsewhere.set_up(replace(config(directory="/srv/figures"), every_s=Backup(**FOLDER).ship_every_s), SECRETS)
    host.check(PROGRAM, "init")
    elsewhere.rows("CREATE TABLE big (id INT AUTO_INCREMENT PRIMARY KEY, a VARBINARY(1024))")
    for _ in range(-(-FIGURES_MB // 8)):
        elsewhere.rows("SET sql_log_bin = 0; INSERT INTO big (a) SELECT RANDOM_BYTES(1024) FROM seq_1_to_8192")
    first = elsewhere.run("full")
    elsewhere.rows("SET sql_log_bin = 0; UPDATE big SET a = RANDOM_BYTES(1024) WHERE id <= 8")
    second = elsewhere.run("full")
    assert second["added"] < first["added"] / 2
    with elsewhere.shipping() as sent:
        sent()
        # Right after a look at the binary log, so it waits for a whole interval.
        elsewhere.rows("REPLACE INTO people VALUES (7, 'now')")
        began = time.monotonic()
        sent()
        stored_s = time.monotonic() - began
    assert stored_s <= LATE_S
    drilled = elsewhere.run("drill")
    megabytes = first["bytes"] / 1e6
    print(
        f"a commit right after a look at the binary log is stored elsewhere after {stored_s:.1f} s\n"
        f"backup of {megabytes:.0f} MB: {megabytes / first['seconds']:.0f} MB/s; the next, with 8 rows changed: "
        f"{second['added'] / 1e6:.0f} MB new, {megabytes / second['seconds']:.0f} MB/s\n"
        f"restored, with the binary logs played and all rows read: {megabytes / drilled['restore_s']:.0f} MB/s"
    )
    elsewhere.rows("DROP TABLE big; DELETE FROM people WHERE id = 7")


def test_the_command_that_asks_takes_what_the_host_says(keeper: Keeper) -> None:
    assert Path(backup.STATE[0]) == backup.PROGRAM
    assert set(keeper.run(*backup.STATE[1:])) >= {
        "now",
        "target",
        "full",
        "ship",
        "check",
        "drill",
        "position",
        "running",
    }
