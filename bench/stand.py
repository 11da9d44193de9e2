"""The fortress that is measured: the project's own program and settings, on a lab of the bench's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fortress.settings.types import PROJECT
from lab import api

ROOT = Path(__file__).parents[1]
LAB = "bench"
"""The lab where FORTRESS_LAB names no other one."""
STACK = "lab"
UP = ("up", "--yes", "--skip-preview", "--suppress-outputs")
_LIMIT = 900
"""Seconds for one command."""

_PREFIX = f"{PROJECT}:"
Settings = dict[str, Any]


class BenchError(Exception):
    """Something could not be measured; the text says why."""


@dataclass(frozen=True)
class Ran:
    """A command that ended well."""

    said: str
    seconds: float


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command of this machine in the operator's namespace, and time it.

    Raises:
        BenchError: it failed; the message ends in what it said.
    """
    began = time.monotonic()
    words = ["env", *(f"{name}={value}" for name, value in (environment or {}).items()), *command]
    done = api.in_operator(words, timeout=_LIMIT)
    seconds = time.monotonic() - began
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        raise BenchError(f"`{' '.join(command)}` ended with {done.returncode}:\n{said}")
    return Ran(done.stdout + done.stderr, seconds)


def on(host: str, command: str) -> str:
    """What a shell command prints on a host, run there as root and not through the network.

    Raises:
        BenchError: it failed.
    """
    done = api.console(host, command)
    if done.returncode:
        raise BenchError(f"{host}: `{command}` ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def settings(file: Path) -> Settings:
    """The settings of a stack file by name, without the project's prefix."""
    config = yaml.safe_load(file.read_text())["config"]
    return {key.removeprefix(_PREFIX): value for key, value in config.items()}


class Project:
    """A stack of the lab in a folder of its own, whose settings may be changed; no wrapper stands before the engine."""

    def __init__(self, folder: Path, engine: Mapping[str, str], stack: str = STACK) -> None:
        self.folder = folder
        self.stack = stack
        self._engine = dict(engine)
        for name in ("__main__.py", "Pulumi.yaml", ".venv", "program", "components", "fortress"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "examples/app", folder / "examples/app")
        shutil.copy(ROOT / f"Pulumi.{stack}.yaml", folder)

    @property
    def app(self) -> Path:
        """The file that the workers run."""
        return self.folder / "examples/app/app.py"

    @property
    def file(self) -> Path:
        """The stack file."""
        return self.folder / f"Pulumi.{self.stack}.yaml"

    @property
    def settings(self) -> Settings:
        """Its settings by name, without the project's prefix."""
        return settings(self.file)

    def change(self, mutate: Callable[[Settings], object]) -> None:
        """Change settings: `mutate` is given them by name."""
        stack, changed = yaml.safe_load(self.file.read_text()), self.settings
        mutate(changed)
        stack["config"] = {f"{_PREFIX}{key}": value for key, value in changed.items()}
        self.file.write_text(yaml.safe_dump(stack, sort_keys=False))

    def pulumi(self, *arguments: str) -> Ran:
        """Run the engine on the stack.

        Raises:
            BenchError: it failed.
        """
        words = ["pulumi", "--non-interactive", *arguments, "--stack", self.stack]
        return run(["env", "-C", str(self.folder), *words], self._engine)

    def fortress(self, *arguments: str) -> Ran:
        """Run the fortress command.

        Raises:
            BenchError: it failed.
        """
        return run(["env", "-C", str(self.folder), "fortress", *arguments], self._engine)

    def state(self) -> list[dict[str, Any]]:
        """What stands, with its secrets, as the engine exports it."""
        said = self.pulumi("stack", "export", "--show-secrets").said
        found: list[dict[str, Any]] = json.loads(said[said.index("{") :])["deployment"]["resources"]
        return found


def engine(stack: str = STACK) -> tuple[dict[str, str], str]:
    """The variables with which the engine finds itself and a stack's plugins, and which command plugin that is."""
    found = subprocess.run(
        [str(ROOT / "lab/plugin.sh"), str(ROOT / f"Pulumi.{stack}.yaml")], capture_output=True, text=True, check=True
    )
    tools, plugins = str(Path(sys.executable).parent), found.stdout.strip()
    variables = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(ROOT / ".venv"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    if plugins:
        variables["PULUMI_HOME"] = plugins
        variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return variables, "the stand-in of tests/doubles, in Python" if plugins else "the real one"


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one part, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="fortress-bench-") as found:
        yield Path(found)


def fresh() -> None:
    """The lab as it is on the first day: bare hosts, and an engine that knows of no stack."""
    api.down()
    api.up()


@contextmanager
def project(*, bare: bool = False) -> Iterator[Project]:
    """The project on fresh hosts; with its stack up unless `bare`. The lab is taken down afterwards."""
    try:
        fresh()
        with folder() as found:
            made = Project(found, engine()[0])
            made.pulumi("stack", "init", "--no-select")
            if not bare:
                made.pulumi(*UP)
            yield made
    finally:
        api.down()


@contextmanager
def alone() -> Iterator[Path]:
    """A folder for what needs the operator's place and no host."""
    try:
        api.down()
        api.up([])
        with folder() as found:
            yield found
    finally:
        api.down()


def taken() -> bool:
    """Whether the lab that would be used and removed is somebody's already."""
    return api.current().folder.exists()


def salt() -> str:
    """With which the lab's stack file is encrypted."""
    found: str = yaml.safe_load((ROOT / f"Pulumi.{STACK}.yaml").read_text())["encryptionsalt"]
    return found
