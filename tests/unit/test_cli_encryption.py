"""Encryption as it is seen on the bytes, and TLS as it was negotiated."""

from __future__ import annotations

import json
import os
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest

from fortress.cli.base.result import Result
from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from fortress.cli.probes import tunnel
from fortress.cli.probes import volume as probe
from fortress.cli.verify import encryption, outside, verdicts
from fortress.cli.verify.outside import WrongAnswerError
from tests.doubles.certificates import issue
from tests.doubles.edge_server import edge_server
from tests.ports import closed_port

NAME = "lab.fortress.example"
TO_DB = Check(Kind.ENCRYPTION, "fra-1", "oslo-db", limit="unreadable")
SEEN = {"inside": 5, "sealed": 6, "clear": [], "error": ""}


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({}, "ok", "looked for on every other interface"),
        ({"clear": ["eth0"]}, "fail", "what was sent to oslo-db left by eth0 as it was: `ip route get` there"),
        ({"clear": ["eth0"], "inside": 0, "sealed": 0}, "fail", "left by eth0"),
        ({"inside": 0, "error": "Network is unreachable"}, "fail", "went into the tunnel: Network is unreachable"),
        # Whether the capture sees the tunnel's packets at all is not known then.
        ({"sealed": 0}, "unknown", "no packet of the tunnel to oslo-db went out"),
    ],
)
def test_what_was_sent_into_the_tunnel_is_nowhere_else(said: dict[str, Any], status: str, words: str) -> None:
    check = encryption.of_tunnel(TO_DB, json.dumps({**SEEN, **said}), "")
    assert (str(check.status), words in check.detail) == (status, True), check


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"inside": 1e999, "sealed": 1, "clear": [], "error": ""}', "no"])
def test_an_answer_that_is_none_is_unknown(line: str) -> None:
    assert encryption.of_tunnel(TO_DB, line, "Operation not permitted").detail == "Operation not permitted"


def udp(payload: bytes, version: int = 4) -> bytes:
    ports = bytes(8)
    if version == 4:
        return bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, tunnel.UDP]) + bytes(10) + ports + payload
    return bytes([0x60, 0, 0, 0, 0, 0, tunnel.UDP]) + bytes(33) + ports + payload


def test_packets_of_wireguard_are_known_by_their_first_bytes() -> None:
    data = tunnel.TRANSPORT_DATA + bytes(40)
    assert [tunnel.is_sealed(udp(data, version)) for version in (4, 6)] == [True, True]
    tcp = bytearray(udp(data))
    tcp[9] = 6
    for other in (b"", b"\x45", bytes(tcp), udp(b"\x01\0\0\0" + bytes(144)), udp(b"")):
        assert not tunnel.is_sealed(other)


def server(folder: Path, oldest: ssl.TLSVersion, newest: ssl.TLSVersion) -> ssl.SSLContext:
    context = issue(NAME, names=(NAME,)).server_context(folder)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = oldest, newest
    return context


V10, V11, V12, V13 = (ssl.TLSVersion[name] for name in ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"))


@pytest.mark.parametrize(
    ("oldest", "newest", "status", "value", "words"),
    [
        (V12, V13, "ok", "TLSv1.3", "older than TLS 1.2 is refused"),
        (V12, V12, "ok", "TLSv1.2", "older than TLS 1.2 is refused"),
        (V10, V13, "fail", "TLSv1.3", "a client that offers only TLSv1.1"),
        (V10, V10, "fail", "TLSv1", "older than TLS 1.2, and broken"),
    ],
)
def test_what_the_edge_negotiates(
    tmp_path: Path, oldest: ssl.TLSVersion, newest: ssl.TLSVersion, status: str, value: str, words: str
) -> None:
    with edge_server(server(tmp_path, oldest, newest)) as (port, _):
        found = outside.tls(f"https://127.0.0.1:{port}", NAME, 5)
    check = encryption.of_edge(Check(Kind.EDGE_TLS, "oslo-edge"), found.version, found.cipher, found.oldest)
    assert (str(check.status), check.value, words in check.detail) == (status, value, True), check
    assert check.detail.startswith(found.cipher)
    assert len(found.cipher) > 5


def test_what_cannot_be_tried_from_here_is_not_well() -> None:
    check = encryption.of_edge(Check(Kind.EDGE_TLS, "oslo-edge"), "TLSv1.3", "X", None)
    assert (check.status, check.value) == ("unknown", None)


def test_what_speaks_no_tls() -> None:
    with edge_server(None) as (port, _), pytest.raises(WrongAnswerError, match=r"^TLS fails: wrong version number$"):
        outside.tls(f"https://127.0.0.1:{port}", NAME, 5)
    with pytest.raises(WrongAnswerError, match=r"^connection refused$"):
        outside.tls(f"https://127.0.0.1:{closed_port()}", NAME, 5)


def test_a_database_with_broken_tls() -> None:
    answer = verdicts.read_database('{"server": "10.11", "tls": "TLSv1.1", "cipher": "X", "not_after": 1}')
    check = verdicts.database_over_tls(Check(Kind.DATABASE_OVER_TLS, "fra-1"), answer)
    assert (check.status, check.value) == ("fail", "TLSv1.1")
    assert check.detail.startswith("X, MariaDB 10.11; older than TLS 1.2")


@pytest.mark.parametrize(
    ("printed", "status", "words"),
    [
        ("1\tTLSv1.2,TLSv1.3\n", "ok", "TLSv1.2 and TLSv1.3"),
        ("1\tTLSv1.3\n", "ok", "TLSv1.3"),
        ("1\tTLSv1.0,TLSv1.1,TLSv1.2\n", "fail", "takes TLSv1.0 and TLSv1.1"),
        ("1\t\n", "fail", "takes any version"),
        ("0\tTLSv1.3\n", "fail", "require_secure_transport is off"),
        ("", "fail", "require_secure_transport is off"),
    ],
)
def test_what_the_database_takes(printed: str, status: str, words: str) -> None:
    check = verdicts.database_without_tls(Check(Kind.DATABASE_WITHOUT_TLS, "oslo-db"), Result(0, printed, ""))
    assert (str(check.status), words in check.detail) == (status, True), check


def superblock() -> bytes:
    """The beginning of a file system."""
    return (bytes(1024 + 56) + b"\x53\xef" + b"Kari Nordmann" * 100).ljust(probe.SAMPLE, b"\0")


def luks(version: int, data: bytes) -> bytes:
    """A device of LUKS with this data on it."""
    if version == 1:
        header = probe.MAGIC + (1).to_bytes(2, "big") + bytes(96) + (64).to_bytes(4, "big")
        return header.ljust(64 * probe.SECTOR, b"\0") + data
    text = json.dumps({"segments": {"0": {"type": "crypt", "offset": "65536"}}}).encode()
    header = (probe.MAGIC + (2).to_bytes(2, "big") + (16384).to_bytes(8, "big")).ljust(4096, b"\0") + text
    return header.ljust(65536, b"\0") + data


def volume(root: Path, lies: bytes, clear: bytes, capsys: pytest.CaptureFixture[str]) -> Check:
    """What comes of a look at a host with a volume on /dev/vdb, and a mapping on top of it that reads `clear`."""
    for folder in ("proc/self", "dev", "sys/devices/dm-0/slaves/vdb", "sys/dev/block"):
        (root / folder).mkdir(parents=True)
    mounts = "30 1 254:0 / / rw - ext4 /dev/vda1 rw\n31 30 253:0 / /var/lib/mysql rw - ext4 /dev/mapper/x rw\n"
    (root / "proc/self/mountinfo").write_text(mounts)
    (root / "sys/dev/block/253:0").symlink_to("../../devices/dm-0")
    (root / "dev/dm-0").write_bytes(clear)
    (root / "dev/vdb").write_bytes(lies)
    probe.main("/var/lib/mysql", root)
    check = Check(Kind.VOLUME_BYTES, "oslo-db", limit="encrypted")
    return encryption.of_volume(check, Result(0, capsys.readouterr().out, ""))


RANDOM = os.urandom(probe.SAMPLE)


@pytest.mark.parametrize(
    ("lies", "status", "words"),
    [
        (luks(1, RANDOM), "ok", "dev/vdb: LUKS, and 8.00 bits a byte"),
        (luks(2, RANDOM), "ok", "dev/vdb: LUKS, and 8.00 bits a byte"),
        (superblock(), "fail", "does not begin as LUKS"),
        (luks(2, superblock()), "fail", "begins as LUKS, but its data have 0."),
        (luks(2, b""), "unknown", "is too short"),
        (probe.MAGIC + bytes(1 << 17), "unknown", ""),
    ],
)
def test_what_lies_on_a_volume(
    tmp_path: Path, lies: bytes, status: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check = volume(tmp_path, lies, superblock(), capsys)
    assert (str(check.status), words in check.detail) == (status, True), check


def test_a_volume_that_is_not_mounted_is_not_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("30 1 254:0 / / rw - ext4 /dev/vda1 rw\n")
    probe.main("/var/lib/mysql", tmp_path)
    check = encryption.of_volume(Check(Kind.VOLUME_BYTES, "oslo-db"), Result(0, capsys.readouterr().out, ""))
    assert (check.status, check.detail) == ("unknown", "nothing is mounted at /var/lib/mysql")
