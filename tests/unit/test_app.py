"""The example workload on real sockets, with notes in memory; its TLS against servers that must not be trusted."""

import contextlib
import datetime
import http.client
import ipaddress
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pymysql  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from examples.app import app
from fortress.haproxy import Checks
from tests.doubles.certificates import strict
from tests.ports import free_port

PASSWORD = "correct horse battery staple"
APP = Path(app.__file__)


GIVEN = {
    "FORTRESS_HOST": "oslo-web",
    "FORTRESS_SITE": "oslo",
    "FORTRESS_LISTEN": "127.0.0.1:0",
    "FORTRESS_DATABASE_ADDRESS": "127.0.0.1",
    "FORTRESS_DATABASE_PORT": "1",
    "FORTRESS_DATABASE_NAME": "app",
    "FORTRESS_DATABASE_USER": "app",
}


def environment(folder: Path, **changes: str) -> dict[str, str]:
    (folder / "database-password").write_text(PASSWORD + "\n")
    folders = {"FORTRESS_DATABASE_CA": str(folder / "ca.pem"), "CREDENTIALS_DIRECTORY": str(folder)}
    return GIVEN | folders | changes


@pytest.fixture
def settings(tmp_path: Path) -> app.Settings:
    return app.load_settings(environment(tmp_path))


# Settings.


def test_settings_are_read_and_the_password_is_not_shown(settings: app.Settings) -> None:
    assert settings.listen == ("127.0.0.1", 0)
    assert settings.database_password == PASSWORD
    assert PASSWORD not in repr(settings)


@pytest.mark.parametrize("name", [*GIVEN, "FORTRESS_DATABASE_CA", "CREDENTIALS_DIRECTORY"])
def test_a_setting_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is not set"):
        app.load_settings(environment(tmp_path, **{name: ""}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("FORTRESS_LISTEN", "127.0.0.1"), ("FORTRESS_LISTEN", "127.0.0.1:65536"), ("FORTRESS_DATABASE_PORT", "-1")],
)
def test_a_setting_that_is_no_port_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        app.load_settings(environment(tmp_path, **{name: value}))


# Requests.


class MemoryNotes(app.Notes):
    """Notes without a database."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.failure: Exception | None = None

    def add(self, text: str) -> dict[str, object]:
        self._fail()
        self.texts.append(text)
        return {"note": {"text": text}, "database_host": "memory", "tls_cipher": "none"}

    def newest(self) -> dict[str, object]:
        self._fail()
        return {"notes": [{"text": text} for text in reversed(self.texts)], "database_host": "memory"}

    def _fail(self) -> None:
        if self.failure:
            raise self.failure


class Running:
    """A workload that serves, and what its database does."""

    def __init__(self, settings: app.Settings) -> None:
        self.notes = MemoryNotes()
        self.problem = ""
        self.server = app.Workload(settings, self.notes, app.Health(self._probe))
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def _probe(self) -> None:
        if self.problem:
            raise app.Unavailable(self.problem)

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, object]]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as client:
            client.request(method, target, body, headers or {})
            response = client.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else {}

    def post(self, text: object) -> tuple[int, dict[str, object]]:
        return self.ask("POST", "/notes", json.dumps({"text": text}).encode())

    def raw(self, request: bytes) -> bytes:
        """Send bytes, and give all that comes back until the workload closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(request)
            answer = b""
            while part := client.recv(65536):
                answer += part
            return answer


@pytest.fixture
def running(settings: app.Settings) -> Iterator[Running]:
    running = Running(settings)
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_a_note_is_written_and_read(running: Running) -> None:
    text = "Ærlig talt: 100 % 'ok'; -- 🔒"
    assert running.post(text) == (
        200,
        {
            "host": "oslo-web",
            "site": "oslo",
            "database_address": "127.0.0.1",
            "database_host": "memory",
            "tls_cipher": "none",
            "note": {"text": text},
        },
    )
    status, answer = running.ask("GET", "/?anything=1")
    assert status == 200
    assert (answer["host"], answer["site"], answer["notes"]) == ("oslo-web", "oslo", [{"text": text}])


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/../", 404),
        ("POST", "/", 405),
        ("GET", "/notes", 405),
        ("POST", "/health", 405),
        ("HEAD", "/", 200),
        ("PUT", "/notes", 501),
        ("DELETE", "/notes", 501),
    ],
)
def test_only_what_is_there_is_answered(running: Running, method: str, target: str, status: int) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)) as client:
        client.request(method, target)
        response = client.getresponse()
        assert response.status == status
        assert (response.getheader("Allow") is not None) == (status == 405)
        assert (len(response.read()) == 0) == (method == "HEAD")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        b"[]",
        b'"text"',
        b"{}",
        b'{"text": ""}',
        b'{"text": 5}',
        b'{"text": null}',
        json.dumps({"text": "x" * 1001}).encode(),
        b'{"text": "\\ud800"}',
        b"\xff\xfe{",
        b"[" * 15_000,
        b'{"text": ' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_note_is_refused(running: Running, body: bytes) -> None:
    status, answer = running.ask("POST", "/notes", body)
    assert status == 400
    assert answer["error"]
    assert running.notes.texts == []


def test_the_longest_note_is_taken(running: Running) -> None:
    assert running.post("å" * 1000)[0] == 200
    assert running.notes.texts == ["å" * 1000]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 16385\r\n", b"413"),
        (b"Content-Length: 99999999999\r\n", b"400"),
        (b"Content-Length: -1\r\n", b"400"),
        (b"Content-Length: 1x\r\n", b"400"),
        (b"Content-Length: 2\r\nContent-Length: 14\r\n", b"400"),
        (b"Transfer-Encoding: chunked\r\n", b"411"),
    ],
)
def test_a_body_without_a_sure_end_closes_the_connection(running: Running, headers: bytes, status: bytes) -> None:
    smuggled = b"GET /slow HTTP/1.1\r\n\r\n"
    answer = running.raw(b"POST /notes HTTP/1.1\r\n" + headers + b"\r\n" + smuggled)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer


def test_a_connection_is_kept(running: Running) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)) as client:
        client.connect()
        kept = client.sock
        for _ in range(3):
            client.request("POST", "/notes", b'{"text": "a"}')
            assert client.getresponse().read()
            assert client.sock is kept


def test_a_client_that_waits_with_its_body_is_told_to_go_on(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as client:
        client.sendall(
            b"POST /notes HTTP/1.1\r\nContent-Length: 13\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(b'{"text": "a"}')
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_slow_takes_its_time_and_no_more_than_its_limit(running: Running) -> None:
    start = time.monotonic()
    status, answer = running.ask("GET", "/slow?ms=200")
    assert (status, answer["slept_ms"]) == (200, 200)
    assert 0.2 <= time.monotonic() - start < 2
    assert running.ask("GET", "/slow")[0] == 200


@pytest.mark.parametrize("query", ["ms=8001", "ms=99999", "ms=-1", "ms=1.5", "ms=%D9%A1", "ms=1&ms=2", "ms=1e3"])
def test_slow_refuses_other_times(running: Running, query: str) -> None:
    assert running.ask("GET", f"/slow?{query}")[0] == 400


def test_a_database_that_is_away_is_503_and_its_words_are_not_shown(running: Running) -> None:
    running.notes.failure = app.Unavailable("can't connect to 10.100.0.1 as app")
    for status, answer in (running.post("a"), running.ask("GET", "/")):
        assert status == 503
        assert answer == {"error": "the database cannot be used now"}
    running.notes.failure = pymysql.err.ProgrammingError(1064, "near 'secret'")
    assert running.ask("GET", "/") == (500, {"error": "the database refused"})


def test_the_log_has_no_addresses_and_no_queries(running: Running, capfd: pytest.CaptureFixture[str]) -> None:
    headers = {"X-Forwarded-For": "198.51.100.7"}
    running.ask("GET", "/?name=Kari", headers=headers)
    running.ask("GET", "/health", headers=headers)
    running.ask("GET", "/a\x1b[1m".replace("\x1b", "%1b"), headers=headers)
    running.raw(b"\x1b[31mGARBAGE\r\n\r\n")
    log = capfd.readouterr().err
    assert "GET '/' 200" in log
    for hidden in ("198.51.100.7", "127.0.0.1", "Kari", "health", "\x1b"):
        assert hidden not in log


# Health.


def test_health_follows_the_database(running: Running, capfd: pytest.CaptureFixture[str]) -> None:
    assert running.ask("GET", "/health") == (200, {"host": "oslo-web", "site": "oslo", "database": "answers"})
    running.problem = "gone away"
    time.sleep(app.HEALTH_KEPT_S + 0.05)
    for _ in range(3):
        assert running.ask("GET", "/health") == (503, {"error": "the database cannot be used now"})
    running.problem = ""
    time.sleep(app.HEALTH_KEPT_S + 0.05)
    assert running.ask("GET", "/health")[0] == 200
    assert capfd.readouterr().err.splitlines() == ["database: gone away", "database: answers again"]


def test_many_checks_are_one_question() -> None:
    asked: list[float] = []
    health = app.Health(lambda: asked.append(time.monotonic()))
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        health.problem()
        time.sleep(0.01)
    assert 2 <= len(asked) <= 3


def test_a_database_that_hangs_is_asked_once_and_answered_for_in_time() -> None:
    asked: list[float] = []
    release = threading.Event()

    def hang() -> None:
        asked.append(time.monotonic())
        release.wait(10)

    health = app.Health(hang)
    answers: list[tuple[float, str]] = []

    def check() -> None:
        start = time.monotonic()
        problem = health.problem()
        answers.append((time.monotonic() - start, problem))

    checks = [threading.Thread(target=check) for _ in range(10)]
    for thread in checks:
        thread.start()
    for thread in checks:
        thread.join()
    assert len(asked) == 1
    assert {problem for _, problem in answers} == {"the database did not answer within 0.3 s"}
    assert max(took for took, _ in answers) < 5
    assert Checks().timeout_ms / 1000 > app.HEALTH_TIMEOUT_S  # the edge's check waits no longer
    release.set()


# The end.


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    given = environment(folder, FORTRESS_LISTEN=f"127.0.0.1:{port}")
    process = subprocess.Popen(
        [sys.executable, APP], env={**os.environ, **given}, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    assert process.stderr is not None
    assert "listens on" in process.stderr.readline()
    return process


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def has_read(port: int, client: http.client.HTTPConnection) -> bool:
    """Whether the server on that port has read what a client sent: nothing of it waits in the kernel (proc(5))."""
    assert client.sock
    ends = (port, client.sock.getsockname()[1])
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, _, queues, *_ = line.split()
        if tuple(int(end.rpartition(":")[2], 16) for end in (here, there)) == ends:
            return int(queues.rpartition(":")[2], 16) == 0
    return False


def test_sigterm_ends_it_after_the_requests_in_flight(tmp_path: Path) -> None:
    port = free_port()
    with start(tmp_path, port) as process:
        try:
            kept = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            kept.request("GET", "/slow")
            assert kept.getresponse().read()
            busy = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            busy.request("GET", "/slow?ms=5000")
            read_by = time.monotonic() + 10
            while not has_read(port, busy):
                assert time.monotonic() < read_by
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            refused_by = time.monotonic() + 4.5
            while accepts(port):
                assert time.monotonic() < refused_by, "the request is answered by then"
                time.sleep(0.05)
            response = busy.getresponse()
            assert (response.status, response.getheader("Connection")) == (200, "close")
            assert json.loads(response.read())["slept_ms"] == 5000
            ended = time.monotonic()
            assert process.wait(5) == 0
            assert time.monotonic() - ended < 3  # the kept connection, idle, does not hold it
        finally:
            process.kill()


def test_without_a_database_it_runs_and_says_so(tmp_path: Path) -> None:
    port = free_port()
    with start(tmp_path, port) as process:
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            client.request("GET", "/health")
            response = client.getresponse()
            assert response.status == 503
            assert "error" in json.loads(response.read())
        finally:
            process.terminate()
            process.wait(5)


def test_it_says_what_it_cannot_start_with(tmp_path: Path) -> None:
    given = {**os.environ, **environment(tmp_path, FORTRESS_SITE="")}
    missing = subprocess.run([sys.executable, APP], env=given, capture_output=True, text=True, timeout=60)
    assert (missing.returncode, missing.stderr) == (2, "app: FORTRESS_SITE is not set\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        given = {**os.environ, **environment(tmp_path, FORTRESS_LISTEN=listen)}
        busy = subprocess.run([sys.executable, APP], env=given, capture_output=True, text=True, timeout=60)
    assert busy.returncode == 1
    assert busy.stderr.startswith(f"app: cannot listen on {listen}: ")
    assert len(busy.stderr.splitlines()) == 1


# The database connection against servers that are not the fortress.


def certificate(
    folder: Path, name: str, address: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make an authority (no issuer), or a server's certificate for an address; NAME.pem has certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(issuer[0].subject if issuer else subject, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
    )
    signer = issuer[1] if issuer else key
    for extension in strict(key, signer, authority=issuer is None):
        builder = builder.add_extension(extension, critical=False)
    made = builder.sign(signer, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made, key


PLUGIN_AUTH, SECURE_CONNECTION, PROTOCOL_41, SSL = 1 << 19, 1 << 15, 1 << 9, 1 << 11


class FalseDatabase:
    """Greets as MariaDB does, keeps what a client sends in the clear and over TLS, and asks for the password itself."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self.clear = self.encrypted = b""
        self._tls: ssl.SSLContext | None = None
        if server:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(folder / f"{server}.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(3)
        with client, contextlib.suppress(OSError):
            capabilities = PLUGIN_AUTH | SECURE_CONNECTION | PROTOCOL_41 | (SSL if self._tls else 0)
            greeting = (
                b"\x0a11.4.2-MariaDB\0"
                + struct.pack("<I", 7)
                + b"saltsalt\0"
                + struct.pack("<H", capabilities & 0xFFFF)
            )
            greeting += b"\x2d" + struct.pack("<HHB", 2, capabilities >> 16, 21) + bytes(10) + b"saltsaltsalt\0"
            client.sendall(packet(0, greeting + b"mysql_native_password\0"))
            switch = packet(2 if self._tls is None else 3, b"\xfemysql_clear_password\0\0")
            if self._tls is None:
                self.clear += client.recv(4096)
                client.sendall(switch)
                self.clear += client.recv(4096)
                return
            self.clear += client.recv(36)  # the request for TLS
            with self._tls.wrap_socket(client, server_side=True) as secure:
                self.encrypted += secure.recv(4096)
                secure.sendall(packet(3, b"\xff\x15\x04#28000Access denied"))

    def finished(self) -> tuple[bytes, bytes]:
        self._thread.join(5)
        self._listener.close()
        return self.clear, self.encrypted


def packet(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


@pytest.fixture
def false_database(tmp_path: Path) -> Callable[[str | None], tuple[FalseDatabase, app.Database]]:
    authority = certificate(tmp_path, "ca", "127.0.0.1", None)
    stranger = certificate(tmp_path, "stranger", "127.0.0.1", None)
    certificate(tmp_path, "good", "127.0.0.1", authority)
    certificate(tmp_path, "other-address", "127.0.0.2", authority)
    certificate(tmp_path, "other-authority", "127.0.0.1", stranger)

    def make(server: str | None) -> tuple[FalseDatabase, app.Database]:
        database = FalseDatabase(tmp_path, server)
        given = environment(tmp_path, FORTRESS_DATABASE_PORT=str(database.port))
        return database, app.Database(app.load_settings(given))

    return make


def test_the_fortress_itself_is_spoken_to_over_tls_only(
    false_database: Callable[[str | None], tuple[FalseDatabase, app.Database]],
) -> None:
    server, database = false_database("good")
    with pytest.raises(app.Unavailable, match="Access denied"), database.connection():
        pass
    clear, encrypted = server.finished()
    assert len(clear) == 36  # of which no byte is a name or a password
    assert b"app\0" in encrypted


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("other-address", "certificate verify failed"),
        ("other-authority", "certificate verify failed"),
        (None, "offers no TLS"),
    ],
)
def test_a_server_that_is_not_the_fortress_learns_nothing(
    false_database: Callable[[str | None], tuple[FalseDatabase, app.Database]], server: str | None, reason: str
) -> None:
    stranger, database = false_database(server)
    with pytest.raises(app.Unavailable, match=reason), database.connection():
        pass
    clear, encrypted = stranger.finished()
    assert encrypted == b""
    assert b"app" not in clear
    assert PASSWORD.encode() not in clear
