"""`fortress ssh` with OpenSSH's own client and server: the pinned key opens, another does not, also by a bastion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fortress.limits import Limits
from tests.doubles.standing_fortress import exported
from tests.engine.openssh import Server, sshd

FORTRESS = Path(sys.executable).parent / "fortress"


def facts(server: Server, **changes: Any) -> dict[str, Any]:
    """What the stack's output says of one host."""
    where = {"address": server.host, "port": server.port, "user": server.user, "host_key": server.host_key}
    place = {"public_key": "", "mesh_address": "10.100.0.1", "site": "oslo", "role": "database"}
    limits = {**Limits().model_dump(), "rtt_ms": {}, "ports": []}
    edge = {"host": "a", "url": "", "server_name": "", "health_path": "", "stats_socket": "", "backends": {}}
    mesh = {"network": "10.100.0.0/24", "port": 51820, "interface": "wg0"}
    database = {"name": "app", "user": "app", "ca_pem": "", "copy_wanted": False}
    times = {"silent_ms": 2000, "refused_ms": 1200}
    return {
        "version": 1,
        "hosts": {"oslo-db": {**where, **place, "peers": [], "open_tcp": [], **changes}},
        "mesh": {**mesh, "mtu": 1360, "path_mtu": 1450, "hubs": ["oslo-db"]},
        "database": {**database, "host": "oslo-db", "address": "", "port": 3306},
        "edge": {**edge, **times},
        "bastion": None,
        "limits": limits,
    }


class Client:
    """An operator at home, with a known_hosts file that knows better, and a stack."""

    def __init__(self, folder: Path, key: Path) -> None:
        self.folder = folder
        self.key = key
        (folder / "pulumi").write_text(f"#!/bin/sh\nexec cat {folder}/state.json\n")
        (folder / "pulumi").chmod(0o755)

    def run(self, outputs: dict[str, Any], *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        (self.folder / "state.json").write_text(json.dumps(exported({"fortress": outputs})))
        plain = {k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK"}
        words = [str(FORTRESS), "ssh", "oslo-db", "--stack", "lab", "--key", str(self.key), "--", *command]
        return subprocess.run(
            words,
            env=plain | {"PATH": f"{self.folder}:/usr/bin:/bin:/usr/sbin"},
            input=text,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with sshd(tmp_path / "host") as running:
        yield running


def test_in_by_the_pinned_key_and_back_with_the_commands_status(tmp_path: Path, server: Server) -> None:
    client = Client(tmp_path, server.private_key)
    done = client.run(facts(server), "cat; echo $SSH_CONNECTION >&2; exit 7", text="a line\n")
    assert (done.returncode, done.stdout) == (7, "a line\n"), done.stderr
    assert f"{server.host} {server.port}" in done.stderr
    assert server.logins() == 1


def test_another_host_key_is_refused_whatever_known_hosts_says(tmp_path: Path, server: Server) -> None:
    client = Client(tmp_path, server.private_key)
    with sshd(tmp_path / "other") as other:
        done = client.run(facts(server, host_key=other.host_key), "true")
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr
    assert server.logins() == 0


def test_through_a_bastion_whose_key_is_pinned_too(tmp_path: Path, server: Server) -> None:
    client = Client(tmp_path, server.private_key)
    with sshd(tmp_path / "jump") as jump:
        with (jump.private_key.parent / "authorized_keys").open("a") as keys:
            keys.write(server.private_key.with_suffix(".pub").read_text())
        bastion = {"address": jump.host, "port": jump.port, "user": jump.user, "host_key": jump.host_key}
        done = client.run({**facts(server), "bastion": bastion}, "echo behind")
        assert (done.returncode, done.stdout) == (0, "behind\n"), done.stderr
        assert (jump.logins(), server.logins()) == (1, 1)
        refused = client.run({**facts(server), "bastion": {**bastion, "host_key": server.host_key}}, "echo behind")
        assert (refused.returncode, refused.stdout) == (255, "")
        assert "Host key verification failed" in refused.stderr
        assert (jump.logins(), server.logins()) == (1, 1)
