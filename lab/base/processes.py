"""Processes that outlive the command that started them, known by pid files.

A process is recognised by its id, its start time and the boot of the machine, and signals go through a pidfd:
whatever recycled the id of one of ours is never touched.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError


@dataclass(frozen=True)
class Process:
    """A process of one boot: `start` is its start time in clock ticks since then."""

    pid: int
    start: int
    boot: str

    @property
    def network(self) -> Path:
        """Its network namespace."""
        return Path(f"/proc/{self.pid}/ns/net")


def boot_id() -> str:
    """What tells this boot of the machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def parse_stat(text: str) -> tuple[str, int]:
    """State letter and start time (clock ticks) from the text of /proc/PID/stat; the name in it may hold anything."""
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def look(pid: int) -> Process | None:
    """The process that has this id now; None when there is none, or only its remains."""
    try:
        state, start = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    if state in "ZX":
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return None
    return Process(pid, start, boot_id())


def alive(pid_file: Path) -> Process | None:
    """The process that the file speaks of; None when it has ended or the file is not there."""
    try:
        pid, start, boot = pid_file.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    process = Process(int(pid), int(start), boot)
    return process if look(process.pid) == process else None


def spawn(command: Sequence[str], pid_file: Path, log: Path) -> Process:
    """Start `command` in a session of its own, its output appended to `log`, and note it in `pid_file`.

    Of the environment it gets PATH alone: it will stand for days, and the caller's may hold secrets.

    Raises:
        LabError: it ended at once.
    """
    pid = os.posix_spawnp(
        command[0],
        list(command),
        {"PATH": os.environ["PATH"]},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGXFSZ],
    )
    process = look(pid)
    if process is None:
        raise LabError(f"{command[0]} ended at once, see {log}")
    written = pid_file.with_suffix(".new")
    written.write_text(f"{process.pid} {process.start} {process.boot}\n")
    written.rename(pid_file)
    return process


def send(process: Process, number: int) -> bool:
    """Send a signal; False when the process has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if look(process.pid) != process:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def wait(process: Process, seconds: float) -> bool:
    """Wait for the end of a process; False when it still runs after that time."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if look(process.pid) != process:
            return True
        watch = select.poll()
        watch.register(handle, select.POLLIN)
        ended = bool(watch.poll(max(0, int(seconds * 1000))))
    finally:
        os.close(handle)
    if ended:
        look(process.pid)  # reaps it when it was a child of ours
    return ended


def end(pid_file: Path, seconds: float = 5) -> None:
    """End the process that the file speaks of, by force when it takes longer than that, and remove the file."""
    if process := alive(pid_file):
        send(process, signal.SIGTERM)
        if not wait(process, seconds):
            send(process, signal.SIGKILL)
            wait(process, seconds)
    pid_file.unlink(missing_ok=True)


def until(what: str, seconds: float, test: Callable[[], bool], every: float = 0.02) -> None:
    """Look every so many seconds until `test` holds.

    Raises:
        LabError: the time is over.
    """
    deadline = time.monotonic() + seconds
    while not test():
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(every)
