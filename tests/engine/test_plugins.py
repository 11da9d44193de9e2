"""Which provider plugins lab/plugin.sh has the engine take from the stand-ins."""

from __future__ import annotations

import os
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.engine.command_stack import DOUBLES, ROOT


def offered(home: str) -> set[str]:
    """The stand-ins in the PULUMI_HOME that was named, where the engine looks for the versions of the SDKs."""
    found = set()
    for link in Path(home.strip()).glob("plugins/*/*") if home else ():
        plugin = link.name.removeprefix("pulumi-resource-")
        assert link.parent.name == f"resource-{plugin}-v{version(f'pulumi-{plugin}')}"
        assert link.exists()
        if link.resolve().parent == DOUBLES:
            found.add(plugin)
    return found


def choose(folder: Path, path: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PULUMI_HOME": str(folder / "home"), "PATH": path}
    command = [ROOT / "lab" / "plugin.sh", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def put(folder: Path, plugin: str) -> None:
    """Puts a plugin there that is none of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    real = folder / f"pulumi-resource-{plugin}"
    real.write_text("#!/bin/sh\n")
    real.chmod(0o755)


@pytest.mark.parametrize("place", ["path", "cache"])
def test_the_real_plugin_is_preferred(place: str, tmp_path: Path) -> None:
    put(tmp_path / ("bin" if place == "path" else "home/plugins/resource-command-v1.2.1"), "command")
    chosen = choose(tmp_path, f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert offered(chosen.stdout) == {"openstack", "aws"}
    assert ("PATH" if place == "path" else "cache") in chosen.stderr.splitlines()[0]


def test_real_plugins_of_clouds_are_taken_from_path_only(tmp_path: Path) -> None:
    for plugin in ("command", "openstack"):
        put(tmp_path / "bin", plugin)
    put(tmp_path / "home/plugins/resource-aws-v7.51.1", "aws")
    chosen = choose(tmp_path, f"{tmp_path / 'bin'}:{DOUBLES}:/usr/bin:/bin")
    assert offered(chosen.stdout) == {"aws"}
    put(tmp_path / "bin", "aws")
    assert choose(tmp_path, f"{tmp_path / 'bin'}:/usr/bin:/bin").stdout == ""


def test_the_stand_in_is_chosen_only_where_the_engine_cannot_download(tmp_path: Path) -> None:
    begun = time.monotonic()
    chosen = choose(tmp_path, f"{DOUBLES}:/usr/bin:/bin")
    assert time.monotonic() - begun < 15
    downloaded = (tmp_path / "home/plugins/resource-command-v1.2.1/pulumi-resource-command").exists()
    assert offered(chosen.stdout) == {"openstack", "aws"} | (set() if downloaded else {"command"})
    assert ("downloaded" if downloaded else "stand-in") in chosen.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("stack", "clouds"), [("lab", set()), ("oslo", {"openstack", "aws"}), ("none", {"openstack", "aws"})]
)
def test_only_plugins_that_the_stack_uses_are_offered_and_spoken_of(
    stack: str, clouds: set[str], tmp_path: Path
) -> None:
    put(tmp_path / "bin", "command")
    chosen = choose(tmp_path, f"{tmp_path / 'bin'}:/usr/bin:/bin", ROOT / f"Pulumi.{stack}.yaml")
    assert offered(chosen.stdout) == clouds
    assert {cloud for cloud in ("openstack", "aws") if cloud in chosen.stderr} == clouds
