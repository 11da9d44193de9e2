"""Which data a server may have, by what Debian's two releases of MariaDB leave on the disk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fortress.cli.base.result import Result
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.verify import verdicts
from fortress.scripts.mariadb_data import ended_in_order, written_by
from tests.engine.mariadb_host import Host, host

SMALL_LOG = "[mariadbd]\ninnodb_log_file_size = 4M\nlog_bin = binlog\n"
FILL = 'USE d; INSERT INTO t (s) SELECT REPEAT("x", 200) FROM seq_1_to_10000;'
"""More than half of the ring."""
MAY_HAVE = ("may-have", "/var/lib/mysql")


@contextmanager
def having(work: Path, release: str, data: Path | None = None) -> Iterator[Host]:
    """A host of a release, with these data of another one."""
    with host(work, release) as running:
        running.write("/etc/mysql/mariadb.conf.d/95-small.cnf", SMALL_LOG)
        if data is not None:
            shutil.rmtree(work / "data" / "mysql")
            subprocess.run(["find", work / "data", "-mindepth", "1", "-delete"], check=True)
            subprocess.run(["cp", "-a", f"{data}/.", work / "data"], check=True)
            running.check("chown", "-R", "mysql:mysql", "/var/lib/mysql")
        yield running


def release(db: Host) -> Check:
    """What `fortress verify` says of it."""
    done = db.run(*verdicts.ASK_RELEASE)
    result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    return verdicts.database_release(Check(Kind.DATABASE_RELEASE, "oslo-db", limit="upgraded"), result)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data of 10.11: as after a stop in order, and as after a machine that was lost, several times each."""
    work = tmp_path_factory.mktemp("older")
    found = {}

    def keep(name: str) -> None:
        found[name] = work / name
        subprocess.run(["cp", "-a", work / "host" / "data", found[name]], check=True)

    with having(work / "host", "bookworm") as db:
        keep("new")
        for number in range(4):
            db.check("systemctl", "start", "mariadb.service")
            if number == 0:
                db.sql("CREATE DATABASE d; CREATE TABLE d.t (i INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(200));")
            db.sql(FILL)
            db.check("pkill", "-KILL", "-x", "mariadbd")
            db.check("sh", "-c", "while pgrep -x mariadbd; do sleep 0.1; done")
            keep(f"lost {number}")
            db.check("systemctl", "start", "mariadb.service")
            db.sql(FILL)
            db.check("systemctl", "stop", "mariadb.service")
            keep(f"stopped {number}")
    return found


def test_a_stop_in_order_is_told_from_a_lost_machine(older: dict[str, Path]) -> None:
    """In each round of the ring, whatever an earlier one left there."""
    assert {name: ended_in_order(data / "ib_logfile0") for name, data in older.items()} == {
        name: not name.startswith("lost") for name in older
    }
    assert {written_by(data) for data in older.values()} == {(10, 11)}


def test_a_newer_server_gets_them_only_in_order_and_by_a_word(older: dict[str, Path], tmp_path: Path) -> None:
    with having(tmp_path / "lost", "trixie", older["lost 2"]) as db:
        before = db.check("sh", "-c", "ls -lR --time-style=full-iso /var/lib/mysql | sha256sum")
        said = db.refused("mariadb-data", *MAY_HAVE, "11.8")
        assert "are of MariaDB 10.11, and this host's is 11.8, but they were not shut down in order" in said
        assert db.check("sh", "-c", "ls -lR --time-style=full-iso /var/lib/mysql | sha256sum") == before
    with having(tmp_path / "newer", "trixie", older["stopped 2"]) as db:
        assert 'or say by database.upgrade_to: "11.8"' in db.refused("mariadb-data", *MAY_HAVE)
        db.script("mariadb-data", *MAY_HAVE, "11.8")
        assert db.script("mariadb-data", "upgraded") == "MariaDB does not answer, so it was not asked\n"
        db.check("systemctl", "start", "mariadb.service")
        assert release(db).status is Status.FAIL
        assert db.script("mariadb-data", "upgraded").startswith("the system's tables were upgraded to 11.8.")
        assert db.script("mariadb-data", "upgraded") == "the system's tables are of the server's release\n"
        assert release(db).status is Status.OK
        assert db.sql("SELECT COUNT(*) FROM d.t;") == [["60000"]]
        db.script("mariadb-data", *MAY_HAVE)
        db.check("pkill", "-KILL", "-x", "mariadbd")
        db.script("mariadb-data", *MAY_HAVE)
        shutil.copytree(tmp_path / "newer" / "data", tmp_path / "upgraded", symlinks=True)
    with having(tmp_path / "back", "bookworm", tmp_path / "upgraded") as db:
        assert "are of MariaDB 11.8, and this host's is 10.11, which must not have them" in db.refused(
            "mariadb-data", *MAY_HAVE, "10.11"
        )


@pytest.mark.parametrize("debian", ["bookworm", "trixie"])
def test_a_new_server_needs_no_upgrade(debian: str, tmp_path: Path) -> None:
    with having(tmp_path / "host", debian) as db:
        db.script("mariadb-data", *MAY_HAVE)
        assert release(db).status is Status.UNKNOWN
        db.check("systemctl", "start", "mariadb.service")
        assert db.script("mariadb-data", "upgraded") == "the system's tables are of the server's release\n"
        found = release(db)
        assert (found.status, str(found.value)[: len(db.version)]) == (Status.OK, db.version)
