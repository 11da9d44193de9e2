"""The Pulumi engine, always through its own command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fortress.cli.base.errors import CannotAskError, printable
from fortress.cli.base.result import Result
from fortress.cli.base.terminal import complain

NO_SUCH_STACK = 6
"""The engine's exit status for a stack that its backend does not have (sdk/go/common/util/cmdutil, 3.255)."""

LONGEST_S = 120.0
"""Seconds that reading or writing a state may take; a state of some hundred resources takes one."""

GRACE_S = 15.0
"""Seconds for the engine to finish its current step when asked to stop; then as many again to stop at once."""

SHORT_S = 1.0
"""Seconds of waiting that need no message."""

OWN_GROUP = 0
"""Process group of the engine: one of its own, so that Ctrl-C reaches only us and the engine hears of it once."""


class EngineError(CannotAskError):
    """The engine refused or failed; `status` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def find() -> str:
    """Path of `pulumi`: on PATH, or beside the running Python."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("pulumi") or shutil.which("pulumi", path=beside)
    if found is None:
        raise CannotAskError(
            "pulumi is neither on PATH nor beside this command; run `source .venv/bin/activate`, or `make lab` first"
        )
    return found


def run(*arguments: str, stack: str, text: str | None = None) -> str:
    """What `pulumi ARGUMENTS --stack STACK` prints, with `text` as its standard input.

    Raises:
        EngineError: it fails; the message is the engine's own.
        CannotAskError: there is no engine.
    """
    result = ask(*arguments, stack=stack, text=text)
    if result.status != 0:
        raise EngineError(explain(stack, result.status, result.stderr), result.status)
    return result.stdout


def ask(*arguments: str, stack: str, text: str | None = None, longest_s: float | None = None) -> Result:
    """The same if a failure is an answer too.

    Raises:
        CannotAskError: no engine, or no answer within `longest_s`.
    """
    longest_s = LONGEST_S if longest_s is None else longest_s
    command = [find(), *arguments, "--stack", stack, "--non-interactive", "--color", "never"]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            # The engine checks for updates otherwise.
            env={"PULUMI_SKIP_UPDATE_CHECK": "true", **os.environ},
            process_group=OWN_GROUP,
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
        except BaseException:
            end(process)
            raise
    return Result(process.returncode, stdout, stderr)


def export(stack: str, *options: str) -> dict[str, Any]:
    """The state of a stack that is up, secrets encrypted unless an option says otherwise.

    Raises:
        CannotAskError: there is no engine, or it cannot give the state.
    """
    return read_export(run("stack", "export", *options, stack=stack), stack)


def read_export(text: str, stack: str) -> dict[str, Any]:
    """The state in what `pulumi stack export` printed.

    Raises:
        CannotAskError: it is none, or that of a stack that is not up.
    """
    try:
        found = json.loads(text)
    except ValueError:
        raise CannotAskError("`pulumi stack export` did not print JSON") from None
    if not isinstance(found, dict):
        raise CannotAskError("`pulumi stack export` did not print a state")
    if not (found.get("deployment") or {}).get("resources"):
        raise CannotAskError(
            f"stack {stack!r} is not up: never created, or destroyed; create it with `pulumi up --stack {stack}`"
        )
    return found


def end(process: subprocess.Popen[str], grace_s: float | None = None) -> None:
    """Have the engine finish its current step, stop its plugins, and release its lock on the state.

    Killed, it would leave all three. After `grace_s` seconds, or another Ctrl-C, it is to end at once.
    """
    grace_s = GRACE_S if grace_s is None else grace_s
    for patience_s in (grace_s, GRACE_S):
        process.send_signal(signal.SIGINT)
        try:
            if not _ended(process, min(SHORT_S, patience_s)):
                complain("the engine is finishing its current step; Ctrl-C again stops it at once")
                if not _ended(process, patience_s):
                    continue
        except KeyboardInterrupt:
            continue
        return
    process.kill()
    process.wait()


def _ended(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.communicate(timeout=seconds)  # the engine does not end while its output is not read
    except subprocess.TimeoutExpired:
        return False
    return True


_KNOWN = (
    ("fully qualified name", "there is no Pulumi.yaml here or above; run this in the folder that holds it"),
    (
        "no Pulumi.yaml project file found",
        "there is no Pulumi.yaml here or above; run this in the folder that holds it",
    ),
    (
        "PULUMI_ACCESS_TOKEN must be set",
        "the engine does not know where the state is stored; set PULUMI_BACKEND_URL, or run `pulumi login`",
    ),
    (
        "passphrase must be set",
        "the passphrase of stack {stack!r} is missing; set PULUMI_CONFIG_PASSPHRASE_FILE or PULUMI_CONFIG_PASSPHRASE",
    ),
    (
        "incorrect passphrase",
        "the passphrase in PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE is not that of stack {stack!r}",
    ),
    (
        "unable to read PULUMI_CONFIG_PASSPHRASE_FILE",
        "cannot read the file named by PULUMI_CONFIG_PASSPHRASE_FILE, which holds the passphrase of stack {stack!r}",
    ),
    (
        "the stack is currently locked",
        "stack {stack!r} is locked by another `pulumi`; wait for it, or, if none is running, run "
        "`pulumi cancel --stack {stack}`",
    ),
    ("unable to open bucket", "{said}; PULUMI_BACKEND_URL, or `pulumi login`, tells it where the state is stored"),
    (
        "unsupported checkpoint version",
        "the state of stack {stack!r} was written by a newer engine ({said}); update `pulumi`",
    ),
    (
        "needs support for the following features",
        "the state of stack {stack!r} was written by a newer engine ({said}); update `pulumi`",
    ),
    # Also said before these two: of any other reason.
    (
        "failed to load checkpoint",
        "the state of stack {stack!r} cannot be read ({said}): an engine was killed while it wrote; the cure is in "
        "docs/production.md, `A state that cannot be read`",
    ),
)
"""Errors of the engine (3.255) before it reached the stack, and one line that explains each, with the fix."""


def could_not_ask(stack: str, status: int, stderr: str) -> str | None:
    """Why the engine did not reach the stack, in one line with the fix; None if it did."""
    if status == NO_SUCH_STACK:
        return f"there is no stack {stack!r} in this backend; `pulumi stack ls` lists the existing ones"
    said = _in_one_line(stderr)
    known = next((line for words, line in _KNOWN if words in said), None)
    return known.format(stack=stack, said=f"pulumi: {said}") if known else None


def explain(stack: str, status: int, stderr: str) -> str:
    """The engine's error in one line, with the fix if it is known."""
    said = _in_one_line(stderr) or f"exit status {status} with no output"
    return could_not_ask(stack, status, stderr) or f"pulumi: {said}"


def _in_one_line(stderr: str) -> str:
    lines = [line.strip().removeprefix("error:").strip() for line in stderr.splitlines() if line.strip()]
    return printable("\n".join(lines))
