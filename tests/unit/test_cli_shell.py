"""`fortress ssh`: the command line that OpenSSH gets."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fortress.cli.base.errors import CannotAskError
from fortress.cli.hosts import openssh
from fortress.facts import parse
from tests.doubles.standing_fortress import Fortress, standing_fortress

FORTRESS = Path(sys.executable).parent / "fortress"
BASTION = {"address": "2001:db8::7", "port": 2222, "user": "jump", "host_key": "ssh-ed25519 AAAAbastion comment"}


@pytest.fixture
def fortress(tmp_path: Path) -> Fortress:
    (tmp_path / "f").mkdir()
    with standing_fortress(tmp_path / "f") as standing:
        return standing  # its facts are all that is wanted


def options(words: list[str]) -> dict[str, str]:
    found = {}
    for option, value in itertools.pairwise(words):
        if option == "-o":
            key, _, rest = value.partition("=")
            found[key] = rest
    return found


def words(fortress: Fortress, *command: str, **changes: Any) -> list[str]:
    return openssh.command(parse({**fortress.facts, **changes}), "fra-1", command)


def test_the_pinned_key_and_no_other(fortress: Fortress) -> None:
    found = words(fortress, "sudo", "wg", "show")
    host = fortress.facts["hosts"]["fra-1"]
    assert found[-8:] == ["-p", str(host["port"]), "-l", "ops", host["address"], "sudo", "wg", "show"]
    given = options(found)
    assert given["KnownHostsCommand"] == f"/bin/echo fra-1 {host['host_key']}"
    assert (given["HostKeyAlias"], given["StrictHostKeyChecking"]) == ("fra-1", "yes")
    assert {given["UserKnownHostsFile"], given["GlobalKnownHostsFile"], given["ProxyCommand"]} == {"none"}


def test_a_bastion_has_a_pinned_key_of_its_own(fortress: Fortress) -> None:
    proxy = shlex.split(options(words(fortress, bastion=BASTION))["ProxyCommand"])
    assert proxy[-7:] == ["-p", "2222", "-l", "jump", "-W", "[%h]:%p", "2001:db8::7"]
    assert options(proxy)["KnownHostsCommand"] == "/bin/echo bastion ssh-ed25519 AAAAbastion"


def test_a_host_that_is_not_there_is_named_with_those_that_are(fortress: Fortress) -> None:
    with pytest.raises(CannotAskError, match=r"^the stack has no host 'fra-9'; it has oslo-db, oslo-edge, fra-1$"):
        openssh.command(parse(fortress.facts), "fra-9", [])


def test_the_command_becomes_ssh(fortress: Fortress, tmp_path: Path) -> None:
    """Its exit status, its input and its signals are those of ssh, which takes its place."""
    (tmp_path / "state.json").write_text(json.dumps(fortress.state))
    for name, script in (
        ("pulumi", f"exec cat {tmp_path}/state.json"),
        ("ssh", 'cat; for last; do :; done; echo "$last" $$; exit 7'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    command = [str(FORTRESS), "ssh", "fra-1", "--stack", "lab", "--", "-la"]
    with subprocess.Popen(
        command,
        env={**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        stdout, _ = process.communicate("typed\n", timeout=30)
    assert (process.returncode, stdout) == (7, f"typed\n-la {process.pid}\n")
