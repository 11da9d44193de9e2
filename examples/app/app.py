"""A small workload: keeps notes in the fortress and says which host answered.

    GET /          who answered, which database, over which cipher, and the newest notes
    POST /notes    {"text": "..."} is written, and read back from the database
    GET /health    200 while the database answers, 503 otherwise
    GET /slow?ms=N answers after N ms without the database, for trying out load

Settings come from the environment (see `load_settings`), the password from $CREDENTIALS_DIRECTORY/database-password.
Needs Python 3.11 and PyMySQL 1.0.2, as Debian 12 packages them, or newer ones.
"""

import contextlib
import dataclasses
import http.server
import json
import os
import re
import select
import signal
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]
from pymysql.constants import CLIENT, ER  # type: ignore[import-untyped]

LONGEST_TEXT = 1000  # characters of a note
LONGEST_BODY = 16 * 1024  # bytes of a request
LONGEST_SLOW_MS = 8000  # the edge waits 10 s for an answer
SHOWN_NOTES = 5
CONNECTIONS = 8  # to the database, for requests
WAIT_FOR_CONNECTION_S = 2.0
DATABASE_TIMEOUT_S = 5.0  # for each step of a connection or a query
TRUSTED_IDLE_S = 1.0  # a connection that was idle for longer is tried before it is used
HEALTH_TIMEOUT_S = 0.3  # the edge's check waits 0.4 s
HEALTH_KEPT_S = 0.5  # however many edges ask, the database is asked twice a second
GRACE_S = 10.0  # for requests in flight when the workload is told to end

CREATE_NOTES = """
CREATE TABLE IF NOT EXISTS notes (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    text VARCHAR(1000) NOT NULL,
    host VARCHAR(255) NOT NULL,
    site VARCHAR(255) NOT NULL,
    written TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
) CHARACTER SET utf8mb4
"""
INSERT_NOTE = "INSERT INTO notes (text, host, site) VALUES (%s, %s, %s)"
SELECT_NOTE = "SELECT id, text, host, site, written FROM notes WHERE id = %s"
SELECT_NEWEST = "SELECT id, text, host, site, written FROM notes ORDER BY id DESC LIMIT %s"
SELECT_SERVER = """
SELECT @@hostname, variable_value FROM information_schema.session_status WHERE variable_name = 'ssl_cipher'
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the workload is told."""

    host: str
    site: str
    listen: tuple[str, int]
    database_address: str
    database_port: int
    database_name: str
    database_user: str
    database_ca: Path
    database_password: str = dataclasses.field(repr=False)


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read FORTRESS_HOST, _SITE, _LISTEN ("address:port"), _DATABASE_ADDRESS, _PORT, _NAME, _USER and _CA (PEM file).

    Raises:
        ValueError: a variable is wrong; the message names it.
        OSError: the password's file cannot be read.
    """

    def text(name: str) -> str:
        if not environment.get(name):
            raise ValueError(f"{name} is not set")
        return environment[name]

    def port(name: str, value: str) -> int:
        if not re.fullmatch("[0-9]{1,5}", value) or int(value) > 65535:
            raise ValueError(f"{name}: {value!r} is not a port")
        return int(value)

    address, _, listen_port = text("FORTRESS_LISTEN").rpartition(":")
    return Settings(
        host=text("FORTRESS_HOST"),
        site=text("FORTRESS_SITE"),
        listen=(address, port("FORTRESS_LISTEN", listen_port)),
        database_address=text("FORTRESS_DATABASE_ADDRESS"),
        database_port=port("FORTRESS_DATABASE_PORT", text("FORTRESS_DATABASE_PORT")),
        database_name=text("FORTRESS_DATABASE_NAME"),
        database_user=text("FORTRESS_DATABASE_USER"),
        database_ca=Path(text("FORTRESS_DATABASE_CA")),
        database_password=Path(text("CREDENTIALS_DIRECTORY"), "database-password").read_text().rstrip("\n"),
    )


class Unavailable(Exception):
    """The database cannot be used now."""


class VerifiedConnection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection that goes on over TLS or not at all.

    PyMySQL 1.0.2 goes on in the clear, password included, when a server (or someone in between) offers no TLS.
    """

    def _get_server_information(self) -> None:
        super()._get_server_information()
        if not self.server_capabilities & CLIENT.SSL:
            raise pymysql.err.OperationalError(2026, "the server offers no TLS")


class Database:
    """A few connections to the fortress, opened when needed and thrown away when they break."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._idle: list[tuple[float, VerifiedConnection]] = []

    def open(self, timeout: float = DATABASE_TIMEOUT_S) -> VerifiedConnection:
        """Connect; the server must show a certificate of our authority for the address that we asked for."""
        settings = self._settings
        tls = ssl.create_default_context(cafile=str(settings.database_ca))
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return VerifiedConnection(
            host=settings.database_address,
            port=settings.database_port,
            user=settings.database_user,
            password=settings.database_password.encode(),  # PyMySQL would encode a str as latin-1
            database=settings.database_name,
            charset="utf8mb4",
            autocommit=True,
            ssl=tls,
            connect_timeout=timeout,
            read_timeout=timeout,
            write_timeout=timeout,
        )

    @contextlib.contextmanager
    def connection(self) -> Iterator[VerifiedConnection]:
        """Lend a connection; raises Unavailable when none is to be had or it breaks, and then forgets all idle ones."""
        if not self._slots.acquire(timeout=WAIT_FOR_CONNECTION_S):
            raise Unavailable("all connections to the database are in use")
        connection = None
        try:
            connection = self._idle_connection() or self.open()
            yield connection
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
            self._forget(connection)
            raise Unavailable(str(error)) from error
        except BaseException:
            close(connection)
            raise
        else:
            with self._lock:
                self._idle.append((time.monotonic(), connection))
        finally:
            self._slots.release()

    def _idle_connection(self) -> VerifiedConnection | None:
        """Take the connection used last, if it still works."""
        with self._lock:
            if not self._idle:
                return None
            since, connection = self._idle.pop()
        if time.monotonic() - since > TRUSTED_IDLE_S:
            try:
                connection.ping(reconnect=False)
            except (pymysql.err.MySQLError, OSError):
                self._forget(connection)
                return None
        return connection

    def _forget(self, connection: VerifiedConnection | None) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for broken in (connection, *(connection for _, connection in idle)):
            close(broken)


def close(connection: VerifiedConnection | None) -> None:
    """Close without a word to the server, which may not be there."""
    if connection is not None:
        connection._force_close()


class Notes:
    """The notes in the database."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def add(self, text: str) -> dict[str, object]:
        """Write a note and read it back."""
        with self._database.connection() as connection, connection.cursor() as cursor:
            write = (text, self._settings.host, self._settings.site)
            try:
                cursor.execute(INSERT_NOTE, write)
            except pymysql.err.ProgrammingError as error:
                if error.args[0] != ER.NO_SUCH_TABLE:
                    raise
                cursor.execute(CREATE_NOTES)
                cursor.execute(INSERT_NOTE, write)
            cursor.execute(SELECT_NOTE, (cursor.lastrowid,))
            note = as_note(cursor.fetchone())
            cursor.execute(SELECT_SERVER)
            return {"note": note, **as_server(cursor.fetchone())}

    def newest(self) -> dict[str, object]:
        """Read the newest notes, the newest first."""
        with self._database.connection() as connection, connection.cursor() as cursor:
            try:
                cursor.execute(SELECT_NEWEST, (SHOWN_NOTES,))
                notes = [as_note(row) for row in cursor.fetchall()]
            except pymysql.err.ProgrammingError as error:
                if error.args[0] != ER.NO_SUCH_TABLE:
                    raise
                notes = []
            cursor.execute(SELECT_SERVER)
            return {"notes": notes, **as_server(cursor.fetchone())}


def as_note(row: tuple[Any, ...]) -> dict[str, object]:
    """Give a row of the table as JSON has it."""
    identifier, text, host, site, written = row
    return {"id": identifier, "text": text, "host": host, "site": site, "written": written.isoformat()}


def as_server(row: tuple[Any, ...]) -> dict[str, object]:
    """Give what the database says of itself and of this connection."""
    hostname, cipher = row
    return {"database_host": hostname, "tls_cipher": cipher}


class Health:
    """Whether the database answers, asked by one at a time and never waited for longer than a check waits."""

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._changed = threading.Condition()
        self._asking = False
        self._known_at = float("-inf")
        self._problem = ""

    def problem(self) -> str:
        """Give what is wrong, or "" when the database answered within the last moments."""
        with self._changed:
            if time.monotonic() - self._known_at <= HEALTH_KEPT_S:
                return self._problem
            if not self._asking:
                self._asking = True
                threading.Thread(target=self._ask, daemon=True).start()
            if not self._changed.wait_for(lambda: not self._asking, HEALTH_TIMEOUT_S):
                return f"the database did not answer within {HEALTH_TIMEOUT_S:g} s"
            return self._problem

    def _ask(self) -> None:
        problem = ""
        try:
            self._probe()
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the answer is that it is
            problem = str(error) or type(error).__name__
        with self._changed:
            if problem != self._problem:
                print(f"database: {problem or 'answers again'}", file=sys.stderr, flush=True)
            self._problem, self._known_at, self._asking = problem, time.monotonic(), False
            self._changed.notify_all()


class Probe:
    """Asks the database the least there is to ask, on a connection of its own, so that load cannot starve it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: VerifiedConnection | None = None

    def __call__(self) -> None:
        """Raise what is wrong; a broken connection is replaced at once, so a restart of the database costs nothing."""
        if self._connection is not None:
            try:
                self._connection.ping(reconnect=False)
                return
            except (pymysql.err.MySQLError, OSError):
                close(self._connection)
                self._connection = None
        self._connection = self._database.open(HEALTH_TIMEOUT_S)


class Refused(Exception):
    """An answer other than 200, with its reason and headers."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.headers = status, headers


class Workload(http.server.ThreadingHTTPServer):
    """The workload's server; `stop` lets requests in flight finish."""

    request_queue_size = 128
    daemon_threads = True
    timeout = 0

    def __init__(self, settings: Settings, notes: Notes, health: Health) -> None:
        self.settings, self.notes, self.health = settings, notes, health
        self.stopping = False
        self._busy = 0
        self._quiet = threading.Condition()
        super().__init__(settings.listen, Handler)

    def server_bind(self) -> None:
        """Bind; the base class would ask DNS for the name of the address."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.settings.listen[0], int(self.server_address[1])

    def begin(self) -> None:
        """Count a request, or a connection that has not sent its first one yet."""
        with self._quiet:
            self._busy += 1

    def end(self) -> None:
        """Count it no more."""
        with self._quiet:
            self._busy -= 1
            self._quiet.notify_all()

    def stop(self) -> bool:
        """Take what has arrived, accept no more, wait for the answers; False when some were not done in time."""
        self.stopping = True
        self.shutdown()
        while select.select([self.socket], [], [], 0)[0]:
            self.handle_request()
        self.socket.close()
        with self._quiet:
            return self._quiet.wait_for(lambda: self._busy == 0, GRACE_S)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: Workload
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fortress-app", ""
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer is one packet
    timeout = 15.0  # for the next request on a kept connection

    def setup(self) -> None:
        """Count the connection as busy until its first request is answered."""
        self.server.begin()
        self.counted = True
        super().setup()

    def finish(self) -> None:
        """Close; a connection may end before its first request."""
        try:
            with contextlib.suppress(OSError):
                super().finish()
        finally:
            self._done()

    def _done(self) -> None:
        if self.counted:
            self.counted = False
            self.server.end()

    def parse_request(self) -> bool:
        """Count a request from its first line on."""
        if not self.counted:
            self.server.begin()
            self.counted = True
        return super().parse_request()

    def handle_one_request(self) -> None:
        """Answer one request of a connection; the client may be gone."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True
        finally:
            self._done()

    def do_GET(self) -> None:
        """Answer a read."""
        self._answer("GET")

    def do_HEAD(self) -> None:
        """Answer a read without its body."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a write."""
        self._answer("POST")

    def _answer(self, method: str) -> None:
        path, _, query = self.path.partition("?")
        routes: dict[str, tuple[str, Callable[[str], dict[str, object]]]] = {
            "/": ("GET", self._get_newest),
            "/health": ("GET", self._get_health),
            "/notes": ("POST", self._post_note),
            "/slow": ("GET", self._get_slow),
        }
        try:
            self._check_body()
            if path not in routes:
                raise Refused(404, "no such path")
            allowed, action = routes[path]
            if method != allowed:
                raise Refused(405, f"only {allowed} is answered here", Allow=allowed)
            self._send(200, action(query))
        except Refused as refused:
            self._send(refused.status, {"error": str(refused)}, refused.headers)
        except Unavailable as unavailable:
            if path != "/health":  # which says it once, when it changes
                print(f"database: {unavailable}", file=sys.stderr, flush=True)
            self._send(503, {"error": "the database cannot be used now"}, {"Retry-After": "1"})
        except pymysql.err.MySQLError as error:
            print(f"database: {error}", file=sys.stderr, flush=True)
            self._send(500, {"error": "the database refused"})

    def _check_body(self) -> None:
        """Refuse a body whose end cannot be known or that is too long; what follows it could not be told apart."""
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise Refused(411, "a body needs a Content-Length")
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,9}", length) for length in lengths):
            self.close_connection = True
            raise Refused(400, "Content-Length is not one number")
        length = int(lengths[0]) if lengths else 0
        if length > LONGEST_BODY:
            self.close_connection = True
            raise Refused(413, f"a body has at most {LONGEST_BODY} bytes")
        self.body = self.rfile.read(length)
        if len(self.body) < length:
            self.close_connection = True
            raise Refused(400, "the body ended early")

    def _who(self) -> dict[str, object]:
        return {"host": self.server.settings.host, "site": self.server.settings.site}

    def _get_newest(self, _query: str) -> dict[str, object]:
        return {**self._who(), "database_address": self.server.settings.database_address, **self.server.notes.newest()}

    def _post_note(self, _query: str) -> dict[str, object]:
        try:
            asked = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused(400, "the body is not JSON") from None
        text = asked.get("text") if isinstance(asked, dict) else None
        if not isinstance(text, str) or not 1 <= len(text) <= LONGEST_TEXT or not storable(text):
            raise Refused(400, f'the body is not {{"text": "..."}} with 1 to {LONGEST_TEXT} characters')
        return {**self._who(), "database_address": self.server.settings.database_address, **self.server.notes.add(text)}

    def _get_health(self, _query: str) -> dict[str, object]:
        if problem := self.server.health.problem():
            raise Unavailable(problem)
        return {**self._who(), "database": "answers"}

    def _get_slow(self, query: str) -> dict[str, object]:
        values = urllib.parse.parse_qs(query).get("ms", ["0"])
        if len(values) != 1 or not re.fullmatch("[0-9]{1,4}", values[0]) or int(values[0]) > LONGEST_SLOW_MS:
            raise Refused(400, f"ms is not a whole number from 0 to {LONGEST_SLOW_MS}")
        time.sleep(int(values[0]) / 1000)
        return {**self._who(), "slept_ms": int(values[0])}

    def _send(self, status: int, answer: dict[str, object], headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(answer, ensure_ascii=False).encode() + b"\n"
        self.close_connection = self.close_connection or self.server.stopping
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def handle_expect_100(self) -> bool:
        """Tell a client that waits with its body to go on."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def log_message(self, format: str, *args: object) -> None:
        """Log what the base class complains of; who asked is left out, since addresses are personal data."""
        print(ascii(format % args), file=sys.stderr, flush=True)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002 - unknown here
        """Log a request, but not the checks of the edge."""
        path = getattr(self, "path", "").partition("?")[0]
        if path != "/health":
            print(f"{self.command} {path!a} {code}", file=sys.stderr, flush=True)


def storable(text: str) -> bool:
    """Whether the text is Unicode that has a UTF-8 form: JSON can carry halves of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = load_settings(os.environ)
    except (ValueError, OSError) as error:
        print(f"app: {error}", file=sys.stderr)
        return 2
    database = Database(settings)
    # Held back before the first thread starts, for sigwait below. A handler would run only when the main thread wakes,
    # and the signal may be another thread's.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        server = Workload(settings, Notes(settings, database), Health(Probe(database)))
    except OSError as error:
        print(f"app: cannot listen on {settings.listen[0]}:{settings.listen[1]}: {error}", file=sys.stderr)
        return 1
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    print(f"app: {settings.host} listens on {settings.listen[0]}:{settings.listen[1]}", file=sys.stderr, flush=True)
    signal.sigwait(ends)
    if not server.stop():
        print(f"app: some requests were not done within {GRACE_S:g} s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
