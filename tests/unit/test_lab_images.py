"""What the lab keeps in its cache, and where it gets Debian from."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.base.folders import RELEASES, cache
from lab.image import images, sources
from lab.image.sources import Source

RELEASE = RELEASES[0]
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


def machine_with(monkeypatch: pytest.MonkeyPatch, *archives: tuple[str, str, str]) -> None:
    """A machine whose apt has these suites of http://a.example/debian: name, code name, who signed it."""
    known = [Source(f"http://{host}.example/debian", suite, (KEY,)) for host, suite, _ in archives]
    told = "".join(f"http://{host}.example/debian/ {suite} {words}\n" for host, suite, words in archives)
    monkeypatch.setattr(sources, "configured", lambda: known)
    monkeypatch.setattr(sources, "run", lambda _: told)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("own", ["bookworm", "trixie", "stable"])
def test_a_machine_s_own_sources_serve_another_release(monkeypatch: pytest.MonkeyPatch, own: str, release: str) -> None:
    """The suites' names are replaced, whatever the machine runs and however it calls that."""
    code_name = "trixie" if own == "stable" else own
    extensions = ("", "-updates", "-security", "-backports")
    machine_with(monkeypatch, *(("a", f"{own}{more}", f"{code_name}{more} Debian") for more in extensions))
    assert [source.line for source in sources.debian(release)] == [
        f"deb [signed-by={KEY[1]}] http://a.example/debian {suite} main"
        for suite in (release, f"{release}-updates", f"{release}-security")
    ]


def test_only_debian_itself_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others name their suites as Debian does; apt knows who signed as whom."""
    other = ("other", "bookworm", "bookworm Other Debian")
    machine_with(
        monkeypatch, other, ("a", "bookworm", "bookworm Debian"), ("a", "trixie", "trixie Debian"), ("b", "sid", "")
    )
    assert [source.line for source in sources.debian("trixie")] == [
        f"deb [signed-by={KEY[1]}] http://a.example/debian trixie main"
    ]
    machine_with(monkeypatch, other, ("a", "bookworm-updates", "bookworm-updates Debian"))
    with pytest.raises(LabError, match=r"no source of Debian, which .* add Debian's trixie main"):
        sources.debian("trixie")


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
    base, packages, line = images.base_path(RELEASE), images.repository_path(RELEASE), images.delay_line_path()
    assert len({base, packages, line}) == 3
    assert not {base, packages} & {images.base_path("bookworm"), images.repository_path("bookworm")}
    monkeypatch.setattr(images, "OFFERED_PACKAGES", ("nftables",))
    assert images.base_path(RELEASE) == base
    changed = images.repository_path(RELEASE)
    assert changed != packages
    with monkeypatch.context() as without:
        without.setattr(images, "RELEASE_PACKAGES", {})
        assert images.base_path(RELEASE) != base
    monkeypatch.setattr(images, "BASE_PACKAGES", ("systemd",))
    assert images.base_path(RELEASE) != base
    assert images.repository_path(RELEASE) not in (packages, changed)
    assert images.delay_line_path() == line
    assert images.digest(["ab", "c"]) != images.digest(["a", "bc"])


def test_the_release_file_names_what_is_there(tmp_path: Path) -> None:
    index = b"Package: x\n"
    (tmp_path / "Packages").write_bytes(index)
    (tmp_path / "Packages.gz").write_bytes(gzip.compress(index))
    lines = images.release_file(RELEASE, tmp_path).splitlines()
    assert f" {hashlib.sha256(index).hexdigest()} 11 Packages" in lines
    assert [line.split()[-1] for line in lines if line.startswith(" ")] == ["Packages", "Packages.gz"]
