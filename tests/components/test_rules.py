"""The rules inside a program: settings are judged before anything is made, and each resource, whoever asks for it,
before the engine makes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pulumi
import pytest

from components.rules import hold_rules
from fortress.settings.declare import declare
from fortress.settings.parse import parse
from fortress.sovereignty.evidence import Toolchain
from tests.doubles.pulumi_mocks import Run, run
from tests.unit.evidence import AT_HOME, HTTPS, PERSONAL, TODAY, WORKER
from tests.unit.stack_file import ROOT, changed, oslo

INSTANCE, CONTAINER = "aws:ec2/instance:Instance", "openstack:objectstorage/container:Container"


class Login(pulumi.ProviderResource):
    """An explicit provider."""

    def __init__(self, package: str, name: str, props: dict[str, Any]) -> None:
        super().__init__(package, name, props)


def made(kind: str, props: dict[str, Any], **options: Any) -> pulumi.CustomResource:
    return pulumi.CustomResource(kind, "x", props, pulumi.ResourceOptions(**options))


def openstack() -> Login:
    return Login("openstack", "oslo", {"authUrl": "https://api.coolvds.com/v3", "region": "NO-Oslo-1"})


def aws() -> Login:
    return Login("aws", "frankfurt", {"region": "eu-central-1"})


def held(
    program: Callable[[], object],
    changes: dict[str, Any] | None = None,
    *,
    preview: bool = False,
    today: date = TODAY,
    toolchain: Toolchain = AT_HOME,
    done: Run | None = None,
) -> Run:
    """What a program registers that is held to the rules."""

    def whole() -> None:
        hold_rules(declare(parse(changed(changes or {}, oslo), ROOT)), toolchain, today)
        program()

    return run(whole, preview=preview, done=done)


def test_a_good_resource_is_made_and_left_as_it_was() -> None:
    done = held(lambda: made(INSTANCE, dict(WORKER), provider=aws()))
    assert set(done.resources) == {"frankfurt", "x"}
    assert done.resources["x"].inputs == WORKER
    assert done.resources["x"].provider == "frankfurt"


BAD: dict[str, tuple[str, Callable[[], object]]] = {
    "a bucket": ("aws-types: x: ", lambda: made("aws:s3/bucketV2:BucketV2", {}, provider=aws())),
    "a bucket replicated out": (
        "replication: x: ",
        lambda: made("aws:s3/bucketReplicationConfig:BucketReplicationConfig", {}, provider=aws()),
    ),
    "a default provider slipped in": ("default-providers: x: ", lambda: made(INSTANCE, dict(WORKER))),
    "another region than the provider's": (
        "aws-region: x: is in region us-east-1",
        lambda: made(INSTANCE, {**WORKER, "region": "us-east-1"}, provider=aws()),
    ),
    "a login elsewhere": ("aws-region: far: ", lambda: Login("aws", "far", {"region": "us-east-1"})),
    "a public container": (
        "public-container: x: ",
        lambda: made(CONTAINER, {"metadata": PERSONAL, "containerRead": ".r:*"}, provider=openstack()),
    ),
    "a database group open to the world": (
        "private-database: x: lets 0.0.0.0/0 reach port 3306",
        lambda: made(
            "openstack:networking/secGroupRule:SecGroupRule",
            {**HTTPS, "portRangeMin": 3306, "portRangeMax": 3306},
            provider=openstack(),
        ),
    ),
    "user data with a secret": (
        "database-secrets: x: userData is a secret",
        lambda: made(INSTANCE, {**WORKER, "userData": pulumi.Output.secret("#!/bin/sh")}, provider=aws()),
    ),
    "a secret deep inside": (
        "database-secrets: x: ",
        lambda: made(INSTANCE, {**WORKER, "tags": {"a": pulumi.Output.secret("b")}}, provider=aws()),
    ),
    "a protected worker": (
        "disposable-compute: x: is protected",
        lambda: made(INSTANCE, dict(WORKER), provider=aws(), protect=True),
    ),
    "what is part of a component": ("aws-types: inner: ", lambda: Outer("outer", aws())),
}


class Outer(pulumi.ComponentResource):
    """A component of somebody else's."""

    def __init__(self, name: str, provider: pulumi.ProviderResource) -> None:
        super().__init__("other:index:Outer", name, {}, pulumi.ResourceOptions(providers=[provider]))
        pulumi.CustomResource("aws:s3/bucketV2:BucketV2", "inner", {}, pulumi.ResourceOptions(parent=self))


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_resource_is_never_made(case: str, preview: bool) -> None:
    words, program = BAD[case]
    done = Run()
    with pytest.raises(Exception, match="Invoke callback error") as refused:
        held(program, preview=preview, done=done)
    assert words in str(refused.value)
    assert {"x", "inner", "far"}.isdisjoint(done.resources)


class Told:
    """What a program tells its user, by severity."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.warnings: list[str] = []
        self.infos: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", self.warnings.append)
        monkeypatch.setattr(pulumi.log, "info", self.infos.append)


def test_what_is_not_known_is_listed_at_a_preview_and_looked_at_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def program() -> None:
        asked = Asked("first")
        made(CONTAINER, {"metadata": PERSONAL, "containerRead": asked.stdout}, provider=openstack())

    told, done = Told(monkeypatch), held(program, preview=True)
    assert "x" in done.resources
    assert told.warnings == [
        "sovereignty: public-container: x: not evaluated: containerRead is not known yet; "
        "leave containerRead out, or name projects and users"
    ]
    with pytest.raises(Exception, match=r"public-container: x: containerRead '.r:\*' opens it to everybody"):
        run_with_answer(program, ".r:*")
    assert "x" in run_with_answer(program, "4711:kari").resources


class Asked(pulumi.CustomResource):
    """A command whose answer is known once it has run."""

    stdout: pulumi.Output[str]

    def __init__(self, name: str) -> None:
        super().__init__("command:local:Command", name, {"create": "date", "stdout": None})


def run_with_answer(program: Callable[[], object], answer: str) -> Run:
    def whole() -> None:
        hold_rules(declare(parse(oslo(), ROOT)), AT_HOME, TODAY)
        program()

    return run(whole, stdout=lambda _name: answer)


def test_what_expires_is_told_at_every_run_and_what_is_exempt_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    held(aws)
    assert told.warnings == told.infos == []
    held(aws, today=date(2028, 6, 1))
    assert told.infos == []
    assert len(told.warnings) == 6
    assert all("expires: " in line for line in told.warnings)


def test_settings_are_judged_before_anything_is_made() -> None:
    done = Run()
    with pytest.raises(pulumi.RunError) as refused:
        held(aws, {"sovereignty/operators/CoolVDS/review": "2026-11-28"}, done=done)
    assert not done.resources
    assert str(refused.value) == (
        "processors: sovereignty.operators.CoolVDS.review: the entry of CoolVDS was to be reviewed by 2026-11-28; "
        "review it, and set sovereignty.operators.CoolVDS.review to the next review"
    )
