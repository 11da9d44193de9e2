"""A run of `fortress drift`: the state and the hosts read together, put right where that is asked for, read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fortress.cli import drift, engine, mend, pushed, ssh, stack
from fortress.cli.checks import exit_status
from fortress.cli.drift import Finding

Tell = Callable[[str], None]


class Drift:
    """What is known of one stack so far."""

    def __init__(self, name: str, access: ssh.Access, timeout: float) -> None:
        self._name = name
        self._access = access
        self._timeout = timeout
        self._findings: list[Finding] = []
        self._standing: stack.Standing
        self._exported: dict[str, Any] = {}

    def look(self, tell: Tell) -> list[Finding]:
        """Read everything. Raises CannotAskError."""
        self._standing = stack.read(self._name)
        # Encrypted, to be written back; the readable one below stays in memory.
        self._exported = engine.export(self._name)
        readable = engine.export(self._name, "--show-secrets")
        hosts = len(self._standing.hosts)
        tell(f"reading {hosts} hosts back")
        self._findings = drift.look(
            self._standing,
            pushed.read(readable),
            self._access,
            timeout=self._timeout,
            pending=pushed.interrupted(readable),
            tell=lambda done, total: tell(f"reading {hosts} hosts back: {done} of {total}"),
        )
        return self._findings

    @property
    def can_mend(self) -> bool:
        """Whether something differs that the engine can put right."""
        return any(finding.urns for finding in drift.drifted(self._findings))

    @property
    def exit_status(self) -> int:
        return exit_status(finding.check for finding in self._findings)

    def mend(self, tell: Tell) -> str | None:
        """Put right what differs; gives why not all could be."""
        found = drift.drifted(self._findings)
        try:
            mend.mend(
                self._name,
                self._standing,
                found,
                self._exported,
                self._access,
                timeout=self._timeout,
                tell=tell,
            )
        except mend.RefusedError as error:
            return str(error)
        return None
