"""What the fortress is for: requests answered from Oslo out of the database, and what becomes of them in bad times.

The figures of the measured ones are printed (-rP).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fortress import haproxy
from fortress.settings import model as settings
from fortress.settings.parse import parse
from fortress.settings.types import PROJECT
from lab import api
from lab.base import processes, topology
from lab.host import hosts
from tests.lab import traffic
from tests.lab.fortress import ROOT, Fortress, Settings, ssh_logins
from tests.lab.inside import all_up, servers

pytestmark = pytest.mark.usefixtures("fortress")

KEEPALIVE_S = 4.0
"""After which the edge knows that a host is gone that has taken a request (haproxy.cfg, srvtcpka)."""
ACKNOWLEDGED_S = 2.0
"""The same of a host that was sent one and did not acknowledge it (haproxy.cfg, tcp-ut)."""
SLACK_S = 1.0
"""What an idle machine of two cores may add to a bound that counts configured waiting only."""
TURNS = 20
"""How often a request, or the checks that find out a death, wait for their turn on the machine, at most: four times
for each of two tries and three checks. Each wait is at most as long as a thread of ours waited in the same run."""
HEALTHY_S = 60
"""Seconds for the workload of a host that has just started, or whose tunnel has."""
LISTEN = """
import os, socket, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
servers = [socket.create_server((sys.argv[1], int(port))) for port in sys.argv[2:]]
print("ready", flush=True)
connection, _ = servers[0].accept()
received = 0
while data := connection.recv(1 << 16):
    received += len(data)
connection.sendall(str(received).encode())
"""
SEND = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 3) as s:
        s.sendall(bytes(int(sys.argv[3])))
        s.shutdown(socket.SHUT_WR)
        print(s.recv(100).decode())
except OSError as error:
    print(error)
"""
FRA_2 = "/etc/wireguard/wg0.d/fra-2.conf"
SYNC = "/usr/local/lib/fortress/wireguard sync wg0"
DROPPED = ("timed out", "[Errno 126] Required key not available")
"""What who connects is told when packets are dropped on their way, or by the kernel's WireGuard that knows none."""


def on(host: str, command: str, text: str | None = None) -> str:
    """What a command prints on a host, run there as root and not through the network; it must succeed."""
    done = api.console(host, command, text)
    assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def stack_settings(fortress: Fortress) -> settings.Settings:
    """The settings that the fortress was brought up with."""
    config = yaml.safe_load(fortress.file.read_text())["config"]
    plain = {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items()}
    del plain["database_password"]
    return parse(plain, fortress.project)


def health_checks(fortress: Fortress) -> haproxy.Checks:
    """The edge's health checks."""
    edge = stack_settings(fortress).edge
    return haproxy.Checks(
        inter_ms=edge.checks.inter_ms,
        fastinter_ms=edge.checks.fastinter_ms,
        fall=edge.checks.fall,
        rise=edge.checks.rise,
        timeout_ms=edge.checks.timeout_ms,
        connect_ms=edge.timeout_connect_ms,
    )


def health_url(fortress: Fortress, worker: str) -> str:
    """Where a worker says whether it can work."""
    stack = stack_settings(fortress)
    return f"http://{stack.mesh_address(worker)}:{stack.workload.port}{stack.workload.health}"


@dataclass
class Late:
    """How busy the machine was."""

    longest_s: float = 0.0
    """How long a thread of ours waited for its turn, at most."""

    @property
    def slack_s(self) -> float:
        """What the machine may add to a bound."""
        return SLACK_S + TURNS * self.longest_s


@contextmanager
def lateness() -> Iterator[Late]:
    late, ended = Late(), threading.Event()

    def look() -> None:
        due = time.monotonic() + 0.02
        while not ended.wait(max(0.0, due - time.monotonic())):
            late.longest_s = max(late.longest_s, time.monotonic() - due)
            due = time.monotonic() + 0.02

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield late
    finally:
        ended.set()
        thread.join()


@contextmanager
def dead(host: str) -> Iterator[float]:
    """A worker whose plug is pulled, from the moment given; at the end it runs again and the edge has it up."""
    try:
        api.kill(host)
        yield time.monotonic()
    finally:
        api.start(host)
        processes.until(f"{host} up at the edge", HEALTHY_S, all_up, every=0.2)


@pytest.fixture(autouse=True)
def _settled() -> None:
    """Each test begins with every worker up at the edge."""
    processes.until("all workers up at the edge", HEALTHY_S, all_up, every=0.2)


def test_oslo_answers_out_of_the_database() -> None:
    text = f"written at {uuid.uuid4()}"
    written = traffic.ask("/notes", json.dumps({"text": text}))
    assert written.status == 200, written
    assert (written.host, written.answer["database_host"]) == ("oslo-web", "oslo-db")
    assert (written.answer["note"]["text"], written.answer["note"]["host"]) == (text, "oslo-web")
    assert written.answer["tls_cipher"]
    read = traffic.ask("/")
    assert (read.status, read.host, read.answer["database_host"]) == (200, "oslo-web", "oslo-db")
    assert read.answer["notes"][0] == written.answer["note"]
    rows = on("oslo-db", "mariadb -N app", "SELECT text, host, site FROM notes ORDER BY id DESC LIMIT 1")
    assert rows.split("\t") == [text, "oslo-web", "oslo"]


def test_frankfurt_takes_over_within_the_bound_and_gives_back(fortress: Fortress) -> None:
    """A GET meets a dead worker: it is tried until the health checks have found out, and then once in Frankfurt."""
    checks = health_checks(fortress)
    down_s = haproxy.detection_bound_ms(checks, black_hole=True) / 1000
    try_s = checks.connect_ms / 1000
    # A check may just be failing when the worker comes alive; then come as many as it takes to rise.
    failing_s = max(min(checks.connect_ms, checks.inter_ms), checks.timeout_ms) / 1000
    rise_s = failing_s + checks.rise * checks.inter_ms / 1000
    clients = 8
    slow_s = 1.5
    with (
        lateness() as late,
        traffic.requests(clients=clients, every=0.2) as found,
        traffic.requests(clients=4, every=0.05, keep_alive=True) as kept,
        traffic.requests(f"/slow?ms={slow_s * 1000:.0f}", clients=2, every=0) as slow,
    ):
        found.wait("Oslo", 60, lambda answer: answer.host == "oslo-web")
        slow.wait("a slow answer of Oslo", 60, lambda answer: answer.host == "oslo-web")
        pulled = time.monotonic()
        with dead("oslo-web") as died:
            found.wait("Frankfurt", 60, lambda answer: answer.host in ("fra-1", "fra-2"))
            processes.until("outage", 60, lambda: time.monotonic() > died + down_s + try_s + 2 * late.slack_s)
            slack_s, starts = late.slack_s, time.monotonic()
            api.start("oslo-web")
            booted = time.monotonic()
            on("oslo-web", f"/usr/local/lib/fortress/wait-healthy {health_url(fortress, 'oslo-web')} {HEALTHY_S} app")
            healthy = time.monotonic()
            back = found.wait("Oslo again", 60, lambda answer: answer.host == "oslo-web")
            processes.until("requests after the outage", 60, lambda: len(found.since(back.ended)) > 40)
    outage = [answer for answer in found.answers if pulled <= answer.ended and answer.began < starts]
    assert {answer.host for answer in outage if answer.ok and answer.began > died} == {"fra-1", "fra-2"}
    late_ones = [answer for answer in outage if not answer.ok and answer.ended > died + down_s + try_s + slack_s]
    assert not late_ones, late_ones
    # Now and then HAProxy closes on a client whose request is connecting when it marks the server down.
    assert len(found.failed) < clients / 2, found
    assert all(answer in outage for answer in found.failed), found
    first = min(answer.ended for answer in outage if answer.ok and answer.began > died)
    assert first - died <= down_s + try_s + slack_s
    marked = [answer for answer in outage if answer.began > died + down_s + slack_s and answer.ended < starts]
    assert marked
    assert all(answer.ok and answer.seconds < try_s + slack_s for answer in marked), found
    assert back.began - healthy <= rise_s + late.slack_s
    assert {answer.host for answer in found.since(back.ended)} == {"oslo-web"}
    # What was sent over a connection that the edge had kept to the worker reached nobody: that is known soon.
    assert not kept.failed, kept
    waited = max(answer.seconds for answer in kept.answers)
    assert waited < ACKNOWLEDGED_S + try_s + late.slack_s
    # What the worker had taken and never answered: keepalive finds that out, and then it goes elsewhere.
    assert not slow.failed, slow
    taken = [answer for answer in slow.answers if answer.began < died < answer.ended]  # a busy machine kills slowly
    assert taken
    assert all(
        answer.host != "oslo-web" and answer.ended < died + KEEPALIVE_S + slow_s + late.slack_s for answer in taken
    )
    print(
        f"on kept connections {kept}, longest {waited:.2f} s; "
        f"{found}; {len(found.failed)} of {len(outage)} failed; first answer after {first - died:.2f} s (bound "
        f"{down_s:.2f} + {try_s:.2f}), boot {booted - starts:.2f} s, healthy {healthy - booted:.2f} s later, "
        f"back in Oslo {back.began - healthy:.2f} s after that (bound {rise_s:.2f}), slack {late.slack_s:.2f} s",
    )


def test_load_bleeds_to_frankfurt_and_comes_back(fortress: Fortress) -> None:
    most = stack_settings(fortress).edge.server_maxconn
    with traffic.requests("/slow?ms=400", clients=most // 2, every=0, keep_alive=True) as calm:
        processes.until("calm load", 60, lambda: len(calm.answers) >= 4 * most)
    assert not calm.failed, calm
    assert set(calm.hosts) == {"oslo-web"}
    with lateness() as late, traffic.requests("/", every=0.05) as beside:
        with traffic.requests("/slow?ms=400", clients=2 * most, every=0, keep_alive=True) as spike:
            began = time.monotonic()
            processes.until("spike", 60, lambda: time.monotonic() > began + 5)
            ends = time.monotonic()
        ended = time.monotonic()
        processes.until(
            "Oslo alone", 60, lambda: {a.host for a in beside.since(time.monotonic() - 2)} == {"oslo-web"}, every=0.1
        )
        processes.until("requests after the spike", 60, lambda: time.monotonic() > ended + 4)
    assert not spike.failed, spike
    assert not beside.failed, beside
    within = [answer for answer in spike.answers if answer.began < ends]
    away = sum(answer.host != "oslo-web" for answer in within) / len(within)
    assert 0 < away < 1, spike
    assert spike.hosts["oslo-web"] > spike.hosts["fra-1"] > 0, spike
    last = max((answer.began for answer in beside.answers if answer.host != "oslo-web"), default=ended)
    assert last - ended < 2 + late.slack_s
    print(
        f"at {2 * most} requests at a time Frankfurt answered {away:.0%} of {len(within)} ({spike}); the last one "
        f"there {last - ended:+.2f} s after the spike; beside it {beside}",
    )


def test_what_stays_at_home_never_reaches_frankfurt(fortress: Fortress) -> None:
    most = stack_settings(fortress).edge.server_maxconn
    frankfurt = {"fra-1", "fra-2"}
    with fortress.changed(lambda s: s["edge"].update(home_paths=["/slow"])):
        fortress.up()
        before = {
            host: on(host, "journalctl --sync; journalctl -u app -o cat --no-pager | wc -l") for host in frankfurt
        }
        with (
            traffic.requests("/slow?ms=400", clients=2 * most, every=0, keep_alive=True) as home,
            traffic.requests("/", clients=4, every=0.05) as beside,
        ):
            beside.wait("Frankfurt", 60, lambda answer: answer.host in frankfurt)
            processes.until("requests that wait at home", 60, lambda: len(home.answers) >= 6 * most)
        assert not home.failed, home
        assert set(home.hosts) == {"oslo-web"}
        with traffic.requests("/", clients=2, every=0.05) as others, dead("oslo-web"):
            others.wait("Frankfurt", 60, lambda answer: answer.host in frankfurt)
            refused = [traffic.ask(f"{path}?ms=1") for path in ("/slow", "/%73low", "/SLOW", "//slow", "/x/../slow")]
            assert {answer.status for answer in refused} == {503}, refused
        noted = {
            host: on(host, f"journalctl --sync; journalctl -u app -o cat --no-pager | tail -n +{int(lines) + 1}")
            for host, lines in before.items()
        }
    assert any("GET '/' 200" in text for text in noted.values()), noted
    assert not [text for text in noted.values() if "slow" in text.lower()]
    print(f"of {2 * most} requests at a time all waited at home ({home}), while others overflowed ({beside})")


@contextmanager
def copied(fortress: Fortress, name: str) -> Iterator[Path]:
    """A folder of the project as a copy that may be changed, for a while.

    The language host puts the project's folder first on Python's path, so a copy of `fortress` there takes the place
    of the one that the environment has.
    """
    folder = fortress.project / name
    folder.unlink()
    try:
        shutil.copytree(ROOT / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.symlink_to(ROOT / name)


@contextmanager
def broken_template(fortress: Fortress) -> Iterator[None]:
    """A line that HAProxy does not know in its template: a fault of the program, not of settings."""
    with copied(fortress, "fortress") as program:
        template = program / "templates/haproxy.cfg.j2"
        text = template.read_text()
        assert "\nfrontend https\n" in text
        template.write_text(text.replace("\nfrontend https\n", "\nfrontend https\n    use_frobnicate yes\n"))
        yield


def test_a_release_that_does_not_come_up_stops_at_the_first_worker(fortress: Fortress) -> None:
    path, first, others = "/opt/app/app.py", "fra-1", ("fra-2", "oslo-web")
    before = {host: on(host, f"cat {path}") for host in (first, *others)}
    with traffic.requests(every=0.05) as requests:
        with fortress.changed(lambda s: s["workload"].update(healthy_within_s=10)):
            with copied(fortress, "examples") as examples:
                (examples / "app/app.py").write_text('raise SystemExit("a broken release")\n')
                done = fortress.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs", "--color", "never")
            assert done.returncode != 0, done.stdout
            assert f"wait-healthy: {first}: app: http://10.100.0.2:80/health did not answer 200" in done.stdout
            assert "broken release" in on(first, f"cat {path}")
            assert {host: on(host, f"cat {path}") for host in others} == {host: before[host] for host in others}
        assert on(first, f"cat {path}") == before[first]
    print(requests)
    assert not requests.failed, requests
    assert set(requests.hosts) == {"oslo-web"}


SOON_GIVEN_UP = "/run/systemd/system/app.service.d/soon-given-up.conf"


def test_a_unit_that_systemd_gave_up_runs_again_with_the_release_before(fortress: Fortress) -> None:
    """Its files are other ones, and then again those that the gate had seen before: it has to look all the same."""
    host, path = "fra-1", "/opt/app/app.py"
    before = on(host, f"cat {path}")
    on(host, f"mkdir -p {SOON_GIVEN_UP.rpartition('/')[0]}; printf '[Unit]\\nStartLimitBurst=2\\n' >{SOON_GIVEN_UP}")
    try:
        on(host, "systemctl daemon-reload")
        with (
            fortress.changed(lambda s: s["workload"].update(healthy_within_s=10)),
            copied(fortress, "examples") as copy,
        ):
            (copy / "app/app.py").write_text('raise SystemExit("a broken release")\n')
            assert fortress.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs").returncode != 0
            processes.until("given up", 60, lambda: on(host, "systemctl is-failed app || true") == "failed", every=0.2)
            (copy / "app/app.py").write_text(before + "\n")
            said = fortress.up("--color", "never")
            assert re.search(r"fra-1-healthy updated", said), said
            assert on(host, "systemctl is-active app || true") == "active"
    finally:
        on(host, f"rm {SOON_GIVEN_UP}; systemctl daemon-reload")


def starts(host: str) -> int:
    """How often systemd has begun to start the workload."""
    return int(on(host, "journalctl --sync; journalctl -u app -o cat --no-pager | grep -c '^Starting '"))


def test_a_release_of_many_files_restarts_a_worker_once(fortress: Fortress) -> None:
    def release(stack: Settings) -> None:
        stack["workload"]["files"] |= {f"/opt/app/part-{n}.txt": "examples/app/app.py" for n in range(8)}

    before = {host: starts(host) for host in ("fra-1", "fra-2", "oslo-web")}
    with fortress.changed(release):
        fortress.up()
        assert {host: starts(host) for host in before} == {host: count + 1 for host, count in before.items()}


def main_pid() -> str:
    """Process id of HAProxy's master."""
    pid = on("oslo-edge", "systemctl show -P MainPID haproxy")
    assert int(pid) > 0
    return pid


def test_an_invalid_configuration_harms_nobody_and_the_next_one_heals(fortress: Fortress) -> None:
    def longer(stack: Settings) -> None:
        stack["edge"]["timeout_client_ms"] = 11_000

    path = "/etc/haproxy/haproxy.cfg"
    before, pid = on("oslo-edge", f"cat {path}"), main_pid()
    with traffic.requests(every=0.05) as single, traffic.requests(every=0.05, keep_alive=True) as kept:
        with fortress.changed(longer):
            with broken_template(fortress):
                done = fortress.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs", "--color", "never")
            assert done.returncode != 0, done.stdout
            assert on("oslo-edge", f"cat {path}") == before
            healed = fortress.up("--color", "never")
            assert "timeout client 11s" in on("oslo-edge", f"cat {path}")
            assert main_pid() == pid
        assert on("oslo-edge", f"cat {path}") == before
    assert main_pid() == pid
    said = done.stdout[done.stdout.index("fortress-push:") :].split("\n\n")[0]
    line = before.splitlines().index("frontend https") + 2
    assert said.startswith(f"fortress-push: oslo-edge: {path}: check: "), said
    assert f"[{path}:{line}] : unknown keyword 'use_frobnicate'" in said
    assert len(said.splitlines()) < 10, said
    assert re.search(r"edge-files updated", healed), healed
    assert re.search(r"edge-drained updated", healed), healed
    assert re.search(r"~ 2 updated", healed), healed
    assert not single.failed, single
    assert not kept.failed, kept
    print(f"{said}\n{single}; kept connections: {kept}, {sum(a.fresh for a in kept.answers)} new")


def transfer(host: str, peer: str, facts: dict[str, Any]) -> tuple[int, int]:
    """Bytes that a host has received from a peer, and sent to it, through the tunnel."""
    key = facts["hosts"][peer]["public_key"]
    lines = (line.split() for line in on(host, "wg show wg0 transfer").splitlines())
    return next((int(received), int(sent)) for shown, received, sent in lines if shown == key)


@contextmanager
def listening(host: str, address: str, *ports: int) -> Iterator[None]:
    """A host that listens on ports; the first one takes bytes and says how many they were.

    It ends with its standard input: it lives in the host's own process tree, where no signal of ours goes.
    """
    command = [*hosts.console(api.current(), topology.host(host)), "python3", "-c", LISTEN, address, *map(str, ports)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdin
        assert listener.stdout
        try:
            assert listener.stdout.readline() == "ready\n"
            yield
        finally:
            listener.stdin.close()
            listener.wait(10)


def send(host: str, address: str, port: int, size: int = 1) -> str:
    """Send so many bytes from a host: how many the listener says it got, or why there was no connection."""
    return on(host, f"python3 - {address} {port} {size}", SEND)


def test_a_declared_flow_goes_over_the_hub_and_nothing_else_does(fortress: Fortress) -> None:
    declared, other, size = 7070, 7071, 2_000_000

    def with_flow(stack: Settings) -> None:
        stack["mesh"]["flows"] = [{"source": "fra-1", "destination": "fra-2", "port": declared}]

    def forwards() -> str:
        return on("oslo-db", "sysctl -n net.ipv4.ip_forward")

    before = on("oslo-db", "nft -s list ruleset"), on("fra-2", "nft -s list ruleset"), forwards()
    facts = fortress.facts()
    hub = facts["mesh"]["hubs"][0]
    there = facts["hosts"]["fra-2"]["mesh_address"]
    assert hub == "oslo-db"
    assert before[2] == "0"
    with listening("fra-2", there, declared, other):
        assert send("fra-1", there, declared) in DROPPED
    with fortress.changed(with_flow):
        fortress.up()
        assert forwards() == "1"
        assert "fra-2" not in fortress.facts()["hosts"]["fra-1"]["peers"]
        with listening("fra-2", there, declared, other):
            came, went = transfer(hub, "fra-1", facts)[0], transfer(hub, "fra-2", facts)[1]
            assert send("fra-1", there, other) in DROPPED
            assert send("fra-2", facts["hosts"]["fra-1"]["mesh_address"], declared) in DROPPED
            assert send("fra-1", there, declared, size) == str(size)
            assert transfer(hub, "fra-1", facts)[0] - came > size
            assert transfer(hub, "fra-2", facts)[1] - went > size
            on(hub, "sysctl -q -w net.ipv4.ip_forward=0")
            try:
                cure = f"no answer over {hub}: `fortress drift` compares fra-1, {hub} and fra-2 with what was pushed"
                assert tried(fortress, "fra-1") == [("fail", cure)]
            finally:
                on(hub, "sysctl -q -w net.ipv4.ip_forward=1")
        with listening("fra-2", there, declared):
            assert tried(fortress, "fra-1") == [("ok", "")]
        assert tried(fortress, "fra-1") == [("ok", "fra-2 lets it in, and nobody listens there")]
    assert forwards() == "0"
    assert (on("oslo-db", "nft -s list ruleset"), on("fra-2", "nft -s list ruleset"), forwards()) == before
    with listening("fra-2", there, declared, other):
        assert send("fra-1", there, declared) in DROPPED


def tried(fortress: Fortress, host: str) -> list[tuple[str, str]]:
    """How the flows that a host opens got on: status and detail of the checks."""
    checks = verify(fortress)[1]["checks"]
    return [(each["status"], each["detail"]) for each in checks if each["kind"] == "flow" and each["host"] == host]


def verify(fortress: Fortress, *arguments: str) -> tuple[int, dict[str, Any], float]:
    """`fortress verify --json` by the operator: exit status, what it printed, and the seconds that it took."""
    command = [str(ROOT / ".venv/bin/fortress"), "verify", "--stack", "lab", "--json", *arguments]
    began = time.monotonic()
    done = api.in_operator(["env", f"--chdir={fortress.project}", *command], timeout=120)
    seconds = time.monotonic() - began
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), seconds


def busy(found: dict[str, Any], without: str) -> bool:
    """Whether something fails that a busy machine alone can make fail, beside all about one host."""
    load = ("round trip ", "I/O wait", "clock offset")
    failing = by_status(found, "fail", "unknown")
    return any(name.startswith(load) and without not in host + name for host, name in failing)


def verify_calmly(fortress: Fortress, *arguments: str, without: str) -> tuple[int, dict[str, Any], float]:
    """The same as `verify`; up to three times while the machine is busy."""
    answer = verify(fortress, *arguments)
    for _ in range(2):
        if busy(answer[1], without):
            answer = verify(fortress, *arguments)
    return answer


def by_status(found: dict[str, Any], *statuses: str) -> set[tuple[str, str]]:
    """Host and name of the checks that ended so."""
    return {(check["host"], check["name"]) for check in found["checks"] if check["status"] in statuses}


@pytest.mark.parametrize(
    ("away", "workers"),
    [
        pytest.param("systemctl restart wg-quick@wg0", ("fra-1", "fra-2", "oslo-web"), id="interface"),
        pytest.param(f"mv {FRA_2} /run; {SYNC}; mv /run/fra-2.conf {FRA_2}; {SYNC}", ("fra-2",), id="peer"),
    ],
)
def test_workers_are_dialled_when_the_edges_tunnel_comes_back(
    fortress: Fortress, away: str, workers: tuple[str, ...]
) -> None:
    """They dial it, and would go on with the sessions that they have: two minutes, at worst, without a request."""
    keys = [fortress.facts()["hosts"][worker]["public_key"] for worker in workers]
    began = int(on("oslo-edge", "date +%s"))
    on("oslo-edge", away)

    def heard_since() -> bool:
        ages = dict(line.split() for line in on("oslo-edge", "wg show wg0 latest-handshakes").splitlines())
        return all(int(ages[key]) >= began for key in keys)

    processes.until(f"a handshake with {', '.join(workers)}", 60, heard_since, every=0.1)
    assert on("oslo-edge", "wg show wg0 persistent-keepalive | cut -f 2 | sort -u") == "off"


def test_verify_finds_that_everything_holds(fortress: Fortress) -> None:
    fortress.check_whole()  # a burst of load is over by then
    names = list(stack_settings(fortress).hosts)
    before = {name: ssh_logins(name) for name in names}
    status, found, seconds = verify(fortress)
    assert {name: ssh_logins(name) - before[name] for name in names} == dict.fromkeys(names, 1)
    if busy(found, "nobody"):
        status, found, seconds = verify_calmly(fortress, without="nobody")
    wrong = [check for check in found["checks"] if check["status"] != "ok"]
    assert not wrong, wrong
    assert (status, found["ok"]) == (0, True)
    assert {host for host, _ in by_status(found, "ok")} == set(names)
    assert "replication lag" not in {check["name"] for check in found["checks"]}, "there is no copy"
    print(f"{len(found['checks'])} checks in {seconds:.1f} s")


def test_verify_names_what_a_stopped_tunnel_breaks(fortress: Fortress) -> None:
    facts = fortress.facts()
    try:
        on("oslo-web", "systemctl stop wg-quick@wg0")
        processes.until("the edge to see it", 60, lambda: servers()["oslo-web"]["status"] == "DOWN", every=0.2)
        status, found, seconds = verify_calmly(fortress, without="oslo-web")
    finally:
        on("oslo-web", "systemctl start wg-quick@wg0")
        processes.until("oslo-web at the edge", HEALTHY_S, all_up, every=0.2)
    failing = by_status(found, "fail", "unknown")
    assert (status, found["ok"]) == (1, False)
    assert ("oslo-edge", "backend oslo/oslo-web") in by_status(found, "fail")
    assert ("oslo-web", "database over TLS") in by_status(found, "fail")
    assert ("oslo-web", "interface MTU") in by_status(found, "fail")
    # What does not cross that tunnel holds, and is measured.
    assert all("oslo-web" in host + name for host, name in failing), failing
    assert ("oslo-web", "host key") in by_status(found, "ok")
    for name in facts["hosts"]["oslo-web"]["peers"]:
        assert any({name, "oslo-web"} <= set(re.findall(r"[\w-]+", f"{h} {n}")) for h, n in failing), name
    print(f"{sorted(failing)} in {seconds:.1f} s")


def test_verify_goes_on_without_a_dead_host(fortress: Fortress) -> None:
    with dead("fra-2"):
        status, found, seconds = verify_calmly(fortress, "--timeout", "5", without="fra-2")
    assert status in (1, 2)
    assert found["ok"] is False
    assert seconds < 5 + 15
    assert ("fra-2", "host key") in by_status(found, "unknown")
    holding = by_status(found, "ok")
    for name in ("oslo-db", "oslo-edge", "oslo-web", "fra-1"):
        assert {(name, "host key"), (name, "open ports"), (name, "clock offset"), (name, "interface MTU")} <= holding
    assert ("oslo-edge", "backend frankfurt/fra-1") in holding
    not_holding = by_status(found, "fail", "unknown")
    assert all("fra-2" in host + name for host, name in not_holding), not_holding
    print(f"exit {status} in {seconds:.1f} s, not holding {sorted(not_holding)}")


def test_the_statistics_socket_answers() -> None:
    found = servers()
    assert {name: (row["pxname"], row["status"]) for name, row in found.items()} == {
        "oslo-web": ("oslo", "UP"),
        "fra-1": ("frankfurt", "UP"),
        "fra-2": ("frankfurt", "UP"),
    }
    before = int(found["oslo-web"]["hrsp_2xx"])
    assert traffic.ask("/").ok
    assert int(servers()["oslo-web"]["hrsp_2xx"]) == before + 1


REDIRECTED = """
import http.client, sys
client = http.client.HTTPConnection(sys.argv[1], 80, timeout=10)
client.request("POST", "/notes?of=me", "{}", {"Host": sys.argv[2]})
answer = client.getresponse()
print(answer.status, answer.headers["Location"])
"""


def test_port_80_redirects() -> None:
    address = str(topology.HOSTS["oslo-edge"].address)
    done = api.in_outside([sys.executable, "-I", "-c", REDIRECTED, address, traffic.LAB_EDGE.server_name])
    assert done.stdout == f"308 https://{traffic.LAB_EDGE.server_name}/notes?of=me\n", done.stderr


def test_old_tls_is_refused() -> None:
    """By the edge, with its alert, and not by our own client, which is told to try."""
    edge = f"{topology.HOSTS['oslo-edge'].address}:443"

    def hello(version: str) -> str:
        words = ["openssl", "s_client", "-connect", edge, "-servername", traffic.LAB_EDGE.server_name, f"-{version}"]
        done = api.in_outside([*words, "-cipher", "DEFAULT:@SECLEVEL=0"], input="")
        return done.stdout + done.stderr

    for version in ("tls1", "tls1_1"):
        assert "alert protocol version" in hello(version)
    for version, name in (("tls1_2", "TLSv1.2"), ("tls1_3", "TLSv1.3")):
        assert f"New, {name}, Cipher is " in hello(version)
