"""What the lab keeps in its cache, and where it gets Debian from."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.base.folders import cache
from lab.image import images, sources
from lab.image.sources import Source

KEY = ("signed-by", "/usr/share/keyrings/debian-archive-keyring.gpg")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(sources, "KEYRING", keyring)


def test_sources_in_one_line_format(tmp_path: Path) -> None:
    text = """
# deb http://old.example/debian bookworm main
deb http://a.example/debian bookworm main contrib   # ours
deb-src http://a.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg trusted=yes] https://b.example/debian/ bookworm-security main
deb\thttp://c.example/debian bookworm contrib
"""
    assert sources.parse_list(text) == [
        Source("http://a.example/debian", "bookworm", (("signed-by", str(tmp_path / "keyring.gpg")),)),
        Source("https://b.example/debian/", "bookworm-security", (("signed-by", "/k.gpg"), ("trusted", "yes"))),
    ]


def test_sources_in_stanzas(tmp_path: Path) -> None:
    text = """Types: deb deb-src
URIs: http://a.example/debian
# a comment within
Suites: bookworm bookworm-updates
Components: main
Signed-By: /k.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://b.example/debian
Suites: bookworm
Components: contrib main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 AAAA
 -----END PGP PUBLIC KEY BLOCK-----
"""
    own = (("signed-by", str(tmp_path / "keyring.gpg")),)
    assert sources.parse_stanzas(text) == [
        Source("http://a.example/debian", "bookworm", (("signed-by", "/k.gpg"),)),
        Source("http://a.example/debian", "bookworm-updates", (("signed-by", "/k.gpg"),)),
        Source("http://b.example/debian", "bookworm", own),
    ]


def test_sources_are_read_from_the_whole_configuration(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (tmp_path / "sources.list.d/b.list").write_text("deb http://b.example/debian bookworm main\n")
    (tmp_path / "sources.list.d/c.sources").write_text(
        "Types: deb\nURIs: http://c.example/debian\nSuites: bookworm\nComponents: main\n"
    )
    (tmp_path / "sources.list.d/d.list.save").write_text("deb http://d.example/debian bookworm main\n")
    assert [source.uri for source in sources.configured(tmp_path)] == [
        "http://a.example/debian",
        "http://b.example/debian",
        "http://c.example/debian",
    ]


def test_only_debian_itself_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others name their suites as Debian does; apt knows who signed as whom."""
    known = [Source("http://a.example/debian", "bookworm", (KEY,)), Source("http://other.example", "bookworm", (KEY,))]
    known.append(Source("http://a.example/debian", "trixie", (KEY,)))
    told = "http://a.example/debian/ bookworm Debian\nhttp://a.example/debian/ trixie Debian\n"
    told += "http://other.example/ bookworm Other Debian\n"
    monkeypatch.setattr(sources, "configured", lambda: known)
    monkeypatch.setattr(sources, "run", lambda _: told)
    assert [source.line for source in sources.debian()] == [
        f"deb [signed-by={KEY[1]}] http://a.example/debian bookworm main"
    ]
    monkeypatch.setattr(sources, "configured", lambda: known[1:])
    with pytest.raises(LabError, match="no source of Debian bookworm"):
        sources.debian()


def test_a_thing_is_made_once() -> None:
    made: list[Path] = []

    def make(result: Path, scratch: Path) -> None:
        made.append(scratch)
        result.write_text("whole")

    target = cache() / "thing-1"
    assert images.make_once(target, make).read_text() == "whole"
    assert images.make_once(target, make) == target
    assert len(made) == 1
    assert not made[0].exists()


def test_a_thing_that_was_not_finished_does_not_exist() -> None:
    target = cache() / "thing-1"

    def fail(result: Path, _: Path) -> None:
        result.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        images.make_once(target, fail)
    assert not target.exists()
    left = cache() / "making-thing-xyz"  # of a run that was killed
    left.mkdir()
    (left / "result").touch()
    other = cache() / "making-other-abc"  # another thing may be under way
    other.mkdir()
    images.make_once(target, lambda result, _: result.touch())
    assert not left.exists()
    assert other.exists()


def test_names_follow_from_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    base, packages, line = images.base_path(), images.repository_path(), images.delay_line_path()
    assert len({base, packages, line}) == 3
    monkeypatch.setattr(images, "OFFERED_PACKAGES", ("nftables",))
    assert images.base_path() == base
    changed = images.repository_path()
    assert changed != packages
    monkeypatch.setattr(images, "BASE_PACKAGES", ("systemd",))
    assert images.base_path() != base
    assert images.repository_path() not in (packages, changed)
    assert images.delay_line_path() == line
    assert images.digest(["ab", "c"]) != images.digest(["a", "bc"])


def test_the_release_file_names_what_is_there(tmp_path: Path) -> None:
    index = b"Package: x\n"
    (tmp_path / "Packages").write_bytes(index)
    (tmp_path / "Packages.gz").write_bytes(gzip.compress(index))
    lines = images.release(tmp_path).splitlines()
    assert f" {hashlib.sha256(index).hexdigest()} 11 Packages" in lines
    assert [line.split()[-1] for line in lines if line.startswith(" ")] == ["Packages", "Packages.gz"]
