"""A check's history as a small plot: arithmetic only; templates/report.html.j2 draws it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind

WIDTH, HEIGHT, EDGE = 132.0, 22.0, 3.0
MOST_RUNS = 40
"""Number of runs that a plot shows, the latest ones."""
TICK = (WIDTH - 2 * EDGE) / (MOST_RUNS - 1)
"""Distance between two ticks."""


@dataclass(frozen=True)
class Tick:
    """One run of a check that has no numbers to plot."""

    x: float
    status: Status


@dataclass(frozen=True)
class Plot:
    """A line with its limit, or one tick per run. All lengths are SVG units."""

    said: str
    """The same as text."""
    line: str = ""
    """Points of a polyline."""
    last: tuple[float, float] = (0.0, 0.0)
    failed: tuple[tuple[float, float], ...] = ()
    limits: tuple[float, ...] = ()
    """Heights of the limit, or of both its ends."""
    ticks: tuple[Tick, ...] = ()


def plot(past: Sequence[tuple[float, Check]]) -> Plot | None:
    """The plot of one check, from its results in all runs, oldest first; None if there is only one run."""
    past = past[-MOST_RUNS:]
    if len(past) < 2:
        return None
    since = datetime.fromtimestamp(past[0][0], UTC).strftime("%Y-%m-%d")
    held = sum(check.status is Status.OK for _, check in past)
    numbers = [float(check.value) for _, check in past if isinstance(check.value, int | float)]
    ends = _ends(past[-1][1])
    step = (WIDTH - 2 * EDGE) / (len(past) - 1)
    places = [EDGE + number * step for number in range(len(past))]
    said = f"held in {held} of {len(past)} runs since {since}"
    if len(numbers) < 2 or {*numbers, *ends} == set(numbers[:1]):
        # The latest at the right, with the same distance however few they are.
        ticks = [Tick(WIDTH - EDGE - back * TICK, check.status) for back, (_, check) in enumerate(reversed(past))]
        return Plot(said, ticks=tuple(reversed(ticks)))
    least, most = min(numbers), max(numbers)
    low, high = min([least, *ends]), max([most, *ends])

    def height(value: float) -> float:
        if high == low:
            return HEIGHT / 2
        return round(HEIGHT - EDGE - (value - low) / (high - low) * (HEIGHT - 2 * EDGE), 1)

    points = [
        (round(x, 1), height(float(check.value)), check.status)
        for x, (_, check) in zip(places, past, strict=True)
        if isinstance(check.value, int | float)
    ]
    unit = f" {past[-1][1].unit}" if past[-1][1].unit else ""
    return Plot(
        f"{least:g} to {most:g}{unit}, median {statistics.median(numbers):g}; {said}",
        line=" ".join(f"{x:g},{y:g}" for x, y, _ in points),
        last=points[-1][:2],
        failed=tuple((x, y) for x, y, status in points if status is Status.FAIL),
        limits=tuple(height(end) for end in ends),
    )


def _ends(check: Check) -> tuple[float, ...]:
    """The limit as numbers: one or both its ends; both ways where a difference may be negative."""
    if isinstance(check.limit, tuple):
        return check.limit
    if not isinstance(check.limit, int | float):
        return ()
    return (-check.limit, check.limit) if check.kind is Kind.CLOCK_OFFSET else (check.limit,)
