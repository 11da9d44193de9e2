"""The wheel, built and installed into an environment without this checkout, and a program there on the real engine."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from email.message import Message
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.engine.command_stack import Stack
from tests.unit.stack_file import ROOT

SOURCES = {"fortress": "fortress", "components": "pulumi_fortress"}
"""Folder of the checkout: its name in the wheel."""


def files(folder: str) -> set[str]:
    """Files of a folder that are the program's, by their path in it."""
    there = subprocess.run(
        ["git", "ls-files", "-c", "-o", "--exclude-standard", "."],
        cwd=ROOT / folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {path for path in there if (ROOT / folder / path).exists()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves its own folders beside the sources."""
    source = tmp_path_factory.mktemp("source")
    wanted = ["pyproject.toml", "README.md", *(f"{folder}/{path}" for folder in SOURCES for path in files(folder))]
    for path in wanted:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes((ROOT / path).read_bytes())
    pip_wheel = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip_wheel, "--wheel-dir", source / "dist", source)
    (built,) = (source / "dist").iterdir()
    return built


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; what it depends on is read from ours, which saves its download."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    # Only the folder itself: the .pth files in it, and so the editable install of this checkout, do not count there.
    (Path(paths["purelib"]) / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", "--ignore-installed", wheel)
    return folder


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_it_holds_every_file_of_both_packages_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == {f"{name}/{path}" for folder, name in SOURCES.items() for path in files(folder)}
    assert {"fortress/py.typed", "pulumi_fortress/py.typed", "fortress/push.sh"} <= found


def test_it_asks_for_all_that_it_imports_and_for_nothing_else(wheel: Path) -> None:
    asked = {Requirement(line).name.replace("_", "-").lower() for line in metadata(wheel).get_all("Requires-Dist", [])}
    imported: set[str] = set()
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    imported |= {name.name.split(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    imported.add(node.module.split(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - set(SOURCES.values()) - set(SOURCES)
    where = packages_distributions()
    assert asked == {where[name][0].replace("_", "-").lower() for name in foreign}


def test_its_page_on_a_package_index_is_the_readme(wheel: Path) -> None:
    assert metadata(wheel)["Description-Content-Type"] == "text/markdown"
    assert metadata(wheel).get_payload(decode=True) == (ROOT / "README.md").read_bytes()


def test_nothing_of_the_checkout_can_be_imported_there(environment: Path) -> None:
    program = (
        "import importlib.util as u, json, fortress, pulumi_fortress;"
        "print(json.dumps([[fortress.__file__, pulumi_fortress.__file__],"
        "[n for n in ('components', 'program', 'lab', 'tests', 'examples') if u.find_spec(n)]]))"
    )
    (found, others) = json.loads(run(environment / "bin" / "python", "-P", "-c", program))
    assert all(Path(path).is_relative_to(environment) for path in found)
    assert others == []


def test_the_command_is_there_and_teaches(environment: Path) -> None:
    assert "verify" in run(environment / "bin" / "fortress", "--help")


_PROGRAM = """
from importlib.util import find_spec

import pulumi
from pulumi_fortress import Host, HostFile, WireGuardMesh

assert find_spec("components") is None
hosts = {
    name: Host(
        name,
        {
            "address": address,
            "site": "home",
            "mesh_address": mesh,
            "mesh_network": "10.9.0.0/24",
            "operators": ["198.51.100.0/24"],
        },
    )
    for name, address, mesh in (("a", "192.0.2.1", "10.9.0.1"), ("b", "192.0.2.2", "10.9.0.2"))
}
WireGuardMesh(
    "mesh",
    {
        "members": {name: host.member for name, host in hosts.items()},
        "hubs": ["a"],
        "flows": [{"source": "b", "destination": "a", "port": 5432, "open": True}],
        "mtu": 1380,
    },
)
HostFile("motd", {"host": hosts["a"].member, "path": "/etc/motd", "content": "Welcome\\n"})
"""


def test_a_program_of_another_project_uses_it(environment: Path, tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    # The language host takes the Python that is first on PATH.
    stack.environment["PATH"] = f"{environment / 'bin'}:{stack.environment['PATH']}"
    (stack.project / "__main__.py").write_text(_PROGRAM)
    log = stack.run("preview", "--json")
    steps = json.loads(log[log.index("{\n") :])["steps"]
    made = {step["urn"].split("::")[-1]: step["newState"] for step in steps}
    assert {made[name]["type"] for name in ("a", "b")} == {"fortress:index:Host"}
    assert made["mesh-b-mtu"]["inputs"]["stdin"].startswith("mtu = 1380\n")
    assert made["motd-push"]["inputs"]["stdin"].startswith("Welcome\n")
    # Scripts come along as data of the wheel.
    assert made["a-push"]["inputs"]["stdin"].startswith("#!/bin/sh")


def test_the_readme_shows_that_program() -> None:
    readme = (ROOT / "README.md").read_text()
    shown = readme.split("## Use the components")[1].split("```python\n")[1].split("```")[0]
    assert (
        shown.split()
        == _PROGRAM.split("import pulumi\n")[1]
        .replace('assert find_spec("components") is None\n', "")
        .replace("\\\\n", "\\n")
        .split()
    )
