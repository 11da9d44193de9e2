"""What a database's host decides about its backups: what is kept, what is restored, and what people are told."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fortress.scripts import database_backup as host
from fortress.scripts.database_backup import Config, Full, Logs, TargetSecrets, Trouble
from fortress.scripts.roles import server

DAY = host.DAY_S
BASE = datetime(2026, 11, 2, 2, 30, tzinfo=UTC).timestamp()  # a Monday


def full(at: float, *, line: str = "a", file: int = 1, position: int = 300, tables: int = 3) -> Full:
    name = f"fortress-bin.{file:06}"
    gtid = "0-1-5,1-2-7"
    return Full(at, f"stream-{at}", line, name, position, gtid, "11.8.3", 1000, 10, tables, 2.5, f"full-{at}")


def logs(at: float, *, line: str = "a", first: int = 1, file: int = 1, position: int = 900) -> Logs:
    return Logs(at, line, f"fortress-bin.{first:06}", f"fortress-bin.{file:06}", position, f"logs-{at}")


def config(**target: object) -> Config:
    return Config("oslo-db", target or {"directory": "/srv/backup"}, 7, 5, 12, 7, 20, 30, prune=True)


def snapshot(id_: str, tags: list[str], time: str = "2026-11-29T14:00:00.123456789Z") -> dict[str, object]:
    return {"id": id_, "tags": tags, "time": time}


def test_the_files_are_read_as_they_are_written() -> None:
    for each in (config(), config(sftp={"address": "192.0.2.40", "port": 22, "path": "/b"})):
        assert Config.read(each.text()) == each
    secrets = TargetSecrets('line "one"\u00e6', None, "-----BEGIN\nkey\n-----END\n")
    assert TargetSecrets.read(secrets.text()) == secrets


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"host": "x", "more": 1}'])
def test_a_file_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a file of this program"):
        Config.read(text)


def test_snapshots_say_what_they_are() -> None:
    taken, sent = full(BASE), logs(BASE + 60)
    text = json.dumps(
        [
            snapshot(sent.id, sent.tags()),
            snapshot(taken.stream + "0123", ["stream"]),
            snapshot(taken.id, taken.tags()),
            snapshot("somebody-elses", []),
        ]
    )
    fulls, found, streams = host.read_snapshots(text)
    # A GTID's commas would end a tag.
    assert fulls == [Full(**{**taken.__dict__, "gtid": "0-1-5+1-2-7"})]
    assert found == [sent]
    assert streams == {taken.stream + "0123": datetime(2026, 11, 29, 14, 0, 0, 123456, tzinfo=UTC).timestamp()}
    assert host.read_snapshots("null") == ([], [], {})


def test_a_full_without_its_data_is_none() -> None:
    assert host.read_snapshots(json.dumps([snapshot("x", full(BASE).tags())]))[0] == []


def test_the_newest_point_is_restored_from_the_last_full_with_all_logs_behind_it() -> None:
    first, second = full(BASE), full(BASE + DAY, file=3)
    newest = logs(BASE + DAY + 600, file=4)
    assert host.plan([first, second], [logs(BASE + 60), newest], None) == (second, newest)
    assert host.plan([first, second], [logs(BASE + 60)], None) == (second, None)


def test_a_time_is_restored_from_the_last_full_before_it_and_the_first_logs_that_reach_it() -> None:
    first, second = full(BASE), full(BASE + DAY, file=3)
    sent = [logs(BASE + 60), logs(BASE + 500, file=2), logs(BASE + DAY + 600, file=4)]
    assert host.plan([first, second], sent, BASE + 400) == (first, sent[1])
    assert host.plan([first, second], sent, BASE + DAY + 1) == (second, sent[2])


@pytest.mark.parametrize("at", [BASE - 1, BASE + 501])
def test_a_time_outside_what_is_kept_is_refused_with_what_is(at: float) -> None:
    with pytest.raises(Trouble, match=r"outside what is kept.* of 2026-11-02T02:30:00Z to 2026-11-02T02:38:20Z$"):
        host.plan([full(BASE)], [logs(BASE + 500)], at)


def test_without_a_full_nothing_can_be_restored() -> None:
    with pytest.raises(Trouble, match="backup now"):
        host.plan([], [logs(BASE)], None)


@pytest.mark.parametrize(
    "sent",
    [
        logs(BASE + 60, line="b"),  # of other data
        logs(BASE + 60, first=2, file=3),  # the full's own log has expired from it
        logs(BASE - 60),  # from before
        logs(BASE + 60, position=200),  # ends before the full's place
    ],
)
def test_logs_that_do_not_join_a_full_are_not_played_on_it(sent: Logs) -> None:
    taken = full(BASE)
    assert host.plan([taken], [sent], None) == (taken, None)
    assert host.points([taken], [sent]) == [(BASE, BASE)]


def test_points_join_where_logs_reach_the_next_full() -> None:
    fulls = [full(BASE), full(BASE + DAY, file=2), full(BASE + 3 * DAY, line="b")]
    sent = [logs(BASE + DAY + 60, file=2), logs(BASE + 3 * DAY + 30, line="b")]
    assert host.points(fulls, sent) == [(BASE, BASE + DAY + 60), (BASE + 3 * DAY, BASE + 3 * DAY + 30)]


def test_the_last_full_of_each_period_stays() -> None:
    fulls = [full(BASE + day * DAY + hour * 3600) for day in range(60) for hour in (0, 6)]
    kept = host.kept_fulls(fulls, 3, 2, 2)
    days = [round((each.at - BASE) / DAY, 2) for each in kept]
    # Three days; two weeks, of which the older one ended on a Sunday; two months, of which November has 29 days here.
    assert days == [28.25, 55.25, 57.25, 58.25, 59.25]
    assert host.kept_fulls(fulls[:1], 1, 0, 0) == fulls[:1]
    assert host.kept_fulls([], 3, 2, 2) == []


def test_a_new_host_that_is_empty_hides_no_backup_of_a_lost_one() -> None:
    lost, new = full(BASE), full(BASE + 3600, line="b", tables=0)
    sent = [logs(BASE + 1800), logs(BASE + 3700, line="b")]
    assert host.plan([lost, new], sent, None) == (lost, sent[0])
    assert host.plan([new], sent, None) == (new, sent[1])
    assert host.kept_fulls([lost, new], 1, 0, 0) == [lost, new]


def test_of_logs_the_last_of_each_day_and_line_stays_while_its_days_are_kept() -> None:
    midnight = BASE - BASE % DAY
    every = [logs(midnight + day * DAY + hour * 3600) for day in range(10) for hour in (1, 2)]
    other = logs(midnight + 8 * DAY + 600, line="b")
    found = sorted([*every, other], key=lambda each: each.at)
    kept = host.kept_logs(found, 3, midnight + 9 * DAY + 3 * 3600)
    assert kept == [every[15], other, every[17], every[19]]
    assert host.kept_logs(found[:1], 3, midnight + 90 * DAY) == found[:1]
    assert host.kept_logs([], 3, midnight) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Fatal: wrong password or no key found", "backup_password is not the key"),
        ("write /b/data/x: no space left on device", "full"),
        ("Host key verification failed.\nFatal: EOF", "another host key"),
        ("backup@192.0.2.40: Permission denied (publickey).", "refuses backup_sftp_key"),
        ("The Access Key Id you provided does not exist (InvalidAccessKeyId)", "refuses the access key"),
        ("Fatal: unable to open repository: Access Denied.", "denies access"),
        ("mkdir /b/data: permission denied", "cannot be written"),
        ("dial tcp 192.0.2.40:443: connect: connection refused", "does not answer"),
        ("one\ntwo\nthree\nfour\n", "two; three; four"),
        ("", "without a word"),
    ],
)
def test_what_a_program_says_is_told_as_a_reason(said: str, reason: str) -> None:
    assert reason in host.why(said)


def test_where_a_target_answers() -> None:
    s3 = {"bucket": "b", "prefix": ""}
    assert config().endpoint() is None
    assert config(sftp={"address": "2001:db8::1", "port": 2222}).endpoint() == ("2001:db8::1", 2222)
    assert config(s3={"endpoint": "https://s3.example.org", **s3}).endpoint() == ("s3.example.org", 443)
    assert config(s3={"endpoint": "http://192.0.2.40:7070", **s3}).endpoint() == ("192.0.2.40", 7070)


def test_nothing_secret_is_on_a_command_line() -> None:
    s3 = {"endpoint": "https://s3.example.org", "bucket": "b", "prefix": "p", "region": "no-1", "access_key_id": "AK"}
    restic = host.Restic(config(s3=s3), TargetSecrets("HUSH-password", "HUSH-secret"), "data")
    assert "HUSH" not in " ".join(restic.words("snapshots"))
    assert restic.environment()["RESTIC_PASSWORD"] == "HUSH-password"
    assert restic.environment()["AWS_SECRET_ACCESS_KEY"] == "HUSH-secret"
    assert restic.words("x")[1:3] == ["--repo", "s3:https://s3.example.org/b/p/data"]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-29T14:00:00Z", 1795960800.0),
        ("2026-11-29T15:00+01:00", 1795960800.0),
        ("2026-11-29 14:00", 1795960800.0),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, at: float) -> None:
    assert host.moment(text) == at
    assert host.moment(host.told(at)) == at


def test_mariadb_backups_place_in_the_binary_log_is_found() -> None:
    said = "MySQL binlog position: filename 'fortress-bin.000002', position '344', GTID of the last change '0-1-5'"
    assert host._POSITION.findall(said) == [("fortress-bin.000002", "344", "0-1-5")]


def test_bytes_that_are_not_encrypted_are_told_from_those_that_are() -> None:
    random = os.urandom(1 << 16)
    assert host.looked_at(random)["begins"] == ""
    assert host.looked_at(random)["entropy"] > 7.99
    assert host.looked_at(random[:4096])["entropy"] > 7.9
    page = (b"Kari Nordmann, Storgata 1, 0155 Oslo; " * 40).ljust(16384, b"\0")
    assert host.looked_at(page)["entropy"] < 4
    compressed = gzip.compress(random)
    assert (host.looked_at(compressed)["begins"], host.looked_at(compressed)["entropy"] > 7.9) == (
        "compressed by gzip",
        True,
    )
    assert host.looked_at(b"XBSTCK01" + random)["begins"] == "a stream of mariadb-backup"


def binlog(begun: int, server: int) -> bytes:
    """The head of a binary log."""
    return b"\xfebin" + begun.to_bytes(4, "little") + b"\x0f" + server.to_bytes(4, "little") + b"the rest" * 9


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server's folder, beside what is remembered of its backups."""
    monkeypatch.setattr(host, "DATA", tmp_path)
    monkeypatch.setattr(host, "STATE", tmp_path)
    (tmp_path / "fortress-bin.000002").write_bytes(binlog(1000, 1))
    return tmp_path


def test_binary_logs_that_go_on_are_one_line(data: Path) -> None:
    line = host.line_of(("fortress-bin.000002", 500))
    (data / "fortress-bin.000002").write_bytes(binlog(1000, 1) + b"more")
    assert host.line_of(("fortress-bin.000002", 900)) == line
    (data / "fortress-bin.000003").write_bytes(binlog(2000, 1))
    assert host.line_of(("fortress-bin.000003", 400)) == line


@pytest.mark.parametrize("head", [binlog(1000, 6), binlog(1001, 1), b"", None])
def test_binary_logs_of_another_server_are_another_line_whatever_their_names_are(
    data: Path, head: bytes | None
) -> None:
    """As on a member that got all data from another one, with that one's binary log."""
    line = host.line_of(("fortress-bin.000002", 500))
    if head is None:
        (data / "fortress-bin.000002").unlink()
    else:
        (data / "fortress-bin.000002").write_bytes(head)
    assert host.line_of(("fortress-bin.000003", 900)) != line


@pytest.mark.usefixtures("data")
def test_binary_logs_that_begin_anew_are_another_line() -> None:
    line = host.line_of(("fortress-bin.000002", 500))
    assert host.line_of(("fortress-bin.000002", 499)) != line


def test_a_line_that_an_earlier_version_remembered_goes_on(data: Path) -> None:
    (data / "line.json").write_text(json.dumps({"line": "of-old", "file": "fortress-bin.000002", "position": 500}))
    assert host.line_of(("fortress-bin.000002", 900)) == "of-old"


def restore(*, cluster: bool, copies: bool = False) -> None:
    key, tell = TargetSecrets("x" * 20), host.Tell("restore")
    host.restore(config(), key, tell, None, "", overwrite=True, cluster=cluster, copies=copies)


def test_a_member_restores_only_while_somebody_stops_the_others(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "JOINED", data / "joined.cnf")
    with pytest.raises(Trouble, match=r"^this server is no member of a cluster; nothing was changed"):
        restore(cluster=True)
    host.JOINED.touch()
    with pytest.raises(Trouble, match=r"member of a cluster, .* nothing was changed\. Use `fortress restore`"):
        restore(cluster=False)


@pytest.fixture
def two(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server of two."""
    monkeypatch.setattr(host, "JOINED", data / "joined.cnf")
    monkeypatch.setattr(host, "RUN", data)
    monkeypatch.setattr(host, "SERVERS", data / "servers.json")
    known = {"me": "a", "database_port": 3306, "servers": {"a": "10.100.0.1", "b": "10.100.0.6"}}
    host.SERVERS.write_text(json.dumps(known))
    return data


def test_a_server_with_copies_restores_only_while_somebody_stops_them(two: Path) -> None:
    with pytest.raises(Trouble, match=r"^b would not follow .* nothing was changed\. Use `fortress restore`"):
        restore(cluster=False)
    (two / "servers.json").unlink()
    with pytest.raises(Trouble, match=r"^this server is the only one; nothing was changed"):
        restore(cluster=False, copies=True)


@pytest.mark.usefixtures("two")
def test_the_others_are_stopped_once_their_hosts_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer may still take writes."""
    answers: list[OSError | None] = [None, TimeoutError(), OSError(113, "no route"), ConnectionRefusedError()]
    asked: list[Any] = []

    class Connection:
        def close(self) -> None:
            pass

    def connect(where: tuple[str, int], _seconds: float) -> Connection:
        asked.append(where)
        if answer := answers.pop(0):
            raise answer
        return Connection()

    monkeypatch.setattr("socket.create_connection", connect)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    host._wait_until_stopped(host.Tell("restore"))
    assert (asked, answers) == ([("10.100.0.6", 3306)] * 4, [])
    monkeypatch.setattr(host, "ALONE_S", -1.0)
    answers.append(TimeoutError())
    with pytest.raises(Trouble, match=r"^b: MariaDB was not stopped within .* nothing was restored"):
        host._wait_until_stopped(host.Tell("restore"))


@pytest.mark.parametrize(
    ("said", "behind"),
    [({"takes_writes": True, "lacks_s": None}, 0.0), ({"takes_writes": False, "lacks_s": 40.0}, 40.0)],
    ids=["primary", "copy"],
)
@pytest.mark.usefixtures("two")
def test_a_copy_has_what_was_committed_up_to_its_lag(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], behind: float
) -> None:
    monkeypatch.setattr(host, "_role", lambda _verb: json.dumps(said))
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert host.has_all_until() == 1000.0 - behind


@pytest.mark.usefixtures("two")
def test_a_copy_that_does_not_know_its_lag_sends_nothing_as_if_it_were_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_role", lambda _verb: '{"takes_writes": false, "lacks_s": null, "why": "follows a"}')
    with pytest.raises(Trouble, match="how far this copy is behind is not known: follows a"):
        host.has_all_until()
    monkeypatch.setattr(host, "_role", lambda _verb: "nonsense")
    with pytest.raises(Trouble, match="cannot be read"):
        host.has_all_until()


def test_the_only_server_and_a_member_of_a_cluster_have_all(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_role", lambda _verb: pytest.fail("nobody else can say"))
    monkeypatch.setattr("time.time", lambda: 1000.0)
    (two / "joined.cnf").touch()
    assert host.has_all_until() == 1000.0
    for file in ("joined.cnf", "servers.json"):
        (two / file).unlink()
    assert host.has_all_until() == 1000.0


def test_binary_logs_that_begin_anew_lack_a_full_backup(two: Path) -> None:
    assert not host.lacks_full("a"), "the first one of all is asked for where it is set up"
    host.record("full", "MariaDB was stopped", {}, 0.0)
    assert host.lacks_full("a"), "it was cut when the data of the primary came"
    host.record("full", None, {"line": "a"}, 0.0)
    assert not host.lacks_full("a")
    assert host.lacks_full("b")
    (two / "full.json").unlink()
    (two / "servers.json").unlink()
    host.record("full", "the target is full", {}, 0.0)
    assert not host.lacks_full("a"), "verify says it"


class Members:
    """A member that sees less votes with each look."""

    def __init__(self, *seen: tuple[str, str]) -> None:
        self.seen = list(seen)

    def rows(self, _statements: str) -> list[list[str]]:
        status, size = self.seen.pop(0)
        return [["wsrep_cluster_size", size], ["wsrep_cluster_status", status]]


def wait(members: Members) -> None:
    host._wait_until_alone(members, host.Tell("restore"))  # type: ignore[arg-type]


def test_a_member_waits_until_it_is_the_only_vote(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "RUN", data)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    seen = Members(("Primary", "3"), ("non-Primary", "2"), ("Primary", "2"), ("Primary", "1"))
    wait(seen)
    assert not seen.seen
    monkeypatch.setattr(host, "COUNTING_S", -1.0)
    with pytest.raises(Trouble, match="lost its majority"):
        wait(Members(("Primary", "3"), ("non-Primary", "1")))
    monkeypatch.setattr(host, "ALONE_S", -1.0)
    with pytest.raises(Trouble, match="not stopped within"):
        wait(Members(("Primary", "2")))


def test_the_row_that_names_who_takes_the_writes_is_the_services_own() -> None:
    table = server.TABLE.split(";")
    own = host.PRIMARIES.split(";")
    assert [each.strip() for each in own[:2]] == [each.strip() for each in table[1:3]]
