"""From a stack file's values to checked settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fortress.settings.explain import explain, setting_path, shown
from fortress.settings.model import Settings
from fortress.settings.types import is_public_key


class SettingsError(ValueError):
    """Settings that cannot stand; the text has one line a problem: path, value, what is wrong and the cure."""


def parse(values: Mapping[str, Any], project: Path) -> Settings:
    """Check a stack's settings as they stand under `config:`, without the `data-fortress:` prefix.

    `project` is the folder that paths in settings start from. Raises `SettingsError`.
    """
    try:
        settings = Settings.model_validate(dict(values))
    except ValidationError as bad:
        lines = [line for error in bad.errors() for line in explain(dict(error), Settings)]
        raise SettingsError("\n".join(lines)) from None
    problems = list(_file_problems(settings, project))
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _file_problems(settings: Settings, project: Path) -> Iterable[str]:
    paths = {setting_path(("workload", "files", there)): here for there, here in settings.workload.files.items()}
    if settings.edge.certificate:
        paths[setting_path(("edge", "certificate", "file"))] = settings.edge.certificate.file
    keys = {}
    for name, site in settings.sites.items():
        cloud = site.openstack or site.aws
        if cloud and cloud.key_pair.public_key:
            kind = "openstack" if site.openstack else "aws"
            keys[setting_path(("sites", name, kind, "key_pair", "public_key"))] = cloud.key_pair.public_key
    for setting, path in {**paths, **keys}.items():
        if not (project / path).is_file():
            yield f"{setting}: {shown(path)} is no file in this project; paths start at the folder of Pulumi.yaml"
            continue
        try:
            text = (project / path).read_text(encoding="utf-8")
        except ValueError:
            text = ""
            if setting not in keys:
                yield f"{setting}: {shown(path)} is no text in UTF-8; push other files by a package"
        if setting in keys and not _is_key_file(text):
            yield f"{setting}: {shown(path)} is no SSH public key; take the .pub file that `ssh-keygen` made"


def _is_key_file(text: str) -> bool:
    """One line of type, key, and a comment that may be missing."""
    return len(text.strip().splitlines()) == 1 and is_public_key(" ".join(text.split()[:2]))
