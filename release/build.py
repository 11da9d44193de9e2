"""Builds all files of a release into dist/, from the commit at its tag and nothing else.

python -m release.build v1.2.3

The same bytes each time, with the pinned requirements and the same Python: whoever doubts a release builds it again
and compares SHA256SUMS.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from release.notes import notes

ROOT = Path(__file__).parent.parent


class NoRelease(Exception):
    """The tag cannot become a release; the text says why, and what to do."""


def build(tag: str) -> list[Path]:
    """Replace the content of dist/, or leave it unchanged on failure; returns its files.

    NoRelease for a tag that cannot be one; CalledProcessError where git or the build fails, which have said why.
    """
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        raise NoRelease(f"a release's tag is vX.Y.Z, not {tag!r}: make release TAG=v1.2.3")
    version = tag[1:]
    if not _git("tag", "--list", tag):
        raise NoRelease(f"there is no tag {tag} here. Fix: git tag {tag}, or git fetch --tags")
    os.umask(0o022)  # both archives hold modes
    with TemporaryDirectory() as work:
        source, made = Path(work) / "source", Path(work) / "dist"
        made.mkdir()
        _git("-c", "advice.detachedHead=false", "clone", "--quiet", "--branch", tag, ".", str(source))
        try:
            (made / "NOTES.md").write_text(notes((source / "CHANGELOG.md").read_text(), version))
        except ValueError as error:
            raise NoRelease(f"{error}, as of {tag}. Fix: name it, commit, tag that commit") from None
        _archives(source, made, version, moment=int(_git("log", "-1", "--format=%ct", tag)))
        # As committed, where a test compares it with the components; the committed one has no version.
        schema = json.loads((source / "package" / "schema.json").read_text())
        text = json.dumps({**schema, "version": version}, indent=1, sort_keys=True, ensure_ascii=False)
        (made / "schema.json").write_text(text + "\n")
        shutil.copy(source / "docs" / "stack.schema.json", made)
        sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(made.iterdir())]
        (made / "SHA256SUMS").write_text("".join(sums))
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(made, ROOT / "dist")
    return sorted((ROOT / "dist").iterdir())


def _archives(source: Path, made: Path, version: str, moment: int) -> None:
    """Wheel and sdist into `made`, with the time of the release's commit, in seconds since 1970."""
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", made, source],
        check=True,
        stdout=sys.stderr,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(moment), "PYTHONWARNINGS": "ignore"},
    )
    sdist = f"data_fortress-{version}.tar.gz"
    found = sorted(path.name for path in made.glob("data_fortress-*"))
    if found != [f"data_fortress-{version}-py3-none-any.whl", sdist]:
        raise NoRelease(f"what was built is not {version}: {', '.join(found)}. Has its commit another version's tag?")
    _repack(made / sdist, moment)


def _repack(archive: Path, moment: int) -> None:
    """The same files without owner and with a fixed time: setuptools writes those of this machine."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = moment
        return entry

    with TemporaryDirectory() as work:
        with tarfile.open(archive) as packed:
            packed.extractall(work, filter="data")
        with (
            archive.open("wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=moment) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as packed,
        ):
            for path in sorted(Path(work).rglob("*")):
                packed.add(path, str(path.relative_to(work)), recursive=False, filter=plain)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main() -> None:
    """The entry point of `make release`: exit code 1 and one line if something is wrong."""
    if len(sys.argv) != 2:
        sys.exit("release: name the tag: make release TAG=v1.2.3")
    try:
        made = build(sys.argv[1])
    except NoRelease as error:
        sys.exit(f"release: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"release: {error}")  # it has said why
    for path in made:
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
