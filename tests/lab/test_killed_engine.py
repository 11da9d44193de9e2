"""An engine that is killed: what it leaves behind, in the state and among the processes, and the cure."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab import api
from lab.base import processes
from tests.lab.fortress import ROOT, Fortress


@pytest.fixture
def state(fortress: Fortress, tmp_path: Path) -> Iterator[Path]:
    """The folder of the lab's state, which is as it was at the end."""
    folder = fortress.lab.state / ".pulumi" / "stacks" / "data-fortress"
    shutil.copytree(folder, tmp_path / "kept")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "kept", folder)


def cure(state: Path) -> str:
    """The commands of docs/production.md, for this state."""
    text = (ROOT / "docs" / "production.md").read_text()
    block = text[text.index("### A state that cannot be read") :].split("```sh\n")[1].split("```")[0]
    lines = [line for line in block.splitlines() if not line.startswith("pulumi ")]
    script = "\n".join(lines).replace("/PATH/TO/STATE", str(state.parents[2])).replace("prod.json", "lab.json")
    return script.replace("/root/broken-state", str(state.parents[2] / "broken-state"))


@pytest.mark.parametrize(
    ("file", "left", "words"),
    [
        ("lab.json.attrs", 0, "failed to load checkpoint: EOF"),
        ("lab.json", 0, "failed to load checkpoint: place 1: unexpected end of JSON input"),
        ("lab.json", 2000, "failed to load checkpoint: "),
    ],
)
def test_a_state_that_was_being_written_is_told_and_mended(
    fortress: Fortress, state: Path, file: str, left: int, words: str
) -> None:
    (state / file).write_bytes((state / file).read_bytes()[:left])
    broken = {each.name: each.read_bytes() for each in state.iterdir()}

    done = fortress.pulumi("preview")
    assert done.returncode != 0
    assert words in done.stdout
    assert 'The cure is in docs/production.md, "A state that cannot be read".' in done.stdout
    asked = fortress.command("drift", "--stack", "lab")
    assert asked.returncode == 2
    assert "docs/production.md, `A state that cannot be read`" in asked.stderr
    assert {each.name: each.read_bytes() for each in state.iterdir()} == broken, "no new stack took its place"

    subprocess.run(["sh", "-euc", cure(state)], check=True)
    shutil.rmtree(state.parents[2] / "broken-state")
    fortress.engine("cancel", "--yes")
    assert re.search(r"Resources:\n +\d+ unchanged\n", fortress.engine("preview"))


def language_hosts() -> dict[int, int]:
    """Those of this checkout, with their parents."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_bytes()
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if command.startswith(f"{ROOT}/.venv/bin/pulumi-language-python\0".encode()) and fields[0] != "Z":
            found[int(process.name)] = int(fields[1])
    return found


def _runs_a_program(host: int) -> bool:
    return any(task.read_text() for task in Path(f"/proc/{host}/task").glob("*/children"))


def _ancestors(pid: int) -> set[str]:
    found = set()
    while pid > 1:
        found.add(str(pid))
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def test_the_language_host_of_an_engine_that_was_killed_ends_with_the_next_one(fortress: Fortress) -> None:
    engine = subprocess.Popen(
        [str(ROOT / "lab/pulumi.sh"), "preview"],
        env={**os.environ, **api.environment(), "LAB_PROJECT": str(fortress.project), "LAB_STACK": "lab"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found: list[tuple[int, int]] = []

    def started() -> bool:
        """By this preview, with the program running: one that has not begun ends by itself."""
        for host, parent in language_hosts().items():
            with suppress(FileNotFoundError, ProcessLookupError):
                words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
                if b"preview" in words and str(engine.pid) in _ancestors(parent) and _runs_a_program(host):
                    found.append((host, parent))
        return bool(found)

    processes.until("its language host", 60, started, every=0.05)
    host, parent = found[0]
    os.kill(parent, signal.SIGKILL)
    assert engine.wait(30) != 0
    assert host in language_hosts()
    fortress.engine("preview")
    processes.until("that it ended", 60, lambda: host not in language_hosts(), every=0.1)
