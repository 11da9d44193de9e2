"""Short commands on the machine itself."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from lab.base.errors import LabError


def run(
    command: Sequence[str],
    *,
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 600,
) -> str:
    """Run a command that must succeed, with `text` on its standard input, and give what it printed.

    Raises:
        LabError: it failed or took longer than that; the message ends in the last lines of what it said.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(command)}` took longer than {seconds:g} s") from None
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed") from None
    if done.returncode:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-12:])
        raise LabError(f"`{' '.join(command)}` failed ({done.returncode}):\n{said}")
    return done.stdout


def failure(command: Sequence[str], *, seconds: float = 30) -> str | None:
    """The last line that a command printed before it failed, or why it could not end; None when it ended well."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"no end within {seconds:g} s"
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")


def succeeds(command: Sequence[str], *, seconds: float = 30) -> bool:
    """Whether a command ends well in that time."""
    return failure(command, seconds=seconds) is None
