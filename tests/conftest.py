"""For all tests: how hypothesis goes about it, what children inherit, and how several processes share the work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import parallel

# A machine that pauses for a moment is no failure of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell has what it starts with `&` ignore Ctrl-C; programs that tests start would inherit that and never hear one.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Without a cache each of the many programs that tests run would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_BEGAN = time.monotonic()
_BESIDE_THE_LAB = 5
"""How nice tests are while others measure a lab."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> parallel.ByLine:
    """What is divided among processes; see tests/parallel.py."""
    config.option.loadscopereorder = False
    return parallel.ByLine(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several processes what takes longest comes first."""
    if _several(config):
        items.sort(key=lambda item: parallel.ROOMS.index(parallel.room_of(item.nodeid)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that measure go before those that count."""
    if _several(item.config):
        lab = parallel.room_of(item.nodeid) == "lab"
        os.setpriority(os.PRIO_PROCESS, 0, 0 if lab else _BESIDE_THE_LAB)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A lab that this process keeps for tests of another folder is none of a test that asks for none."""
    with pytest.MonkeyPatch.context() as patch:
        if parallel.room_of(item.nodeid) != "lab":
            for name in ("FORTRESS_LAB", "FORTRESS_CLOUDS"):
                patch.delenv(name, raising=False)
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Where the time went."""
    if _several(config):
        found = [report for kind in terminalreporter.stats.values() for report in kind]
        reports = [report for report in found if isinstance(report, pytest.TestReport)]
        terminalreporter.section("time")
        terminalreporter.write_line(parallel.table(reports, time.monotonic() - _BEGAN))


def _several(config: pytest.Config) -> bool:
    return bool(config.getoption("numprocesses", None)) or hasattr(config, "workerinput")
