"""Backups in a stack file, the units that make them, and what is said of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fortress import backup
from fortress.backup import Backup
from fortress.cli.backup import host, show
from fortress.cli.backup.host import Keeper, RunFailedError, RunProgress
from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.result import Result
from fortress.cli.check.check import Status
from fortress.cli.verify import backups
from fortress.settings.parse import SettingsError, parse
from tests.doubles.spoken_session import SpokenSession
from tests.unit.golden import check_golden
from tests.unit.stack_file import ROOT, changed

NOW = 1_795_960_800.0
FOLDER: dict[str, Any] = {"site": "oslo", "directory": "/srv/backup"}


def problems(settings: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as refused:
        parse(settings, ROOT)
    return str(refused.value)


def test_the_units() -> None:
    check_golden("fortress-backup.service", backup.service(Backup(**FOLDER)))
    check_golden("fortress-backup.timer", backup.timer(Backup(**FOLDER)))
    away = Backup(site="oslo", s3=backup.S3Target(endpoint="https://s3.example.org", bucket="abc", access_key_id="ID1"))
    assert "/srv" not in backup.service(away)


def test_a_stack_file_says_where_backups_go() -> None:
    found = parse(changed({"database/backup": FOLDER}), ROOT).database.backup
    assert found == Backup(**FOLDER)
    assert parse(changed({}), ROOT).database.backup is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**FOLDER, "site": "frankfurt"}, "database.backup.site: frankfurt is not sovereign"),
        ({**FOLDER, "site": "nowhere"}, "database.backup.site: 'nowhere' is not in sites; known: oslo, frankfurt"),
        ({"site": "oslo"}, "database.backup.directory: set exactly one of directory, sftp and s3; found none"),
        ({**FOLDER, "keep": {"daily": 0}}, "database.backup.keep.daily: 0 must be at least 1"),
        (
            {**FOLDER, "point_in_time_days": 8},
            "database.backup.point_in_time_days: 8 must be at most keep.daily, which is 7",
        ),
    ],
)
def test_what_is_refused_in_a_stack_file(given: dict[str, Any], said: str) -> None:
    assert said in problems(changed({"database/backup": given}))


def test_which_secrets_are_needed() -> None:
    sftp = Backup(
        site="oslo",
        sftp=backup.SftpTarget(
            address="192.0.2.40",
            user="keeper",
            path="/srv/vault",
            host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINunBNtxzuN4QNytbTPYsxqmhpVwk8TOLiJ/onl+Uy9r",
        ),
    )
    assert [line.partition(":")[0] for line in sftp.secrets_problems(set())] == ["backup_password", "backup_sftp_key"]
    assert sftp.secrets_problems({"backup_password", "backup_sftp_key"}) == []


# --- verify -----------------------------------------------------------------------------------------------------------

FULL = {"at": NOW - 3600, "seconds": 12.0, "bytes": 50 << 20, "added": 2 << 20}
SENT = {"at": NOW - 5, "line": "a", "file": "fortress-bin.000002", "position": 900}
STORED = {"sample": 1 << 20, "entropy": 7.9998, "begins": ""}
READ = {"at": NOW - 3600, "seconds": 2.0, "part": 4, "stored": STORED}
DRILL = {"at": NOW - 86400, "restore_s": 9.0, "rows": 12, "tables": [{"table": "app.t", "rows": 12}]}


def kept(ok: Any, failed: Any = None) -> dict[str, Any]:
    return {"ok": ok, "failed": failed, "runs": []}


def answer(**changes: Any) -> dict[str, Any]:
    return {
        **{"now": NOW, "target": "directory /srv/backup", "drill_days": 30, "running": ["ship"]},
        **{"position": ["fortress-bin.000002", 900], "full": kept(FULL), "ship": kept(SENT)},
        **{"check": kept(READ), "drill": kept(DRILL)},
        **changes,
    }


def judged(status: int = 0, stderr: str = "", **changes: Any) -> list[tuple[Status, Any, str]]:
    found = backups.judge(backups.checks("oslo-db"), Result(status, json.dumps(answer(**changes)), stderr))
    return [(check.status, check.value, check.detail) for check in found]


def test_all_is_well() -> None:
    assert judged() == [
        (Status.OK, 1.0, "50.0 MB, 2.0 MB of it new, in 12 s, to directory /srv/backup"),
        (Status.OK, 0.0, "all sent to directory /srv/backup"),
        (Status.OK, 1.0, "part 4 of 30, in 2 s"),
        (Status.OK, 8.0, "of 1.0 MB as they lie at directory /srv/backup"),
        (Status.OK, 1.0, "1 tables, 12 rows, restored in 9 s"),
    ]


@pytest.mark.parametrize(
    ("changes", "place", "value", "said"),
    [
        ({"full": kept(FULL, {"at": NOW, "why": "the target is full"})}, 0, 1.0, "last run failed: the target is full"),
        ({"full": kept({**FULL, "at": NOW - 27 * 3600})}, 0, 27.0, "late"),
        ({"full": kept(None)}, 0, None, "no backup was ever completed"),
        ({"ship": kept({**SENT, "at": NOW - 61, "position": 1})}, 1, 61.0, "sent up to fortress-bin.000002 1"),
        ({"running": []}, 1, 0.0, "nothing sends them"),
        ({"behind_s": 61.0}, 1, 61.0, "all sent"),
        ({"behind_s": None, "ship": kept({**SENT, "at": NOW - 61})}, 1, 61.0, "all sent"),
        ({"ship": kept(None, {"at": NOW, "since": NOW, "why": "away"})}, 1, None, "away"),
        ({"check": kept(READ, {"at": NOW, "why": "damaged"})}, 2, 1.0, "cannot be read back: damaged"),
        ({"check": kept({**READ, "at": NOW - 27 * 3600})}, 2, 27.0, "part 4"),
        ({"check": kept({**READ, "stored": {**STORED, "entropy": 6.2}})}, 3, 6.2, "not encrypted"),
        ({"check": kept({**READ, "stored": {**STORED, "begins": "a dump in SQL"}})}, 3, 8.0, "is a dump in SQL"),
        ({"drill": kept({**DRILL, "at": NOW - 32 * 86400})}, 4, 32.0, "1 tables"),
        ({"drill": kept(DRILL, {"at": NOW, "why": "no room"})}, 4, 1.0, "no room"),
    ],
)
def test_what_fails(changes: dict[str, Any], place: int, value: float | None, said: str) -> None:
    found = judged(**changes)
    assert found[place][:2] == (Status.FAIL, value)
    assert said in found[place][2]
    assert all(status is Status.OK for status, _, _ in found[:place] + found[place + 1 :])


def test_a_commit_of_this_moment_that_is_under_way_is_no_failure() -> None:
    assert judged(position=["fortress-bin.000002", 1200])[1][:2] == (Status.OK, 5.0)


def test_what_is_not_known_is_not_ok() -> None:
    assert {status for status, _, _ in judged(position=None, trouble="MariaDB does not answer")[1:2]} == {
        Status.UNKNOWN
    }
    early = judged(full=kept(None), running=["ship", "daily"], check=kept(None))
    assert {early[place][0] for place in (0, 2, 3)} == {Status.UNKNOWN}
    # A program of before, and one file that is too small.
    for stored in (None, {**STORED, "sample": 4095}):
        assert judged(check=kept({**READ, "stored": stored}))[3][0] is Status.UNKNOWN
    assert judged(check=kept({key: value for key, value in READ.items() if key != "stored"}))[3][0] is Status.UNKNOWN
    assert judged(drill=kept(None))[4][0] is Status.UNKNOWN
    assert {found[0] for found in judged(1, "no such file")} == {Status.UNKNOWN}
    garbled = backups.judge(backups.checks("oslo-db"), Result(0, "hello", ""))
    assert {check.status for check in garbled} == {Status.UNKNOWN}


def test_without_drills_none_is_missed() -> None:
    assert len(judged(drill_days=None, drill=kept(None))) == 4


# --- the command ------------------------------------------------------------------------------------------------------


def test_progress_says_how_much_and_how_long() -> None:
    assert show.progress(RunProgress("starting")) == "starting"
    assert (
        show.progress(RunProgress("restoring", 1 << 30, 4 << 30, "bytes", 60.0))
        == "restoring: 1.0 GB of about 4.0 GB, 25%, about 3.0 min left"
    )
    assert show.progress(RunProgress("reading tables", 3, 4, "tables", 0.5)) == "reading tables: 3 of 4 tables, 75%"


def test_the_list_says_what_can_be_restored() -> None:
    each = {"at": NOW, "bytes": 50 << 20, "added": 1 << 20, "seconds": 61.0, "server": "11.8.3"}
    found = {"target": "directory /srv/backup", "backups": [each], "points": [[NOW, NOW + 60]]}
    text = show.listed("lab", found, terminal=False)
    assert "2026-11-29T14:00:00Z" in text
    assert "50.0 MB" in text
    assert "any second from 2026-11-29T14:00:00Z to 2026-11-29T14:01:00Z can be restored" in text
    assert text.endswith("lab: 1 backup at directory /srv/backup\n")
    assert show.listed("lab", {**found, "backups": [], "points": []}, terminal=False) == (
        "lab: 0 backups at directory /srv/backup\n"
    )


def test_a_restore_ends_with_counts() -> None:
    facts = {
        **{"point": NOW, "backup": NOW - 60, "restore_s": 12.0, "rows": 7, "deleted": {"app.t": 2}},
        **{"tables": [{"table": f"app.t{number}", "rows": 1} for number in range(50)], "accounts": "as they were"},
    }
    text = show.restored(facts, "restored", terminal=False)
    assert "... and 10 more" in text
    assert "deletions: 2 rows of app.t" in text
    assert "restored: 50 tables, 7 rows as of 2026-11-29T14:00:00Z" in text


def keeper_that_hears(monkeypatch: pytest.MonkeyPatch, lines: list[str], status: int = 0, stderr: str = "") -> Keeper:
    """A keeper whose host says these lines."""

    def visit(*_: Any, hosts: list[str]) -> dict[str, str]:
        work = _[3]
        work(hosts[0], SpokenSession(lines, status, stderr))
        return {}

    monkeypatch.setattr(host, "visit", visit)
    return Keeper(None, None, 5.0, "oslo-db")  # type: ignore[arg-type]


def test_a_run_ends_with_its_facts_and_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        '{"phase": "restoring", "done": 1, "total": 2, "unit": "bytes"}',
        '{"ended": 1, "trouble": null, "facts": {"rows": 7}}',
    ]
    heard: list[RunProgress] = []
    assert keeper_that_hears(monkeypatch, said).run("drill", heard.append) == {"rows": 7}
    assert heard == [RunProgress("restoring", 1, 2, "bytes")]


@pytest.mark.parametrize(
    ("lines", "status", "stderr", "said"),
    [
        (['{"ended": 1, "trouble": "the target is full", "facts": {}}'], 0, "", "^the target is full$"),
        (['{"phase": "starting"}'], 0, "", "did not say how the run ended"),
        ([], 1, "database-backup: another restore is running", "^another restore is running$"),
    ],
)
def test_a_run_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], status: int, stderr: str, said: str
) -> None:
    with pytest.raises(RunFailedError, match=said):
        keeper_that_hears(monkeypatch, lines, status, stderr).run("full", lambda _: None)


def test_what_is_no_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotAskError, match="the host printed 'Welcome!'"):
        keeper_that_hears(monkeypatch, ["Welcome!"]).run("full", lambda _: None)
