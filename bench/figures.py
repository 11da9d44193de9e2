"""Figures, the table that shows them, and their JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One measurement: ours, and mostly another one of the same run that it is divided by."""

    what: str
    """What was measured."""
    ours: float
    """In `unit`."""
    unit: str
    """Of both values: s, ms, Mbit/s; empty where things are counted."""
    beside: float | None = None
    """What it is compared with, in the same unit; nothing where the goal is for the value itself."""
    beside_what: str = ""
    """What the second value is of."""
    goal: float | None = None
    """For the ratio, or for the value where nothing stands beside it."""
    at_least: bool = False
    """Whether the goal is the least and not the most."""
    note: str = ""
    """What a reader must know, in a few words."""

    @property
    def ratio(self) -> float | None:
        """Ours ÷ the other; None where there is no other one."""
        return None if self.beside is None else self.ours / self.beside if self.beside else float("inf")

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        value = self.ours if self.ratio is None else self.ratio
        return value >= self.goal if self.at_least else value <= self.goal


Part = Callable[[int], Iterator[Figure]]
"""Measures, by so many runs of each thing, and gives its figures as it has them."""


def median(values: Iterable[float]) -> float:
    """The middle one, or the mean of the two in the middle."""
    return statistics.median(values)


def alternating(repeat: int, runs: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Every run, one after another, and all of them again: what else the machine does meets each alike."""
    found: dict[str, list[T]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            found[name].append(run())
    return found


HEADS = ("what", "ours", "beside", "ratio", "goal", "met")


def table(figures: Sequence[Figure]) -> str:
    """The figures as Markdown."""
    rows = [HEADS, tuple("---" for _ in HEADS), *(_row(figure) for figure in figures)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(figure: Figure) -> tuple[str, ...]:
    what = f"{figure.what} ({figure.note})" if figure.note else figure.what
    beside = "" if figure.beside is None else f"{figure.beside_what}: {_value(figure.beside, figure.unit)}"
    goal = (
        "" if figure.goal is None else f"{'≥' if figure.at_least else '≤'} {_value(figure.goal, _goals_unit(figure))}"
    )
    met = {None: "", True: "yes", False: "**no**"}[figure.met]
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    cells = (what, _value(figure.ours, figure.unit), beside, ratio, goal, met)
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _goals_unit(figure: Figure) -> str:
    return figure.unit if figure.ratio is None else ""


def _value(value: float, unit: str) -> str:
    digits = 0 if value == int(value) and abs(value) >= 10 else 1 if abs(value) >= 10 else 2
    number = f"{value:,.{digits}f}"
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number} {unit}".rstrip()


def as_json(figures: Sequence[Figure], about: Mapping[str, object]) -> str:
    """The figures for programs, with what is to be said about the run."""
    rows = [{**asdict(figure), "ratio": figure.ratio, "met": figure.met} for figure in figures]
    return json.dumps({**about, "figures": rows}, indent=2, ensure_ascii=False) + "\n"
