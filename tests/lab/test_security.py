"""What must not happen: a firewall that locks us out, a secret where others read, a door that nobody declared."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lab import api
from lab.base import topology
from lab.net import network
from tests.lab import traffic
from tests.lab.fortress import Fortress
from tests.lab.inside import HOSTS, all_up, each, found, holding, on, on_disk, private_keys, processes, until

BASE = "/etc/nftables.conf"
RECORD = "/var/lib/fortress/files/%2Fetc%2Fnftables.conf"
PATIENT = "/etc/ssh/sshd_config.d/patient.conf"
CONFIRM_S = 45
"""Seconds within which a firewall must be confirmed."""
PASSWORD = "data-fortress:database_password"


@pytest.fixture(scope="module")
def facts(fortress: Fortress) -> dict[str, Any]:
    """The stack's output, which no test here changes."""
    return fortress.facts()


@pytest.fixture(scope="module")
def workers(facts: dict[str, Any]) -> list[str]:
    """Names of the workers."""
    return [host for host, known in facts["hosts"].items() if known["role"] == "worker"]


# --- a firewall that locks us out -------------------------------------------------------------------------------------


class Doors(threading.Thread):
    """Tries the hosts' SSH port as the operator does, a few times a second, and notes when it opened and closed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        script = """
import json, socket, sys, threading, time
def watch(name, address):
    while True:
        began = time.monotonic()
        try:
            socket.create_connection((address, 22), 0.5).close()
            opened = True
        except OSError:
            opened = False
        print(json.dumps([name, began, opened]), flush=True)
        time.sleep(0.25)
for host in json.loads(sys.argv[1]).items():
    threading.Thread(target=watch, args=host, daemon=True).start()
sys.stdin.read()
"""
        addresses = {host: str(topology.HOSTS[host].address) for host in HOSTS}
        self._process = subprocess.Popen(
            [*network.enter(api.current(), "operator"), sys.executable, "-Ic", script, json.dumps(addresses)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seen: dict[str, list[tuple[float, bool]]] = {host: [] for host in HOSTS}

    def run(self) -> None:
        """Collect what it says."""
        assert self._process.stdout
        for line in self._process.stdout:
            host, began, opened = json.loads(line)
            self.seen[host].append((began, opened))

    def open(self) -> bool:
        """Whether every host let the operator in when last tried."""
        return all(moments and moments[-1][1] for moments in self.seen.values())

    def lockouts(self) -> dict[str, list[float]]:
        """For each host the seconds of each time that it let nobody in; a try that was lost is none."""
        spans: dict[str, list[float]] = {}
        for host, moments in self.seen.items():
            turns = [
                at for (at, now), (_, before) in zip(moments, [(0.0, True), *moments], strict=False) if now != before
            ]
            shut = [round(end - begin, 1) for begin, end in list(pairwise(turns))[::2]]
            spans[host] = [seconds for seconds in shut if seconds >= 3]
        return spans

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)
        self.join()


@contextmanager
def doors() -> Iterator[Doors]:
    """The hosts' SSH ports watched; OpenSSH from 9.8 on would turn away who connects so often and never logs in."""
    each(f"echo 'PerSourcePenalties no' >{PATIENT}; systemctl reload ssh")
    watched = Doors()
    watched.start()
    try:
        until("every host lets the operator in", 60, watched.open)
        yield watched
    finally:
        watched.stop()
        each(f"rm {PATIENT}; systemctl reload ssh")


def rulesets() -> dict[str, str]:
    """What the kernels filter by."""
    return each("nft -s list ruleset")


def assert_confirmed() -> None:
    """No host is about to take its firewall back."""
    left = each(
        f"cd {RECORD} && find . -name confirm -o -name 'old*' -o -name first; "
        "systemctl list-units --all --plain --no-legend 'fortress-push-revert-*'"
    )
    assert left == dict.fromkeys(HOSTS, "")


def test_a_firewall_that_locks_us_out_reverts_by_itself(fortress: Fortress) -> None:
    before = rulesets()
    with doors() as watched:
        with fortress.changed(lambda s: s["ssh"].update(operators=["198.51.100.0/24"])):
            began = time.monotonic()
            done = fortress.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs", timeout=150)
            took = time.monotonic() - began
            assert done.returncode, done.stdout
            for host in HOSTS:
                assert (
                    f"fortress-push: {host}: {BASE}: confirm: the new file was reverted after {CONFIRM_S} s "
                    "because no new connection came." in done.stdout
                )
            assert took < CONFIRM_S + 45, took
            until("every host lets the operator in again", CONFIRM_S + 15, watched.open)
            assert rulesets() == before
            assert all(api.ssh(host, "true").returncode == 0 for host in HOSTS)
        lockouts = watched.lockouts()
    assert rulesets() == before
    assert_confirmed()
    print(f"up failed after {took:.0f} s; locked out for {lockouts} s")
    assert all(len(spans) == 1 and max(spans) < CONFIRM_S + 6 for spans in lockouts.values()), lockouts


def test_a_firewall_whose_up_was_cut_before_it_confirmed(fortress: Fortress) -> None:
    """Only the push is run, as when the engine is killed right after it; time is made to pass on the host."""
    before = rulesets()
    also = ["192.0.2.10/32", "192.0.2.9/32"]
    with fortress.changed(lambda s: s["ssh"].update(operators=also)):
        fortress.up("--target", "**oslo-db-push")
        assert "192.0.2.9" in on("oslo-db", "nft list ruleset")
        on("oslo-db", f'read -r boot end timer <{RECORD}/confirm && echo "$boot 1 $timer" >{RECORD}/confirm')
        on("oslo-db", "fortress-push revert", timeout=60)
        assert rulesets() == before
        on("oslo-db", f"touch -d '1 minute ago' {RECORD}/unconfirmed")
        done = fortress.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs")
        assert done.returncode
        assert f"fortress-push: oslo-db: {BASE}: confirm: the new file was reverted" in done.stdout
        fortress.up()
        assert all("192.0.2.9" in rules for rules in rulesets().values())
        assert_confirmed()
    assert rulesets() == before
    assert_confirmed()


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def password(fortress: Fortress) -> str:
    """The database's, as the stack file has it."""
    return fortress.engine("config", "get", PASSWORD).splitlines()[-1]


def places(host: str, workers: list[str]) -> set[str]:
    """Where a host may keep the password: workers in a file of root's, and where systemd hands it to the workload."""
    mine = {"/etc/fortress/app/database-password", "/run/credentials/app.service/database-password"}
    return mine if host in workers else set()


def test_no_key_and_no_password_where_others_read(fortress: Fortress, password: str, workers: list[str]) -> None:
    keys = private_keys()
    assert {key.split()[1] for key in keys} >= {"/etc/wireguard/wg0.key", "/etc/ssl/private/site.pem"}
    assert sum(key.endswith("wg0.key") for key in keys) == len(HOSTS)
    known = {**keys, "password": password}
    assert found(fortress.engine("stack", "export", "--show-secrets"), known) == ["password"], "it shows nothing else"
    for shown in (
        fortress.engine("stack", "export"),
        fortress.engine("stack", "output", "--json", "--show-secrets"),
        fortress.preview(),
    ):
        assert found(shown, known) == []
    assert holding(fortress.lab.state, known) == []
    assert holding(fortress.project, known) == []
    assert on_disk(password) == {host: places(host, workers) for host in HOSTS}
    modes = each("stat -c '%a %U' /etc/fortress/app/database-password", hosts=workers)
    assert set(modes.values()) == {"400 root"}


LOGIN = """
import json, pymysql, ssl, sys
for password in json.load(sys.stdin):
    try:
        pymysql.connect(host="10.100.0.1", user="app", password=password.encode(), database="app",
                        ssl=ssl.create_default_context(cafile="/etc/fortress/app/database-ca.pem")).close()
        print("in")
    except pymysql.err.OperationalError as error:
        print(error.args[0])
"""


def test_a_changed_password(fortress: Fortress, password: str, workers: list[str]) -> None:
    """It takes effect on workers and database, and passes unseen: in logs, in diffs, by whoever looks at processes."""
    new = f"""it's "{secrets.token_urlsafe(12)}" $HOME `id` \\ ø %s"""
    known = {"old": password, "new": new}
    with fortress.changed(lambda _: None):
        fortress.engine("config", "set", "--secret", PASSWORD, new)
        preview = fortress.preview()
        assert {line.strip() for line in preview.splitlines() if line.strip().startswith("~ stdin")}, preview
        assert found(preview, known) == []
        with processes() as seen:
            log = fortress.up("--diff")
        assert found(log, known) == []
        assert found(str(seen), known) == []
        for host in workers:
            pushed = [line for line in seen.commands[host] if "fortress-push files " in line]
            assert any("/etc/fortress/app/database-password" in line for line in pushed), seen.commands[host]
        assert any("mariadb-access ensure " in line for line in seen.commands["oslo-db"])
        assert on(workers[0], f"python3 -c '{LOGIN}'", json.dumps([password, new])).split() == ["1045", "in"]
        for host in workers:
            assert on(host, "cat /etc/fortress/app/database-password") == new
        until("the workers up at the edge", 60, all_up)
        note = traffic.ask("/notes", json.dumps({"text": "under the new password"}))
        assert note.ok, note
        assert on_disk(password) == {host: set() for host in HOSTS}
        assert on_disk(new) == {host: places(host, workers) for host in HOSTS}
        assert holding(fortress.lab.state, known) == []
    assert on_disk(new) == {host: set() for host in HOSTS}
    until("the workers up at the edge", 60, all_up)
    assert traffic.ask("/").ok


# --- doors ------------------------------------------------------------------------------------------------------------

SERVICES = [1080, 1433, 1521, 2049, 2375, 2376, 2379, 3000, 3128, 3306, 3307, 3389, 4444, 4567, 4568, 5000, 5355, 5432]
SERVICES += [5601, 5900, 5985, 6379, 6443, 8000, 8008, 8080, 8081, 8088, 8404, 8443, 8888, 9000, 9090, 9093, 9100, 9104]
SERVICES += [9200, 9443, 10000, 10250, 11211, 15672, 19999, 22222, 27017, 33060, 50000, 51820, 61208]


def knock(words: list[str], addresses: list[str], ports: list[int]) -> dict[str, dict[str, list[int]]]:
    """Knock at TCP ports from where a command that starts with these words runs."""
    told = {"addresses": addresses, "ports": ports, "seconds": 1.5, "at_once": 1200}
    done = subprocess.run(
        [*words, sys.executable, "-I", str(Path(__file__).with_name("knock.py"))],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, dict[str, list[int]]] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize(("place", "ssh"), [("outside", []), ("operator", [22])])
def test_a_scan_finds_nothing_else(fortress: Fortress, place: str, ssh: list[int]) -> None:
    del fortress
    addresses = {host: str(topology.HOSTS[host].address) for host in HOSTS}
    ports = [*range(1, 1025), *SERVICES]
    answers = knock(network.enter(api.current(), place), list(addresses.values()), ports)
    # Nothing is refused either: whoever knocks at another port does not learn that a host is there.
    assert {host: answers[address] for host, address in addresses.items()} == {
        host: {"open": ssh + ([80, 443] if host == "oslo-edge" else []), "refused": []} for host in HOSTS
    }


KNOCK_UDP = """
import json, socket, sys
for address, port in json.load(sys.stdin):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(0.15)
        out.connect((address, port))
        try:
            out.send(b"\\x01\\x00\\x00\\x00" + bytes(144))  # as long as a handshake's first message
            out.recv(100)
            print(address, port, "answers")
        except TimeoutError:
            pass
        except OSError as error:
            print(address, port, error)
"""
WATCH_UDP = """
nft -f - <<'RULES'
table inet watch {
    chain input {
        type filter hook input priority filter + 10; policy accept;
        iifname "host0" udp dport 53 counter
        iifname "host0" udp dport 123 counter
        iifname "host0" udp dport 51819 counter
        iifname "host0" ip saddr 198.51.100.10 udp dport 51820 counter
    }
}
RULES
"""


def test_wireguard_alone_hears_strangers_and_does_not_answer_them(facts: dict[str, Any]) -> None:
    mesh = facts["mesh"]
    assert mesh["port"] == 51820
    targets = [(str(topology.HOSTS[host].address), port) for host in HOSTS for port in (53, 123, 51819, 51820)]
    try:
        each(WATCH_UDP)  # behind the firewall: it counts what that lets through
        done = api.in_outside([sys.executable, "-Ic", KNOCK_UDP], json.dumps(targets))
        counted = each("nft list table inet watch")
    finally:
        each("nft delete table inet watch || true")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    passed = {
        host: {int(port): int(packets) for port, packets in re.findall(r"dport (\d+) counter packets (\d+)", rules)}
        for host, rules in counted.items()
    }
    assert passed == {host: {53: 0, 123: 0, 51819: 0, 51820: int(host in mesh["hubs"])} for host in HOSTS}
    keys = {known["public_key"]: name for name, known in facts["hosts"].items()}
    for hub in mesh["hubs"]:
        shaken = dict(line.split() for line in on(hub, "wg show wg0 latest-handshakes").splitlines())
        assert {keys[key] for key in shaken} == {"oslo-web", "fra-1", "fra-2"}
        now = int(on(hub, "date +%s"))
        assert all(0 <= now - int(at) < 180 for at in shaken.values()), shaken


def test_inside_the_tunnel_only_what_was_declared_gets_through(facts: dict[str, Any]) -> None:
    hosts = facts["hosts"]
    roles = {host: known["role"] for host, known in hosts.items()}
    places = {known[where]: (name, where) for name, known in hosts.items() for where in ("mesh_address", "address")}
    script = Path(__file__).with_name("knock.py").read_text()
    ports = [22, 80, 443, 3306, 8080, 51820]

    def reached(source: str) -> set[tuple[str, str, int]]:
        others = [address for address, (name, _) in places.items() if name != source]
        told = {"addresses": others, "ports": ports, "seconds": 2.5, "at_once": 100}
        with api_script(source, script) as file:
            answers = json.loads(on(source, f"python3 -I {file}", json.dumps(told)))
        return {(*places[address], port) for address, kinds in answers.items() for port in kinds["open"]}

    # The edge's doors are open to everyone, whichever way they come.
    public = {("oslo-edge", "address", 80), ("oslo-edge", "address", 443)}
    edge = {("oslo-edge", "mesh_address", 80), ("oslo-edge", "mesh_address", 443)}
    declared = {
        "worker": public | edge | {("oslo-db", "mesh_address", 3306)},
        "edge": {(host, "mesh_address", 80) for host, role in roles.items() if role == "worker"},
        "database": public,
    }
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        got_through = dict(zip(HOSTS, pool.map(reached, HOSTS), strict=True))
    # A host whose egress is closed has no business there outside the tunnel.
    closed = {host for host, known in hosts.items() if known["egress"] == "closed"}
    assert closed == {"fra-1", "fra-2"}
    assert got_through == {host: declared[roles[host]] - (public if host in closed else set()) for host in HOSTS}


@contextmanager
def api_script(host: str, text: str) -> Iterator[str]:
    """A file on a host for a while."""
    file = on(host, "file=$(mktemp) && cat >$file && echo $file", text)
    try:
        yield file
    finally:
        on(host, f"rm -f {file}")
