"""The pins: exact, with hashes, the same in both files, and those that were asked for."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.stack_file import ROOT

FILES = ("requirements", "requirements-dev", "bench/requirements")


def asked(name: str) -> list[Requirement]:
    lines = (line.partition(" #")[0].strip() for line in (ROOT / f"{name}.in").read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pins(name: str) -> dict[str, str]:
    """Version of each package, by its name; AssertionError for one that is not exact or has no hash."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / f"{name}.txt").read_text(), flags=re.MULTILINE)
    found: dict[str, str] = {}
    for entry in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = (part.strip() for part in entry.split("--hash="))
        pin = re.fullmatch(r"([\w.-]+)==([\w.+]+)( ; .*)?", requirement)
        assert pin, entry
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), requirement
        found[canonicalize_name(pin[1])] = pin[2]
    return found


@pytest.mark.parametrize("name", FILES)
def test_all_that_is_asked_for_is_pinned(name: str) -> None:
    pinned = pins(name)
    wrong = [str(one) for one in asked(name) if pinned.get(canonicalize_name(one.name), "none") not in one.specifier]
    assert wrong == [], "run: make requirements"


def test_development_stands_on_the_versions_of_production() -> None:
    production, development = pins("requirements"), pins("requirements-dev")
    assert {name: development.get(name) for name in production} == production


def test_the_wheel_takes_the_pinned_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = pins("requirements-dev")
    wanted = [Requirement(line) for line in project["project"]["dependencies"] + project["build-system"]["requires"]]
    assert [str(one) for one in wanted if pinned[canonicalize_name(one.name)] not in one.specifier] == []


@pytest.mark.parametrize("name", FILES)
def test_nobodys_mirror_stands_in_them(name: str) -> None:
    assert not re.search(r"://|^--|^-[if]", (ROOT / f"{name}.txt").read_text(), re.MULTILINE)
