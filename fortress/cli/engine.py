"""The Pulumi engine as the command asks it: by its own command line, never past it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fortress.cli.errors import CannotAskError, printable

NO_SUCH_STACK = 6
"""The engine's exit status for a stack that its backend does not hold (sdk/go/common/util/cmdutil, 3.255)."""

LONGEST_S = 120.0
"""Seconds that reading or writing a state may take; a state of some hundred resources takes one."""


GRACE_S = 1.0
"""Seconds that the engine has to end by itself, then once more when it is asked to."""


class EngineError(CannotAskError):
    """The engine refused or failed; `status` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def find() -> str:
    """Path of `pulumi`: on PATH, or beside the Python that runs us."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("pulumi") or shutil.which("pulumi", path=beside)
    if found is None:
        raise CannotAskError(
            "pulumi is neither on PATH nor beside this command; run `source .venv/bin/activate`, or `make lab` first"
        )
    return found


@dataclass(frozen=True)
class Said:
    """How a run of the engine ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


def run(*arguments: str, stack: str, text: str | None = None) -> str:
    """What `pulumi ARGUMENTS --stack STACK` prints, with `text` as its standard input.

    Raises EngineError with the engine's own words where it fails, CannotAskError where there is no engine.
    """
    said = ask(*arguments, stack=stack, text=text)
    if said.status != 0:
        raise EngineError(explain(stack, said.status, said.stderr), said.status)
    return said.stdout


def ask(*arguments: str, stack: str, text: str | None = None, longest_s: float | None = None) -> Said:
    """The same where a failure is an answer too. Raises CannotAskError: no engine, or no answer within `longest_s`."""
    longest_s = LONGEST_S if longest_s is None else longest_s
    command = [find(), *arguments, "--stack", stack, "--non-interactive", "--color", "never"]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # The engine asks its maker for updates otherwise.
            env={"PULUMI_SKIP_UPDATE_CHECK": "true", **os.environ},
        )
    except OSError as error:
        raise CannotAskError(f"pulumi cannot be started: {error.strerror}: {command[0]}") from None
    with process:
        try:
            stdout, stderr = process.communicate(text, timeout=longest_s)
        except subprocess.TimeoutExpired:
            end(process)
            what = " ".join(arguments[:2])
            raise CannotAskError(f"`pulumi {what}` gave no answer within {longest_s:.0f} s") from None
        except KeyboardInterrupt:
            end(process)
            raise
    return Said(process.returncode, stdout, stderr)


def end(process: subprocess.Popen[str]) -> None:
    """Let the engine give its lock on the state back: from a terminal it has heard of Ctrl-C itself by now."""
    for then in (process.terminate, process.kill):
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            then()
    process.wait()


def explain(stack: str, status: int, stderr: str) -> str:
    """The engine's error in one line, with the cure where it is known."""
    if status == NO_SUCH_STACK:
        return f"there is no stack {stack!r} in this backend; `pulumi stack ls` names those that are"
    lines = [line.removeprefix("error:").strip() for line in stderr.splitlines() if line.strip()]
    said = printable("\n".join(lines)) or f"exit status {status} and no word"
    if "fully qualified name" in said or "Pulumi.yaml" in said:
        return f"pulumi: {said}; run this in the folder that holds Pulumi.yaml"
    if "PULUMI_ACCESS_TOKEN" in said:
        return f"pulumi: {said}; set PULUMI_BACKEND_URL to where the state is kept, or run `pulumi login`"
    return f"pulumi: {said}"
