"""A database on a Galera cluster: its settings on the lab's fortress, what its members say, who takes the writes."""

from __future__ import annotations

import json
from typing import Any

from lab import api
from tests.lab.fortress import Fortress, Settings, on
from tests.lab.writer import STATE, takes_writes, until
from tests.unit.test_galera import SECOND, THIRD, WITNESS
from tests.unit.test_replication import ROLE_FLOW

ROLE = STATE.removesuffix(" state")
SERVERS = ("oslo-db", "oslo-db2", "oslo-db3")


def three(settings: Settings) -> None:
    """Three servers of the database, in a cluster."""
    settings["hosts"] |= {"oslo-db2": SECOND, "oslo-db3": THIRD}
    settings["mesh"]["hubs"] = [*SERVERS, "oslo-edge"]
    settings["database"] |= {"mode": "galera", "primary": "oslo-db"}
    settings["sovereignty"]["flows"]["frankfurt-database-role"] = ROLE_FLOW


def witnessed(settings: Settings) -> None:
    """The third vote keeps no data from here on."""
    settings["hosts"]["oslo-db3"] = WITNESS


def member(host: str) -> dict[str, Any]:
    """What a server says of its cluster; empty where it is in none, or says nothing."""
    done = api.console(host, STATE)
    own = json.loads(done.stdout)["own"] if done.returncode == 0 else {}
    return own.get("member") or {}


def synced(*hosts: str) -> bool:
    """Whether each of them is in step, in a cluster that has them all."""
    return all(
        (found := member(host)).get("state") == "Synced" and set(found["members"]) >= set(hosts) for host in hosts
    )


def writer() -> str:
    """The one server that takes the writes."""
    running = [name for name in SERVERS if name in api.hosts() and api.hosts()[name].running]
    (found,) = [name for name in running if takes_writes(name)]
    return found


def switch(fortress: Fortress, to: str) -> None:
    """Have a server take the writes."""
    if writer() != to:
        done = fortress.command("switchover", "--to", to, "--stack", "lab")
        assert done.returncode == 0, done.stdout + done.stderr


def leave_alone(fortress: Fortress, host: str) -> None:
    """From two servers and a witness to one server: it takes the writes once the other one has left."""
    until(lambda: any(takes_writes(each) for each in SERVERS[:2]), "one takes the writes")
    switch(fortress, host)
    for other in SERVERS[:2]:
        if other != host:
            on(other, f"{ROLE} leave")
    on("oslo-db3", "systemctl disable --now fortress-witness")
