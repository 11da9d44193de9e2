"""What `backup now`, `drill`, `restore` and `backups` do alike: the database's host does it, and tells how it ended."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from fortress.cli.backup import cluster, show
from fortress.cli.backup.host import Keeper, RunFailedError, RunProgress, keeper
from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.terminal import complain
from fortress.cli.base.verb import orderly, progress, say
from fortress.cli.engine import outputs as stack_outputs
from fortress.cli.hosts import ssh


def work(
    stack: str,
    verb: str,
    as_text: Callable[[dict[str, Any]], str],
    *options: str,
    text: str = "",
    json: bool,
    timeout: float,
    key: Path | None,
) -> None:
    """Have the host do a run, show how far it is, and say what came of it. Exits with 1 if it failed."""
    with _asking(stack, json, timeout, key) as (host, tell):
        last: tuple[str, float] = ("", 0.0)

        def hear(now: RunProgress) -> None:
            nonlocal last
            if now.phase != last[0]:
                last = (now.phase, time.monotonic())
                if not sys.stderr.isatty():
                    complain(f"{host.host}: {now.phase}")
            tell(f"{host.host}: {show.progress(replace(now, seconds=time.monotonic() - last[1]))}")

        others = cluster.members(host) if verb == "restore" else None
        if others is None:
            facts = host.run(verb, hear, *options, text=text)
        else:
            facts = cluster.restore(host, others, hear, *options, text=text)
    say(show.as_json(stack, facts) if json else as_text(facts))


def listing(stack: str, *, json: bool, timeout: float, key: Path | None) -> dict[str, Any]:
    """What is stored at the target. Exits with 1 if it cannot be read."""
    with _asking(stack, json, timeout, key) as (host, tell):
        tell(f"{host.host} lists the target")
        return host.list()


@contextmanager
def _asking(stack: str, json: bool, timeout: float, key: Path | None) -> Iterator[tuple[Keeper, Callable[[str], None]]]:
    """The host that keeps the backups; what goes wrong there is told, and ends the command."""
    with orderly(in_json(stack, json)):
        try:
            with progress(f"reading stack {stack}") as tell:
                credentials = ssh.prepare(key, os.environ)
                yield keeper(stack_outputs.read(stack), stack, credentials, timeout), tell
        except RunFailedError as error:
            complain(str(error))
            if json:
                say(show.as_json(stack, {}, str(error)))
            raise typer.Exit(1) from None


def in_json(stack: str, json: bool) -> Callable[[CannotAskError], None]:
    """How `orderly` tells a program what is missing."""
    return lambda error: say(show.as_json(stack, {}, str(error))) if json else None


def moment(text: str) -> str:
    """A time as the host takes it.

    Raises:
        CannotAskError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CannotAskError(f"--at {text}: is no time; write it as 2026-11-29T14:00:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def text_of(path: Path) -> str:
    """What `--deletions` names.

    Raises:
        CannotAskError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotAskError(f"--deletions {path}: {getattr(error, 'strerror', None) or error}") from None
