"""Hosts where another hand made a firewall, an HAProxy or databases: refused before a client of theirs is cut off."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from lab import api
from tests.lab.conftest import StandingLab
from tests.lab.fortress import ROOT
from tests.lab.inside import on

PROGRAM = """
import json
import pathlib

import pulumi

from components import DataFortress, Host, HAProxyEdge

adopt = json.loads(pathlib.Path(__file__).with_name("adopt.json").read_text())
hosts = {
    name: Host(
        name,
        {
            "address": address,
            "site": "oslo",
            "user": "ops",
            "mesh_address": f"10.200.0.{number}",
            "mesh_network": "10.200.0.0/24",
            "operators": ["192.0.2.10/32"],
            "adopt": name in adopt,
        },
    )
    for number, (name, address) in enumerate(
        {
            "oslo-db": "192.0.2.11",
            "oslo-edge": "192.0.2.12",
            "oslo-web": "192.0.2.13",
            "fra-1": "203.0.113.21",
        }.items(),
        1,
    )
}
DataFortress(
    "db",
    {
        "host": hosts["oslo-db"].member,
        "database": "app",
        "user": "app",
        "password": pulumi.Output.secret("correct horse battery"),
        "clients": "10.200.0.0/24",
    },
)
HAProxyEdge(
    "edge",
    {
        "host": hosts["oslo-edge"].member,
        "server_name": "edge.example",
        "primary": {"site": "oslo", "servers": {"web": "10.200.0.3:80"}, "maxconn": 40},
        "answers_within_s": 0,
    },
)
"""
INSTALL = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
OTHERS = {
    "oslo-db": f"{INSTALL} mariadb-server && mariadb -e 'create database shop; create table shop.orders (id int)'"
    r" && printf '[mariadbd]\nbind-address = 0.0.0.0\n' >/etc/mysql/mariadb.conf.d/50-theirs.cnf"
    " && systemctl restart mariadb",
    "oslo-edge": f"{INSTALL} haproxy && printf 'frontend theirs\\n  bind :80\\n' >>/etc/haproxy/haproxy.cfg"
    " && systemctl reload haproxy",
    "oslo-web": f"{INSTALL} nftables && sed -i '$a table inet theirs {{ }}' /etc/nftables.conf",
    "fra-1": f"{INSTALL} nftables && nft add table ip nat",
}
SAID = {
    "oslo-db": "this host has databases of its own in /var/lib/mysql (shop), which no push made; nothing was changed.",
    "oslo-edge": "this host has an HAProxy of its own, by /etc/haproxy/haproxy.cfg, which no push made; nothing was",
    "oslo-web": "this host has an /etc/nftables.conf of its own, which no push made; nothing was changed.",
    "fra-1": "this host has nftables tables of its own (ip nat), which no push made; nothing was changed.",
}
TABLES = "{ nft list tables 2>/dev/null || true; }"
STANDING = {
    "oslo-db": f"systemctl show -P MainPID -P DropInPaths mariadb; ls /var/lib/mysql; {TABLES}",
    "oslo-edge": f"systemctl show -P MainPID -P DropInPaths haproxy; cat /etc/haproxy/haproxy.cfg; {TABLES}",
    "oslo-web": "cat /etc/nftables.conf; nft list ruleset",
    "fra-1": "cat /etc/nftables.conf; nft list ruleset",
}


class Stack:
    """A stack of its own on a plain lab."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "Pulumi.yaml").write_text("name: newcomer\nruntime: python\n")
        (folder / "__main__.py").write_text(PROGRAM)
        for name in ("components", "fortress"):
            (folder / name).symlink_to(ROOT / name)

    def run(self, *arguments: str, adopt: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        (self.folder / "adopt.json").write_text(json.dumps(adopt))
        return subprocess.run(
            [str(ROOT / "lab/pulumi.sh"), *arguments, "--yes", "--skip-preview"],
            env={**os.environ, **api.environment(), "LAB_PROJECT": str(self.folder), "LAB_STACK": "newcomer"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=420,
            check=False,
        )


def test_what_another_hand_made_is_refused_whole_or_adopted(plain: StandingLab, tmp_path: Path) -> None:
    assert plain.lab
    for host, command in OTHERS.items():
        on(host, command, timeout=300)
    before = {host: on(host, command) for host, command in STANDING.items()}
    stack = Stack(tmp_path)

    refused = stack.run("up", "--continue-on-error")
    assert refused.returncode != 0
    for said in SAID.values():
        assert said in refused.stdout, refused.stdout
    assert {host: on(host, command) for host, command in STANDING.items()} == before

    adopted = stack.run("up", adopt=tuple(OTHERS))
    assert adopted.returncode == 0, adopted.stdout
    assert "edge.example" in on("oslo-edge", "cat /etc/haproxy/haproxy.cfg")
    assert "ip nat" in on("fra-1", "nft list tables"), "a table of another tool stays"
    assert "orders" in on("oslo-db", "mariadb -N -e 'show tables from shop'")

    # Gone with its records, it leaves what stood there, and data that the next stack knows for those of a fortress.
    assert (gone := stack.run("destroy", adopt=tuple(OTHERS))).returncode == 0, gone.stdout
    assert on("oslo-edge", "cat /etc/haproxy/haproxy.cfg") in before["oslo-edge"]
    assert on("oslo-web", "cat /etc/nftables.conf") in before["oslo-web"]
    again = stack.run("up", adopt=("oslo-edge", "oslo-web", "fra-1"))
    assert again.returncode == 0, again.stdout
