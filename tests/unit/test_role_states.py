"""What a server says of itself, as it travels to others."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from fortress.scripts.roles.states import PrimarySeen, ServerReport, ahead, parse_report, positions
from tests.unit.servers import WRITER, B


def test_positions() -> None:
    assert positions("0-1-5,\n3-2-7") == {"0": 5, "3": 7}
    assert positions("") == {}
    assert ahead("0-6-6", "0-1-5")
    assert not ahead("0-1-5", "0-6-5")
    assert ahead("0-1-5,1-1-1", "0-1-9"), "a domain that the other has not"
    assert not ahead("", "")


def test_a_report_is_read_as_it_was_printed() -> None:
    report = ServerReport(
        B, age_s=0.2, why="follows a", lag_s=0.4, primary_seen=PrimarySeen(0.4, "0-1-5", True), others={"a": "answers"}
    )
    assert parse_report(json.loads(json.dumps(asdict(report)))) == report
    newer = {**asdict(report), "of_a_later_version": 1}
    assert parse_report(newer) == report


@pytest.mark.parametrize("wrong", [{}, {"own": None}, {"own": {}}, [], {"own": {"server": "a", "source": {"x": 1}}}])
def test_what_is_no_report_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="no report of a server"):
        parse_report(wrong)


def test_a_report_of_a_member_is_read_as_it_was_printed() -> None:
    report = ServerReport(WRITER, takes_writes=True, why="takes the writes", votes=3, flow_paused=0.01)
    assert parse_report(json.loads(json.dumps(asdict(report)))) == report
