"""Who takes the writes: what each server decides from what it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from fortress.scripts.roles.decisions import Decision, decide, decide_member
from fortress.scripts.roles.states import Membership, ServerState
from tests.unit.servers import ADDRESSES, SECOND, THIRD, WHOLE, WITHOUT_A, WRITER, A, B


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
