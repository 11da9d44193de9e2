"""The policy pack under the real engine: a bad stack of another project is refused, and a good one passes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.doubles.pulumi_resource_openstack import catalogue
from tests.engine.command_stack import ENDS_WITH_ITS_HOST, ROOT, Stack

PACK = str(ROOT / "policy/data-fortress")
PROGRAM = (
    ENDS_WITH_ITS_HOST
    + """
import pulumi
import pulumi_openstack as openstack

config = pulumi.Config()
provider = openstack.Provider(
    "oslo", auth_url="AUTH_URL", region="NO-Oslo-1", user_name="fortress", password=pulumi.Output.secret("lab")
)
opts = pulumi.ResourceOptions(provider=provider)
first = openstack.objectstorage.Container("first", name="first", metadata={"data-class": "none"}, opts=opts)
openstack.objectstorage.Container(
    "second",
    name="second",
    metadata={"data-class": config.get("class") or "none"},
    container_read=first.id.apply(lambda _: ".r:*") if config.get_bool("late") else config.get("read"),
    opts=opts,
)
"""
)
SITES = {
    "oslo": {
        **{"operator": "CoolVDS", "country": "NO", "region": "NO-Oslo-1", "sovereign": True},
        **{"cloud": "openstack", "auth_url": catalogue.AUTH_URL},
    }
}
OPERATOR = {
    **{"country": "NO", "parent_country": "NO", "agreement": "2026-04", "basis": "no-transfer", "review": "2999-12-31"},
    **{"endpoints": ["api.coolvds.com"], "regions": ["NO-Oslo-1"]},
}


@pytest.fixture(scope="module", autouse=True)
def _environment() -> None:
    """The pack's own."""
    done = subprocess.run(["make", "-C", ROOT, "policy"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    made = Stack(tmp_path / "stack", FORTRESS_CLOUDS=str(tmp_path / "clouds"), FORTRESS_LAB="nosuchlab")
    (made.project / "__main__.py").write_text(PROGRAM.replace("AUTH_URL", catalogue.AUTH_URL))
    return made


def declare(stack: Stack, sovereign: bool, operator: dict[str, Any]) -> None:
    """Say who runs the site."""
    sites = {"oslo": {**SITES["oslo"], "sovereign": sovereign}}
    found = {"sites": sites, "register": {"operators": {"CoolVDS": operator}}}
    (stack.project / "sovereignty.yaml").write_text(yaml.safe_dump(found))


def containers(folder: Path) -> list[str]:
    """What the cloud has; nobody may have asked it for anything."""
    file = folder / "clouds" / "openstack.json"
    found: catalogue.State = json.loads(file.read_text()) if file.exists() else catalogue.empty("")
    return sorted(found["containers"])


def violations(said: str, level: str = "mandatory") -> set[str]:
    """Policies that had something to say."""
    lines = [line.split() for line in said.splitlines() if f"[{level}]" in line]
    return {words[words.index(f"[{level}]") + 1] for words in lines}


def test_a_good_stack_comes_up_and_is_told_what_was_not_evaluated(stack: Stack, tmp_path: Path) -> None:
    said = stack.up("--policy-pack", PACK)
    assert violations(said) == set()
    assert violations(said, "advisory") == {"settings-told"}
    assert "key-custody: sovereignty: not evaluated: the settings have no register" in said
    assert containers(tmp_path) == ["first", "second"]


def test_a_bad_resource_is_refused_before_it_is_made(stack: Stack, tmp_path: Path) -> None:
    stack.run("config", "set", "read", ".r:*")
    for said in (stack.preview("--policy-pack", PACK, fails=True), stack.up("--policy-pack", PACK, fails=True)):
        assert violations(said) == {"public-container"}
        assert "public-container: second: containerRead '.r:*' opens it to everybody" in said
    assert "second" not in containers(tmp_path)


def test_what_a_preview_cannot_know_is_told_there_and_stops_the_up(stack: Stack, tmp_path: Path) -> None:
    stack.run("config", "set", "late", "true")
    said = stack.preview("--policy-pack", PACK)
    assert violations(said) == set()
    assert "public-container: second: not evaluated: containerRead is not known yet" in said
    said = stack.up("--policy-pack", PACK, fails=True)
    assert violations(said) == {"public-container"}
    assert containers(tmp_path) == ["first"]


def test_the_register_decides_where_personal_data_may_be(stack: Stack) -> None:
    stack.run("config", "set", "class", "personal")
    stack.run("config", "set", "--path", "pulumi:disable-default-providers[0]", "openstack")
    stack.run("config", "set", "--path", "pulumi:disable-default-providers[1]", "aws")
    declare(stack, sovereign=True, operator=OPERATOR)
    said = stack.preview("--policy-pack", PACK)
    assert violations(said) == set()
    declare(stack, sovereign=False, operator={**OPERATOR, "parent_country": "US"})
    said = stack.preview("--policy-pack", PACK, fails=True)
    assert violations(said) == {"sovereign-storage", "settings"}
    assert "sovereign-storage: second: keeps personal data at oslo, which is not sovereign" in said
    assert "no-transfer, but CoolVDS has its parent company in US" in said


def test_a_pack_without_its_environment_says_how_to_make_it(tmp_path: Path) -> None:
    alone = tmp_path / "policy"
    alone.mkdir()
    (alone / "data-fortress").write_bytes(Path(PACK).read_bytes())
    done = subprocess.run(["sh", alone / "data-fortress", "x"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == f"the policy pack has no environment. Fix: make policy, in {tmp_path}\n"
