"""Part `galera`: how long nobody can write once the host that does is lost, and what a commit costs between sites.

First a cluster of three in Oslo: the host that takes the writes is switched off so many times, at least KILLS, while a
client on a worker writes row after row and keeps its own list of those that were acknowledged (tests/lab/ledger.py);
and one row after another is committed while the link to Frankfurt is as ever, slow, and cut. Then a cluster whose third
member stands behind that link, at a site of its own: what a commit takes, beside a round trip of ping through the same
tunnel, in turn.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from bench import stand
from bench.figures import Figure, alternating, median
from lab import api
from lab.base import topology

SERVERS = ("oslo-db", "oslo-db2", "oslo-db3")
FAR = "fra-3"
CLIENT, LEDGER = "oslo-web", "/opt/ledger"
KILLS = 20
COMMITS, PINGS = 200, 50
"""In each round."""
SLOW_MS = 400
STATE = "python3 -I /usr/local/lib/fortress/database_role.py state"
PATIENCE_S = 180.0
LEDGER_PROGRAM = stand.ROOT / "tests/lab/ledger.py"
ROLE_FLOW = {
    "source": "frankfurt",
    "destination": "oslo",
    "port": 3307,
    "data_class": "none",
    "basis": "adequacy",
    "purpose": "Workers in Frankfurt ask which server of the database takes the writes",
    "review": "2028-06-30",
}


def figures(repeat: int) -> Iterator[Figure]:
    """Waits for a commit, and its cost."""
    with _cluster(SERVERS):
        yield from _slow_and_gone(repeat)
        yield from _killed(max(repeat, KILLS))
    with _cluster((*SERVERS[:2], FAR)):
        yield from _far(repeat)


@contextmanager
def _cluster(servers: tuple[str, ...]) -> Iterator[None]:
    """A lab with a cluster of these, the first of which takes the writes."""

    def clustered(settings: stand.Settings) -> None:
        oslo = settings["sites"]["oslo"]
        for slot, name in enumerate(servers[1:], start=6):
            site = topology.HOSTS[name].site.name
            settings["hosts"][name] = {
                "site": "oslo" if site == "oslo" else "north",
                "role": "database",
                "slot": slot,
                "address": str(topology.HOSTS[name].address),
                "memory_mb": 1024,
            }
            if site != "oslo":
                # The hosts of the lab's other site, as if they were at home: what counts is the link before them.
                settings["sites"]["north"] = {key: value for key, value in oslo.items() if key != "address"}
        settings["mesh"]["hubs"] = [*servers, "oslo-edge"]
        settings["database"] |= {"mode": "galera", "primary": servers[0]}
        if "north" in settings["sites"]:
            del settings["sovereignty"]  # the register knows of no such site, and may be left out
        else:
            settings["sovereignty"]["flows"]["frankfurt-database-role"] = ROLE_FLOW

    with stand.project(bare=True) as project:
        for name in servers[1:]:
            api.start(name)
        project.change(clustered)
        project.pulumi(*stand.UP)
        stand.on(servers[0], f"mariadb -e '{_TABLE}'")
        yield


_TABLE = "CREATE TABLE app.bench (n BIGINT AUTO_INCREMENT PRIMARY KEY) ENGINE InnoDB"


def _slow_and_gone(repeat: int) -> Iterator[Figure]:
    """A commit of a cluster in Oslo, by what the link to Frankfurt does."""
    rtt_ms = api.link_settings().rtt_ms

    def commit(**link: Any) -> Callable[[], float]:
        def run() -> float:
            api.link(**link)
            try:
                return commit_ms(SERVERS[0])
            finally:
                api.link(rtt_ms=rtt_ms, cut=False)

        return run

    runs = {"as ever": commit(), "slow": commit(rtt_ms=SLOW_MS), "cut": commit(cut=True)}
    found = alternating(repeat, runs)
    for name, what in (("slow", f"{SLOW_MS} ms away"), ("cut", "cut off")):
        yield Figure(
            f"a commit in Oslo while Frankfurt is {what}",
            median(found[name]),
            "ms",
            median(found["as ever"]),
            "as ever",
            1.1,
        )


def _killed(kills: int) -> Iterator[Figure]:
    """Waits for a commit and what is lost, while whoever takes the writes is switched off again and again."""
    program = base64.b64encode(LEDGER_PROGRAM.read_bytes()).decode()
    secrets = "/etc/fortress/app/database-ca.pem /etc/fortress/app/database-password"
    stand.on(
        CLIENT,
        f"touch {LEDGER}; echo {program} | base64 -d >{LEDGER}.py; "
        "systemd-run --quiet --collect --unit=ledger "
        f"-p StandardOutput=append:{LEDGER}.log python3 {LEDGER}.py {LEDGER} {secrets}",
    )
    _until(lambda: len(_acknowledged()) > COMMITS, "the client writes")
    waits: list[float] = []
    for _ in range(kills):
        lost = _writer()
        before = len(_acknowledged())
        api.kill(lost)
        _until(partial(_writes_on, before), "another member takes the writes")
        waits.append(_longest_wait(_acknowledged()[max(before - 50, 0) :]))
        api.start(lost)
        _until(lambda: all(_synced(name) for name in SERVERS), f"{lost} is back")
    stand.on(CLIENT, f"touch {LEDGER}.stop; while systemctl -q is-active ledger; do sleep 0.2; done")
    acknowledged = {number for number, _ in _acknowledged()}
    lost_rows = max(len(acknowledged - _rows(name)) for name in SERVERS)
    note = f"{kills} kills of the host that takes the writes, {len(acknowledged):,} commits"
    yield Figure("time without an acknowledged commit, at the most", max(waits), "s", goal=10, note=note)
    yield Figure("the same, the one in the middle", median(waits), "s")
    yield Figure("acknowledged commits that a member lacks", lost_rows, "", goal=0)


def _far(repeat: int) -> Iterator[Figure]:
    """A commit of a cluster with a member behind the link, beside a round trip to that."""
    address = stand.on(FAR, "ip -4 -o address show dev wg0 | awk '{print $4}' | cut -d/ -f1").strip()
    runs = {"commit": lambda: commit_ms(SERVERS[0]), "ping": lambda: ping_ms(SERVERS[0], address)}
    found = alternating(repeat, runs)
    yield Figure(
        "a commit with a member 22 ms away",
        median(found["commit"]),
        "ms",
        median(found["ping"]),
        "a round trip through the tunnel",
        1.15,
        note=f"medians of {COMMITS} commits and of {PINGS} pings",
    )


def commit_ms(host: str) -> float:
    """Milliseconds of a commit of one row, the middle one of COMMITS, by the server's own clock."""
    one = "SELECT SYSDATE(6); INSERT INTO app.bench VALUES (); SELECT SYSDATE(6);"
    said = stand.on(host, f"yes '{one}' | head -n {COMMITS} | mariadb -N --unbuffered")
    return commits_median(said)


def commits_median(said: str) -> float:
    """Milliseconds from the first to the second of each two times, the middle one.

    Raises:
        BenchError: these are no such times.
    """
    try:
        times = [datetime.fromisoformat(line).timestamp() for line in said.split("\n") if line]
        pairs = list(zip(times[::2], times[1::2], strict=True))
    except ValueError as error:
        raise stand.BenchError(f"no times of commits: {error}") from None
    return median((after - before) * 1000 for before, after in pairs)


def ping_ms(host: str, address: str) -> float:
    """Milliseconds of a round trip, the middle one of PINGS."""
    said = stand.on(host, f"ping -n -c {PINGS} -i 0.1 {address}")
    return median(float(each) for each in re.findall(r"time=([\d.]+) ms", said))


def _acknowledged() -> list[tuple[int, float]]:
    """Rows that the client knows of, and when it heard of each."""
    said = stand.on(CLIENT, f"cat {LEDGER}")
    return [(int(number), float(at)) for number, at in (line.split() for line in said.splitlines())]


def _writes_on(before: int) -> bool:
    return len(_acknowledged()) > before + 50


def _longest_wait(acknowledged: list[tuple[int, float]]) -> float:
    times = [at for _, at in acknowledged]
    return max(after - before for before, after in itertools.pairwise(times))


def _rows(host: str) -> set[int]:
    return {int(line) for line in stand.on(host, "mariadb -N -e 'SELECT n FROM app.ledger'").split()}


def _state(host: str) -> dict[str, Any]:
    done = api.console(host, STATE)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def _synced(host: str) -> bool:
    member = _state(host).get("own", {}).get("member") or {}
    return member.get("state") == "Synced" and len(member["members"]) == len(SERVERS)


def _writer() -> str:
    found: list[str] = []

    def one() -> bool:
        found[:] = [name for name in SERVERS if _state(name).get("takes_writes")]
        return len(found) == 1

    _until(one, "one member takes the writes")
    return found[0]


def _until(done: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        BenchError: it does not come about.
    """
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > PATIENCE_S:
            raise stand.BenchError(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.5)
