"""Debian packages with all they depend on, unpacked once into the cache: a root to run their programs in.

Nothing is installed on the machine. Needs root, as the lab does.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.image import sources

# A program of another release wants that release's C library, whose loader takes it from where it is told to. HAProxy
# starts itself again on a reload, by the name that it was started with.
START = """#!/bin/sh
exec ROOT/LOADER --argv0 "$0" --library-path ROOT/LIBRARIES ROOT/PROGRAM "$@"
"""


def program(root: Path, name: str, folder: Path) -> Path:
    """Give what starts a program of an unpacked root on this machine, made in a folder; `name` is its path in there."""
    (loader,) = root.glob("usr/lib*/ld-linux-*")
    (libraries,) = root.glob("usr/lib/*-linux-gnu")
    words = {
        "LOADER": loader.relative_to(root),
        "LIBRARIES": libraries.relative_to(root),
        "PROGRAM": name,
        "ROOT": root,
    }
    text = START
    for word, value in words.items():
        text = text.replace(word, str(value))
    path = folder / Path(name).name
    path.write_text(text)
    path.chmod(0o755)
    return path


def unpacked(kind: str, release: str, layout: int, packages: Sequence[str], finish: str = "") -> Path:
    """The packages of a Debian release and their dependencies under one root, from the cache when it is there.

    `layout` is raised when what is unpacked, or how, changes; `finish` is shell that does inside the root what of the
    packages' own scripts is needed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "data-fortress" / "packages"
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / f"{kind}-{release}-{layout}"
    with (cache / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            with tempfile.TemporaryDirectory(dir=cache) as work:
                _unpack(Path(work), release, packages, finish)
                (Path(work) / "root").rename(root)
    return root


def _unpack(work: Path, release: str, packages: Sequence[str], finish: str) -> None:
    # The machine's own archives, but lists and state of our own: nothing is installed as far as this apt knows, so the
    # whole closure comes.
    for folder in ("state/lists/partial", "cache/archives/partial", "root/usr"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text("".join(f"{source.line}\n" for source in sources.debian(release)))
    settings = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "--quiet=2", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
    _must([*apt, "update"])
    _must([*apt, "--yes", "--download-only", "install", *packages])
    root = work / "root"
    for folder in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / folder).mkdir()
        (root / folder).symlink_to(f"usr/{folder}")
    for package in sorted((work / "cache" / "archives").glob("*.deb")):
        content = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
        into = ["tar", "--extract", "--preserve-permissions", "--keep-directory-symlink", f"--directory={root}"]
        subprocess.run(into, stdin=content.stdout, check=True, timeout=120)
        assert content.wait() == 0, package
    if finish:
        _must(["chroot", str(root), "sh", "-euc", finish])


def _must(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command} failed:\n{done.stderr}{done.stdout}"
