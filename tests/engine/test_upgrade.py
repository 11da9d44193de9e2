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
EARLIER = ("lab-0019", "lab-0021", "lab-0026")
"""The lab's states before decisions 0020 and 0022, and before 0026 was one."""
LOSSES = {"delete", "replace", "create-replacement", "delete-replaced", "discard", "discard-replaced"}


class Standing(ProjectStack):
    """The project as it stands, on a backend that holds a recorded state."""

    def steps(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """What the engine would do with each resource of a state."""
        file = self.home / "state.json"
        file.write_text(json.dumps(state))
        self.run("stack", "import", "--file", str(file))
        return self.planned()

    def plan(self, state: dict[str, Any]) -> dict[str, str]:
        """The same, what it is by URN."""
        return {step["urn"]: step["op"] for step in self.steps(state)}


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
    assert len(stood & set(plan)) > 45, "the plan is about what stood"


def test_a_resource_under_another_name_would_be_seen(standing: Standing) -> None:
    text = json.dumps(recorded.read(standing.name)).replace("::db-account", "::db-login")
    assert losses(standing.plan(json.loads(text))) == {"db-login": "delete"}


@pytest.mark.parametrize("earlier", EARLIER)
def test_what_has_no_resource_any_more_is_let_go_and_nothing_on_a_host_ends_by_it(earlier: str, tmp_path: Path) -> None:
    """Host scripts come with push.sh since decision 0020, files are put together since 0022, the firewall with push.sh
    since 0026, when a host's part of the mesh had no component any more.

    So the removal of a script finds no record, and that of a file one in another resource's name; both change nothing.
    """
    state = recorded.read(earlier)
    deletes = {each["urn"]: (each.get("inputs") or {}).get("delete") for each in state["deployment"]["resources"]}
    steps = Standing(tmp_path, "lab").steps(state)
    plan = {step["urn"]: step["op"] for step in steps}
    assert set(losses(plan).values()) == {"delete"}
    gone = [deletes[urn] for urn, op in plan.items() if op == "delete"]
    put = {
        (command.machine, path)
        for step in steps
        if step["op"] in ("create", "update")
        for command, _ in push.parts(str(step["newState"].get("inputs", {}).get("create", "")), None)
        for path in push.paths(command)
    }
    removed = [command for line in gone if isinstance(command := push.parse(line or ""), push.Remove)]
    scripts = [each for each in removed if each.path in {f"{push.LIBRARY}/{name}" for name in push.TOOLS}]
    assert {(each.machine, each.path) for each in removed if each not in scripts} <= put
    others = Counter(_removal(line) for line in gone if not isinstance(push.parse(line or ""), push.Remove))
    assert others.pop("sh -s") == 5, "a look at each host, which ends nothing"
    if earlier == "lab-0019":
        assert {each.path.removeprefix(f"{push.LIBRARY}/") for each in scripts} == set(push.TOOLS)
        assert others.pop("wireguard stop wg0") == 5
        assert others.pop("nothing") == 5 + 15 + 6, "the readiness gates, and what 0021 and 0026 have too"
    else:
        assert not scripts
        # Packages of hosts, workers and the edge, confirmations of firewalls, and what asked the edge.
        before_0022 = (5 + 3 + 1) + 5 + 1 if earlier == "lab-0021" else 0
        assert others.pop("nothing") == before_0022 + 5 + 1, (
            "the components of the mesh's hosts, and the database's packages"
        )
    assert not others


def _removal(line: str | None) -> str:
    """What a delete command does, in short."""
    match push.parse(line or ""):
        case push.Remove(path):
            return f"remove {path.removeprefix(f'{push.LIBRARY}/')}"
        case push.Run(command=words):
            return " ".join(words).removeprefix(f"{push.LIBRARY}/")
    return line or "nothing"


@pytest.mark.parametrize("stack", [*STACKS, *EARLIER])
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
