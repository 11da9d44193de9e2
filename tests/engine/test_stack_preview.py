"""The real engine previews the lab's stack where none of its hosts exists, and says what cannot stand."""

from __future__ import annotations

import json
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fortress.settings.secrets import SECRETS
from fortress.settings.types import PROJECT
from tests.engine.project_stack import ProjectStack
from tests.unit.stack_file import changed, lab

REMOTE, LOCAL = "command:remote:Command", "command:local:Command"


class LabStack(ProjectStack):
    """The lab's stack where none of its hosts exists."""

    def settings(self, values: dict[str, Any]) -> None:
        """The lab's settings with some changed, as `changed` takes them."""
        super().settings(changed(values))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> LabStack:
    return LabStack(tmp_path_factory.mktemp("stack"), "lab")


def block(said: str) -> list[str]:
    """The lines of the one error in the engine's last words; it adds only that the program ended."""
    assert "Traceback" not in said
    errors = said.split("Diagnostics:\n")[1].split("\n\n")[0].split("    error: ")[1:]
    stopped, ended = errors
    assert ended.strip() == "an unhandled error occurred: program exited with non-zero exit code: 1"
    first, *lines = stopped.splitlines()
    assert first == "invalid settings:"
    return [line.strip() for line in lines]


def test_the_first_preview_shows_everything(stack: LabStack) -> None:
    stack.settings({})
    log = stack.run("preview", "--json")
    steps = json.loads(log[log.index("{") :])["steps"]
    assert {step["op"] for step in steps} == {"create"}
    kinds = [(step["urn"].split("::")[2].rsplit("$", 1)[-1], step["urn"].split("::")[3]) for step in steps]
    assert Counter(kind for kind, _ in kinds if ":index:" in kind) == {
        "fortress:index:Host": 5,
        "fortress:index:WireGuardMesh": 1,
        "fortress:index:DataFortress": 1,
        "fortress:index:PasswordRotation": 1,
        "fortress:index:EphemeralWorker": 3,
        "fortress:index:HAProxyEdge": 1,
    }
    assert sorted(name for kind, name in kinds if kind == LOCAL) == sorted(
        ["hosts-answer", *(f"{name}-host-key" for name in lab()["hosts"])]
    )
    # The identity of the machine stands in each command, so each can be told apart by it.
    created = [str(step["newState"]["inputs"]["create"]) for step in steps if REMOTE in step["urn"].split("::")[2]]
    hosts = {name: sum(f"{name}.1" in command for command in created) for name in lab()["hosts"]}
    assert hosts == {"oslo-db": 12, "oslo-edge": 10, "oslo-web": 7, "fra-1": 7, "fra-2": 7}
    assert sum(hosts.values()) == len(created) == 43
    assert not stack.asked.exists(), "a preview asks no host"


def test_settings_that_cannot_stand_are_one_block_that_names_each(stack: LabStack) -> None:
    stack.settings({"mesh/mut": 1300, "hosts/fra-1/slot": "two", "sites/oslo/operator": "A\nB"})
    said = stack.run("preview", fails=True)
    assert block(said) == [
        "data-fortress:sites.oslo.operator: 'A\\nB' must be one line of printable text, at most 1000 characters",
        "data-fortress:hosts.fra-1.slot: 'two' must be a whole number",
        "data-fortress:mesh.mut: unknown setting; did you mean mtu?",
    ]


def test_a_secret_inside_other_settings_is_found(stack: LabStack) -> None:
    stack.settings({})
    key = f"{PROJECT}:workload.environment.TOKEN"
    stack.run("config", "set", "--secret", "--path", key, "HUSH-HUSH")
    said = stack.run("preview", fails=True)
    assert block(said) == [
        "data-fortress:workload: is encrypted, which would make everything derived from it unreadable in previews; "
        f"only these settings may be secret: {', '.join(SECRETS)}"
    ]
    assert "HUSH-HUSH" not in said


def test_a_password_in_plain_text_is_found(stack: LabStack) -> None:
    stack.settings({"database_password": "HUSH-HUSH"})
    said = stack.run("preview", fails=True)
    assert block(said) == [
        "data-fortress:database_password: is stored in plain text in the stack file; "
        "set it with `pulumi config set --secret data-fortress:database_password`"
    ]
    assert "HUSH-HUSH" not in said


def test_a_dead_agent_is_found_before_anything_starts(stack: LabStack, tmp_path: Path) -> None:
    stack.settings({})
    agent = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(agent))
    stack.environment["SSH_AUTH_SOCK"] = str(agent)
    try:
        said = stack.up(fails=True)
    finally:
        del stack.environment["SSH_AUTH_SOCK"]
    assert block(said) == [
        f"SSH_AUTH_SOCK: {agent}: the SSH agent does not answer (Connection refused); "
        "start one with `eval $(ssh-agent)` and `ssh-add`, or unset SSH_AUTH_SOCK"
    ]
    assert not stack.asked.exists()
    assert not [found for found in stack.resources() if ":Command" in found["type"]]


def test_an_update_without_an_agent_or_a_key_stops_before_anything_starts(stack: LabStack) -> None:
    stack.settings({})
    said = stack.up(fails=True)
    (line,) = block(said)
    assert line.startswith("SSH_AUTH_SOCK: no SSH agent, and no secret setting ssh_private_key; start an agent with ")
    assert not stack.asked.exists()
