"""The commands of docs/production.md that need no cloud: those that make a stack file of one's own from the example."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from docs import reference
from tests.unit.documents import ROOT, blocks

SECRETS = ("data-fortress:database_password", "data-fortress:openstack_application_credential_secret")


def test_a_stack_file_of_ones_own(tmp_path: Path) -> None:
    (block,) = (found for found in blocks(ROOT / "docs/production.md") if "pulumi stack init prod" in found.text)
    for name in ("Pulumi.yaml", "Pulumi.oslo.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "state").mkdir()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path),
            "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "one's own",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        },
        input="the credential's secret\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    example, own = (_stack(path) for path in (ROOT / "Pulumi.oslo.yaml", tmp_path / "Pulumi.prod.yaml"))
    assert own["encryptionsalt"] != example["encryptionsalt"]
    password = [stack["config"].pop(SECRETS[0])["secure"] for stack in (example, own)]
    assert password[0] != password[1]
    assert set(own["config"].pop(SECRETS[1])) == {"secure"}
    # All that is not secret is as in the example, and an editor still finds the schema.
    assert own["config"] == example["config"]
    text = (tmp_path / "Pulumi.prod.yaml").read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=docs/stack.schema.json"
    jsonschema.Draft7Validator(reference.stack_schema()).validate(_stack(tmp_path / "Pulumi.prod.yaml"))


def _stack(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found
