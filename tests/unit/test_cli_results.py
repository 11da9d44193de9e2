"""Runs of `fortress verify` that are kept for the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fortress.cli.base.errors import CannotAskError
from fortress.cli.check import history
from fortress.cli.check.check import Check
from fortress.cli.check.history import PastRun
from fortress.cli.check.kinds import Kind

ROUND_TRIP = Check(Kind.ROUND_TRIP, "a", "b", limit=(20.0, 30.0))
BACKEND = Check(Kind.BACKEND, "edge", "oslo/web", limit="UP")
ANSWERS = Check(Kind.HTTPS_ANSWER, "a", limit=200)


def test_what_is_kept_reads_as_it_was(tmp_path: Path) -> None:
    first = PastRun(1.0, (ROUND_TRIP.ok(22.5, "10 of 10 answered"), ANSWERS.fail(None, "refused")))
    second = PastRun(2.0, (ROUND_TRIP.unknown("b is silent"),))
    history.keep("lab", first, tmp_path)
    history.keep("lab", second, tmp_path)
    assert history.kept("lab", tmp_path) == [first, second]
    assert history.kept("other", tmp_path) == []


def test_a_stacks_name_stays_in_the_folder(tmp_path: Path) -> None:
    history.keep("../../etc/lab", PastRun(1.0, ()), tmp_path)
    (file,) = (tmp_path / history.FOLDER).iterdir()
    assert history.kept("../../etc/lab", tmp_path) == [PastRun(1.0, ())]
    assert file.parent == tmp_path / history.FOLDER


@pytest.mark.parametrize("name", ["organization/data-fortress/lab", "organization/lab"])
def test_two_names_of_one_stack_have_one_history(tmp_path: Path, name: str) -> None:
    history.keep(name, history.PastRun(1.0, ()), tmp_path)
    history.keep("lab", history.PastRun(2.0, ()), tmp_path)
    for each in (name, "lab"):
        assert [run.when for run in history.kept(each, tmp_path)] == [1.0, 2.0]
    assert history.kept("acme/data-fortress/lab", tmp_path) == [], "of somebody else"


def test_the_oldest_runs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_RUNS", 3)
    for when in range(5):
        history.keep("lab", PastRun(when, ()), tmp_path)
    assert [run.when for run in history.kept("lab", tmp_path)] == [2.0, 3.0, 4.0]


def test_a_line_that_was_cut_costs_only_itself(tmp_path: Path) -> None:
    history.keep("lab", PastRun(1.0, ()), tmp_path)
    with history.path("lab", tmp_path).open("a") as file:
        file.write('{"when": 2.0, "che')
    history.keep("lab", PastRun(3.0, ()), tmp_path)
    assert [run.when for run in history.kept("lab", tmp_path)] == [1.0, 3.0]


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    history.keep("lab", PastRun(1.0, ()), tmp_path)
    history.path("lab", tmp_path).write_bytes(b"\xff\xfe")
    with pytest.raises(CannotAskError, match="move it away"):
        history.kept("lab", tmp_path)


def test_results_stand_beside_pulumi_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert history.path("lab") == tmp_path / ".fortress" / "verify-lab.jsonl"


def test_a_run_that_was_kept_without_kinds_is_read(tmp_path: Path) -> None:
    """As earlier versions wrote it: a check was its name."""
    run = PastRun(1.0, (ROUND_TRIP.ok(22.5), BACKEND.ok("UP"), ANSWERS.fail(None, "refused")))
    checks = [
        {key: value for key, value in check.as_json().items() if key not in ("kind", "about")} for check in run.checks
    ]
    written(tmp_path, {"when": 1.0, "checks": checks})
    assert history.kept("lab", tmp_path) == [run]


@pytest.mark.parametrize("changes", [{"kind": "of_tomorrow"}, {"kind": None}, {"name": "of yesterday"}])
def test_a_run_with_a_kind_that_nobody_knows_is_left_out(tmp_path: Path, changes: dict[str, object]) -> None:
    check = ANSWERS.ok(200).as_json()
    if "name" in changes:
        del check["kind"]
    written(tmp_path, {"when": 1.0, "checks": [{**check, **changes}]})
    history.keep("lab", PastRun(2.0, ()), tmp_path)
    assert [run.when for run in history.kept("lab", tmp_path)] == [2.0]


def written(project: Path, run: dict[str, object]) -> None:
    file = history.path("lab", project)
    file.parent.mkdir()
    file.write_text(f"{json.dumps(run)}\n")
