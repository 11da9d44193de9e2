"""The Makefile: each target in `make help`, and a clear word where a tool is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import pytest

from tests.unit.stack_file import ROOT

TEXT = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^\.PHONY: (.*)", TEXT, re.MULTILINE)[0].split())


def make(target: str, *options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What make says where only the programs of `path` are to be had."""
    program = shutil.which("make")
    assert program, "make is missing"
    # `make test` hands its own flags down, and its children then say in which folder they work.
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    environment = {"PATH": str(path)} if path else own
    return subprocess.run(
        [program, *options, target], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def test_help_says_every_target_in_a_line_that_fits() -> None:
    lines = make("help").stdout.splitlines()
    assert {line.split()[1] for line in lines} == TARGETS
    assert [line for line in lines if len(line) > 110] == []
    assert set(re.findall(r"^([a-z-]+):", TEXT, re.MULTILINE)) <= TARGETS


@pytest.mark.parametrize(
    ("target", "ready", "says"),
    [
        ("setup", False, "Python 3.11 or newer is needed; choose one with: make PYTHON=/path/to/python3.11"),
        ("check", True, "shellcheck is missing. Fix: apt-get install shellcheck"),
        ("release", True, "release: name the tag: make release TAG=v1.2.3"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, target: str, ready: bool, says: str) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    # What stands in `.venv` is not asked for again; for `setup` as if nothing stood there.
    done = make(target, *(("-o", ".venv/ready") if ready else ("-B",)), path=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize("module", ["pulumi_aws.xray.group", "tests.doubles.pulumi_resource_openstack.__main__"])
def test_what_is_set_up_is_compiled(module: str) -> None:
    """Also what no test imports: else each run compiles it anew where PYTHONDONTWRITEBYTECODE is set."""
    spec = find_spec(module)
    assert spec
    assert spec.origin
    assert Path(cache_from_source(spec.origin)).exists()


def test_programs_that_make_starts_keep_what_they_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    show = tmp_path / "show.mk"
    show.write_text("show:\n\t@echo $${PYTHONDONTWRITEBYTECODE-kept}\n")
    assert make("show", "-f", "Makefile", "-f", str(show)).stdout == "kept\n"
