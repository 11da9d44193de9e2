"""`fortress verify`, `switchover`, `promote` and `reseed` on what the database's servers say of themselves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from fortress.cli.base.errors import CannotAskError
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.hosts import roles as asking
from fortress.cli.hosts import ssh
from fortress.cli.hosts.roles import Reports
from fortress.cli.main import app
from fortress.cli.roles import promote, recover, reseed, switchover
from fortress.cli.verify import roles
from fortress.facts import DatabaseFacts
from fortress.scripts.roles.states import Membership, PrimarySeen, ReplicationSource, ServerReport, ServerState

SERVERS = {"a": "10.100.0.1", "b": "10.100.0.6"}
DATABASE = DatabaseFacts(
    host="a", address="10.100.0.1", port=3306, name="app", user="app", ca_pem="", copy_wanted=False, servers=SERVERS
)
SOURCE = ReplicationSource(
    address="10.100.0.1", receiving=True, applying=True, error="", received="0-1-5", waiting=True
)
PRIMARY = ServerReport(
    ServerState(
        "a",
        number=1,
        primary="a",
        read_only=False,
        position="0-1-5",
        binlog="0-1-5",
        semi_sync=True,
        semi_sync_copies=1,
    ),
    takes_writes=True,
    why="takes the writes",
)
COPY = ServerReport(
    ServerState("b", number=1, primary="a", position="0-1-5", source=SOURCE),
    why="follows a",
    lag_s=0.4,
    primary_seen=PrimarySeen(0.4, "0-1-5", True),
)
BOTH: Reports = {"a": PRIMARY, "b": COPY}


def of_copy(**changes: object) -> ServerReport:
    return replace(COPY, own=replace(COPY.own, **changes))  # type: ignore[arg-type]


def statuses(host: str, report: ServerReport) -> dict[Kind, Status]:
    return {check.kind: check.status for check in roles.judge(host, report, 10)}


def test_a_primary_and_its_copy_are_well() -> None:
    assert statuses("a", PRIMARY) == {Kind.DATABASE_ROLE: Status.OK, Kind.SEMI_SYNC: Status.OK}
    assert statuses("b", COPY) == {
        Kind.DATABASE_ROLE: Status.OK,
        Kind.REPLICATION: Status.OK,
        Kind.REPLICATION_LAG: Status.OK,
    }


@pytest.mark.parametrize("own", [{"semi_sync": False}, {"semi_sync_copies": 0}])
def test_commits_that_wait_for_no_copy_are_a_failure(own: dict[str, object]) -> None:
    found = statuses("a", replace(PRIMARY, own=replace(PRIMARY.own, **own)))  # type: ignore[arg-type]
    assert found[Kind.SEMI_SYNC] is Status.FAIL


def test_a_copy_that_does_not_run_is_a_failure() -> None:
    stopped = of_copy(source=replace(SOURCE, receiving=False, error="no route"))
    assert statuses("b", stopped)[Kind.REPLICATION] is Status.FAIL
    assert statuses("b", of_copy(source=replace(SOURCE, applying=False)))[Kind.REPLICATION] is Status.FAIL
    diverged = of_copy(source=replace(SOURCE, receiving=False, error="1236 " * 99, diverged=True))
    (check,) = (each for each in roles.judge("b", diverged, 10) if each.kind is Kind.REPLICATION)
    assert check.detail.endswith("fortress reseed b replaces its data with the primary's")


def test_lag_is_a_failure_and_never_zero_by_silence() -> None:
    assert statuses("b", replace(COPY, lag_s=10.5))[Kind.REPLICATION_LAG] is Status.FAIL
    assert statuses("b", replace(COPY, lag_s=None))[Kind.REPLICATION_LAG] is Status.UNKNOWN


def test_a_server_that_stays_read_only_says_why() -> None:
    (check,) = roles.judge("a", ServerReport(ServerState("a"), why="b does not answer"), 10)
    assert (check.status, check.detail) == (Status.FAIL, "b does not answer")
    (check,) = roles.judge("a", ServerReport(ServerState("a", trouble="MariaDB: gone")), 10)
    assert (check.status, check.detail) == (Status.FAIL, "MariaDB: gone")


def test_exactly_one_takes_the_writes() -> None:
    check = Check(Kind.DATABASE_PRIMARY, "a")
    assert (roles.primary(check, BOTH).status, roles.primary(check, BOTH).value) == (Status.OK, "a")
    twice = {"a": PRIMARY, "b": replace(PRIMARY, own=replace(PRIMARY.own, server="b"))}
    assert roles.primary(check, twice).status is Status.FAIL
    assert roles.primary(check, {"a": COPY, "b": COPY}).status is Status.FAIL
    assert roles.primary(check, {"a": "silent", "b": COPY}).status is Status.UNKNOWN


def test_a_switchover_is_refused_with_the_reason() -> None:
    assert switchover.refusal(BOTH, DATABASE, "b") == ("a", "")
    cases: list[tuple[Reports, str, str]] = [
        (BOTH, "a", "a takes the writes already"),
        ({"a": "b is gone", "b": COPY}, "b", "If the primary is lost: fortress promote b"),
        ({"a": PRIMARY, "b": "not there"}, "b", "b does not answer: not there"),
        ({"a": PRIMARY, "b": of_copy(source=None)}, "b", "b does not follow a"),
        ({"a": PRIMARY, "b": of_copy(source=replace(SOURCE, address="10.100.0.9"))}, "b", "b does not follow a"),
        ({"a": PRIMARY, "b": of_copy(source=replace(SOURCE, applying=False))}, "b", "b does not keep up with a"),
        ({"a": PRIMARY, "b": of_copy(trouble="MariaDB: gone")}, "b", "b: MariaDB: gone"),
        ({"a": replace(PRIMARY, own=replace(PRIMARY.own, semi_sync=False)), "b": COPY}, "b", "do not wait for a copy"),
        ({"a": PRIMARY, "b": PRIMARY}, "b", "both take writes"),
    ]
    for reports, to, why in cases:
        assert why in switchover.refusal(reports, DATABASE, to)[1], why


def test_a_switchover_has_ended_when_all_are_at_their_place() -> None:
    new = replace(PRIMARY, own=replace(PRIMARY.own, server="b"))
    old = of_copy(source=replace(SOURCE, address="10.100.0.6"))
    assert switchover.unsettled({"a": old, "b": new}, DATABASE, "b") == ""
    assert switchover.unsettled({"a": "silent", "b": new}, DATABASE, "b") == "", "of those that answer"
    assert "does not take the writes yet" in switchover.unsettled({"a": old, "b": COPY}, DATABASE, "b")
    assert "a does not follow b yet" in switchover.unsettled({"a": COPY, "b": new}, DATABASE, "b")
    assert "still catching up" in switchover.unsettled({"a": replace(old, lag_s=9.0), "b": new}, DATABASE, "b")
    ahead = replace(old, own=replace(old.own, position="0-1-6"))
    assert "a has transactions that b lacks" in switchover.unsettled({"a": ahead, "b": new}, DATABASE, "b")
    alone = replace(new, own=replace(new.own, semi_sync=False))
    assert "do not wait for a copy yet" in switchover.unsettled({"a": old, "b": alone}, DATABASE, "b")


def test_a_copy_is_promoted_only_where_the_primary_is_lost() -> None:
    assert promote.decide(BOTH, DATABASE, "b").refused == (
        "a takes the writes and answers; use fortress switchover --to b"
    )
    assert promote.decide(BOTH, DATABASE, "a").refused == "a takes the writes already"
    lost = promote.decide({"a": "a does not answer", "b": COPY}, DATABASE, "b")
    assert (lost.refused, lost.on, lost.words) == ("", "b", ("promote",))
    more = replace(COPY, own=replace(COPY.own, server="c", position="0-1-6"))
    refused = promote.decide({"a": "gone", "b": COPY, "c": more}, DATABASE, "b").refused
    assert refused == "c has transactions that b lacks (0-1-6; b is at 0-1-5): promote c"
    assert "no whole copy" in promote.decide({"a": "gone", "b": of_copy(seeding=True)}, DATABASE, "b").refused
    with pytest.raises(CannotAskError, match="b: gone"):
        promote.decide({"a": PRIMARY, "b": "gone"}, DATABASE, "b")


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (PrimarySeen(4, "0-1-5", True), "none that was acknowledged is lost, unless it went on for more than 10 s"),
        (PrimarySeen(4, "0-1-5", False), "acknowledged ones may be lost"),
        (PrimarySeen(4, "0-1-9", False), "transactions from 0-1-5 up to there may be missing here"),
        (None, "what is missing is not known"),
    ],
)
def test_a_promotion_says_what_may_be_missing(seen: PrimarySeen | None, said: str) -> None:
    reports: Reports = {"a": "a does not answer", "b": replace(COPY, primary_seen=seen)}
    warning = promote.decide(reports, DATABASE, "b").warning
    assert "b has everything up to 0-1-5" in warning
    assert "a does not answer" in warning
    assert said in warning


def test_data_are_thrown_away_only_on_a_copy() -> None:
    assert reseed.decide(BOTH, DATABASE, "b").refused == ""
    assert "at 0-1-5" in reseed.decide(BOTH, DATABASE, "b").warning
    assert "takes the writes" in reseed.decide(BOTH, DATABASE, "a").refused
    assert "nothing to copy from" in reseed.decide({"a": "gone", "b": COPY}, DATABASE, "b").refused
    assert reseed.decide({"a": PRIMARY, "b": "not there"}, DATABASE, "b").refused == "b: not there"


@pytest.mark.parametrize(
    ("words", "reports", "said"),
    [
        (["switchover", "--to", "a"], BOTH, "nothing was changed: a takes the writes already"),
        (["promote", "b"], BOTH, "nothing was changed: a takes the writes and answers; use fortress switchover --to b"),
        (["promote", "b"], {"a": "gone", "b": COPY}, "nothing was changed; use --yes to do it without confirmation"),
        (["reseed", "a"], BOTH, "nothing was changed: a takes the writes; use fortress switchover first"),
        (["reseed", "b"], BOTH, "nothing was changed; use --yes to do it without confirmation"),
    ],
)
def test_what_is_refused_or_not_confirmed_ends_with_1_and_no_host_is_told(
    monkeypatch: pytest.MonkeyPatch, words: list[str], reports: Reports, said: str
) -> None:
    monkeypatch.setattr(ssh, "prepare", lambda *_given: None)
    monkeypatch.setattr("fortress.cli.engine.outputs.read", lambda _stack: None)
    monkeypatch.setattr(asking, "database_of", lambda *_given: DATABASE)
    monkeypatch.setattr(asking, "ask_all", lambda *_given: reports)
    monkeypatch.setattr("fortress.cli.roles.change.carry_out", lambda *_given, **_more: pytest.fail("a host was told"))
    done = CliRunner().invoke(app, [*words, "--stack", "lab"])
    assert (done.exit_code, done.stderr) == (1, f"fortress: {said}\n")
    as_json = CliRunner().invoke(app, [*words, "--stack", "lab", "--json"])
    assert as_json.exit_code == 1
    if ": " in said:
        assert json.loads(as_json.stdout)["detail"] == said


# --- a cluster --------------------------------------------------------------------------------------------------------

WHOLE = Membership("Primary", "Synced", ready=True, size=3, members=("a", "b"), cluster="u", committed=9)
WRITER = ServerReport(
    ServerState("a", number=1, primary="a", read_only=False, member=WHOLE),
    takes_writes=True,
    why="takes the writes",
    votes=3,
    flow_paused=0.001,
)
MEMBER = replace(WRITER, own=replace(WRITER.own, server="b", read_only=True), takes_writes=False, why="is a member")
CLUSTER: Reports = {"a": WRITER, "b": MEMBER}


def of_member(**changes: object) -> ServerReport:
    return replace(MEMBER, own=replace(MEMBER.own, member=replace(WHOLE, **changes)))  # type: ignore[arg-type]


def test_members_of_a_whole_cluster_are_well() -> None:
    well = {
        Kind.DATABASE_ROLE: Status.OK,
        Kind.CLUSTER: Status.OK,
        Kind.RECEIVE_QUEUE: Status.OK,
        Kind.FLOW_CONTROL: Status.OK,
    }
    assert statuses("a", WRITER) == well
    assert statuses("b", MEMBER) == well


def test_what_is_wrong_with_a_member_is_seen() -> None:
    assert statuses("b", of_member(size=2))[Kind.CLUSTER] is Status.FAIL, "one vote is missing"
    assert statuses("b", of_member(state="Joining"))[Kind.CLUSTER] is Status.FAIL
    assert statuses("b", of_member(queue=300))[Kind.RECEIVE_QUEUE] is Status.FAIL
    assert statuses("b", replace(MEMBER, flow_paused=0.2))[Kind.FLOW_CONTROL] is Status.FAIL
    assert statuses("b", replace(MEMBER, flow_paused=None))[Kind.FLOW_CONTROL] is Status.UNKNOWN
    assert statuses("b", of_member(status="non-Primary", ready=False)) == {Kind.DATABASE_ROLE: Status.FAIL}
    assert statuses("b", of_member(members=("b",)))[Kind.DATABASE_ROLE] is Status.FAIL, "nobody takes the writes"


def test_writes_move_to_a_member_that_has_all() -> None:
    assert switchover.refusal(CLUSTER, DATABASE, "b") == ("a", "")
    former, why = switchover.refusal({**CLUSTER, "b": of_member(state="Joining")}, DATABASE, "b")
    assert (former, "no member of the cluster that has all data" in why) == ("a", True)
    moved: Reports = {
        "a": replace(MEMBER, own=replace(MEMBER.own, server="a", number=2, primary="b")),
        "b": replace(WRITER, own=replace(WRITER.own, server="b", number=2, primary="b")),
    }
    assert switchover.unsettled(moved, DATABASE, "b") == ""
    assert "a does not know yet" in switchover.unsettled({**moved, "a": MEMBER}, DATABASE, "b")


def test_no_member_of_a_cluster_is_promoted() -> None:
    assert "agree themselves" in promote.decide({"a": "silent", "b": MEMBER}, DATABASE, "b").refused


def saved(server: str, committed: int, *, safe: bool = False, cluster: str = "1-2") -> recover.Saved:
    return recover.Saved(server, cluster, committed, safe_to_bootstrap=safe)


def test_a_cluster_begins_again_with_the_highest_number_whatever_a_member_says_of_being_safe() -> None:
    """mariadb-operator#1701: the older node said that it was safe, and its data replaced the newer ones."""
    found = recover.choose({"a": saved("a", 20), "b": saved("b", 12, safe=True)}, {}, [])
    assert (found.chosen, found.refused) == ("a", "")
    text = recover.shown(found)
    assert "b: committed up to 12, and says that it is safe to begin with, which proves nothing" in text
    assert "a has most" in text


def test_data_that_are_not_whole_are_not_chosen() -> None:
    assert recover.choose({"a": saved("a", -1, safe=True), "b": saved("b", 12)}, {}, []).chosen == "b"
    empty = recover.choose({"a": saved("a", 0, cluster="00000000-0000"), "b": saved("b", -1)}, {}, [])
    assert "no member that answers has whole data" in empty.refused


def test_in_doubt_no_cluster_begins() -> None:
    silent = recover.choose({"a": saved("a", 20)}, {"b": "no route to host"}, [])
    assert "b may have commits that no other one has" in silent.refused
    assert "--without b" in silent.refused
    lost = recover.choose({"a": saved("a", 20)}, {"b": "no route to host"}, ["b"])
    assert lost.chosen == "a"
    assert "Commits that only a server had which does not answer are lost" in recover.shown(lost)
    two = recover.choose({"a": saved("a", 20), "b": saved("b", 30, cluster="9-9")}, {}, [])
    assert "of different clusters" in two.refused
    assert not two.chosen


def test_a_cluster_that_stands_is_not_begun_again() -> None:
    assert "b is in a majority" in recover.standing({"a": "silent", "b": MEMBER})
    assert recover.standing({"a": "silent", "b": of_member(status="non-Primary", ready=False)}) == ""
    assert "no cluster" in recover.standing(BOTH)


def test_what_a_member_printed_of_its_data_is_read() -> None:
    line = '{"server": "a", "cluster": "1-2", "committed": 20, "safe_to_bootstrap": false}'
    assert recover.parse(line) == saved("a", 20)
    with pytest.raises(ValueError, match="no answer of a member"):
        recover.parse('{"server": "a"}')
