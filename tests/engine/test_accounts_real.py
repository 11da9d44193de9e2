"""Several applications on Debian's MariaDB: their databases, accounts and roles, passwords that overlap, and how a
server that other hands changed is told from one that stands as set."""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import pymysql  # type: ignore[import-untyped]
import pytest

from fortress import access
from fortress.access import Access, Account
from lab.base.folders import RELEASES
from tests.engine.mariadb_host import STRANGER, WORKERS, Host
from tests.engine.test_mariadb_real import FOLDER, refused, serving, verified
from tests.unit.facts import changed_facts

MESH = "10.100.0.0/24"
SHOP = Access(
    databases=["app", "orders_1"],
    roles={"reader": {"app": ["SELECT"], "orders_1": ["SELECT"]}},
    accounts={
        "app": Account(networks=[MESH], privileges={"app": ["SELECT", "INSERT", "CREATE"]}),
        "billing": Account(
            networks=[f"{WORKERS[0]}/32", "10.100.0.128/25"],
            privileges={"orders_1": ["SELECT", "INSERT", "CREATE"]},
            role="reader",
        ),
        "reports": Account(networks=[MESH], role="reader"),
    },
    old_passwords="overlap",
)
BILLING = f"'billing'@'{WORKERS[0]}/255.255.255.255'"


@pytest.fixture(scope="module", params=RELEASES)
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with serving(tmp_path_factory.mktemp("mariadb"), request.param) as running:
        yield running


@pytest.fixture
def tls(db: Host) -> ssl.SSLContext:
    return verified((db.root / FOLDER[1:] / "ca.pem").read_text())


@functools.cache
def take(db: Host, text: str) -> None:
    """The file that was written is taken by its check, which reads nothing else: once for each text."""
    assert (db.root / access.PATH[1:]).read_text() == text
    db.script("mariadb-access", "check", access.PATH)


def push(db: Host, wanted: Access = SHOP, **passwords: str) -> list[str]:
    """Put the file and make the server as it says; gives what that changed."""
    text = access.render(wanted)
    db.write(access.PATH, text)
    take(db, text)
    sent = access.passwords({name: passwords.get(name, f"of {name}") for name in wanted.accounts})
    return db.script("mariadb-access", *access.ensure(text)[1:], stdin=sent.encode()).splitlines()[:-1]


def settled(db: Host, wanted: Access = SHOP, **passwords: str) -> None:
    """The same from whatever another test left."""
    db.script("mariadb-access", "remove")
    push(db, wanted, **passwords)


def state(db: Host) -> dict[str, Any]:
    """What the server says of its accounts."""
    found: dict[str, Any] = json.loads(db.script("mariadb-access", "state"))
    return found


def denied() -> Any:
    return refused(pymysql.err.MySQLError, "denied|not allowed")


def test_each_application_has_its_own(db: Host, tls: ssl.SSLContext) -> None:
    settled(db)
    assert push(db) == [], "the second run changes nothing"
    with db.connect("app", b"of app", tls) as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS app.t (i INT)")
        with denied():
            cursor.execute("SELECT * FROM orders_1.t")
    with db.connect("billing", b"of billing", tls, source=WORKERS[0]) as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS orders_1.t (i INT)")
        cursor.execute("INSERT INTO orders_1.t VALUES (1)")
        cursor.execute("SELECT * FROM app.t")  # by its role, which it has from its login on
        with denied():
            cursor.execute("INSERT INTO app.t VALUES (1)")
        with denied():
            cursor.execute("GRANT reader TO app")
    with db.connect("reports", b"of reports", tls) as cursor:
        cursor.execute("SELECT * FROM orders_1.t")
        with denied():
            cursor.execute("DELETE FROM orders_1.t")
    for source in (WORKERS[1], STRANGER):
        with denied(), db.connect("billing", b"of billing", tls, source=source):
            pass
    with denied(), db.connect("billing", b"of app", tls, source=WORKERS[0]):
        pass
    assert state(db) == {"accounts": 4, "differences": [], "others": [], "passwords": True}


def test_an_account_and_a_role_that_left_the_settings_are_gone(db: Host, tls: ssl.SSLContext) -> None:
    settled(db)
    with db.connect("billing", b"of billing", tls, source=WORKERS[0]) as cursor:
        few = changed_facts(SHOP, roles={}, accounts={"app": SHOP.accounts["app"]})
        said = push(db, few)
        assert sorted(said) == [
            "dropped account billing of 10.100.0.128/255.255.255.128",
            f"dropped account billing of {WORKERS[0]}/255.255.255.255",
            "dropped account reports of 10.100.0.0/255.255.255.0",
            "dropped role reader",
        ]
        with refused(pymysql.err.MySQLError, "Lost connection|gone away|killed"):
            cursor.execute("SELECT 1")
    assert db.sql("SHOW DATABASES LIKE 'orders%';") == [["orders_1"]], "data stay"
    assert state(db) == {"accounts": 1, "differences": [], "others": [], "passwords": True}


def test_what_a_role_loses_closes_the_connections_that_have_it(db: Host, tls: ssl.SSLContext) -> None:
    settled(db)
    with db.connect("reports", b"of reports", tls) as cursor, db.connect("app", b"of app", tls) as other:
        narrow = changed_facts(SHOP, roles={"reader": {"app": ["SELECT"]}})
        assert push(db, narrow) == ["revoked from role reader on orders_1: SELECT"]
        with refused(pymysql.err.MySQLError, "Lost connection|gone away|killed"):
            cursor.execute("SELECT * FROM orders_1.t")
        other.execute("SELECT 1")


BY_HAND: dict[str, dict[str, str]] = {
    "more privileges": {
        f"GRANT DELETE ON `orders\\_1`.* TO {BILLING};": "has DELETE on orders_1, too",
        f"GRANT SELECT ON mysql.* TO {BILLING};": "has SELECT on mysql, too",
        f"GRANT SELECT ON *.* TO {BILLING};": "has SELECT ON *.*, too",
        f"GRANT SELECT ON app.* TO {BILLING} WITH GRANT OPTION;": "has SELECT ON `app`.* WITH GRANT OPTION, too",
        f"GRANT SELECT (User) ON mysql.global_priv TO {BILLING};": "has SELECT (`User`) ON `mysql`.`global_priv`, too",
        f"CREATE ROLE power; GRANT power TO {BILLING};": "has `power`, too",
        "GRANT DELETE ON app.* TO reader;": "role reader has DELETE on app, too",
        "GRANT SELECT ON mysql.* TO PUBLIC;": "everybody may: SELECT ON `mysql`.*",
    },
    "fewer privileges": {
        f"REVOKE INSERT ON `orders\\_1`.* FROM {BILLING};": "lacks INSERT on orders_1",
        f"REVOKE reader FROM {BILLING};": "has the role none in place of reader",
        "REVOKE SELECT ON app.* FROM reader;": "role reader lacks SELECT on app",
    },
    "another role and another password": {
        f"CREATE ROLE power; GRANT power TO {BILLING}; SET DEFAULT ROLE power FOR {BILLING};": "has the role power",
        f"ALTER USER {BILLING} IDENTIFIED BY 'by hand';": "has another password than `pulumi up` gave it",
    },
    "more accounts, and one without TLS": {
        "CREATE USER billing@'%' IDENTIFIED BY 'by hand';": "billing may come from %, too",
        "CREATE USER root@'%' IDENTIFIED BY 'by hand';": "root may come from %, too",
        "CREATE USER ''@'%';": "an account without a name may come from %, too",
        f"ALTER USER {BILLING} REQUIRE NONE;": "has other terms: WITH MAX_USER_CONNECTIONS 200",
    },
    "a lock, and another way in": {
        f"ALTER USER {BILLING} ACCOUNT LOCK;": (
            "has other terms: REQUIRE SSL WITH MAX_USER_CONNECTIONS 200 ACCOUNT LOCK"
        ),
        "ALTER USER root@localhost IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('x');": (
            "root logs"
        ),
    },
    "a login without a password, and no role": {
        f"ALTER USER {BILLING} IDENTIFIED VIA unix_socket;": "logs in otherwise than by its password",
        "DROP ROLE reader;": "role reader is missing",
    },
    "no account": {
        f"DROP USER {BILLING};": f"billing of {WORKERS[0]}/255.255.255.255 is missing",
    },
}
"""What is changed at a time, and what is said of each; all at once, where none hides what another one does."""


@pytest.mark.parametrize("changes", BY_HAND.values(), ids=BY_HAND)
def test_what_another_hand_changed_is_named_and_put_right(db: Host, changes: Mapping[str, str]) -> None:
    push(db)
    db.sql(f"DROP ROLE IF EXISTS power; {''.join(changes)}")
    found = state(db)["differences"]
    for said in changes.values():
        assert [each for each in found if said in each], (said, found)
    assert push(db) != []
    after = state(db)
    assert after["differences"] == []
    assert push(db) == []
    db.sql("DROP ROLE IF EXISTS power;")


def test_accounts_of_others_are_named_and_left_alone(db: Host) -> None:
    settled(db)
    db.sql("CREATE OR REPLACE USER copy@'10.100.0.9' IDENTIFIED BY 'by hand'; CREATE OR REPLACE ROLE auditor;")
    assert push(db) == []
    others = ["auditor", "copy@10.100.0.9"]
    assert state(db) == {"accounts": 4, "differences": [], "others": others, "passwords": True}
    db.sql("DROP USER copy@'10.100.0.9'; DROP ROLE auditor;")


def test_a_copy_gets_a_database_from_its_primary_and_accounts_at_once(db: Host) -> None:
    """A change reaches copies first, and the primary last."""
    settled(db)
    more = changed_facts(
        SHOP,
        databases=[*SHOP.databases, "fresh"],
        accounts={**SHOP.accounts, "new": Account(networks=[MESH], privileges={"fresh": ["SELECT"]})},
    )
    db.sql("CHANGE MASTER TO MASTER_HOST = '10.100.0.9', MASTER_USER = 'nobody';")
    try:
        assert push(db, more)[0] == "this copy gets database fresh from its primary"
        assert state(db)["differences"] == ["database fresh is missing"]
    finally:
        db.sql("RESET SLAVE ALL;")
    assert push(db, more) == ["created database fresh"], "its account was there before it"
    assert state(db)["differences"] == []
    db.sql("DROP DATABASE fresh;")


def test_what_tells_passwords_apart_is_for_root_and_goes_with_the_accounts(db: Host) -> None:
    """A host from before it was kept has no word on passwords, and says so."""
    settled(db)
    kept = "/etc/fortress/access.passwords"
    assert db.check("stat", "-c", "%a %U", kept) == "600 root\n"
    stored = db.sql("SELECT JSON_VALUE(Priv, '$.authentication_string') FROM mysql.global_priv WHERE User = 'app';")
    said = db.check("cat", kept)
    assert "of app" not in said
    assert stored[0][0].lstrip("*").lower() not in said.lower()
    db.check("rm", kept)
    db.sql(f"ALTER USER {BILLING} IDENTIFIED BY 'by hand';")
    assert (state(db)["differences"], state(db)["passwords"]) == ([], False)
    push(db)
    push(db)
    db.script("mariadb-access", "retire")
    assert (state(db)["differences"], state(db)["passwords"]) == ([], True)
    db.script("mariadb-access", "remove")
    assert db.run("test", "-e", kept).returncode == 1


# --- passwords that overlap -------------------------------------------------------------------------------------------


def entries(db: Host, tls: ssl.SSLContext, *passwords: str) -> list[bool]:
    """Which of these let the application in."""
    found = []
    for password in passwords:
        try:
            with db.connect("app", password.encode(), tls) as cursor:
                cursor.execute("SELECT 1")
            found.append(True)
        except pymysql.err.OperationalError as error:
            if error.args[0] != 1045:
                raise
            found.append(False)
    return found


def denials(db: Host) -> int:
    ((count,),) = db.sql(
        "SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS "
        "WHERE VARIABLE_NAME IN ('ACCESS_DENIED_ERRORS', 'ABORTED_CONNECTS');"
    )
    return int(count)


def test_the_old_password_works_until_it_is_ended(db: Host, tls: ssl.SSLContext) -> None:
    settled(db, app="old")
    before = denials(db)
    assert push(db, app="new") == [
        "account app of 10.100.0.0/255.255.255.0 takes its new password, and the one before too"
    ]
    assert entries(db, tls, "new", "old", "new", "old") == [True] * 4
    client = ("mariadb", "--no-defaults", "--host=10.100.0.1", "--user=app", "--ssl-ca=/etc/mysql/fortress/ca.pem")
    for password in ("new", "old"):  # the server's own client
        assert db.check(*client, f"--password={password}", "--batch", "-N", "-e", "SELECT 1") == "1\n"
    assert denials(db) == before, "the server counts no login that failed"
    (said,) = state(db)["differences"]
    assert said.endswith("takes its password before the last change too; the next `pulumi up` ends it")
    assert push(db, app="new") == [], "which one that was cut and comes again does not change"
    assert entries(db, tls, "new", "old") == [True, True]
    with db.connect("app", b"old", tls) as cursor:
        assert (
            db.script("mariadb-access", "retire")
            == "ended the password before of account app of 10.100.0.0/255.255.255.0\n"
        )
        cursor.execute("SELECT 1")  # whoever is in stays in
    assert entries(db, tls, "new", "old", "") == [True, False, False]
    assert state(db)["differences"] == []
    assert db.script("mariadb-access", "retire") == ""


def test_a_third_password_is_refused_while_two_work(db: Host, tls: ssl.SSLContext) -> None:
    """Clients such as PyMySQL give up when they are asked for another one twice."""
    settled(db, app="first")
    push(db, app="second")
    text = access.render(SHOP)
    sent = access.passwords({"app": "third", "billing": "of billing", "reports": "of reports"})
    said = db.refused("mariadb-access", *access.ensure(text)[1:], stdin=sent.encode())
    assert "account app takes two passwords already" in said
    assert "mariadb-access retire" in said
    assert entries(db, tls, "first", "second", "third") == [True, True, False]
    # The one before the last change, again, is one of the two.
    push(db, app="first")
    assert entries(db, tls, "first", "second") == [True, True]
    db.script("mariadb-access", "retire")
    assert entries(db, tls, "first", "second") == [True, False]


def test_old_passwords_that_are_kept_stay_until_they_are_not(db: Host, tls: ssl.SSLContext) -> None:
    kept = changed_facts(SHOP, old_passwords="keep")
    settled(db, kept, app="old")
    push(db, kept, app="new")
    assert db.script("mariadb-access", "retire") == ""
    assert entries(db, tls, "new", "old") == [True, True]
    assert state(db)["differences"] == [], "since the settings say so"
    push(db, SHOP, app="new")
    db.script("mariadb-access", "retire")
    assert entries(db, tls, "new", "old") == [True, False]


def test_a_password_ends_at_once_where_nothing_ends_it_later(db: Host, tls: ssl.SSLContext) -> None:
    alone = changed_facts(SHOP, old_passwords="end")
    settled(db, alone, app="old")
    push(db, alone, app="new")
    assert entries(db, tls, "new", "old") == [True, False]


def test_a_file_that_is_not_the_pushed_one_is_refused(db: Host) -> None:
    settled(db)
    text = access.render(SHOP)
    db.write(access.PATH, text.replace('"SELECT"', '"DROP"'))
    said = db.refused("mariadb-access", *access.ensure(text)[1:], stdin=b"app x\n")
    assert f"{access.PATH} is not the one that was pushed" in said
    settled(db)
