"""`fortress restore` to several servers: when it is refused, and who is stopped and started in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fortress.cli.backup import cluster
from fortress.cli.backup.cluster import Members
from fortress.cli.backup.host import Keeper, RunFailedError, RunProgress
from fortress.cli.hosts import roles
from fortress.cli.hosts.roles import Reports
from fortress.facts import FlowFacts, parse
from fortress.scripts.database_backup import WAITING
from fortress.scripts.roles.states import Membership, ServerReport, ServerState
from tests.unit.test_cli_roles import DATABASE
from tests.unit.test_cli_stack import outputs

STANDS = Membership("Primary", "Synced", True, 3, ("a", "b", "c"))
WELL: Reports = {
    name: ServerReport(ServerState(name, number=1, primary="a", member=STANDS), votes=3) for name in ("a", "b", "c")
}
OTHERS = Members(("a", "c"), ("w",))
SERVERS = {"a": "10.100.0.1", "b": "10.100.0.6", "c": "10.100.0.7"}


def lost(report: ServerReport | str, **member: Any) -> ServerReport:
    assert isinstance(report, ServerReport)
    return replace(report, own=replace(report.own, member=replace(STANDS, **member)))


def test_a_cluster_that_is_whole_can_be_restored_to() -> None:
    assert cluster.not_there(WELL) == ""


def test_a_member_that_is_not_there_might_bring_the_old_data_back() -> None:
    said = cluster.not_there({**WELL, "c": "no route to host"})
    assert said.startswith("c does not answer (no route to host): bring it back")
    assert "set it as gone" in said
    said = cluster.not_there({**WELL, "c": lost(WELL["c"], status="non-Primary")})
    assert said.startswith("c is in no majority: ")


def test_without_a_majority_the_cluster_is_begun_again_first() -> None:
    every = {name: lost(report, ready=False) for name, report in WELL.items()}
    assert cluster.not_there(every) == "no server is in a majority: see `fortress recover`"


COPIES: Reports = {
    name: ServerReport(ServerState(name, number=1, primary="a"), takes_writes=name == "a") for name in ("a", "b", "c")
}


@pytest.mark.parametrize(("keeper", "others"), [("b", ("c", "a")), ("a", ("b", "c"))], ids=["copy", "primary"])
def test_the_one_that_takes_the_writes_is_stopped_last(
    monkeypatch: pytest.MonkeyPatch, keeper: str, others: tuple[str, ...]
) -> None:
    monkeypatch.setattr(roles, "ask_all", lambda *_: COPIES)
    database = DATABASE.model_copy(update={"servers": SERVERS})
    found = parse(outputs()["fortress"]).model_copy(update={"database": database})
    credentials: Any = None
    assert cluster.members(Keeper(found, credentials, 1.0, keeper)) == Members(others, option="--copies")
    one = found.model_copy(update={"database": database.model_copy(update={"servers": {"a": "10.100.0.1"}})})
    monkeypatch.setattr(roles, "ask_all", lambda *_: {"a": COPIES["a"]})
    assert cluster.members(Keeper(one, credentials, 1.0, "a")) is None, "nobody else has the data"


def test_a_copy_that_is_not_there_might_bring_the_old_data_back() -> None:
    assert cluster.away(COPIES) == ""
    own = ServerState("c", trouble="MariaDB: cannot connect")
    for report in ("cannot connect", ServerReport(own), ServerReport(ServerState("c"), service="cannot connect")):
        assert cluster.away({**COPIES, "c": report}).startswith("c does not answer (")
    seeding = ServerReport(ServerState("c", number=1, primary="a", seeding=True), why="its data are being replaced")
    assert cluster.away({**COPIES, "c": seeding}).startswith("c has no whole copy of the data (its data are being")


def test_the_witness_is_who_votes_and_is_no_server() -> None:
    database = DATABASE.model_copy(update={"servers": SERVERS})
    flows = tuple(
        FlowFacts(source=one, destination=other, port=port, protocol="tcp")
        for one, other, port in (("a", "b", 4567), ("a", "w", 4567), ("w", "a", 4567), ("a", "x", 3307))
    )
    found = parse(outputs()["fortress"]).model_copy(update={"flows": flows})
    assert cluster.witnesses(found, database) == ["w"]


@dataclass(frozen=True)
class Scene:
    """A keeper whose run is told beforehand, and what was done on which host meanwhile."""

    done: list[str] = field(default_factory=list)
    trouble: str = ""
    fails: str = ""
    """What goes wrong, as it is noted in `done`."""

    host: str = "b"

    def run(self, verb: str, tell: Callable[[RunProgress], None], *options: str, text: str = "") -> dict[str, Any]:
        self.done.append(" ".join((self.host, verb, *options, text)))
        for phase in ("restoring", WAITING, WAITING):
            tell(RunProgress(phase))
        if self.trouble:
            raise RunFailedError(self.trouble)
        self.done.append("b has the restored data")
        return {"rows": 7}

    def note(self, hosts: tuple[str, ...], verb: str) -> list[str]:
        noted = [f"{name} {verb}" for name in hosts]
        self.done.extend(noted)
        return [f"{each} failed" for each in noted if each == self.fails]


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    def play(scene: Scene, others: Members = OTHERS) -> Scene:
        class Session:
            sudo = ("sudo",)

        def run(_keeper: Keeper, hosts: tuple[str, ...], words: Callable[[Any], str], _takes: float) -> list[str]:
            return scene.note(tuple(hosts), words(Session()).removeprefix("sudo ").split("database_role.py ")[-1])

        monkeypatch.setattr(cluster, "_run", run)
        facts = cluster.restore(scene, others, lambda _now: None, "--overwrite", text="deletions")  # type: ignore[arg-type]
        assert facts == {"rows": 7, "reseeded": ["a", "c"]}
        return scene

    return play


STOPPED = ["a systemctl stop mariadb", "c systemctl stop mariadb", "w systemctl stop fortress-witness"]
STARTED = [each.replace(" stop ", " start ") for each in STOPPED]


def test_the_others_are_stopped_once_it_waits_and_get_the_data_one_after_another(
    restored: Callable[..., Scene],
) -> None:
    asked = "b restore --cluster --overwrite deletions"
    after = ["b has the restored data", "a reseed", "c reseed", "w systemctl start fortress-witness"]
    assert restored(Scene()).done == [asked, *STOPPED, *after]


def test_copies_are_stopped_and_get_the_data_too(restored: Callable[..., Scene]) -> None:
    done = restored(Scene(), Members(("a", "c"), option="--copies")).done
    asked = "b restore --copies --overwrite deletions"
    assert done == [asked, *STOPPED[:2], "b has the restored data", "a reseed", "c reseed"]


def test_what_fails_before_the_data_change_places_lets_the_others_come_back(restored: Callable[..., Scene]) -> None:
    scene = Scene(trouble="the target is full")
    with pytest.raises(RunFailedError, match=r"^the target is full$"):
        restored(scene)
    assert scene.done[1:] == [*STOPPED, *STARTED]


def test_a_member_that_does_not_stop_ends_it(restored: Callable[..., Scene]) -> None:
    scene = Scene(fails="c systemctl stop mariadb")
    with pytest.raises(RunFailedError, match=r"^nothing was restored, c systemctl stop mariadb failed$"):
        restored(scene)
    assert scene.done[1:] == [*STOPPED[:2], *STARTED]


def test_a_member_that_does_not_get_the_data_is_named_with_the_cure(restored: Callable[..., Scene]) -> None:
    with pytest.raises(RunFailedError, match=r"^b has the restored data .* a reseed failed\. Use `fortress reseed`"):
        restored(Scene(fails="a reseed"))
