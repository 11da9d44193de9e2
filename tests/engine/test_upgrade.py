"""Today's program against states that stood before: nothing that stands is replaced or deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import recorded
from tests.engine.project_stack import ProjectStack

STACKS = ("lab", "oslo")
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
    assert len(stood & set(plan)) > 100, "the plan is about what stood"


def test_a_resource_under_another_name_would_be_seen(standing: Standing) -> None:
    text = json.dumps(recorded.read(standing.name)).replace("::db-account", "::db-login")
    assert losses(standing.plan(json.loads(text))) == {"db-login": "delete"}


@pytest.mark.parametrize("stack", STACKS)
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
