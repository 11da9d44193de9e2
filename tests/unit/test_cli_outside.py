"""What is seen of a fortress from where the command runs."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from fortress import haproxy
from fortress.cli.verify import outside
from fortress.cli.verify.outside import SilentError, WrongAnswerError
from tests.doubles.certificates import issue
from tests.doubles.edge_server import edge_server
from tests.doubles.ssh_server import silent_server
from tests.ports import closed_port

NAME = "lab.fortress.example"


def test_scan_tells_open_from_closed_for_many_addresses_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.2", 0)) as other:
        first, second, closed = one.getsockname()[1], other.getsockname()[1], closed_port()
        found = outside.scan({"127.0.0.1": [first, closed, first], "127.0.0.2": [second, closed]})
    assert found == {"127.0.0.1": {first: True, closed: False}, "127.0.0.2": {second: True, closed: False}}


def test_scan_gives_up_on_ports_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "PORT_ANSWERS_S", 0.3)
    with socket.socket() as listener:
        # A full queue drops what comes after, as a firewall does.
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            started = time.monotonic()
            assert outside.scan({"127.0.0.1": [port, closed_port()]})["127.0.0.1"][port] is False
            assert time.monotonic() - started < 2


def test_https_asks_the_edge_itself_for_the_public_name(tmp_path: Path) -> None:
    certificate = issue(NAME, names=(NAME, "192.0.2.12"), days=30)
    with edge_server(certificate.server_context(tmp_path)) as (port, asked):
        found = outside.https(f"https://127.0.0.1:{port}", NAME, "/health", 5)
    assert asked == [(NAME, "/health")]
    assert (found.status, found.names, found.self_signed) == (200, (NAME, "192.0.2.12"), True)
    assert found.not_after == pytest.approx(time.time() + 30 * 86400, abs=60)


def test_a_certificate_that_the_edge_made_is_told_from_others(tmp_path: Path) -> None:
    name = haproxy.SELF_SIGNED_NAME
    cases = {issue(name): True, issue(NAME): False, issue(name, signer=issue("authority", authority=True)): False}
    for certificate, made_there in cases.items():
        with edge_server(certificate.server_context(tmp_path)) as (port, _):
            found = outside.https(f"https://127.0.0.1:{port}", NAME, "/health", 5)
        assert found.made_there is made_there


def test_https_tells_who_signed_and_what_was_answered(tmp_path: Path) -> None:
    certificate = issue(NAME, signer=issue("authority", authority=True))
    with edge_server(certificate.server_context(tmp_path), status=503) as (port, _):
        found = outside.https(f"https://127.0.0.1:{port}", NAME, "/health", 5)
    assert (found.status, found.names, found.self_signed) == (503, (), False)


def test_what_is_no_https() -> None:
    with edge_server(None) as (port, _), pytest.raises(WrongAnswerError, match=r"^TLS fails: wrong version number$"):
        outside.https(f"https://127.0.0.1:{port}", NAME, "/health", 5)
    with pytest.raises(WrongAnswerError, match=r"^connection refused$"):
        outside.https(f"https://127.0.0.1:{closed_port()}", NAME, "/health", 5)
    with silent_server() as server, pytest.raises(WrongAnswerError, match=r"^no answer in time$"):
        outside.https(f"https://127.0.0.1:{server.port}", NAME, "/health", 0.3)


def test_an_edge_that_drips_is_cut_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    with edge_server(issue(NAME).server_context(tmp_path), drips=True) as (port, asked):
        with pytest.raises(WrongAnswerError, match=r"^no answer in time$"):
            outside.https(f"https://127.0.0.1:{port}", NAME, "/health", 0.5)
        assert asked
    with edge_server(None, drips=True) as (port, asked):
        monkeypatch.setattr(outside, "HTTP_PORT", port)
        with pytest.raises(WrongAnswerError, match=r"^no answer in time$"):
            outside.http_redirect("https://127.0.0.1", NAME, "/health", 0.5)
        assert asked
    assert time.monotonic() - started < 4


def test_silence_is_not_a_refusal() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), pytest.raises(SilentError, match=r"^no answer in time$"):
            outside.https(f"https://127.0.0.1:{port}", NAME, "/health", 0.3)


def test_http_redirects(monkeypatch: pytest.MonkeyPatch) -> None:
    with edge_server(None, status=301, location=f"https://{NAME}/health") as (port, asked):
        monkeypatch.setattr(outside, "HTTP_PORT", port)
        assert outside.http_redirect("https://127.0.0.1:8443", NAME, "/health", 5) == (301, f"https://{NAME}/health")
    assert asked == [(NAME, "/health")]
    with edge_server(None) as (port, _):
        monkeypatch.setattr(outside, "HTTP_PORT", port)
        assert outside.http_redirect("https://127.0.0.1", NAME, "/health", 5) == (200, "")
    with pytest.raises(WrongAnswerError, match="connection refused"):
        outside.http_redirect("https://127.0.0.1", NAME, "/health", 5)


@pytest.mark.parametrize(
    ("names", "covered"),
    [
        ((NAME,), True),
        (("LAB.fortress.example",), True),
        (("other.example", "*.fortress.example"), True),
        (("*.example",), False),
        (("*.lab.fortress.example",), False),
        (("fortress.example",), False),
        ((), False),
    ],
)
def test_names_that_a_certificate_is_good_for(names: tuple[str, ...], covered: bool) -> None:
    assert outside.covers(names, NAME) is covered
