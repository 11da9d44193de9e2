"""The fortress on Debian 12, a release older than the one that the other labs run: it comes up, holds and goes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab.conftest import NAME, StandingLab, standing
from tests.lab.fortress import Fortress, on
from tests.lab.inside import HOSTS


@pytest.fixture(scope="module")
def older() -> Iterator[StandingLab]:
    """Lab `testolder`, whose hosts run that release."""
    with standing(f"{NAME}older", keep=False, release="bookworm") as found:
        yield found


def test_a_fortress_holds_on_debian_12(older: StandingLab, tmp_path_factory: pytest.TempPathFactory) -> None:
    fortress = Fortress(older.lab, tmp_path_factory.mktemp("project"))
    assert {on(host, ". /etc/os-release; echo $VERSION_CODENAME") for host in HOSTS} == {"bookworm"}
    refused_with_data_of_a_newer_release(fortress)
    fortress.up()
    fortress.check_whole()
    assert "10.11." in on("oslo-db", "mariadbd --version")
    assert "version 2.6." in on("oslo-edge", "haproxy -v")
    fortress.engine("destroy", "--yes", "--skip-preview")
    stack = json.loads(fortress.engine("stack", "export").partition("\n{")[2].join(("{", "")))
    assert stack["deployment"].get("resources", []) == []


def refused_with_data_of_a_newer_release(fortress: Fortress) -> None:
    """Before anything of MariaDB is on the host, whose package would move the data away."""
    on("oslo-db", "mkdir /var/lib/mysql && touch /var/lib/mysql/ibdata1 /var/lib/mysql/debian-11.8.flag")
    said = fortress.pulumi("up", "--yes", "--skip-preview")
    assert said.returncode != 0
    assert "the data in /var/lib/mysql are of MariaDB 11.8, and this host's is 10.11, which must not" in said.stdout
    assert on("oslo-db", "ls /var/lib/mysql").split() == ["debian-11.8.flag", "ibdata1"]
    assert on("oslo-db", "ls /usr/sbin/mariadbd /etc/systemd/system/mariadb.service.d 2>/dev/null || true") == ""
    on("oslo-db", "rm -r /var/lib/mysql")
