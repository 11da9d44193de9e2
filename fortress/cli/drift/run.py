"""A run of `fortress drift`: the state and the hosts read together, put right where that is asked for, read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fortress.cli.check.check import exit_status
from fortress.cli.drift import pushed, readback, repair
from fortress.cli.drift.readback import Finding
from fortress.cli.engine import outputs
from fortress.cli.engine import run as engine
from fortress.cli.engine.state import interrupted
from fortress.cli.hosts import ssh

Tell = Callable[[str], None]


class Drift:
    """What is known of one stack so far."""

    def __init__(self, name: str, access: ssh.Access, timeout: float) -> None:
        self._name = name
        self._access = access
        self._timeout = timeout
        self._findings: list[Finding] = []
        self._standing: outputs.Standing
        self._exported: dict[str, Any] = {}

    def look(self, tell: Tell) -> list[Finding]:
        """Read everything. Raises CannotAskError."""
        self._standing = outputs.read(self._name)
        # Encrypted, to be written back; the readable one below stays in memory.
        self._exported = engine.export(self._name)
        readable = engine.export(self._name, "--show-secrets")
        hosts = len(self._standing.hosts)
        tell(f"reading {hosts} hosts back")
        self._findings = readback.look(
            self._standing,
            pushed.read(readable),
            self._access,
            timeout=self._timeout,
            pending=interrupted(readable),
            tell=lambda done, total: tell(f"reading {hosts} hosts back: {done} of {total}"),
        )
        return self._findings

    @property
    def can_mend(self) -> bool:
        """Whether something differs that the engine can put right."""
        return any(finding.urns for finding in readback.drifted(self._findings))

    @property
    def exit_status(self) -> int:
        return exit_status(finding.check for finding in self._findings)

    def mend(self, tell: Tell) -> str | None:
        """Put right what differs; gives why not all could be."""
        found = readback.drifted(self._findings)
        try:
            repair.mend(
                self._name,
                self._standing,
                found,
                self._exported,
                self._access,
                timeout=self._timeout,
                tell=tell,
            )
        except repair.RefusedError as error:
            return str(error)
        return None
