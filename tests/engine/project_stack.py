"""The project as it stands in a folder of its own, with a stack of it for the real engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from fortress.settings.types import PROJECT
from tests.engine.command_stack import Stack
from tests.unit.stack_file import ROOT

CREDENTIALS = {
    "OS_USERNAME": "fortress",
    "OS_PASSWORD": "lab",
    "OS_PROJECT_NAME": "fortress",
    "AWS_ACCESS_KEY_ID": "fortress",
    "AWS_SECRET_ACCESS_KEY": "lab",
}
"""That the stand-ins for the clouds let in."""


class ProjectStack(Stack):
    """A stack of the project on a backend of its own, whose clouds are empty.

    `clouds` is where the stand-ins keep what they have; `asked` appears once a host was asked for its key.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.clouds = folder / "clouds"
        self.asked = folder / "asked"
        tools = folder / "tools"
        tools.mkdir(parents=True)
        for tool in ("ssh-keyscan", "ssh"):
            (tools / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>{self.asked}\nexit 1\n')
            (tools / tool).chmod(0o755)
        super().__init__(folder, name, PULUMI_CONFIG_PASSPHRASE="lab", FORTRESS_CLOUDS=str(self.clouds), **CREDENTIALS)
        self.environment["PATH"] = f"{tools}:{self.environment['PATH']}"

    def files(self) -> None:
        """The project itself."""
        for file in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / file, self.project)
        for part in (".venv", "program", "components", "fortress", "examples"):
            (self.project / part).symlink_to(ROOT / part)
        self.file = self.project / f"Pulumi.{self.name}.yaml"
        self.as_it_stands()

    def as_it_stands(self) -> None:
        """The stack file of the project, as it is."""
        shutil.copy(ROOT / self.file.name, self.file)

    def settings(self, values: dict[str, Any]) -> None:
        """The stack file of the project with these settings instead of its own; its secrets stay."""
        text = yaml.safe_load((ROOT / self.file.name).read_text())
        text["config"] |= {f"{PROJECT}:{key}": value for key, value in values.items()}
        self.file.write_text(yaml.safe_dump(text, allow_unicode=True))

    def planned(self) -> list[dict[str, Any]]:
        """The steps that a preview finds."""
        log = self.run("preview", "--json")
        steps: list[dict[str, Any]] = json.loads(log[log.index("{\n") :])["steps"]
        return steps
