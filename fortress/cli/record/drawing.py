"""The drawing of the flows: where each thing is. Arithmetic only; templates/record.svg.j2 draws it.

Sites are lanes, one above the other; what keeps or processes data is in the left part of each, and flows run up and
down in the right part, one column each, so that none crosses another or a box. Lengths are SVG units.
"""

from __future__ import annotations

from dataclasses import dataclass

from fortress.sovereignty.record.model import ProcessingRecord, RecordArrow, RecordKeeper, RecordSite

BOXES = 3
"""Boxes a row."""
BOX_WIDTH, BOX_HEIGHT, BETWEEN = 148, 44, 10
PADDING = 14
LANE_HEAD = 46
BETWEEN_LANES = 40
BOXES_WIDTH = 2 * PADDING + BOXES * BOX_WIDTH + (BOXES - 1) * BETWEEN
COLUMN = 44
LEAST_COLUMNS = 4
LONGEST_NAME, LONGEST_LINE = 22, 70
"""Characters that fit a box, and a lane's head."""


@dataclass(frozen=True)
class KeeperBox:
    """A host or a container."""

    x: float
    y: float
    keeper: RecordKeeper


@dataclass(frozen=True)
class Lane:
    """A site."""

    y: float
    height: float
    site: RecordSite
    boxes: tuple[KeeperBox, ...]


@dataclass(frozen=True)
class FlowArrow:
    """A flow, from a point in one lane to one in another."""

    x: float
    start: float
    end: float
    number: int
    arrow: RecordArrow

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


@dataclass(frozen=True)
class FlowDrawing:
    """All of it."""

    width: float
    height: float
    lanes: tuple[Lane, ...]
    arrows: tuple[FlowArrow, ...]
    within: tuple[RecordArrow, ...]
    """Flows between hosts of one site: no line, only in the tables."""


def draw(record: ProcessingRecord) -> FlowDrawing:
    """The layout of a record's sites and flows."""
    lanes: list[Lane] = []
    top = 0.0
    for site in record.sites:
        boxes = tuple(
            KeeperBox(
                PADDING + number % BOXES * (BOX_WIDTH + BETWEEN),
                top + LANE_HEAD + number // BOXES * (BOX_HEIGHT + BETWEEN),
                keeper,
            )
            for number, keeper in enumerate(site.keepers)
        )
        rows = max(1, -(-len(boxes) // BOXES))
        height = LANE_HEAD + rows * (BOX_HEIGHT + BETWEEN) - BETWEEN + PADDING
        lanes.append(Lane(top, height, site, boxes))
        top += height + BETWEEN_LANES
    places = {lane.site.name: lane for lane in lanes}
    crossing = [one for one in record.arrows if one.source != one.destination]
    arrows = []
    for number, arrow in enumerate(crossing, 1):
        source, destination = places[arrow.source], places[arrow.destination]
        down = source.y < destination.y
        arrows.append(
            FlowArrow(
                x=BOXES_WIDTH + (number - 0.5) * COLUMN,
                start=source.y + source.height - PADDING if down else source.y + PADDING,
                end=destination.y + PADDING if down else destination.y + destination.height - PADDING,
                number=number,
                arrow=arrow,
            )
        )
    return FlowDrawing(
        width=BOXES_WIDTH + max(LEAST_COLUMNS, len(crossing)) * COLUMN,
        height=max(top - BETWEEN_LANES, 0),
        lanes=tuple(lanes),
        arrows=tuple(arrows),
        within=tuple(one for one in record.arrows if one.source == one.destination),
    )


def fitting(text: str, longest: int = LONGEST_NAME) -> str:
    """A text cut to fit."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
