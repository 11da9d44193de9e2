"""`fortress verify`: every check of a standing fortress, measured on its hosts and from where the command runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fortress.cli.base.errors import GARBLED
from fortress.cli.check.certificate import certificate_days
from fortress.cli.check.check import Check, in_order
from fortress.cli.check.kinds import Kind
from fortress.cli.check.question import Question
from fortress.cli.hosts import ssh
from fortress.cli.hosts.roles import Reports
from fortress.cli.hosts.visit import Tell, converse
from fortress.cli.verify import containers, from_here, renewal, roles, verdicts
from fortress.cli.verify.from_here import Seen
from fortress.cli.verify.questions import Clock, Questions
from fortress.cli.verify.verdicts import DatabaseAnswer
from fortress.facts import DatabaseFacts, EdgeFacts, StackOutputs
from fortress.host_keys import fingerprint


def measure(
    stack: str,
    outputs: StackOutputs,
    credentials: ssh.Credentials,
    *,
    timeout: float,
    io: bool = False,
    besides: Callable[[str], Question] | None = None,
    clock: Clock = time.time,
    tell: Tell = lambda _done, _total: None,
) -> list[Check]:
    """Every check of a fortress, in the order in which they are shown.

    `timeout` is the seconds that a host may take for an answer, `clock` the operator's; `io` puts the database's disk
    under load for half a minute; `besides` is one more question to each host by its name, whose checks come last.
    A host that does not answer leaves its checks unknown; nothing raises because of one.
    """
    return in_order(_Survey(stack, outputs, credentials, timeout, io, besides, clock, tell).take())


@dataclass
class _Survey:
    """One run: what is known so far, filled by a thread for each host and a few for what is seen from here."""

    stack: str
    outputs: StackOutputs
    credentials: ssh.Credentials
    timeout: float
    io: bool
    besides: Callable[[str], Question] | None
    clock: Clock
    tell: Tell
    checks: dict[str, list[Check]] = field(default_factory=dict)
    silence: dict[str, str] = field(default_factory=dict)
    """Why a host did not answer SSH at all; a refusal is an answer."""
    database_seen: dict[str, DatabaseAnswer] = field(default_factory=dict)
    roles_seen: Reports = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)
    containers_said: containers.Answers = field(default_factory=dict)
    done: int = 0
    total: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> list[Check]:
        asked = Questions(self.outputs, self.clock, self.database_seen, self.roles_seen, self.io)
        questions = {name: asked.of(name) for name in self.outputs.hosts}
        if self.besides is not None:
            for name, each in questions.items():
                each.append(self.besides(name))
        # One answer for each question, for each connection, and for the three looks from outside.
        self.total = sum(1 + len(each) for each in questions.values()) + 3
        through = converse(
            self.outputs,
            self.credentials,
            self.timeout,
            lambda name, session: self._ask(name, questions[name], session),
            self.outputs.hosts,
            besides=(self._scan, self._ask_edge, self._ask_containers),
        )
        found = [] if through is None else [self._bastion(through)]
        found += [check for name in self.outputs.hosts for check in self.checks[name]]
        if self.outputs.database:
            found.append(self._database_certificate(self.outputs.database))
            if servers := self.outputs.database.servers:
                said = {name: self.roles_seen.get(name, "was not asked") for name in servers}
                found.append(roles.primary(Check(Kind.DATABASE_PRIMARY, self.outputs.database.host), said))
        if self.outputs.edge:
            found.append(self._failover(self.outputs.edge))
        found += containers.judge(self.outputs, self.containers_said)
        return [*found, *from_here.judge(self.stack, self.outputs, self.seen, self.silence, self.clock())]

    def _count(self) -> None:
        with self.lock:
            self.done += 1
            self.tell(self.done, self.total)

    def _bastion(self, through: ssh.Session | ssh.SshError) -> Check:
        """The check of the bastion's key; it is asked nothing else."""
        check = Check(Kind.HOST_KEY, "the bastion", limit="as pinned")
        if isinstance(through, ssh.HostKeyError):
            return check.fail("another key", str(through))
        if isinstance(through, ssh.SshError) and not isinstance(through, ssh.LoginError):
            return check.unknown(f"the bastion {through}")
        return check.ok("as pinned")

    def _ask(self, name: str, questions: Iterable[Question], session: ssh.Session | ssh.SshError) -> None:
        key, trouble = self._opened(name, session)
        self._count()
        found = [key]
        for question in questions:
            try:
                if isinstance(session, ssh.SshError) or trouble:
                    raise ssh.SshError(trouble)
                found += question.ask(session)
            except ssh.SshError as error:
                why = trouble or f"{name} {error}"
                found += [check.unknown(why) for check in question.checks]
                if isinstance(session, ssh.Session) and not session.alive():
                    trouble = why
            except GARBLED:
                why = f"{name} printed unreadable output"
                found += [check.unknown(why) for check in question.checks]
            self._count()
        self.checks[name] = found

    def _opened(self, name: str, session: ssh.Session | ssh.SshError) -> tuple[Check, str]:
        """The check of the host's key, and why the host cannot be asked; no word where it can."""
        check = Check(Kind.HOST_KEY, name, limit="as pinned")
        as_pinned = check.ok("as pinned", fingerprint(self.outputs.hosts[name].host_key))
        match session:
            case ssh.HostKeyError():
                why = f"{name} is not asked: its host key is not the pinned one"
                return check.fail("another key", str(session)), why
            case ssh.LoginError():
                return as_pinned, f"{name} {session}"
            case ssh.SshError():
                self.silence[name] = f"{name} {session}"
                return check.unknown(self.silence[name]), self.silence[name]
        return as_pinned, ""

    def _scan(self) -> None:
        from_here.scan(self.outputs, self.seen)
        self._count()

    def _ask_edge(self) -> None:
        from_here.ask_edge(self.outputs, self.seen, self.timeout)
        self._count()

    def _ask_containers(self) -> None:
        self.containers_said = containers.ask(self.outputs, self.timeout)
        self._count()

    def _database_certificate(self, database: DatabaseFacts) -> Check:
        """Every worker sees the same certificate; the first that saw one will do."""
        limit = self.outputs.limits.certificate_days
        check = Check(Kind.DATABASE_CERTIFICATE, database.host, limit=limit)
        cure = renewal.of_database(self.stack, self.outputs, database)
        for answer in self.database_seen.values():
            if answer.error is None:
                return certificate_days(check, answer.not_after, self.clock(), limit, cure)
        return check.unknown("no worker could reach the database over TLS")

    def _failover(self, edge: EdgeFacts) -> Check:
        limit = self.outputs.limits.failover_s
        return verdicts.failover(Check(Kind.FAILOVER, edge.host, limit=limit), edge.silent_ms, edge.refused_ms, limit)
