"""Metrics of the standing fortress: who is named gets them through the tunnel, and nobody else."""

from __future__ import annotations

import json
import re
import time

from fortress import monitoring
from lab import api
from tests.lab.fortress import Fortress, Settings, on
from tests.lab.inside import until

SCRAPER, STRANGER = "oslo-web", "oslo-edge"
"""Both are hosts of the mesh that reach the database through the tunnel."""
DATABASE, EDGE = "oslo-db", "oslo-edge"
ADDRESSES = {DATABASE: "10.100.0.1", EDGE: "10.100.0.3"}
THEIRS = (
    "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends prometheus-node-exporter"
    " && echo 'ARGS=--no-collector.mdadm' >/etc/default/prometheus-node-exporter"
)
ASK = (
    "python3 -c 'import sys, urllib.request as r; "
    "sys.stdout.write(r.urlopen(sys.argv[1], timeout=4).read().decode())' http://{}:{}/metrics"
)


def asked(host: str, whom: str, exporter: str) -> str | None:
    """What an exporter answers to a host; None where it gets no connection."""
    done = api.console(host, ASK.format(ADDRESSES[whom], monitoring.PORTS[exporter]))
    return done.stdout if done.returncode == 0 else None


def watched(settings: Settings) -> None:
    settings["monitoring"] = {"scrapers": [SCRAPER], "hosts": [DATABASE, EDGE]}


def test_who_is_named_gets_metrics_through_the_tunnel(fortress: Fortress) -> None:
    every = [(DATABASE, monitoring.NODE), (DATABASE, monitoring.MYSQLD), (EDGE, monitoring.HAPROXY)]
    on(EDGE, THEIRS)
    with fortress.changed(watched):
        refused = fortress.pulumi("up", "--yes", "--skip-preview", "--continue-on-error")
        assert refused.returncode != 0
        assert "this host has a prometheus-node-exporter of its own, by /etc/default/" in refused.stdout
        assert "9100" in on(EDGE, "ss -Hltn 'sport = 9100'"), "it runs as it did"
        on(EDGE, "DEBIAN_FRONTEND=noninteractive apt-get -qq purge -y prometheus-node-exporter")
        fortress.up()
        for host, exporter in every:
            found = asked(SCRAPER, host, exporter)
            assert found, (host, exporter)
            assert f"{ {monitoring.NODE: 'node', monitoring.MYSQLD: 'mysql'}.get(exporter, exporter) }_" in found
        # What no exporter has, within a run of its timer.
        until("figures of the host itself", 60, lambda: "fortress_tunnel_heard" in str(asked(SCRAPER, *every[0])))
        said = str(asked(SCRAPER, *every[0]))
        assert re.search(r'fortress_tunnel_heard_seconds\{peer="oslo-web"\} 1\.[0-9e+]+\n', said)
        assert re.search(
            r'fortress_certificate_end_seconds\{path="/etc/mysql/fortress/server.pem"\} 1\.[0-9e+]+\n', said
        )
        assert asked(STRANGER, DATABASE, monitoring.NODE) is None
        assert asked(STRANGER, DATABASE, monitoring.MYSQLD) is None
        for port in monitoring.PORTS.values():
            for host in (DATABASE, EDGE):
                listens = on(host, f"ss -Hltn 'sport = {port}' | awk '{{print $4}}'").split()
                assert listens in ([], [f"{ADDRESSES[host]}:{port}"]), "on the tunnel only"
        # No table and no statement of others.
        granted = on(DATABASE, "runuser -u prometheus -- mariadb --batch --skip-column-names --execute 'show grants'")
        assert granted.startswith("GRANT SLAVE MONITOR ON *.* TO `prometheus`@`localhost`")

        began = time.monotonic()
        while (done := fortress.command("verify", "--stack", "lab", "--json")).returncode:  # a tunnel may be new
            assert time.monotonic() - began < 60, done.stdout
        checks = json.loads(done.stdout)["checks"]
        answering = {(each["host"], each["about"]): each for each in checks if each["kind"] == "exporter"}
        assert set(answering) == {*every, (EDGE, monitoring.NODE)}
        assert {each["status"] for each in answering.values()} == {"ok"}
        drift = fortress.command("drift", "--stack", "lab")
        assert drift.returncode == 0, drift.stdout
        on(DATABASE, "systemctl stop prometheus-mysqld-exporter")
        done = fortress.command("verify", "--stack", "lab")
        assert done.returncode == 1
        assert "exporter mysqld" in done.stdout
    for host, port in ((DATABASE, 9100), (DATABASE, 9104), (EDGE, 9100), (EDGE, 8405)):
        assert on(host, f"ss -Hltn 'sport = {port}'") == ""
    assert (
        on(DATABASE, 'mariadb --batch --skip-column-names --execute "select user from mysql.user"').count("prom") == 0
    )
    left = f"/etc/fortress/exporter.cnf /etc/nftables.d/50-exporters.nft {monitoring.FIGURES_PATH}"
    assert on(DATABASE, f"ls -d {left} /etc/systemd/system/fortress-figures* 2>/dev/null || :") == ""
