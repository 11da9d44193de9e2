#!/usr/bin/python3 -I
"""Who may enter the database of this host: root and programs of the host by the unix socket, the accounts of a file by
TLS, nobody else.

Runs on each database host (python3, standard library only). The file, /etc/fortress/access.json, says which databases,
roles and accounts there are, from which networks each account may come, and what it may do; `fortress/access.py` writes
it. Whatever else an account of one of its names may do was given by another hand, and is taken away.

    mariadb-access check FILE               refuse a file that is not as it must be
    mariadb-access ensure SHA256 <lines     make all that the file with this checksum says. Standard input has a line
                                            for each account: its name, a space, its password; any bytes but NUL
    mariadb-access retire                   end passwords that have been changed, once nobody needs them any more
    mariadb-access state                    how the server differs from the file, as JSON
    mariadb-access remove                   drop the accounts that were made; data stay
    mariadb-access wipe                     delete all data: stop MariaDB, empty its data folder, set up an empty system

No password is ever part of a command line, a statement or a log: MariaDB is given its hash, with the binary log off.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import ipaddress
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

FILE = Path("/etc/fortress/access.json")
DATA = Path("/var/lib/mysql")
PASSWORDS = Path("/etc/fortress/access.passwords")
"""Of each account's password as it was set last, what tells another one from it, for root's eyes only."""
SOCKET = "/run/mysqld/mysqld.sock"
LOCK = Path("/run/fortress-mariadb-access.lock")
WAIT_S = 60
"""Seconds for the server to answer; systemd says it is up only when it does, so this is for a slow machine."""

# So that databases sort as the server does by default; the charset's own default cannot tell emoji apart.
COLLATION = "utf8mb4_unicode_520_ci"
MOST_PASSWORDS = 2
"""Of an account: a client may be asked for another password once, and some give up when they are asked again (PyMySQL:
"received multiple auth switch requests")."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
RESERVED = {"information_schema", "mysql", "performance_schema", "public", "root", "sys", "test"}
PRIVILEGES = {
    *("ALTER", "CREATE", "CREATE TEMPORARY TABLES", "CREATE VIEW", "DELETE", "DROP", "EXECUTE", "INDEX", "INSERT"),
    *("LOCK TABLES", "REFERENCES", "SELECT", "SHOW VIEW", "UPDATE"),
}
LOCAL_PRIVILEGES = {"SLAVE MONITOR"}
"""What a program of the host may have, on the whole server."""
OLD_PASSWORDS = ("end", "overlap", "keep")
"""What becomes of a password that is changed: it ends at once, with `retire`, or stays until another word is said."""

LOCAL = "localhost"
ROOT = ("root", LOCAL)
ROOT_BY_SOCKET = "CREATE USER `root`@`localhost` IDENTIFIED VIA unix_socket"
OWN = {ROOT, ("mysql", "localhost"), ("mariadb.sys", "localhost"), ("PUBLIC", "")}
"""Accounts that MariaDB has by itself."""
CLOSED = "MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0 MAX_STATEMENT_TIME 0"

_HASH = r"'(\*[0-9A-F]{40})'"
_BY_PASSWORD = re.compile(rf"IDENTIFIED BY PASSWORD {_HASH}")
_BY_PASSWORDS = re.compile(
    rf"IDENTIFIED VIA mysql_native_password USING {_HASH}(?: OR mysql_native_password USING {_HASH})*"
)


Question = TypeVar("Question")


class AccessError(Exception):
    """Why it cannot be done, with the cure."""


# --- the file ---------------------------------------------------------------------------------------------------------

Grants = Mapping[str, frozenset[str]]
"""Database to privileges there."""


@dataclass(frozen=True)
class WantedAccount:
    """One name; on the server it is an account for each network."""

    networks: tuple[str, ...]
    """As the host part of an account: 10.100.0.0/255.255.255.0."""
    connections: int
    """At a time, from one address."""
    grants: Grants
    role: str | None = None


@dataclass(frozen=True)
class WantedLocal:
    """An account of a program of the host: by the unix socket alone, which knows it by the user that it runs as."""

    connections: int
    privileges: frozenset[str]

    @property
    def terms(self) -> str:
        """How it logs in, as MariaDB prints it."""
        return f"IDENTIFIED VIA unix_socket WITH MAX_USER_CONNECTIONS {self.connections}"

    @property
    def grant(self) -> str:
        """What it may do, as MariaDB prints it."""
        return f"GRANT {', '.join(sorted(self.privileges))} ON *.*"


@dataclass(frozen=True)
class WantedAccess:
    """All that the file says."""

    databases: tuple[str, ...]
    roles: Mapping[str, Grants]
    accounts: Mapping[str, WantedAccount]
    old_passwords: str
    local: Mapping[str, WantedLocal] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Of all accounts."""
        return {*self.accounts, *self.local}


def parse(text: str) -> WantedAccess:
    """What the file says.

    Raises:
        AccessError: it is not as it must be.
    """
    try:
        said = json.loads(text)
        databases = tuple(_name("database", each) for each in said["databases"])
        roles = {_name("role", name): _grants(grants, databases) for name, grants in said["roles"].items()}
        accounts = {
            _name("account", name): WantedAccount(
                tuple(_network(each) for each in found["networks"]),
                _number(found["connections"]),
                _grants(found["privileges"], databases),
                None if found["role"] is None else _among("role", found["role"], roles),
            )
            for name, found in said["accounts"].items()
        }
        old_passwords = _among("old_passwords", said["old_passwords"], OLD_PASSWORDS)
        local = {
            _name("account", name): WantedLocal(
                _number(found["connections"]),
                frozenset(_among("privilege", each, LOCAL_PRIVILEGES) for each in found["privileges"]),
            )
            for name, found in said.get("local", {}).items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as wrong:
        raise AccessError(f"the file of accounts is not as it must be: {wrong!r}") from None
    if twice := sorted({*local} & {*accounts, *roles}):
        raise AccessError(f"{twice[0]!r} is named twice")
    return WantedAccess(databases, roles, accounts, old_passwords, local)


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value) or value in RESERVED:
        raise AccessError(f"{value!r} cannot be the name of a {what}")
    return value


def _among(what: str, value: Any, known: Iterable[str]) -> str:
    if value not in known:
        raise AccessError(f"{what}: {value!r} is none of {', '.join(known)}")
    return str(value)


def _grants(value: Mapping[str, Any], databases: tuple[str, ...]) -> Grants:
    return {
        _among("database", database, databases): frozenset(_among("privilege", each, PRIVILEGES) for each in privileges)
        for database, privileges in value.items()
    }


def _network(value: str) -> str:
    network = ipaddress.IPv4Network(value)
    if network.prefixlen < 8 or network.with_netmask != value:
        raise AccessError(f"{value!r} is not a network such as 10.100.0.0/255.255.255.0, of at most 2^24 addresses")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 9999:
        raise AccessError(f"{value!r} is not a number of connections from 1 to 9999")
    return value


def read_file(sha256: str | None = None) -> WantedAccess:
    """The file that was pushed."""
    try:
        text = FILE.read_bytes()
    except FileNotFoundError:
        raise AccessError(f"{FILE} is not there; run `pulumi up`") from None
    if sha256 is not None and hashlib.sha256(text).hexdigest() != sha256:
        raise AccessError(f"{FILE} is not the one that was pushed; `fortress drift --repair` puts it back")
    return parse(text.decode(errors="replace"))


def read_passwords(sent: bytes, accounts: Iterable[str]) -> dict[str, str]:
    """Hash by account, as MariaDB stores it: SHA1(SHA1(password)).

    Raises:
        AccessError: a password is missing, or what was sent did not arrive whole.
    """
    hashes = {}
    lines = sent.split(b"\n")
    if lines.pop() != b"":
        raise AccessError("the passwords did not arrive whole: their last line has no end")
    for line in lines:
        name, _, password = line.partition(b" ")
        if not password or b"\0" in password:
            raise AccessError("an account has no password, or there is a NUL in it")
        hashes[name.decode(errors="replace")] = f"*{hashlib.sha1(hashlib.sha1(password).digest()).hexdigest().upper()}"  # noqa: S324 - MariaDB's own
    if hashes.keys() != set(accounts):
        raise AccessError(f"passwords of {', '.join(accounts)} are wanted, and not of {', '.join(hashes) or 'nobody'}")
    return hashes


# --- whether a password is still the one that was set -----------------------------------------------------------------


@dataclass(frozen=True)
class PasswordMarks:
    """Keyed hashes of what MariaDB stores of passwords: they tell whether one is another, and nothing else."""

    key: str
    """In hexadecimal."""
    accounts: Mapping[str, Sequence[str]]
    """By account; more than one while a password is being changed."""

    def of(self, hash_: str) -> str:
        """The mark of what MariaDB stores."""
        return hmac.new(bytes.fromhex(self.key), hash_.encode(), "sha256").hexdigest()

    def another(self, user: str, hash_: str) -> bool:
        """Whether an account's is known not to be the one that was set."""
        return user in self.accounts and self.of(hash_) not in self.accounts[user]


def read_marks() -> PasswordMarks | None:
    """Those that are kept; None where none are, as on a host from before there were any."""
    try:
        found = json.loads(PASSWORDS.read_text())
        marks = PasswordMarks(str(found["key"]), {user: tuple(each) for user, each in found["accounts"].items()})
        marks.of("")
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return marks


def keep_marks(hashes: Mapping[str, str], before: PasswordMarks | None) -> None:
    """Remember what the passwords are that are set, by account, and those of `before`."""
    marks = before or PasswordMarks(secrets.token_hex(32), {})
    accounts = {user: [*marks.accounts.get(user, ()), marks.of(each)] for user, each in hashes.items()}
    text = json.dumps({"key": marks.key, "accounts": accounts})
    new = PASSWORDS.with_suffix(".new")
    new.write_text(text + "\n")
    new.replace(PASSWORDS)


# --- the server -------------------------------------------------------------------------------------------------------


def _client(statements: str) -> subprocess.CompletedProcess[str]:
    words = ["mariadb", "--no-defaults", "--protocol=socket", f"--socket={SOCKET}", "--user=root"]
    words += ["--connect-timeout=5", "--default-character-set=utf8mb4", "--batch", "--skip-column-names"]
    return subprocess.run(
        words, input=statements, capture_output=True, text=True, errors="surrogateescape", check=False
    )


def tell(statements: str) -> list[list[str]]:
    """Run SQL; gives the rows.

    Accounts belong to this host, so neither replicas nor other members of a cluster hear of them. A known sql_mode,
    because it decides how quotes are read; a limit, because a backup may hold locks.
    """
    here = "SET SESSION sql_log_bin = 0, wsrep_on = OFF, sql_mode = '', lock_wait_timeout = 30;"
    done = _client(f"{here}\n{statements}\n")
    if done.returncode != 0:
        raise AccessError(f"MariaDB refused a statement: {done.stderr.strip()}")
    return [[_unescaped(cell) for cell in line.split("\t")] for line in done.stdout.split("\n")[:-1]]


def ask(questions: Mapping[Question, str]) -> dict[Question, list[list[str]]]:
    """The answers to several questions, in one connection."""
    mark = secrets.token_hex(16)
    rows = tell("\n".join(f"SELECT '{mark}';\n{each}" for each in questions.values())) if questions else []
    answers: list[list[list[str]]] = []
    for row in rows:
        if row == [mark]:
            answers.append([])
        else:
            answers[-1].append(row)
    return dict(zip(questions, answers, strict=True))


def _unescaped(cell: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t", "0": "\0"}.get(found[1], found[1]), cell)


def quoted(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def at(user: str, host: str) -> str:
    """An account, or a role, as a statement names it."""
    return f"{quoted(user)}@{quoted(host)}" if host else quoted(user)


def shown(user: str, host: str) -> str:
    """The same as MariaDB prints it."""
    return f"`{user}`@`{host}`" if host else f"`{user}`"


def wait_for_server() -> None:
    """Until it answers."""
    deadline = time.monotonic() + WAIT_S
    while (done := _client("SELECT 1;")).returncode != 0:
        said = done.stderr.strip()
        if "ERROR 1045" in said or "ERROR 1698" in said:  # it answers: waiting changes nothing
            raise AccessError(
                f"MariaDB refuses root at its socket ({said}): root has a password there. "
                "Give root the socket back, by it:\n"
                '  sudo mariadb --user=root --password --execute="ALTER USER root@localhost IDENTIFIED VIA unix_socket"'
            )
        if time.monotonic() > deadline:
            raise AccessError(f"MariaDB has not answered within {WAIT_S} s: {said}")
        time.sleep(1)


@dataclass(frozen=True)
class StandingAccount:
    """An account or a role as the server has it."""

    hashes: tuple[str, ...] = ()
    """Of its passwords, the newest first; a role has none, nor has an account that logs in otherwise."""
    terms: str = ""
    """What its login is tied to, as MariaDB prints it."""
    grants: Grants = field(default_factory=dict)
    role: str | None = None
    odd: tuple[str, ...] = ()
    """Grants of other kinds, which no file has."""


def scope(database: str) -> str:
    """A database in a grant: an underscore stands for any letter there, and app_1 would open appx1 too."""
    return "`" + database.replace("_", "\\_") + "`.*"


def read_login(made: str, user: str, host: str) -> tuple[tuple[str, ...], str]:
    """Hashes and terms, from what SHOW CREATE USER prints."""
    rest = made.removeprefix(f"CREATE USER {shown(user, host)} ")
    found = _BY_PASSWORD.match(rest) or _BY_PASSWORDS.match(rest)
    if found is None:
        return (), rest
    return tuple(re.findall(_HASH, found[0])), rest[found.end() :].strip()


def read_grants(lines: Iterable[str], user: str, host: str) -> tuple[Grants, str | None, tuple[str, ...]]:
    """Privileges by database, the role, and all else, from what SHOW GRANTS prints."""
    to = f" TO {shown(user, host)}"
    grants: dict[str, frozenset[str]] = {}
    roles, default, odd = [], None, []
    for line in lines:
        what, _, tail = line.partition(to)
        on_database = re.fullmatch(r"GRANT ([A-Z ,]+) ON `([^`]+)`\.\*", what)
        if what == "GRANT USAGE ON *.*" and "GRANT OPTION" not in tail:
            continue
        if line == f"SET DEFAULT ROLE `{default_role(line)}` FOR {shown(user, host)}":
            default = default_role(line)
        elif on_database and not tail and scope(on_database[2].replace("\\_", "_")) == f"`{on_database[2]}`.*":
            grants[on_database[2].replace("\\_", "_")] = frozenset(on_database[1].split(", "))
        elif (role := re.fullmatch(r"GRANT `([^`]+)`", what)) and not tail:
            roles.append(role[1])
        else:  # a tail may have the hash of a password in it
            odd.append(what + "".join(each for each in (" WITH GRANT OPTION", " WITH ADMIN OPTION") if each in tail))
    odd += [f"GRANT `{name}`" for name in roles if name != default]
    if default is not None and default not in roles:
        odd.append(f"SET DEFAULT ROLE `{default}`")
    return grants, default if default in roles else None, tuple(odd)


def default_role(line: str) -> str:
    """The role in SET DEFAULT ROLE, or nothing."""
    found = re.match(r"SET DEFAULT ROLE `([^`]+)`", line)
    return found[1] if found else ""


def grantees() -> list[tuple[str, str, bool]]:
    """User, host and whether it is a role, of all that the server has."""
    rows = tell("SELECT User, Host, JSON_VALUE(Priv, '$.is_role') FROM mysql.global_priv ORDER BY User, Host;")
    return [(user, host, role in ("1", "true")) for user, host, role in rows]


def look(names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], StandingAccount]:
    """How each of these stands, by user and host. A role has no host."""
    questions = {}
    for user, host in names:
        if host:
            questions["made", user, host] = f"SHOW CREATE USER {at(user, host)};"
        questions["granted", user, host] = f"SHOW GRANTS FOR {at(user, host)};"
    said = ask(questions)
    found = {}
    for kind, user, host in said:
        if kind == "granted":
            ((made,),) = said.get(("made", user, host), [[""]])
            hashes, tied = read_login(made, user, host) if host else ((), "")
            grants, role, odd = read_grants((row[0] for row in said[kind, user, host]), user, host)
            found[user, host] = StandingAccount(hashes, tied, grants, role, odd)
    return found


def terms(account: WantedAccount) -> str:
    """The terms of an account as MariaDB prints them."""
    return f"REQUIRE SSL WITH MAX_USER_CONNECTIONS {account.connections}"


def wanted(access: WantedAccess) -> Iterator[tuple[str, str, WantedAccount]]:
    """All that the file says, one a row: user, host and what it may. Roles come first, and have no host."""
    for role, grants in access.roles.items():
        yield role, "", WantedAccount((), 0, grants)
    for user, account in access.accounts.items():
        for network in account.networks:
            yield user, network, account


# --- ensure -----------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Tell the one who pushes what changed."""
    print(text, flush=True)


OF_NOBODY = "FROM mysql.db WHERE User = '' AND Db IN ('test', 'test\\\\_%');"
DOORS = {
    "root": f"SHOW CREATE USER {at(*ROOT)};",
    "of nobody": f"SELECT COUNT(*) {OF_NOBODY}",
    "databases": "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA;",
    "in test": "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'test') "
    "+ (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'test');",
}
"""What is asked to see whether root logs in by the unix socket alone, and nothing is open to everybody."""


def close_doors(there: Sequence[tuple[str, str, bool]]) -> set[str]:
    """Root by the unix socket alone, no account without a name, nothing that everybody may use. Gives the databases."""
    for user, host, role in there:
        if not role and is_door(user, host):
            tell(f"DROP USER {at(user, host)};")
            say(f"dropped account {at(user, host)}")
    found = ask(DOORS | everybodys(there))
    if found["root"] != [[ROOT_BY_SOCKET]]:
        tell(
            f"ALTER USER {at(*ROOT)} IDENTIFIED VIA unix_socket REQUIRE NONE WITH {CLOSED} MAX_USER_CONNECTIONS 0 "
            "ACCOUNT UNLOCK PASSWORD EXPIRE DEFAULT;"
        )
        say("root now logs in through the unix socket only")
    if found["of nobody"] != [["0"]]:  # what an account without a name has, everybody has
        tell(f"DELETE {OF_NOBODY} FLUSH PRIVILEGES;")
        say("closed the test databases, which were open to accounts without a name")
    if grants := [row[0].removesuffix(" TO PUBLIC") for row in found.get("everybody", [])]:
        tell("REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC;")
        others = [each for each in grants if not re.search(r"ON `test(\\_%)?`\.\*", each)]
        if len(others) < len(grants):
            say("closed the test databases, which were open to everybody")
        for each in others:
            say(f"took from everybody: {each}")
    databases = {row[0] for row in found["databases"]}
    if "test" in databases:
        if found["in test"] != [["0"]]:
            raise AccessError("the database test is not empty: move its tables to another one, or drop it")
        tell("DROP DATABASE test;")
        say("dropped the empty database test")
    return databases


def is_door(user: str, host: str) -> bool:
    """Whether it is an account that lets strangers in: without a name, or root from elsewhere."""
    return user == "" or (user == "root" and host != "localhost")


def everybodys(there: Iterable[tuple[str, str, bool]]) -> dict[str, str]:
    """The question what every account may do beside its own."""
    return {"everybody": "SHOW GRANTS FOR PUBLIC;"} if any(user == "PUBLIC" for user, _, _ in there) else {}


def make_database(database: str) -> None:
    """Make one that is not there."""
    # A copy has what its primary has, and a transaction of its own would end that. Changes reach the primary last.
    if tell("SHOW ALL SLAVES STATUS;"):
        say(f"this copy gets database {database} from its primary")
        return
    # With the binary log: a replica needs the database before its first table. One of several servers starts read-only;
    # before it takes part it is nobody's primary, and who copies it later gets all of its data.
    ((read_only, takes_part, member),) = tell(
        "SELECT @@global.read_only, (SELECT COUNT(*) FROM information_schema.TABLES "
        "WHERE TABLE_SCHEMA = '_fortress' AND TABLE_NAME = 'primaries'), @@global.wsrep_on;"
    )
    if read_only != "0" and takes_part != "0" and member == "0":
        raise AccessError(
            f"this server is read-only now, so it cannot make the database {database}: see fortress status"
        )
    # The members of a cluster get it from any of them.
    logged = "1, wsrep_on = ON" if member != "0" else "0" if read_only != "0" else "1"
    tell(f"SET SESSION sql_log_bin = {logged}; CREATE DATABASE `{database}` CHARACTER SET utf8mb4 COLLATE {COLLATION};")
    say(f"created database {database}")


# What this script made, in the data itself: a data volume that moves to another host takes it along. No application can
# have a database whose name starts with an underscore.
RECORD = (
    "CREATE DATABASE IF NOT EXISTS _fortress CHARACTER SET utf8mb4; "
    "CREATE TABLE IF NOT EXISTS _fortress.accounts (user VARCHAR(80), host VARCHAR(255), PRIMARY KEY (user, host)) "
    "CHARACTER SET ascii COLLATE ascii_bin;"
)


def recorded() -> list[tuple[str, str]]:
    """User and host of what this script made; a role has no host."""
    if not tell(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = '_fortress' AND TABLE_NAME = 'accounts';"
    ):
        return []
    return [(user, host) for user, host in tell("SELECT user, host FROM _fortress.accounts ORDER BY user, host;")]


def ensure_login(
    user: str, host: str, account: WantedAccount, found: StandingAccount | None, new: str, old_passwords: str
) -> None:
    """An account with its password; the one before goes on beside it unless it is to end at once."""
    hashes: tuple[str, ...] = (new,)
    if found and old_passwords != "end":
        hashes += tuple(each for each in found.hashes if each != new)
    if len(hashes) > MOST_PASSWORDS:
        raise AccessError(
            f"account {user} takes two passwords already, since the last change of it has not come to its end, and "
            "neither is the new one. Set the last one again and run `pulumi up`, or end the one before it: "
            "sudo /usr/local/lib/fortress/mariadb-access retire; then change it"
        )
    if found and (found.hashes, found.terms) == (hashes, terms(account)):
        return
    verb = "ALTER" if found else "CREATE"
    tell(f"{verb} USER {at(user, host)} {login(hashes, account)}; {REREAD}")
    if found is None:
        say(f"created account {user} of {host}")
    elif len(hashes) > 1:
        say(f"account {user} of {host} takes its new password, and the one before too")
    else:
        say(f"set password and limits of account {user} of {host}")


REREAD = "FLUSH PRIVILEGES;"
"""For an address that is known the server keeps the limit that it had."""


def login(hashes: Iterable[str], account: WantedAccount) -> str:
    """The part of a statement that says how an account logs in, and all else that it has to MariaDB's defaults."""
    ways = " OR ".join(f"mysql_native_password USING '{each}'" for each in hashes)
    return (
        f"IDENTIFIED VIA {ways} REQUIRE SSL WITH {CLOSED} MAX_USER_CONNECTIONS {account.connections} "
        "ACCOUNT UNLOCK PASSWORD EXPIRE DEFAULT"
    )


def given(user: str, host: str, account: WantedAccount) -> str:
    """Statements that grant all that an account or role has."""
    parts = [
        f"GRANT {', '.join(sorted(privileges))} ON {scope(database)} TO {at(user, host)};"
        for database, privileges in account.grants.items()
    ]
    if account.role:
        parts.append(
            f"GRANT '{account.role}' TO {at(user, host)}; SET DEFAULT ROLE '{account.role}' FOR {at(user, host)};"
        )
    return " ".join(parts)


def ensure_grants(
    user: str, host: str, account: WantedAccount, found: StandingAccount, new: str | None, access: WantedAccess
) -> None:
    """What an account or role may do, and no more. What is taken away closes connections: they keep what they had."""
    whose = f"{user} of {host}" if host else f"role {user}"
    clients = [user] if host else [name for name, each in access.accounts.items() if each.role == user]
    throw_out = " ".join(f"KILL HARD CONNECTION USER {quoted(each)};" for each in clients)
    if found.odd or found.role not in (None, account.role):
        # Grants of another hand, of whatever kind: start from nothing, in one step. Old passwords end with it.
        made = f"USER {at(user, host)} {login([new], account)}; {REREAD}" if new else f"ROLE {at(user, host)};"
        tell(f"CREATE OR REPLACE {made} {given(user, host, account)} {throw_out}")
        say(f"{whose} had unexpected privileges: recreated")
        return
    for database in sorted({*account.grants, *found.grants}):
        want, have = account.grants.get(database, frozenset()), found.grants.get(database, frozenset())
        if missing := sorted(want - have):
            tell(f"GRANT {', '.join(missing)} ON {scope(database)} TO {at(user, host)};")
            say(f"granted to {whose} on {database}: {', '.join(missing)}")
        if surplus := sorted(have - want):
            tell(f"REVOKE {', '.join(surplus)} ON {scope(database)} FROM {at(user, host)}; {throw_out}")
            say(f"revoked from {whose} on {database}: {', '.join(surplus)}")
    if account.role and found.role is None:
        tell(f"GRANT '{account.role}' TO {at(user, host)}; SET DEFAULT ROLE '{account.role}' FOR {at(user, host)};")
        say(f"granted to {whose}: role {account.role}")


def differs(account: WantedLocal, found: StandingAccount) -> Iterator[str]:
    """How an account of a program of the host differs from what it should be."""
    if found.hashes or found.terms != account.terms:
        yield "logs in otherwise than by the unix socket, or with other limits"
    others = {*(f"GRANT {', '.join(sorted(each))} ON {scope(on)}" for on, each in found.grants.items()), *found.odd}
    if found.role:
        others.add(f"GRANT `{found.role}`")
    yield from (f"has {each.removeprefix('GRANT ')}, too" for each in sorted(others - {account.grant}))
    if account.grant not in others:
        yield f"lacks {account.grant.removeprefix('GRANT ')}"


def ensure_local(access: WantedAccess, known: set[tuple[str, str]]) -> None:
    """The accounts of programs of the host. One that is otherwise is made anew: none has anything to keep."""
    rows = {(user, LOCAL): account for user, account in access.local.items()}
    standing = look(each for each in rows if each in known)
    for (user, host), account in rows.items():
        if (user, host) in standing and not list(differs(account, standing[user, host])):
            continue
        tell(
            f"CREATE OR REPLACE USER {at(user, host)} {account.terms}; {account.grant} TO {at(user, host)}; {REREAD} "
            f"KILL HARD CONNECTION USER {quoted(user)};"
        )
        say(f"made account {user}, which programs of this host have by the unix socket")


def drop(user: str, host: str, kept: Iterable[str]) -> None:
    """An account, or a role, and its connections, which dropping leaves open; whoever has a kept name keeps his."""
    if host:
        kill = "" if user in kept else f"KILL HARD CONNECTION USER {quoted(user)};"
        tell(f"DROP USER IF EXISTS {at(user, host)}; {kill}")
    else:
        tell(f"DROP ROLE IF EXISTS {at(user, host)};")
    tell(f"DELETE FROM _fortress.accounts WHERE user = {quoted(user)} AND host = {quoted(host)};")
    say(f"dropped account {user} of {host}" if host else f"dropped role {user}")


def ensure(sha256: str) -> None:
    """Make all that the file says."""
    access = read_file(sha256)
    hashes = read_passwords(sys.stdin.buffer.read(), access.accounts)
    wait_for_server()
    there = grantees()
    databases = close_doors(there)
    for database in access.databases:
        if database not in databases:
            make_database(database)
    rows = list(wanted(access))
    kept = {(user, host) for user, host, _ in rows} | {(user, LOCAL) for user in access.local}
    # Recorded before they are made, so that none is ever forgotten.
    entries = ", ".join(f"({quoted(user)}, {quoted(host)})" for user, host in sorted(kept))
    tell(f"{RECORD} INSERT IGNORE INTO _fortress.accounts VALUES {entries};")
    known = {(user, host) for user, host, _ in there}
    if (marks := read_marks()) is not None:
        # Were this cut, either password would be one of ours.
        keep_marks(hashes, marks)
    ensure_each([row for row in rows if not row[1]], hashes, access, known, marks)
    # Whoever has a role that was made anew has it no more.
    ensure_each([row for row in rows if row[1]], hashes, access, known, marks)
    ensure_local(access, known)
    strangers = [(user, host) for user, host, role in there if not role and user in access.names]
    for user, host in dict.fromkeys([*recorded(), *strangers]):
        if (user, host) not in kept:
            drop(user, host, access.names)
    keep_marks(hashes, None)
    # Another answer each time, so that whatever follows the passwords runs after each look at them.
    say(f"accounts {sha256[:12]} {time.time_ns()}")


def ensure_each(
    rows: Sequence[tuple[str, str, WantedAccount]],
    hashes: Mapping[str, str],
    access: WantedAccess,
    known: set[tuple[str, str]],
    marks: PasswordMarks | None,
) -> None:
    """All roles, or all accounts, as they are wanted. `known` are those that are there. A password that is another one
    than the marks say is no password before: it ends."""
    standing = look((user, host) for user, host, _ in rows if (user, host) in known)
    for user, host, account in rows:
        found = standing.get((user, host))
        new = hashes[user] if host else None
        if new:
            by_hand = bool(found and marks and any(marks.another(user, each) for each in found.hashes[:1]))
            ensure_login(user, host, account, found, new, "end" if by_hand else access.old_passwords)
        elif found is None:
            tell(f"CREATE ROLE {at(user, host)};")
            say(f"created role {user}")
        ensure_grants(user, host, account, found or StandingAccount(), new, access)


def retire() -> None:
    """End the passwords before the present ones, unless they are to stay."""
    access = read_file()
    if access.old_passwords == "keep":
        return
    wait_for_server()
    known = {(user, host) for user, host, _ in grantees()}
    accounts = {(user, host): account for user, host, account in wanted(access) if host and (user, host) in known}
    for (user, host), found in look(accounts).items():
        if len(found.hashes) > 1:
            tell(f"ALTER USER {at(user, host)} {login(found.hashes[:1], accounts[user, host])};")
            say(f"ended the password before of account {user} of {host}")


# --- state ------------------------------------------------------------------------------------------------------------


def differences(access: WantedAccess, there: Sequence[tuple[str, str, bool]]) -> list[str]:
    """How the server differs from the file, a sentence each."""
    rows = list(wanted(access))
    known = {(user, host) for user, host, _ in there}
    local = {(user, LOCAL): account for user, account in access.local.items()}
    names = [*((user, host) for user, host, _ in rows), *local]
    standing = look(each for each in names if each in known)
    doors = ask(DOORS | everybodys(there))
    marks, found = read_marks(), []
    for user, host, account in rows:
        whose = f"{user} of {host}" if host else f"role {user}"
        if (user, host) not in known:
            found.append(f"{whose} is missing")
        else:
            found += [f"{whose} {each}" for each in compare(account, standing[user, host], access.old_passwords)]
            if marks and any(marks.another(user, each) for each in standing[user, host].hashes[:1]):
                found.append(f"{whose} has another password than `pulumi up` gave it")
    for (user, host), one in local.items():
        if (user, host) not in known:
            found.append(f"{user} of {host} is missing")
        else:
            found += [f"{user} of {host} {each}" for each in differs(one, standing[user, host])]
    networks = {user: account.networks for user, account in access.accounts.items()}
    networks |= dict.fromkeys(access.local, (LOCAL,))
    for user, host, role in there:
        if not role and (is_door(user, host) or (user in networks and host not in networks[user])):
            found.append(f"{user or 'an account without a name'} may come from {host}, too")
    if doors["root"] != [[ROOT_BY_SOCKET]]:
        found.append("root logs in otherwise than by the unix socket alone")
    for (each,) in doors.get("everybody", []):
        found.append(f"everybody may: {each.removeprefix('GRANT ').removesuffix(' TO PUBLIC')}")
    missing = [each for each in access.databases if [each] not in doors["databases"]]
    return found + [f"database {each} is missing" for each in missing]


def compare(account: WantedAccount, found: StandingAccount, old_passwords: str) -> Iterator[str]:
    """How one differs from what it should be. No word has a password in it."""
    if account.networks:
        if not found.hashes:
            yield "logs in otherwise than by its password"
        elif found.terms != terms(account):
            yield f"has other terms: {found.terms or 'none'} in place of {terms(account)}"
        if len(found.hashes) > 1 and old_passwords != "keep":
            yield "takes its password before the last change too; the next `pulumi up` ends it"
    for database in sorted({*account.grants, *found.grants}):
        want, have = account.grants.get(database, frozenset()), found.grants.get(database, frozenset())
        if surplus := sorted(have - want):
            yield f"has {', '.join(surplus)} on {database}, too"
        if missing := sorted(want - have):
            yield f"lacks {', '.join(missing)} on {database}"
    if account.role != found.role:
        yield f"has the role {found.role or 'none'} in place of {account.role or 'none'}"
    yield from (f"has {each.removeprefix('GRANT ')}, too" for each in found.odd)


def state() -> None:
    """Print how the server differs, and who else has an account there."""
    access = read_file()
    wait_for_server()
    ours, there = {*access.roles, *access.names}, grantees()
    others = [
        f"{user}@{host}" if host else user
        for user, host, _ in there
        if (user, host) not in OWN and user not in ours and not user.startswith("_") and not is_door(user, host)
    ]
    accounts = sum(len(each.networks) for each in access.accounts.values()) + len(access.local)
    found = differences(access, there)
    compared = read_marks() is not None
    print(json.dumps({"accounts": accounts, "differences": found, "others": others, "passwords": compared}))


# --- the end ----------------------------------------------------------------------------------------------------------


def remove() -> None:
    """Drop what was made. The record itself stays, empty: it tells whose data these are, to the next stack or machine
    that has them."""
    PASSWORDS.unlink(missing_ok=True)
    if shutil.which("mariadbd") is None:  # a server that is not installed lets nobody in
        return
    wait_for_server()
    for user, host in recorded():
        drop(user, host, ())


def wipe() -> None:
    """Delete all data."""
    if shutil.which("mariadbd") is None:
        raise AccessError("MariaDB is not installed: nothing was deleted")
    if not DATA.is_dir() or DATA.is_symlink():
        raise AccessError(f"{DATA} is not a folder: nothing was deleted")
    said = _run("my_print_defaults", "--mariadbd")
    if said.returncode != 0:
        raise AccessError("MariaDB's configuration cannot be read: nothing was deleted")
    folders = [line.removeprefix("--datadir=") for line in said.stdout.splitlines() if line.startswith("--datadir=")]
    if folders and folders[-1].rstrip("/") not in ("", str(DATA)):
        raise AccessError(f"MariaDB keeps its data in {folders[-1]}: nothing was deleted")
    if _run("systemctl", "stop", "mariadb.service").returncode != 0:
        raise AccessError("MariaDB does not stop: nothing was deleted")
    if _run("pgrep", "-x", "mariadbd|mysqld").returncode == 0:
        raise AccessError("a MariaDB still runs: nothing was deleted")

    # The folder stays, since it may be a mount; so do what a file system keeps there and Debian's mark of the version.
    stays = ("!", "-name", "lost+found", "!", "-name", "debian-*.flag")
    found = ("find", str(DATA), "-mindepth", "1", "-maxdepth", "1", *stays)
    _run(*found, "-exec", "rm", "-rf", "--one-file-system", "--", "{}", "+")
    if left := _run(*found).stdout.strip():
        raise AccessError(f"could not delete all data, this is left: {left}")

    # As Debian's package does it when it is installed. Without it MariaDB would not start again.
    setup = ("mariadb-install-db", "--rpm", "--cross-bootstrap", "--user=mysql", "--disable-log-bin", "--skip-test-db")
    done = _run(*setup)
    if done.returncode != 0:
        said_there = done.stdout + done.stderr
        raise AccessError(f"all data was deleted, but the empty system could not be set up: {said_there}")
    if _run("systemctl", "start", "mariadb.service").returncode != 0:
        log = _run("journalctl", "--unit=mariadb", "--lines=8", "--no-pager", "--quiet", "--output=cat").stdout
        raise AccessError(f"all data was deleted, but MariaDB does not start again\n{log}")
    PASSWORDS.unlink(missing_ok=True)
    say(f"deleted all data in {DATA}; MariaDB runs with an empty system")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, "", f"{words[0]} is missing")


# --- the command ------------------------------------------------------------------------------------------------------


def check(file: str) -> None:
    """Refuse a file that is not as it must be."""
    parse(Path(file).read_text(errors="replace"))


VERBS = {"check": check, "ensure": ensure, "retire": retire, "state": state, "remove": remove, "wipe": wipe}
TAKES = {"check": "FILE", "ensure": "SHA256"}


def usage() -> NoReturn:
    """Say what there is."""
    ways = " | ".join(f"{verb} {TAKES[verb]}" if verb in TAKES else verb for verb in VERBS)
    raise AccessError(f"usage: mariadb-access {ways}")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One run at a time: a connection that was cut may have left one behind."""
    with LOCK.open("w") as lock:
        for _ in range(WAIT_S):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(1)
        else:
            raise AccessError(f"another run has not ended within {WAIT_S} s")
        yield


def main(words: list[str]) -> None:
    """One verb."""
    os.umask(0o077)
    os.environ.update(LC_ALL="C.UTF-8", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    verb, *rest = words or [""]
    if verb not in VERBS or len(rest) != (1 if verb in TAKES else 0):
        usage()
    if os.geteuid() != 0:
        raise AccessError("run it as root")
    with alone() if verb not in ("check", "state") else contextlib.nullcontext():
        VERBS[verb](*rest)  # type: ignore[operator]


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AccessError as error:
        sys.exit(f"mariadb-access: {error}")
