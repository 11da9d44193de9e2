"""The version: from git's tags, and never a reason for a build to fail."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.repository import git
from tests.unit.stack_file import ROOT


def version(folder: Path) -> str:
    """What a build there would call itself."""
    return subprocess.run(
        [sys.executable, "-m", "setuptools_scm"], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one commit, of what the version is made from."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("pyproject.toml", ".git_archival.txt", ".gitattributes"):
        shutil.copy(ROOT / name, folder)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "First")
    return folder


def test_at_a_tag_it_is_the_tag_and_after_it_the_next_ones_development(project: Path) -> None:
    assert version(project).startswith("0.0.1.dev1+g")
    git(project, "tag", "v1.2.3")
    git(project, "tag", "data-2026.11")
    assert version(project) == "1.2.3"
    git(project, "commit", "--quiet", "--allow-empty", "--message", "Second")
    assert version(project).startswith("1.2.4.dev1+g")


def test_a_clone_that_lacks_the_tags_has_one(project: Path, tmp_path: Path) -> None:
    git(project, "tag", "v1.2.3")
    git(project, "commit", "--quiet", "--allow-empty", "--message", "Second")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "shallow")
    assert version(tmp_path / "shallow").startswith("0.0.1.dev1+g")


@pytest.mark.parametrize(("tag", "says"), [("v1.2.3", "1.2.3"), ("unrelated", "0.0")])
def test_a_source_archive_carries_it(project: Path, tmp_path: Path, tag: str, says: str) -> None:
    git(project, "tag", tag)
    git(project, "archive", "--output", str(tmp_path / "source.tar"), "HEAD")
    shutil.unpack_archive(tmp_path / "source.tar", tmp_path / "source")
    assert version(tmp_path / "source") == says


def test_a_tree_that_nothing_is_known_of_has_one(project: Path) -> None:
    shutil.rmtree(project / ".git")
    assert version(project) == "0.0.0"


@pytest.mark.parametrize(
    ("wheel", "package"),
    [
        ("1.2.3", "1.2.3"),
        ("0.0", "0.0.0"),
        ("1.2.4.dev7+g0abc", "1.2.4-dev.7+g0abc"),
        ("0.0.1.dev140+gb17bb234f.d20261123", "0.0.1-dev.140+gb17bb234f.d20261123"),
    ],
)
def test_the_package_says_the_same_to_the_engine(wheel: str, package: str) -> None:
    assert runpy.run_path(str(ROOT / "package" / "__main__.py"))["semantic"](wheel) == package
