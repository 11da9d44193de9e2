"""The hosts that are looked at before anything is removed from them: as a text, and by the script that reads it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fortress import removal, text
from fortress.removal import HostInSight

ONE, TWO = HostInSight("one", "192.0.2.11", 22), HostInSight("two.1", "192.0.2.12", 2222)
LOST = HostInSight("lost", "", 0, gone=True)


def test_what_is_written_is_read() -> None:
    for hosts in ([], [ONE], [ONE, LOST, TWO]):
        assert removal.parse(removal.render(hosts)) == hosts
    assert removal.without(removal.render([ONE, LOST, TWO]), "one") == removal.render([LOST, TWO])


@pytest.fixture
def scanned(tmp_path: Path) -> Path:
    """Who was asked for a key; only 192.0.2.12 answers."""
    scan = tmp_path / "ssh-keyscan"
    scan.write_text(f'#!/bin/sh\necho "$4 $5" >>{tmp_path}/scanned\n[ "$5" != 192.0.2.12 ] || echo key\n')
    scan.chmod(0o755)
    (tmp_path / "sleep").symlink_to("/bin/true")
    return tmp_path / "scanned"


def look(scanned: Path, verb: str, hosts: list[HostInSight], before: list[HostInSight]) -> tuple[int, str, str]:
    environment = {
        "PATH": f"{scanned.parent}:{os.environ['PATH']}",
        "HOSTS": removal.render(hosts),
        "PULUMI_COMMAND_STDOUT": removal.render(before),
    }
    script = text.script("host-answers")
    done = subprocess.run(
        ["dash", "-s", verb], input=script, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def asked(scanned: Path) -> list[str]:
    return scanned.read_text().splitlines() if scanned.exists() else []


def test_it_remembers_without_asking(scanned: Path) -> None:
    hosts = [ONE, LOST, TWO]
    assert look(scanned, "remember", hosts, []) == (0, removal.render(hosts) + "\n", "")
    assert asked(scanned) == []


def test_only_those_that_left_are_asked(scanned: Path) -> None:
    assert look(scanned, "left", [ONE], [ONE, LOST, TWO]) == (0, removal.render([ONE]) + "\n", "")
    assert asked(scanned) == ["2222 192.0.2.12"]


def test_one_that_left_and_is_lost_is_named_with_the_cure(scanned: Path) -> None:
    status, told, said = look(scanned, "left", [TWO], [ONE, TWO])
    assert (status, told) == (1, "")
    assert said.startswith("one (192.0.2.11) does not answer SSH on port 22, so nothing can be removed from it.\n")
    assert "`fortress forget one`" in said
    assert asked(scanned) == ["22 192.0.2.11"] * 3


def test_one_that_is_gone_or_comes_is_not_asked(scanned: Path) -> None:
    gone = HostInSight("one", "", 0, gone=True)
    assert look(scanned, "left", [gone, TWO], [ONE])[0] == 0
    assert look(scanned, "left", [TWO], [gone, TWO])[0] == 0
    assert asked(scanned) == []


def test_each_is_asked_where_all_goes(scanned: Path) -> None:
    assert look(scanned, "all", [LOST, TWO], [LOST, TWO]) == (0, "", "")
    assert look(scanned, "all", [ONE, TWO], [ONE, TWO])[0] == 1
    assert set(asked(scanned)) == {"22 192.0.2.11", "2222 192.0.2.12"}
