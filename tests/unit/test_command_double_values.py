"""Values on the wire, and equality as the engine's SDK has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.pulumi_resource_command.values import (
    UNKNOWN,
    Secret,
    Value,
    as_secret,
    from_wire,
    is_unknown,
    plain,
    same,
    to_wire,
)

scalars = st.one_of(st.booleans(), st.floats(allow_nan=False), st.text(max_size=20), st.just(UNKNOWN))
values: st.SearchStrategy[Value] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4), inner.map(Secret)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=4))
def test_the_wire_keeps_everything(properties: dict[str, Value]) -> None:
    assert from_wire(to_wire(properties)) == properties
    assert same(from_wire(to_wire(properties)), properties)


def test_the_wire_marks_secrets_and_unknowns_as_the_engine_does() -> None:
    struct = to_wire({"a": Secret("x"), "b": UNKNOWN, "c": None})
    assert struct["a"]["4dabf18193072939515e22adb298388d"] == "1b47061264138c4ac30d75fd1eb44270"
    assert struct["a"]["value"] == "x"
    assert struct["b"] == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert "c" not in struct


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": None, "b": 1.0}, {"b": 1}, True),
        ({"a": {"b": [1.0, None]}}, {"a": {"b": [1.0, None]}}, True),
        (True, 1.0, False),
        (0.0, False, False),
        ("", None, False),
        (Secret("a"), Secret("a"), True),
        (Secret("a"), "a", False),
        ([1.0], [1.0, 2.0], False),
        (UNKNOWN, UNKNOWN, True),
        (UNKNOWN, "x", False),
    ],
)
def test_equality(one: Value, other: Value, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_wrappings() -> None:
    assert plain(Secret({"a": [Secret("b"), "c"]})) == {"a": ["b", "c"]}
    assert as_secret(Secret("a")) == as_secret("a") == Secret("a")
    assert is_unknown(Secret(UNKNOWN))
    assert not is_unknown({"a": UNKNOWN})
