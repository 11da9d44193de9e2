"""Each example as it stands, previewed by the real engine where none of its hosts exists."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import recorded
from tests.engine.command_stack import Stack
from tests.unit.stack_file import ROOT

EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path.parent.name for path in EXAMPLES.glob("*/Pulumi.yaml"))


class Example(Stack):
    """An example on a backend of its own; `asked` appears once a host was asked for its key."""

    def __init__(self, folder: Path, name: str) -> None:
        self.asked = folder / "asked"
        tools = folder / "tools"
        tools.mkdir(parents=True)
        for tool in ("ssh-keyscan", "ssh"):
            (tools / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>{self.asked}\nexit 1\n')
            (tools / tool).chmod(0o755)
        super().__init__(folder, PULUMI_CONFIG_PASSPHRASE="lab")
        self.environment["PATH"] = f"{tools}:{self.environment['PATH']}"
        self._fortress()
        self.project = folder / "examples" / name
        shutil.copytree(EXAMPLES / name, self.project, ignore=shutil.ignore_patterns(".venv"))
        (self.project / ".venv").symlink_to(sys.prefix)
        (self.project.parent / "app").symlink_to(EXAMPLES / "app")
        self.run("stack", "init", "home")
        self.run("config", "set", "--secret", "database_password", "HUSH-HUSH")

    def _fortress(self) -> None:
        """The lab's stack as it once stood, for those that refer to it."""
        (self.project / "Pulumi.yaml").write_text("name: data-fortress\nruntime: python\n")
        self.run("stack", "init", "lab")
        state = self.home / "state.json"
        state.write_text(json.dumps(recorded.read("lab")))
        self.run("stack", "import", "--file", str(state))

    def planned(self) -> dict[str, dict[str, Any]]:
        """What a preview would make, by name; the stack and providers apart."""
        log = self.run("preview", "--json")
        steps = json.loads(log[log.index("{\n") :])["steps"]
        assert {step["op"] for step in steps} <= {"create", "read"}
        assert "HUSH-HUSH" not in log
        return {
            step["urn"].split("::")[-1]: step["newState"]
            for step in steps
            if not step["newState"]["type"].startswith("pulumi:")
        }


def kinds(planned: dict[str, dict[str, Any]]) -> dict[str, int]:
    found = Counter(item["type"].rsplit(":", 1)[-1] for item in planned.values())
    return {kind: number for kind, number in found.items() if kind != "Command"}


def lines(planned: dict[str, dict[str, Any]], name: str) -> list[str]:
    """The lines of a file that would be pushed."""
    return [line.strip() for line in str(planned[name]["inputs"]["stdin"]).splitlines()]


def test_each_program_here_is_tested() -> None:
    assert PROGRAMS == ["edge", "mesh", "one_site", "workers"]


def test_a_mesh_between_hosts_that_one_has(tmp_path: Path) -> None:
    example = Example(tmp_path, "mesh")
    planned = example.planned()
    assert kinds(planned) == {"Host": 3, "WireGuardMesh": 1}
    assert {name for name in planned if "-peer-" in name} == {*("mesh-office-peer-shop", "mesh-office-peer-archive")}
    opened = 'iifname "wg0" ip saddr { 10.9.0.2 } tcp dport'
    assert f"{opened} 5432 accept  # from shop" in lines(planned, "mesh-office-files")
    # Of a host that dials the hub only the paths are known, before the hub has a key.
    assert " /etc/nftables.d/20-mesh.nft " in f"{planned['mesh-archive-files']['inputs']['create']} "
    assert not example.asked.exists(), "a preview asks no host"


def test_a_fortress_without_frankfurt(tmp_path: Path) -> None:
    example = Example(tmp_path, "one_site")
    planned = example.planned()
    assert kinds(planned) == {
        **{"Host": 3, "WireGuardMesh": 1},
        **{"DataFortress": 1, "EphemeralWorker": 1, "HAProxyEdge": 1},
    }
    config = lines(planned, "edge-files")
    assert [line for line in config if line.startswith("server ") and "abns@" not in line] == [
        "server oslo-web 10.9.0.3:80 tcp-ut 2s"
    ]
    assert "Environment=FORTRESS_DATABASE_ADDRESS=10.9.0.1" in "\n".join(lines(planned, "notes-files")).replace('"', "")
    assert not example.asked.exists()


def test_an_edge_in_front_of_anything(tmp_path: Path) -> None:
    example = Example(tmp_path, "edge")
    planned = example.planned()
    assert kinds(planned) == {"Host": 1, "HAProxyEdge": 1}
    config = lines(planned, "edge-files")
    assert [line for line in config if line.startswith("server web")] == [
        "server web-1 192.0.2.21:8080 tcp-ut 2s",
        "server web-2 192.0.2.22:8080 tcp-ut 2s",
        "server web-3 203.0.113.23:8080 tcp-ut 2s",
    ]
    assert "http-check send meth GET uri / ver HTTP/1.1 hdr Host www.example.org" in config
    assert not example.asked.exists()


def test_workers_that_join_a_fortress_of_another_stack(tmp_path: Path) -> None:
    example = Example(tmp_path, "workers")
    example.run("config", "set", "fortress", "organization/data-fortress/lab")
    planned = example.planned()
    assert kinds(planned) == {"Host": 2, "WireGuardMesh": 1, "EphemeralWorker": 2}
    resources = recorded.read("lab")["deployment"]["resources"]
    (stack,) = [each for each in resources if each["type"] == "pulumi:pulumi:Stack"]
    fortress = stack["outputs"]["fortress"]
    # A hub gets a file a worker, and nothing else that a destroy here would take away from it.
    on_hubs = {name for name in planned if name.startswith("workers-oslo-") and name.count("-") > 2}
    assert on_hubs == {f"workers-{hub}-peer-{name}" for hub in ("oslo-db", "oslo-edge") for name in ("fra-8", "fra-9")}
    addressed = {
        name
        for name, item in planned.items()
        if item["type"] == "command:remote:Command" and fortress["hosts"]["oslo-db"]["public_key"] in str(item)
    }
    assert addressed == {
        *("workers-oslo-db-peer-fra-8", "workers-oslo-db-peer-fra-9"),
        *("workers-fra-8-files", "workers-fra-9-files"),
    }
    peer = lines(planned, "workers-fra-8-files")
    assert peer[peer.index("[Peer]") :][:5] == [
        "[Peer]",
        "# oslo-db",
        f"PublicKey = {fortress['hosts']['oslo-db']['public_key']}",
        "AllowedIPs = 10.100.0.1/32",
        "Endpoint = 192.0.2.11:51820",
    ]
    assert "/etc/fortress/notes/database-ca.pem" in planned["notes-fra-8-credentials"]["inputs"]["create"]
    assert not example.asked.exists()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_readme_says_how_and_its_links_lead_somewhere(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text()
    assert "pulumi preview --diff" in text
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links
    assert all((EXAMPLES / name / link).exists() for link in links), links
    assert yaml.safe_load((EXAMPLES / name / "Pulumi.yaml").read_text())["runtime"] == {
        "name": "python",
        "options": {"toolchain": "pip", "virtualenv": ".venv"},
    }
    assert "python3 -m venv .venv && .venv/bin/pip install ../..\n" in text
