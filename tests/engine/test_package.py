"""The source package: its schema, and programs in another language that use it on the real engine.

The language host that can be had from Go modules cannot start a plugin of a source package (reference: it knows no
newer RunPlugin), so `pulumi package get-schema ./package` is asked of the plugin in this process here, and the engine
finds the plugin on PATH, started as the language host would start it. All else is as everywhere: the engine speaks
with the plugin over the provider protocol, and a program in Go with the engine.
"""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime.rpc import UNKNOWN

import components
from tests.components.engine import HOST_KEY, LEARNT_KEY
from tests.engine.command_stack import Stack
from tests.unit.golden import check_golden
from tests.unit.stack_file import ROOT

PACKAGE = ROOT / "package"
TYPES = {name for name in components.__all__ if name[0].isupper() and not name.endswith("Args") and name != "Member"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(runpy.run_path(str(PACKAGE / "__main__.py"))["Components"]().schema)
    return found


def test_the_schema_is_the_one_that_was_looked_at(schema: dict[str, Any]) -> None:
    # A version is no change of it.
    schema = {name: part for name, part in schema.items() if name != "version"}
    check_golden("schema.json", json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n", PACKAGE)


def test_every_public_component_is_in_it_under_its_token(schema: dict[str, Any]) -> None:
    assert set(schema["resources"]) == {f"fortress:index:{name}" for name in TYPES}
    assert all(schema["resources"][token]["isComponent"] for token in schema["resources"])


def test_everything_in_it_says_what_it_is(schema: dict[str, Any]) -> None:
    silent = [
        f"{name}.{field}"
        for name, found in {**schema["resources"], **schema["types"]}.items()
        for part in ("inputProperties", "properties")
        for field, said in found.get(part, {}).items()
        if not said.get("description")
    ]
    assert silent == []
    assert all(found["description"] for found in {**schema["resources"], **schema["types"]}.values())


def test_its_python_sdk_has_another_name_than_the_wheel(schema: dict[str, Any]) -> None:
    assert schema["language"]["python"]["packageName"] not in ("", "pulumi_fortress", "fortress", "components")


def test_the_cli_finds_a_plugin_in_the_folder() -> None:
    assert yaml.safe_load((PACKAGE / "PulumiPlugin.yaml").read_text()) == {"runtime": "python"}


def test_the_readme_shows_what_the_schema_takes(schema: dict[str, Any]) -> None:
    shown = yaml.safe_load((PACKAGE / "README.md").read_text().split("```yaml\n")[1].split("```")[0])
    for resource in shown["resources"].values():
        takes = schema["resources"][resource["type"].replace(":", ":index:")]
        assert (
            set(takes["requiredInputs"]) - {"address"} <= set(resource["properties"]) <= set(takes["inputProperties"])
        )
    given = set(shown["resources"]["motd"]["properties"]["host"])
    member = schema["types"]["fortress:index:Member"]
    assert set(member["required"]) <= given <= set(member["properties"])


class PackageStack(Stack):
    """A stack whose engine finds the package's plugin, and whose hosts all show one key."""

    def __init__(self, folder: Path, shown: str = LEARNT_KEY) -> None:
        tools = folder / "tools"
        tools.mkdir(parents=True)
        # -P: nothing but what is installed can be imported, as everywhere else
        for tool, text in (
            ("pulumi-resource-fortress", f'exec {sys.executable} -P {PACKAGE} "$@"'),
            ("ssh-keyscan", f"echo 'host {shown}'"),
        ):
            (tools / tool).write_text(f"#!/bin/sh\n{text}\n")
            (tools / tool).chmod(0o755)
        super().__init__(folder, FORTRESS_CLOUDS=str(folder / "clouds"), AWS_ACCESS_KEY_ID="fortress")
        self.environment["AWS_SECRET_ACCESS_KEY"] = "lab"
        self.environment["PATH"] = f"{tools}:{self.environment['PATH']}"

    def planned(self) -> dict[str, dict[str, Any]]:
        """What a preview would make, by name; of providers, nothing."""
        log = self.run("preview", "--json")
        steps = json.loads(log[log.index("{\n") :])["steps"]
        return {step["urn"].split("::")[-1]: step["newState"] for step in steps if ":providers:" not in step["urn"]}


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the SDK's Go module: a minute the first time, from Go's cache then."""
    built = tmp_path_factory.mktemp("go") / "other"
    for name in ("go.mod", "go.sum", "main.go"):
        (built.parent / name).write_text((Path(__file__).parent / "other_language" / name).read_text())
    made = subprocess.run(
        ["go", "build", "-mod=readonly", "-o", built, "."],
        cwd=built.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert made.returncode == 0, made.stderr
    return built


def go_run(program: Path, stack: Stack, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, command],
        cwd=program.parent,
        env={**stack.environment, **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_a_program_in_go_previews_a_mesh(go_program: Path, tmp_path: Path) -> None:
    done = go_run(go_program, PackageStack(tmp_path), "preview")
    assert done.returncode == 0, done.stdout + done.stderr
    blocks = {
        block.split("]")[0].split("::")[-1]: block for block in done.stdout.split("[urn=urn:pulumi:dev::other::")[1:]
    }
    assert {name for name in blocks if name.startswith(("mesh", "motd")) or name in "ab"} == {
        *("a", "b", "mesh", "motd", "motd-push"),
        *("mesh-a-files", "mesh-a-peer-b", "mesh-b-files"),
    }
    assert "index:WireGuardMesh$command:remote:Command::mesh-a-files" in done.stdout
    # Numbers reach a host whole, and what is not known yet is neither empty nor missing.
    assert "mtu = 1380" in blocks["mesh-a-files"]
    assert "stdin                 : [unknown]" in blocks["mesh-a-peer-b"]
    assert "--machine a.1" in blocks["motd-push"]
    assert "+ 19 to create" in done.stdout
    # The program's `protect` is the child's.
    assert "command:remote:Command: (create) 🔒" in blocks["motd"]


def test_a_component_used_from_go_sends_nothing_to_an_impostor(go_program: Path, tmp_path: Path) -> None:
    done = go_run(go_program, PackageStack(tmp_path), "up", HOST_KEY=HOST_KEY)
    assert done.returncode == 1
    assert "192.0.2.11 shows another host key than the pinned one, so nothing was sent" in done.stdout


_REMOTE = """
import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions


class Component(pulumi.ComponentResource):
    def __init__(self, kind, name, args, opts=None):
        super().__init__(f"fortress:index:{kind}", name, args, opts, remote=True)


frankfurt = aws.Provider("frankfurt", region="eu-central-1")
known = aws.ec2.Vpc("known", cidr_block="10.20.0.0/16", opts=ResourceOptions(provider=frankfurt))
Component(
    "AwsMachine",
    "worker",
    {
        "ami": "ami-1",
        "keyPair": "deploy",
        "subnetId": known.id,
        "groupIds": [known.default_security_group_id],
        "diskGb": 30,
        "tags": {"Name": "worker"},
    },
    ResourceOptions(providers=[frankfurt]),
)
Component(
    "Host",
    "office",
    {
        "address": "192.0.2.1",
        "site": "home",
        "meshAddress": "10.9.0.2",
        "meshNetwork": "10.9.0.0/24",
        "operators": ["198.51.100.0/24", known.id],
    },
)
host = {
    "name": "edge",
    "site": "home",
    "address": known.id,
    "port": 22,
    "user": "debian",
    "hostKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    "machineId": "edge.1",
    "meshAddress": "10.9.0.1",
    "publicKey": "",
    "ramMb": 512,
    "gone": False,
}
Component(
    "HAProxyEdge",
    "edge",
    {
        "host": host,
        "serverName": "www.example.org",
        "primary": {"site": "home", "servers": {"web": "192.0.2.21:8080"}, "maxconn": 100},
        "checks": {"interMs": 1500, "fastinterMs": 100, "timeoutMs": 300, "connectMs": 300, "rise": 2, "fall": 2},
    },
)
Component(
    "DataFortress",
    "db",
    {
        "host": {**host, "name": "db", "ramMb": Output.secret(2048)},
        "database": "app",
        "user": "app",
        "password": Output.secret("HUSH-HUSH"),
        "clients": "10.9.0.0/24",
    },
)
"""


def test_arguments_of_every_shape_arrive(tmp_path: Path) -> None:
    stack = PackageStack(tmp_path)
    (stack.project / "__main__.py").write_text(_REMOTE)
    made = stack.planned()
    instance = made["worker-instance"]
    assert instance["inputs"]["rootBlockDevice"]["volumeSize"] == 30
    assert instance["inputs"]["tags"] == {"Name": "worker"}
    assert instance["provider"].startswith("urn:pulumi:dev::double::pulumi:providers:aws::frankfurt::")
    assert "inter 1500ms fastinter 100ms" in made["edge-files"]["inputs"]["stdin"]
    assert "server web 192.0.2.21:8080" in made["edge-files"]["inputs"]["stdin"]
    # An operator that comes from another resource is not known before that is made.
    assert made["office-push"]["inputs"]["stdin"] == UNKNOWN
    assert "Address = 10.9.0.2/24" in made["office-wg0.conf"]["inputs"]["stdin"]
    # A secret number stays one, and so does what is made of it.
    assert "2048" not in json.dumps(made)
    assert "HUSH-HUSH" not in json.dumps(made)


def test_a_missing_argument_is_named(tmp_path: Path) -> None:
    stack = PackageStack(tmp_path)
    text = _REMOTE.replace(
        '    "hostKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",\n', ""
    )
    assert text != _REMOTE
    (stack.project / "__main__.py").write_text(text)
    said = stack.run("preview", fails=True)
    assert "Missing required input 'host.hostKey' on 'HAProxyEdge'" in said
