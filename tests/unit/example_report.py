"""A fortress of any size as `fortress report` sees it, with a past of some runs: facts for tests, none measured."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fortress.cli.check.check import Check
from fortress.cli.check.history import PastRun
from fortress.cli.check.kinds import Kind
from fortress.cli.report.page import ReportData
from fortress.cli.report.up import Touched, Up
from fortress.facts import StackOutputs
from fortress.limits import Limits

NOW = 1_795_000_000.0
DAY_S = 86_400.0
COUNTRIES = {"oslo": "NO", "frankfurt": "DE"}
LAB = {"oslo": 1, "frankfurt": 2}


def standing(workers: Mapping[str, int]) -> StackOutputs:
    """A fortress with so many workers by site; the first site has the edge and the database too."""
    home = next(iter(workers))
    roles = {f"{home}-edge": "edge", f"{home}-db": "database"}
    sites = dict.fromkeys(roles, home)
    for site, count in workers.items():
        for number in range(1, count + 1):
            roles[f"{site}-{number}"] = "worker"
            sites[f"{site}-{number}"] = site
    inner = [name for name, role in roles.items() if role == "worker"]
    outer = [f"{home}-edge", f"{home}-db"]
    facts = {
        "version": 2,
        "sites": {
            site: {"operator": f"The cloud of {site}", "country": COUNTRIES.get(site, "SE"), "sovereign": site == home}
            for site in workers
        },
        "hosts": {
            name: {
                "address": f"192.0.2.{slot}",
                "port": 22,
                "user": "ops",
                "host_key": "ssh-ed25519 AAAA",
                "public_key": f"{name}=",
                "mesh_address": f"10.100.0.{slot}",
                "site": sites[name],
                "role": role,
                "peers": outer if role == "worker" else inner,
                "open_tcp": [22, 80, 443] if role == "edge" else [22],
            }
            for slot, (name, role) in enumerate(roles.items(), 1)
        },
        "mesh": {
            "network": "10.100.0.0/24",
            "port": 51820,
            "mtu": 1360,
            "path_mtu": 1450,
            "hubs": outer,
            "interface": "wg0",
        },
        "database": {
            "host": f"{home}-db",
            "address": "10.100.0.2",
            "port": 3306,
            "name": "app",
            "user": "app",
            "ca_pem": "",
            "copy_wanted": False,
        },
        "edge": {
            "host": f"{home}-edge",
            "url": "https://192.0.2.1",
            "server_name": "lab.fortress.example",
            "health_path": "/health",
            "stats_socket": "/run/haproxy/admin.sock",
            "silent_ms": 2000,
            "refused_ms": 1200,
            "backends": {
                site: {
                    name: f"10.100.0.{slot}:80"
                    for slot, name in enumerate(roles, 1)
                    if sites[name] == site and roles[name] == "worker"
                }
                for site in workers
            },
        },
        "bastion": None,
        "limits": {
            **Limits().model_dump(),
            "rtt_ms": {"frankfurt-oslo": [20.0, 30.0]},
            "handshake_s": 180,
            "ports": [22, 80],
        },
    }
    return StackOutputs.model_validate(facts)


def measured(facts: StackOutputs, run: int = 0) -> tuple[Check, ...]:
    """Everything holds. `run` moves the numbers a little, as time does."""
    wave = math.sin(run / 3)
    found = []
    for name in facts.hosts:
        found.append(Check(Kind.HOST_KEY, name, limit="as pinned").ok("as pinned"))
        found.append(Check(Kind.CLOCK_OFFSET, name, limit=100).ok(round(8 * wave, 1)))
        found.append(Check(Kind.KEY_AGE, name, limit=365).ok(41 + run))
    for one, other in facts.pairs():
        for a, b in ((one, other), (other, one)):
            found.append(Check(Kind.HANDSHAKE, a, b, limit=180).ok(round(60 + 50 * wave)))
        limit = facts.limits.rtt(facts.hosts[one].site, facts.hosts[other].site)
        trip = Check(Kind.ROUND_TRIP, one, other, limit=limit)
        found.append(trip.ok(round(22.6 + wave / 2, 2) if limit else round(0.45 + wave / 20, 2)))
    for name, host in facts.hosts.items():
        if host.role == "worker":
            found.append(Check(Kind.DATABASE_OVER_TLS, name).ok("TLSv1.3"))
    assert facts.edge is not None
    assert facts.database is not None
    edge = facts.edge.host
    for backend, servers in facts.edge.backends.items():
        found += [Check(Kind.BACKEND, edge, f"{backend}/{server}", limit="UP").ok("UP") for server in servers]
    found.append(Check(Kind.DATABASE_CERTIFICATE, facts.database.host, limit=14).ok(397.0 - run))
    found.append(Check(Kind.HTTPS_ANSWER, edge, limit=200).ok(200))
    found.append(Check(Kind.EDGE_CERTIFICATE, edge, limit=14).ok(60.0 - run))
    return tuple(found)


def replaced(checks: tuple[Check, ...], *instead: Check) -> tuple[Check, ...]:
    """The same with some checks in the place of those of their name and host."""
    keys = {(check.name, check.host): check for check in instead}
    return tuple(keys.get((check.name, check.host), check) for check in checks)


def facts(workers: Mapping[str, int] = LAB, *, runs: int = 24, instead: tuple[Check, ...] = ()) -> ReportData:
    """All that the page is made from, with so many runs; `instead` is what the last one found otherwise."""
    found = standing(workers)
    past = [PastRun(NOW - (runs - number) * DAY_S, measured(found, number)) for number in range(1, runs)]
    last = PastRun(NOW - 30, replaced(measured(found, runs), *instead))
    up = Up(
        began=NOW - 3 * DAY_S,
        took_s=12.0,
        result="succeeded",
        counts={"update": 3, "same": 117},
        commit="1f0c2d3e4a",
        message="Narrow the tunnel to 1340",
        author="A. Operator",
        touched=tuple(Touched(name, ("/etc/wireguard/wg0.d/mtu",)) for name in found.hosts),
    )
    looked = tuple(
        check
        for name in found.hosts
        for check in (
            Check(Kind.UP, name).ok("12 d"),
            Check(Kind.SERVICES, name).ok("3/3"),
            Check(Kind.LAST_PUSH, name).ok("2026-11-20 10:00 UTC"),
        )
    )
    return ReportData("lab", NOW, last.when, found, last.checks, looked, (*past, last), up)


BROKEN = (
    Check(Kind.ROUND_TRIP, "oslo-db", "oslo-1").fail(None, "no answer through the tunnel"),
    Check(Kind.HANDSHAKE, "oslo-edge", "frankfurt-1", limit=180).fail(912, "the tunnel is silent"),
    Check(Kind.BACKEND, "oslo-edge", "frankfurt/frankfurt-1", limit="UP").fail("DOWN", "last check: L4TOUT"),
    Check(Kind.DATABASE_OVER_TLS, "frankfurt-2").unknown("frankfurt-2 gave no answer within 10 s"),
    Check(Kind.EDGE_CERTIFICATE, "oslo-edge", limit=14).fail(9.2, "renew it"),
)
"""For the fortress of `LAB`: a tunnel that is silent, a host that does not answer, a certificate that ends."""
