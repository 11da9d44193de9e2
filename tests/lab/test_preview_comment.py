"""`fortress preview` of the fortress that stands: what a reviewer reads of the changes that are made most."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import api
from tests.engine.previews import masked
from tests.lab.fortress import ROOT, Fortress, Settings
from tests.unit.golden import check_golden

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="module")
def surroundings() -> list[str]:
    """What the engine needs to be found with, as lab/pulumi.sh has it."""
    plugin = subprocess.run([str(ROOT / "lab/plugin.sh")], capture_output=True, text=True, check=True).stdout.strip()
    given = [f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}", f"VIRTUAL_ENV={ROOT / '.venv'}"]
    offered = [f"PULUMI_HOME={plugin}", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true"] if plugin else []
    return [*given, *offered]


def comment(fortress: Fortress, surroundings: list[str]) -> str:
    """The comment, without what the engine says of its plugins."""
    done = api.in_operator(
        ["env", "-C", str(fortress.project), *surroundings, "fortress", "preview", "--stack", fortress.stack],
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.sub(r"\n<details><summary>Other engine output.*?</details>\n", "", masked(done.stdout), flags=re.S)


@contextmanager
def stated(fortress: Fortress, **settings: Any) -> Iterator[None]:
    """Other settings for a preview: nothing is brought up, so there is nothing to take back but the file."""

    def merge(own: Settings) -> None:
        for name, values in settings.items():
            own[name] = {**own[name], **values}

    try:
        fortress.change(merge)
        yield
    finally:
        fortress.file.write_text(fortress.original)


def test_nothing_changed(fortress: Fortress, surroundings: list[str]) -> None:
    check_golden("preview-nothing.md", comment(fortress, surroundings), GOLDENS)


def test_another_mtu_is_a_line_on_each_host_and_no_restart(fortress: Fortress, surroundings: list[str]) -> None:
    with stated(fortress, mesh={"mtu": 1340}):
        check_golden("preview-mtu.md", comment(fortress, surroundings), GOLDENS)


def test_a_worker_more_shows_at_the_edge_and_the_database_too(fortress: Fortress, surroundings: list[str]) -> None:
    worker = {"site": "frankfurt", "role": "worker", "slot": 6, "address": "203.0.113.23", "memory_mb": 512}
    with stated(fortress, hosts={"fra-3": worker}):
        said = comment(fortress, surroundings)
    on = dict(re.findall(r"^#### `(\S+)`\n(.*?)(?=^####|\n<details><summary>Full|\Z)", said, flags=re.M | re.S))
    assert set(on) == {"fra-3", "oslo-db", "oslo-edge"}
    assert "+[unknown]" in on["oslo-db"], "the key of a host that does not exist yet"
    for host in ("oslo-db", "oslo-edge"):
        check_golden(f"preview-worker-{host}.md", on[host], GOLDENS)
    # The new host's own files are all folded, and change with each template.
    shown = re.sub(r"<details>.*?</details>\n", "", on["fra-3"], flags=re.S)
    check_golden("preview-worker-fra-3.md", shown, GOLDENS)
