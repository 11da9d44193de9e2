"""Debian's MariaDB under the rendered configuration and the two host scripts, as on a fortress host.

One host for all tests, and one of each release for those of the configuration; each test brings what it looks at into
the state that it needs, in whatever order they run.
"""

from __future__ import annotations

import contextlib
import re
import resource
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql  # type: ignore[import-untyped]
import pytest

from fortress import access, mariadb
from fortress.access import Application
from fortress.mariadb import Authority, Server, authority_arguments, render
from lab.base.folders import RELEASES
from tests.engine.mariadb_host import ADDRESS, SERVER_LOG, STRANGER, WORKERS, Host, host
from tests.unit.facts import changed_facts

SERVER = Server(address=ADDRESS, ram_mb=1024)
APP = Application(
    database="app_1", user="app", network="10.100.0.0/24", privileges=["SELECT", "INSERT", "CREATE", "DROP"]
)
PASSWORD = b"correct horse"
NETWORK = "10.100.0.0/255.255.255.0"
FOLDER = mariadb.TLS_FOLDER


@contextlib.contextmanager
def serving(work: Path, release: str) -> Iterator[Host]:
    """A host of a Debian release on which MariaDB runs as configured."""
    with host(work, release) as running:
        running.script("mariadb-authority", *authority_arguments(Authority(address=ADDRESS, names=("oslo-db",))))
        running.write(mariadb.CONFIG_PATH, render(SERVER))
        running.check("systemctl", "start", "mariadb.service")
        yield running


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with serving(tmp_path_factory.mktemp("mariadb"), RELEASES[0]) as running:
        yield running


@pytest.fixture(scope="module", params=RELEASES)
def each(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One host after another, with MariaDB 11.8 and 10.11."""
    with serving(tmp_path_factory.mktemp("mariadb"), request.param) as running:
        yield running


def pushed(db: Host, app: Application = APP) -> tuple[str, ...]:
    """Put the file of accounts that says this of one application; gives the words that make it so."""
    account = access.Account(
        networks=[app.network],
        privileges={app.database: app.privileges},
        connections_per_client=app.connections_per_client,
    )
    text = access.render(access.Access(databases=[app.database], accounts={app.user: account}))
    db.write(access.PATH, text)
    db.script("mariadb-access", "check", access.PATH)
    return access.ensure(text)[1:]


def allow(db: Host, app: Application = APP, password: bytes = PASSWORD) -> str:
    """Run `mariadb-access ensure`; gives what it says that it changed."""
    said = db.script("mariadb-access", *pushed(db, app), stdin=app.user.encode() + b" " + password + b"\n")
    *changes, answer = said.splitlines(keepends=True)
    assert answer.startswith("accounts ")
    return "".join(changes)


def not_allowed(db: Host, password: bytes = PASSWORD) -> str:
    """The same where it must fail; gives the error."""
    return db.refused("mariadb-access", *pushed(db), stdin=b"app " + password + b"\n")


def certify(db: Host, *names: str) -> str:
    """Run `mariadb-authority ensure` and give what it prints."""
    return db.script("mariadb-authority", *authority_arguments(Authority(address=ADDRESS, names=names or ("oslo-db",))))


def verified(ca_pem: str) -> ssl.SSLContext:
    """A client that trusts one authority only, and wants the server's name."""
    return ssl.create_default_context(cadata=ca_pem)


@pytest.fixture
def tls(db: Host) -> ssl.SSLContext:
    """A client of the present authority."""
    return verified((db.root / FOLDER[1:] / "ca.pem").read_text())


def refused(error: type[Exception], words: str) -> contextlib.AbstractContextManager[object]:
    return pytest.raises(error, match=words)


# The configuration.


def test_the_server_takes_every_line(each: Host) -> None:
    """Each value of the file is what the running server says; nothing in it is unknown, deprecated or adjusted."""
    said = dict(each.sql("SHOW GLOBAL VARIABLES;"))
    lines = [line.split(" = ") for line in render(SERVER).splitlines() if " = " in line and not line.startswith("#")]
    assert len(lines) > 25
    for name, value in lines:
        if name == "log_bin":  # the server shows the name under another one
            assert (said["log_bin"], said["log_bin_basename"]) == ("ON", f"/var/lib/mysql/{value}")
        elif name == "binlog_expire_logs_seconds":
            assert said[name] == value
            assert said["expire_logs_days"] == "7.000000"  # Debian's 10 is overruled
        elif name == "ignore_db_dirs":
            assert said[name].split(",")[0] == value  # from 11.7 on the server adds a folder of its own
        elif name == "old_style_user_limits":
            assert name not in said  # it can be given at the start only: what it does is looked at below
        elif value.endswith("M"):
            assert said[name] == str(int(value[:-1]) * 2**20), name
        else:
            assert said[name] == value, name


def test_the_server_has_nothing_to_say_about_it(each: Host) -> None:
    allowed = ["failed to retrieve the MAC address"]  # there is no network device here but the loopback
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 65536:
        allowed.append("Could not increase number of max_open_files")  # the limit of whoever runs the tests
    log = (each.root / SERVER_LOG.lstrip("/")).read_text()
    first_start = log.partition("ready for connections")[0]
    assert f"Starting MariaDB {each.version}." in first_start
    complaints = [line for line in first_start.splitlines() if "[Warning]" in line or "[ERROR]" in line]
    assert [line for line in complaints if not any(words in line for words in allowed)] == []


def test_it_listens_on_the_tunnel_only(each: Host) -> None:
    listening = [line.split() for line in each.check("ss", "--no-header", "-tuln").splitlines()]
    assert [(line[0], line[4]) for line in listening] == [("tcp", f"{ADDRESS}:3306")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no_such_variable = 1", "unknown variable 'no_such_variable=1'"),
        ("max_connections = many", "option 'max_connections': unsigned value 0 adjusted to 10"),
        ("binlog_format = RAW", "Error while setting value 'RAW' to 'binlog_format'"),
        ("innodb_flush_method = fast", "Error while setting value 'fast' to 'innodb-flush-method'"),
    ],
)
def test_the_check_refuses_a_broken_file(each: Host, line: str, words: str) -> None:
    each.write("/tmp/candidate.cnf", render(SERVER) + line + "\n")  # noqa: S108 - on the host
    done = each.run("sh", "-c", mariadb.CONFIG_CHECK, "fortress-push", "/tmp/candidate.cnf")  # noqa: S108
    assert done.returncode == 1
    assert words in done.stderr.decode()
    assert len(done.stderr.splitlines()) <= 2


def test_the_check_accepts_ours_and_touches_nothing(each: Host) -> None:
    each.write("/tmp/candidate.cnf", render(SERVER))  # noqa: S108
    before = each.check("find", "/var/lib/mysql", "-printf", "%p\\n")
    done = each.run("sh", "-c", mariadb.CONFIG_CHECK, "fortress-push", "/tmp/candidate.cnf")  # noqa: S108
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert each.check("find", "/var/lib/mysql", "-printf", "%p\\n") == before


def test_apparmor_does_not_confine_it(each: Host) -> None:
    """Where the package brings a profile that does, that must allow what lies in /etc/mysql/fortress."""
    profile = (each.root / "etc/apparmor.d/usr.sbin.mariadbd").read_text()
    assert [line for line in profile.splitlines() if line.strip() and not line.startswith("#")] == []


def test_text_is_all_of_unicode(db: Host) -> None:
    allow(db)
    assert db.sql("SELECT '😀' = '😁' COLLATE utf8mb4_unicode_520_ci, '😀' = '😁' COLLATE utf8mb4_general_ci;") == [
        ["0", "1"]
    ]
    made = db.sql(
        "SELECT DEFAULT_COLLATION_NAME, @@collation_server FROM information_schema.SCHEMATA "
        "WHERE SCHEMA_NAME = 'app_1';"
    )
    assert made == [[mariadb.COLLATION, mariadb.COLLATION]]


# The start after the tunnel.


def test_systemd_reads_the_drop_in(db: Host) -> None:
    db.write("/etc/systemd/system/wg-quick@.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
    db.write(mariadb.DROP_IN_PATH, mariadb.drop_in())
    verify = ("systemd-analyze", "verify", "--man=no", "mariadb.service")
    done = db.run(*verify)
    assert (done.returncode, done.stderr) == (0, b"")
    # It would say so:
    db.write(mariadb.DROP_IN_PATH, mariadb.drop_in().replace("Restart=", "Restarts="))
    assert b"Unknown key 'Restarts'" in db.run(*verify).stderr


def test_a_tunnel_that_comes_late_is_served(db: Host, tls: ssl.SSLContext) -> None:
    """MariaDB binds an address before it is there, so a slow or restarted tunnel costs no start of the database."""
    allow(db)
    db.check("systemctl", "stop", "mariadb.service")
    db.check("ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo")
    try:
        db.check("systemctl", "start", "mariadb.service")
    finally:
        db.check("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
    with db.connect("app", PASSWORD, tls):
        pass
    test_it_listens_on_the_tunnel_only(db)


# TLS.


def test_a_verified_connection(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    for name in (ADDRESS, "oslo-db"):
        with db.connect("app", PASSWORD, tls, name=name) as cursor:
            cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
            assert cursor.fetchone() == ("Ssl_version", "TLSv1.3")


def test_a_plain_connection_is_refused(db: Host, tls: ssl.SSLContext) -> None:
    """By the server, also for an account that would allow it; with the right password and with any."""
    words = "Connections using insecure transport are prohibited"
    db.sql(f"CREATE OR REPLACE USER loose@'{NETWORK}' IDENTIFIED BY 'loose';")
    try:
        with db.connect("loose", b"loose", tls):
            pass
        for password in (b"loose", b"other"):
            with refused(pymysql.err.OperationalError, words), db.connect("loose", password, None):
                pass
        db.sql("SET GLOBAL require_secure_transport = OFF;")
        with db.connect("loose", b"loose", None):  # so it was that
            pass
    finally:
        db.sql(f"SET GLOBAL require_secure_transport = ON; DROP USER loose@'{NETWORK}';")


def test_the_account_itself_wants_tls(db: Host) -> None:
    """Also when somebody switches the server's own requirement off."""
    allow(db)
    db.sql("SET GLOBAL require_secure_transport = OFF;")
    try:
        with refused(pymysql.err.OperationalError, "Access denied"), db.connect("app", PASSWORD, None):
            pass
    finally:
        db.sql("SET GLOBAL require_secure_transport = ON;")


def test_another_authority_is_refused(db: Host, tmp_path: Path) -> None:
    allow(db)
    other = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", f"/CN=fortress database authority {ADDRESS}", "-days", "1"]
    subprocess.run(
        [*other, *subject, "-keyout", tmp_path / "key", "-out", tmp_path / "ca"], check=True, capture_output=True
    )
    wrong = verified((tmp_path / "ca").read_text())
    with refused(pymysql.err.OperationalError, "CERTIFICATE_VERIFY_FAILED"), db.connect("app", PASSWORD, wrong):
        pass


def test_another_name_is_refused(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    for name in ("fra-1", "10.100.0.2"):
        with (
            refused(pymysql.err.OperationalError, "CERTIFICATE_VERIFY_FAILED.*mismatch"),
            db.connect("app", PASSWORD, tls, name=name),
        ):
            pass


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_tls_is_refused(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    tls.minimum_version = ssl.TLSVersion.TLSv1_1
    tls.maximum_version = ssl.TLSVersion.TLSv1_1
    tls.set_ciphers("DEFAULT@SECLEVEL=0")
    with refused(pymysql.err.OperationalError, "PROTOCOL_VERSION|SSL"), db.connect("app", PASSWORD, tls):
        pass


# The authority.


def served(db: Host, tls: ssl.SSLContext) -> bytes:
    """The certificate that the running server shows."""
    allow(db)
    with db.connect("app", PASSWORD, tls) as cursor:
        certificate: bytes = cursor.connection._sock.getpeercert(binary_form=True)
        return certificate


def modes(db: Host) -> list[str]:
    return sorted(db.check("find", FOLDER, "-printf", "%P %m %u:%g\\n").splitlines())


MODES = [" 750 root:mysql", "ca-key.pem 600 root:root", "ca.pem 644 root:root", "server.pem 640 root:mysql"]


def test_what_the_authority_makes(db: Host) -> None:
    db.script("mariadb-authority", "remove")
    printed = certify(db)
    assert modes(db) == MODES
    assert re.fullmatch(r"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END CERTIFICATE-----\n", printed)
    text = db.check("openssl", "x509", "-in", f"{FOLDER}/ca.pem", "-noout", "-text")
    assert "NIST CURVE: P-256" in text
    assert "CA:TRUE, pathlen:0" in text
    assert days(db, "ca.pem") == 3650
    assert days(db, "server.pem") == 398


def days(db: Host, file: str) -> int:
    """How long a certificate is valid from its first day on."""
    dates = db.check("openssl", "x509", "-in", f"{FOLDER}/{file}", "-noout", "-dates", "-dateopt", "iso_8601")
    first, last = re.findall(r"=(.*)Z", dates)
    return int(db.check("sh", "-c", f"echo $((($(date -d '{last}' +%s) - $(date -d '{first}' +%s)) / 86400))"))


def snapshot(db: Host) -> str:
    return db.check("find", FOLDER, "-type", "f", "-printf", "%P %i %T@ %C@\\n")


def test_the_second_run_changes_nothing(db: Host) -> None:
    printed = certify(db)
    before = snapshot(db)
    assert certify(db) == printed
    assert snapshot(db) == before


def test_other_names_make_a_new_certificate_which_a_running_server_shows(db: Host) -> None:
    ca_pem = certify(db)
    tls = verified(ca_pem)
    before = served(db, tls)
    assert certify(db, "oslo-db", "db.fortress.example") == ca_pem
    assert served(db, tls) != before
    with db.connect("app", PASSWORD, tls, name="db.fortress.example"):
        pass
    certify(db)


def sign(db: Host, authority: str, length_days: int) -> None:
    """Put another server certificate in place, for the right names, signed by the key and certificate given."""
    db.check(
        "sh",
        "-euc",
        f"""
        cd /tmp
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key
        openssl req -new -key key -subj /CN={ADDRESS} -out request
        echo 'subjectAltName = IP:{ADDRESS}, DNS:oslo-db' >extensions
        openssl x509 -req -in request -CA {authority}.pem -CAkey {authority}-key.pem -set_serial 1 \
            -days {length_days} -extfile extensions -out certificate
        cat key certificate >{FOLDER}/server.pem
        """,
    )


def end(db: Host) -> str:
    return db.check("openssl", "x509", "-in", f"{FOLDER}/server.pem", "-noout", "-enddate", "-issuer")


def test_a_certificate_near_its_end_is_renewed(db: Host, tls: ssl.SSLContext) -> None:
    sign(db, f"{FOLDER}/ca", 31)
    kept = end(db)
    certify(db)
    assert end(db) == kept
    sign(db, f"{FOLDER}/ca", 29)
    before = served(db, tls)
    certify(db)
    assert days(db, "server.pem") == 398
    assert served(db, tls) != before


def test_a_certificate_of_another_authority_is_renewed(db: Host, tls: ssl.SSLContext) -> None:
    db.check(
        "sh",
        "-euc",
        f"""openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 999 \
            -subj '/CN=fortress database authority {ADDRESS}' -keyout /tmp/other-key.pem -out /tmp/other.pem""",
    )
    sign(db, "/tmp/other", 398)  # noqa: S108 - on the host
    certify(db)
    served(db, tls)


@pytest.mark.parametrize("damage", ["rm", "truncate -s 0", "truncate -s 200", "sed -i 1,5d"])
def test_a_damaged_certificate_is_made_anew(db: Host, tls: ssl.SSLContext, damage: str) -> None:
    db.check("sh", "-c", f"{damage} {FOLDER}/server.pem")
    certify(db)
    served(db, tls)


def test_a_server_that_missed_the_renewal_hears_of_it_next_time(db: Host, tls: ssl.SSLContext) -> None:
    """The run was cut after the file was in place: the mark is still there."""
    before = served(db, tls)
    sign(db, f"{FOLDER}/ca", 300)
    db.check("touch", f"{FOLDER}/.flush")
    certify(db)
    assert served(db, tls) != before
    assert not (db.root / f"{FOLDER[1:]}/.flush").exists()


def test_loose_modes_are_closed(db: Host) -> None:
    certify(db)
    db.check(
        "sh", "-c", f"chmod 644 {FOLDER}/ca-key.pem {FOLDER}/server.pem; chown mysql {FOLDER}/*; chmod 777 {FOLDER}"
    )
    certify(db)
    assert modes(db) == MODES


def test_no_stranger_takes_the_authoritys_place(db: Host) -> None:
    """A lost or swapped key is said, not replaced: every client holds the old certificate."""
    certify(db)
    db.check("mv", f"{FOLDER}/ca-key.pem", f"{FOLDER}/kept")
    try:
        assert "ca-key.pem is missing" in db.refused("mariadb-authority", "ensure", ADDRESS, "oslo-db")
        db.check(
            "openssl",
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            f"{FOLDER}/ca-key.pem",
        )
        assert "is not the certificate of" in db.refused("mariadb-authority", "ensure", ADDRESS, "oslo-db")
        db.write(f"{FOLDER}/ca-key.pem", "")
        assert "not a key" in db.refused("mariadb-authority", "ensure", ADDRESS, "oslo-db")
    finally:
        db.check("mv", f"{FOLDER}/kept", f"{FOLDER}/ca-key.pem")
    certify(db)


def test_only_the_certificate_is_printed(db: Host) -> None:
    """Even when a hand has put the key beside it."""
    printed = certify(db)
    db.check("sh", "-c", f"cat {FOLDER}/ca-key.pem >>{FOLDER}/ca.pem")
    try:
        assert certify(db) == printed
    finally:
        db.write(f"{FOLDER}/ca.pem", printed)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("ensure",),
        ("ensure", "0.0.0.0.0"),
        ("ensure", "10.100.0.256"),
        ("ensure", "10.100.0.01"),
        ("ensure", "10.100.0.1\n"),
        ("ensure", "10.100.0.1,DNS:evil"),
        ("ensure", ADDRESS, "db\nbasicConstraints=CA:true"),
        ("ensure", ADDRESS, "Oslo"),
        ("ensure", ADDRESS, "a,IP:1.2.3.4"),
        ("ensure", ADDRESS, ""),
        ("ensure", ADDRESS, "-db"),
        ("remove", "all"),
        ("print",),
    ],
)
def test_arguments_that_the_authority_refuses(db: Host, arguments: tuple[str, ...]) -> None:
    before = snapshot(db)
    assert db.refused("mariadb-authority", *arguments).startswith("mariadb-authority: ")
    assert snapshot(db) == before


def test_remove_and_a_new_authority(db: Host) -> None:
    old = certify(db)
    db.script("mariadb-authority", "remove")
    assert db.run("test", "-e", FOLDER).returncode == 1
    db.script("mariadb-authority", "remove")
    new = certify(db)
    assert new != old
    served(db, verified(new))
    with refused(pymysql.err.OperationalError, "CERTIFICATE_VERIFY_FAILED"):
        served(db, verified(old))


# The application's account.


def test_the_account_has_its_privileges_and_no_others(db: Host, tls: ssl.SSLContext) -> None:
    db.sql("CREATE DATABASE IF NOT EXISTS appx1; CREATE TABLE IF NOT EXISTS appx1.t (i INT);")
    allow(db)
    grants = [row for (row,) in db.sql(f"SHOW GRANTS FOR 'app'@'{NETWORK}';")]
    assert len(grants) == 2
    assert re.fullmatch(
        rf"GRANT USAGE ON \*\.\* TO `app`@`{NETWORK}` IDENTIFIED BY PASSWORD '\*[0-9A-F]{{40}}' REQUIRE SSL "
        r"WITH MAX_USER_CONNECTIONS 200",
        grants[0],
    )
    assert grants[1] == f"GRANT SELECT, INSERT, CREATE, DROP ON `app\\_1`.* TO `app`@`{NETWORK}`"
    with db.connect("app", PASSWORD, tls) as cursor:
        cursor.execute("CREATE OR REPLACE TABLE app_1.t (i INT)")
        cursor.execute("INSERT INTO app_1.t VALUES (1)")
        cursor.execute("SELECT i FROM app_1.t")
        assert cursor.fetchall() == ((1,),)
        for statement in (
            "UPDATE app_1.t SET i = 2",
            "DELETE FROM app_1.t",
            "ALTER TABLE app_1.t ADD j INT",
            "SELECT * FROM appx1.t",  # the underscore of app_1 is no wildcard
            "SELECT * FROM mysql.global_priv",
            "SELECT * FROM _fortress.accounts",
            "CREATE DATABASE other",
            "CREATE TABLE test.t (i INT)",
            "CREATE USER other",
            "GRANT SELECT ON app_1.* TO app",
            "SELECT 1 INTO OUTFILE '/tmp/out'",
            "SET GLOBAL max_connections = 1",
            "SHOW BINARY LOGS",
        ):
            with refused(pymysql.err.MySQLError, "denied"):
                cursor.execute(statement)
        with refused(pymysql.err.MySQLError, "LOAD DATA LOCAL|not allowed|disabled"):
            cursor.execute("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE app_1.t")
        cursor.execute("SHOW DATABASES")
        assert [row[0] for row in cursor.fetchall()] == ["app_1", "information_schema"]


def test_only_from_the_mesh(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    with (
        refused(pymysql.err.OperationalError, f"'{STRANGER}' is not allowed"),
        db.connect("app", PASSWORD, tls, source=STRANGER),
    ):
        pass


@pytest.mark.parametrize(
    ("network", "enters"),
    [("10.100.0.1/32", True), ("10.100.0.0/25", True), ("10.100.0.128/25", False), ("10.0.0.0/8", True)],
)
def test_a_network_is_what_its_mask_says(db: Host, tls: ssl.SSLContext, network: str, enters: bool) -> None:
    allow(db, Application(database="app_1", user="app", network=network))
    with contextlib.nullcontext() if enters else refused(pymysql.err.OperationalError, "not allowed"):  # noqa: SIM117
        with db.connect("app", PASSWORD, tls):
            pass


PASSWORDS = {
    "quotes": b"""it's "quoted" `thus`""",
    "backslashes": rb"\ \\ \' \" \n \0 \x41 \101",
    "unicode": "blåbærsyltetøy 😀 パスワード".encode(),
    "format": b"%s%d%%n $HOME $(id) !! ${x} *?[a]",
    "sql": b"'; DROP DATABASE app_1; --",
    "option": b"--help",
    "spaces": b"  inner  and outer  ",
    "tab and carriage return": b"a\tb\r",
    "every other byte": bytes(byte for byte in range(1, 256) if byte != 10),
    "one byte": b"x",
    "long": b"0123456789abcdef" * 64,
}


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS.keys())
def test_passwords(db: Host, tls: ssl.SSLContext, password: bytes) -> None:
    allow(db, password=password)
    with db.connect("app", password, tls):
        pass
    for wrong in (password[:-1], password + b" ", b""):
        with refused(pymysql.err.OperationalError, "Access denied"), db.connect("app", wrong, tls):
            pass


@pytest.mark.parametrize(
    ("password", "words"),
    [
        (b"", "has no password"),
        (b"a\0b", "NUL"),
        (b"\0", "NUL"),
        (b"a\nb", "has no password"),
        (b"a\nb c", "passwords of app are wanted, and not of app, b"),
        (b"\n", "has no password"),
    ],
)
def test_passwords_that_are_refused(db: Host, tls: ssl.SSLContext, password: bytes, words: str) -> None:
    allow(db)
    assert words in not_allowed(db, password)
    with db.connect("app", PASSWORD, tls):
        pass


def test_a_changed_password_takes_effect(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    with db.connect("app", PASSWORD, tls) as before:
        assert allow(db, password=b"another") == f"set password and limits of account app of {NETWORK}\n"
        before.execute("SELECT 1")  # whoever is in stays in
    with refused(pymysql.err.OperationalError, "Access denied"), db.connect("app", PASSWORD, tls):
        pass
    with db.connect("app", b"another", tls):
        pass


def test_the_second_run_of_access_changes_nothing(db: Host) -> None:
    allow(db)
    state = (
        "SELECT * FROM mysql.global_priv; SELECT * FROM mysql.db; SELECT * FROM _fortress.accounts; SHOW MASTER STATUS;"
    )
    before = db.sql(state)
    assert allow(db) == ""
    assert db.sql(state) == before


def test_the_password_is_nowhere(db: Host) -> None:
    """Not in a command line, an environment, a statement, a log or a file: of any process that the script starts."""
    secret = b"hunter2-'quoted'"
    allow(db)
    db.sql("RESET MASTER;")  # what other tests did by hand
    # The one program that the script uses says what it was started with.
    spy = '#!/bin/sh\n{ printf "%s\\n" "$0" "$@"; /usr/bin/env; } >>/tmp/spy\nexec "$0.real" "$@"\n'
    db.check("mv", "/usr/bin/mariadb", "/usr/bin/mariadb.real")
    db.write("/usr/bin/mariadb", spy, 0o755)
    db.sql("SET GLOBAL general_log_file = '/var/lib/mysql/general.log', GLOBAL general_log = ON;")
    db.sql("SET GLOBAL slow_query_log = ON, GLOBAL long_query_time = 0;")
    try:
        done = db.run("/usr/local/lib/fortress/mariadb-access", *pushed(db), stdin=b"app " + secret + b"\n")
    finally:
        db.check("mv", "/usr/bin/mariadb.real", "/usr/bin/mariadb")
        db.sql("SET GLOBAL general_log = OFF, GLOBAL slow_query_log = OFF, GLOBAL long_query_time = 10; FLUSH LOGS;")
    assert done.returncode == 0, done.stderr
    (_, (_, user)) = db.sql(
        "SELECT 1; SELECT User, JSON_VALUE(Priv, '$.authentication_string') FROM mysql.global_priv WHERE User = 'app';"
    )
    stored = user.encode()
    assert stored.startswith(b"*")

    seen = (db.root / "tmp/spy").read_bytes()
    assert b"/usr/bin/mariadb" in seen.split(b"\n")
    written = {
        path: path.read_bytes()
        for folder in ("var/lib/mysql", "var/log", "tmp", "root", "run", "etc/mysql")
        for path in (db.root / folder).rglob("*")
        if path.is_file() and path.stat().st_size < 2**26  # the redo log comes below
    }
    general = next(content for path, content in written.items() if path.name == "general.log")
    assert b"ALTER USER 'app'" in general  # so the log was on
    for path, content in {**written, Path("stdout"): done.stdout, Path("stderr"): done.stderr}.items():
        assert b"hunter2" not in content, path
    assert db.run("grep", "-rlF", "hunter2", "/var/lib/mysql").stdout == b""
    binary_logs = [content for path, content in written.items() if path.name.startswith("fortress-bin.0")]
    assert binary_logs
    assert not any(stored in content for content in binary_logs)
    assert not any(b"ALTER USER" in content or b"CREATE USER" in content for content in binary_logs)
    assert stored not in seen


def test_a_replica_hears_of_the_database_but_of_no_account(db: Host) -> None:
    (before,) = db.sql("SHOW MASTER STATUS;")
    allow(db, Application(database="fresh", user="fresh", network="10.100.0.0/24"))
    events = db.sql(f"SHOW BINLOG EVENTS IN '{before[0]}' FROM {before[1]};")
    statements = [row[5] for row in events if row[2] == "Query"]
    assert statements == [f"CREATE DATABASE `fresh` CHARACTER SET utf8mb4 COLLATE {mariadb.COLLATION}"]
    db.sql("DROP DATABASE fresh;")


def test_privileges_follow_the_settings(db: Host, tls: ssl.SSLContext) -> None:
    """More are added without touching a connection; fewer hold at once, so they close those that still have them."""
    few = changed_facts(APP, privileges=["SELECT", "INSERT"])
    more = changed_facts(APP, privileges=["SELECT", "INSERT", "DELETE", "CREATE TEMPORARY TABLES"])
    allow(db, few)
    db.sql("CREATE OR REPLACE TABLE app_1.t (i INT);")
    with db.connect("app", PASSWORD, tls, database="app_1") as cursor:
        assert allow(db, more) == f"granted to app of {NETWORK} on app_1: CREATE TEMPORARY TABLES, DELETE\n"
        cursor.execute("INSERT INTO t VALUES (1)")
    with db.connect("app", PASSWORD, tls, database="app_1") as cursor:
        cursor.execute("DELETE FROM t")
        assert allow(db, few) == f"revoked from app of {NETWORK} on app_1: CREATE TEMPORARY TABLES, DELETE\n"
        with refused(pymysql.err.MySQLError, "Lost connection|gone away|killed"):
            cursor.execute("DELETE FROM t")
    with db.connect("app", PASSWORD, tls, database="app_1") as cursor:
        cursor.execute("INSERT INTO t VALUES (1)")
        with refused(pymysql.err.OperationalError, "denied"):
            cursor.execute("DELETE FROM t")
    assert allow(db, few) == ""


@pytest.mark.parametrize(
    "change",
    [
        "GRANT SELECT ON *.* TO {app};",
        "GRANT SELECT ON mysql.* TO {app};",
        "GRANT SELECT ON mysql.global_priv TO {app};",
        "GRANT SELECT (User) ON mysql.global_priv TO {app};",
        "GRANT SELECT ON `app\\_1`.* TO {app} WITH GRANT OPTION;",
        "GRANT DELETE ON `app\\_1`.* TO {app};",
        "REVOKE INSERT ON `app\\_1`.* FROM {app};",
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {app};",
        "CREATE ROLE power; GRANT power TO {app}; SET DEFAULT ROLE power FOR {app};",
        "ALTER USER {app} REQUIRE NONE;",
        "ALTER USER {app} ACCOUNT LOCK;",
        "ALTER USER {app} PASSWORD EXPIRE;",
        "ALTER USER {app} WITH MAX_USER_CONNECTIONS 1;",
        "ALTER USER {app} IDENTIFIED BY 'weak';",
        "ALTER USER {app} IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('weak');",
        "DROP USER {app};",
    ],
)
def test_what_another_hand_changed_is_put_right(db: Host, tls: ssl.SSLContext, change: str) -> None:
    account = f"'app'@'{NETWORK}'"
    wanted = f"SHOW GRANTS FOR {account}; SHOW CREATE USER {account};"
    allow(db)
    before = db.sql(wanted)
    db.sql("DROP ROLE IF EXISTS power;" + change.format(app=account))
    assert allow(db) != ""
    assert db.sql(wanted) == before
    with db.connect("app", PASSWORD, tls, database="app_1"):
        pass


def test_one_worker_takes_no_more_connections_than_its_own(each: Host) -> None:
    def limited(connections: int) -> Application:
        return changed_facts(APP, connections_per_client=connections)

    def fill(worker: str, most: int) -> int:
        """Open as many more as the server lets a worker have, and keep them open."""
        for opened in range(most):
            try:
                open_still.enter_context(each.connect("app", PASSWORD, trusted, source=worker))
            except pymysql.err.OperationalError as error:
                if error.args[0] != 1226:
                    raise
                return opened
        return most

    allow(each, limited(6))
    trusted = verified((each.root / FOLDER[1:] / "ca.pem").read_text())
    with contextlib.ExitStack() as open_still:
        assert fill(WORKERS[0], 12) == 6
        assert fill(WORKERS[1], 12) == 6, "another one has as many of its own"
        # Another limit holds at once, for workers that are connected too, and closes nothing.
        assert allow(each, limited(9)) != ""
        assert fill(WORKERS[0], 12) == 3
        assert allow(each, limited(2)) != ""
        assert fill(WORKERS[1], 12) == 0
        assert len(each.sql("SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = 'app';")) == 15
    assert allow(each, limited(2)) == ""
    allow(each)


def people(db: Host) -> list[str]:
    """The names of all accounts; the role PUBLIC is none."""
    return [row[0] for row in db.sql("SELECT User FROM mysql.global_priv WHERE User <> 'PUBLIC' ORDER BY User;")]


def test_an_account_that_is_not_named_any_more_is_gone_and_thrown_out(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    db.sql("CREATE OR REPLACE USER guest@'10.1.2.3' IDENTIFIED BY 'by hand';")
    renamed = Application(database="app_1", user="app_2", network="10.100.0.0/24")
    with db.connect("app", PASSWORD, tls) as cursor:
        said = allow(db, renamed).splitlines()
        assert said[-1] == f"dropped account app of {NETWORK}"
        with refused(pymysql.err.MySQLError, "Lost connection|gone away|killed"):
            cursor.execute("SELECT 1")
    with refused(pymysql.err.OperationalError, "Access denied|not allowed"), db.connect("app", PASSWORD, tls):
        pass
    with db.connect("app_2", PASSWORD, tls):
        pass
    assert people(db) == ["app_2", "guest", "mariadb.sys", "mysql", "root"], "what others made stays"
    db.sql("DROP USER guest@'10.1.2.3';")


def test_a_moved_network_keeps_the_application_in(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    with db.connect("app", PASSWORD, tls) as cursor:
        allow(db, changed_facts(APP, network="10.100.0.0/16"))
        cursor.execute("SELECT 1")
    hosts = db.sql("SELECT Host FROM mysql.global_priv WHERE User = 'app';")
    assert hosts == [["10.100.0.0/255.255.0.0"]]


# Everybody else.


def test_root_by_the_unix_socket_only(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    assert db.sql("SELECT CURRENT_USER();") == [["root@localhost"]]
    assert db.sql("SHOW CREATE USER root@localhost;") == [["CREATE USER `root`@`localhost` IDENTIFIED VIA unix_socket"]]
    for password in (b"", b"root", b"invalid"):
        with refused(pymysql.err.OperationalError, "not allowed|denied"), db.connect("root", password, tls):
            pass
    # Another user of the machine is not root at the socket either.
    other = db.run(
        "setpriv", "--reuid=nobody", "--clear-groups", "mariadb", "--no-defaults", "--user=root", "-e", "SELECT 1"
    )
    assert other.returncode == 1
    assert b"Access denied for user 'root'@'localhost'" in other.stderr


def test_open_doors_are_closed(db: Host, tls: ssl.SSLContext) -> None:
    """What an older or careless installation leaves."""
    allow(db)
    db.sql(
        """
        ALTER USER root@localhost IDENTIFIED VIA mysql_native_password USING PASSWORD('weak') OR unix_socket;
        CREATE USER root@'%' IDENTIFIED BY 'weak';
        CREATE USER root@'10.100.0.1' IDENTIFIED BY 'weak';
        GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
        CREATE USER ''@'localhost';
        CREATE USER ''@'%';
        CREATE DATABASE test;
        GRANT ALL ON test.* TO PUBLIC;
        GRANT ALL ON `test\\_%`.* TO PUBLIC;
        CREATE DATABASE test_more;
        """
    )
    with db.connect("root", b"weak", tls):
        pass
    with db.connect("app", PASSWORD, tls) as cursor:
        cursor.execute("CREATE TABLE test_more.t (i INT)")
    assert allow(db).splitlines() == [
        "dropped account ''@'%'",
        "dropped account ''@'localhost'",
        "dropped account 'root'@'%'",
        "dropped account 'root'@'10.100.0.1'",
        "root now logs in through the unix socket only",
        "closed the test databases, which were open to everybody",
        "dropped the empty database test",
    ]
    for user, password in (("root", b"weak"), ("", b""), ("nobody", b"")):
        with refused(pymysql.err.OperationalError, "not allowed|denied"), db.connect(user, password, tls):
            pass
    with db.connect("app", PASSWORD, tls) as cursor, refused(pymysql.err.OperationalError, "denied"):
        cursor.execute("SELECT * FROM test_more.t")
    assert allow(db) == ""
    db.sql("DROP DATABASE test_more;")


def test_data_in_a_test_database_is_not_ours_to_delete(db: Host) -> None:
    allow(db)
    db.sql("CREATE DATABASE test; CREATE TABLE test.kept (i INT);")
    try:
        assert "the database test is not empty" in not_allowed(db)
        assert db.sql("SHOW TABLES IN test;") == [["kept"]]
    finally:
        db.sql("DROP DATABASE test;")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("ensure",),
        ("ensure", "app_1", "app"),
        ("ensure", "0" * 64),
        ("check",),
        ("check", "/dev/null"),
        ("retire", "app"),
        ("state", "app"),
        ("remove", "all"),
        ("wipe", "--force"),
        ("drop",),
    ],
)
def test_arguments_that_the_access_script_refuses(db: Host, arguments: tuple[str, ...]) -> None:
    pushed(db)
    said = db.refused("mariadb-access", *arguments, stdin=PASSWORD)
    assert said.startswith("mariadb-access: ")
    assert PASSWORD.decode() not in said


def test_every_privilege_that_settings_may_name_is_one(db: Host) -> None:
    """The two lists, in Python and in the script, and MariaDB's own."""
    allow(db)
    everything = changed_facts(APP, privileges=list(mariadb.PRIVILEGES))
    allow(db, everything)
    assert allow(db, everything) == ""
    ((_,), (granted,)) = db.sql(f"SHOW GRANTS FOR 'app'@'{NETWORK}';")
    assert granted.startswith("GRANT ")
    names = granted.removeprefix("GRANT ").partition(" ON ")[0].split(", ")
    assert sorted(names) == sorted(mariadb.PRIVILEGES)


def test_both_scripts_want_root(db: Host) -> None:
    for name in ("mariadb-access", "mariadb-authority"):
        done = db.run("setpriv", "--reuid=nobody", "--clear-groups", f"/usr/local/lib/fortress/{name}", "remove")
        assert (done.returncode, done.stderr.decode()) == (1, f"{name}: run it as root\n")


def test_a_server_that_does_not_answer(db: Host) -> None:
    """The script waits, with an end; and goes on when the server comes."""
    allow(db)
    db.check("systemctl", "stop", "mariadb.service")
    try:
        script = (db.root / "usr/local/lib/fortress/mariadb-access").read_text()
        assert "\nWAIT_S = 60\n" in script
        db.write("/tmp/impatient", script.replace("\nWAIT_S = 60\n", "\nWAIT_S = 1\n"), 0o755)  # noqa: S108
        done = db.run("/tmp/impatient", *pushed(db), stdin=b"app " + PASSWORD + b"\n")  # noqa: S108
        assert done.returncode == 1
        assert b"MariaDB has not answered within 1 s: ERROR 2002" in done.stderr
    finally:
        later = "(sleep 1; exec systemctl start mariadb.service) >/dev/null 2>&1 &"
        db.check("sh", "-c", later)
        assert allow(db) == ""


SOCKET_ALONE = "ALTER USER root@localhost IDENTIFIED VIA unix_socket"


def test_a_password_for_root_is_said_at_once_with_the_cure(db: Host) -> None:
    """No seconds pass with waiting for what answers already."""
    allow(db)
    db.sql("ALTER USER root@localhost IDENTIFIED BY 'by hand';")
    try:
        began = time.monotonic()
        said = not_allowed(db)
        assert time.monotonic() - began < 20
        assert "MariaDB refuses root at its socket (ERROR 1045" in said
        assert f'sudo mariadb --user=root --password --execute="{SOCKET_ALONE}"' in said
    finally:
        db.check("mariadb", "--user=root", "--password=by hand", f"--execute={SOCKET_ALONE}")
    assert allow(db) == ""


# The end.


def test_remove_keeps_the_data(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    db.sql("CREATE OR REPLACE TABLE app_1.t (i INT); INSERT INTO app_1.t VALUES (42);")
    assert db.script("mariadb-access", "remove") == f"dropped account app of {NETWORK}\n"
    assert people(db) == ["mariadb.sys", "mysql", "root"]
    # Whose data these are is known to the next machine that has them.
    assert db.sql("SELECT * FROM _fortress.accounts;") == []
    assert db.script("mariadb-access", "remove") == ""
    # A new fortress on the same data finds it.
    allow(db)
    with db.connect("app", PASSWORD, tls, database="app_1") as cursor:
        cursor.execute("SELECT i FROM t")
        assert cursor.fetchall() == ((42,),)


def test_wipe(db: Host, tls: ssl.SSLContext) -> None:
    allow(db)
    db.sql("CREATE OR REPLACE TABLE app_1.t (note TEXT); INSERT INTO app_1.t VALUES ('personal data');")
    db.check("mkdir", "-p", "/var/lib/mysql/lost+found")
    before = db.check("stat", "-c", "%i", "/var/lib/mysql")
    assert (
        db.script("mariadb-access", "wipe") == "deleted all data in /var/lib/mysql; MariaDB runs with an empty system\n"
    )
    assert db.run("grep", "-rlF", "personal data", "/var/lib/mysql").stdout == b""
    assert sorted(row[0] for row in db.sql("SHOW DATABASES;")) == [
        "information_schema",
        "mysql",
        "performance_schema",
        "sys",
    ]
    assert db.check("stat", "-c", "%i", "/var/lib/mysql") == before
    db.check("test", "-d", "/var/lib/mysql/lost+found", "-a", "-e", "/var/lib/mysql/debian-11.8.flag")
    with refused(pymysql.err.OperationalError, "not allowed|denied"), db.connect("app", PASSWORD, tls):
        pass
    # And the next fortress starts from nothing.
    assert allow(db).splitlines()[-3:] == [
        "created database app_1",
        f"created account app of {NETWORK}",
        f"granted to app of {NETWORK} on app_1: CREATE, DROP, INSERT, SELECT",
    ]
    with db.connect("app", PASSWORD, tls, database="app_1"):
        pass


def test_wipe_of_a_server_that_is_down(db: Host) -> None:
    """Also one that was interrupted in the middle."""
    db.check("systemctl", "stop", "mariadb.service")
    db.check("sh", "-c", "rm -r /var/lib/mysql/mysql /var/lib/mysql/ibdata1")
    db.script("mariadb-access", "wipe")
    assert allow(db).splitlines()[-3] == "created database app_1"


def test_wipe_deletes_nothing_while_in_doubt(db: Host) -> None:
    allow(db)
    db.sql("CREATE OR REPLACE TABLE app_1.t (i INT); INSERT INTO app_1.t VALUES (42);")
    stand_in = (db.root / "usr/bin/systemctl").read_text()
    for lie in ("exit 1", "exit 0"):
        db.write("/usr/bin/systemctl", f"#!/bin/sh\n{lie}\n", 0o755)
        try:
            assert "nothing was deleted" in db.refused("mariadb-access", "wipe")
        finally:
            db.write("/usr/bin/systemctl", stand_in, 0o755)
    db.write("/etc/mysql/mariadb.conf.d/95-moved.cnf", "[mariadbd]\ndatadir = /srv/mysql\n")
    try:
        assert "keeps its data in /srv/mysql: nothing was deleted" in db.refused("mariadb-access", "wipe")
    finally:
        db.check("rm", "/etc/mysql/mariadb.conf.d/95-moved.cnf")
    assert db.sql("SELECT i FROM app_1.t;") == [["42"]]
