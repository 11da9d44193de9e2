"""How old what a copy has is, as its service tells it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from fortress.scripts.roles.host import ServerList
from fortress.scripts.roles.service import Service
from fortress.scripts.roles.states import ReplicationSource, ServerState
from tests.unit.servers import ADDRESSES, FOLLOWING, A, B


class Copy:
    """The service of a copy, with a clock of ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        self.service = Service(ServerList("b", 3307, 3306, ADDRESSES, "10.100.0.0/255.255.255.0"))

    def lag(self, primary: int | str, own: int, *, source: ReplicationSource = FOLLOWING) -> float | None:
        """What it says half a second later, of a primary at a position, or silent, and of its own."""
        self.now += 0.5
        self.service.asked_others = self.now
        other: ServerState | str = primary if isinstance(primary, str) else self.primary(primary)
        self.service.others = {"a": other}
        self.service.own = replace(B, position=f"0-1-{own}", source=source)
        self.service.note()
        return self.service.report().lag_s

    @staticmethod
    def primary(at: int) -> ServerState:
        return replace(A, read_only=False, binlog=f"0-1-{at}", position=f"0-1-{at}")


def test_lag_is_the_time_since_the_primary_was_where_the_copy_is(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Copy(monkeypatch)
    assert copy.lag(5, 4) is None, "not known before the copy has come to where it saw the primary"
    assert copy.lag(5, 5) == 0
    assert copy.lag(5, 5) == 0, "nothing was written"
    assert [copy.lag(5 + n, 5) for n in (1, 2, 3)] == [0.5, 1.0, 1.5]
    assert copy.lag(8, 7) == 1.0
    assert copy.lag(8, 8) == 0


@pytest.mark.parametrize("source", [replace(FOLLOWING, applying=False), replace(FOLLOWING, receiving=False), FOLLOWING])
def test_lag_grows_whatever_the_threads_say(monkeypatch: pytest.MonkeyPatch, source: ReplicationSource) -> None:
    """MariaDB's own figure is NULL without a thread, and 0 where the network stalls beneath one that runs."""
    copy = Copy(monkeypatch)
    copy.lag(5, 5)
    assert [copy.lag(6 + n, 5, source=source) for n in range(20)][-1] == 10.0
    assert [copy.lag("no route to host", 5, source=source) for _ in range(20)][-1] == 20.0
    assert copy.lag("no route to host", 25) == 10.5, "what it has is as old as when it saw the primary there last"
    assert copy.lag(25, 25) == 0


def test_what_was_committed_while_the_primary_was_being_asked_may_be_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had looked 0.4 s before it answered, and the answer took 0.3 s: for backups that counts as missing."""
    copy = Copy(monkeypatch)
    copy.service.asked_others = copy.now
    copy.service.own = replace(B, position="0-1-5", source=FOLLOWING)
    copy.service.others = {"a": replace(copy.primary(5), age_s=0.4)}
    copy.now += 0.3
    copy.service.note()
    report = copy.service.report()
    assert (report.lag_s, report.lacks_s) == (0, 0.7)
    copy.now += 0.5
    assert copy.service.report().lacks_s == 1.2


def test_a_server_tells_how_old_what_it_says_is_from_before_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to who asks while it is being asked again, and so gets the answer before."""
    copy = Copy(monkeypatch)
    meanwhile: list[float] = []

    def slow(_name: str) -> ServerState:
        copy.now += 0.8
        meanwhile.append(copy.service.report().own.age_s)
        return replace(B, position="0-1-5", source=FOLLOWING)

    monkeypatch.setattr("fortress.scripts.roles.service.look", slow)
    monkeypatch.setattr("fortress.scripts.roles.service.ask_all", lambda _config: {"a": copy.primary(5)})
    monkeypatch.setattr("fortress.scripts.roles.service.one_at_a_time", lambda _seconds: contextlib.nullcontext())
    copy.service.step()
    assert copy.service.report().own.age_s == 0.8
    copy.now += 0.5
    copy.service.step()
    assert meanwhile[1] == 0.8 + 0.5 + 0.8
    assert copy.service.report().own.age_s == 0.8
