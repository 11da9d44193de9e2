"""What every verb does alike: how it shows progress, asks, writes its answer and ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.terminal import COULD_NOT_ASK, INTERRUPTED, complain


@contextmanager
def orderly(tell: Callable[[CannotAskError], None] = lambda _error: None) -> Iterator[None]:
    """End as a command should: one line and status 2 if something is missing, nothing and status 130 on Ctrl-C.

    `tell` writes the object of `--json` for what is missing.
    """
    try:
        yield
    except CannotAskError as error:
        complain(str(error))
        tell(error)
        raise typer.Exit(COULD_NOT_ASK) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal's standard error what is in progress, and wipe it away at the end."""
    if not sys.stderr.isatty():
        yield lambda _message: None
        return
    from rich.console import Console

    with Console(stderr=True, markup=False, highlight=False).status(message, spinner="line") as status:
        yield status.update


def is_terminal() -> bool:
    """Whether somebody reads standard output on a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def confirm(question: str, *, yes: bool, unchanged: str, possible: bool = True) -> None:
    """Ask, unless `yes`; end with status 1 where the answer is no, or nobody can answer.

    `unchanged` is what is said then. It is not `possible` to ask where a program reads the answer.
    """
    if yes:
        return
    if not possible or not sys.stdin.isatty():
        complain(f"{unchanged}; use --yes to do it without confirmation")
        raise typer.Exit(1)
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        complain(unchanged)
        raise typer.Exit(1)


def say(text: str) -> None:
    """Print to standard output; a reader that went away (`| head`) is no error, a full disk is one."""
    if sys.stdout is None:
        complain("cannot write to standard output: it is closed")
        raise typer.Exit(COULD_NOT_ASK)
    try:
        print(text, end="", flush=True)
    except OSError as error:
        # Python would try once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            complain(f"cannot write to standard output: {error.strerror}")
            raise typer.Exit(COULD_NOT_ASK) from None


def put(file: Path | None, text: str) -> None:
    """Write it to a file; where there is none, and where it is `-`, to standard output.

    Raises:
        CannotAskError: the file cannot be written.
    """
    if file is None or str(file) == "-":
        say(text)
    else:
        save(file, text)


def put_unasked(file: Path | None, text: str) -> None:
    """Put the object that says why there is no answer in place of an older one; print it if FILE cannot be written."""
    try:
        put(file, text)
    except CannotAskError:
        say(text)


def save(file: Path, text: str) -> None:
    """Write it to a file atomically.

    Raises:
        CannotAskError: that fails.
    """
    try:
        if file.exists() and not file.is_file():  # a pipe or a device cannot be replaced by a file
            file.write_text(text, encoding="utf-8")
        else:
            target = Path(os.path.realpath(file))
            if target.is_symlink():  # of links that lead to each other, which Path.resolve tells until Python 3.12 only
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            _replace(target, text)
    except OSError as error:
        raise CannotAskError(f"{file} cannot be written: {error.strerror}") from None


def _replace(file: Path, text: str) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
