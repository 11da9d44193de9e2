"""The hooks of .pre-commit-config.yaml in a repository of their own: what they keep from being committed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.repository import copy_checkout, git
from tests.unit.stack_file import ROOT

HOOKS = {
    hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
}
BAD = {
    "format": ("lab/quoted.py", "value = 'quoted'\n"),
    "lint": ("lab/unused.py", "import os\n"),
    "shell": ("lab/unquoted.sh", "#!/bin/sh\necho $1\n"),
    "generated": ("docs/settings.md", "# Settings, by hand\n"),
    "large": ("docs/large.svg", "<svg/>\n" * 150_000),
    "private-key": ("lab/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"),
    "end-of-file": ("docs/no_end.txt", "A text without an end"),
}
"""A file that the hook refuses."""


def environment(*skip: str) -> dict[str, str]:
    """`types` looks at the whole, which takes a minute without mypy's cache."""
    return {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "SKIP": ",".join(("types", *skip))}


def make(folder: Path, target: str, *skip: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-o", ".venv/ready", target],
        cwd=folder,
        env=environment(*skip),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With this checkout's tools, and the hooks as `make hooks` installs them."""
    folder = copy_checkout(tmp_path_factory.mktemp("checkout"))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".git" / "info" / "exclude").write_text(".venv\n")
    done = make(folder, "hooks")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def commit(folder: Path, files: dict[str, str], *skip: str) -> tuple[int, str]:
    """Exit code of a commit of these files and no other, and what was said."""
    git(folder, "reset", "--quiet", "--hard")
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(
        ["git", *somebody, "commit", "--message", "Try"],
        cwd=folder,
        env=environment(*skip),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_what_is_as_it_should_be_is_committed(checkout: Path) -> None:
    code, said = commit(checkout, {"lab/new.py": '"""New."""\n', "lab/new.sh": "#!/bin/sh\necho new\n"})
    assert code == 0, said


def test_what_is_not_is_refused_by_name(checkout: Path) -> None:
    code, said = commit(checkout, dict(BAD.values()))
    assert code == 1
    failed = {part.split("\n")[0]: part for part in said.split("- hook id: ")[1:]}
    assert set(failed) == set(HOOKS) - {"types"}
    assert [hook for hook, (name, _) in BAD.items() if Path(name).name not in failed[hook]] == []


def test_make_check_looks_at_every_file_that_git_does_not_ignore(checkout: Path) -> None:
    git(checkout, "reset", "--quiet", "--hard")
    name, text = BAD["lint"]
    (checkout / name).write_text(text)
    done = make(checkout, "check", "generated")
    (checkout / name).unlink()
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{name}:1:8" in done.stdout
    # All the rest of this checkout is as it should be.
    assert (done.stdout.count("Failed\n"), done.stdout.count("Found 1 error.\n")) == (1, 1), done.stdout
    assert [hook for hook, entry in HOOKS.items() if f"{entry['name']}..." not in done.stdout] == []


def test_tools_are_those_that_are_pinned() -> None:
    own = {
        hook: entry["entry"].split()[0] for hook, entry in HOOKS.items() if entry["entry"].split()[0] != "shellcheck"
    }
    assert all(path.startswith(".venv/bin/") and os.access(ROOT / path, os.X_OK) for path in own.values()), own
    assert {entry["language"] for entry in HOOKS.values()} == {"system"}


@pytest.mark.parametrize("made", [".venv/bin/python", "package/venv/bin/python", ".fortress/verify-lab.jsonl"])
def test_what_commands_make_in_the_tree_is_ignored(made: str, tmp_path: Path) -> None:
    """`pulumi package add` makes the second of these."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    assert git(tmp_path, "check-ignore", made).strip() == made
