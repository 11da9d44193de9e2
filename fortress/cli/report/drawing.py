"""The diagram of a fortress: positions of sites, hosts and lines. Arithmetic only; templates/report.svg.j2 draws it.

Sites are lanes, one above the other; roles are columns, in the order in which a request passes them: edge, worker,
database. Lines run in the gaps between columns, so none crosses a host. All lengths are SVG units: pixels on a screen
that is wide enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fortress.cli.check.check import Status

ROLES = ("edge", "worker", "database")

OUTSIDE_WIDTH, LANES_X = 104, 148
PADDING = 22
BOX_WIDTH, BOX_HEIGHT = 178, 66
GAP = 168
STUB = 72
"""Length of a line's straight part beside a worker: room for its labels, and no other line passes."""
NOTE_HEIGHT = 16
BETWEEN_BOXES = 22
BEND = 14
"""Radius of a line's bends."""
PORT = 12
"""Minimum distance between two lines where they leave a box."""
FINE_FROM = 8
"""With more lines than this on one side of a box, they are drawn thin."""
LANE_HEAD = 36
BETWEEN_LANES = 14
WIDTH = LANES_X + 2 * PADDING + len(ROLES) * BOX_WIDTH + (len(ROLES) - 1) * GAP
LONGEST_NAME = 17
"""Characters of a name that fit a box."""


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True)
class Spot:
    """What the layout needs to know of a host."""

    name: str
    site: str
    role: str
    note: str = ""
    """A line more in its box."""


@dataclass(frozen=True)
class Link:
    """A pair of hosts with a tunnel, a flow or both, as drawn."""

    source: str
    target: str
    said: str
    """Its full description: the tooltip, and the text for screen readers."""
    tunnel: Status | None
    """None where the two have no tunnel."""
    flow: Status | None
    above: str = ""
    """Short label at the line: the tunnel's."""
    below: str = ""
    """The same of the flow."""


@dataclass(frozen=True)
class Line:
    """A link with its way through the drawing."""

    link: Link
    path: str
    label_x: float
    label_y: float


@dataclass(frozen=True)
class Drawing:
    """The finished layout."""

    height: float
    lanes: Mapping[str, Box]
    """By site."""
    hosts: Mapping[str, Box]
    """By name."""
    lines: tuple[Line, ...]
    outside: Box
    way_in: str
    """Path from outside to the edge."""
    left_out: tuple[Link, ...]
    """Links that are not between a worker and a hub: no line, only in the table."""
    fine: bool
    """Whether lines run so close together that they must be thin."""
    width: float = WIDTH


def lay_out(places: Sequence[Spot], links: Sequence[Link], edge: str | None) -> Drawing:
    """Compute the layout. `edge` is the host that serves clients outside, if there is one; its site comes first."""
    home = next((place.site for place in places if place.name == edge), "")
    sites = sorted({place.site for place in places}, key=lambda site: (site != home, site))
    roles = {place.name: place.role for place in places}
    drawn, left_out = list[Link](), list[Link]()
    for link in links:
        (drawn if [roles[link.source], roles[link.target]].count("worker") == 1 else left_out).append(link)
    others: dict[tuple[str, str], list[str]] = {}
    """By host and role, which decides the side: the hosts that a line joins it to."""
    for link in drawn:
        others.setdefault((link.source, roles[link.target]), []).append(link.target)
        others.setdefault((link.target, roles[link.source]), []).append(link.source)
    busiest = {name: max(len(others.get((name, role), ())) for role in ROLES) for name in roles}
    # A box is as high as the lines on its busier side need.
    least = {place.name: BOX_HEIGHT + (NOTE_HEIGHT if place.note else 0) for place in places}
    heights = {name: max(least[name], PORT * (count + 1)) for name, count in busiest.items()}
    lanes: dict[str, Box] = {}
    hosts: dict[str, Box] = {}
    top = 0.0
    for site in sites:
        columns = [[p.name for p in places if p.site == site and p.role == role] for role in ROLES]
        tall = [sum(heights[name] + BETWEEN_BOXES for name in column) for column in columns]
        lanes[site] = lane = Box(LANES_X, top, WIDTH - LANES_X, LANE_HEAD + max(tall))
        for number, column in enumerate(columns):
            y = top + LANE_HEAD + (max(tall) - tall[number]) / 2
            for name in column:
                hosts[name] = Box(_column(number), y, BOX_WIDTH, heights[name])
                y = hosts[name].bottom + BETWEEN_BOXES
        top = lane.bottom + BETWEEN_LANES
    box = hosts.get(edge or "", Box(_column(0), LANE_HEAD, BOX_WIDTH, BOX_HEIGHT))
    outside = Box(0, box.middle - BOX_HEIGHT / 2, OUTSIDE_WIDTH, BOX_HEIGHT)
    return Drawing(
        height=top - BETWEEN_LANES,
        lanes=lanes,
        hosts=hosts,
        lines=_lines(drawn, hosts, roles, others),
        outside=outside,
        way_in=f"M {outside.right:g} {outside.middle:g} H {box.x:g}",
        left_out=tuple(left_out),
        fine=max(busiest.values(), default=0) > FINE_FROM,
    )


def _column(number: int) -> float:
    return LANES_X + PADDING + number * (BOX_WIDTH + GAP)


def _lines(
    links: Sequence[Link],
    hosts: Mapping[str, Box],
    roles: Mapping[str, str],
    others: Mapping[tuple[str, str], Sequence[str]],
) -> tuple[Line, ...]:
    """The ways between workers and their hubs, edge or database.

    Lines leave a box one below the other, in the order in which they arrive. Each goes up or down in a place of its
    own, the farthest the nearest to the hub, so that those of one hub do not cross.
    """
    ports: dict[tuple[str, str], float] = {}
    """Height at which a line leaves the first for the second."""
    for (name, _), names in others.items():
        for number, other in enumerate(sorted(names, key=lambda name: hosts[name].y), 1):
            ports[name, other] = hosts[name].y + hosts[name].height * number / (len(names) + 1)

    def rise(hub: str, worker: str) -> float:
        return ports[worker, hub] - ports[hub, worker]

    found = []
    for link in links:
        hub, worker = (link.source, link.target) if roles[link.target] == "worker" else (link.target, link.source)
        siblings = others[hub, "worker"]
        own = rise(hub, worker)
        farther = sum(rise(hub, each) * own > own * own for each in siblings)
        step = min(16.0, (GAP - STUB - 2 * BEND) / max(len(siblings) - 1, 1))
        away = BEND + farther * step
        near, far = ports[hub, worker], ports[worker, hub]
        if roles[hub] == "edge":
            left, right = hosts[hub].right, hosts[worker].x
            found.append(Line(link, _way(left, near, right, far, left + away), right - STUB / 2, far))
        else:
            left, right = hosts[worker].right, hosts[hub].x
            found.append(Line(link, _way(left, far, right, near, right - away), left + STUB / 2, far))
    return tuple(found)


def _way(x1: float, y1: float, x2: float, y2: float, turn: float) -> str:
    """A path to a point further right, which turns up or down at `turn`."""
    if abs(y2 - y1) < 2 * BEND:
        return f"M {x1:g} {y1:g} H {turn - BEND:g} C {turn:g} {y1:g}, {turn:g} {y2:g}, {turn + BEND:g} {y2:g} H {x2:g}"
    bend = BEND if y2 > y1 else -BEND
    return (
        f"M {x1:g} {y1:g} H {turn - BEND:g} Q {turn:g} {y1:g}, {turn:g} {y1 + bend:g}"
        f" V {y2 - bend:g} Q {turn:g} {y2:g}, {turn + BEND:g} {y2:g} H {x2:g}"
    )


def shortened(name: str) -> str:
    """A name, shortened to fit a box."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
