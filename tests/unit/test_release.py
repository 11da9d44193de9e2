"""What `make release` builds, the notes, and the workflows that call it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from release.notes import HEADING, notes
from tests.unit.repository import copy_checkout, git
from tests.unit.stack_file import ROOT

NOTES = "### Fixed\n\n- What `$HOME` was.\n"
PIP_WHEEL = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
CHANGELOG = (
    f"# Changelog\n\n## Unreleased\n\n- Next.\n\n## 9.9.9 - 2026-11-23\n\n{NOTES}\n## 9.9.8 - 2026-11-22\n\n- Old.\n"
)


# --- notes ------------------------------------------------------------------------------------------------------------


def test_notes_are_the_versions_section() -> None:
    assert notes(CHANGELOG, "9.9.9") == NOTES
    assert notes(CHANGELOG, "9.9.8") == "- Old.\n"


@pytest.mark.parametrize(
    "changelog",
    [
        CHANGELOG,
        CHANGELOG + "\n## 1.0.0 - 2026-11-01\n\n\n## 0.9.0 - 2026-10-01\n\n- More.\n",
        CHANGELOG + "\n## 1.0.0\n\n- No day.\n",
    ],
)
def test_a_version_without_notes_is_named(changelog: str) -> None:
    with pytest.raises(ValueError, match=r"has no text under a heading `## 1\.0\.0 - YYYY-MM-DD`"):
        notes(changelog, "1.0.0")


def test_the_changelog_has_what_is_next_and_then_each_version_from_the_newest() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    first, *released = re.findall("^## .*", text, re.MULTILINE)
    assert first == "## Unreleased"
    found = [HEADING.fullmatch(heading) for heading in released]
    assert None not in found, released
    versions = [tuple(int(part) for part in one["version"].split(".")) for one in found if one]
    assert versions == sorted(set(versions), reverse=True)


# --- the build --------------------------------------------------------------------------------------------------------


def release(folder: Path, *arguments: str, umask: str = "022") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", 'umask "$1"; shift; exec "$@"', "sh", umask, sys.executable, "-m", "release.build", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the tag v9.9.9, two that are no release, and changes since that must not get into one."""
    folder = copy_checkout(tmp_path_factory.mktemp("checkout"))
    git(folder, "tag", "v9.0.0")
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    git(folder, "commit", "--quiet", "--all", "--message", "Release 9.9.9")
    git(folder, "tag", "--annotate", "--message", "9.9.9", "v9.9.9")
    git(folder, "tag", "v9.9.8")
    (folder / "fortress" / "push.sh").write_text("changed since\n")
    git(folder, "commit", "--quiet", "--all", "--message", "Go on")
    (folder / "fortress" / "wireguard.py").write_text("not committed\n")
    return folder


@pytest.fixture(scope="module")
def dist(checkout: Path) -> Path:
    done = release(checkout, "v9.9.9")
    assert done.returncode == 0, done.stderr
    assert {Path(line).name for line in done.stdout.splitlines()} == names(checkout / "dist")
    return checkout / "dist"


def test_it_gives_these_files_and_their_sums(dist: Path) -> None:
    archives = {"data_fortress-9.9.9-py3-none-any.whl", "data_fortress-9.9.9.tar.gz"}
    wanted = {*archives, "schema.json", "stack.schema.json", "NOTES.md"}
    assert names(dist) == wanted | {"SHA256SUMS"}
    said = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=dist, check=True, capture_output=True, text=True)
    assert set(said.stdout.split(": OK\n")) - {""} == wanted
    assert (dist / "NOTES.md").read_text() == NOTES


def test_all_of_it_is_of_the_tag_and_its_version(dist: Path) -> None:
    with zipfile.ZipFile(dist / "data_fortress-9.9.9-py3-none-any.whl") as wheel:
        assert "\nVersion: 9.9.9\n" in wheel.read("data_fortress-9.9.9.dist-info/METADATA").decode()
        for name in ("push.sh", "wireguard.py"):
            assert wheel.read(f"fortress/{name}") == (ROOT / "fortress" / name).read_bytes()
    assert json.loads((dist / "schema.json").read_text()) == {
        **json.loads((ROOT / "package" / "schema.json").read_text()),
        "version": "9.9.9",
    }
    assert (dist / "stack.schema.json").read_bytes() == (ROOT / "docs" / "stack.schema.json").read_bytes()


def test_the_sources_build_the_same_wheel(dist: Path, checkout: Path, tmp_path: Path) -> None:
    subprocess.run(
        [*PIP_WHEEL, "--wheel-dir", tmp_path, dist / "data_fortress-9.9.9.tar.gz"],
        check=True,
        timeout=120,
        env={**os.environ, "SOURCE_DATE_EPOCH": git(checkout, "log", "-1", "--format=%ct", "v9.9.9")},
    )
    (built,) = tmp_path.iterdir()
    assert built.read_bytes() == (dist / built.name).read_bytes()


def test_later_and_elsewhere_it_gives_the_same_bytes(dist: Path, checkout: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(checkout), "elsewhere")
    done = release(tmp_path / "elsewhere", "v9.9.9", umask="077")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "elsewhere" / "dist" / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name the tag: make release TAG=v1.2.3"),
        (("9.9.9",), "a release's tag is vX.Y.Z, not '9.9.9'"),
        (("v9.9.9-rc1",), "a release's tag is vX.Y.Z, not 'v9.9.9-rc1'"),
        (("v8.0.0",), "there is no tag v8.0.0 here. Fix: git tag v8.0.0, or git fetch --tags"),
        (("v9.9.8",), "what was built is not 9.9.8: data_fortress-9.9.9-py3-none-any.whl, "),
        (("v9.0.0",), "has no text under a heading `## 9.0.0 - YYYY-MM-DD`, as of v9.0.0. Fix:"),
    ],
)
def test_what_cannot_be_released_is_said_and_changes_nothing(
    checkout: Path, dist: Path, arguments: tuple[str, ...], says: str
) -> None:
    before = (dist / "SHA256SUMS").read_text()
    done = release(checkout, *arguments)
    assert (dist / "SHA256SUMS").read_text() == before
    assert done.returncode == 1
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr


# --- the workflows ----------------------------------------------------------------------------------------------------

WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())


def workflow(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_do_little_and_run_what_was_looked_at(path: Path) -> None:
    flow = workflow(path.stem)
    assert flow["permissions"] == {}
    makefile = (ROOT / "Makefile").read_text()
    for job in flow["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "${{" not in step.get("run", ""), "no expression inside a script"
            for target in re.findall(r"make ([a-z-]+)", step.get("run", "")):
                assert f"\n{target}: " in makefile


def test_a_pushed_tag_and_nothing_else_makes_a_release() -> None:
    flow = workflow("release")
    assert flow[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}, "YAML reads `on` as true"
    (job,) = flow["jobs"].values()
    assert job["permissions"] == {"contents": "write"}
    assert job["steps"][0]["with"]["fetch-depth"] == 0, "the version comes from the tag"
    with_token = [step for step in job["steps"] if "token" in json.dumps(step.get("env", {})).lower()]
    assert [step["run"].split()[:3] for step in with_token] == [["gh", "release", "create"]]


def test_an_audit_reads_and_no_more() -> None:
    (job,) = workflow("audit")["jobs"].values()
    assert job["permissions"] == {"contents": "read"}
    assert job["steps"][-1] == {"run": "make audit"}


# --- the audit --------------------------------------------------------------------------------------------------------


def test_an_audit_that_cannot_ask_says_so_and_fails() -> None:
    done = subprocess.run(
        ["make", "-o", ".venv/ready", "audit"],
        cwd=ROOT,
        env={**os.environ, "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "audit: nothing was audited: no vulnerability data came from PyPI" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_audit_that_finds_something_fails_without_that_word(tmp_path: Path) -> None:
    """A pip-audit in its own words (2.10) in place of what PyPI knows today."""
    (tmp_path / "requirements-dev.txt").touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    found = "Found 1 known vulnerability in 1 package"
    for status, said in ((1, found), (0, "No known vulnerabilities found")):
        tool = tmp_path / ".venv" / "bin" / "pip-audit"
        tool.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")
        tool.chmod(0o755)
        done = subprocess.run(
            ["make", "-f", ROOT / "Makefile", "-o", ".venv/ready", "audit"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode != 0) == bool(status)
        assert said in done.stdout + done.stderr
        assert "nothing was audited" not in done.stderr


def test_an_audit_asks_about_every_pin() -> None:
    (command,) = re.findall(r"^\t@\$\(venv\)/pip-audit (.*) 2>", (ROOT / "Makefile").read_text(), re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--dry-run", *command.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    here = [
        line for line in (ROOT / "requirements-dev.txt").read_text().splitlines() if re.match(r"[a-z0-9._-]+==", line)
    ]
    elsewhere = [line for line in here if "sys_platform == 'win32'" in line]
    assert f"would have audited {len(here) - len(elsewhere)} packages" in done.stderr
