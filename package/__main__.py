"""The components for a program in any language: what `pulumi package add` starts, and asks for their schema."""

from __future__ import annotations

import json
import sys
from importlib.metadata import metadata, version
from typing import Any

import pulumi
import pulumi_fortress
from packaging.version import Version
from pulumi.provider import main
from pulumi.provider.experimental.analyzer import PropertyDefinition, PropertyType
from pulumi.provider.experimental.component import ComponentProvider

NAME = "fortress"
"""First part of each type's token."""
PYTHON = "fortress_package"
"""What Python programs import from the SDK that is generated for them; the wheel has `pulumi_fortress`."""


class Components(ComponentProvider):
    """The SDK's provider of components, and what it leaves out."""

    def __init__(self) -> None:
        found = [getattr(pulumi_fortress, name) for name in pulumi_fortress.__all__]
        components = [one for one in found if isinstance(one, type) and issubclass(one, pulumi.ComponentResource)]
        super().__init__(components, NAME, version=semantic(version("data-fortress")))
        schema = json.loads(self.schema or "")
        schema["language"]["python"]["packageName"] = PYTHON
        self.schema = json.dumps(schema | about())

    def map_input_properties(
        self,
        inputs: pulumi.Inputs,
        properties: dict[str, PropertyDefinition],
        mapping: dict[str, str],
        component_name: str,
        property_path: str,
    ) -> pulumi.Inputs:
        """The arguments as the components name them, whole numbers as such: they arrive as floats, or in an Output."""
        whole: dict[str, Any] = {
            name: value
            for name, value in inputs.items()
            if name in properties and properties[name].type is PropertyType.INTEGER and value is not None
        }
        # The SDK passes each of them to int(), which refuses an Output.
        known = {**inputs, **dict.fromkeys(whole, 0)}
        mapped = super().map_input_properties(known, properties, mapping, component_name, property_path)
        return {**mapped, **{mapping[name]: _whole(value) for name, value in whole.items()}}


def about() -> dict[str, Any]:
    """What the schema says of the project, as pyproject.toml has it."""
    wheel = metadata("data-fortress")
    urls = dict(line.split(", ", 1) for line in wheel.get_all("Project-URL", []))
    return {
        "description": wheel["Summary"],
        "homepage": urls["Homepage"],
        "keywords": [*wheel["Keywords"].split(","), "category/infrastructure", "kind/component"],
        "license": wheel["License-Expression"],
        # Where the engine finds a source package: its folder in the repository. `pulumi package add` of a repository
        # puts in the one that it was given.
        "pluginDownloadURL": f"git://{urls['Repository'].removeprefix('https://')}/package",
        "publisher": wheel["Author"],
        "repository": urls["Repository"],
    }


def _whole(value: Any) -> Any:
    return value.apply(int) if isinstance(value, pulumi.Output) else int(value)


def semantic(wheel: str) -> str:
    """The wheel's version as the engine reads one: 1.2.4.dev7+gabc is 1.2.4-dev.7+gabc."""
    found = Version(wheel)
    return (
        f"{found.major}.{found.minor}.{found.micro}"
        + ("" if found.dev is None else f"-dev.{found.dev}")
        + (f"+{found.local}" if found.local else "")
    )


if __name__ == "__main__":
    main(Components(), sys.argv[1:])
