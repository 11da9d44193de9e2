"""The drawing of the report: nothing lies on anything else, however many hosts there are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from fortress.cli.report import drawing
from fortress.cli.report.drawing import Box, Drawing, Link, Spot, lay_out
from fortress.cli.report.pairs import draw, pairs
from tests.unit import example_report


def drawn(workers: Mapping[str, int]) -> Drawing:
    facts = example_report.standing(workers)
    return draw(facts, pairs(facts, example_report.measured(facts)))


def overlapping(boxes: Sequence[Box]) -> list[tuple[Box, Box]]:
    return [
        (one, other)
        for one, other in itertools.combinations(boxes, 2)
        if one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom
    ]


def labels(found: Drawing) -> list[Box]:
    """Where the words at the lines stand, generously."""
    return [
        Box(line.label_x - drawing.STUB / 2 + 1, line.label_y + down, drawing.STUB - 2, 13)
        for line in found.lines
        for down in (-21, 7)
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_nothing_lies_on_anything_else(counts: list[int]) -> None:
    found = drawn({f"site{number}": count for number, count in enumerate(counts)})
    assert len(found.hosts) == sum(counts) + 2
    assert overlapping([*found.hosts.values(), found.outside, *labels(found)]) == []
    assert overlapping(list(found.lanes.values())) == []
    assert len(found.lines) == 2 * sum(counts)
    for box in found.hosts.values():
        (lane,) = [lane for lane in found.lanes.values() if lane.y <= box.y and box.bottom <= lane.bottom]
        assert lane.x < box.x
        assert box.right < lane.right
    assert all(box.y >= 0 and box.bottom <= found.height for box in found.hosts.values())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_lines_stay_between_the_columns_and_do_not_cross(counts: list[int]) -> None:
    found = drawn({f"site{number}": count for number, count in enumerate(counts)})
    strokes = [stroke for line in found.lines for stroke in corners(line.path)]
    for line in found.lines:
        left, right = sorted((found.hosts[line.link.source], found.hosts[line.link.target]), key=lambda box: box.x)
        assert {x for stroke in corners(line.path) for x in (stroke.x, stroke.right)} >= {left.right, right.x}
        assert all(left.right <= stroke.x and stroke.right <= right.x for stroke in corners(line.path))
    flat, upright = [s for s in strokes if not s.height], [s for s in strokes if s.height]
    crossing = [
        (one, other)
        for one in flat
        for other in upright
        if one.x < other.x < one.right and other.y < one.y < other.bottom
    ]
    assert crossing == []
    # Two that go up or down at one place do not lie on each other.
    assert [
        (one, other)
        for one, other in itertools.combinations(upright, 2)
        if one.x == other.x and one.y < other.bottom and other.y < one.bottom
    ] == []


def corners(path: str) -> list[Box]:
    """The straight strokes of a way, its bends taken as corners."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    x1, y1, x2 = numbers[0], numbers[1], numbers[-1]
    turn = float(re.findall(r"[CQ] (-?[\d.]+)", path)[0])
    y2 = numbers[-2]
    low, high = sorted((y1, y2))
    return [Box(x1, y1, turn - x1, 0), Box(turn, low, 0, high - low), Box(turn, y2, x2 - turn, 0)]


def test_the_edges_site_comes_first() -> None:
    places = [Spot("a", "aaa", "worker"), Spot("z", "zzz", "edge"), Spot("d", "zzz", "database")]
    found = lay_out(places, [], "z")
    assert list(found.lanes) == ["zzz", "aaa"]
    assert found.outside.middle == found.hosts["z"].middle


def test_a_pair_without_a_place_between_columns_is_left_to_the_table() -> None:
    places = [Spot("z", "s", "edge"), Spot("d", "s", "database"), Spot("w", "s", "worker")]
    through = Link("z", "d", "", None, None)
    found = lay_out(places, [through, Link("z", "w", "", None, None)], "z")
    assert found.left_out == (through,)
    assert len(found.lines) == 1
