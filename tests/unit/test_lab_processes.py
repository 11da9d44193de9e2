"""Processes that outlive their command: only what was started is ever ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.base import cgroups, folders, processes
from lab.base.errors import LabError


def test_stat_with_a_name_that_holds_brackets_and_spaces() -> None:
    fields = " ".join(str(number) for number in range(4, 53))
    assert processes.parse_stat(f"7 (a) S (b) R {fields}") == ("R", 22)


def test_a_process_is_started_found_and_ended(tmp_path: Path) -> None:
    pid_file, log = tmp_path / "it.pid", tmp_path / "it.log"
    started = processes.spawn(["sh", "-c", "echo said; echo wrong >&2; exec sleep 60"], pid_file, log)
    assert processes.alive(pid_file) == started
    assert os.getsid(started.pid) == started.pid
    environment = Path(f"/proc/{started.pid}/environ").read_text().split("\0")
    assert {pair.partition("=")[0] for pair in environment} <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_", ""}
    processes.until("its words", 60, lambda: log.read_text() == "said\nwrong\n")
    processes.end(pid_file)
    assert not pid_file.exists()
    assert processes.look(started.pid) is None


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "it.pid"
    command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
    started = processes.spawn(command, pid_file, tmp_path / "log")
    processes.until("the trap", 60, lambda: (tmp_path / "log").read_text() == "ready\n")
    processes.end(pid_file, seconds=0.3)
    assert processes.look(started.pid) is None


@pytest.mark.parametrize("forged", ["start", "boot"])
def test_a_recycled_id_is_left_alone(tmp_path: Path, forged: str) -> None:
    """A pid file of an earlier process, or of an earlier boot, whose id is somebody else's by now."""
    pid_file = tmp_path / "it.pid"
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            now = processes.look(bystander.pid)
            assert now
            start, boot = (now.start - 1, now.boot) if forged == "start" else (now.start, "another-boot")
            pid_file.write_text(f"{now.pid} {start} {boot}\n")
            assert processes.alive(pid_file) is None
            assert processes.send(processes.Process(now.pid, start, boot), signal.SIGKILL) is False
            assert processes.wait(processes.Process(now.pid, start, boot), 5)
            processes.end(pid_file)
            time.sleep(0.05)
            assert bystander.poll() is None
            assert not pid_file.exists()
        finally:
            bystander.kill()


def test_remains_of_a_process_are_no_process(tmp_path: Path) -> None:
    pid_file = tmp_path / "it.pid"
    started = processes.spawn(["sleep", "60"], pid_file, tmp_path / "log")
    os.kill(started.pid, signal.SIGKILL)
    assert processes.wait(started, 5)
    assert processes.alive(pid_file) is None


@pytest.mark.parametrize("content", ["", "12", "not a number 3\n"])
def test_a_broken_pid_file_speaks_of_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "it.pid").write_text(content)
    assert processes.alive(tmp_path / "it.pid") is None


def test_waiting_has_an_end() -> None:
    with pytest.raises(LabError, match=r"waited 0\.1 s in vain for rain"):
        processes.until("rain", 0.1, lambda: False)


def test_the_hierarchy_is_found_beside_old_ones() -> None:
    hybrid = "cgroup /sys/fs/cgroup/pids cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    assert cgroups.hierarchy(hybrid) == Path("/sys/fs/cgroup/unified")
    assert cgroups.hierarchy("proc /proc proc rw 0 0\n") is None


def test_a_name_that_would_not_fit_a_unit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a-b", "Lab", "0lab", "../x", "a" * 17):
        monkeypatch.setenv("FORTRESS_LAB", name)
        with pytest.raises(LabError, match="cannot name a lab"):
            folders.current()
    monkeypatch.setenv("FORTRESS_LAB", "")
    assert folders.current().name == "lab"
    monkeypatch.delenv("FORTRESS_LAB")
    assert folders.current().folder == Path("/var/lib/data-fortress/lab")


def test_a_lock_survives_the_removal_of_its_folder(tmp_path: Path) -> None:
    """Who waited for a folder that its holder removed gets a new one, not the lock on a ghost."""
    folder = tmp_path / "held"
    script = (
        "import pathlib, sys, time\nfrom lab.base.folders import locked\nf = pathlib.Path(sys.argv[1])\n"
        "with locked(f):\n print('in', flush=True); sys.stdin.read(1); f.rmdir() if sys.argv[2] == 'remove' else None\n"
        "print(f.is_dir(), flush=True)"
    )
    command = [sys.executable, "-c", script, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "remove"], **pipes) as first:  # type: ignore[call-overload]
        assert first.stdout.readline() == "in\n"
        with subprocess.Popen([*command, "keep"], **pipes) as second:  # type: ignore[call-overload]
            time.sleep(0.5)
            assert first.communicate("x", timeout=60)[0] in ("False\n", "True\n")
            assert second.stdout.readline() == "in\n"
            assert second.communicate("x", timeout=60)[0] == "True\n"
