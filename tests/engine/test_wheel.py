"""The wheel, built and installed into environments without this checkout, and a program there on the real engine.

An environment has what the wheel and its extras ask for and nothing else: what is missing there, users would miss.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterable
from email import message_from_bytes
from email.message import Message
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.engine.command_stack import Stack
from tests.unit.stack_file import ROOT

SOURCES = {"fortress": "fortress", "components": "pulumi_fortress"}
"""Folder of the checkout: its name in the wheel."""
CPU_S = 0.5
"""What importing the components may cost, in seconds of CPU, with compiled bytecode."""
OVER_PULUMI = 2.3
"""The same where the machine is so slow or busy that Pulumi's own packages take most of that: times theirs. Pydantic,
which checks arguments, takes half as much as they do."""


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
    wanted = [
        "pyproject.toml",
        "README.md",
        "LICENSE",
        *(f"{folder}/{path}" for folder in SOURCES for path in files(folder)),
    ]
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
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a virtual environment with the wheel and some extras, each once."""

    @cache
    def made(*extras: str) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        # What the wheel depends on is linked from our own environment, which saves its download.
        # pip, as every environment has it: the language host lists packages by it.
        for name in {"pip", *needed(metadata(wheel).get_all("Requires-Dist", []), extras)}:
            here = distribution(name)
            for entry in {file.parts[0] for file in here.files or []} - {"..", "__pycache__"}:
                if not (site / entry).exists():  # a namespace, which several share
                    (site / entry).symlink_to(Path(str(here.locate_file(entry))))
        pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
        run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", "--ignore-installed", wheel)
        return folder

    return made


def needed(requirements: Iterable[str], extras: Iterable[str] = ()) -> set[str]:
    """The distributions that these requirements bring, with those that they bring in turn."""
    found: set[str] = set()
    ahead = [(Requirement(line), frozenset(["", *extras])) for line in requirements]
    seen = set()
    while ahead:
        requirement, wanted = ahead.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in wanted):
            continue
        name, own = canonicalize_name(requirement.name), frozenset(["", *requirement.extras])
        if name == "data-fortress":
            ahead += [(Requirement(line), own) for line in requirements]
        elif (name, own) not in seen:
            found.add(name)
            ahead += [(Requirement(line), own) for line in distribution(name).requires or []]
        seen.add((name, own))
    return found


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_it_holds_every_file_of_both_packages_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == {f"{name}/{path}" for folder, name in SOURCES.items() for path in files(folder)}
    assert {"fortress/py.typed", "pulumi_fortress/py.typed", "fortress/push.sh"} <= found


def imported(files: Iterable[Path]) -> set[str]:
    """The distributions of others whose modules these files import, anywhere in them."""
    found: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    foreign = found - set(sys.stdlib_module_names) - set(SOURCES.values()) - set(SOURCES)
    where = packages_distributions()
    # Each pydantic brings the one pydantic-core that it takes.
    return {str(canonicalize_name(where[name][0])) for name in foreign} - {"pydantic-core"}


def test_it_and_its_extras_ask_for_all_that_is_imported_and_for_nothing_else(wheel: Path) -> None:
    asked: dict[str, set[str]] = {}
    for requirement in map(Requirement, metadata(wheel).get_all("Requires-Dist", [])):
        extra = str(requirement.marker).partition('extra == "')[2].rstrip('"')
        asked.setdefault(extra, set()).add(canonicalize_name(requirement.name))
        assert not any(part.operator in ("<", "<=", "==", "~=") for part in requirement.specifier), requirement
    every = {path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")}
    command = {path for path in every if path.is_relative_to(ROOT / "fortress" / "cli")}
    clouds = {"aws": {"pulumi-aws"}, "openstack": {"pulumi-openstack"}}
    alone = imported(every - command) - clouds["aws"] - clouds["openstack"]
    assert asked == {"": alone, "cli": imported(command) - alone, **clouds, "all": {"data-fortress"}}


def test_it_carries_its_licence(wheel: Path) -> None:
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


def test_its_page_on_a_package_index_is_the_readme(wheel: Path) -> None:
    assert metadata(wheel)["Description-Content-Type"] == "text/markdown"
    assert metadata(wheel).get_payload(decode=True) == (ROOT / "README.md").read_bytes()


def test_nothing_of_the_checkout_can_be_imported_there(environment: Callable[..., Path]) -> None:
    program = (
        "import importlib.util as u, json, fortress, pulumi_fortress;"
        "print(json.dumps([[fortress.__file__, pulumi_fortress.__file__],"
        "[n for n in ('components', 'program', 'lab', 'tests', 'examples') if u.find_spec(n)]]))"
    )
    (found, others) = json.loads(run(environment() / "bin" / "python", "-P", "-c", program))
    assert all(Path(path).is_relative_to(environment()) for path in found)
    assert others == []


def test_the_command_is_there_and_teaches(environment: Callable[..., Path]) -> None:
    assert "verify" in run(environment("cli") / "bin" / "fortress", "--help")


def test_the_command_names_the_extra_that_it_needs(environment: Callable[..., Path]) -> None:
    done = subprocess.run([environment() / "bin" / "fortress", "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fortress: typer is not installed; pip install 'data-fortress[cli]'\n"


@pytest.mark.parametrize("cloud", ["aws", "openstack"])
def test_a_machine_on_a_cloud_names_the_extra_that_it_needs(environment: Callable[..., Path], cloud: str) -> None:
    made = f"from pulumi_fortress import sdk; print(sdk.{cloud}.Provider.__module__)"
    done = subprocess.run([environment() / "bin" / "python", "-c", made], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"pulumi_{cloud} is not installed; pip install 'data-fortress[{cloud}]'\n" in done.stderr
    assert run(environment(cloud) / "bin" / "python", "-c", made) == f"pulumi_{cloud}.provider\n"


def test_all_is_every_extra(wheel: Path) -> None:
    lines = metadata(wheel).get_all("Requires-Dist", [])
    assert needed(lines, ["all"]) == needed(lines, ["cli", "aws", "openstack"])
    assert {"pulumi-aws", "paramiko"} <= needed(lines, ["all"]) - needed(lines)


def test_importing_the_components_is_cheap_and_loads_no_cloud(environment: Callable[..., Path]) -> None:
    python = environment("all") / "bin" / "python"
    loaded = run(python, "-c", "import sys, pulumi_fortress; print(*{name.split('.')[0] for name in sys.modules})")
    heavy = {"pulumi_aws", "pulumi_openstack", "paramiko", "cryptography", "typer", "rich"}
    assert {"pulumi", "pulumi_command"} <= set(loaded.split())
    assert not heavy & set(loaded.split())
    # One beside the other, since a busy machine makes both slower; the first time compiles.
    spent = [(cpu_s(python, "pulumi, pulumi_command"), cpu_s(python, "pulumi_fortress")) for _ in range(6)]
    pulumis, ours = (min(column) for column in zip(*spent, strict=True))
    print(f"import pulumi_fortress: {ours:.2f} s of CPU; pulumi and pulumi_command alone: {pulumis:.2f} s")
    assert ours <= max(CPU_S, OVER_PULUMI * pulumis)


def cpu_s(python: Path, modules: str) -> float:
    """Seconds of CPU that a fresh interpreter takes to import them, its own start included."""
    return float(run(python, "-c", f"import {modules}, time; print(time.process_time())"))


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


def test_a_program_of_another_project_uses_it_without_extras(environment: Callable[..., Path], tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    # The language host takes the Python that is first on PATH.
    stack.environment["PATH"] = f"{environment() / 'bin'}:{stack.environment['PATH']}"
    (stack.project / "__main__.py").write_text(_PROGRAM)
    log = stack.run("preview", "--json")
    steps = json.loads(log[log.index("{\n") :])["steps"]
    made = {step["urn"].split("::")[-1]: step["newState"] for step in steps}
    assert {made[name]["type"] for name in ("a", "b")} == {"fortress:index:Host"}
    assert "\nmtu = 1380\n" in made["mesh-a-files"]["inputs"]["stdin"]
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
