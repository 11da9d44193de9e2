"""The services of a fortress run in a sandbox on real hosts, and whoever does not is told so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fortress import haproxy, mariadb
from tests.lab.fortress import Fortress
from tests.lab.inside import on, reload_edge
from tests.lab.verbs import drift, wrong

UNITS = {"oslo-db": "mariadb", "oslo-edge": "haproxy"}
HASH = "printf 'select sha2(1, 256) regexp \"^6b86.*4b$\", @@innodb_use_native_aio' | mariadb --skip-column-names"


def pid_of(host: str) -> str:
    return on(host, f"systemctl show -P MainPID {UNITS[host]}")


def confined(host: str) -> bool:
    """Whether the running process can gain nothing."""
    return "NoNewPrivs:\t1" in on(host, f"cat /proc/{pid_of(host)}/status")


def verified(fortress: Fortress, host: str) -> dict[str, Any]:
    """The check of a host's sandbox."""
    done = fortress.command("verify", "--stack", "lab", "--json")
    (found,) = [
        each for each in json.loads(done.stdout)["checks"] if each["kind"] == "sandbox" and each["host"] == host
    ]
    return dict(found)


@pytest.mark.parametrize("host", UNITS)
def test_a_service_is_confined_and_works(fortress: Fortress, host: str) -> None:
    """From its first start on: the edge was reloaded since, which would not bring it into a sandbox."""
    fortress.check_whole()
    unit = UNITS[host]
    on(host, f"systemd-analyze security --threshold=40 {unit}")
    assert confined(host)
    found = verified(fortress, host)
    assert (found["status"], found["limit"]) == ("ok", 4.0)
    print(f"{unit}: exposure {found['value']}")
    on(host, f"systemctl restart {unit}")
    assert confined(host)
    fortress.check_whole()


def test_the_edge_reloads_in_its_sandbox(fortress: Fortress) -> None:
    assert fortress.facts()
    pid = pid_of("oslo-edge")
    workers = [reload_edge() for _ in range(3)]
    assert len(set(workers)) == 3, workers
    assert pid_of("oslo-edge") == pid
    fortress.check_whole()


def test_the_database_keeps_its_regular_expressions_and_its_ways_to_the_disk(fortress: Fortress) -> None:
    assert fortress.facts()
    assert on("oslo-db", HASH) == "1\t1"


def test_an_edge_that_was_started_without_is_told_and_not_restarted(fortress: Fortress) -> None:
    """As on an edge that stood before there was a sandbox."""
    assert fortress.facts()
    host, path = "oslo-edge", haproxy.DROP_IN_PATH
    on(host, f"mv {path} /root/; systemctl daemon-reload; systemctl restart haproxy")
    pid = pid_of(host)
    try:
        missing = verified(fortress, host)
        assert (missing["status"], missing["value"]) == ("fail", 9.6)
        assert "systemctl cat haproxy" in missing["detail"]
        drift(fortress, 0, "--repair")
        assert pid_of(host) == pid
        assert not confined(host)
        found = verified(fortress, host)
        assert found["status"] == "fail"
        assert found["value"] < 4
        assert "systemctl restart haproxy, which ends its connections" in found["detail"]
        reload_edge()
        assert pid_of(host) == pid
    finally:
        on(host, f"[ -e {path} ] || mv /root/50-fortress.conf {path}; rm -f /root/50-fortress.conf")
        on(host, "systemctl daemon-reload; systemctl restart haproxy")
    fortress.check_whole()


def test_a_database_restarts_into_its_sandbox(fortress: Fortress) -> None:
    assert fortress.facts()
    host = "oslo-db"
    on(host, f"rm {mariadb.DROP_IN_PATH}; systemctl daemon-reload; systemctl restart mariadb")
    pid = pid_of(host)
    assert verified(fortress, host)["value"] == 8.6
    assert wrong(drift(fortress, 0, "--repair")) == {}
    assert pid_of(host) != pid
    assert confined(host)
    fortress.check_whole()
