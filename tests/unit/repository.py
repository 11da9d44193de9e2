"""This checkout as it stands, committed or not, as a git repository of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.unit.stack_file import ROOT


def git(folder: Path, *arguments: str) -> str:
    """What git says, run there as somebody without settings; CalledProcessError where it fails."""
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    return subprocess.run(
        ["git", *somebody, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    ).stdout.strip()


def copy_checkout(folder: Path) -> Path:
    """A repository with one commit on `main`: every file of this checkout that git does not ignore."""
    for name in git(ROOT, "ls-files", "-c", "-o", "--exclude-standard", "-z").split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "As it stands")
    return folder
