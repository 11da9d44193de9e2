"""Results of `fortress verify`, stored for `fortress report`: one line of JSON per run, beside Pulumi.yaml."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.terminal import complain
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.engine.project import project_folder

FOLDER = ".fortress"
MOST_RUNS = 500
"""Number of runs that are kept; older ones are dropped. A run of sixty checks is about 10 kB."""


@dataclass(frozen=True)
class PastRun:
    """One `fortress verify` of a stack."""

    when: float
    """Seconds since 1970."""
    checks: tuple[Check, ...]


def path(stack: str, project: Path | None = None) -> Path:
    """The file of a stack's runs. `project` is the folder of Pulumi.yaml, by default searched for upwards."""
    return (project or project_folder()) / FOLDER / f"verify-{quote(_short(stack), safe='')}.jsonl"


def _short(stack: str) -> str:
    """A stack's name without its project, which is the folder's, and without the one organization that a backend of
    one's own has: `lab` and `organization/data-fortress/lab` are the same."""
    *owner, name = stack.split("/")
    return name if not owner or owner[0] == "organization" else f"{owner[0]}/{name}"


def remember(stack: str, checks: Sequence[Check]) -> PastRun:
    """Keep what was measured just now; if that fails, only complain."""
    run = PastRun(time.time(), tuple(checks))
    try:
        keep(stack, run)
    except OSError as error:
        complain(f"the result is not kept for `fortress report`: {error.filename}: {error.strerror}")
    return run


def keep(stack: str, run: PastRun, project: Path | None = None) -> None:
    """Add a run to those that are kept.

    Raises:
        OSError: the file cannot be written.
    """
    file = path(stack, project)
    file.parent.mkdir(exist_ok=True)
    line = json.dumps({"when": run.when, "checks": [check.as_json() for check in run.checks]}) + "\n"
    older = file.read_text("utf-8", "replace").splitlines(keepends=True) if file.exists() else []
    if len(older) < MOST_RUNS and all(text.endswith("\n") for text in older):
        with file.open("a", encoding="utf-8") as end:
            end.write(line)
        return
    new = file.with_suffix(".new")
    new.write_text("".join([*(text for text in older[1 - MOST_RUNS :] if text.endswith("\n")), line]), encoding="utf-8")
    new.replace(file)


def kept(stack: str, project: Path | None = None) -> list[PastRun]:
    """The stored runs, oldest first; none if there is no file. A truncated line is left out.

    Raises:
        CannotAskError: the file cannot be read.
    """
    file = path(stack, project)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise CannotAskError(f"{file} cannot be read: {error}; move it away to begin anew") from None
    return sorted((run for line in lines if (run := _run(line))), key=lambda run: run.when)


def _run(line: str) -> PastRun | None:
    try:
        found = json.loads(line)
        return PastRun(float(found["when"]), tuple(_check(each) for each in found["checks"]))
    except (ValueError, KeyError, TypeError):
        return None


def _check(found: Mapping[str, Any]) -> Check:
    """A check as a line of the file has it.

    Raises:
        ValueError: it is no check.
        KeyError: it is no check, or of a kind that this version does not know.
    """
    kind, about = (Kind[str(found["kind"]).upper()], found["about"]) if "kind" in found else _older(found["name"])
    limit = found["limit"]
    return Check(
        kind,
        found["host"],
        about,
        Status(found["status"]),
        found["value"],
        tuple(limit) if isinstance(limit, list) else limit,
        found["detail"],
    )


def _older(name: str) -> tuple[Kind, str]:
    """Kind and subject of a check that was kept before its kind was: all that there is of it is its name."""
    for kind in Kind:
        before, about, _ = kind.words.partition("{about}")
        if name == before or (about and name.startswith(before)):
            return kind, name.removeprefix(before)
    raise ValueError(f"{name!r} is no check")
