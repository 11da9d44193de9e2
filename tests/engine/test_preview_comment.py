"""`fortress preview` on the real engine: the comments of a first `up`, and of a database's volume that is replaced."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fortress import access, activation, answers, push
from fortress.cli.base.masking import SECRET
from tests import recorded
from tests.engine.previews import UNKNOWN, masked
from tests.engine.project_stack import ProjectStack
from tests.unit.golden import check_golden

GOLDENS = Path(__file__).parent / "goldens"
FORTRESS = Path(sys.executable).parent / "fortress"


def preview(stack: ProjectStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `fortress preview` says of a stack."""
    return subprocess.run(
        [str(FORTRESS), "preview", "--stack", stack.name, *arguments],
        cwd=stack.project,
        env={**os.environ, **stack.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def brief(comment: str) -> str:
    """A comment without the texts of new files and the full report, which change with every template."""
    lines, folded = [], False
    for line in masked(comment).splitlines(keepends=True):
        if line.startswith("<details>"):
            folded = True
            lines.append("(folded) " + re.sub(r"\d+( lines? of)", r"N\1", line.removeprefix("<details>")))
        elif line.startswith("</details>"):
            folded = False
        elif not folded:
            lines.append(line)
    return "".join(lines)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> ProjectStack:
    return ProjectStack(tmp_path_factory.mktemp("lab"), "lab")


@pytest.fixture(scope="module")
def oslo(tmp_path_factory: pytest.TempPathFactory) -> ProjectStack:
    """Stack oslo as it was recorded, with the texts that today's program gives: nothing would change."""
    stack = ProjectStack(tmp_path_factory.mktemp("oslo"), "oslo")
    password = stack.run("config", "get", "data-fortress:database_password").strip()
    state = recorded.read("oslo")
    for _ in range(6):  # what is made from an output is known once that output's own resource stays as it is
        bring_in(stack, state)
        steps = [step for step in stack.planned() if step["op"] != "same"]
        assert {step["op"] for step in steps} <= {"update", "create"}
        add(state, [step for step in steps if step["op"] == "create"])
        wanted = {step["urn"]: step["newState"].get("inputs", {}) for step in steps}
        settle(state, wanted, password)
        if UNKNOWN not in json.dumps(wanted):
            bring_in(stack, state)
            return stack
    raise AssertionError(f"the state does not come to rest: {[step['urn'] for step in steps]}")


def add(state: dict[str, Any], created: list[dict[str, Any]]) -> None:
    """Give a state what the program has had since it was recorded, each command like another one on its host."""
    resources = state["deployment"]["resources"]
    for step in created:
        new = step["newState"]
        if not new["custom"]:
            resources.append({**new, "outputs": {}})
            continue
        machine = push.machine_of(str(new["inputs"]["create"]))
        beside = next(
            one
            for one in resources
            if one["type"] == new["type"]
            and push.machine_of(str(one["inputs"].get("create"))) == machine
            and not one["urn"].endswith(("-push", "-facts"))  # which are dialled more often
        )
        inputs = {name: beside["inputs"][name] if value == SECRET else value for name, value in new["inputs"].items()}
        inputs = {name: "" if UNKNOWN in json.dumps(value) else value for name, value in inputs.items()}
        resources.append({**new, "id": f"new-{len(resources)}", "inputs": inputs, "outputs": {**inputs, "stdout": ""}})


def credentials(state: dict[str, Any], password: str) -> str:
    """What each worker is sent, none of which a preview shows."""
    (authority,) = (each for each in state["deployment"]["resources"] if each["urn"].endswith("::db-authority"))
    texts = {
        "database-ca.pem": ("0644", answers.certificate("oslo-db", authority["outputs"]["stdout"])),
        "database-password": ("0400", password),
    }
    apply = activation.restart_at_the_gate("app")
    return push.together(
        (push.Put(f"/etc/fortress/app/{name}", machine="", resource="", mode=mode, apply=apply), push.content(text))
        for name, (mode, text) in texts.items()
    )


def settle(state: dict[str, Any], wanted: dict[str, dict[str, Any]], password: str) -> None:
    """Give resources of a state the inputs that the program wants, where they are known."""
    for resource in state["deployment"]["resources"]:
        for name, value in wanted.get(resource["urn"], {}).items():
            if UNKNOWN in json.dumps(value):
                continue
            kept = value
            if value == SECRET:
                if name != "stdin":
                    continue
                is_account = resource["urn"].endswith("::db-account")
                text = access.passwords({"app": password}) if is_account else credentials(state, password)
                kept = {**resource["inputs"][name], "plaintext": json.dumps(text)}
            resource["inputs"][name] = kept
            resource["outputs"][name] = kept


def test_a_first_up_shows_what_is_not_known_yet_as_unknown(lab: ProjectStack) -> None:
    done = preview(lab, "--forge", "gitlab")
    assert done.returncode == 0, done.stderr
    comment = done.stdout
    assert comment.startswith("<!-- fortress preview: lab -->\n")
    assert UNKNOWN not in comment
    assert "+[unknown]\n" in comment
    assert "Its text is secret and not shown." in comment
    check_golden("preview-first.md", brief(comment), GOLDENS)


def bring_in(stack: ProjectStack, state: Any) -> None:
    file = stack.home / "state.json"
    file.write_text(json.dumps(state))
    stack.run("stack", "import", "--file", str(file))


def test_another_login_restarts_nothing_and_changes_no_password(oslo: ProjectStack) -> None:
    """Answers of commands are unknown then, though nothing but the way to them changed."""
    ssh = json.loads(oslo.run("config", "get", "data-fortress:ssh"))
    oslo.settings({"ssh": {**ssh, "user": "another"}})
    try:
        done = preview(oslo)
    finally:
        oslo.as_it_stands()
    assert done.returncode == 0, done.stderr
    happens = done.stdout.partition("### What happens\n\n")[2].partition("\n\n")[0]
    assert "**restarts**" not in done.stdout.partition("<summary>Full report")[0]
    assert "- No password changes.\n" in happens, done.stdout[:4000]
    assert happens.endswith("- No data is touched.")


def of_a_snapshot(oslo: ProjectStack, protect: bool) -> None:
    """Bring a state in where the database's volume was made from a snapshot, of which the program says nothing."""
    state = json.loads(oslo.run("stack", "export"))
    for resource in state["deployment"]["resources"]:
        if resource["type"] == "openstack:blockstorage/volume:Volume":
            resource["protect"] = protect
            for properties in (resource["inputs"], resource["outputs"]):
                properties["snapshotId"] = "elsewhere"
    bring_in(oslo, state)


def test_a_volume_that_is_replaced_comes_first_and_loud(oslo: ProjectStack) -> None:
    of_a_snapshot(oslo, protect=False)
    done = preview(oslo, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    check_golden("preview-volume.md", brief(found["comment"]), GOLDENS)
    assert found["ok"] is True
    first = found["risks"][0]
    assert (first["name"], first["change"], first["because"]) == ("db-data", "replace", ["snapshotId"])


def test_a_protected_volume_stops_it_and_the_comment_says_which(oslo: ProjectStack) -> None:
    of_a_snapshot(oslo, protect=True)
    done = preview(oslo, "-o", str(oslo.home / "comment.md"))
    assert done.returncode not in (0, 2)
    assert done.stdout == ""
    comment = (oslo.home / "comment.md").read_text()
    assert "`pulumi up` would fail" in comment.splitlines()[1]
    assert "db-data" in comment
    assert "protect" in comment


def test_another_machine_for_the_database_comes_first_and_loud(tmp_path: Path) -> None:
    """On a host with an address all that changes is who is asked: no resource is replaced."""
    stack = ProjectStack(tmp_path / "project", "lab")
    bring_in(stack, recorded.read("lab"))
    hosts = json.loads(stack.run("config", "get", "data-fortress:hosts"))
    hosts["oslo-db"]["incarnation"] = hosts["fra-1"]["incarnation"] = 2
    stack.settings({"hosts": hosts})
    done = preview(stack)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "## Preview of `lab`: data is at risk in 1 place"
    loud = [line for line in lines if "ANOTHER MACHINE" in line]
    assert len(loud) == 1
    assert loud[0].startswith("- **ANOTHER MACHINE** for `oslo-db`: its `incarnation` changes; if this is another")
    assert lines.index(loud[0]) < lines.index("### Hosts")


def test_settings_that_cannot_stand_are_a_comment_too(lab: ProjectStack) -> None:
    lab.settings({"mesh": {**copy.deepcopy(mesh(lab)), "mtu": "a @lot"}})
    try:
        done = preview(lab, "--forge", "gitlab", "--json")
        assert done.returncode not in (0, 2)
        found = json.loads(done.stdout)
        comment = found["comment"]
        assert "data-fortress:mesh.mtu: 'a @lot' must be a whole number" in comment
        fence = comment.index("```\n")
        assert fence < comment.index("@lot") < comment.index("```\n", fence + 1), "no one is called"
        assert "Traceback" not in done.stdout
        assert done.stderr == "fortress: `pulumi up` would fail on stack lab; the comment says why\n"
        assert found["ok"] is False
    finally:
        lab.as_it_stands()


def mesh(stack: ProjectStack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.run("config", "get", "data-fortress:mesh"))
    return found


def test_a_stack_that_is_not_there_is_no_comment(lab: ProjectStack) -> None:
    name, lab.name = lab.name, "nowhere"
    try:
        done = preview(lab)
    finally:
        lab.name = name
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fortress: there is no stack 'nowhere' in this backend")
