"""The settings and secrets of a stack, checked before anything is made."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import config as runtime_config

from fortress.settings.model import Settings
from fortress.settings.parse import SettingsError, parse
from fortress.settings.secrets import SECRETS
from fortress.settings.types import PROJECT
from program import secret_texts
from program.clouds import credential_problems
from program.refusal import refusal
from program.secret_texts import set_secret


@dataclass(frozen=True)
class Secrets:
    """The secret settings. Each is a leaf of its own, so that nothing else becomes unreadable in previews."""

    project: Path
    database_password: pulumi.Output[str]
    ssh_private_key: pulumi.Output[str] | None
    edge_tls_key: pulumi.Output[str] | None
    database_volume_key: pulumi.Output[str] | None
    database_replication_password: pulumi.Output[str] | None = None
    backup_password: pulumi.Output[str] | None = None
    backup_sftp_key: pulumi.Output[str] | None = None
    backup_s3_secret_access_key: pulumi.Output[str] | None = None
    database_account_passwords: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    """By account."""


def load(config: pulumi.Config, project: Path) -> tuple[Settings, Secrets]:
    """Read and check everything that the stack file says.

    Raises `pulumi.RunError`, which the engine prints as it stands, before anything is made.
    """
    prefix = f"{PROJECT}:"
    given = {key.removeprefix(prefix): value for key, value in _all_settings().items() if key.startswith(prefix)}
    problems = list(_secret_problems(given))
    try:
        checked = parse({key: _parsed(value) for key, value in given.items() if key not in SECRETS}, project)
    except SettingsError as bad:
        problems += str(bad).split("\n")
    else:
        together = [*secret_texts.problems_together(given, checked, project), *credential_problems(checked, given)]
        problems += [f"{prefix}{line}" for line in together]
    problems += [f"{prefix}{line}" for line in secret_texts.problems(given)]
    problems += _agent_problems("ssh_private_key" in given)
    if problems:
        raise refusal("invalid settings:", problems)
    return checked, Secrets(
        project,
        config.require_secret("database_password"),
        config.get_secret("ssh_private_key"),
        config.get_secret("edge_tls_key"),
        config.get_secret("database_volume_key"),
        config.get_secret("database_replication_password"),
        config.get_secret("backup_password"),
        config.get_secret("backup_sftp_key"),
        config.get_secret("backup_s3_secret_access_key"),
        _each_secret(config, "database_account_passwords", checked.database.accounts),
    )


def _each_secret(config: pulumi.Config, key: str, names: Iterable[str]) -> dict[str, pulumi.Output[str]]:
    """The secrets of a mapping, each a leaf of its own."""
    together = config.get_secret_object(key)
    return {name: together.apply(itemgetter(name)) for name in names} if together else {}


def _all_settings() -> Mapping[str, str]:
    return dict(runtime_config.CONFIG.get())


def _secret_problems(given: Iterable[str]) -> Iterable[str]:
    """Every secret setting is encrypted, and no other one is."""
    if "database_password" not in given:
        yield f"{PROJECT}:database_password: missing; {set_secret('database_password')}"
    for key in given:
        secret = runtime_config.is_config_secret(f"{PROJECT}:{key}")
        if key in SECRETS and not secret:
            yield f"{PROJECT}:{key}: is stored in plain text in the stack file; {set_secret(key)}"
        if key not in SECRETS and secret:
            yield (
                f"{PROJECT}:{key}: is encrypted, which would make everything derived from it unreadable in previews; "
                f"only these settings may be secret: {', '.join(SECRETS)}"
            )


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _agent_problems(key_given: bool) -> list[str]:
    """A dead agent fails every command, even with a key given, so it is found here. A preview alone needs none."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if path:
        with socket.socket(socket.AF_UNIX) as agent:
            try:
                agent.connect(path)
            except OSError as bad:
                cure = "start one with `eval $(ssh-agent)` and `ssh-add`, or unset SSH_AUTH_SOCK"
                return [f"SSH_AUTH_SOCK: {path}: the SSH agent does not answer ({bad.strerror or bad}); {cure}"]
    elif not key_given and not pulumi.runtime.is_dry_run():
        return [
            "SSH_AUTH_SOCK: no SSH agent, and no secret setting ssh_private_key; start an agent with "
            f"`eval $(ssh-agent)` and `ssh-add`, or `pulumi config set --secret {PROJECT}:ssh_private_key`"
        ]
    return []
