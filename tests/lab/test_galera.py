"""A database on a Galera cluster: from one server to three, its backups, and what is lost while a client writes.

The client keeps a ledger of its own (ledger.py): what it holds was acknowledged, and must be in the table for ever.
docs/runbook.md has the same commands.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import api
from tests.lab.backups import FIRST_RUN_S, VAULT, backed_up, wait_until_stored
from tests.lab.cluster import SERVERS, leave_alone, member, switch, synced, three, witnessed, writer
from tests.lab.fortress import PREFIX, Fortress, on, one_more_host
from tests.lab.verbs import asked
from tests.lab.writer import CLIENT, LEDGER, Writer, checks, table, takes_writes, until

KEEPER = "oslo-db2"
"""Makes the backups: the first one that does not take the writes at first."""
PORT = 51820
_CUT = f"""
add table inet cut
add chain inet cut in {{ type filter hook input priority -300; }}
add chain inet cut out {{ type filter hook output priority -300; }}
add rule inet cut in udp dport {PORT} drop
add rule inet cut out udp dport {PORT} drop
"""


@contextmanager
def cut_off(*hosts: str) -> Iterator[None]:
    """Nothing of the tunnel reaches these hosts, nor leaves them, for a while."""
    for host in hosts:
        on(host, f"nft -f - <<'END'{_CUT}END")
    try:
        yield
    finally:
        for host in hosts:
            on(host, "nft delete table inet cut")


def kept() -> str:
    """What the table that is no ledger has, by the one that takes the writes."""
    return on(writer(), "mariadb -N -e 'SELECT GROUP_CONCAT(n ORDER BY n) FROM app.kept'")


def refuses_writes(host: str) -> bool:
    return "ERROR 1047" in api.console(host, "mariadb app -e 'INSERT INTO kept VALUES (1000)'").stderr


def longest_gap() -> float:
    """Seconds without an acknowledged commit, at the most, of the ledger as it is."""
    times = [float(line.split()[1]) for line in on(CLIENT, f"cat {LEDGER}").splitlines()]
    return max(after - before for before, after in itertools.pairwise(times))


def nothing_is_lost(ledger: Writer, *hosts: str) -> None:
    """What was acknowledged is on each of them."""
    ledger.stop()
    for host in hosts:
        assert ledger.acknowledged() <= table(host), host


@pytest.fixture(scope="module")
def cluster(fortress: Fortress) -> Iterator[Fortress]:
    """The fortress on a cluster of three, whose first server had data before; at the end it is one server's again."""
    on("oslo-db", "mariadb app -e 'CREATE OR REPLACE TABLE kept (n INT PRIMARY KEY); INSERT INTO kept VALUES (1), (2)'")
    with one_more_host("oslo-db2"), one_more_host("oslo-db3"), fortress.changed(three):
        fortress.change(backed_up)
        on(KEEPER, f"mkdir {VAULT}")
        fortress.engine("config", "set", "--secret", f"{PREFIX}backup_password", "--", "a key for the lab's backups")
        fortress.up()
        yield fortress
        leave_alone(fortress, "oslo-db")
    on("oslo-db", "mariadb -e 'DROP TABLE IF EXISTS app.kept, app.ledger'")
    assert on("oslo-db", "mariadb -N -e 'SELECT @@read_only, @@wsrep_on'").split() == ["0", "0"]
    fortress.check_whole()


def test_members_of_a_cluster_that_was_one_server_have_all_of_it(cluster: Fortress) -> None:
    for host in SERVERS:
        assert on(host, "mariadb -N -e 'SELECT GROUP_CONCAT(n) FROM app.kept'") == "1,2"
    assert synced(*SERVERS)
    assert writer() == "oslo-db"
    cluster.check_whole(FIRST_RUN_S)  # the first backup reads back, and drills
    found = checks(cluster)
    assert found["cluster", "oslo-db2"]["value"] == 3
    assert found["flow_control", "oslo-db2"]["status"] == "ok"
    assert found["backup", KEEPER]["status"] == "ok"
    drift = cluster.command("drift", "--stack", "lab")
    assert drift.returncode == 0, drift.stdout


@pytest.mark.usefixtures("cluster")
def test_galera_listens_on_the_tunnel_alone_and_speaks_tls() -> None:
    for host, address in zip(SERVERS, ("10.100.0.1", "10.100.0.6", "10.100.0.7"), strict=True):
        listening = on(host, "ss -Hltn 'sport = :4567'").split()
        assert listening[3] == f"{address}:4567"
    said = on(
        "oslo-db2", "openssl s_client -connect 10.100.0.1:4567 -CAfile /etc/fortress/database/ca.pem 2>&1 </dev/null; :"
    )
    assert "Verification: OK" in said
    outside = api.console("oslo-web", "timeout 3 bash -c '</dev/tcp/10.100.0.1/4567'")
    assert outside.returncode != 0, "a worker has no way to it"


def test_a_switchover_and_a_change_of_all_members_lose_nothing_under_writes(cluster: Fortress) -> None:
    ledger = Writer()
    switch(cluster, "oslo-db2")
    ledger.goes_on()
    ledger.slowly()
    cluster.change(lambda settings: settings["database"].update(buffer_pool_mb=512))
    cluster.up()
    ledger.goes_on()
    until(lambda: synced(*SERVERS), "all are there again")
    nothing_is_lost(ledger, *SERVERS)
    assert on("oslo-db", "mariadb -N -e 'SELECT @@innodb_buffer_pool_size'") == str(512 << 20)


def test_another_member_takes_the_writes_of_one_that_is_lost(cluster: Fortress) -> None:
    switch(cluster, "oslo-db2")
    ledger = Writer()
    api.kill("oslo-db2")
    ledger.goes_on()
    # Measured at 7 s; a machine under load takes longer to see it.
    assert longest_gap() < 20
    ledger.slowly()
    assert writer() == "oslo-db"
    found = checks(cluster)["cluster", "oslo-db"]
    assert (found["status"], found["value"]) == ("fail", 2)
    api.start("oslo-db2")
    until(lambda: synced(*SERVERS), "the lost one is back")
    nothing_is_lost(ledger, *SERVERS)


def test_a_member_that_is_cut_off_refuses_writes_and_comes_back_by_what_it_missed(cluster: Fortress) -> None:
    switch(cluster, "oslo-db2")
    ledger = Writer()
    server = on("oslo-db2", "systemctl show -P MainPID mariadb")
    with cut_off("oslo-db2"):
        ledger.goes_on()
        ledger.slowly()
        assert writer() == "oslo-db"
        until(lambda: refuses_writes("oslo-db2"), "the side that is cut off knows it")
    until(lambda: synced(*SERVERS), "it is back")
    assert on("oslo-db2", "systemctl show -P MainPID mariadb") == server
    assert "IST received" in on("oslo-db2", f"journalctl _PID={server} -o cat")
    nothing_is_lost(ledger, *SERVERS)


def test_after_all_are_lost_the_newest_data_begin_whatever_another_member_says_of_being_safe(cluster: Fortress) -> None:
    """The way in which mariadb-operator#1701 lost data: an older member says `safe_to_bootstrap: 1`."""
    switch(cluster, "oslo-db")
    ledger = Writer()
    state = "/var/lib/mysql/grastate.dat"
    on("oslo-db2", f"systemctl stop mariadb; sed -i 's/^safe_to_bootstrap: 0/safe_to_bootstrap: 1/' {state}; sync")
    assert "safe_to_bootstrap: 1" in on("oslo-db2", f"cat {state}")
    ledger.goes_on()
    for host in SERVERS:
        api.kill(host)
    for host in SERVERS[:2]:
        api.start(host)
    recover = ("recover", "--stack", "lab", "--yes", "--timeout", "3")
    refused = cluster.command(*recover, timeout=300)
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "oslo-db3 may have commits that no other one has" in refused.stderr
    assert "oslo-db2: committed up to " in refused.stdout
    assert not any(member(host).get("ready") for host in SERVERS[:2]), "nobody began a cluster"
    done = cluster.command(*recover, "--without", "oslo-db3", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "oslo-db has most" in done.stdout
    assert "says that it is safe to begin with, which proves nothing" in done.stdout
    ledger.goes_on()
    ledger.slowly()
    api.start("oslo-db3")
    until(lambda: synced(*SERVERS), "all are there again")
    nothing_is_lost(ledger, *SERVERS)
    cluster.check_whole()


def test_two_servers_and_a_witness_survive_the_loss_of_one(cluster: Fortress) -> None:
    switch(cluster, "oslo-db2")
    cluster.change(witnessed)
    cluster.up()
    until(lambda: member("oslo-db").get("size") == 3, "the witness votes")
    assert api.console("oslo-db3", "systemctl is-active mariadb").stdout.strip() != "active"
    cluster.check_whole()
    switch(cluster, "oslo-db2")
    ledger = Writer()
    api.kill("oslo-db2")
    ledger.goes_on()
    ledger.slowly()
    assert writer() == "oslo-db"
    api.start("oslo-db2")
    until(lambda: synced(*SERVERS[:2]), "the lost one is back")
    nothing_is_lost(ledger, *SERVERS[:2])


def test_two_servers_and_their_witness_that_are_all_cut_apart_write_nowhere_and_go_on_by_themselves(
    cluster: Fortress,
) -> None:
    switch(cluster, "oslo-db2")
    ledger = Writer()
    with cut_off("oslo-db2"):
        ledger.goes_on()
        assert writer() == "oslo-db", "with the witness it is the majority"
        with cut_off("oslo-db"):
            until(lambda: all(refuses_writes(host) for host in SERVERS[:2]), "neither is a majority")
            until(lambda: not any(takes_writes(host) for host in SERVERS[:2]), "no client is sent to either")
    ledger.goes_on()
    ledger.slowly()
    until(lambda: synced(*SERVERS[:2]), "both are there again")
    assert member("oslo-db")["size"] == 3
    nothing_is_lost(ledger, *SERVERS[:2])


def test_a_backup_is_taken_beside_writes_and_restored_to_all_members(cluster: Fortress) -> None:
    switch(cluster, "oslo-db")
    ledger = Writer()
    taken = asked(cluster, "backup", "now")
    ledger.goes_on()
    # Measured at 0.2 s.
    assert longest_gap() < 5
    ledger.stop()
    on("oslo-db", "mariadb app -e 'REPLACE INTO kept VALUES (3)'")
    wait_until_stored(cluster, time.time())
    then = float(int(time.time()) + 1)
    wait_until_stored(cluster, then + 1)
    on("oslo-db", "mariadb app -e 'DELETE FROM kept; INSERT INTO kept VALUES (4); DROP TABLE ledger'")
    wait_until_stored(cluster, time.time())
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
    (before,) = {member(host)["cluster"] for host in SERVERS[:2]}

    with cut_off("oslo-db"):
        until(lambda: not synced(*SERVERS[:2]), "one is away")
        refused = cluster.command("restore", "--stack", "lab", "--overwrite", "--yes", timeout=240)
        assert refused.returncode == 1, refused.stdout + refused.stderr
        assert "nothing was changed: oslo-db is in no majority" in refused.stderr
    until(lambda: synced(*SERVERS[:2]), "it is back")
    assert kept() == "4"

    restored = asked(cluster, "restore", "--at", moment, "--overwrite", "--yes")
    assert (restored["reseeded"], restored["backup"]) == (["oslo-db"], taken["at"])
    until(lambda: synced(*SERVERS[:2]), "both have the restored data")
    assert kept() == "1,2,3"
    # Another cluster by its name for ever: what a member kept of the old one can never count as newer.
    (after,) = {member(host)["cluster"] for host in SERVERS[:2]}
    assert after != before
    for host in SERVERS[:2]:
        assert ledger.acknowledged() <= table(host)
    until(lambda: member("oslo-db")["size"] == 3, "the witness votes again")
    cluster.check_whole(FIRST_RUN_S)  # the next backup is taken by itself
