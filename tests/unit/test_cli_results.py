"""Runs of `fortress verify` that are kept for the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortress.cli import results
from fortress.cli.checks import Check
from fortress.cli.errors import CannotAskError
from fortress.cli.results import Run

ROUND_TRIP = Check("round trip to b", "a", unit="ms", limit=(20.0, 30.0))
ANSWERS = Check("https answer", "a", limit=200)


def test_what_is_kept_reads_as_it_was(tmp_path: Path) -> None:
    first = Run(1.0, (ROUND_TRIP.ok(22.5, "10 of 10 answered"), ANSWERS.fail(None, "refused")))
    second = Run(2.0, (ROUND_TRIP.unknown("b is silent"),))
    results.keep("lab", first, tmp_path)
    results.keep("lab", second, tmp_path)
    assert results.kept("lab", tmp_path) == [first, second]
    assert results.kept("other", tmp_path) == []


def test_a_stacks_name_stays_in_the_folder(tmp_path: Path) -> None:
    results.keep("../../etc/lab", Run(1.0, ()), tmp_path)
    (file,) = (tmp_path / results.FOLDER).iterdir()
    assert results.kept("../../etc/lab", tmp_path) == [Run(1.0, ())]
    assert file.parent == tmp_path / results.FOLDER


def test_the_oldest_runs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_RUNS", 3)
    for when in range(5):
        results.keep("lab", Run(when, ()), tmp_path)
    assert [run.when for run in results.kept("lab", tmp_path)] == [2.0, 3.0, 4.0]


def test_a_line_that_was_cut_costs_only_itself(tmp_path: Path) -> None:
    results.keep("lab", Run(1.0, ()), tmp_path)
    with results.path("lab", tmp_path).open("a") as file:
        file.write('{"when": 2.0, "che')
    results.keep("lab", Run(3.0, ()), tmp_path)
    assert [run.when for run in results.kept("lab", tmp_path)] == [1.0, 3.0]


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    results.keep("lab", Run(1.0, ()), tmp_path)
    results.path("lab", tmp_path).write_bytes(b"\xff\xfe")
    with pytest.raises(CannotAskError, match="move it away"):
        results.kept("lab", tmp_path)


def test_results_stand_beside_pulumi_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert results.path("lab") == tmp_path / ".fortress" / "verify-lab.jsonl"
