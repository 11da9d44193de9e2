"""What each host of a fortress is asked, over its one connection. Commands only read."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from fortress import mariadb, wireguard
from fortress.cli.base.result import Result
from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from fortress.cli.check.question import Question
from fortress.cli.hosts.ssh import Session, not_asked
from fortress.cli.verify import disk, replication, verdicts
from fortress.cli.verify.verdicts import ClockSample, DatabaseAnswer
from fortress.facts import DatabaseFacts, EdgeFacts, FlowFacts, MeshFacts, StackOutputs
from fortress.text import script

Clock = Callable[[], float]
"""Seconds since 1970: `time.time`, or a wrong one in a test."""

TELL_THE_TIME = "while read -r _; do date +%s.%N; done"
TIMES_ASKED = 5

PINGS, PING_EVERY_S = 100, 0.01  # as fast as ping goes; one lost may be chance, 5 % each way are ten
PINGS_TAKE_S = PINGS * PING_EVERY_S + 2.0
PROBE_TAKES_S = 10.0

PATH_TAKES_S = 30.0
"""A bisection of 13 steps (576 to 9,001 bytes), most of them lost in silence and 1.1 s each, and room."""

COPIES_ASKED, COPIES_EVERY_S = 4, 0.3
"""What is sent to a copy at one look is sent at the next, unless it is behind."""

LOAD_S = 2.0
DISK_TAKES_S = 120.0
"""Three runs of 10 s, and a file of 1 GiB written before on a disk that does 20 MB/s."""


@dataclass(frozen=True)
class Questions:
    """What to ask of the hosts of a standing fortress.

    `clock` is the operator's. `database_seen` collects what each worker saw of the database, for its certificate.
    `io` is whether the database's disk is put under load.
    """

    outputs: StackOutputs
    clock: Clock
    database_seen: dict[str, DatabaseAnswer]
    io: bool = False

    def of(self, name: str) -> list[Question]:
        """All questions to one host."""
        return list(self._all(name))

    def _all(self, name: str) -> Iterator[Question]:
        outputs = self.outputs
        yield self._clock(name)
        yield self._tunnel(name)
        if outputs.mesh:
            yield from self._mesh(name, outputs.mesh)
        if outputs.database and name in outputs.clients():
            yield self._database_over_tls(name, outputs.database)
        if outputs.database and name == outputs.database.host:
            yield self._database_without_tls(name)
            yield self._sandbox(name, "mariadb")
            yield self._replication_lag(name, outputs.database)
            yield self._io_wait(name)
            if self.io:
                yield self._disk(name)
        if outputs.edge and name == outputs.edge.host:
            yield self._backends(name, outputs.edge)
            yield self._sandbox(name, "haproxy")

    def _mesh(self, name: str, mesh: MeshFacts) -> Iterator[Question]:
        yield self._interface_mtu(name, mesh)
        pairs = [other for one, other in self.outputs.pairs() if one == name]
        dials = [other for one, other in self.outputs.dials() if one == name]
        if pairs:
            yield self._round_trips(name, pairs)
        if pairs or dials:
            yield self._mtus(name, pairs, dials, mesh)
        if flows := [flow for flow in self.outputs.flows if flow.source == name]:
            yield self._flows(name, flows, mesh)

    def _clock(self, name: str) -> Question:
        limit = self.outputs.limits.clock_offset_ms
        check = Check(Kind.CLOCK_OFFSET, name, limit=limit)

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
            return [verdicts.clock_offset(check, samples, limit)]

        return Question((check,), ask)

    def _tunnel(self, name: str) -> Question:
        limits = self.outputs.limits
        peers = {
            peer: Check(Kind.HANDSHAKE, name, peer, limit=limits.handshake_s)
            for peer in self.outputs.hosts[name].peers
            if peer in self.outputs.hosts
        }
        strangers = Check(Kind.UNKNOWN_PEERS, name, limit=0)
        key_age = Check(Kind.KEY_AGE, name, limit=limits.key_age_days)
        keys = {host: facts.public_key for host, facts in self.outputs.hosts.items()}
        every = (*peers.values(), strangers, key_age)

        def ask(session: Session) -> list[Check]:
            words = [*session.sudo, "sh", "-s", "--", self.outputs.interface]
            result = session.run(shlex.join(words), text=script("tunnel-state"))
            if why := not_asked(result, name):
                return [check.unknown(why) for check in every]
            return verdicts.tunnel(peers, strangers, key_age, result, keys, limits.handshake_s, limits.key_age_days)

        return Question(every, ask)

    def _interface_mtu(self, name: str, mesh: MeshFacts) -> Question:
        check = Check(Kind.INTERFACE_MTU, name, limit=mesh.mtu)

        def ask(session: Session) -> list[Check]:
            result = session.run(shlex.join(["cat", f"/sys/class/net/{mesh.interface}/mtu"]))
            return [verdicts.interface_mtu(check, result, mesh.mtu)]

        return Question((check,), ask)

    def _round_trips(self, name: str, others: Sequence[str]) -> Question:
        limits = self.outputs.limits
        hosts = self.outputs.hosts
        trips = [
            Check(Kind.ROUND_TRIP, name, other, limit=limits.rtt(hosts[name].site, hosts[other].site))
            for other in others
        ]
        losses = [Check(Kind.LOSS, name, other, limit=limits.loss_percent) for other in others]
        pings = [
            (["ping", "-n", "-c", str(PINGS), "-i", str(PING_EVERY_S), "-W", "1", hosts[other].mesh_address], "")
            for other in others
        ]

        def ask(session: Session) -> list[Check]:
            found = []
            for trip, lost, result in zip(trips, losses, _together(session, pings, PINGS_TAKE_S), strict=True):
                if why := not_asked(result, name):
                    found += [trip.unknown(why), lost.unknown(why)]
                else:
                    limit = limits.rtt(hosts[name].site, hosts[trip.about].site)
                    found += [
                        verdicts.round_trip(trip, result, limit),
                        verdicts.loss(lost, result, limits.loss_percent),
                    ]
            return found

        return Question(tuple(check for both in zip(trips, losses, strict=True) for check in both), ask)

    def _mtus(self, name: str, pairs: Sequence[str], dials: Sequence[str], mesh: MeshFacts) -> Question:
        """How wide the tunnels are, and the paths outside of them."""
        hosts = self.outputs.hosts
        inside = [Check(Kind.TUNNEL_MTU, name, other, limit=mesh.mtu) for other in pairs]
        outside = [Check(Kind.PATH_MTU, name, other, limit=mesh.path_mtu) for other in dials]
        places = [(hosts[other].mesh_address, mesh.mtu) for other in pairs]
        places += [(hosts[other].address, mesh.path_mtu) for other in dials]
        program = _program("path.py")
        probes = [(["python3", "-I", "-", address, str(expected)], program) for address, expected in places]

        def ask(session: Session) -> list[Check]:
            found = []
            for check, result in zip((*inside, *outside), _together(session, probes, PATH_TAKES_S), strict=True):
                if why := not_asked(result, name):
                    found.append(check.unknown(why))
                elif check.kind is Kind.TUNNEL_MTU:
                    found.append(verdicts.tunnel_mtu(check, result, mesh.mtu))
                else:
                    found.append(verdicts.path_mtu(check, result, mesh.path_mtu, wireguard.OVERHEAD))
            return found

        return Question((*inside, *outside), ask)

    def _flows(self, name: str, flows: Sequence[FlowFacts], mesh: MeshFacts) -> Question:
        checks = tuple(Check(Kind.FLOW, name, f"{flow.destination} {flow.protocol}/{flow.port}") for flow in flows)

        def ask(session: Session) -> list[Check]:
            words = ["python3", "-I", "-", self.outputs.hosts[name].mesh_address]
            for flow in flows:
                words += [self.outputs.hosts[flow.destination].mesh_address, flow.protocol, str(flow.port)]
            result = session.run(shlex.join(words), text=_program("flow.py"), takes=PROBE_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why) for check in checks]
            said = [*result.stdout.splitlines(), *[""] * len(flows)][: len(flows)]  # it may have ended early
            return [
                verdicts.flow(check, line, result.stderr, flow, wireguard.relay(name, flow.destination, mesh.hubs))
                for check, line, flow in zip(checks, said, flows, strict=True)
            ]

        return Question(checks, ask)

    def _database_over_tls(self, name: str, database: DatabaseFacts) -> Question:
        check = Check(Kind.DATABASE_OVER_TLS, name)

        def ask(session: Session) -> list[Check]:
            words = ["python3", "-I", "-", database.address, str(database.port), database.ca_pem]
            result = session.run(shlex.join(words), text=_program("database.py"), takes=PROBE_TAKES_S)
            try:
                answer = verdicts.read_database(result.stdout)
            except ValueError:
                why = not_asked(result, name) or result.stderr or f"the host printed {result.stdout!r}"
                return [check.unknown(why)]
            self.database_seen[name] = answer
            return [verdicts.database_over_tls(check, answer)]

        return Question((check,), ask)

    def _database_without_tls(self, name: str) -> Question:
        check = Check(Kind.DATABASE_WITHOUT_TLS, name, limit="refused")

        def ask(session: Session) -> list[Check]:
            query = "select @@global.require_secure_transport"
            words = [*session.sudo, "mariadb", "--batch", "--skip-column-names", "--execute", query]
            result = session.run(shlex.join(words))
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [verdicts.database_without_tls(check, result)]

        return Question((check,), ask)

    def _sandbox(self, name: str, unit: str) -> Question:
        check = Check(Kind.SANDBOX, name, unit, limit=verdicts.EXPOSURE)

        def ask(session: Session) -> list[Check]:
            result = session.run(shlex.join([*session.sudo, "sh", "-s", "--", unit]), text=script("sandbox-state"))
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [verdicts.sandbox(check, result)]

        return Question((check,), ask)

    def _replication_lag(self, name: str, database: DatabaseFacts) -> Question:
        limit = self.outputs.limits.replication_lag_s
        wanted = database.copy_wanted
        check = Check(Kind.REPLICATION_LAG, name, limit=limit)

        def ask(session: Session) -> list[Check]:
            words = [*session.sudo, "mariadb", "--batch", "--execute", replication.QUERY]
            for again in range(COPIES_ASKED):
                time.sleep(again and COPIES_EVERY_S)
                result = session.run(shlex.join(words))
                if not replication.sending(result):
                    break
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return replication.lag(check, result, limit, wanted=wanted)

        return Question((check,) if wanted else (), ask)

    def _io_wait(self, name: str) -> Question:
        limit = self.outputs.limits.iowait_percent
        check = Check(Kind.IO_WAIT, name, limit=limit)

        def ask(session: Session) -> list[Check]:
            words = [*session.sudo, "python3", "-I", "-", mariadb.DATA_FOLDER, str(LOAD_S)]
            result = session.run(shlex.join(words), text=_program("load.py"), takes=LOAD_S + PROBE_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [disk.io_wait(check, result, limit)]

        return Question((check,), ask)

    def _disk(self, name: str) -> Question:
        limits = self.outputs.limits
        iops = {"4k": limits.iops_4k, "16k": limits.iops_16k}
        rows = tuple(Check(Kind.IOPS, name, size, limit=limit) for size, limit in iops.items())
        every = (*rows, Check(Kind.COMMIT, name, limit=limits.commit_ms))

        def ask(session: Session) -> list[Check]:
            words = [*session.sudo, "python3", "-I", "-", mariadb.DATA_FOLDER]
            result = session.run(shlex.join(words), text=_program("disk.py"), takes=DISK_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why) for check in every]
            return disk.benchmark(every, result, iops, limits.commit_ms)

        return Question(every, ask)

    def _backends(self, name: str, edge: EdgeFacts) -> Question:
        addresses = {
            (backend, server): address
            for backend, servers in edge.backends.items()
            for server, address in servers.items()
        }
        rows = {key: Check(Kind.BACKEND, name, f"{key[0]}/{key[1]}", limit="UP") for key in addresses}

        def ask(session: Session) -> list[Check]:
            words = [*session.sudo, "python3", "-I", "-", edge.stats_socket]
            result = session.run(shlex.join(words), text=_program("haproxy.py"), takes=PROBE_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why) for check in rows.values()]
            if result.status != 0:
                return [check.fail(None, result.stderr or "HAProxy does not answer") for check in rows.values()]
            return verdicts.backends(rows, addresses, result.stdout)

        return Question(tuple(rows.values()), ask)


def _together(session: Session, commands: Sequence[tuple[Sequence[str], str]], takes: float) -> list[Result]:
    """What comes of commands that run on the host at the same time, as root; each is words and standard input."""
    words = [*session.sudo, "python3", "-I", "-c", _program("together.py")]
    result = session.run(shlex.join(words), text=json.dumps(commands), takes=takes)
    try:
        found = [Result(**json.loads(line)) for line in result.stdout.splitlines()]
    except (TypeError, ValueError):
        found = []
    return found if len(found) == len(commands) else [result] * len(commands)  # it says why for all of them


def _program(name: str) -> str:
    """The text of a program that runs on a host."""
    return files("fortress.cli.probes").joinpath(name).read_text()
