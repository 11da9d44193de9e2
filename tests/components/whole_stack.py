"""The stack's own program under a double of the engine, with the settings of any stack file."""

from __future__ import annotations

import functools
import json
import os
import runpy
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fortress.settings.types import PROJECT
from program.load import load
from tests.components.engine import REMOTE, ssh_key
from tests.doubles.pulumi_mocks import Answers, Registration, Run, nothing_is_asked, run
from tests.keys import wireguard_key
from tests.unit.stack_file import ROOT

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
PASSWORD = "lab-password"
PRIVATE = (
    Ed25519PrivateKey.from_private_bytes(bytes(32))
    .private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    .decode()
)
"""A key that opens nothing."""
BACKED_UP = {
    "sites/vault": {"operator": "A Norwegian cloud", "country": "NO", "sovereign": True},
    "database/backup": {"site": "vault", "directory": "/srv/vault"},
    "sovereignty/data_sets/customers/backups_at": ["vault"],
}
"""Changes to a stack file by which its database is backed up."""


def config(settings: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """The settings as the engine hands them to a program."""
    plain = {key: json.dumps(value) for key, value in settings.items()}
    own = {f"{PROJECT}:{key}": value for key, value in {**plain, **secrets}.items()}
    return {"pulumi:disable-default-providers": '["aws", "openstack"]', **own}


def stdout(name: str) -> str:
    """What each command prints, as far as anything is made from it."""
    if name.endswith("-host-key"):
        return f"{ssh_key(len(name))}\n"
    if name.endswith("-facts"):
        return "8192\n"
    if name.startswith(("db-", "witness-")) and name.endswith("-authority"):
        return PEM
    return f"{wireguard_key(name.removesuffix('-key'))}\n"


def known_by(type_: str, name: str) -> str:
    """A site's login is called as the site is, and a group of it as a host may be."""
    if type_.startswith("pulumi:providers:"):
        return f"login {name}"
    return f"group {name}" if type_.endswith(":SecGroup") else name


def program() -> None:
    """The whole of it, with its state in a folder."""
    os.environ.setdefault("PULUMI_BACKEND_URL", "file:///var/lib/pulumi")
    runpy.run_path(str(ROOT / "__main__.py"))


def made_of(
    settings: Mapping[str, Any],
    *,
    preview: bool = False,
    standing: Collection[str] = (),
    secrets: Mapping[str, str] | None = None,
    answers: Answers = nothing_is_asked,
    has_come_up: bool | None = True,
) -> Run:
    """What the program makes of settings; `standing` as `pulumi_mocks.run` takes it."""
    hidden = {"database_password": PASSWORD, **(secrets or {})}
    return run(
        program,
        preview=preview,
        standing=standing,
        stdout=stdout,
        answers=answers,
        known_by=known_by,
        config=config(settings, hidden),
        secrets=[f"{PROJECT}:{name}" for name in hidden],
        has_come_up=has_come_up,
    )


@functools.lru_cache(maxsize=8)
def _made_once(settings: str, secrets: str, preview: bool) -> Run:
    return made_of(json.loads(settings), secrets=json.loads(secrets), preview=preview)


def made_once(settings: Mapping[str, Any], secrets: Mapping[str, str], preview: bool) -> Run:
    """The same, not made again for the next test that asks for it; without clouds."""
    return _made_once(json.dumps(settings), json.dumps(secrets), preview)


def stopped(
    settings: Mapping[str, Any],
    secrets: Mapping[str, str] | None = None,
    secret_names: Sequence[str] | None = None,
    *,
    preview: bool = False,
    project: Path = ROOT,
) -> list[str]:
    """The lines of the one block in which the program says what cannot stand; nothing has been registered then."""
    hidden = {"database_password": PASSWORD} if secrets is None else secrets
    names = [f"{PROJECT}:{name}" for name in (hidden if secret_names is None else secret_names)]
    done = Run()

    def program() -> None:
        load(pulumi.Config(PROJECT), project)

    with pytest.raises(pulumi.RunError) as refused:
        run(program, preview=preview, config=config(settings, hidden), secrets=names, done=done)
    assert not done.resources
    first, *rest = str(refused.value).split("\n")
    assert first == "invalid settings:"
    assert all(line.startswith("  ") for line in rest)
    return [line.removeprefix("  ") for line in rest]


def commands(done: Run) -> dict[str, Registration]:
    """All that is done on hosts."""
    return {name: found for name, found in done.resources.items() if found.type == REMOTE}


DATABASE = ("90-fortress.cnf", "account")
WORKER = ("credentials", "files", "healthy")
EDGE = ("files", "drained")
"""What serves, or changes what does; all else of a service only prepares for it, and waits for its host alone."""


def part_of_mesh(done: Run, host: str) -> set[str]:
    """Names of what a host has of the mesh."""
    return {name for name in done.children("mesh") if name.startswith(f"mesh-{host}-")}


def serving(worker: str = "") -> set[str]:
    """Names of what serves: on a worker, or on the database's and the edge's hosts."""
    if worker:
        return {f"app-{worker}-{part}" for part in WORKER}
    return {*(f"db-{part}" for part in DATABASE), *(f"edge-{part}" for part in EDGE)}
