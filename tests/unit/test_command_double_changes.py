"""Diffs as the engine is told them, and what a preview knows."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.doubles.pulumi_resource_command.changes import (
    Kind,
    detailed_diff,
    previewed_create,
    previewed_update,
    with_ignored,
)
from tests.doubles.pulumi_resource_command.schema import REMOTE
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Properties, Secret, Value, same
from tests.unit.test_command_double_values import values

STATE: Properties = {
    "connection": Secret({"host": "a", "port": 22.0}),
    "create": "true",
    "triggers": ["a", {"b": 1.0, "c d": 2.0}],
    "environment": {"A": "1", "B": "2"},
    "stdout": "printed",
    "stderr": "",
}
INPUTS: Properties = {name: value for name, value in STATE.items() if name not in ("stdout", "stderr")}


@pytest.mark.parametrize(
    ("changed", "diff"),
    [
        ({}, {}),
        ({"stdin": None}, {}),
        ({"create": "false"}, {"create": (Kind.UPDATE, False)}),
        ({"stdin": "x"}, {"stdin": (Kind.ADD, False)}),
        ({"stdin": UNKNOWN}, {"stdin": (Kind.ADD, False)}),
        ({"create": None}, {"create": (Kind.DELETE, False)}),
        ({"connection": Secret({"host": "b", "port": 22.0})}, {"connection": (Kind.UPDATE, False)}),
        ({"connection": {"host": "a", "port": 22.0}}, {"connection": (Kind.UPDATE, False)}),
        ({"triggers": ["a"]}, {"triggers[1]": (Kind.DELETE, False)}),
        ({"triggers": ["b", {"b": 1.0, "c d": 3.0}, 1.0]}, {
            "triggers[0]": (Kind.UPDATE, False),
            'triggers[1]["c d"]': (Kind.UPDATE, False),
            "triggers[2]": (Kind.ADD, False),
        }),
        ({"triggers": None}, {"triggers": (Kind.DELETE, True)}),
        ({"triggers": UNKNOWN}, {"triggers": (Kind.UPDATE, True)}),
        ({"environment": {"A": "2", "C": "3"}}, {
            "environment.A": (Kind.UPDATE, False),
            "environment.B": (Kind.DELETE, False),
            "environment.C": (Kind.ADD, False),
        }),
    ],
)  # fmt: skip
def test_the_diff_names_each_path(changed: Properties, diff: dict[str, tuple[Kind, bool]]) -> None:
    assert detailed_diff(REMOTE, STATE, INPUTS | changed) == diff


@given(values, values)
def test_there_is_a_diff_exactly_where_values_differ(one: Value, other: Value) -> None:
    assert bool(detailed_diff(REMOTE, {"stdin": one}, {"stdin": other})) is not same(one, other)


def test_ignored_changes_are_put_back() -> None:
    news = with_ignored(STATE, INPUTS | {"create": "false", "stdin": "x"}, ["create", "stdin", "connection.user"])
    assert news == INPUTS | {"stdin": "x"}  # what the state lacks cannot be put back


def test_a_create_knows_what_mirrors_an_input() -> None:
    outputs = INPUTS | {"stdout": "", "stderr": ""}
    assert previewed_create(INPUTS, outputs) == INPUTS | {"stdout": UNKNOWN, "stderr": UNKNOWN}


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        ({}, True),
        ({"create": "false"}, False),
        ({"connection": Secret({"host": "b", "port": 22.0})}, False),
        ({"environment": {"A": UNKNOWN, "B": "2"}}, False),
        ({"stdin": UNKNOWN}, False),
        ({"stdin": "added"}, True),  # the library compares only with what the state has
    ],
)
def test_an_update_knows_its_output_until_an_input_changes(changed: Properties, known: bool) -> None:
    inputs = INPUTS | changed
    outputs = inputs | {"stdout": "printed", "stderr": ""}
    printed: Properties = {"stdout": "printed", "stderr": ""} if known else {"stdout": UNKNOWN, "stderr": UNKNOWN}
    assert previewed_update(REMOTE, STATE, inputs, outputs) == inputs | printed
