"""`fortress audit`: the rules over a recorded state, and how what they find is shown."""

from __future__ import annotations

import copy
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fortress import firewall, push, text
from fortress.cli.audit import show
from fortress.cli.audit.judge import Audit, exit_status, judge
from fortress.cli.base.errors import CannotAskError
from fortress.cli.engine.evidence import evidence
from fortress.cli.engine.state import SECRET
from fortress.settings.declare import declare
from fortress.settings.parse import parse
from fortress.sovereignty import declared, evaluate
from fortress.sovereignty.evidence import Withheld
from fortress.sovereignty.rules.places import KEEPERS
from tests import recorded
from tests.unit.stack_file import GONE, ROOT, changed, oslo

CLOSED = firewall.render_base(firewall.Base(operators=["192.0.2.10/32"], ssh_port=22, egress=[]))
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def state(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The recorded state of the stack on two clouds, as this version of the program leaves it."""
    found: dict[str, Any] = copy.deepcopy(recorded.read("oslo"))
    says = declared.written(declare(parse(changed(changes or {}, oslo), ROOT)))
    for one in found["deployment"]["resources"]:
        if one["type"] == "pulumi:pulumi:Stack":
            one.setdefault("outputs", {})[declared.OUTPUT] = says
        if one["urn"].endswith("-push") and "::fra-" in one["urn"]:
            one["inputs"]["stdin"] = push.content(text.push_script()) + push.content(CLOSED)
        if where := KEEPERS.get(one["type"]):
            one["inputs"][where] = {**one["inputs"].get(where, {}), "data-class": _class(one)}
    return found


def _class(one: dict[str, Any]) -> str:
    return "none" if one["type"].startswith("aws:") else "personal"


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///var/lib/pulumi")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "six words that dice have chosen anew")


def of_type(found: dict[str, Any], kind: str) -> dict[str, Any]:
    one: dict[str, Any] = next(one for one in found["deployment"]["resources"] if one["type"] == kind)
    return one


def failing(audit: Audit) -> list[tuple[str | None, str]]:
    return [(one.rule, one.subject) for one in evaluate.findings(audit.verdicts) if evaluate.stops(one)]


def test_the_stack_on_two_clouds_holds_with_what_was_exempted() -> None:
    audit = judge("oslo", json.dumps(state()), NOW)
    assert failing(audit) == []
    assert exit_status(audit) == 0
    text = show.as_text(audit, terminal=False)
    assert "ok       aws-types\n" in text
    assert "ok       log-custody (advisory)\n" in text
    assert text.endswith("22 rules, 22 hold, 2 exempt\n")


def test_a_state_of_before_the_rules_fails_by_its_data_classes() -> None:
    found = state()
    del of_type(found, "openstack:blockstorage/volume:Volume")["inputs"]["metadata"]
    audit = judge("oslo", json.dumps(found), NOW)
    assert failing(audit) == [("data-class", "db-data")]
    assert exit_status(audit) == 1
    assert "FAIL     data-class\n         db-data: UNDECLARED: no data-class in its metadata; set" in show.as_text(
        audit, terminal=False
    )


def test_what_changed_behind_the_programs_back_is_found() -> None:
    found = state()
    of_type(found, "openstack:objectstorage/container:Container")["inputs"]["containerRead"] = ".r:*"
    of_type(found, "aws:ec2/instance:Instance")["inputs"]["userData"] = {**SECRET, "ciphertext": "v1:x"}
    resources = found["deployment"]["resources"]
    resources.append({**of_type(found, "aws:ec2/vpc:Vpc"), "type": "aws:s3/bucketV2:BucketV2", "inputs": {}})
    assert {rule for rule, _ in failing(judge("oslo", json.dumps(found), NOW))} == {
        *("public-container", "database-secrets", "plain-metadata", "aws-types"),
    }


def test_time_alone_turns_it_red() -> None:
    assert exit_status(judge("oslo", json.dumps(state()), datetime(2028, 6, 30, tzinfo=UTC))) == 0
    late = judge("oslo", json.dumps(state()), datetime(2028, 7, 1, tzinfo=UTC))
    assert {rule for rule, _ in failing(late)} == {"processors", "third-country-flows"}


def test_without_a_register_nobody_can_say_that_all_is_well() -> None:
    audit = judge("oslo", json.dumps(state({"sovereignty": GONE, "database/volume/encrypted": True})), NOW)
    assert failing(audit) == []
    assert exit_status(audit) == 2
    assert "unknown  processors" in show.as_text(audit, terminal=False)


def test_the_secrets_provider_is_the_states_own_and_secrets_are_never_read() -> None:
    found = state()
    found["deployment"]["secrets_providers"] = {"type": "cloud", "state": {"url": "awskms://alias/x"}}
    assert ("state-custody", "the state's secrets") in failing(judge("oslo", json.dumps(found), NOW))
    of_type(found, "aws:ec2/instance:Instance")["inputs"]["tags"] = {"a": {**SECRET, "plaintext": '"x"'}}
    known = evidence("oslo", found, NOW)
    one = next(one for one in known.resources if one.type == "aws:ec2/instance:Instance")
    assert one.get("tags", "a") is Withheld.SECRET


def test_the_object_for_programs_has_each_rule_and_where_it_comes_from() -> None:
    found = json.loads(show.as_json(judge("oslo", json.dumps(state()), NOW)))
    assert found["ok"] is True
    assert list(dict.fromkeys(check["name"] for check in found["checks"])) == [rule.name for rule in evaluate.ALL]
    assert (found["judged"], found["rules_version"]) == ("2026-11-29T12:00:00+00:00", evaluate.VERSION)
    assert found["state_sha256"] == hashlib.sha256(json.dumps(state()).encode()).hexdigest()
    exempt = [check for check in found["checks"] if check["outcome"] == "exempt"]
    assert {check["subject"] for check in exempt} == {
        f"sovereignty.flows.frankfurt-{name}.data_class" for name in ("requests", "database")
    }
    assert json.loads(show.unasked("oslo", "no engine")) == {
        "ok": False,
        "stack": "oslo",
        "checks": [],
        "error": "no engine",
    }


def test_sarif_has_rules_results_and_what_was_suppressed() -> None:
    bad = state()
    of_type(bad, "openstack:objectstorage/container:Container")["inputs"]["containerRead"] = ".r:*"
    (run,) = json.loads(show.as_sarif(judge("oslo", json.dumps(bad), NOW)))["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [rule.name for rule in evaluate.ALL]
    wrong = [result for result in run["results"] if result["level"] == "error"]
    assert [(result["ruleId"], "suppressions" in result) for result in wrong] == [("public-container", False)]
    place = wrong[0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "Pulumi.oslo.yaml"
    assert place["logicalLocations"][0]["fullyQualifiedName"].startswith("urn:pulumi:oslo::")
    assert [result["suppressions"][0]["kind"] for result in run["results"] if result not in wrong] == ["external"] * 2


@pytest.mark.parametrize("says", [None, {"version": 99}, {"version": 1}])
def test_a_state_that_says_nothing_for_the_rules_is_not_judged(says: Any) -> None:
    found = state()
    outputs = of_type(found, "pulumi:pulumi:Stack")["outputs"]
    if says is None:
        del outputs[declared.OUTPUT]
    else:
        outputs[declared.OUTPUT] = says
    with pytest.raises(CannotAskError, match="output 'sovereignty'"):
        judge("oslo", json.dumps(found), NOW)


def test_a_project_without_a_stack_file_is_not_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    stopping = failing(judge("oslo", json.dumps(state()), NOW))
    assert stopping == [
        ("default-providers", "pulumi:disable-default-providers"),
        ("state-custody", "the state's backend"),
    ]
