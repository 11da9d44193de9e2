"""`fortress verify`: every check of a standing fortress, measured on its hosts and from where the command runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fortress.cli.base.errors import GARBLED, CannotAskError
from fortress.cli.check.certificate import certificate_days
from fortress.cli.check.check import ORDER, Check
from fortress.cli.check.question import Question
from fortress.cli.engine.outputs import Standing
from fortress.cli.hosts import ssh
from fortress.cli.hosts.parallel import in_parallel
from fortress.cli.hosts.visit import Tell, bastion, connect
from fortress.cli.verify import from_here, renewal, verdicts
from fortress.cli.verify.from_here import Seen
from fortress.cli.verify.questions import Clock, Questions
from fortress.cli.verify.verdicts import DatabaseAnswer


def measure(
    standing: Standing,
    access: ssh.Access,
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
    if standing.older:
        raise CannotAskError("the stack was brought up by an older version of this program; run `pulumi up` once more")
    survey = _Survey(standing, access, timeout, io, besides, clock, tell)
    found = survey.take()
    rank = {
        check: next((i for i, start in enumerate(ORDER) if check.name.startswith(start)), len(ORDER)) for check in found
    }
    return sorted(found, key=lambda check: rank[check])


@dataclass
class _Survey:
    """One run: what is known so far, filled by a thread for each host and a few for what is seen from here."""

    standing: Standing
    access: ssh.Access
    timeout: float
    io: bool
    besides: Callable[[str], Question] | None
    clock: Clock
    tell: Tell
    checks: dict[str, list[Check]] = field(default_factory=dict)
    silence: dict[str, str] = field(default_factory=dict)
    """Why a host did not answer SSH at all; a refusal is an answer."""
    database_seen: dict[str, DatabaseAnswer] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)
    sessions: list[ssh.Session] = field(default_factory=list)
    done: int = 0
    total: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> list[Check]:
        asked = Questions(self.standing, self.clock, self.database_seen, self.io)
        questions = {name: asked.of(name) for name in self.standing.hosts}
        if self.besides is not None:
            for name, each in questions.items():
                each.append(self.besides(name))
        # One answer for each question, for each connection, and for the two looks from outside.
        self.total = sum(1 + len(each) for each in questions.values()) + 2
        try:
            through = bastion(self.standing, self.access, self.timeout)
            if isinstance(through, ssh.Session):
                self.sessions.append(through)
            jobs = [lambda name=name: self._ask(name, questions[name], through) for name in self.standing.hosts]
            in_parallel([*jobs, self._scan, self._ask_edge])
        finally:
            for session in self.sessions:
                session.close()
        found = [] if through is None else [self._bastion(through)]
        found += [check for name in self.standing.hosts for check in self.checks[name]]
        found += [self._database_certificate(), self._failover()]
        return [*found, *from_here.judge(self.standing, self.seen, self.silence, self.clock())]

    def _count(self) -> None:
        with self.lock:
            self.done += 1
            self.tell(self.done, self.total)

    def _bastion(self, through: ssh.Session | ssh.SshError) -> Check:
        """The check of the bastion's key; it is asked nothing else."""
        check = Check("host key", "the bastion", limit="as pinned")
        if isinstance(through, ssh.HostKeyError):
            return check.fail("another key", str(through))
        if isinstance(through, ssh.SshError) and not isinstance(through, ssh.LoginError):
            return check.unknown(f"the bastion {through}")
        return check.ok("as pinned")

    def _ask(self, name: str, questions: Iterable[Question], through: ssh.Session | ssh.SshError | None) -> None:
        key, session, trouble = self._open(name, through)
        self._count()
        found = [key]
        for question in questions:
            try:
                if session is None or trouble:
                    raise ssh.SshError(trouble or "")
                found += question.ask(session)
            except ssh.SshError as error:
                why = trouble or f"{name} {error}"
                found += [check.unknown(why) for check in question.checks]
                if session and not session.alive():
                    trouble = why
            except GARBLED as error:
                why = f"{name} printed what cannot be read ({type(error).__name__})"
                found += [check.unknown(why) for check in question.checks]
            self._count()
        if session:
            session.close()
        self.checks[name] = found

    def _open(
        self, name: str, through: ssh.Session | ssh.SshError | None
    ) -> tuple[Check, ssh.Session | None, str | None]:
        """The check of the host's key, and a connection or why there is none."""
        facts = self.standing.hosts[name]
        check = Check("host key", name, limit="as pinned")
        session: ssh.Session | None = None
        trouble: str | None = None
        try:
            session = connect(self.standing, name, self.access, self.timeout, through)
        except ssh.HostKeyError as error:
            return (
                check.fail("another key", str(error)),
                None,
                f"{name} is not asked: its host key is not the pinned one",
            )
        except ssh.LoginError as error:
            trouble = f"{name} {error}"
        except ssh.SshError as error:
            self.silence[name] = f"{name} {error}"
            return check.unknown(self.silence[name]), None, self.silence[name]
        else:
            self.sessions.append(session)
        return check.ok("as pinned", ssh.fingerprint(facts.host_key)), session, trouble

    def _scan(self) -> None:
        from_here.scan(self.standing, self.seen)
        self._count()

    def _ask_edge(self) -> None:
        from_here.ask_edge(self.standing, self.seen, self.timeout)
        self._count()

    def _database_certificate(self) -> Check:
        """Every worker sees the same certificate; the first that saw one will do."""
        limit = self.standing.limits.certificate_days
        check = Check("database certificate", self.standing.database.host, unit="days", limit=limit)
        cure = renewal.of_database(self.standing)
        for answer in self.database_seen.values():
            if answer.error is None:
                return certificate_days(check, answer.not_after, self.clock(), limit, cure)
        return check.unknown("no worker could reach the database over TLS")

    def _failover(self) -> Check:
        edge, limit = self.standing.edge, self.standing.limits.failover_s
        return verdicts.failover(
            Check("failover", edge.host, unit="s", limit=limit), edge.silent_ms, edge.refused_ms, limit
        )
