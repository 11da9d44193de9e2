"""The checks that are made from where the command runs: ports of every host, and the edge as its clients see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fortress.cli.check.certificate import certificate_days
from fortress.cli.check.check import Check
from fortress.cli.engine.outputs import Standing
from fortress.cli.verify import outside, renewal, verdicts
from fortress.cli.verify.outside import HttpsAnswer, RefusedError, SilentError

REDIRECTS = (301, 302, 307, 308)


@dataclass
class Seen:
    """What was seen; filled by `scan` and `ask_edge`, which may run at the same time."""

    ports: dict[str, dict[int, bool]] = field(default_factory=dict)
    """Address to port to whether it is open."""
    https: HttpsAnswer | RefusedError | SilentError = field(default_factory=SilentError)
    redirect: tuple[int, str] | RefusedError | SilentError = field(default_factory=SilentError)
    """Status and Location."""


def scan(standing: Standing, seen: Seen) -> None:
    """Try the ports that the settings name, those that should be open, and the database's, on every host."""
    targets: dict[str, set[int]] = {}
    for name, host in standing.hosts.items():
        ports = targets.setdefault(host.address, set())
        ports.update(standing.limits.ports, host.open_tcp)
        if name == standing.database.host:
            ports.add(standing.database.port)
    seen.ports = outside.scan(targets)


def ask_edge(standing: Standing, seen: Seen, timeout: float) -> None:
    """Ask the edge over HTTPS and over HTTP; `timeout` in seconds for each."""
    edge = standing.edge
    try:
        seen.https = outside.https(edge.url, edge.server_name, edge.health_path, timeout)
    except (RefusedError, SilentError) as error:
        seen.https = error
    try:
        seen.redirect = outside.http_redirect(edge.url, edge.server_name, edge.health_path, timeout)
    except (RefusedError, SilentError) as error:
        seen.redirect = error


def judge(standing: Standing, seen: Seen, silence: Mapping[str, str], now: float) -> Iterator[Check]:
    """What was seen as checks. `silence` says of each host that did not answer SSH at all why; `now` is by our clock.

    Silence of a machine that is silent altogether says nothing; a closed door on one that lives is a failure.
    """
    yield from _open_ports(standing, seen, silence)
    yield _database(standing, seen, silence)
    yield from _https(standing, seen, silence, now)
    yield _redirect(standing, seen, silence)


def _open_ports(standing: Standing, seen: Seen, silence: Mapping[str, str]) -> Iterator[Check]:
    for name, host in standing.hosts.items():
        # Behind a bastion the host's own SSH need not be reachable from here.
        hidden = (host.port,) if standing.bastion else ()
        yield verdicts.open_ports(
            Check("open ports", name, limit=" ".join(str(port) for port in sorted(host.open_tcp))),
            seen.ports[host.address],
            host.open_tcp,
            silence=silence.get(name),
            not_from_here=hidden,
        )


def _database(standing: Standing, seen: Seen, silence: Mapping[str, str]) -> Check:
    name, port = standing.database.host, standing.database.port
    check = Check("database from outside", name, limit="closed")
    if (host := standing.hosts.get(name)) is None:
        return check.unknown(f"{name} is set as gone")
    if seen.ports[host.address][port]:
        return check.fail("open", f"{host.address}:{port} answers from here; it must only answer inside the tunnel")
    if name in silence:
        return check.unknown(silence[name])
    return check.ok("closed")


def _https(standing: Standing, seen: Seen, silence: Mapping[str, str], now: float) -> Iterator[Check]:
    edge, limit = standing.edge, standing.limits.certificate_days
    answer = Check("https answer", edge.host, limit=200)
    certificate = Check("edge certificate", edge.host, unit="days", limit=limit)
    where = f"{edge.url}{edge.health_path}"
    found = seen.https
    if not isinstance(found, HttpsAnswer):
        yield _not_answered(answer, found, where, silence)
        yield certificate.unknown(f"no HTTPS from {where}")
        return
    yield answer.judge(found.status == 200, found.status, "" if found.status == 200 else f"{found.status} from {where}")
    if not outside.covers(found.names, edge.server_name):
        names = ", ".join(found.names) or "no name"
        yield certificate.fail(None, f"is for {names}, not for {edge.server_name}")
        return
    signer = "self-signed" if found.self_signed else ""
    cure = renewal.of_edge(standing) if found.made_there else renewal.OF_OTHERS
    yield certificate_days(certificate, found.not_after, now, limit, cure, signer)


def _redirect(standing: Standing, seen: Seen, silence: Mapping[str, str]) -> Check:
    check = Check("http redirect", standing.edge.host, limit="to https")
    if not isinstance(seen.redirect, tuple):
        return _not_answered(check, seen.redirect, f"port {outside.HTTP_PORT}", silence)
    status, location = seen.redirect
    holds = status in REDIRECTS and location.startswith("https://")
    return check.judge(holds, status, f"{status} to {location or 'nowhere'}")


def _not_answered(check: Check, error: Exception, where: str, silence: Mapping[str, str]) -> Check:
    if isinstance(error, SilentError) and check.host in silence:
        return check.unknown(f"{where}: {error}")
    return check.fail(None, f"{where}: {error}")
