"""What runs on hosts, run here: the look at the database and at HAProxy's statistics."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import fortress.cli
from tests.doubles.certificates import Certificate, issue
from tests.doubles.mariadb_server import BLOCKED, mariadb_server

PROGRAMS = Path(fortress.cli.__file__).parent


def probe(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program as it runs on a host: its text on standard input, nothing of ours to import."""
    text = (PROGRAMS / program).read_text()
    return subprocess.run(
        [sys.executable, "-I", "-", *arguments], input=text, capture_output=True, text=True, timeout=30, check=False
    )


def database(port: int, ca: Certificate) -> dict[str, object]:
    done = probe("probe_database.py", "127.0.0.1", str(port), ca.pem)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def authority() -> Certificate:
    return issue("fortress database authority", authority=True)


@pytest.mark.parametrize("switches", [False, True])
def test_the_database_over_verified_tls(authority: Certificate, tmp_path: Path, switches: bool) -> None:
    certificate = issue("oslo-db", names=("127.0.0.1", "oslo-db"), signer=authority, days=90)
    with mariadb_server(certificate.server_context(tmp_path), switches=switches) as server:
        found = database(server.port, authority)
        # Whoever hangs up before is counted, and after 100 times turned away with his whole host.
        assert server.logins == ["turned away"]
    assert found.keys() == {"server", "tls", "cipher", "not_after"}
    assert (found["server"], found["tls"]) == ("10.11.19-MariaDB-0+deb12u1", "TLSv1.3")
    assert found["not_after"] == pytest.approx(time.time() + 90 * 86400, abs=60)


def test_a_certificate_of_somebody_else(authority: Certificate, tmp_path: Path) -> None:
    stranger = issue("oslo-db", names=("127.0.0.1",))
    with mariadb_server(stranger.server_context(tmp_path)) as server:
        assert database(server.port, authority) == {"error": "certificate: self-signed certificate"}


def test_a_certificate_for_another_address(authority: Certificate, tmp_path: Path) -> None:
    other = issue("oslo-db", names=("10.100.0.9",), signer=authority)
    with mariadb_server(other.server_context(tmp_path)) as server:
        error = database(server.port, authority)["error"]
    assert error == "certificate: IP address mismatch, certificate is not valid for '127.0.0.1'."


def test_an_expired_certificate(authority: Certificate, tmp_path: Path) -> None:
    expired = issue("oslo-db", names=("127.0.0.1",), signer=authority, days=-1)
    with mariadb_server(expired.server_context(tmp_path)) as server:
        assert database(server.port, authority) == {"error": "certificate: certificate has expired"}


def test_a_server_without_tls(authority: Certificate) -> None:
    with mariadb_server(None) as server:
        assert database(server.port, authority) == {"error": "the server does not offer TLS"}


def test_a_server_that_turns_the_host_away(authority: Certificate, tmp_path: Path) -> None:
    context = issue("oslo-db", signer=authority).server_context(tmp_path)
    with mariadb_server(context, greeting=BLOCKED) as server:
        assert database(server.port, authority) == {
            "error": "1129: Host '10.100.0.4' is blocked because of many connection errors"
        }


def test_something_else_on_the_port_and_nothing_at_all(authority: Certificate) -> None:
    with mariadb_server(None, greeting=b"SSH-2.0-OpenSSH_9.2p1 Debian") as server:
        assert database(server.port, authority) == {"error": "this is not MariaDB's protocol"}
    assert database(server.port, authority) == {"error": f"127.0.0.1:{server.port}: Connection refused"}


def test_haproxys_statistics(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    recorded = (Path(__file__).parent / "recorded" / "show-stat.csv").read_text()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(100))
                connection.sendall(recorded.encode())

        threading.Thread(target=serve, daemon=True).start()
        done = probe("probe_haproxy.py", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, recorded, "")
    assert asked == [b"show stat\n"]


def test_no_haproxy_behind_the_socket(tmp_path: Path) -> None:
    done = probe("probe_haproxy.py", str(tmp_path / "none.sock"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/none.sock: No such file or directory\n"
