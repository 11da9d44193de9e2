"""Part `program`: resources, and the program's CPU for each, as workers are added; previews that reach no host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import stand
from bench.figures import Figure, median

WORKERS = (10, 25, 50)
_REPORT = """
import atexit, resource, runpy
from pathlib import Path
def report():
    used = resource.getrusage(resource.RUSAGE_SELF)
    Path(__file__).with_name("cpu").write_text(str(used.ru_utime + used.ru_stime))
atexit.register(report)
runpy.run_path(str(Path(__file__).with_name("program.py")), run_name="__main__")
"""
"""Stands in the place of __main__.py and writes down what the process has used when it ends."""


@dataclass(frozen=True)
class Cost:
    """Of one preview."""

    resources: int
    cpu_s: float


def figures(repeat: int) -> Iterator[Figure]:
    """The lab's stack as it is, with one worker more, and with many."""
    with stand.alone() as folder:
        (folder / "fortress").mkdir()
        own = _Preview(folder / "fortress")
        usual, one_more = own.cost(0).resources, own.cost(1).resources
        yield Figure("resources of the lab's stack", usual, "", goal=60)
        yield Figure("resources that a worker adds", one_more - usual, "", goal=10)
        found: dict[int, list[Cost]] = {workers: [] for workers in WORKERS}
        for _ in range(repeat):
            for workers in WORKERS:
                found[workers].append(own.cost(workers - 3))
        each = {
            workers: median(1000 * cost.cpu_s / cost.resources for cost in costs) for workers, costs in found.items()
        }
        for workers in WORKERS:
            note = f"{found[workers][0].resources:,} resources, imports included"
            yield Figure(f"program CPU a resource, {workers} workers", each[workers], "ms", goal=15, note=note)
        yield Figure(
            f"program CPU a resource, {WORKERS[-1]} workers",
            each[WORKERS[-1]],
            "ms",
            each[WORKERS[0]],
            f"{WORKERS[0]} workers",
            1.2,
        )


class _Preview:
    def __init__(self, folder: Path) -> None:
        self._project = stand.Project(folder, stand.engine()[0])
        self._folder = folder
        main = folder / "__main__.py"
        main.unlink()
        main.write_text(_REPORT)
        source = (stand.ROOT / "__main__.py").read_text()
        (folder / "program.py").write_text(source)
        self._project.pulumi("stack", "init", "--no-select")
        self._plain = self._project.file.read_text()

    def cost(self, more: int) -> Cost:
        """Of the preview with so many workers more than the lab has."""
        self._project.file.write_text(self._plain)
        self._project.change(lambda settings: with_workers(settings, more))
        said = self._project.pulumi("preview", "--json").said
        steps = json.loads(said[said.index("{\n") : said.rindex("}") + 1])["steps"]
        return Cost(len(steps), float((self._folder / "cpu").read_text()))


def with_workers(settings: stand.Settings, more: int) -> None:
    """Add so many workers to settings, each at a free slot and an address that nobody has."""
    for number in range(1, more + 1):
        settings["hosts"][f"more-{number}"] = {
            "site": "frankfurt",
            "role": "worker",
            "slot": 5 + number,
            "address": f"203.0.113.{100 + number}",
            "memory_mb": 512,
        }
