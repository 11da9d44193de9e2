"""Other ways to a host than the operator's agent: a private key from settings, through a bastion, to another port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import api
from lab.base import topology
from tests.lab.conftest import StandingLab
from tests.lab.fortress import ROOT, SSH_JOURNAL, EngineError, on, one_more_host

PROGRAM = """
import os

import pulumi
from components import Host, HostFile

host = Host(
    "fra-3",
    {
        "address": "203.0.113.23",
        "site": "frankfurt",
        "mesh_address": "10.100.0.6",
        "mesh_network": "10.100.0.0/24",
        "operators": ["192.0.2.12/32"],  # the bastion, and nobody else
        "user": "ops",
        "port": 2222,
        "host_key": os.environ["HOST_KEY"],
        "private_key": pulumi.Output.secret(os.environ["PRIVATE_KEY"]),
        "bastion": {"address": "192.0.2.12", "user": "ops", "port": 22, "host_key": os.environ["BASTION_KEY"]},
    },
)
HostFile(
    "note",
    {
        "host": host.member,
        "path": "/etc/fortress-note",
        "content": "by way of the edge\\n",
        "mode": "0640",
        "private_key": pulumi.Output.secret(os.environ["PRIVATE_KEY"]),
    },
)
pulumi.export("public_key", host.public_key)
pulumi.export("ram_mb", host.ram_mb)
"""


@dataclass(frozen=True)
class Project:
    """A program that makes one host, run from the operator's namespace without an SSH agent."""

    folder: Path
    environment: dict[str, str]

    def engine(self, *arguments: str) -> str:
        done = subprocess.run(
            [
                *(".venv/bin/python", "-m", "lab", "run", "--", "env", "-u", "SSH_AUTH_SOCK"),
                *(f"PATH={self.environment['PATH']}", f"PULUMI_BACKEND_URL=file://{self.folder}/state"),
                *(".venv/bin/pulumi", "--cwd", str(self.folder), *arguments),
            ],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        if done.returncode:
            raise EngineError(done.stdout)
        return done.stdout


def host_key(name: str) -> str:
    return " ".join(api.console(name, "cat /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[:2])


def answers(name: str, port: int = 22) -> bool:
    """Whether a host takes SSH connections from the operator."""
    connect = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
    return api.in_operator([sys.executable, "-c", connect, str(topology.host(name).address), str(port)]).returncode == 0


@pytest.fixture
def _by_socket(lab: StandingLab) -> Iterator[None]:  # noqa: ARG001 - must stand
    """SSH on fra-3 as Ubuntu 24.04 has it, on another port: systemd listens, and starts sshd for the first client."""
    drop_in = "/etc/systemd/system/ssh.socket.d"
    with one_more_host("fra-3"):
        on(
            "fra-3",
            f"mkdir {drop_in}; printf '[Socket]\\nListenStream=\\nListenStream=2222\\n' >{drop_in}/port.conf; "
            "systemctl daemon-reload; systemctl disable -q --now ssh.service; systemctl enable -q --now ssh.socket",
        )
        assert on("fra-3", "ss -Hltn | awk '{ print $4 }'") == "*:2222"
        yield


@pytest.fixture
def project(_by_socket: None, lab: StandingLab, tmp_path: Path) -> Iterator[Project]:
    plugin = subprocess.run([ROOT / "lab/plugin.sh"], capture_output=True, text=True, check=True).stdout.strip()
    found = Project(
        tmp_path,
        {
            "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
            **({"PULUMI_HOME": plugin, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"} if plugin else {}),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PRIVATE_KEY": lab.lab.key.read_text(),
            "HOST_KEY": host_key("fra-3"),
            "BASTION_KEY": host_key("oslo-edge"),
        },
    )
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: ways-in\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    (tmp_path / "components").symlink_to(ROOT / "components")
    found.engine("stack", "init", "one")
    yield found
    found.engine("destroy", "--yes", "--skip-preview", "--stack", "one")


def test_a_host_behind_a_bastion_by_a_key_from_settings(project: Project) -> None:
    said = project.engine("up", "--yes", "--skip-preview", "--stack", "one")

    note = api.console("fra-3", "cat /etc/fortress-note; stat -c '%a %U:%G' /etc/fortress-note")
    assert note.stdout == "by way of the edge\n640 root:root\n"
    outputs = json.loads(project.engine("stack", "output", "--json", "--stack", "one"))
    assert outputs["public_key"] == api.console("fra-3", "wg show wg0 public-key").stdout.strip()
    assert outputs["ram_mb"] > 256
    # The operator is not among this host's operators: what got through came by the bastion.
    assert answers("oslo-edge")
    assert not answers("fra-3", 2222)
    accepted = api.console("fra-3", f"{SSH_JOURNAL} | grep 'Accepted publickey'").stdout
    assert accepted.splitlines()[-1].split(" from ")[1].startswith("192.0.2.12 ")

    key = project.environment["PRIVATE_KEY"].splitlines()[1]
    state = "".join(file.read_text() for file in (project.folder / "state").rglob("*.json*"))
    assert "fra-3-push" in state
    assert key not in state
    assert key not in said
