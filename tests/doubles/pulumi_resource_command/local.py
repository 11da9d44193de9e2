"""Runs a command on this machine as `command:local:Command` does (the plugin's `local/commandOutputs.go`)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .context import Context
from .output import Capture, Stream
from .words import CommandError, os_words, quote

_CHUNK = 65536  # bytes read at once


def run(
    context: Context,
    command: str,
    *,
    interpreter: Sequence[str] | None,
    directory: str | None,
    environment: Mapping[str, str],
    stdin: str | None,
    capture: Capture,
) -> None:
    """Runs the command by the interpreter (`/bin/sh -c`), printing into the capture.

    Raises: CommandError with the exit status, the whole command and what it printed.
    """
    reason = _run([*(interpreter or ("/bin/sh", "-c")), command], directory, environment, stdin, capture, context)
    capture.close()
    if reason:
        raise CommandError(f"{reason}: running {quote(command)}:\n{capture.together()}")


def _run(
    argv: Sequence[str],
    directory: str | None,
    environment: Mapping[str, str],
    stdin: str | None,
    capture: Capture,
    context: Context,
) -> str:
    program = argv[0] if "/" in argv[0] else shutil.which(argv[0])
    if program is None:
        return f"exec: {quote(argv[0])}: executable file not found in $PATH"
    if directory is not None and not Path(directory).is_dir():
        if Path(directory).exists():
            return f"fork/exec {program}: not a directory"
        return f"chdir {directory}: no such file or directory"
    try:
        process = subprocess.Popen(
            argv,
            executable=program,
            cwd=directory,
            env=os.environ | environment,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        return f"fork/exec {program}: {os_words(error)}"
    work = [
        threading.Thread(target=_pump, args=(process.stdout, Stream.STDOUT, capture)),
        threading.Thread(target=_pump, args=(process.stderr, Stream.STDERR, capture)),
    ]
    if stdin:
        work.append(threading.Thread(target=_feed, args=(process.stdin, stdin.encode())))
    for thread in work:
        thread.start()
    while process.poll() is None:
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            if context.ended():
                process.kill()  # the interpreter only, as the plugin does; what it started lives on
    for thread in work:
        thread.join()
    if process.returncode < 0:
        return f"signal: {_signal_words(-process.returncode)}"
    return f"exit status {process.returncode}" if process.returncode else ""


def _signal_words(number: int) -> str:
    return (signal.strsignal(number) or f"signal {number}").lower()


def _pump(source: IO[bytes], stream: Stream, capture: Capture) -> None:
    with source:
        while data := os.read(source.fileno(), _CHUNK):
            capture.add(stream, data)


def _feed(sink: IO[bytes], data: bytes) -> None:
    # a command that does not read its input closes the pipe: not an error
    try:
        with sink:
            sink.write(data)
    except BrokenPipeError:
        pass
