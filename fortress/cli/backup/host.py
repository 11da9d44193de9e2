"""What the database's host is asked to do, and what it tells meanwhile."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fortress import backup
from fortress.cli.base.errors import CannotAskError, clipped
from fortress.cli.base.result import Result
from fortress.cli.hosts import ssh
from fortress.cli.hosts.ssh import not_asked
from fortress.cli.hosts.visit import visit
from fortress.facts import DatabaseFacts, StackOutputs

LISTING_TAKES_S = 240.0
"""Two repositories that open slowly."""
SILENCE_S = 30.0
"""The program on the host speaks every two seconds."""


class RunFailedError(Exception):
    """The run on the host ended badly; the text says why, and the cure. Exit status 1."""


@dataclass(frozen=True)
class RunProgress:
    """How far a run is."""

    phase: str
    done: float = 0
    total: float = 0
    unit: str = ""
    seconds: float = 0
    """Since it began."""


@dataclass(frozen=True)
class Keeper:
    """The host that keeps a stack's backups."""

    outputs: StackOutputs
    credentials: ssh.Credentials
    timeout: float
    host: str

    def list(self) -> dict[str, Any]:
        """What is stored at the target.

        Raises:
            RunFailedError: the target cannot be read.
            CannotAskError: the host cannot be asked.
        """
        result = self._visit(lambda session: session.run(self._words(session, "list"), takes=LISTING_TAKES_S))
        return _object(_last(result.stdout))

    def run(self, verb: str, tell: Callable[[RunProgress], None], *options: str, text: str = "") -> dict[str, Any]:
        """Have a run made, which goes on if the connection breaks; gives its facts.

        Raises:
            RunFailedError: it failed.
            CannotAskError: the host cannot be asked.
        """
        heard: list[dict[str, Any]] = []

        def hear(line: str) -> None:
            said = _object(line)
            heard.append(said)
            if "phase" in said:
                tell(RunProgress(**{name: said[name] for name in ("phase", "done", "total", "unit") if name in said}))

        try:
            self._visit(
                lambda session: session.follow(
                    self._words(session, "follow", verb, *options), hear, text=text, silence=SILENCE_S + self.timeout
                )
            )
        except CannotAskError as error:
            if not heard:
                raise
            raise CannotAskError(f"{error}; the run goes on there, and the same command tells of it again") from None
        ended = next((said for said in reversed(heard) if "ended" in said), None)
        if ended is None:
            raise RunFailedError(f"{self.host} did not say how the run ended; `fortress verify` does")
        if ended["trouble"]:
            raise RunFailedError(clipped(str(ended["trouble"])))
        facts: dict[str, Any] = ended["facts"]
        return facts

    def _words(self, session: ssh.Session, *words: str) -> str:
        return shlex.join([*session.sudo, str(backup.PROGRAM), *words])

    def _visit(self, ask: Callable[[ssh.Session], Result]) -> Result:
        results: list[Result] = []
        trouble = visit(
            self.outputs,
            self.credentials,
            self.timeout,
            lambda _name, session: results.append(ask(session)),
            hosts=[self.host],
        )
        if trouble:
            raise CannotAskError(trouble[self.host])
        (result,) = results
        if why := not_asked(result, self.host):
            raise CannotAskError(why)
        if result.status:
            raise RunFailedError(clipped(result.stderr.removeprefix("database-backup: ")))
        return result


def keeper(outputs: StackOutputs, stack: str, credentials: ssh.Credentials, timeout: float) -> Keeper:
    """The host that keeps a stack's backups.

    Raises:
        CannotAskError: none does.
    """
    database: DatabaseFacts | None = outputs.database
    if database is None or (host := database.backup_host) is None:
        raise CannotAskError(
            f"stack {stack!r} makes no backups; set database.backup in its settings and run `pulumi up`"
        )
    if host not in outputs.hosts:
        raise CannotAskError(f"{host}, the database's host, is set as gone")
    return Keeper(outputs, credentials, timeout, host)


def _last(text: str) -> str:
    lines: Sequence[str] = text.splitlines()
    return lines[-1] if lines else ""


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CannotAskError(f"the host printed {clipped(line)!r}")
    return found
