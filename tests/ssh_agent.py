"""A real ssh-agent, for tests of those who log in with one."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTS_S = 20.0


@contextmanager
def ssh_agent(path: Path, *keys: Path) -> Iterator[Path]:
    """An agent that listens at `path`, and has these keys in this order."""
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + STARTS_S
        while not _listens(path):
            assert process.poll() is None, "ssh-agent has ended"
            assert time.monotonic() < deadline, f"ssh-agent does not listen after {STARTS_S:g} s"
            time.sleep(0.02)
        for key in keys:
            subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(path)}, check=True)
        yield path
    finally:
        process.terminate()
        process.wait(10)


def _listens(path: Path) -> bool:
    """A socket is there before its maker listens."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(path)) == 0
