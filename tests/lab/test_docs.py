"""The commands of README.md and of the tour, run in order as they stand there: a new lab, a copy of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import api
from tests.lab.conftest import NAME
from tests.lab.fortress import ROOT
from tests.unit.documents import RUN, Step, missing, steps

STEPS = [step for document in RUN for step in steps(ROOT / document)]
MARK = "=== end of block "
ONCE = "make lab"
"""Both documents begin with it; what it says the first time is held against both."""
ASK = "python -m lab outside -- curl -sk https://192.0.2.12/"
AGAIN = f"timeout 60 sh -c 'until {ASK} | grep -q \"^{{.host.: .oslo-web\"; do sleep 0.2; done'"
"""What it would find the second time: the first document ends with a worker that has just got its power back."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[str, bool]]]:
    """What each block printed and whether it ended well; nothing comes after one that did not."""
    project = tmp_path_factory.mktemp("project")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, project)  # the stack file is edited; make goes by dates
        elif path.name != ".fortress":
            (project / path.name).symlink_to(path)
    script = "".join(
        f"{AGAIN if _is_repeated(number) else step.commands.text}\nprintf '\\n{MARK}{number}: %s s\\n' \"$SECONDS\"\n"
        for number, step in enumerate(STEPS)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORTRESS_LAB", f"{NAME}tour")
        api.down()
        try:
            done = subprocess.run(
                ["bash", "-e", "-c", script],
                cwd=project,
                env=_as_a_reader(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=780,
                check=False,
            )
            yield _parts(done.stdout)
        finally:
            api.down()


def _command(step: Step) -> str:
    """A block's only command without its comment."""
    return step.commands.text.partition("#")[0].strip()


FIRST = [_command(step) for step in STEPS].index(ONCE)


def _is_repeated(number: int) -> bool:
    return number != FIRST and _command(STEPS[number]) == ONCE


def _as_a_reader() -> dict[str, str]:
    """The environment without what the tests' own virtual environment put there: the document says what to source."""
    own = str(Path(sys.executable).parent)
    path = [part for part in os.environ["PATH"].split(":") if part != own]
    return {**os.environ, "PATH": ":".join(path)}


def _parts(output: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    for number, step in enumerate(STEPS):
        part, mark, rest = output.partition(f"\n{MARK}{number}: ")
        found.append((found[FIRST][0] if _is_repeated(number) else part, bool(mark)))
        if not mark:
            break
        seconds, _, output = rest.partition("\n")
        print(f"{step.commands.place} ended after {seconds}")
    return found


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[step.commands.place for step in STEPS])
def test_commands_do_what_the_document_says(outputs: list[tuple[str, bool]], number: int) -> None:
    step: Step = STEPS[number]
    if number >= len(outputs):
        pytest.fail("not reached: commands before it failed", pytrace=False)
    output, well = outputs[number]
    assert well, f"{step.commands.text}\nfailed:\n{output}"
    lacks = missing(step.shown, output)
    assert lacks is None, f"{step.commands.text}\ndid not print {lacks!r}:\n{output}"
