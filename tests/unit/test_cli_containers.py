"""Whether containers answer who has no login."""

from __future__ import annotations

from typing import Any

import pytest

from fortress.cli.check.check import Check
from fortress.cli.verify import containers
from fortress.facts import StackOutputs
from fortress.limits import Limits
from tests.doubles.edge_server import edge_server
from tests.ports import closed_port
from tests.unit.stack_file import changed, lab
from tests.unit.verdicts import refused


def outputs(named: dict[str, str], backups: str | None = None) -> StackOutputs:
    limits = Limits.model_validate({"containers": named}).model_dump()
    rest: dict[str, Any] = dict.fromkeys(("mesh", "database", "edge", "bastion"))
    if backups:
        rest["database"] = {
            **{"host": "oslo-db", "address": "10.100.0.1", "port": 3306, "name": "app", "user": "app", "ca_pem": ""},
            **{"copy_wanted": False, "backup": {"site": "oslo", "target": "s3 x", "url": backups}},
        }
    return StackOutputs.model_validate({"version": 7, "hosts": {}, "limits": limits, **rest})


def asked(found: StackOutputs) -> list[Check]:
    return containers.judge(found, containers.ask(found, 2.0))


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [
        (401, "ok", "401 from http://127.0.0.1:"),
        (403, "ok", "403 from"),
        (200, "fail", "anybody lists it; take its access list or policy away"),
        (204, "fail", "anybody lists it"),
        (404, "unknown", "404 from"),
        (301, "unknown", "which is no refusal: is it the container's address?"),
        (503, "unknown", "503 from"),
    ],
)
def test_only_a_refusal_is_well(status: int, verdict: str, words: str) -> None:
    with edge_server(None, status=status) as (port, seen):
        place = f"127.0.0.1:{port}"
        (check,) = asked(outputs({"personal": f"http://{place}/v1/AUTH_0/personal"}))
    assert (str(check.status), words in check.detail) == (verdict, True), check
    assert check.name == "anonymous access to personal"
    assert seen == [(place, "/v1/AUTH_0/personal")]


def test_the_bucket_of_the_backups_is_asked_without_being_named() -> None:
    with edge_server(None, status=200) as (port, seen):
        (check,) = asked(outputs({}, f"http://127.0.0.1:{port}/vault"))
    assert (check.about, check.status) == ("the backups", "fail")
    assert [path for _, path in seen] == ["/vault"]


def test_what_does_not_answer_is_not_well() -> None:
    (check,) = asked(outputs({"personal": f"http://127.0.0.1:{closed_port()}/x"}))
    assert (check.status, check.value) == ("unknown", None)
    assert check.detail.endswith("/x: connection refused")


@pytest.mark.parametrize(
    "url", ["personal", "https://x.example", "ftp://x/y", "https://a:b@x.example/y", "https://x/y?z"]
)
def test_an_address_is_a_containers(url: str) -> None:
    (line,) = refused(changed({"verify/containers": {"personal": url}}, lab))
    assert line.startswith("verify.containers.personal: ")
    assert "must be the URL of a container" in line
