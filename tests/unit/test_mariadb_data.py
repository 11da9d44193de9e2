"""mariadb-data: which data a server may have, from their files; tests/engine has MariaDB's own."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest

from fortress.scripts import mariadb_data
from fortress.scripts.mariadb_data import (
    CHECKPOINT,
    DAY_S,
    PLACES,
    START,
    DataRefused,
    Release,
    crc32c,
    ended_in_order,
    may_have,
    named,
    restored_days,
    written_by,
)

OLD, NEW = (10, 11), (11, 8)
LENGTH = 4096
FIRST = START


def mini_transaction(number: int, records: bytes) -> bytes:
    """One as it stands in a ring of LENGTH bytes."""
    even = (number + len(records) - FIRST) // LENGTH % 2 == 0
    return records + bytes([even]) + struct.pack(">I", crc32c(records))


def ended(checkpoint: int) -> bytes:
    """What a server that ends in order writes last."""
    return mini_transaction(checkpoint, CHECKPOINT + struct.pack(">Q", checkpoint))


def redo_log(file: Path, checkpoint: int, *behind: bytes, end: int | None = None, old: int = FIRST) -> Path:
    """A redo log with a last checkpoint, and what stands in its ring from there on."""
    ring = bytearray(b"\x55" * LENGTH if checkpoint - FIRST > LENGTH else LENGTH)
    for at, byte in enumerate(b"".join(behind)):
        ring[(checkpoint - FIRST + at) % LENGTH] = byte
    head = bytearray(START)
    head[:16] = b"Phys\0\0\0\0" + struct.pack(">Q", FIRST)
    head[16:32] = b"MariaDB 10.11.19"
    for place, pair in zip(PLACES, ((old, old), (checkpoint, checkpoint if end is None else end)), strict=True):
        block = struct.pack(">QQ", *pair) + bytes(44)
        head[place : place + 64] = block + struct.pack(">I", crc32c(block))
    file.write_bytes(head + ring)
    return file


def data(folder: Path, *, order: bool = True, release: str = "10.11") -> Path:
    """The files of a server that tell something."""
    folder.mkdir(exist_ok=True)
    (folder / "ibdata1").touch()
    (folder / f"debian-{release}.flag").touch()
    behind = () if order else (mini_transaction(FIRST + 16, b"\x35abcde"),)
    redo_log(folder / "ib_logfile0", FIRST, ended(FIRST), *behind)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that would install 11.8."""
    monkeypatch.setattr(mariadb_data, "servers", lambda: NEW)


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


# What a redo log tells.


def test_a_log_that_ended_in_order(tmp_path: Path) -> None:
    assert ended_in_order(redo_log(tmp_path / "log", FIRST, ended(FIRST)))


@pytest.mark.parametrize("records", [b"\x35abcde", b"\x30\x03" + b"a" * 17, b"\x30\x80\x01" + b"b" * (129 + 15 - 2)])
def test_one_with_something_behind_its_end_did_not(tmp_path: Path, records: bytes) -> None:
    """Lengths in the first byte, in one more, and in two more."""
    assert not ended_in_order(redo_log(tmp_path / "log", FIRST, ended(FIRST), mini_transaction(FIRST + 16, records)))


def test_one_whose_checkpoint_is_not_its_end_did_not(tmp_path: Path) -> None:
    log = redo_log(tmp_path / "log", FIRST, mini_transaction(FIRST, b"\x35abcde"), end=FIRST + 11)
    assert not ended_in_order(log)


def test_what_an_earlier_round_left_is_nothing(tmp_path: Path) -> None:
    """In later rounds old bytes stand behind the end, whole mini-transactions of the round before among them."""
    checkpoint = FIRST + LENGTH + 100
    stale = mini_transaction(checkpoint + 16 - LENGTH, b"\x35abcde")
    assert ended_in_order(redo_log(tmp_path / "log", checkpoint, ended(checkpoint), stale))
    fresh = mini_transaction(checkpoint + 16, b"\x35abcde")
    assert not ended_in_order(redo_log(tmp_path / "log", checkpoint, ended(checkpoint), fresh))
    torn = fresh[:-1] + b"\0"
    assert ended_in_order(redo_log(tmp_path / "log", checkpoint, ended(checkpoint), torn))


def test_the_end_of_the_ring_goes_on_at_its_beginning(tmp_path: Path) -> None:
    for at in range(LENGTH - 30, LENGTH + 2):
        checkpoint = FIRST + LENGTH + at
        assert ended_in_order(redo_log(tmp_path / "log", checkpoint, ended(checkpoint))), at
        more = mini_transaction(checkpoint + 16, b"\x35abcde")
        assert not ended_in_order(redo_log(tmp_path / "log", checkpoint, ended(checkpoint), more)), at


def test_the_newer_checkpoint_counts_and_a_torn_one_does_not(tmp_path: Path) -> None:
    log = redo_log(tmp_path / "log", FIRST + 64, ended(FIRST + 64))
    assert ended_in_order(log)
    found = bytearray(log.read_bytes())
    found[PLACES[1] + 60] ^= 1
    log.write_bytes(found)
    assert not ended_in_order(log), "the one before it is not the end"
    found[PLACES[0] + 60] ^= 1
    log.write_bytes(found)
    with pytest.raises(DataRefused, match="no checkpoint"):
        ended_in_order(log)


@pytest.mark.parametrize("head", [b"", b"\xd0hys\0\0\0\0", b"\0\0\0\x67"])
def test_a_log_that_cannot_be_read_tells_nothing(tmp_path: Path, head: bytes) -> None:
    """Encrypted, or of a release before 10.8."""
    (tmp_path / "log").write_bytes(head.ljust(START + LENGTH if head else 0, b"\0"))
    with pytest.raises(DataRefused, match="does not tell"):
        ended_in_order(tmp_path / "log")


# Whose data they are.


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("11.8.3-MariaDB", NEW),
        ("mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu", OLD),
        ("MariaDB 10.11.19", OLD),
        ("nothing", None),
        ("", None),
    ],
)
def test_releases_are_read(text: str, release: Release | None) -> None:
    assert named(text) == release


def test_no_data_are_nobodys(tmp_path: Path) -> None:
    assert written_by(tmp_path) is None
    (tmp_path / "lost+found").mkdir()
    assert written_by(tmp_path) is None
    assert written_by(tmp_path / "missing") is None


def test_the_newest_release_that_had_them_counts(tmp_path: Path) -> None:
    """An upgrade leaves the redo log, and its creator's name in it, as they were; 100 is more than 20."""
    data(tmp_path)
    assert written_by(tmp_path) == OLD
    (tmp_path / "mysql_upgrade_info").write_text("10.11.19-MariaDB")
    (tmp_path / "mariadb_upgrade_info").write_text("11.8.9-MariaDB\n")
    assert written_by(tmp_path) == NEW
    (tmp_path / "debian-12.3.flag").touch()
    assert written_by(tmp_path) == (12, 3)


def test_data_that_do_not_tell_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mysql").mkdir()
    with pytest.raises(DataRefused, match="nothing there tells"):
        written_by(tmp_path)


def offered(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """A host without MariaDB, whose apt says this, one after the other; gives what was run."""
    ran: list[str] = []
    left = list(answers)

    def said(*words: str, **_: float) -> str:
        ran.append(words[0])
        return left.pop(0) if words[0] == "apt-cache" else ""

    monkeypatch.setattr(mariadb_data, "_said", said)
    monkeypatch.setattr("shutil.which", lambda _program: None)
    return ran


POLICY = "mariadb-server:\n  Installed: (none)\n  Candidate: {}\n  Version table:\n     1:11.8.3-0+deb13u1 500\n"


@pytest.mark.parametrize(
    ("version", "release"),
    [("1:11.8.3-0+deb13u1", NEW), ("1:10.11.8-0ubuntu0.24.04.1", OLD), ("1:10.11.14-0+deb12u2", OLD)],
)
def test_what_apt_would_install_counts(monkeypatch: pytest.MonkeyPatch, version: str, release: Release) -> None:
    ran = offered(monkeypatch, POLICY.format(version))
    assert mariadb_data.servers() == release
    assert ran == ["apt-cache"]


def test_a_new_machine_has_no_lists_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = offered(monkeypatch, "", POLICY.format("1:11.8.3-0+deb13u1"))
    assert mariadb_data.servers() == NEW
    assert ran == ["apt-cache", "apt-get", "apt-cache"]
    offered(monkeypatch, POLICY.format("(none)"), "")
    with pytest.raises(DataRefused, match="apt does not tell"):
        mariadb_data.servers()


# Whether the server may have them.


@pytest.mark.usefixtures("server")
def test_a_new_server_has_its_own_data_whatever_their_end(tmp_path: Path) -> None:
    may_have(tmp_path, None)
    may_have(data(tmp_path / "crashed", order=False, release="11.8"), None)


@pytest.mark.usefixtures("server")
def test_after_a_crash_no_word_opens(tmp_path: Path) -> None:
    folder = data(tmp_path / "data", order=False)
    (folder / ".fortress-drill.json").write_text(json.dumps({"ok": {"backup": time.time()}}))
    for word in (None, "11.8"):
        with pytest.raises(DataRefused, match=r"not shut down in order.*Start MariaDB 10\.11 on them"):
            may_have(folder, word)
    (folder / "ib_logfile0").unlink()
    with pytest.raises(DataRefused, match="not supported"):
        may_have(folder, "11.8")


@pytest.mark.usefixtures("server")
def test_there_is_no_way_back(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"of MariaDB 12\.3, and this host's is 11\.8, which must not have them"):
        may_have(data(tmp_path / "data", release="12.3"), "11.8")


@pytest.mark.usefixtures("server")
def test_an_upgrade_needs_a_word_for_this_release(tmp_path: Path) -> None:
    folder = data(tmp_path / "data")
    for word in (None, "11.4", "10.11"):
        with pytest.raises(DataRefused, match=r'no restore drill of them is known.*database\.upgrade_to: "11\.8"'):
            may_have(folder, word)
    may_have(folder, "11.8")


@pytest.mark.usefixtures("server")
def test_or_a_fresh_backup_that_was_restored(tmp_path: Path) -> None:
    folder = data(tmp_path / "data")
    drill = folder / ".fortress-drill.json"
    drill.write_text(json.dumps({"ok": {"at": time.time(), "backup": time.time() - 8 * DAY_S}, "failed": None}))
    with pytest.raises(DataRefused, match="their last restored backup is 8 days old"):
        may_have(folder, None)
    drill.write_text(json.dumps({"ok": {"at": time.time(), "backup": time.time() - 2 * DAY_S}, "failed": None}))
    may_have(folder, None)


@pytest.mark.parametrize("said", ["", "{", "null", '{"ok": null}', '{"ok": {"backup": "soon"}}', '{"ok": {}}'])
def test_a_drill_that_cannot_be_read_is_none(tmp_path: Path, said: str) -> None:
    (tmp_path / ".fortress-drill.json").write_text(said)
    assert restored_days(tmp_path, 0.0) is None
