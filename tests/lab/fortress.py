"""The fortress that tests work on: the project's own program and settings, in a folder where tests may change these."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lab import api
from lab.base.folders import Lab

ROOT = Path(__file__).parents[2]
PREFIX = "data-fortress:"
Settings = dict[str, Any]
_LOOKING = ("preview", "stack", "config")
"""Commands of the engine, as the tests use them, that change nothing that stands."""


class EngineError(AssertionError):
    """The engine ended badly; the text is all that it said."""


class Fortress:
    """A stack on one lab: `lab` on its hosts, or `oslo` on the stand-ins for the clouds."""

    def __init__(self, lab: Lab, project: Path, stack: str = "lab") -> None:
        self.lab = lab
        self.project = project
        self.stack = stack
        self._brought_up: Settings = {}  # the stack file of the last `up`, while nothing else was done to the stack
        self._answers: dict[tuple[str, ...], str] = {}
        for name in ("__main__.py", "Pulumi.yaml", ".venv", "program", "components", "fortress", "examples"):
            (project / name).symlink_to(ROOT / name)
        self.original = (ROOT / f"Pulumi.{stack}.yaml").read_text()
        self.file.write_text(self.original)

    @property
    def file(self) -> Path:
        """The stack file of the tests."""
        return self.project / f"Pulumi.{self.stack}.yaml"

    def change(self, mutate: Callable[[Settings], object]) -> None:
        """Change settings: `mutate` is given them by name, without the `data-fortress:` prefix."""
        stack = yaml.safe_load(self.file.read_text())
        own = {key: value for key, value in stack["config"].items() if key.startswith(PREFIX)}
        plain = {key.removeprefix(PREFIX): value for key, value in own.items()}
        mutate(plain)
        others = {key: value for key, value in stack["config"].items() if key not in own}
        stack["config"] = others | {f"{PREFIX}{key}": value for key, value in plain.items()}
        self.file.write_text(yaml.safe_dump(stack, sort_keys=False))

    @contextmanager
    def changed(self, mutate: Callable[[Settings], object]) -> Iterator[None]:
        """Settings changed for a while; at the end they are as in the project, and brought up."""
        self.change(mutate)
        try:
            yield
        finally:
            self.restore()

    def restore(self) -> None:
        """Have the fortress stand by the settings of the project, unless the last `up` had it so."""
        self.file.write_text(self.original)
        if self._brought_up != yaml.safe_load(self.original):
            self.up()

    def pulumi(self, *arguments: str, timeout: float = 420) -> subprocess.CompletedProcess[str]:
        """Run the engine on the stack, as `make pulumi` does; stdout and stderr come together."""
        if arguments[0] not in _LOOKING:
            self._brought_up = {}
            self._answers.clear()
        return subprocess.run(
            [str(ROOT / "lab/pulumi.sh"), *arguments],
            env={**os.environ, **api.environment(), "LAB_PROJECT": str(self.project), "LAB_STACK": self.stack},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def engine(self, *arguments: str, timeout: float = 420) -> str:
        """The same, where it must end well. Raises EngineError."""
        done = self.pulumi(*arguments, timeout=timeout)
        if done.returncode:
            raise EngineError(done.stdout)
        return done.stdout

    def look(self, *arguments: str) -> str:
        """What a command that only looks prints; it is run again once another one was run."""
        if arguments not in self._answers:
            self._answers[arguments] = self.engine(*arguments)
        return self._answers[arguments]

    def up(self, *arguments: str) -> str:
        """`pulumi up`; gives what it printed."""
        stack_file = yaml.safe_load(self.file.read_text())
        said = self.engine("up", "--yes", "--skip-preview", "--suppress-outputs", *arguments)
        self._brought_up = stack_file if set(arguments) <= {"--color", "never", "--diff"} else {}
        return said

    def preview(self, *arguments: str) -> str:
        """`pulumi preview --diff`; gives what it printed."""
        return self.engine("preview", "--diff", "--suppress-outputs", *arguments)

    def facts(self) -> dict[str, Any]:
        """The stack's output `fortress`."""
        done = self.look("stack", "output", "fortress", "--json")
        facts: dict[str, Any] = json.loads(done[done.index("{") :])
        return facts

    def command(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the `fortress` command as an operator does: in the project's folder, from the operator's namespace."""
        tool = str(Path(sys.executable).with_name("fortress"))
        return api.in_operator(["env", "-C", str(self.project), tool, *arguments], timeout=timeout)

    def check_whole(self, seconds: float = 60) -> None:
        """All checks of `fortress verify` hold, within so many seconds: a tunnel that just came up needs a few."""
        began = time.monotonic()
        while True:
            done = self.command("verify", "--stack", self.stack)
            if done.returncode == 0:
                return
            assert time.monotonic() - began < seconds, done.stdout + done.stderr


def on(host: str, command: str) -> str:
    """What a command prints on a host, run there as root and not through the network; it must succeed."""
    done = api.console(host, command)
    assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@contextmanager
def one_more_host(name: str) -> Iterator[None]:
    """A host that runs for a while: new, and gone with its disk at the end, whatever was done to it."""
    assert api.start(name), f"an earlier test left {name} running"
    try:
        yield
    finally:
        api.kill(name, wipe=True)


@contextmanager
def running_again(*hosts: str) -> Iterator[None]:
    """Hosts that may be killed meanwhile: at the end they run, on the disk they have then or on a new one."""
    try:
        yield
    finally:
        for host in hosts:
            api.start(host)


SSH_JOURNAL = "journalctl --sync; journalctl -t sshd -t sshd-session -t sshd-auth -o cat --no-pager"
"""What sshd noted, by the names of its processes: the journal loses the unit of one that ends before it looks."""


def ssh_logins(host: str) -> int:
    """How many SSH sessions the host has let in, this question not counted."""
    return int(on(host, f"{SSH_JOURNAL} | grep -c '^Accepted ' || true"))


def ssh_contacts() -> dict[str, int]:
    """For each host that runs, how many connections were made to its SSH, mere looks at its key too.

    A connection is noted when it logs in, or when it ends without; the second takes sshd a moment.
    """
    ended = r"^(Accepted |(Connection|Disconnected) .*\[preauth\])"
    running = [name for name, host in api.hosts().items() if host.running]
    return {name: int(on(name, f"{SSH_JOURNAL} | grep -cE '{ended}' || true")) for name in running}
