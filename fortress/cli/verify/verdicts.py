"""What holds and what does not: what hosts answered, turned into checks. Plain functions, no network."""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fortress import push, records
from fortress.cli.base.result import Result
from fortress.cli.check.check import DAY_S, Check
from fortress.facts import FlowFacts


def read_json(text: str) -> Any:
    """JSON without the numbers that are none.

    Raises:
        ValueError: it is not JSON, or has such a number.
    """
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


# What hosts print


@dataclass(frozen=True)
class Tunnel:
    """What scripts/tunnel-state prints, by the host's own clock."""

    ages: dict[str, float]
    """Seconds since each peer was last heard of by public key, infinite for never."""
    key_age_s: float | None
    """Of the host's own key; None where there is no file of it."""
    pushed: dict[str, str]
    """Public key to name of each peer in a file that stands as it was pushed."""
    unread: str = ""
    """Why those are not known."""


def read_tunnel(text: str) -> Tunnel:
    """What scripts/tunnel-state prints.

    Raises:
        ValueError: anything else.
    """
    lines = [line.split() for line in text.splitlines()]
    found: dict[str, list[list[str]]] = {kind: [] for kind in ("now", "key", "peer", "pushed", "unread")}
    for line in lines:
        if not line or line[0] not in found:
            raise ValueError(f"not an answer: {line!r}")
        found[line[0]].append(line[1:])
    ((clock,),) = found["now"]
    now = float(clock)
    if any(len(born) != 1 for born in found["key"]) or not math.isfinite(now):
        raise ValueError("no time")
    return Tunnel(
        ages={key: now - float(epoch) if float(epoch) else math.inf for key, epoch in found["peer"]},
        key_age_s=now - float(found["key"][0][0]) if found["key"] else None,
        pushed={key: " ".join(name) for key, *name in found["pushed"]},
        unread=" ".join(found["unread"][0]) or "its records cannot be read" if found["unread"] else "",
    )


@dataclass(frozen=True)
class Pings:
    """Round trips in milliseconds, one for each answer."""

    sent: int
    round_trips: tuple[float, ...]


def read_pings(text: str) -> Pings:
    """What iputils' ping prints, whether it was answered or not.

    Raises:
        ValueError: anything else.
    """
    sent = re.search(r"^(\d+) packets transmitted", text, re.MULTILINE)
    if not sent:
        raise ValueError("ping printed no statistics")
    times = re.findall(r"^\d+ bytes from .* time=([\d.]+) ms", text, re.MULTILINE)
    return Pings(int(sent[1]), tuple(float(time) for time in times))


def read_servers(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """The CSV of HAProxy's `show stat`: (backend, server) to its columns.

    Raises:
        ValueError: anything else.
    """
    if not text.startswith("# pxname,svname,"):
        raise ValueError("HAProxy's statistics have no header")
    rows = csv.DictReader(text.removeprefix("# ").splitlines())
    return {
        (row["pxname"], row["svname"]): row
        for row in rows
        if row["svname"] not in ("FRONTEND", "BACKEND") and row["status"]
    }


TLS_VERSIONS = ("TLSv1.2", "TLSv1.3")
"""What a connection to the database may be; older ones are broken (RFC 8996)."""


@dataclass(frozen=True)
class DatabaseAnswer:
    """What probes/database.py found from a worker."""

    server: str = ""
    tls: str = ""
    cipher: str = ""
    not_after: float = 0.0
    error: str | None = None


def read_database(text: str) -> DatabaseAnswer:
    """The JSON that probes/database.py prints.

    Raises:
        ValueError: anything else.
    """
    found = read_json(text)
    try:
        answer = DatabaseAnswer(**found)
    except TypeError as error:
        raise ValueError(str(error)) from None
    is_version = isinstance(answer.tls, str) and re.fullmatch(r"(TLS|SSL)v[0-9.]+", answer.tls)
    if answer.error is None and not (is_version and math.isfinite(answer.not_after)):
        raise ValueError("neither a connection nor an error")
    return answer


# What that means


def tunnel(
    checks: Mapping[str, Check],
    strangers: Check,
    key_age: Check,
    result: Result,
    keys: Mapping[str, str],
    limit_s: float,
    limit_days: float,
) -> list[Check]:
    """Age of the handshake with each direct peer, peers that nobody pushed, and the age of the host's own key.

    `checks` has one check a peer, `keys` every host's public key by name. A peer of another stack, or one that is set
    as gone, stands in a file that was pushed.
    """
    every = (*checks.values(), strangers, key_age)
    if result.status != 0:
        why = result.stderr or "wg show failed"
        return [*(check.fail(None, why) for check in checks.values()), strangers.unknown(why), key_age.unknown(why)]
    try:
        found_there = read_tunnel(result.stdout)
    except ValueError:
        return [check.unknown(f"the host printed {result.stdout!r}") for check in every]
    ages = found_there.ages
    found = []
    for peer, check in checks.items():
        age = ages.get(keys[peer])
        if age is None:
            found.append(check.fail(None, f"{peer} is not a peer on {check.host}"))
        elif math.isinf(age):
            found.append(check.fail(None, f"{peer} never answered {check.host}"))
        else:
            found.append(check.judge(age <= limit_s, round(age), "" if age <= limit_s else "the tunnel is silent"))
    others = {key: name for key, name in found_there.pushed.items() if key in ages and key not in keys.values()}
    unknown_keys = sorted(set(ages) - set(keys.values()) - set(others))
    guests = f"not of this stack, and pushed: {', '.join(sorted(others.values()))}" if others else ""
    if unknown_keys and found_there.unread:
        found.append(strangers.unknown(records.cure(found_there.unread) or found_there.unread))
    else:
        found.append(strangers.judge(not unknown_keys, len(unknown_keys), ", ".join(unknown_keys) or guests))
    found.append(_key_age(key_age, found_there.key_age_s, limit_days))
    return found


def _key_age(check: Check, age_s: float | None, limit_days: float) -> Check:
    if age_s is None:
        return check.fail(None, "the file of the tunnel's key is missing")
    days = math.floor(age_s / DAY_S * 10) / 10
    return check.judge(
        days <= limit_days, days, "" if days <= limit_days else "renew it as docs/production.md describes"
    )


def round_trip(check: Check, result: Result, limit: tuple[float, float] | None) -> Check:
    """Median round trip through the tunnel."""
    try:
        pings = read_pings(result.stdout)
    except ValueError:
        return check.unknown(result.stderr or "ping printed nothing")
    if not pings.round_trips:
        return check.fail(None, "no answer through the tunnel")
    median = round(statistics.median(pings.round_trips), 2)
    answered = f"{len(pings.round_trips)} of {pings.sent} answered"
    return check.judge(limit is None or limit[0] <= median <= limit[1], median, answered)


def loss(check: Check, result: Result, limit_percent: float) -> Check:
    """Pings through the tunnel that got no answer."""
    try:
        pings = read_pings(result.stdout)
    except ValueError:
        return check.unknown(result.stderr or "ping printed nothing")
    answered = min(len(pings.round_trips), pings.sent)  # one may be answered twice
    lost = round(100 * (1 - answered / pings.sent), 1) if pings.sent else 100.0
    return check.judge(lost <= limit_percent, lost, f"{answered} of {pings.sent} answered")


def flow(check: Check, line: str, stderr: str, tried: FlowFacts, relay: str | None) -> Check:
    """A connection that was tried. What counts is whether it gets there; whose service answers is said beside it."""
    try:
        said = read_json(line)
        answer, ms = str(said["answer"]), float(said["ms"])
    except (KeyError, TypeError, ValueError):
        return check.unknown(stderr or "the host did not say what came of it")
    if answer == "open":
        return check.ok(ms)
    if answer == "refused":
        return check.ok(ms, f"{tried.destination} lets it in, and nobody listens there")
    if tried.protocol == "udp" and answer == "silent":
        return check.unknown(f"no answer from {tried.destination}, and a service over UDP need not give one")
    found = "no answer" if answer == "silent" else answer
    over, between = (f" over {relay}", f", {relay}") if relay else ("", "")
    places = f"{tried.source}{between} and {tried.destination}"
    return check.fail(None, f"{found}{over}: `fortress drift` compares {places} with what was pushed")


def read_path(text: str) -> int:
    """What probes/path.py prints: bytes of the largest packet that passed, 0 for none.

    Raises:
        ValueError: otherwise.
    """
    try:
        return int(read_json(text)["largest"])
    except (KeyError, TypeError, OverflowError):
        raise ValueError("no size") from None


def tunnel_mtu(check: Check, result: Result, mtu: int) -> Check:
    """A packet as large as the tunnel's MTU passes whole this way, and one byte more does not."""
    largest = _path(check, result)
    if isinstance(largest, Check):
        return largest
    if largest == 0:
        return check.fail(None, "no answer through the tunnel")
    if largest < mtu:
        return check.fail(largest, f"a packet of {mtu} bytes does not pass; lower mesh.mtu")
    return check.judge(largest == mtu, largest, "" if largest == mtu else "the tunnel is wider than set")


def path_mtu(check: Check, result: Result, expected: int, overhead: int) -> Check:
    """The path outside the tunnel, this way, is as wide as the settings say. `overhead` is the tunnel's, in bytes.

    The way back may be narrower: an answer to a ping may be cut into parts.
    """
    largest = _path(check, result)
    if isinstance(largest, Check):
        return largest
    if largest == 0:
        return check.unknown("no answer to a ping outside the tunnel; let ICMP echo through, or the path stays unknown")
    cure = f"set mesh.path_mtu to {largest}, and mesh.mtu to at most {largest - overhead}"
    return check.judge(largest >= expected, largest, "" if largest >= expected else cure)


def _path(check: Check, result: Result) -> int | Check:
    if result.status != 0:
        return check.unknown(result.stderr or f"exit status {result.status} with no output")
    try:
        return read_path(result.stdout)
    except ValueError:
        return check.unknown(f"the host printed {result.stdout!r}")


def interface_mtu(check: Check, result: Result, mtu: int) -> Check:
    """The interface's own MTU."""
    if result.status != 0:
        return check.fail(None, result.stderr or "the interface is not there")
    try:
        found = int(result.stdout)
    except ValueError:
        return check.unknown(f"the host printed {result.stdout!r}")
    return check.judge(found == mtu, found, "" if found == mtu else "differs from the setting mesh.mtu")


def database_over_tls(check: Check, answer: DatabaseAnswer) -> Check:
    if answer.error is not None:
        return check.fail(None, answer.error)
    detail = f"{answer.cipher}, MariaDB {answer.server}"
    if answer.tls not in TLS_VERSIONS:
        return check.fail(answer.tls, f"{detail}; older than TLS 1.2, and broken (RFC 8996)")
    return check.ok(answer.tls, detail)


def database_without_tls(check: Check, result: Result) -> Check:
    """The server's own word: to a client without a password it says the same with and without this (10.11)."""
    if result.status != 0:
        return check.unknown(result.stderr or "mariadb failed")
    required, _, versions = result.stdout.strip().partition("\t")
    if required != "1":
        return check.fail("offered", "require_secure_transport is off on the server")
    if broken := [version for version in versions.split(",") if version not in TLS_VERSIONS]:
        return check.fail(
            "refused", f"the server takes {' and '.join(broken) or 'any version'}: tls_version, run `pulumi up`"
        )
    return check.ok("refused", versions.replace(",", " and "))


OLDEST_ENTRY = (
    "sh",
    "-c",
    "date +%s && journalctl --quiet --no-pager --output=short-unix | head -n 1 | cut -d ' ' -f 1",
)
"""Prints the host's time, and that of the oldest entry of its journal; in seconds since 1970."""


def log_age(check: Check, result: Result, limit_days: int) -> Check:
    """How far back the host's journal reaches, by its own clock."""
    try:
        now, oldest = (float(line) for line in result.stdout.splitlines())
        days = math.floor((now - oldest) / DAY_S * 10) / 10
    except (ValueError, OverflowError):
        return check.unknown(result.stderr or f"the host printed {result.stdout!r}")
    cure = f"have journald keep {limit_days} days: docs/production.md, Logs"
    return check.judge(days <= limit_days, days, "" if days <= limit_days else cure)


ASK_RELEASE = ("mariadb-upgrade", "--no-defaults", "--user=root", "--check-if-upgrade-is-needed")
"""Changes nothing; exits 0 where an upgrade is needed, and 1 where it is not, or where it cannot tell."""


def database_release(check: Check, result: Result) -> Check:
    """Whether the system's tables are of the release of the server."""
    said = f"{result.stdout}\n{result.stderr}"
    if found := re.search(r"already upgraded to (\d[\w.-]*\w)", said):
        return check.ok(found[1])
    if result.status == 0:
        cure = f"run {shlex.join(push.UPGRADED)} there, as root"
        return check.fail("not upgraded", f"a newer MariaDB runs on the system tables of an older one: {cure}")
    return check.unknown(result.stderr or "mariadb-upgrade does not say")


EXPOSURE = 4.0
"""What a service may reach of its host at most, as systemd weighs it; 9.6 without any sandbox."""


def sandbox(check: Check, result: Result) -> Check:
    """How far the unit that the check is about is confined, and whether its process is."""
    said = dict(line.split(" ", 1) for line in result.stdout.splitlines() if " " in line)
    try:
        level = float(said["exposure"])
    except (KeyError, ValueError):
        return check.unknown(result.stderr or "systemd-analyze security gives no level")
    if not 0 <= level <= 10:  # not a number, too
        return check.unknown(f"systemd-analyze security gives the level {level}")
    if level > EXPOSURE:
        found = f"its drop-in is missing or another one takes the sandbox away: systemctl cat {check.about}"
        return check.fail(level, found)
    if "confined" not in said:
        return check.fail(level, "it does not run")
    if said["confined"] != "1":
        restart = f"systemctl restart {check.about}, which ends its connections"
        return check.fail(level, f"it was started before its sandbox was there and runs without: {restart}")
    return check.ok(level)


def backends(
    checks: Mapping[tuple[str, str], Check], addresses: Mapping[tuple[str, str], str], text: str
) -> list[Check]:
    """Each server as HAProxy sees it. `checks` and `addresses` are by (backend, server)."""
    try:
        rows = read_servers(text)
    except ValueError as error:
        return [check.unknown(str(error)) for check in checks.values()]
    return [_server(check, rows.get(key), addresses[key]) for key, check in checks.items()]


def _server(check: Check, row: Mapping[str, str] | None, address: str) -> Check:
    if row is None:
        return check.fail(None, "HAProxy has no such server")
    status = row["status"]
    # A star in front says that the next check is under way.
    last = " ".join(
        part for part in (row["check_status"].lstrip("* "), row["check_code"], row.get("last_chk") or "") if part
    )
    if row.get("addr") and row["addr"] != address:
        return check.fail(status, f"HAProxy sends to {row['addr']}, the stack says {address}")
    if status == "no check":
        return check.fail(status, "HAProxy does not check this server")
    return check.judge(status == "UP" or status.startswith("UP "), status, f"last check: {last or 'none'}")


def failover(check: Check, silent_ms: int, refused_ms: int, limit_s: float) -> Check:
    """The longest time until the edge leaves a dead server, as the settings make it; not measured."""
    seconds = silent_ms / 1000
    detail = f"computed from edge.checks; {refused_ms / 1000:g} s if the host is up and refuses"
    return check.judge(seconds <= limit_s, seconds, detail)


@dataclass(frozen=True)
class ClockSample:
    """One question for the time: our clock before and after, the host's in between; seconds since 1970."""

    before: float
    host: float
    after: float

    @property
    def round_trip(self) -> float:
        return self.after - self.before

    @property
    def offset(self) -> float:
        """Seconds that the host is ahead, half the round trip taken off."""
        return self.host - (self.before + self.after) / 2


def clock_offset(check: Check, samples: Sequence[ClockSample], limit_ms: float) -> Check:
    """The host's clock against the operator's, by the quickest of some answers (the least room for error)."""
    best = min(samples, key=lambda sample: sample.round_trip)
    offset_ms = round(best.offset * 1000, 1)
    detail = f"within {best.round_trip * 500:.1f} ms either way"
    if abs(offset_ms) > limit_ms:
        detail = f"{'ahead of' if offset_ms > 0 else 'behind'} this clock, {detail}"
    return check.judge(abs(offset_ms) <= limit_ms, offset_ms, detail)


def open_ports(
    check: Check,
    found: Mapping[int, bool],
    expected: Iterable[int],
    *,
    silence: str | None = None,
    not_from_here: Iterable[int] = (),
) -> Check:
    """Exactly the expected TCP ports are open as seen from here.

    `found` says of each port tried whether it is open; `silence` is why the host did not answer at all, since nothing
    is open on a machine that is off; `not_from_here` are expected ports that this place need not see.
    """
    seen = {port for port, is_open in found.items() if is_open}
    wanted = set(expected)
    extra, missing = sorted(seen - wanted), sorted(wanted - seen - set(not_from_here))
    value = _ports(seen) or "none"
    if extra:
        return check.fail(value, f"open and should not be: {_ports(extra)}")
    if missing and silence:
        return check.unknown(silence)
    if missing:
        return check.fail(value, f"closed and should be open: {_ports(missing)}")
    return check.ok(value)


def _ports(ports: Iterable[int]) -> str:
    return " ".join(str(port) for port in sorted(ports))
