"""A second database server on the standing fortress: seeded, switched over to, promoted, backed up by, restored with,
and made a member of a cluster, while a client writes.

The client keeps a ledger of its own (ledger.py): what it holds was acknowledged, and must be in the table of the server
that takes the writes. docs/runbook.md has the same commands.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from lab import api
from tests.lab.backups import FIRST_RUN_S, VAULT, backed_up, newest_point, wait_until_stored
from tests.lab.cluster import leave_alone, member, synced, three, witnessed
from tests.lab.fortress import PREFIX, Fortress, Settings, on, one_more_host
from tests.lab.verbs import asked
from tests.lab.writer import STATE, Writer, checks, table, takes_writes, until
from tests.unit.test_replication import ROLE_FLOW

LAG_S = 3.0
SECOND = {"site": "oslo", "role": "database", "slot": 6, "address": "192.0.2.14", "memory_mb": 1024}


def lag(host: str) -> float:
    """What a copy says of it."""
    return float(json.loads(on(host, STATE))["lag_s"])


def with_a_copy(settings: Settings) -> None:
    settings["hosts"]["oslo-db2"] = SECOND
    settings["mesh"]["hubs"] = ["oslo-db", "oslo-db2", "oslo-edge"]
    settings["database"] |= {"mode": "replica", "primary": "oslo-db"}
    settings["sovereignty"]["flows"]["frankfurt-database-role"] = ROLE_FLOW


@pytest.fixture(scope="module")
def copied(fortress: Fortress) -> Iterator[Fortress]:
    """The fortress with a copy of its database, which had data before; at the end it is one server's again."""
    on("oslo-db", "mariadb -e 'CREATE TABLE app.kept (n INT PRIMARY KEY); INSERT INTO app.kept VALUES (1), (2)'")
    with one_more_host("oslo-db2"), one_more_host("oslo-db3"), fortress.changed(with_a_copy):
        setting = "data-fortress:database_replication_password"
        fortress.engine("config", "set", "--secret", setting, "replication")
        fortress.up()
        yield fortress
        if member("oslo-db"):
            leave_alone(fortress, "oslo-db")
        # What is left is the server that is named as the primary.
        elif not takes_writes("oslo-db"):
            done = fortress.command("switchover", "--to", "oslo-db", "--stack", "lab")
            assert done.returncode == 0, done.stdout + done.stderr
    on("oslo-db", "mariadb -e 'DROP TABLE IF EXISTS app.kept, app.ledger'")
    assert on("oslo-db", "mariadb -N -e 'SELECT @@read_only'") == "0"
    fortress.check_whole()


def test_a_copy_of_a_standing_database_has_all_of_it(copied: Fortress) -> None:
    assert on("oslo-db2", "mariadb -N -e 'SELECT GROUP_CONCAT(n) FROM app.kept'") == "1,2"
    assert on("oslo-db2", "mariadb -N -e 'SELECT @@read_only'") == "1"
    copied.check_whole()
    found = checks(copied)
    assert found["database_primary", "oslo-db"]["value"] == "oslo-db"
    assert found["semi_sync", "oslo-db"]["status"] == "ok"
    assert found["replication", "oslo-db2"]["status"] == "ok"


def test_lag_is_seen_where_the_servers_own_figure_says_nothing(copied: Fortress) -> None:
    """With what arrived not applied, and with nothing arriving; it is the age of what is missing: somebody writes."""
    writer = Writer()
    writer.slowly()
    for thread in ("SQL_THREAD", "IO_THREAD"):
        on("oslo-db2", f"mariadb -e 'STOP SLAVE {thread}'")
        until(lambda: lag("oslo-db2") > LAG_S, f"no lag without {thread}")
        assert "Seconds_Behind_Master: NULL" in on("oslo-db2", "mariadb -e 'SHOW ALL SLAVES STATUS\\G'")
        on("oslo-db2", "mariadb -e 'START SLAVE'")
        until(lambda: lag("oslo-db2") < 1, f"it does not catch up with {thread}")
    writer.stop()
    until(lambda: table("oslo-db2") == table("oslo-db"), "the copy has all")
    until(lambda: checks(copied)["semi_sync", "oslo-db"]["status"] == "ok", "commits wait for the copy again")


def test_the_account_of_copies_may_read_the_binary_log_and_no_more(copied: Fortress) -> None:
    for host in copied.facts()["database"]["servers"]:
        grants = on(host, "mariadb -N -e \"SHOW GRANTS FOR '_replica'@'10.100.0.0/255.255.255.0'\"")
        assert grants.startswith("GRANT REPLICATION SLAVE ON *.* TO ")
        assert "REQUIRE SSL" in grants
        assert len(grants.splitlines()) == 1


def test_a_switchover_under_writes_loses_nothing_and_the_next_up_does_not_undo_it(copied: Fortress) -> None:
    writer = Writer()
    done = copied.command("switchover", "--to", "oslo-db2", "--stack", "lab")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "oslo-db2 takes the writes, and every other server follows it" in done.stdout
    writer.goes_on()
    writer.slowly()
    copied.up()
    assert takes_writes("oslo-db2")
    assert not takes_writes("oslo-db")
    writer.stop()
    assert writer.acknowledged() <= table("oslo-db2")
    until(lambda: table("oslo-db") == table("oslo-db2"), "the former primary follows")
    again = copied.command("switchover", "--to", "oslo-db2", "--stack", "lab")
    assert (again.returncode, "takes the writes already" in again.stderr) == (1, True)


def test_a_server_that_takes_writes_refuses_to_restart_before_its_copies(copied: Fortress) -> None:
    """oslo-db2 does, and the settings name oslo-db: the restart of oslo-db2 would come first."""
    copied.change(lambda settings: settings["database"].update(buffer_pool_mb=512))
    said = copied.pulumi("up", "--yes", "--skip-preview")
    assert said.returncode != 0
    assert "set database.primary: oslo-db2" in said.stdout
    assert takes_writes("oslo-db2")
    copied.change(lambda settings: settings["database"].update(primary="oslo-db2"))
    copied.up()
    assert takes_writes("oslo-db2")
    copied.check_whole()


def test_a_lost_primary_is_replaced_by_a_promotion_and_does_not_take_writes_when_it_is_back(copied: Fortress) -> None:
    writer = Writer()
    api.kill("oslo-db2")
    refused = copied.command("promote", "oslo-db", "--stack", "lab", "--timeout", "3")
    assert refused.returncode == 1
    assert "Its commits waited for a copy then, so none that was acknowledged is lost" in refused.stdout
    assert not takes_writes("oslo-db"), "nobody was asked"
    done = copied.command("promote", "oslo-db", "--stack", "lab", "--yes", "--timeout", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    writer.goes_on()
    writer.slowly()
    api.start("oslo-db2")
    until(lambda: "follows oslo-db" in api.console("oslo-db2", STATE).stdout, "the former primary follows")
    assert not takes_writes("oslo-db2")
    writer.stop()
    assert writer.acknowledged() <= table("oslo-db")
    # What nobody else had received when the plug was pulled is no part of the data, and stays on that disk alone.
    if checks(copied)["replication", "oslo-db2"]["status"] != "ok":
        assert not (table("oslo-db2") - table("oslo-db")) & writer.acknowledged()
    done = copied.command("reseed", "oslo-db2", "--stack", "lab", "--yes", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    copied.check_whole()
    until(lambda: table("oslo-db2") == table("oslo-db"), "the copy has all")


def test_a_primary_that_restarts_alone_stays_read_only(copied: Fortress) -> None:
    """The one that is silent might have been promoted."""
    api.kill("oslo-db2")
    on("oslo-db", "systemctl restart mariadb")
    until(lambda: "stays read-only until it knows" in api.console("oslo-db", STATE).stdout, "it says why")
    found = checks(copied)["database_primary", "oslo-db2"]
    assert found["status"] != "ok"
    api.start("oslo-db2")
    until(lambda: takes_writes("oslo-db"), "both are there")
    copied.check_whole()


def test_a_copy_makes_the_backups_and_both_servers_get_what_is_restored(copied: Fortress) -> None:
    before = copied.file.read_text()
    on("oslo-db2", f"mkdir {VAULT}")
    copied.change(lambda settings: settings["database"].update(primary="oslo-db"))
    copied.change(backed_up)
    copied.engine("config", "set", "--secret", f"{PREFIX}backup_password", "--", "a key for the lab's backups")
    assert "db-oslo-db2-backup.timer" in copied.up()
    copied.check_whole(FIRST_RUN_S)  # the first backup reads back, and drills

    writer = Writer()
    taken = asked(copied, "backup", "now")
    writer.goes_on()
    writer.stop()
    on("oslo-db", "mariadb app -e 'REPLACE INTO kept VALUES (3)'")
    wait_until_stored(copied, time.time())
    then = float(int(time.time()) + 1)
    wait_until_stored(copied, then + 1)
    # What the copy lacks does not pass for stored.
    on("oslo-db2", "mariadb -e 'STOP SLAVE SQL_THREAD'")
    on("oslo-db", "mariadb app -e 'DELETE FROM kept; INSERT INTO kept VALUES (4); DROP TABLE ledger'")
    gone = time.time()
    until(lambda: lag("oslo-db2") > 12, "twice the time between two looks at the binary log")
    assert newest_point(copied) < gone
    on("oslo-db2", "mariadb -e 'START SLAVE'")
    until(lambda: newest_point(copied) > gone, "all of it is stored once the copy has it")

    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
    on("oslo-db", "systemctl stop mariadb")
    refused = copied.command("restore", "--stack", "lab", "--overwrite", "--yes", timeout=240)
    assert (refused.returncode, "nothing was changed: oslo-db does not answer" in refused.stderr) == (1, True)
    on("oslo-db", "systemctl start mariadb")
    until(lambda: takes_writes("oslo-db"), "it is back")
    restored = asked(copied, "restore", "--at", moment, "--overwrite", "--yes")
    assert (restored["reseeded"], restored["backup"]) == (["oslo-db"], taken["at"])
    assert takes_writes("oslo-db2")
    for host in ("oslo-db", "oslo-db2"):
        assert on(host, "mariadb -N -e 'SELECT GROUP_CONCAT(n) FROM app.kept'") == "1,2,3"
        assert writer.acknowledged() <= table(host)
    copied.check_whole(FIRST_RUN_S)  # the next backup is taken by itself

    done = copied.command("switchover", "--to", "oslo-db", "--stack", "lab")
    assert done.returncode == 0, done.stdout + done.stderr
    on("oslo-db", "mariadb -e 'DELETE FROM app.kept WHERE n = 3'")
    copied.file.write_text(before)


def test_copies_become_a_cluster_and_lose_nothing(copied: Fortress) -> None:
    """With the third vote on a host without data, so that what the two servers have is all that there is."""
    writer = Writer()
    writer.slowly()
    copied.change(three)
    copied.change(witnessed)
    copied.up()
    writer.goes_on()
    until(lambda: synced("oslo-db", "oslo-db2"), "both are members")
    assert member("oslo-db")["size"] == 3
    writer.stop()
    for host in ("oslo-db", "oslo-db2"):
        assert writer.acknowledged() <= table(host)
        assert on(host, "mariadb -N -e 'SELECT GROUP_CONCAT(n) FROM app.kept'") == "1,2"
    copied.check_whole()
