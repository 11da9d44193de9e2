"""Who takes the writes: what each server decides from what it knows, and how that travels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from fortress.scripts import database_role
from fortress.scripts.database_role import (
    Decision,
    Membership,
    PrimarySeen,
    ReplicationSource,
    ServerList,
    ServerReport,
    ServerState,
    ahead,
    decide,
    decide_member,
    hash_of,
    parse_report,
    positions,
    quoted,
)

ADDRESSES = {"a": "10.100.0.1", "b": "10.100.0.6", "c": "10.100.0.7"}
FOLLOWING = ReplicationSource(
    address="10.100.0.1", receiving=True, applying=True, error="", received="0-1-5", waiting=True
)
A = ServerState("a", number=1, primary="a", read_only=True, position="0-1-5")
B = replace(A, server="b", source=FOLLOWING)


def do(own: ServerState, others: Mapping[str, ServerState | str]) -> Decision:
    return decide(own.server, own, others, ADDRESSES)


def test_the_primary_takes_writes_once_all_others_agree() -> None:
    assert do(A, {"b": B}).do == "lift"
    assert do(replace(A, read_only=False), {"b": B}) == Decision("keep", "takes the writes")


def test_a_copy_stays_one() -> None:
    assert do(B, {"a": replace(A, read_only=False)}) == Decision("keep", "follows a", "a")
    assert do(B, {"a": "no route to host"}) == Decision("keep", "follows a", "a"), "it is promoted by nobody"


@pytest.mark.parametrize(
    "other",
    ["no route to host", replace(B, trouble="MariaDB: cannot connect")],
    ids=["silent", "without its server"],
)
def test_a_primary_that_starts_waits_for_a_server_that_does_not_answer(other: ServerState | str) -> None:
    """It may have been promoted meanwhile."""
    found = do(A, {"b": other})
    assert found.do == "keep"
    assert "b does not answer" in found.why
    assert do(replace(A, read_only=False), {"b": other}).do == "keep", "and one that takes writes goes on"


def test_a_primary_that_comes_back_follows_the_one_that_was_promoted() -> None:
    promoted = replace(B, number=2, primary="b", read_only=False, source=None, position="0-6-9")
    # Its own data do not know of it, so it has never taken part with them: it follows.
    assert do(A, {"b": promoted}) == Decision("follow", "b takes the writes since number 2", "b")
    writing = do(replace(A, read_only=False), {"b": promoted})
    assert (writing.do, writing.server) == ("drop", "b"), "one that still takes writes stops"


def test_a_hand_over_ends_with_the_row_that_names_the_other() -> None:
    """The row is the last transaction of the old primary: who has applied it has all."""
    old, new = replace(A, number=2, primary="b"), replace(B, number=2, primary="b")
    assert do(new, {"a": old}).do == "lift"
    assert do(old, {"b": new}) == Decision("follow", "b takes the writes since number 2", "b")


def test_b_is_not_lifted_by_what_another_server_says_before_its_own_data_do() -> None:
    old = replace(A, number=2, primary="b")
    found = decide("b", B, {"a": old}, ADDRESSES)
    assert found.do == "keep"
    assert "older than number 2" in found.why


def test_a_server_whose_data_are_older_than_its_own_role_does_not_take_writes() -> None:
    """Restored from an old backup, or a new disk."""
    restored = replace(A, number=1)
    knows = replace(B, number=3, primary="a")
    assert do(restored, {"b": knows}).do == "keep"
    assert do(replace(restored, read_only=False), {"b": knows}).do == "drop"


def test_two_that_claim_the_same_number_are_both_read_only() -> None:
    one = replace(A, number=4, primary="a", read_only=False)
    other = replace(B, number=4, primary="b", read_only=False)
    for own, others in ((one, {"b": other}), (other, {"a": one})):
        found = do(own, others)
        assert found.do == "drop"
        assert "a and b were both made primary (number 4)" in found.why


def test_a_primary_does_not_take_writes_before_what_only_another_one_has() -> None:
    """It lost its last transactions, which a copy has acknowledged."""
    found = do(A, {"b": replace(B, position="0-1-6")})
    assert found.do == "keep"
    assert "b has transactions that are missing here" in found.why


def test_who_takes_no_part_never_takes_writes() -> None:
    fresh = ServerState("a")
    assert do(fresh, {"b": "not there"}).do == "keep"
    assert do(replace(fresh, read_only=False), {}).do == "drop"
    beside = do(fresh, {"b": replace(B, number=1, primary="b", read_only=False)})
    assert beside == Decision("keep", "takes no part yet: `pulumi up` lets it join")


def test_data_that_are_being_replaced_count_for_nothing() -> None:
    seeding = replace(B, seeding=True, number=9, primary="b")
    assert do(seeding, {"a": A}).do == "keep"
    assert do(A, {"b": seeding}).do == "lift", "the primary does not wait for it, nor for what its data say"


def test_a_primary_that_left_the_list_is_followed_by_nobody() -> None:
    found = decide("b", B, {}, {"b": ADDRESSES["b"]})
    assert found.do == "keep"
    assert "is none of the servers any more" in found.why


def test_a_copy_of_three_turns_to_the_new_primary() -> None:
    third = replace(B, server="c", number=2, primary="b")
    assert do(third, {"a": "gone", "b": replace(B, number=2, primary="b", read_only=False)}).do == "follow"


def test_positions() -> None:
    assert positions("0-1-5,\n3-2-7") == {"0": 5, "3": 7}
    assert positions("") == {}
    assert ahead("0-6-6", "0-1-5")
    assert not ahead("0-1-5", "0-6-5")
    assert ahead("0-1-5,1-1-1", "0-1-9"), "a domain that the other has not"
    assert not ahead("", "")


def test_a_report_is_read_as_it_was_printed() -> None:
    report = ServerReport(
        B, age_s=0.2, why="follows a", lag_s=0.4, primary_seen=PrimarySeen(0.4, "0-1-5", True), others={"a": "answers"}
    )
    assert parse_report(json.loads(json.dumps(asdict(report)))) == report
    newer = {**asdict(report), "of_a_later_version": 1}
    assert parse_report(newer) == report


@pytest.mark.parametrize("wrong", [{}, {"own": None}, {"own": {}}, [], {"own": {"server": "a", "source": {"x": 1}}}])
def test_what_is_no_report_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="no report of a server"):
        parse_report(wrong)


def test_text_in_sql_ends_where_it_is_meant_to() -> None:
    assert quoted("a'b\\c") == "'a''b\\\\c'"


def test_a_password_is_kept_as_mariadb_keeps_it() -> None:
    assert hash_of(b"password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"  # SELECT PASSWORD('password')


# --- in a cluster -----------------------------------------------------------------------------------------------------

WHOLE = Membership("Primary", "Synced", ready=True, size=3, members=("a", "b", "c"), cluster="u", committed=9)
WITHOUT_A = replace(WHOLE, size=2, members=("b", "c"))
WRITER = ServerState("a", number=1, primary="a", read_only=False, member=WHOLE)
SECOND = replace(WRITER, server="b", read_only=True)
THIRD = replace(SECOND, server="c")


def member_does(own: ServerState, others: Mapping[str, ServerState | str], desynced_s: float = 0) -> Decision:
    return decide_member(own.server, own, others, desynced_s)


def test_the_row_says_which_member_takes_the_writes() -> None:
    assert member_does(WRITER, {"b": SECOND, "c": THIRD}) == Decision("keep", "takes the writes")
    assert member_does(replace(WRITER, read_only=True), {"b": "silent", "c": "silent"}).do == "lift", (
        "being in the majority is enough: nobody else can have been made primary meanwhile"
    )
    assert member_does(SECOND, {"a": WRITER, "c": THIRD}).do == "keep"
    assert member_does(replace(SECOND, read_only=False), {"a": WRITER, "c": THIRD}).do == "drop"


def test_a_member_that_left_is_replaced_by_exactly_one_other() -> None:
    second, third = replace(SECOND, member=WITHOUT_A), replace(THIRD, member=WITHOUT_A)
    assert member_does(second, {"a": "no route to host", "c": third}).do == "take"
    assert member_does(third, {"a": "no route to host", "b": second}).do == "keep"
    assert member_does(third, {"a": "no route to host", "b": "silent"}).do == "take", (
        "the next one, where that is silent"
    )
    joining = replace(second, member=replace(WITHOUT_A, state="Joined"))
    assert member_does(joining, {"a": "silent", "c": third}).do == "keep", "a Synced one is better"
    assert member_does(third, {"a": "silent", "b": joining}).do == "take"


def test_a_silent_primary_that_is_in_the_majority_is_not_replaced() -> None:
    """Its service may have ended; whether it can commit is what counts."""
    assert member_does(SECOND, {"a": "silent", "c": THIRD}).do == "keep"


@pytest.mark.parametrize(
    "member",
    [
        replace(WHOLE, status="non-Primary", ready=False, size=1),
        replace(WHOLE, status="Disconnected", ready=False),
        replace(WHOLE, ready=False),
    ],
    ids=["minority", "disconnected", "not ready"],
)
def test_who_is_in_no_majority_neither_takes_writes_nor_replaces_anybody(member: Membership) -> None:
    assert member_does(replace(WRITER, member=member), {"b": SECOND}).do == "drop"
    left = replace(SECOND, member=replace(member, members=("b",)))
    found = member_does(left, {"a": "silent", "c": "silent"})
    assert found.do == "keep"
    assert "is not in the majority of the cluster" in found.why


def test_a_primary_that_gives_all_data_away_yields_to_a_synced_member_if_there_is_one() -> None:
    donor = replace(WRITER, member=replace(WHOLE, state="Donor/Desynced"))
    others: dict[str, ServerState | str] = {"b": SECOND, "c": "silent"}
    assert member_does(donor, others, 60) == Decision("yield", "is Donor/Desynced while b is Synced", "b")
    assert member_does(donor, others, 3).do == "keep", "it may be about what was missed alone"
    joining = replace(SECOND, member=replace(WHOLE, state="Joining"))
    assert member_does(donor, {"b": joining, "c": "silent"}, 60).do == "keep", "it is the last one"


def test_who_has_not_joined_takes_no_writes() -> None:
    assert member_does(replace(WRITER, member=None), {}).do == "drop"
    assert member_does(replace(SECOND, number=0, primary=None), {}).do == "keep"


def test_a_report_of_a_member_is_read_as_it_was_printed() -> None:
    report = ServerReport(WRITER, takes_writes=True, why="takes the writes", votes=3, flow_paused=0.01)
    assert parse_report(json.loads(json.dumps(asdict(report)))) == report


def test_what_a_member_says_of_its_data_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "grastate.dat"
    monkeypatch.setattr(database_role, "SAVED", file)
    assert database_role.saved() == ("", -1, False)
    file.write_text("# GALERA saved state\nversion: 2.1\nuuid:    034e31ac\nseqno:   17\nsafe_to_bootstrap: 1\n")
    assert database_role.saved() == ("034e31ac", 17, True)


def test_a_primary_that_sends_no_copy_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was a server of several before takes writes before it has the account of copies."""
    config = database_role.ServerList("b", 3307, 3306, {"a": "10.100.0.1", "b": "10.100.0.6"}, "10.100.0.0/24")
    primary = replace(A, read_only=False)
    asked: list[str] = []

    def seed(_config: object, name: str) -> None:
        asked.append(name)
        if len(asked) < 3:
            raise database_role.NotNowError("a sends no copy: only another server may copy the data")

    monkeypatch.setattr(database_role, "SEEDING", Path("/nowhere"))
    monkeypatch.setattr(database_role, "look", lambda _me: ServerState("b"))
    monkeypatch.setattr(database_role, "ask_all", lambda _config: {"a": primary})
    monkeypatch.setattr(database_role, "ensure_account", lambda _config: None)
    monkeypatch.setattr(database_role, "place", lambda _config: "")
    monkeypatch.setattr(database_role, "seed", seed)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    database_role.join(config, first=False)
    assert asked == ["a", "a", "a"]


class Copy:
    """The service of a copy, with a clock of ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        self.service = database_role.Service(ServerList("b", 3307, 3306, ADDRESSES, "10.100.0.0/255.255.255.0"))

    def lag(self, primary: int | str, own: int, *, source: ReplicationSource = FOLLOWING) -> float | None:
        """What it says half a second later, of a primary at a position, or silent, and of its own."""
        self.now += 0.5
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
