"""What a preview says of the record of processing: from the state's output and the settings that the engine prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fortress.cli.preview import registered
from fortress.cli.preview import run as preview
from fortress.cli.preview.comment import render
from fortress.cli.preview.forge import LIMITS, Forge
from fortress.cli.preview.plan import Plan, parse
from fortress.settings import parse as settings
from fortress.settings.declare import declare
from fortress.settings.types import PROJECT
from fortress.sovereignty.declared import written
from tests.unit.stack_file import GONE, ROOT, changed

CUSTOMERS = "sovereignty/data_sets/customers"
URN = "urn:pulumi:lab::data-fortress::pulumi:pulumi:Stack::data-fortress-lab"


def planned(before: Mapping[str, Any] | None, after: Mapping[str, Any], **more: Any) -> Plan:
    """A preview of a stack that has come up with some settings, with others; `before` None is a first one."""
    old = None if before is None else declare(settings.parse(changed(before), ROOT))
    config = {f"{PROJECT}:{key}": json.dumps(value) for key, value in changed(after).items()}
    state = {"urn": URN, "type": "pulumi:pulumi:Stack"}
    step = {"op": "same", "urn": URN, "newState": state}
    if old:
        step |= {"oldState": {**state, "outputs": {"sovereignty": written(old)}}}
    said = {"config": {**config, f"{PROJECT}:database_password": "[secret]"}, "steps": [step], **more}
    return parse(said, 0)


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_nothing_is_said_where_the_record_stays() -> None:
    plan = planned({}, {})
    assert None not in plan.registered
    text = render("lab", plan)
    assert "## Preview of `lab`: nothing changes" in text
    assert "record" not in text
    assert json.loads(preview.as_json("lab", plan, text))["record"] == []


def test_a_change_of_the_register_stands_at_the_top_in_a_sentence() -> None:
    plan = planned(
        {}, {f"{CUSTOMERS}/recipients": ["carriers", "@everyone <b>"], f"{CUSTOMERS}/retention": "Ten years"}
    )
    text = render("lab", plan)
    head, _, rest = text.partition("### The record of processing\n\n")
    assert "## Preview of `lab`: only the record of processing changes" in head
    assert rest.startswith(
        "- New recipient of `customers`: `@everyone <b>`.\n"
        "- A longer retention of `customers`: `Ten years` instead of `Three years after the last order; invoices "
        "after five years (bokføringsloven)`.\n\n"
    )
    assert json.loads(preview.as_json("lab", plan, text))["record"][0] == (
        "New recipient of “customers”: “@everyone <b>”."
    )


@pytest.mark.parametrize("before", [None, {"sovereignty": GONE}])
def test_a_first_record_is_one_sentence(before: Any) -> None:
    assert (
        "- The first record of processing: data sets `customers`; operators `A Norwegian cloud`, `Amazon Web "
        "Services`; transfers to `Amazon Web Services`.\n"
    ) in render("lab", planned(before, {}))


def test_a_register_that_goes_says_what_is_undeclared_then() -> None:
    text = render("lab", planned({}, {"sovereignty": GONE}))
    assert "- The data set `customers` is no longer in the record.\n" in text
    assert "- Controller: now UNDECLARED, and was `Example Shop AS`" in text


def test_no_register_before_and_after_is_not_talked_about() -> None:
    assert "record" not in render("lab", planned({"sovereignty": GONE}, {"sovereignty": GONE}))


def test_the_sentences_leave_room_for_the_rest() -> None:
    many = {f"{CUSTOMERS}/recipients": [f"recipient {number} {'x' * 400}" for number in range(500)]}
    for forge in Forge:
        text = render("lab", planned({}, many), forge)
        assert len(text.encode()) < LIMITS[forge] / 5
        assert " more, with `--json`\n" in text


def test_another_programs_and_invalid_settings_say_nothing() -> None:
    assert registered.in_settings({}, ROOT) is None
    assert registered.in_settings({f"{PROJECT}:mesh": "{"}, ROOT) is None
    assert registered.in_state({}) is None
    assert registered.in_state({"sovereignty": {"version": 99}}) is None
    assert planned({}, {"mesh/mtu": 9000}).registered[1] is None
    assert registered.in_settings({}, Path("/nowhere")) is None
