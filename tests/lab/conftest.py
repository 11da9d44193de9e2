"""The labs that the tests work on: their own, so that a standing one is not touched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab import api
from lab.base.folders import RELEASES, Lab
from lab.image import images, machine
from tests.lab.fortress import Fortress

NAME = os.environ.get("FORTRESS_TEST_LAB", "test") + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
"""Of the lab that the fortress of the tests stands on, one for each process of a run; names of other labs begin with
it."""


@dataclass(frozen=True)
class StandingLab:
    """A lab of the tests, and the seconds that it took to start with everything in the cache."""

    lab: Lab
    seconds: float


@contextmanager
def standing(name: str, keep: bool, release: str = RELEASES[0]) -> Iterator[StandingLab]:
    """A lab with its standard hosts up; lab.api and `python -m lab` work on it meanwhile.

    It starts from nothing and is taken down at the end, unless it is to be kept.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORTRESS_LAB", name)
        if not keep:
            api.down()
        if not machine.check(api.current(), release).netem:
            images.delay_line()
        images.repository(release)
        began = time.monotonic()
        api.up(release=release)
        yield StandingLab(api.current(), time.monotonic() - began)
        patch.setenv("FORTRESS_LAB", name)  # the last test of a process may be one that no lab stands for
        if not keep:
            api.down()


@pytest.fixture(scope="session")
def lab() -> Iterator[StandingLab]:
    """Lab `test` (or FORTRESS_TEST_LAB; with -n and the process's number), for tests of a fortress that stands on it.

    With FORTRESS_TEST_KEEP=1 it stays at the end, and the next run takes it as it is.
    """
    with standing(NAME, keep=os.environ.get("FORTRESS_TEST_KEEP") == "1") as found:
        yield found


@pytest.fixture(scope="session")
def fortress(lab: StandingLab, tmp_path_factory: pytest.TempPathFactory) -> Fortress:
    """The fortress of Pulumi.lab.yaml, brought up on that lab once for all tests of a process.

    A test that changes it leaves it as it found it; `Fortress.changed` does so.
    """
    found = Fortress(lab.lab, tmp_path_factory.mktemp("project"))
    found.up()
    return found


@pytest.fixture(scope="module")
def plain() -> Iterator[StandingLab]:
    """A lab for tests of the lab itself: no fortress is ever put on it."""
    with standing(f"{NAME}plain", keep=False) as found:
        yield found
