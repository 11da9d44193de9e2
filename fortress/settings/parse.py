"""From a stack file's values to checked settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fortress import explain
from fortress.explain import shown
from fortress.settings.model import Settings
from fortress.settings.secrets import SECRETS
from fortress.settings.types import PROJECT
from fortress.values import is_public_key

STACK_FILE = explain.Place(
    f"{PROJECT}:", noun="setting", missing="missing; add it to the stack file", others=tuple(SECRETS)
)


class SettingsError(ValueError):
    """Invalid settings; the text has one line per problem: path, value, what is wrong and how to fix it."""


def parse(values: Mapping[str, Any], project: Path) -> Settings:
    """Check a stack's settings as they stand under `config:`, without the `data-fortress:` prefix.

    `project` is the folder that paths in settings start from. Raises `SettingsError`.
    """
    try:
        settings = Settings.model_validate(dict(values))
    except ValidationError as bad:
        raise SettingsError("\n".join(explain.lines(bad, Settings, STACK_FILE))) from None
    problems = list(_file_problems(settings, project))
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _file_problems(settings: Settings, project: Path) -> Iterable[str]:
    paths: dict[tuple[str, ...], str] = {
        ("workload", "files", there): here for there, here in settings.workload.files.items()
    }
    if settings.edge.certificate:
        paths["edge", "certificate", "file"] = settings.edge.certificate.file
    keys: dict[tuple[str, ...], str] = {}
    for name, site in settings.sites.items():
        cloud = site.openstack or site.aws
        if cloud and cloud.key_pair.public_key:
            kind = "openstack" if site.openstack else "aws"
            keys["sites", name, kind, "key_pair", "public_key"] = cloud.key_pair.public_key
    for setting, path in {**paths, **keys}.items():
        if not (project / path).is_file():
            yield STACK_FILE.line(
                setting, f"{shown(path)} is not a file in this project; paths are relative to the folder of Pulumi.yaml"
            )
            continue
        try:
            text = (project / path).read_text(encoding="utf-8")
        except ValueError:
            text = ""
            if setting not in keys and setting[0] != "workload":
                yield STACK_FILE.line(setting, f"{shown(path)} is not UTF-8 text")
        if setting in keys and not _is_key_file(text):
            yield STACK_FILE.line(
                setting, f"{shown(path)} is not an SSH public key; use the .pub file that `ssh-keygen` made"
            )


def _is_key_file(text: str) -> bool:
    """One line of type, key, and a comment that may be missing."""
    return len(text.strip().splitlines()) == 1 and is_public_key(" ".join(text.split()[:2]))
