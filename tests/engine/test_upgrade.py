"""Today's program against states that stood before: nothing that stands is replaced or deleted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fortress import push
from tests import recorded
from tests.engine.project_stack import ProjectStack

STACKS = ("lab", "oslo")
EARLIER = "lab-0019"
"""The lab's state before decision 0020."""
LOSSES = {"delete", "replace", "create-replacement", "delete-replaced", "discard", "discard-replaced"}


class Standing(ProjectStack):
    """The project as it stands, on a backend that holds a recorded state."""

    def plan(self, state: dict[str, Any]) -> dict[str, str]:
        """What the engine would do with each resource of a state, by URN."""
        file = self.home / "state.json"
        file.write_text(json.dumps(state))
        self.run("stack", "import", "--file", str(file))
        return {step["urn"]: step["op"] for step in self.planned()}


def losses(plan: dict[str, str]) -> dict[str, str]:
    return {urn.rsplit("::", 1)[-1]: op for urn, op in plan.items() if op in LOSSES}


@pytest.fixture(scope="module", params=STACKS)
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Standing:
    return Standing(tmp_path_factory.mktemp(request.param), request.param)


def test_nothing_that_stands_is_replaced_or_deleted(standing: Standing) -> None:
    state = recorded.read(standing.name)
    plan = standing.plan(state)
    stood = {resource["urn"] for resource in state["deployment"]["resources"]}
    assert losses(plan) == {}
    assert len(stood & set(plan)) > 90, "the plan is about what stood"


def test_a_resource_under_another_name_would_be_seen(standing: Standing) -> None:
    text = json.dumps(recorded.read(standing.name)).replace("::db-account", "::db-login")
    assert losses(standing.plan(json.loads(text))) == {"db-login": "delete"}


def test_what_has_no_resource_any_more_is_let_go_and_nothing_on_a_host_ends_by_it(tmp_path: Path) -> None:
    """Host scripts come with push.sh since decision 0020, so their removal finds no record, and changes nothing."""
    state = recorded.read(EARLIER)
    deletes = {each["urn"]: (each.get("inputs") or {}).get("delete") for each in state["deployment"]["resources"]}
    plan = Standing(tmp_path, "lab").plan(state)
    assert set(losses(plan).values()) == {"delete"}
    gone = Counter(_removal(deletes[urn]) for urn, op in plan.items() if op == "delete")
    assert gone == {
        "nothing": 5,  # the readiness gates
        "wireguard stop wg0": 5,
        **{f"remove {name}": 5 for name in ("in-force", "wireguard")},
        "remove wait-healthy": 3,
        **{f"remove {name}": 1 for name in ("edge-certificate", "haproxy-drain", "edge-answers")},
    }
    assert {name.removeprefix("remove ") for name in gone if name.startswith("remove ")} == set(push.TOOLS)


def _removal(line: str | None) -> str:
    """What a delete command does, in short."""
    match push.parse(line or ""):
        case push.Remove(path):
            return f"remove {path.removeprefix(f'{push.LIBRARY}/')}"
        case push.Run(command=words):
            return " ".join(words).removeprefix(f"{push.LIBRARY}/")
    return line or "nothing"


@pytest.mark.parametrize("stack", [*STACKS, EARLIER])
def test_no_secret_is_recorded(stack: str) -> None:
    text = (recorded.FOLDER / f"{stack}.json").read_text()
    assert "PRIVATE KEY" not in text
    assert "ciphertext" not in text
    for resource in recorded.read(stack)["deployment"]["resources"]:
        for properties in (resource.get("inputs") or {}, resource.get("outputs") or {}):
            for name, value in properties.items():
                if isinstance(value, dict) and "plaintext" in value and name != "connection":
                    assert json.loads(value["plaintext"]) == recorded.MASK, resource["urn"]
                if name == "stdin":
                    assert recorded.MASK in str(value), resource["urn"]
