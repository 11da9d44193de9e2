"""The `fortress` command's verbs on the fortress of the tests, and what they answer."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from lab import api
from tests.lab.fortress import ROOT, Fortress

WORD = "hunter2-put-there-by-hand"
"""What tests write by hand where secrets are kept: `drift` never shows it."""


def command(fortress: Fortress, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The fortress command with the engine's plugins, as lab/fortress.sh gives them."""
    return subprocess.run(
        [str(ROOT / "lab/fortress.sh"), *arguments, "--stack", fortress.stack],
        env={**os.environ, **api.environment(), "LAB_PROJECT": str(fortress.project)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def drift(fortress: Fortress, status: int, *options: str) -> dict[str, Any]:
    """The answer of `fortress drift --json`."""
    done = command(fortress, "drift", "--json", *options)
    assert done.returncode == status, done.stdout + done.stderr
    assert WORD not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wrong(found: dict[str, Any]) -> dict[tuple[str, str], str]:
    """By host and name, the value of each check of `drift` that does not hold."""
    return {(check["host"], check["name"]): check["value"] for check in found["checks"] if check["status"] != "ok"}


def asked(fortress: Fortress, *words: str) -> dict[str, Any]:
    """What a verb says as JSON; it must go well."""
    done = fortress.command(*words, "--stack", fortress.stack, "--json", timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
