"""`fortress verify`: every check of a standing fortress, measured on its hosts and from where the command runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fortress.cli import checks, outside, ssh
from fortress.cli.checks import Check, DatabaseAnswer
from fortress.cli.outside import HttpsAnswer, RefusedError, SilentError
from fortress.cli.parallel import in_parallel
from fortress.cli.questions import Clock, Question, Questions
from fortress.cli.stack import Standing

Tell = Callable[[int, int], None]
"""Hears how many answers of how many are in."""

ORDER = (
    "host key",
    "clock offset",
    "open ports",
    "handshake",
    "unknown peers",
    "interface MTU",
    "round trip",
    "full packet",
    "database over TLS",
    "database",
    "backend",
    "https",
    "http",
    "edge certificate",
)
"""The groups in which checks are shown, by how their names begin."""


def measure(
    standing: Standing,
    access: ssh.Access,
    *,
    timeout: float,
    clock: Clock = time.time,
    tell: Tell = lambda _done, _total: None,
) -> list[Check]:
    """Every check of a fortress, in the order in which they are shown.

    `timeout` is the seconds that a host may take for an answer, `clock` the operator's. A host that does not answer
    leaves its checks unknown; nothing raises because of a host.
    """
    survey = _Survey(standing, access, timeout, clock, tell)
    found = survey.take()
    rank = {check: min(i for i, start in enumerate(ORDER) if check.name.startswith(start)) for check in found}
    return sorted(found, key=lambda check: rank[check])


@dataclass
class _Survey:
    """One run: what is known so far, filled by a thread for each host and a few for what is seen from here."""

    standing: Standing
    access: ssh.Access
    timeout: float
    clock: Clock
    tell: Tell
    checks: dict[str, list[Check]] = field(default_factory=dict)
    silence: dict[str, str] = field(default_factory=dict)
    """Why a host did not answer SSH at all; a refusal is an answer."""
    database_seen: dict[str, DatabaseAnswer] = field(default_factory=dict)
    ports: dict[str, dict[int, bool]] = field(default_factory=dict)
    https: HttpsAnswer | RefusedError | SilentError | None = None
    redirect: tuple[int, str] | RefusedError | SilentError | None = None
    sessions: list[ssh.Session] = field(default_factory=list)
    done: int = 0
    total: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> list[Check]:
        asked = Questions(self.standing, self.clock, self.database_seen)
        questions = {name: asked.of(name) for name in self.standing.hosts}
        # One answer for each question, for each connection, and for the two looks from outside.
        self.total = sum(1 + len(each) for each in questions.values()) + 2
        try:
            through = self._bastion()
            jobs = [lambda name=name: self._ask(name, questions[name], through) for name in self.standing.hosts]
            in_parallel([*jobs, self._scan, self._ask_edge])
        finally:
            for session in self.sessions:
                session.close()
        found = [check for name in self.standing.hosts for check in self.checks[name]]
        found += [*self._open_ports(), *self._database(), *self._edge()]
        return found

    def _count(self) -> None:
        with self.lock:
            self.done += 1
            self.tell(self.done, self.total)

    # Asked of hosts

    def _bastion(self) -> ssh.Session | ssh.SshError | None:
        if (facts := self.standing.bastion) is None:
            return None
        target = ssh.Target("the bastion", facts.address, facts.port, facts.user, facts.host_key)
        try:
            session = ssh.connect(target, self.access, self.timeout)
        except ssh.SshError as error:
            return error
        self.sessions.append(session)
        return session

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
            self._count()
        if session:
            session.close()
        self.checks[name] = found

    def _open(
        self, name: str, through: ssh.Session | ssh.SshError | None
    ) -> tuple[Check, ssh.Session | None, str | None]:
        """The check of the host's key, and a connection or why there is none."""
        facts = self.standing.hosts[name]
        target = ssh.Target(name, facts.address, facts.port, facts.user, facts.host_key)
        check = Check("host key", name, limit="as pinned")
        session: ssh.Session | None = None
        trouble: str | None = None
        try:
            if isinstance(through, ssh.SshError):
                raise ssh.SshError(f"is not asked: the bastion {through}")
            session = ssh.connect(target, self.access, self.timeout, through)
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

    # Seen from here

    def _scan(self) -> None:
        limits, database = self.standing.limits, self.standing.database
        targets = {host.address: {*limits.ports, *host.open_tcp} for host in self.standing.hosts.values()}
        if database.host in self.standing.hosts:
            targets[self.standing.hosts[database.host].address].add(database.port)
        self.ports = outside.scan(targets)
        self._count()

    def _ask_edge(self) -> None:
        edge = self.standing.edge
        try:
            self.https = outside.https(edge.url, edge.server_name, edge.health_path, self.timeout)
        except (RefusedError, SilentError) as error:
            self.https = error
        try:
            self.redirect = outside.http_redirect(edge.url, edge.server_name, edge.health_path, self.timeout)
        except (RefusedError, SilentError) as error:
            self.redirect = error
        self._count()

    def _open_ports(self) -> Iterable[Check]:
        for name, host in self.standing.hosts.items():
            # Behind a bastion the host's own SSH need not be reachable from here.
            hidden = (host.port,) if self.standing.bastion else ()
            yield checks.open_ports(
                Check("open ports", name, limit=" ".join(str(port) for port in sorted(host.open_tcp))),
                self.ports[host.address],
                host.open_tcp,
                silence=self.silence.get(name),
                not_from_here=hidden,
            )

    def _database(self) -> Iterable[Check]:
        name, port = self.standing.database.host, self.standing.database.port
        host = self.standing.hosts.get(name)
        check = Check("database from outside", name, limit="closed")
        if host is None:
            yield check.unknown(f"{name} is set as gone")
        elif self.ports[host.address][port]:
            yield check.fail("open", f"{host.address}:{port} answers from here; it must only answer inside the tunnel")
        elif name in self.silence:
            yield check.unknown(self.silence[name])
        else:
            yield check.ok("closed")
        limit = self.standing.limits.certificate_days
        check = Check("database certificate", name, unit="days", limit=limit)
        seen = [answer for answer in self.database_seen.values() if answer.error is None]
        if seen:
            yield checks.certificate_days(check, seen[0].not_after, self.clock(), limit)
        else:
            yield check.unknown("no worker could reach the database over TLS")

    def _edge(self) -> Iterable[Check]:
        edge, limit = self.standing.edge, self.standing.limits.certificate_days
        answer = Check("https answer", edge.host, limit=200)
        certificate = Check("edge certificate", edge.host, unit="days", limit=limit)
        redirect = Check("http redirect", edge.host, limit="to https")
        where = f"{edge.url}{edge.health_path}"
        if isinstance(self.https, HttpsAnswer):
            found = self.https
            yield answer.judge(
                found.status == 200, found.status, "" if found.status == 200 else f"{found.status} from {where}"
            )
            if outside.covers(found.names, edge.server_name):
                signer = "self-signed" if found.self_signed else ""
                yield checks.certificate_days(certificate, found.not_after, self.clock(), limit, signer)
            else:
                names = ", ".join(found.names) or "no name"
                yield certificate.fail(None, f"is for {names}, not for {edge.server_name}")
        else:
            yield self._not_answered(answer, self.https, where)
            yield certificate.unknown(f"no HTTPS from {where}")
        if isinstance(self.redirect, tuple):
            status, location = self.redirect
            holds = status in (301, 302, 307, 308) and location.startswith("https://")
            yield redirect.judge(holds, status, f"to {location}" if location else "no Location")
        else:
            yield self._not_answered(redirect, self.redirect, "port 80")

    def _not_answered(self, check: Check, error: Exception | None, where: str) -> Check:
        """Silence of a machine that is silent altogether says nothing; a closed door on one that lives does."""
        if isinstance(error, SilentError) and self.standing.edge.host in self.silence:
            return check.unknown(f"{where}: {error}")
        return check.fail(None, f"{where}: {error}")
