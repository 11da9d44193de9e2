"""Who may enter the database: the text of its file, what is refused, and how the host script reads both."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress import access, mariadb
from fortress.access import Access, Account, Application
from fortress.cli.base.result import Result
from fortress.cli.check import accounts
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.scripts import mariadb_access
from fortress.settings import model as settings
from tests.unit.facts import changed_facts, refusal_of
from tests.unit.golden import check_golden
from tests.unit.stack_file import changed, oslo
from tests.unit.test_mariadb import HOSTILE
from tests.unit.verdicts import accepted, refused

APP = Application(database="app", user="app", network="10.100.0.0/24")

# The application's own.


@pytest.mark.parametrize("connections", [0, -1, 1001, True, "9"])
def test_connections_that_the_server_cannot_give(connections: object) -> None:
    (line,) = refusal_of(lambda: changed_facts(APP, connections_per_client=connections))
    assert line.startswith("connections_per_client: ")


@given(st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True))
def test_names(name: str) -> None:
    reserved = {*mariadb.RESERVED_DATABASES, *mariadb.RESERVED_USERS}
    if name not in reserved:
        found = Application(database=name, user=name, network="10.100.0.0/24")
        assert (found.database, found.user) == (name, name)


@pytest.mark.parametrize(
    "name", ["", "App", "1app", "_app", "a" * 65, "app-1", "äpp", *("app" + bad for bad in HOSTILE), 1]
)
@pytest.mark.parametrize("field", ["database", "user"])
def test_names_that_are_none(field: str, name: str) -> None:
    (line,) = refusal_of(lambda: changed_facts(APP, **{field: name}))
    assert line.startswith(f"{field}: ")


@pytest.mark.parametrize("name", mariadb.RESERVED_DATABASES)
def test_databases_that_are_taken(name: str) -> None:
    (line,) = refusal_of(lambda: changed_facts(APP, database=name))
    assert line.startswith("database: ")


@pytest.mark.parametrize("name", mariadb.RESERVED_USERS)
def test_users_that_are_taken(name: str) -> None:
    (line,) = refusal_of(lambda: changed_facts(APP, user=name))
    assert line.startswith("user: ")


@pytest.mark.parametrize(
    "network", ["", "10.100.0.0", "10.100.0.1/24", "0.0.0.0/0", "10.0.0.0/7", "%", "10.100.0.0/24\n", "fd00::/64", None]
)
def test_networks_that_are_none(network: str) -> None:
    (line,) = refusal_of(lambda: changed_facts(APP, network=network))
    assert line.startswith("network: ")


@pytest.mark.parametrize(
    "privileges",
    [
        [],
        ["ALL PRIVILEGES"],
        ["GRANT OPTION"],
        ["FILE"],
        ["SELECT", "SUPER"],
        ["select"],
        ["SELECT ON *.* TO x; --"],
        ["SELECT", "SELECT"],
        ("SELECT",),
    ],
)
def test_privileges_that_no_application_gets(privileges: list[str]) -> None:
    (line,) = refusal_of(lambda: changed_facts(APP, privileges=privileges))
    assert re.match(r"privileges(\[\d\])?: ", line)


# The file.

ORDERS = Access(
    databases=["app", "orders_1"],
    roles={"reader": {"orders_1": ["SELECT"], "app": ["SELECT"]}},
    accounts={
        "app": Account(networks=["10.100.0.0/24"], privileges={"app": ["UPDATE", "SELECT"]}),
        "billing": Account(
            networks=["10.100.0.8/30", "10.100.0.2/32"],
            privileges={"orders_1": ["INSERT", "SELECT", "CREATE TEMPORARY TABLES"]},
            role="reader",
            connections_per_client=20,
        ),
        "reports": Account(networks=["10.100.0.0/24"], role="reader"),
    },
    old_passwords="overlap",
)


def test_the_file() -> None:
    check_golden("access.json", access.render(ORDERS))


def test_the_host_script_reads_what_is_written() -> None:
    found = mariadb_access.parse(access.render(ORDERS))
    assert found.databases == ("app", "orders_1")
    assert found.roles == {"reader": {"orders_1": {"SELECT"}, "app": {"SELECT"}}}
    assert found.old_passwords == "overlap"
    assert list(found.accounts) == ["app", "billing", "reports"]
    billing = found.accounts["billing"]
    assert billing.networks == ("10.100.0.2/255.255.255.255", "10.100.0.8/255.255.255.252")
    assert billing.grants == {"orders_1": {"INSERT", "SELECT", "CREATE TEMPORARY TABLES"}}
    assert (billing.role, billing.connections) == ("reader", 20)


def test_the_order_in_settings_changes_nothing() -> None:
    turned = Access(
        databases=list(ORDERS.databases),
        roles={"reader": dict(reversed(ORDERS.roles["reader"].items()))},
        accounts=dict(reversed(ORDERS.accounts.items())),
        old_passwords="overlap",
    )
    assert access.render(turned) == access.render(ORDERS)


def test_what_both_sides_know() -> None:
    """The host script imports nothing of the project, and looks again at what it is given."""
    assert set(mariadb.PRIVILEGES) == mariadb_access.PRIVILEGES
    assert {*mariadb.RESERVED_DATABASES, *mariadb.RESERVED_USERS} - mariadb_access.RESERVED == set()
    assert str(mariadb_access.FILE) == access.PATH
    assert str(mariadb_access.DATA) == mariadb.DATA_FOLDER
    assert mariadb_access.COLLATION == mariadb.COLLATION
    for word in mariadb_access.OLD_PASSWORDS:
        assert mariadb_access.parse(access.render(changed_facts(ORDERS, old_passwords=word))).old_passwords == word


TEXT = access.render(ORDERS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"orders_1"', '"mysql"'),
        ('"orders_1"', '"_fortress"'),
        ('"orders_1"', '"o`"'),
        ('"billing"', '"root"'),
        ('"billing"', '"b\'"'),
        ('"reader"', '"PUBLIC"'),
        ('"role": "reader"', '"role": "writer"'),
        ('"UPDATE"', '"FILE"'),
        ('"UPDATE"', '"ALL PRIVILEGES"'),
        ('"10.100.0.0/255.255.255.0"', '"%"'),
        ('"10.100.0.0/255.255.255.0"', '"10.100.0.0/24"'),
        ('"10.100.0.0/255.255.255.0"', '"10.100.0.1/255.255.255.0"'),
        ('"10.100.0.0/255.255.255.0"', '"0.0.0.0/0.0.0.0"'),
        ('"10.100.0.0/255.255.255.0"', '"10.0.0.0/254.0.0.0"'),
        ('"connections": 20', '"connections": 0'),
        ('"connections": 20', '"connections": true'),
        ('"connections": 20', '"connections": "20"'),
        ('"overlap"', '"for ever"'),
        ('"databases"', '"bases"'),
        ('"databases": [', '"databases": 1, "x": ['),
        (
            "{",
            "",
        ),
    ],
)
def test_a_file_that_the_host_script_refuses(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(mariadb_access.AccessError):
        mariadb_access.parse(TEXT.replace(old, new))


@given(st.text(), st.integers(0, len(TEXT)))
def test_whatever_stands_in_the_file_is_read_or_refused(text: str, place: int) -> None:
    try:
        found = mariadb_access.parse(TEXT[:place] + text + TEXT[place:])
    except mariadb_access.AccessError:
        return
    names = [*found.databases, *found.roles, *found.accounts]
    assert all(re.fullmatch("[a-z][a-z0-9_]{0,63}", name) for name in names)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"databases": ["app"]}, "roles.reader.orders_1: 'orders_1' is not in databases; known: app"),
        (
            {"roles": {"billing": {}}},
            "roles.billing: 'billing' is the name of an account too; give the role another one",
        ),
        ({"roles": {}}, "accounts.billing.role: 'reader' is not in roles; known: none"),
        ({"databases": ["app", "app"]}, 'databases: ["app", "app"] must not contain duplicates'),
    ],
)
def test_what_does_not_fit_together(change: dict[str, Any], line: str) -> None:
    assert refusal_of(lambda: changed_facts(ORDERS, **change)) == [line]


def test_an_account_that_may_do_nothing() -> None:
    (line,) = refusal_of(lambda: Account(networks=["10.100.0.0/24"]))
    assert line == "privileges: {} may do nothing: give it privileges on a database, or a role"


# Passwords.


def test_passwords_are_read_as_they_were_written() -> None:
    sent = access.passwords({"billing": "two words  ", "app": "blåbær \\ 'x'"})
    assert sent.endswith("\n")
    found = mariadb_access.read_passwords(sent.encode(), ["app", "billing"])
    assert list(found) == ["app", "billing"]
    stored = hashlib.sha1(hashlib.sha1(b"two words  ").digest()).hexdigest()  # noqa: S324 - MariaDB's own
    assert found["billing"] == f"*{stored.upper()}"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "not of nobody"),
        (b"app secret", "did not arrive whole"),
        (b"app \n", "no password"),
        (b"app\n", "no password"),
        (b"app s\0t\n", "NUL"),
        (b"app secret\n", "passwords of app, billing are wanted, and not of app"),
        (b"app secret\nbilling x\nmore y\n", "are wanted, and not of app, billing, more"),
    ],
)
def test_passwords_that_are_not_those(sent: bytes, words: str) -> None:
    with pytest.raises(mariadb_access.AccessError, match=words) as bad:
        mariadb_access.read_passwords(sent, ["app", "billing"])
    assert "secret" not in str(bad.value)


def test_the_words_name_the_text_of_the_file() -> None:
    *words, checksum = access.ensure(TEXT)
    assert words == ["/usr/local/lib/fortress/mariadb-access", "ensure"]
    assert checksum == hashlib.sha256(TEXT.encode()).hexdigest()


# What MariaDB prints, of 10.11 and 11.8.

NETWORK = "10.100.0.0/255.255.255.0"
A, B = "*" + "A" * 40, "*" + "B" * 40
ONE = f"CREATE USER `app`@`{NETWORK}` IDENTIFIED BY PASSWORD '{A}' REQUIRE SSL WITH MAX_USER_CONNECTIONS 200"
WAY = "mysql_native_password USING"
TWO = (
    f"CREATE USER `app`@`{NETWORK}` IDENTIFIED VIA {WAY} '{A}' OR {WAY} '{B}' REQUIRE SSL WITH MAX_USER_CONNECTIONS 200"
)


@pytest.mark.parametrize(
    ("made", "hashes", "terms"),
    [
        (ONE, (A,), "REQUIRE SSL WITH MAX_USER_CONNECTIONS 200"),
        (TWO, (A, B), "REQUIRE SSL WITH MAX_USER_CONNECTIONS 200"),
        (ONE + " ACCOUNT LOCK", (A,), "REQUIRE SSL WITH MAX_USER_CONNECTIONS 200 ACCOUNT LOCK"),
        (f"CREATE USER `app`@`{NETWORK}` IDENTIFIED VIA {WAY} '{A}' OR unix_socket", (A,), "OR unix_socket"),
        (f"CREATE USER `app`@`{NETWORK}` IDENTIFIED VIA unix_socket", (), "IDENTIFIED VIA unix_socket"),
        (f"CREATE USER `app`@`{NETWORK}`", (), f"CREATE USER `app`@`{NETWORK}`"),
    ],
)
def test_how_an_account_logs_in(made: str, hashes: tuple[str, ...], terms: str) -> None:
    assert mariadb_access.read_login(made, "app", NETWORK) == (hashes, terms)


LOGIN = f"GRANT USAGE ON *.* TO `app`@`{NETWORK}` IDENTIFIED BY PASSWORD '{A}' REQUIRE SSL"


@pytest.mark.parametrize(
    ("lines", "grants", "role", "odd"),
    [
        ([], {}, None, ()),
        (
            ["GRANT SELECT, CREATE TEMPORARY TABLES ON `a\\_1`.* TO {}"],
            {"a_1": {"SELECT", "CREATE TEMPORARY TABLES"}},
            None,
            (),
        ),
        (["GRANT SELECT ON `a_1`.* TO {}"], {}, None, ("GRANT SELECT ON `a_1`.*",)),
        (["GRANT SELECT ON `a`.* TO {} WITH GRANT OPTION"], {}, None, ("GRANT SELECT ON `a`.* WITH GRANT OPTION",)),
        (["GRANT SELECT ON `a`.`t` TO {}"], {}, None, ("GRANT SELECT ON `a`.`t`",)),
        (["GRANT SELECT (x, y) ON `a`.`t` TO {}"], {}, None, ("GRANT SELECT (x, y) ON `a`.`t`",)),
        (["GRANT EXECUTE ON PROCEDURE `a`.`p` TO {}"], {}, None, ("GRANT EXECUTE ON PROCEDURE `a`.`p`",)),
        (["GRANT PROXY ON ``@`%` TO {}"], {}, None, ("GRANT PROXY ON ``@`%`",)),
        (["GRANT `reader` TO {}", "SET DEFAULT ROLE `reader` FOR {}"], {}, "reader", ()),
        (["GRANT `reader` TO {}"], {}, None, ("GRANT `reader`",)),
        (["GRANT `reader` TO {} WITH ADMIN OPTION"], {}, None, ("GRANT `reader` WITH ADMIN OPTION",)),
        (
            ["GRANT `reader` TO {}", "GRANT `power` TO {}", "SET DEFAULT ROLE `reader` FOR {}"],
            {},
            "reader",
            ("GRANT `power`",),
        ),
    ],
)
def test_what_an_account_may_do(
    lines: list[str], grants: dict[str, set[str]], role: str | None, odd: tuple[str, ...]
) -> None:
    account = f"`app`@`{NETWORK}`"
    printed = [LOGIN, *(line.replace("{}", account) for line in lines)]
    found = mariadb_access.read_grants(printed, "app", NETWORK)
    assert ({database: set(privileges) for database, privileges in found[0].items()}, *found[1:]) == (grants, role, odd)


@pytest.mark.parametrize(
    "line", [LOGIN.replace("USAGE", "SELECT"), LOGIN + " WITH GRANT OPTION", LOGIN.replace("USAGE", "ALL PRIVILEGES")]
)
def test_what_it_may_do_everywhere_is_odd(line: str) -> None:
    grants, role, odd = mariadb_access.read_grants([line], "app", NETWORK)
    assert (grants, role) == ({}, None)
    assert len(odd) == 1


def test_differences_are_said_without_a_password() -> None:
    account = mariadb_access.parse(TEXT).accounts["billing"]
    standing = mariadb_access.StandingAccount(
        hashes=(A, B), terms="REQUIRE NONE", grants={"app": frozenset({"DROP"})}, odd=("GRANT FILE ON *.*",)
    )
    said = list(mariadb_access.compare(account, standing, "overlap"))
    assert said == [
        "has other terms: REQUIRE NONE in place of REQUIRE SSL WITH MAX_USER_CONNECTIONS 20",
        "takes its password before the last change too; the next `pulumi up` ends it",
        "has DROP on app, too",
        "lacks CREATE TEMPORARY TABLES, INSERT, SELECT on orders_1",
        "has the role none in place of reader",
        "has FILE ON *.*, too",
    ]
    assert A not in " ".join(said)
    assert "takes its password" not in " ".join(mariadb_access.compare(account, standing, "keep"))


# Whether a password is still the one that was set.


@pytest.fixture
def marks_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "access.passwords"
    monkeypatch.setattr(mariadb_access, "PASSWORDS", file)
    return file


def test_another_password_is_told_from_the_one_that_was_set(marks_file: Path) -> None:
    assert mariadb_access.read_marks() is None
    mariadb_access.keep_marks({"app": A}, None)
    marks = mariadb_access.read_marks()
    assert marks is not None
    assert (marks.another("app", A), marks.another("app", B), marks.another("billing", B)) == (False, True, False)
    assert A not in marks_file.read_text()
    # While one is changed, and were that cut, both are ours.
    mariadb_access.keep_marks({"app": B}, marks)
    both = mariadb_access.read_marks()
    assert both is not None
    assert (both.another("app", A), both.another("app", B)) == (False, False)
    mariadb_access.keep_marks({"app": B}, None)
    last = mariadb_access.read_marks()
    assert last is not None
    assert last.another("app", A)
    assert last.key != marks.key


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "xyz", "accounts": {}}', '{"key": "00", "accounts": []}'])
def test_what_is_no_file_of_marks_tells_nothing(marks_file: Path, text: str) -> None:
    marks_file.write_text(text)
    assert mariadb_access.read_marks() is None


def test_passwords_that_were_not_compared_are_said_to_be_so() -> None:
    check = Check(Kind.DATABASE_ACCOUNTS, "oslo-db", limit="as set")
    said = {"accounts": 1, "differences": [], "others": ["copy@10.100.0.9"], "passwords": False}
    found, _ = accounts.judge(check, Result(0, json.dumps(said), ""))
    assert (found.status, found.value) == (Status.OK, "1 as set")
    assert found.detail == "passwords are compared once `pulumi up` has set one; not of this stack: copy@10.100.0.9"


# Settings.

ACCOUNTS = {
    "database/databases": ["orders"],
    "database/roles": {"reader": {"orders": ["SELECT"]}},
    "database/accounts": {
        "billing": {"privileges": {"orders": ["SELECT", "INSERT"]}, "clients": ["oslo-web", "10.100.0.8/30"]},
        "reports": {"role": "reader"},
    },
}


def test_settings_of_further_accounts() -> None:
    found = accepted(changed(copy.deepcopy(ACCOUNTS)))
    assert found is not None
    assert found.client_networks("oslo-web") == ([f"{found.mesh_address('oslo-web')}/32"], "")
    assert found.client_networks("10.100.0.8/30") == (["10.100.0.8/30"], "")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"database/databases": []}, "database.roles.reader.orders: 'orders' is not in databases; known: app"),
        ({"database/accounts/billing/role": "x"}, "database.accounts.billing.role: 'x' is not in roles; known: reader"),
        (
            {"database/accounts/billing/clients": ["fra-9"]},
            "database.accounts.billing.clients: 'fra-9' is not in hosts, and no address; known: ",
        ),
        (
            {"database/accounts/billing/clients": ["192.0.2.8"]},
            "database.accounts.billing.clients: '192.0.2.8' is outside mesh.network 10.100.0.0/24",
        ),
        (
            {"database/accounts/billing/clients": ["oslo-edge"]},
            "database.accounts.billing.clients: 'oslo-edge' has no way to the database; add a flow to mesh.flows: "
            "{source: oslo-edge, destination: oslo-db, port: 3306}",
        ),
        (
            {"database/accounts/app": {"role": "reader"}},
            "database.accounts.app: is the workload's account, database.user; use another name",
        ),
        ({"database/accounts/root": {"role": "reader"}}, "database.accounts: 'root' is reserved by MariaDB"),
        (
            {"database/accounts/billing/privileges": {"orders": ["FILE"]}},
            "database.accounts.billing.privileges.orders[0]: 'FILE' must be ",
        ),
    ],
)
def test_settings_of_accounts_that_are_refused(change: dict[str, Any], line: str) -> None:
    (said,) = refused(changed({**copy.deepcopy(ACCOUNTS), **change}))
    assert said.startswith(line)


def test_a_worker_is_let_in_by_both_addresses_of_its_slot() -> None:
    found = accepted(changed({}, oslo))
    assert found is not None
    (worker,) = [name for name, host in found.hosts.items() if host.made and host.role == "worker"][:1]
    networks, problem = found.client_networks(worker)
    assert problem == ""
    assert len(networks) == 2


def test_the_settings_defaults_are_accepted() -> None:
    said = settings.DatabaseSettings()
    assert Application(database=said.name, user=said.user, network="10.100.0.0/24", privileges=said.privileges) == APP
