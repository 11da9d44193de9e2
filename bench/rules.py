"""Part `rules`: a preview of Pulumi.oslo.yaml on stand-ins for its clouds, beside the same without the rules."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import stand
from bench.figures import Figure, alternating, median

STACK = "oslo"
HELD = "hold_rules(settings, secrets.project)\n"
"""The line of the program that has each resource looked at."""


@dataclass(frozen=True)
class PreviewCost:
    """Of one preview."""

    seconds: float
    cpu_s: float
    """Of the engine, the program and the plugins."""


def figures(repeat: int) -> Iterator[Figure]:
    """What a whole preview takes: on the clock, and of all processes together, which other work disturbs less."""
    with stand.alone() as folder:
        ours, bare = project(folder / "ours", held=True), project(folder / "bare", held=False)
        ours.pulumi("stack", "init", "--no-select")
        runs = {"ours": partial(cost, ours), "bare": partial(cost, bare)}
        found = alternating(repeat, runs)
        for what, field in (("time", "seconds"), ("processors' time", "cpu_s")):
            values = {name: median(getattr(cost, field) for cost in costs) for name, costs in found.items()}
            yield Figure(f"preview of Pulumi.oslo.yaml, {what}", values["ours"], "s", values["bare"], "no rules", 1.1)


def project(folder: Path, held: bool) -> stand.Project:
    """The project with the stack of production, held to the rules or not.

    Raises:
        BenchError: the program has no such line any more.
    """
    folder.mkdir()
    made = stand.Project(folder, stand.engine(STACK)[0], STACK)
    source = (stand.ROOT / "__main__.py").read_text()
    if source.count(HELD) != 1:
        raise stand.BenchError(f"__main__.py has no line {HELD!r}")
    if not held:
        (folder / "__main__.py").unlink()
        (folder / "__main__.py").write_text(source.replace(HELD, ""))
    return made


def cost(made: stand.Project) -> PreviewCost:
    """Of one preview."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = made.pulumi("preview", "--suppress-outputs")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return PreviewCost(ran.seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
