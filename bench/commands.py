"""Part `commands`: what an operator waits for, on five hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from bench import stand
from bench.figures import Figure, alternating, median

GOALS = {"verify": 4.0, "status": 1.0, "drift": 2.0}
HELP_GOAL_S = 0.3


def figures(repeat: int) -> Iterator[Figure]:
    """Seconds of each command; the engine's own shortest one stands beside, which each of them runs."""
    with stand.project() as project:

        def command(*arguments: str) -> float:
            return project.fortress(*arguments).seconds

        runs: dict[str, Callable[[], float]] = {name: partial(command, name, "--stack", stand.STACK) for name in GOALS}
        runs["help"] = partial(command, "--help")
        runs["engine"] = lambda: project.pulumi("stack", "output", "--json").seconds
        project.fortress("verify", "--stack", stand.STACK)
        found = {name: median(values) for name, values in alternating(repeat, runs).items()}
    for name, goal in GOALS.items():
        yield Figure(f"`fortress {name}`, five hosts", found[name], "s", goal=goal)
        yield Figure(f"`fortress {name}`, five hosts", found[name], "s", found["engine"], "`pulumi stack output`")
    yield Figure("`fortress --help`", found["help"], "s", goal=HELP_GOAL_S)
