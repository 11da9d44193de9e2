"""A run of `fortress drift`: the state and the hosts read together, put right where that is asked for, read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fortress.cli.check.check import exit_status
from fortress.cli.drift import pushed, readback, repair
from fortress.cli.drift.readback import Finding
from fortress.cli.engine import run as engine
from fortress.cli.engine.outputs import of_state
from fortress.cli.engine.state import interrupted
from fortress.cli.hosts import ssh
from fortress.facts import StackOutputs

Tell = Callable[[str], None]


class Drift:
    """What is known of one stack so far."""

    def __init__(self, name: str, credentials: ssh.Credentials, timeout: float) -> None:
        self._name = name
        self._credentials = credentials
        self._timeout = timeout
        self._findings: list[Finding] = []
        self._outputs: StackOutputs
        self._readable: dict[str, Any] = {}

    def look(self, tell: Tell) -> list[Finding]:
        """Read everything.

        Raises:
            CannotAskError: the engine or the hosts cannot be asked.
        """
        self._readable = engine.export(self._name, "--show-secrets")
        self._outputs = of_state(self._readable, self._name)
        hosts = len(self._outputs.hosts)
        tell(f"reading {hosts} hosts back")
        self._findings = readback.look(
            self._outputs,
            pushed.read(self._readable),
            self._credentials,
            timeout=self._timeout,
            pending=interrupted(self._readable),
            tell=lambda done, total: tell(f"reading {hosts} hosts back: {done} of {total}"),
        )
        return self._findings

    @property
    def can_repair(self) -> bool:
        """Whether something differs that the engine can put right."""
        return any(finding.urns for finding in readback.drifted(self._findings))

    @property
    def exit_status(self) -> int:
        return exit_status(finding.check for finding in self._findings)

    def repair(self, tell: Tell) -> str | None:
        """Put right what differs; gives why not all could be."""
        found = readback.drifted(self._findings)
        try:
            repair.repair(
                self._name,
                self._outputs,
                found,
                self._readable,
                self._credentials,
                timeout=self._timeout,
                tell=tell,
            )
        except repair.NotRepairedError as error:
            return str(error)
        return None
