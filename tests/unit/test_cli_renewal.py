"""The command that `fortress verify` says for a certificate about to end: words that pass two shells, and do it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest

from fortress import haproxy, mariadb
from fortress.cli.verify import renewal
from fortress.facts import StackOutputs
from fortress.text import script
from tests.unit import example_report

EDGE = "/usr/local/lib/fortress/edge-certificate --reload haproxy /etc/ssl/private/site.pem 398 30 lab.fortress.example"
DATABASE = "/usr/local/lib/fortress/mariadb-authority ensure 10.100.0.2 oslo-db"


def standing(**limits: int) -> StackOutputs:
    found = example_report.standing(example_report.LAB)
    return found.model_copy(update={"limits": found.limits.model_copy(update=limits)})


def as_root(found: StackOutputs) -> StackOutputs:
    hosts = {name: host.model_copy(update={"user": "root"}) for name, host in found.hosts.items()}
    return found.model_copy(update={"hosts": hosts})


@pytest.mark.parametrize(
    ("renew", "host", "command"), [(renewal.of_edge, "oslo-edge", EDGE), (renewal.of_database, "oslo-db", DATABASE)]
)
def test_the_command_is_the_one_of_up_for_a_host(renew: Callable[..., str], host: str, command: str) -> None:
    facts = mariadb.Authority(address="10.100.0.2", names=("oslo-db",))
    assert mariadb.authority_arguments(facts) == ("ensure", "10.100.0.2", "oslo-db")
    found = standing()
    service = found.edge if renew is renewal.of_edge else found.database
    said = renew("prod", found, service)
    assert said == f"renew it: fortress ssh {host} --stack prod -- 'sudo {command}'"
    assert renew("prod", as_root(found), service).endswith(f"-- '{command}'")


def test_words_are_quoted_for_both_shells() -> None:
    found = standing()
    assert found.edge is not None
    edge = found.edge.model_copy(update={"server_name": "$(id) 'x'"})
    said = renewal.of_edge("a b", found, edge).removeprefix("renew it: ")
    *words, sent = shlex.split(said)
    assert words == ["fortress", "ssh", "oslo-edge", "--stack", "a b", "--"]
    assert shlex.split(sent)[-1] == "$(id) 'x'"


@pytest.mark.parametrize("service", ["edge", "database"])
def test_nothing_is_said_that_would_do_nothing(service: str) -> None:
    """Scripts leave a certificate alone that is good for longer, and a host that is gone is not asked."""
    assert f"renew_seconds={haproxy.RENEW_DAYS * 86400} " in script("mariadb-authority")
    renew: Callable[..., str] = getattr(renewal, f"of_{service}")

    def said(found: StackOutputs) -> str:
        return renew("prod", found, getattr(found, service))

    assert said(standing(certificate_days=30)).startswith("renew it: ")
    assert said(standing(certificate_days=31)).startswith("renew it, possible from 30 days before it expires: ")
    gone: dict[str, Any] = {"hosts": {}}
    assert "ssh" not in said(standing().model_copy(update=gone))
