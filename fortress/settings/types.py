"""Types used only in stack files."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from fortress.values import OneLine, Text, matching

PROJECT = "data-fortress"
"""Pulumi's namespace of the settings: a setting's path reads `data-fortress:mesh.mtu`."""


def _project_path(value: str) -> str | None:
    path = PurePosixPath(value)
    return None if path.is_absolute() or ".." in path.parts else value


Https = Annotated[
    str, matching(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", "an https URL without a query")
]
ProjectPath = Annotated[OneLine, Text("a path inside this project, such as examples/app/app.py", _project_path)]
