"""The checks that are made from where the command runs: ports of every host, and the edge as its clients see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fortress import replication
from fortress.cli.check.certificate import certificate_days
from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from fortress.cli.verify import encryption, outside, renewal, verdicts
from fortress.cli.verify.outside import HttpsAnswer, SilentError, WrongAnswerError
from fortress.facts import EdgeFacts, StackOutputs

REDIRECTS = (301, 302, 307, 308)


@dataclass
class Seen:
    """What was seen; filled by `scan` and `ask_edge`, which may run at the same time."""

    ports: dict[str, dict[int, bool]] = field(default_factory=dict)
    """Address to port to whether it is open."""
    https: HttpsAnswer | WrongAnswerError | SilentError = field(default_factory=SilentError)
    tls: outside.TlsAnswer | WrongAnswerError | SilentError = field(default_factory=SilentError)
    redirect: tuple[int, str] | WrongAnswerError | SilentError = field(default_factory=SilentError)
    """Status and Location."""


def scan(outputs: StackOutputs, seen: Seen) -> None:
    """Try the ports that the settings name, those that should be open, and the database's, on every host."""
    targets: dict[str, set[int]] = {}
    for name, host in outputs.hosts.items():
        ports = targets.setdefault(host.address, set())
        ports.update(outputs.limits.ports, host.open_tcp)
        if outputs.database and name in outputs.database.hosts():
            ports.add(outputs.database.port)
            if outputs.database.servers:
                ports.add(replication.PORT)
    seen.ports = outside.scan(targets)


def ask_edge(outputs: StackOutputs, seen: Seen, timeout: float) -> None:
    """Ask the edge, if there is one, over HTTPS and over HTTP; `timeout` in seconds for each."""
    if (edge := outputs.edge) is None:
        return
    try:
        seen.https = outside.https(edge.url, edge.server_name, edge.health_path, timeout)
    except (WrongAnswerError, SilentError) as error:
        seen.https = error
    try:
        seen.tls = outside.tls(edge.url, edge.server_name, timeout)
    except (WrongAnswerError, SilentError) as error:
        seen.tls = error
    try:
        seen.redirect = outside.http_redirect(edge.url, edge.server_name, edge.health_path, timeout)
    except (WrongAnswerError, SilentError) as error:
        seen.redirect = error


def judge(stack: str, outputs: StackOutputs, seen: Seen, silence: Mapping[str, str], now: float) -> Iterator[Check]:
    """What was seen as checks. `silence` says of each host that did not answer SSH at all why; `now` is by our clock.

    Silence of a machine that is silent altogether says nothing; a closed door on one that lives is a failure.
    """
    yield from _open_ports(outputs, seen, silence)
    if outputs.database:
        for name in outputs.database.hosts():
            yield _database(outputs, name, outputs.database.port, seen, silence)
    if outputs.edge:
        yield from _https(stack, outputs, outputs.edge, seen, silence, now)
        yield _tls(outputs.edge, seen, silence)
        yield _redirect(outputs.edge, seen, silence)


def _open_ports(outputs: StackOutputs, seen: Seen, silence: Mapping[str, str]) -> Iterator[Check]:
    for name, host in outputs.hosts.items():
        # Behind a bastion the host's own SSH need not be reachable from here.
        hidden = (host.port,) if outputs.bastion else ()
        yield verdicts.open_ports(
            Check(Kind.OPEN_PORTS, name, limit=" ".join(str(port) for port in sorted(host.open_tcp))),
            seen.ports[host.address],
            host.open_tcp,
            silence=silence.get(name),
            not_from_here=hidden,
        )


def _database(outputs: StackOutputs, name: str, port: int, seen: Seen, silence: Mapping[str, str]) -> Check:
    check = Check(Kind.DATABASE_FROM_OUTSIDE, name, limit="closed")
    if (host := outputs.hosts.get(name)) is None:
        return check.unknown(f"{name} is set as gone")
    if seen.ports[host.address][port]:
        return check.fail("open", f"{host.address}:{port} answers from here; it must only answer inside the tunnel")
    if name in silence:
        return check.unknown(silence[name])
    return check.ok("closed")


def _https(
    stack: str, outputs: StackOutputs, edge: EdgeFacts, seen: Seen, silence: Mapping[str, str], now: float
) -> Iterator[Check]:
    limit = outputs.limits.certificate_days
    answer = Check(Kind.HTTPS_ANSWER, edge.host, limit=200)
    certificate = Check(Kind.EDGE_CERTIFICATE, edge.host, limit=limit)
    where = f"{edge.url}{edge.health_path}"
    found = seen.https
    if not isinstance(found, HttpsAnswer):
        yield _not_answered(answer, found, where, silence)
        yield certificate.unknown(f"no HTTPS from {where}")
        return
    yield answer.judge(found.status == 200, found.status, "" if found.status == 200 else f"{found.status} from {where}")
    wanted = (edge.server_name, *edge.other_names)
    if missing := [name for name in wanted if not outside.covers(found.names, name)]:
        names = ", ".join(found.names) or "no name"
        cure = renewal.of_edge(stack, outputs, edge, wanted) if found.made_there else renewal.OF_OTHERS
        yield certificate.fail(None, f"is for {names}, not for {', '.join(missing)}; {cure}")
        return
    signer = "self-signed" if found.self_signed else ""
    cure = renewal.of_edge(stack, outputs, edge, found.names) if found.made_there else renewal.OF_OTHERS
    yield certificate_days(certificate, found.not_after, now, limit, cure, signer)


def _tls(edge: EdgeFacts, seen: Seen, silence: Mapping[str, str]) -> Check:
    check = Check(Kind.EDGE_TLS, edge.host, limit=verdicts.TLS_VERSIONS[0])
    found = seen.tls
    if not isinstance(found, outside.TlsAnswer):
        return _not_answered(check, found, edge.url, silence)
    return encryption.of_edge(check, found.version, found.cipher, found.oldest)


def _redirect(edge: EdgeFacts, seen: Seen, silence: Mapping[str, str]) -> Check:
    check = Check(Kind.HTTP_REDIRECT, edge.host, limit="to https")
    if not isinstance(seen.redirect, tuple):
        return _not_answered(check, seen.redirect, f"port {outside.HTTP_PORT}", silence)
    status, location = seen.redirect
    holds = status in REDIRECTS and location.startswith("https://")
    return check.judge(holds, status, f"{status} to {location or 'nowhere'}")


def _not_answered(check: Check, error: Exception, where: str, silence: Mapping[str, str]) -> Check:
    if isinstance(error, SilentError) and check.host in silence:
        return check.unknown(f"{where}: {error}")
    return check.fail(None, f"{where}: {error}")
