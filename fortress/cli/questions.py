"""What each host of a fortress is asked, over its one connection. Commands only read."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files

from fortress.cli import checks
from fortress.cli.checks import Check, ClockSample, DatabaseAnswer
from fortress.cli.ssh import Result, Session
from fortress.cli.stack import Standing

Clock = Callable[[], float]
"""Seconds since 1970: `time.time`, or a wrong one in a test."""

TELL_THE_TIME = "while read -r _; do date +%s.%N; done"
TIMES_ASKED = 5

PINGS, PING_EVERY_S = 10, 0.1
PINGS_TAKE_S = PINGS * PING_EVERY_S + 2.0
PROBE_TAKES_S = 10.0


@dataclass(frozen=True)
class Question:
    """Checks, still unknown, and the conversation with a host that answers them."""

    checks: tuple[Check, ...]
    ask: Callable[[Session], list[Check]]


@dataclass(frozen=True)
class Questions:
    """What to ask of the hosts of a standing fortress.

    `clock` is the operator's. `database_seen` collects what each worker saw of the database, for its certificate.
    """

    standing: Standing
    clock: Clock
    database_seen: dict[str, DatabaseAnswer]

    def of(self, name: str) -> list[Question]:
        """All questions to one host."""
        return list(self._all(name))

    def _all(self, name: str) -> Iterator[Question]:
        standing = self.standing
        yield self._clock(name)
        yield self._handshakes(name)
        yield self._interface_mtu(name)
        for one, other in standing.pairs():
            if one == name:
                yield self._round_trip(one, other)
                yield self._full_packet(one, other)
        if standing.hosts[name].role == "worker":
            yield self._database_over_tls(name)
        if name == standing.database.host:
            yield self._database_without_tls(name)
        if name == standing.edge.host:
            yield self._backends(name)

    def _clock(self, name: str) -> Question:
        limit = self.standing.limits.clock_offset_ms
        check = Check("clock offset", name, unit="ms", limit=limit)

        def ask(session: Session) -> list[Check]:
            answers = session.lines(TELL_THE_TIME, TIMES_ASKED)
            samples = []
            for _ in range(TIMES_ASKED):
                before = self.clock()
                line = next(answers)
                after = self.clock()
                try:
                    samples.append(ClockSample(before, float(line), after))
                except ValueError:
                    return [check.unknown(f"the host says the time is {line!r}")]
            return [checks.clock_offset(check, samples, limit)]

        return Question((check,), ask)

    def _handshakes(self, name: str) -> Question:
        limit = self.standing.limits.handshake_s
        named = self.standing.hosts[name].peers
        peers = {
            peer: Check(f"handshake with {peer}", name, unit="s", limit=limit)
            for peer in named
            if peer in self.standing.hosts
        }
        gone = len(named) - len(peers)
        strangers = Check("unknown peers", name, limit=gone)
        keys = {host: facts.public_key for host, facts in self.standing.hosts.items()}

        def ask(session: Session) -> list[Check]:
            show = shlex.join([*session.sudo, "wg", "show", self.standing.mesh.interface, "latest-handshakes"])
            result = session.run(f"date +%s && {show}")
            if why := checks.not_asked(result, name):
                return [check.unknown(why) for check in (*peers.values(), strangers)]
            return checks.handshakes(peers, strangers, result, keys, limit, gone=gone)

        return Question((*peers.values(), strangers), ask)

    def _interface_mtu(self, name: str) -> Question:
        mesh = self.standing.mesh
        check = Check("interface MTU", name, unit="bytes", limit=mesh.mtu)

        def ask(session: Session) -> list[Check]:
            result = session.run(shlex.join(["cat", f"/sys/class/net/{mesh.interface}/mtu"]))
            return [checks.interface_mtu(check, result, mesh.mtu)]

        return Question((check,), ask)

    def _round_trip(self, one: str, other: str) -> Question:
        hosts = self.standing.hosts
        limit = self.standing.limits.rtt(hosts[one].site, hosts[other].site)
        check = Check(f"round trip to {other}", one, unit="ms", limit=limit)

        def ask(session: Session) -> list[Check]:
            result = self._ping(session, other, PINGS)
            if why := checks.not_asked(result, one):
                return [check.unknown(why)]
            return [checks.round_trip(check, result, limit)]

        return Question((check,), ask)

    def _full_packet(self, one: str, other: str) -> Question:
        mtu = self.standing.mesh.mtu
        check = Check(f"full packet to {other}", one, unit="bytes", limit=mtu)

        def ask(session: Session) -> list[Check]:
            load = mtu - checks.ICMP_HEADERS
            full = self._ping(session, other, 3, "-M", "do", "-s", str(load))
            if why := checks.not_asked(full, one):
                return [check.unknown(why)]
            larger = self._ping(session, other, 1, "-M", "do", "-s", str(load + 1))
            return [checks.full_packet(check, full, larger, mtu)]

        return Question((check,), ask)

    def _ping(self, session: Session, other: str, count: int, *options: str) -> Result:
        words = [*session.sudo, "ping", "-n", "-c", str(count), "-i", str(PING_EVERY_S), "-W", "1", *options]
        address = self.standing.hosts[other].mesh_address
        return session.run(shlex.join([*words, address]), takes=PINGS_TAKE_S)

    def _database_over_tls(self, name: str) -> Question:
        database = self.standing.database
        check = Check("database over TLS", name)

        def ask(session: Session) -> list[Check]:
            words = ["python3", "-I", "-", database.address, str(database.port), database.ca_pem]
            result = session.run(shlex.join(words), text=_program("probe_database.py"), takes=PROBE_TAKES_S)
            try:
                answer = checks.read_database(result.stdout)
            except ValueError:
                why = checks.not_asked(result, name) or result.stderr or f"the host printed {result.stdout!r}"
                return [check.unknown(why)]
            self.database_seen[name] = answer
            return [checks.database_over_tls(check, answer)]

        return Question((check,), ask)

    def _database_without_tls(self, name: str) -> Question:
        check = Check("database without TLS", name, limit="refused")

        def ask(session: Session) -> list[Check]:
            query = "select @@global.require_secure_transport"
            words = [*session.sudo, "mariadb", "--batch", "--skip-column-names", "--execute", query]
            result = session.run(shlex.join(words))
            if why := checks.not_asked(result, name):
                return [check.unknown(why)]
            return [checks.database_without_tls(check, result)]

        return Question((check,), ask)

    def _backends(self, name: str) -> Question:
        edge = self.standing.edge
        addresses = {
            (backend, server): address
            for backend, servers in edge.backends.items()
            for server, address in servers.items()
        }
        rows = {key: Check(f"backend {key[0]}/{key[1]}", name, limit="UP") for key in addresses}

        def ask(session: Session) -> list[Check]:
            words = [*session.sudo, "python3", "-I", "-", edge.stats_socket]
            result = session.run(shlex.join(words), text=_program("probe_haproxy.py"), takes=PROBE_TAKES_S)
            if why := checks.not_asked(result, name):
                return [check.unknown(why) for check in rows.values()]
            if result.status != 0:
                return [check.fail(None, result.stderr or "HAProxy does not answer") for check in rows.values()]
            return checks.backends(rows, addresses, result.stdout)

        return Question(tuple(rows.values()), ask)


def _program(name: str) -> str:
    """The text of a program that runs on a host."""
    return files("fortress.cli").joinpath(name).read_text()
