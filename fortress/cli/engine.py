"""The Pulumi engine as the command asks it: by its own command line, never past it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


def run(*arguments: str, stack: str, text: str | None = None) -> str:
    """What `pulumi ARGUMENTS --stack STACK` prints, with `text` as its standard input.

    Raises EngineError with the engine's own words where it fails, CannotAskError where there is no engine.
    """
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
            stdout, stderr = process.communicate(text, timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            _end(process)
            what = " ".join(arguments[:2])
            raise CannotAskError(f"`pulumi {what}` gave no answer within {LONGEST_S:.0f} s") from None
        except KeyboardInterrupt:
            _end(process)
            raise
    if process.returncode != 0:
        raise EngineError(_explain(stack, process.returncode, stderr), process.returncode)
    return stdout


def _end(process: subprocess.Popen[str]) -> None:
    """Let the engine give its lock on the state back: from a terminal it has heard of Ctrl-C itself by now."""
    for then in (process.terminate, process.kill):
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            then()
    process.wait()


def _explain(stack: str, status: int, stderr: str) -> str:
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
