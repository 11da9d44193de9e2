"""What each host of a fortress is asked, over its one connection. Commands only read."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from fortress import backup, mariadb, monitoring, wireguard
from fortress.cli.base.result import Result
from fortress.cli.check import accounts
from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from fortress.cli.check.question import Question
from fortress.cli.hosts import roles as asking_roles
from fortress.cli.hosts.ssh import Session, not_asked
from fortress.cli.verify import backups, disk, egress, encryption, exporters, listening, replication, roles, verdicts
from fortress.cli.verify.verdicts import ClockSample, DatabaseAnswer
from fortress.facts import DatabaseFacts, EdgeFacts, FlowFacts, MeshFacts, StackOutputs
from fortress.replication import UNIT as ROLE_UNIT
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

UPGRADE_ASKED, UPGRADE_EVERY_S = 30, 1.0
"""After each start Debian's unit upgrades in the background, what was restored or received as well."""

COPIES_ASKED, COPIES_EVERY_S = 4, 0.3
"""What is sent to a copy at one look is sent at the next, unless it is behind."""

LOAD_S = 2.0
DISK_TAKES_S = 120.0
"""Three runs of 10 s, and a file of 1 GiB written before on a disk that does 20 MB/s."""


@dataclass(frozen=True)
class _Measure:
    """Commands on a host that mostly wait, each as words and standard input, and what their results mean."""

    checks: tuple[Check, ...]
    commands: Sequence[tuple[Sequence[str], str]]
    takes_s: float
    judge: Callable[[Sequence[Result]], list[Check]]
    """Of as many results as there are commands."""


@dataclass(frozen=True)
class Questions:
    """What to ask of the hosts of a standing fortress.

    `clock` is the operator's. `database_seen` collects what each worker saw of the database, for its certificate;
    `roles_seen` what each server of several says of its role.
    `io` is whether the database's disk is put under load.
    """

    outputs: StackOutputs
    clock: Clock
    database_seen: dict[str, DatabaseAnswer]
    roles_seen: asking_roles.Reports
    io: bool = False

    def of(self, name: str) -> list[Question]:
        """All questions to one host."""
        return list(self._all(name))

    def _all(self, name: str) -> Iterator[Question]:
        outputs = self.outputs
        yield self._clock(name)
        yield self._tunnel(name)
        yield from self._waits(name)
        if outputs.mesh:
            yield self._interface_mtu(name, outputs.mesh)
            if flows := [flow for flow in outputs.flows if flow.source == name]:
                yield self._flows(name, flows, outputs.mesh)
        if outputs.hosts[name].egress == "closed" and (target := egress.target(outputs, name)):
            yield self._egress(name, *target)
        if has := outputs.hosts[name].exporters:
            yield self._exporters(name, list(has))
            for each in has:
                if each in monitoring.UNITS:
                    yield self._sandbox(name, monitoring.UNITS[each])
        if outputs.database and name in outputs.clients():
            yield self._database_over_tls(name, outputs.database)
        if outputs.database and name in outputs.database.hosts():
            yield self._database_without_tls(name)
            yield self._database_release(name)
            if outputs.database.accounts:
                yield self._accounts(name)
            if outputs.database.encrypted:
                yield self._volume(name)
            yield self._sandbox(name, "mariadb")
            if outputs.database.servers:
                yield self._role(name)
                yield self._sandbox(name, ROLE_UNIT)
            else:
                yield self._replication_lag(name, outputs.database)
            if name == outputs.database.backup_host:
                yield self._backups(name)
                yield self._sandbox(name, backup.SHIP)
            if self.io:
                yield self._disk(name)
        if outputs.edge and name == outputs.edge.host:
            yield self._backends(name, outputs.edge)
            yield self._sandbox(name, "haproxy")

    def _waits(self, name: str) -> Iterator[Question]:
        """What takes seconds and hardly any work, all at the same time."""
        outputs, parts = self.outputs, []
        if mesh := outputs.mesh:
            pairs = [other for one, other in outputs.pairs() if one == name]
            dials = [other for one, other in outputs.dials() if one == name]
            parts += [self._round_trips(name, pairs), self._mtus(name, pairs, dials, mesh)]
            if pairs:
                parts.append(self._encryption(name, pairs, mesh))
        parts.append(self._disk_space(name))
        if (days := outputs.limits.log_days) is not None:
            parts.append(self._log_age(name, days))
        if outputs.hosts[name].listens is not None:
            parts.append(self._listening(name))
        if outputs.database and name in outputs.database.hosts():
            parts.append(self._io_wait(name))
        if commands := [command for part in parts for command in part.commands]:
            longest = max(part.takes_s for part in parts)

            def ask(session: Session) -> list[Check]:
                results = iter(_together(session, commands, longest))
                return [check for part in parts for check in part.judge([next(results) for _ in part.commands])]

            yield Question(tuple(check for part in parts for check in part.checks), ask)

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

    def _round_trips(self, name: str, others: Sequence[str]) -> _Measure:
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

        def judge(results: Sequence[Result]) -> list[Check]:
            found = []
            for trip, lost, result in zip(trips, losses, results, strict=True):
                if why := not_asked(result, name):
                    found += [trip.unknown(why), lost.unknown(why)]
                else:
                    limit = limits.rtt(hosts[name].site, hosts[trip.about].site)
                    found += [
                        verdicts.round_trip(trip, result, limit),
                        verdicts.loss(lost, result, limits.loss_percent),
                    ]
            return found

        both = tuple(check for pair in zip(trips, losses, strict=True) for check in pair)
        return _Measure(both, pings, PINGS_TAKE_S, judge)

    def _mtus(self, name: str, pairs: Sequence[str], dials: Sequence[str], mesh: MeshFacts) -> _Measure:
        """How wide the tunnels are, and the paths outside of them."""
        hosts = self.outputs.hosts
        inside = [Check(Kind.TUNNEL_MTU, name, other, limit=mesh.mtu) for other in pairs]
        outside = [Check(Kind.PATH_MTU, name, other, limit=mesh.path_mtu) for other in dials]
        places = [(hosts[other].mesh_address, mesh.mtu) for other in pairs]
        places += [(hosts[other].address, mesh.path_mtu) for other in dials]
        program = _program("path.py")
        probes = [(["python3", "-I", "-", address, str(expected)], program) for address, expected in places]

        def judge(results: Sequence[Result]) -> list[Check]:
            found = []
            for check, result in zip((*inside, *outside), results, strict=True):
                if why := not_asked(result, name):
                    found.append(check.unknown(why))
                elif check.kind is Kind.TUNNEL_MTU:
                    found.append(verdicts.tunnel_mtu(check, result, mesh.mtu))
                else:
                    found.append(verdicts.path_mtu(check, result, mesh.path_mtu, wireguard.OVERHEAD))
            return found

        return _Measure((*inside, *outside), probes, PATH_TAKES_S, judge)

    def _encryption(self, name: str, others: Sequence[str], mesh: MeshFacts) -> _Measure:
        checks = tuple(Check(Kind.ENCRYPTION, name, other, limit="unreadable") for other in others)
        addresses = [self.outputs.hosts[other].mesh_address for other in others]
        command = (["python3", "-I", "-", mesh.interface, *addresses], _program("tunnel.py"))

        def judge(results: Sequence[Result]) -> list[Check]:
            (result,) = results
            if why := not_asked(result, name):
                return [check.unknown(why) for check in checks]
            said = result.stdout.splitlines()
            lines = said if len(said) == len(checks) else [""] * len(checks)
            return [encryption.of_tunnel(check, line, result.stderr) for check, line in zip(checks, lines, strict=True)]

        return _Measure(checks, [command], PROBE_TAKES_S, judge)

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

    def _exporters(self, name: str, wanted: Sequence[str]) -> Question:
        checks = tuple(Check(Kind.EXPORTER, name, each) for each in wanted)

        def ask(session: Session) -> list[Check]:
            arguments = monitoring.question(self.outputs.hosts[name].mesh_address, wanted, seconds=0)
            program = script(monitoring.SCRIPT)
            result = session.run(shlex.join(["python3", "-I", "-", *arguments]), text=program, takes=PROBE_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why) for check in checks]
            return exporters.judge(checks, result)

        return Question(checks, ask)

    def _egress(self, name: str, address: str, port: int) -> Question:
        check = Check(Kind.EGRESS, name, limit="refused")

        def ask(session: Session) -> list[Check]:
            words = [*session.sudo, "python3", "-I", "-", address, str(port)]
            result = session.run(shlex.join(words), text=_program("egress.py"), takes=PROBE_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [egress.judge(check, result, f"{address} at port {port}")]

        return Question((check,), ask)

    def _database_over_tls(self, name: str, database: DatabaseFacts) -> Question:
        check = Check(Kind.DATABASE_OVER_TLS, name, limit=verdicts.TLS_VERSIONS[0])

        def ask(session: Session) -> list[Check]:
            # Where there are several servers, by the client's own way to the one that takes the writes.
            address = mariadb.CLIENT_ADDRESS if database.servers else database.address
            words = ["python3", "-I", "-", address, str(database.port), database.ca_pem]
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
            query = "select @@global.require_secure_transport, @@global.tls_version"
            words = [*session.sudo, "mariadb", "--batch", "--skip-column-names", "--execute", query]
            result = session.run(shlex.join(words))
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [verdicts.database_without_tls(check, result)]

        return Question((check,), ask)

    def _database_release(self, name: str) -> Question:
        check = Check(Kind.DATABASE_RELEASE, name, limit="upgraded")

        def ask(session: Session) -> list[Check]:
            for again in range(UPGRADE_ASKED):
                time.sleep(again and UPGRADE_EVERY_S)
                result = session.run(shlex.join([*session.sudo, *verdicts.ASK_RELEASE]), takes=PROBE_TAKES_S)
                if result.status != 0:
                    break
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [verdicts.database_release(check, result)]

        return Question((check,), ask)

    def _accounts(self, name: str) -> Question:
        check = Check(Kind.DATABASE_ACCOUNTS, name, limit="as set")

        def ask(session: Session) -> list[Check]:
            result = session.run(shlex.join([*session.sudo, *accounts.QUESTION]), takes=PROBE_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [accounts.judge(check, result)[0]]

        return Question((check,), ask)

    def _volume(self, name: str) -> Question:
        check = Check(Kind.VOLUME_BYTES, name, limit="encrypted")

        def ask(session: Session) -> list[Check]:
            words = [*session.sudo, "python3", "-I", "-", mariadb.DATA_FOLDER]
            result = session.run(shlex.join(words), text=_program("volume.py"), takes=PROBE_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [encryption.of_volume(check, result)]

        return Question((check,), ask)

    def _sandbox(self, name: str, unit: str) -> Question:
        check = Check(Kind.SANDBOX, name, unit, limit=verdicts.EXPOSURE)

        def ask(session: Session) -> list[Check]:
            result = session.run(shlex.join([*session.sudo, "sh", "-s", "--", unit]), text=script("sandbox-state"))
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [verdicts.sandbox(check, result)]

        return Question((check,), ask)

    def _role(self, name: str) -> Question:
        def ask(session: Session) -> list[Check]:
            self.roles_seen[name] = report = asking_roles.ask(session)
            if isinstance(report, str):
                return [Check(Kind.DATABASE_ROLE, name).unknown(report)]
            return roles.judge(name, report, self.outputs.limits.replication_lag_s)

        return Question((Check(Kind.DATABASE_ROLE, name),), ask)

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

    def _backups(self, name: str) -> Question:
        every = backups.checks(name)

        def ask(session: Session) -> list[Check]:
            result = session.run(shlex.join([*session.sudo, *backup.STATE]), takes=PROBE_TAKES_S)
            if why := not_asked(result, name):
                return [check.unknown(why) for check in every]
            return backups.judge(every, result)

        return Question(every, ask)

    def _disk_space(self, name: str) -> _Measure:
        limit = self.outputs.limits.disk_percent
        check = Check(Kind.DISK_SPACE, name, limit=limit)
        folders = ["/"]
        if self.outputs.database and name in self.outputs.database.hosts():
            folders.append(mariadb.DATA_FOLDER)
        command = (["stat", "--file-system", "--format=%S %b %f %a %c %d", *folders], "")

        def judge(results: Sequence[Result]) -> list[Check]:
            (result,) = results
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [disk.space(check, result, folders, limit)]

        return _Measure((check,), [command], PROBE_TAKES_S, judge)

    def _log_age(self, name: str, days: int) -> _Measure:
        check = Check(Kind.LOG_AGE, name, limit=days)

        def judge(results: Sequence[Result]) -> list[Check]:
            (result,) = results
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [verdicts.log_age(check, result, days)]

        return _Measure((check,), [(verdicts.OLDEST_ENTRY, "")], PROBE_TAKES_S, judge)

    def _listening(self, name: str) -> _Measure:
        check = Check(Kind.LISTENING, name, limit=listening.limit(self.outputs, name))

        def judge(results: Sequence[Result]) -> list[Check]:
            (result,) = results
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [listening.judge(check, result, self.outputs, name)]

        return _Measure((check,), [(listening.QUESTION, "")], PROBE_TAKES_S, judge)

    def _io_wait(self, name: str) -> _Measure:
        limit = self.outputs.limits.iowait_percent
        check = Check(Kind.IO_WAIT, name, limit=limit)
        command = (["python3", "-I", "-", mariadb.DATA_FOLDER, str(LOAD_S)], _program("load.py"))

        def judge(results: Sequence[Result]) -> list[Check]:
            (result,) = results
            if why := not_asked(result, name):
                return [check.unknown(why)]
            return [disk.io_wait(check, result, limit)]

        return _Measure((check,), [command], LOAD_S + PROBE_TAKES_S, judge)

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
