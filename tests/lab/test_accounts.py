"""Several applications on the standing fortress, and a password that changes while all of them log in."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import traffic
from tests.lab.fortress import Fortress, Settings
from tests.lab.inside import all_up, found, on, until
from tests.lab.verbs import command, drift, wrong

PASSWORD = "data-fortress:database_password"
ACCOUNT_PASSWORD = "data-fortress:database_account_passwords.billing"
TURNED_AWAY = ("1045", "1130", "1698")
"""Errors of MariaDB to one who may not enter: by his password, from his address, or at all."""
WORKERS = ("oslo-web", "fra-1", "fra-2")

# One login after another with the password that lies on the worker at that moment, each over a connection of its own.
LOGINS = """
import pymysql, signal, ssl, sys, time
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
tls = ssl.create_default_context(cafile="/etc/fortress/app/database-ca.pem")
while not ending:
    with open("/etc/fortress/app/database-password", "rb") as file:
        password = file.read().rstrip()
    try:
        pymysql.connect(host="10.100.0.1", user="app", password=password, database="app", ssl=tls).close()
        print("in", flush=True)
    except pymysql.err.MySQLError as error:
        print(*error.args, flush=True)
    time.sleep(0.02)
"""
ONE_LOGIN = """
import json, pymysql, ssl, sys
user, password = json.load(sys.stdin)
try:
    connection = pymysql.connect(host="10.100.0.1", user=user, password=password.encode(),
                                 ssl=ssl.create_default_context(cafile="/etc/fortress/app/database-ca.pem"))
    with connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES")
        print(*sorted(row[0] for row in cursor.fetchall()))
except pymysql.err.MySQLError as error:
    print(error.args[0])
"""


def login(host: str, user: str, password: str) -> str:
    """The databases that an account sees from a host, or the number of the error that turned it away."""
    return on(host, f"python3 -c '{ONE_LOGIN}'", json.dumps([user, password]))


@contextmanager
def logins() -> Iterator[dict[str, Counter[str]]]:
    """Logins on each worker until the `with` ends, and then what became of them."""
    log, unit = "/run/test-logins.log", "test-logins"
    became: dict[str, Counter[str]] = {}
    for host in WORKERS:
        on(host, f"cat >/run/test-logins.py; rm -f {log}", LOGINS)
        on(
            host,
            f"systemd-run --quiet --collect --unit={unit} -p StandardOutput=append:{log} python3 /run/test-logins.py",
        )
    try:
        for host in WORKERS:
            on(host, f"until grep -qsx in {log}; do sleep 0.1; done")
        yield became
    finally:
        for host in WORKERS:
            on(host, f"systemctl stop {unit}")
            became[host] = Counter(on(host, f"cat {log}").splitlines())


def turned_away() -> dict[str, int]:
    """Logins that the server counts as failed, since it was started."""
    names = "'Access_denied_errors', 'Aborted_connects', 'Connection_errors_internal'"
    said = on(
        "oslo-db", f'mariadb --batch --skip-column-names -e "show global status where variable_name in ({names})"'
    )
    return {name: int(count) for name, count in (line.split() for line in said.splitlines())}


def test_a_password_changes_under_load_and_no_login_fails(fortress: Fortress) -> None:
    """Between the database, which has the new one first, and the last worker minutes may pass."""
    old = fortress.engine("config", "get", PASSWORD).splitlines()[-1]
    new = secrets.token_urlsafe(18)
    until("the workers up at the edge", 60, all_up)
    with fortress.changed(lambda _: None):
        fortress.engine("config", "set", "--secret", PASSWORD, new)
        before = turned_away()
        with logins() as became, traffic.requests(clients=4, every=0.05) as asked:
            began = time.monotonic()
            log = fortress.up()
            seconds = time.monotonic() - began
        after = turned_away()
        print(f"password changed in {seconds:.0f} s; logins {became}; server {before} -> {after}; {asked}")
        assert found(log, {"old": old, "new": new}) == []
        assert {host: set(count) for host, count in became.items()} == {host: {"in"} for host in WORKERS}
        assert all(count["in"] > 50 for count in became.values())
        assert after == before
        assert asked.failed == []
        for host in WORKERS:
            assert on(host, "cat /etc/fortress/app/database-password") == new
        assert login(WORKERS[0], "app", old) == "1045", "it ended with the last worker"
        assert login(WORKERS[0], "app", new) == "app information_schema"
    until("the workers up at the edge", 60, all_up)


def with_accounts(settings: Settings) -> None:
    settings["database"] |= {
        "databases": ["orders"],
        "roles": {"reader": {"orders": ["SELECT"]}},
        "accounts": {
            "billing": {
                "privileges": {"orders": ["SELECT", "INSERT"]},
                "role": "reader",
                "clients": ["oslo-web"],
            }
        },
    }


def test_a_second_application_and_what_hands_grant_it(fortress: Fortress) -> None:
    """It is measured by `verify` and `drift`, each names what was added by hand, and `--repair` takes it away."""
    password = secrets.token_urlsafe(18)
    address = fortress.facts()["hosts"]["oslo-web"]["mesh_address"]
    account = f"'billing'@'{address}/255.255.255.255'"
    try:
        with fortress.changed(with_accounts):
            refused = fortress.pulumi("preview")
            assert refused.returncode != 0
            assert "database_account_passwords.billing: missing" in refused.stdout
            fortress.engine("config", "set", "--path", "--secret", ACCOUNT_PASSWORD, password)
            preview = fortress.preview()
            for line in ('+     "billing": {', '+           "INSERT",', '+     "orders"'):
                assert line in preview, preview
            assert found(preview, {"password": password}) == []
            fortress.up()
            assert login("oslo-web", "billing", password) == "information_schema orders"
            assert login("fra-1", "billing", password) in TURNED_AWAY, "it may not come from there"
            fortress.check_whole()
            on(
                "oslo-db",
                f"mariadb -e \"grant delete on app.* to {account}; create user billing@'%' identified by 'x'\"",
            )
            verify = fortress.command("verify", "--stack", fortress.stack)
            assert verify.returncode == 1
            told = " ".join(verify.stdout.split())
            assert "has DELETE on app, too" in told
            assert "billing may come from %, too" in told
            assert wrong(drift(fortress, 1)) == {("oslo-db", "database accounts"): "differ"}
            repaired = drift(fortress, 0, "--repair")
            assert [each["name"] for each in repaired["mended"]] == ["database accounts"]
            fortress.check_whole()
            assert login("oslo-web", "billing", password) == "information_schema orders"
            assert "create database" not in fortress.preview(), "nothing is left to do"
        assert login("oslo-web", "billing", password) in TURNED_AWAY, "gone with the settings"
    finally:
        on("oslo-db", "mariadb -e 'drop database if exists orders'")
    assert command(fortress, "drift").returncode == 0
