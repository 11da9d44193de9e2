"""How a run on several processes is divided among them, and where its time went.

A file's tests stay together, so that what a module stands on is made once. So do those of a lab, in their order: three
lines of them go beside each other, and all else fills in where they wait.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

ROOMS = ("lab", "engine", "components", "unit")
"""Folders of tests, those that take longest first: a run ends with what is short."""
OWN_LAB = ("test_bookworm.py", "test_docs.py", "test_lab.py", "test_lab_clouds.py", "test_oslo.py", "test_taken.py")
"""Files of the lab's room that raise labs of their own, one after the other."""
FORTRESSES = {"the fortress": "test_o", "another fortress": "test_zzz"}
"""The lines of tests on a fortress that stands all the time, each with the name before which its files end."""
SLOWEST = 15


def file_of(nodeid: str) -> str:
    """The file of a test."""
    return nodeid.partition("::")[0]


def room_of(nodeid: str) -> str:
    """The folder below `tests` that a test is in."""
    return PurePosixPath(file_of(nodeid)).parts[1]


def line_of(nodeid: str) -> str:
    """What tests have in common that one process runs one after the other."""
    file = file_of(nodeid)
    if room_of(nodeid) != "lab":
        return file
    name = PurePosixPath(file).name
    return "own labs" if name in OWN_LAB else next(line for line, last in FORTRESSES.items() if name < last)


class ByLine(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process a line of tests; the next one when that is done."""

    def _split_scope(self, nodeid: str) -> str:
        return line_of(nodeid)


def table(reports: Iterable[pytest.TestReport], seconds: float) -> str:
    """Where the time of a run went, as Markdown; a test's time is that of its fixtures too.

    Args:
        reports: of every phase of every test.
        seconds: that the run took.
    """
    tests: Counter[str] = Counter()
    rooms: dict[str, float] = defaultdict(float)
    files: dict[str, float] = defaultdict(float)
    for report in reports:
        tests[room_of(report.nodeid)] += report.when == "call"
        rooms[room_of(report.nodeid)] += report.duration
        files[file_of(report.nodeid)] += report.duration
    rows = [(f"`tests/{room}`", str(tests[room]), clock(rooms[room])) for room in reversed(ROOMS) if room in rooms]
    rows += [("together", str(tests.total()), clock(sum(rooms.values()))), ("from begin to end", "", clock(seconds))]
    slowest = sorted(files, key=lambda file: files[file], reverse=True)[:SLOWEST]
    rows += [(f"`{file}`", "", clock(files[file])) for file in slowest]
    head = ("room; slowest files", "tests", "min:s")
    width = max(len(row[0]) for row in (head, *rows))
    lines = [f"| {name:{width}} | {count:>5} | {spent:>5} |" for name, count, spent in (head, *rows)]
    return "\n".join([lines[0], f"|{'-' * (width + 2)}|------:|------:|", *lines[1:]])


def clock(seconds: float) -> str:
    """Minutes and seconds, as 4:05."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"
