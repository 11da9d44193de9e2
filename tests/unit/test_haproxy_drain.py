"""haproxy-drain: processes of an older configuration are waited for, on real processes and under dash."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "fortress/scripts/haproxy-drain"


MASTER = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has ended is gone at once, as with haproxy's master
for line in sys.stdin:
    if os.fork() == 0:
        os.execlp("sleep", "sleep", line.strip())
"""


class Master:
    """A process with children, which the double of systemctl names as haproxy's."""

    def __init__(self, folder: Path) -> None:
        self.configuration = folder / "haproxy.cfg"
        self.process = subprocess.Popen([sys.executable, "-c", MASTER], stdin=subprocess.PIPE, text=True)
        self.environment = {
            **os.environ,
            "PATH": f"{ROOT / 'tests/doubles/bin-host'}:{os.environ['PATH']}",
            "PUSH_DOUBLES": str(folder),
        }
        (folder / "unit-states").write_text("active 1\n")
        (folder / "main-pid").write_text(f"{self.process.pid}\n")

    def worker(self, seconds: float) -> None:
        """One more, which ends by itself."""
        assert self.process.stdin
        before = len(self.workers())
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        end = time.monotonic() + 5
        while len(self.workers()) == before:
            assert time.monotonic() < end
            time.sleep(0.01)

    def workers(self) -> list[str]:
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def write(self) -> None:
        time.sleep(0.2)  # well apart from what began before
        self.configuration.write_text("# written now\n")
        time.sleep(0.2)

    def written(self) -> str:
        """The configuration by its time, as the script names it."""
        seconds, rest = divmod(self.configuration.stat().st_mtime_ns, 10**9)
        when = datetime.fromtimestamp(seconds, UTC)
        return f"the configuration of {when:%F %T}.{rest // 10**6:03}"

    def drain(self, seconds: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["dash", str(SCRIPT), str(seconds), str(self.configuration)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    found = Master(tmp_path)
    yield found
    for worker in found.workers():
        subprocess.run(["kill", worker], check=False)
    found.process.kill()
    found.process.wait()


def test_an_older_worker_is_waited_for_and_a_younger_one_is_not(master: Master) -> None:
    master.worker(4.0)
    master.write()
    master.worker(60)
    began = time.monotonic()
    done = master.drain(20)
    assert (done.returncode, done.stdout) == (0, f"drained: nothing older than {master.written()} serves requests\n")
    assert 0.8 < time.monotonic() - began < 10


def test_before_the_new_worker_has_begun_the_old_one_counts_as_old(master: Master) -> None:
    master.worker(3.0)
    master.write()
    began = time.monotonic()
    assert master.drain(20).stdout.startswith("drained: ")
    assert time.monotonic() - began > 0.5


def test_a_worker_that_serves_on_is_left_to_itself(master: Master) -> None:
    master.worker(60)
    master.write()
    began = time.monotonic()
    done = master.drain(1)
    assert (done.returncode, done.stdout) == (
        0,
        f"a process older than {master.written()} still serves requests after 1 s; it ends by itself\n",
    )
    assert time.monotonic() - began < 5


def test_a_haproxy_that_does_not_run_is_said(master: Master, tmp_path: Path) -> None:
    (tmp_path / "main-pid").write_text("0\n")
    master.write()
    done = master.drain(1)
    assert done.returncode == 1
    assert "haproxy is not running; see: journalctl -u haproxy" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["ten"], ["1", "/etc/hosts", "3"]])
def test_wrong_words_are_refused(master: Master, arguments: list[str]) -> None:
    done = subprocess.run(
        ["dash", str(SCRIPT), *arguments], env=master.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("haproxy-drain: ")
