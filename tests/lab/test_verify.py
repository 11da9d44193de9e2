"""`fortress verify` on a standing fortress that is not as its settings say: each check finds what it is for."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fortress.cli.check import history
from fortress.cli.verify import replication
from fortress.sovereignty import evaluate
from lab import api
from lab.net import network
from tests.lab.fortress import Fortress
from tests.lab.inside import on, reload_edge, until

Checks = dict[tuple[str, str], dict[str, Any]]
"""By name and host, as `--json` prints them."""


STANDS = "tcp/22 tcp/80 udp/51820"
"""What may listen on a worker."""


def read(printed: str) -> Checks:
    return {(check["name"], check["host"]): check for check in json.loads(printed)["checks"]}


def verify(fortress: Fortress) -> Checks:
    return read(fortress.command("verify", "--stack", "lab", "--json").stdout)


@pytest.fixture(scope="module")
def disk(fortress: Fortress) -> Iterator[subprocess.Popen[str]]:
    """`verify --io`, which takes its time while the other tests go on."""
    tool = Path(sys.executable).with_name("fortress")
    words = ["env", "-C", str(fortress.project), str(tool), "verify", "--stack", "lab", "--io", "--json"]
    command = [*network.enter(fortress.lab, "operator"), *words]
    with subprocess.Popen(
        command, env=fortress.lab.surroundings({"PATH": "/usr/bin:/bin"}), stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def strangers() -> dict[str, str]:
    """Public keys: of a peer that another stack pushed to the database's host, and of one that somebody set there."""
    return {name: on("oslo-db", "wg genkey | wg pubkey") for name in ("guest-1", "nobody")}


@pytest.fixture(scope="module")
def wrong(fortress: Fortress, disk: subprocess.Popen[str], strangers: dict[str, str]) -> Checks:
    """What `verify` says where much is not as set, all at once; it is as before afterwards."""
    assert disk.poll() is None
    path = "/etc/wireguard/wg0.d/guest-1.conf"
    apply = "--apply '/usr/local/lib/fortress/wireguard sync wg0'"
    guest = f"[Peer]\n# guest-1\nPublicKey = {strangers['guest-1']}\nAllowedIPs = 10.100.0.99/32\n"
    out = on("fra-1", "ip -o route get 192.0.2.11 | sed 's/.* dev \\([^ ]*\\) .*/\\1/'")
    # mariadb-binlog reads as a copy does.
    copy = "mariadb-binlog --read-from-remote-server --stop-never --stop-never-slave-server-id=99"
    log = on("oslo-db", "mariadb -Ne 'show binary logs' | tail -n 1 | cut -f 1")
    # What this host sends to this port takes another way than the tunnel.
    leak = "ip rule {} ipproto udp dport 9 lookup 99; ip route {} 10.100.0.0/24 via 192.0.2.12 table 99"
    try:
        on("fra-1", f"ip link set {out} mtu 1401")
        on("oslo-web", f"systemd-run --quiet --unit=stray python3 -m http.server 9100; {leak.format('add', 'add')}")
        until("the stray listens", 60, lambda: ":9100" in on("oslo-web", "ss -Hltn"))
        on("fra-2", "ip link set wg0 mtu 1299 && touch -d '400 days ago' /etc/wireguard/wg0.key")
        on("oslo-db", f"fortress-push put {path} 0600 root:root {apply}", f"{guest}# fortress-push: end of file\n")
        on("oslo-db", f"wg set wg0 peer {strangers['nobody']}")
        on("oslo-db", f"systemd-run --quiet --unit=copy {copy} --result-file=/dev/null {log}")
        until("the copy is connected", 60, lambda: "copy_state" in on("oslo-db", f'mariadb -Be "{replication.QUERY}"'))
        return verify(fortress)
    finally:
        on("fra-1", f"ip link set {out} mtu 1500")
        on("oslo-web", f"systemctl stop stray; {leak.format('del', 'del')}")
        on("fra-2", "ip link set wg0 mtu 1360 && touch /etc/wireguard/wg0.key")
        # The server sees that the copy left when it has something to send.
        on("oslo-db", f"systemctl stop copy; mariadb -e 'flush binary logs'; fortress-push remove {path} {apply}")


def test_paths_are_measured_outside_and_inside(wrong: Checks) -> None:
    """The way out of one host is narrowed, and another host's tunnel."""
    for hub in ("oslo-db", "oslo-edge"):
        narrow = wrong[f"path MTU to {hub}", "fra-1"]
        assert (narrow["status"], narrow["value"], narrow["limit"], narrow["unit"]) == ("fail", 1401, 1450, "bytes")
        assert narrow["detail"] == "set mesh.path_mtu to 1401, and mesh.mtu to at most 1321"
        assert wrong[f"path MTU to {hub}", "oslo-web"]["status"] == "ok"
        (inside,) = [
            check
            for (name, host), check in wrong.items()
            if name.startswith("tunnel MTU") and {name.split()[-1], host} == {"fra-2", hub}
        ]
        assert (inside["status"], inside["value"], inside["limit"]) == ("fail", 1299, 1360)
    assert wrong["interface MTU", "fra-2"]["value"] == 1299


def test_a_peer_by_hand_is_a_stranger_and_a_pushed_one_is_not(wrong: Checks, strangers: dict[str, str]) -> None:
    """What another stack pushes, workers of its own for one, stands in a file with a record."""
    found = wrong["unknown peers", "oslo-db"]
    assert (found["status"], found["value"], found["detail"]) == ("fail", 1, strangers["nobody"])
    assert wrong["unknown peers", "oslo-edge"]["status"] == "ok"


def test_what_listens_and_nobody_decided_is_named(wrong: Checks) -> None:
    stray = wrong["listening", "oslo-web"]
    assert (stray["status"], stray["value"], stray["limit"]) == ("fail", "tcp/22 tcp/9100 udp/51820", STANDS), stray
    assert stray["detail"].startswith("python3 listens on tcp/9100 at 0.0.0.0: stop it")
    assert wrong["listening", "fra-1"]["status"] == "ok"


def test_what_takes_another_way_than_the_tunnel_is_seen_on_it(wrong: Checks) -> None:
    """By its bytes; the tunnel itself stands, and its handshakes and pings are as they should be."""
    every = {where: check for where, check in wrong.items() if where[0].startswith("encryption to ")}
    leaks = {where for where, check in every.items() if check["status"] != "ok"}
    assert leaks == {where for where in every if where[1] == "oslo-web"} != set()
    for where in leaks:
        assert (every[where]["status"], every[where]["value"]) == ("fail", "readable"), every[where]


def test_a_copy_of_the_database(wrong: Checks) -> None:
    lag = wrong["replication lag", "oslo-db"]
    assert (lag["status"], lag["value"], lag["unit"], lag["limit"]) == ("ok", 0, "s", 10), lag
    assert lag["detail"].startswith("all sent to ")


def test_packets_that_are_lost_between_the_sites(fortress: Fortress) -> None:
    """5 % each way is 9.8 % of the round trips; one tunnel in 2,400 runs loses less than two of 100."""
    api.link(loss=5)
    try:
        found = {name: check for name, check in verify(fortress).items() if name[0].startswith("loss to ")}
    finally:
        api.link(loss=0)
    sites = fortress.facts()["hosts"]
    far: list[str] = []
    near: list[str] = []
    for (name, host), check in found.items():
        together = sites[host]["site"] == sites[name.removeprefix("loss to ")]["site"]
        (near if together else far).append(check["status"])
    assert "fail" in far
    assert set(near) == {"ok"}
    assert {check["status"] for (name, _), check in verify(fortress).items() if name.startswith("loss to ")} == {"ok"}


def test_what_was_measured_is_kept_for_the_report(fortress: Fortress, wrong: Checks) -> None:
    (run,) = [run for run in history.kept("lab", fortress.project) if len(run.checks) == len(wrong)][-1:]
    assert time.time() - 600 < run.when <= time.time()
    printed = json.loads(json.dumps({f"{check.name}, {check.host}": check.as_json() for check in run.checks}))
    assert printed == {f"{name}, {host}": check for (name, host), check in wrong.items()}


def test_a_key_that_is_old(wrong: Checks) -> None:
    age = wrong["key age", "fra-2"]
    assert (age["status"], age["value"], age["limit"], age["unit"]) == ("fail", 400, 365, "days")
    assert age["detail"] == "renew it as docs/production.md describes"


def ends_soon(key: str, made_with: str, reload: str) -> str:
    """Put the certificate of a PEM file, which has its key too, as one of ten days in its place."""
    request = f"openssl x509 -x509toreq -copy_extensions copyall -in {key} -signkey {key}"
    certificate = f"openssl x509 -req -copy_extensions copyall -set_serial 1 -days 10 {made_with}"
    return f"({request} | {certificate}; openssl pkey -in {key}) >/root/new.pem && mv /root/new.pem {key} && {reload}"


def test_the_command_that_it_says_renews_a_certificate_about_to_end(fortress: Fortress) -> None:
    edge, folder = "/etc/ssl/private/site.pem", "/etc/mysql/fortress"
    on("oslo-edge", ends_soon(edge, f"-signkey {edge}", "true"))
    reload_edge()
    signed = f"-CA {folder}/ca.pem -CAkey {folder}/ca-key.pem"
    reload = f"chown root:mysql {folder}/server.pem && chmod 640 {folder}/server.pem && mariadb -e 'flush local ssl'"
    on("oslo-db", ends_soon(f"{folder}/server.pem", signed, reload))
    both = (("edge certificate", "oslo-edge"), ("database certificate", "oslo-db"))
    found = verify(fortress)
    for which in both:
        check = found[which]
        assert (check["status"], check["value"]) == ("fail", 9.9), check
        assert check["detail"].startswith("renew it: fortress ssh ")
        done = fortress.command(*shlex.split(check["detail"].removeprefix("renew it: "))[1:])
        assert done.returncode == 0, done.stderr
        assert "PRIVATE" not in done.stdout
    found = verify(fortress)
    assert [(found[which]["status"], found[which]["value"]) for which in both] == [("ok", 397.9)] * 2


def test_what_the_disk_does(disk: subprocess.Popen[str]) -> None:
    printed, _ = disk.communicate(timeout=180)
    found = read(printed)
    for size in ("4k", "16k"):
        check = found[f"IOPS at {size}", "oslo-db"]
        assert check["status"] == ("ok" if check["value"] >= check["limit"] else "fail"), check
        assert (check["limit"], check["unit"]) == (1000, "IOPS")
        assert check["value"] > 10
        assert "p99 read" in check["detail"]
    commit = found["commit to disk, p99", "oslo-db"]
    assert commit["value"] > 0
    assert commit["status"] == ("ok" if commit["value"] <= 10 else "fail"), commit
    wait = found["I/O wait", "oslo-db"]
    assert 0 <= wait["value"] <= 100
    assert "await read" in wait["detail"]
    assert on("oslo-db", "ls -A /var/lib/mysql | grep -c fortress-io || true") == "0"


def test_an_audit_of_the_standing_fortress_holds_but_for_what_was_exempted(fortress: Fortress) -> None:
    found = fortress.command("audit", "--stack", "lab", "--json")
    checks = json.loads(found.stdout)["checks"]
    assert {check["name"] for check in checks if check["status"] != "ok"} == set()
    assert {check["name"] for check in checks if check["outcome"] == "exempt"} == {
        "volume-encryption",
        "third-country-flows",
        "toolchain",
    }
    assert (found.returncode, {check["name"] for check in checks}) == (0, {rule.name for rule in evaluate.ALL})
