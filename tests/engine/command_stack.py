"""A small Pulumi project in a folder, run by the real engine with the stand-in for the command plugin on PATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOUBLES = ROOT / "tests" / "doubles" / "bin"
_LIMIT = 180  # seconds for one run of the engine

ENDS_WITH_ITS_HOST = """
import os
import threading
import time


def leave_with(host):
    while os.getppid() == host:
        time.sleep(0.1)
    os._exit(1)


# the language host built from modules leaves us waiting when an update failed, and the engine for us, 5 s each time
threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
"""
"""What a program of a test begins with."""

_PROGRAM = (
    ENDS_WITH_ITS_HOST
    + """
import json
from pathlib import Path

import pulumi
import pulumi_command as command

made = {}


def value(given):
    if isinstance(given, list):
        return [value(item) for item in given]
    if not isinstance(given, dict):
        return given
    if "$secret" in given:
        return pulumi.Output.secret(given["$secret"])
    if "$output" in given:
        name, output = given["$output"].split(".")
        return getattr(made[name], output)
    return {key: value(item) for key, item in given.items()}


for resource in json.loads(Path("resources.json").read_text()):
    kind = {"remote": command.remote.Command, "local": command.local.Command}[resource["kind"]]
    options = pulumi.ResourceOptions(**resource["options"])
    made[resource["name"]] = kind(resource["name"], opts=options, **value(resource["args"]))
"""
)


def secret(text: str) -> dict[str, object]:
    """An argument that the program makes a secret."""
    return {"$secret": text}


def output(of: str) -> dict[str, object]:
    """An argument that is the output `resource.name` of an earlier resource."""
    return {"$output": of}


@dataclass(frozen=True)
class Command:
    """One command resource of the program; arguments as the Python SDK names them."""

    name: str
    kind: str
    args: Mapping[str, object]
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A run of the engine, ended or not."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def wait(self) -> int:
        """Its exit status, once it has ended; it must in three minutes."""
        try:
            return self.process.wait(timeout=_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the engine did not end:\n{self.text()}") from None


class Stack:
    """A stack of its own on a file backend of its own; nothing of the caller's home or agent reaches it."""

    def __init__(self, folder: Path, name: str = "dev", **environment: str) -> None:
        self._runs = 0
        self.name = name
        self.project = folder / "project"
        self.backend = folder / "backend"
        self.home = folder / "home"
        for made in (self.project, self.backend, self.home):
            made.mkdir(parents=True)
        engine = Path(sys.executable).parent
        assert (engine / "pulumi").exists(), f"no pulumi in {engine}. Fix: make setup"
        self.environment = {
            "PATH": f"{engine}:{DOUBLES}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "PULUMI_HOME": str(self.home / "pulumi"),
            "PULUMI_BACKEND_URL": self.backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "not a secret",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **environment,
        }
        self.files()
        self.run("stack", "init", name)

    def files(self) -> None:
        """Puts the project's own files."""
        (self.project / "Pulumi.yaml").write_text("name: double\nruntime: python\n")
        (self.project / "__main__.py").write_text(_PROGRAM)

    def program(self, *resources: Command) -> None:
        """Sets what the program makes."""
        stated = [
            {"name": item.name, "kind": item.kind, "args": dict(item.args), "options": dict(item.options)}
            for item in resources
        ]
        (self.project / "resources.json").write_text(json.dumps(stated))

    def start(self, *arguments: str) -> Running:
        """Starts the engine in the project."""
        self._runs += 1
        log = self.home / f"run-{self._runs}"
        # a file, not a pipe: what the engine leaves behind may hold our output open
        with log.open("wb") as sink:
            process = subprocess.Popen(
                ["pulumi", "--non-interactive", *arguments],
                executable=str(Path(sys.executable).parent / "pulumi"),
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        return Running(process, log)

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Runs the engine and checks that it ends well, or, where it should fail, that it fails; what it printed."""
        running = self.start(*arguments)
        code = running.wait()
        assert (code != 0) is fails, f"pulumi {' '.join(arguments)}: {code}\n{running.text()}"
        return running.text()

    def up(self, *arguments: str, fails: bool = False) -> str:
        """Updates without a preview first; what it printed."""
        return self.run("up", "--yes", "--skip-preview", *arguments, fails=fails)

    def preview(self, *arguments: str, fails: bool = False) -> str:
        """Previews with the changed lines; what it printed."""
        return self.run("preview", "--diff", *arguments, fails=fails)

    def destroy(self) -> str:
        """Destroys without a preview first; what it printed."""
        return self.run("destroy", "--yes", "--skip-preview")

    def resources(self) -> list[dict[str, Any]]:
        """What stands, as `pulumi stack export` has it, read where the engine keeps it: a process less."""
        (file,) = self.backend.glob(f".pulumi/stacks/*/{self.name}.json")
        found: list[dict[str, Any]] = json.loads(file.read_text())["checkpoint"]["latest"].get("resources", [])
        return found

    def resource(self, name: str) -> dict[str, object]:
        """A command resource as the state holds it: `id`, `inputs`, `outputs`."""
        found = [item for item in self._resources() if str(item["urn"]).endswith(f"::{name}")]
        assert len(found) == 1, f"{name} stands {len(found)} times in the state"
        return found[0]

    def outputs(self, name: str) -> dict[str, object]:
        """The outputs of a command resource in the state."""
        outputs = self.resource(name)["outputs"]
        assert isinstance(outputs, dict)
        return outputs

    def _resources(self) -> Sequence[dict[str, object]]:
        return [item for item in self.resources() if item["type"].startswith("command:")]
