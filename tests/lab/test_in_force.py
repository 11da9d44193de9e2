"""What landed on a host is what it runs by, or it is said what overrules it there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from fortress import firewall, haproxy, mariadb, text
from lab import api
from tests.lab.fortress import Fortress, Settings
from tests.lab.inside import on
from tests.lab.verbs import drift, wrong

LATER = "/etc/mysql/mariadb.conf.d/99-local.cnf"
DEFAULTS = "/etc/default/haproxy"
FLUSH = "/etc/nftables.d/25-hand.nft"
HARDENING = "/etc/sysctl.d/99-hardening.conf"


@contextlib.contextmanager
def by_hand(host: str, path: str, content: str) -> Iterator[None]:
    """Lines that a hand adds to a file of a host, for a while."""
    before = api.console(host, f"cat {path}")
    on(host, f"cat >>{path}", content)
    try:
        yield
    finally:
        if before.returncode:
            on(host, f"rm {path}")
        else:
            on(host, f"cat >{path}", before.stdout)


def in_force(host: str, what: str, path: str) -> tuple[int, str]:
    """What the script says on a host, and how it ends."""
    done = api.console(host, f"sh -s {what} {path}", text.script("in-force"))
    return done.returncode, done.stderr.strip()


def failed_up(fortress: Fortress) -> str:
    """What an `up` says that has to fail."""
    done = fortress.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs", "--color", "never")
    assert done.returncode != 0, done.stdout
    return done.stdout


def smaller(settings: Settings) -> None:
    settings["database"]["buffer_pool_mb"] = 128


def longer(settings: Settings) -> None:
    settings["edge"]["timeout_client_ms"] = 11_000


def test_values_that_a_later_file_overrules_do_not_land(fortress: Fortress) -> None:
    """Nor does the database restart for them; and drift promises no repair."""
    with by_hand("oslo-db", LATER, "[mariadbd]\nmax-connections = 77\ninnodb_buffer_pool_size = 256M\n"):
        pid, before = on("oslo-db", "systemctl show -P MainPID mariadb"), on("oslo-db", f"cat {mariadb.CONFIG_PATH}")
        with fortress.changed(smaller):
            said = failed_up(fortress)
            assert f"max_connections = 77 by {LATER}:2" in said
            assert on("oslo-db", "systemctl show -P MainPID mariadb") == pid
            assert on("oslo-db", f"cat {mariadb.CONFIG_PATH}") == before
            fortress.file.write_text(fortress.original)
            assert wrong(found := drift(fortress, 1)) == {("oslo-db", "database variables"): "overruled"}
            assert wrong(drift(fortress, 1, "--repair")) == wrong(found)
            assert on("oslo-db", "systemctl show -P MainPID mariadb") == pid
    assert wrong(drift(fortress, 0)) == {}


def test_an_edge_that_would_run_on_another_file_is_no_success(fortress: Fortress) -> None:
    with by_hand("oslo-edge", DEFAULTS, "CONFIG=/etc/haproxy/other.cfg\n"):
        with fortress.changed(longer):
            said = failed_up(fortress)
            assert "HAProxy starts with /etc/haproxy/other.cfg" in said
            assert f"by {DEFAULTS}:" in said
            assert "timeout client 11s" not in on("oslo-edge", f"cat {haproxy.CONFIG_PATH}")
            fortress.file.write_text(fortress.original)
        key = ("oslo-edge", f"in force {haproxy.CONFIG_PATH}")
        assert wrong(drift(fortress, 1, "--repair"))[key] == "overruled"
    assert wrong(drift(fortress, 0, "--repair")) == {}


def test_a_firewall_that_another_file_takes_away_is_no_success(fortress: Fortress) -> None:
    """The connection that confirms it comes through, since there is none: the firewall itself is asked."""
    host = "fra-2"
    with (
        fortress.changed(lambda settings: settings["ssh"]["operators"].append("198.51.100.77/32")),
        by_hand(host, FLUSH, "flush ruleset\n"),
    ):
        said = failed_up(fortress)
        assert f"there is no firewall once {firewall.BASE} is loaded. Take this line away: {FLUSH}:1" in said
        # Nor was the one that stood taken away.
        assert in_force(host, "nftables", firewall.BASE) == (0, "")
        fortress.file.write_text(fortress.original)
        on(host, f"nft -f {firewall.BASE}")  # as a boot does
        assert wrong(drift(fortress, 1))[host, "firewall"] == "overruled"
    assert wrong(drift(fortress, 0, "--repair")) == {}
    assert in_force(host, "nftables", firewall.BASE) == (0, "")


def test_a_drop_in_that_gives_a_worker_another_environment_is_no_success(fortress: Fortress) -> None:
    """Nor is one that is gone and still in force, which a repair ends."""
    host, folder = "fra-2", "/etc/systemd/system/app.service.d"
    key = (host, "in force /etc/systemd/system/app.service")
    site = "tr '\\0' '\\n' </proc/$(systemctl show -P MainPID app)/environ | grep ^FORTRESS_SITE="
    assert on(host, site) == "FORTRESS_SITE=frankfurt"
    with fortress.changed(lambda settings: settings["workload"].update(environment={"ANOTHER": "word"})):
        on(host, f"mkdir {folder}")
        with by_hand(host, f"{folder}/hand.conf", "[Service]\nEnvironment=FORTRESS_SITE=nowhere\n"):
            assert f"app.service has other values of FORTRESS_SITE, by {folder}/hand.conf" in failed_up(fortress)
            assert wrong(drift(fortress, 1))[key] == "overruled"
        on(host, f"rmdir {folder} && systemctl daemon-reload")
        assert on(host, site) == "FORTRESS_SITE=nowhere"
        assert wrong(drift(fortress, 1))[key] == "not in force"
        assert wrong(drift(fortress, 0, "--repair")) == {}
        assert on(host, site) == "FORTRESS_SITE=frankfurt"


@pytest.mark.parametrize("line", ["net.ipv4.ip_forward = 0", "net/ipv4/conf/all/forwarding=0"])
def test_forwarding_that_a_later_file_turns_off_at_boot_is_found(fortress: Fortress, line: str) -> None:
    path = "/etc/sysctl.d/60-of-a-test.conf"
    assert fortress.facts()
    with by_hand("oslo-web", path, "# A relay.\nnet.ipv4.ip_forward = 1\n"):
        assert in_force("oslo-web", "sysctl", path) == (1, "net.ipv4.ip_forward is 0 and not 1: it was set by hand")
        on("oslo-web", "sysctl -q -w net.ipv4.ip_forward=1")
        try:
            assert in_force("oslo-web", "sysctl", path) == (0, "")
            with by_hand("oslo-web", HARDENING, f"{line}\n"):
                status, said = in_force("oslo-web", "sysctl", path)
            assert (status, f"{HARDENING}: net.ipv4.ip_forward = 0" in said) == (3, True), said
        finally:
            on("oslo-web", "sysctl -q -w net.ipv4.ip_forward=0")
