"""Limits of a standing fortress: what `fortress verify`, `status` and `drift` hold against."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, Field

from fortress import firewall, wireguard
from fortress.explain import shown
from fortress.values import MemberName, Model, Name, OneLine, Port, matching


def _least_and_most(value: list[float]) -> list[float]:
    """A minimum and a maximum."""
    if len(value) != 2 or not 0 <= value[0] <= value[1]:
        raise ValueError("must be the minimum and maximum round trip in ms, such as [20, 30]")
    return value


RoundTrips = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], AfterValidator(_least_and_most)]


ContainerUrl = Annotated[
    str,
    matching(
        r"https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%-]+)+",
        "the URL of a container, with its path and without a query, such as https://object.example.org/v1/AUTH_0/personal",
    ),
]


class Listener(Model):
    """What listens on hosts beside the services of the fortress, for machines outside the tunnel too."""

    at: MemberName
    """Site on whose hosts it listens, or one host."""
    port: Port
    """Its port."""
    protocol: wireguard.Protocol = "tcp"
    """Its protocol."""
    purpose: OneLine
    """Why it listens there, in a line."""


class Limits(Model):
    """Limits of `fortress verify`."""

    rtt_ms: dict[str, RoundTrips] = {}
    """Minimum and maximum round trip between two sites through the tunnel, in ms: `{frankfurt-oslo: [20, 30]}`."""
    loss_percent: Annotated[float, Field(ge=0, lt=100)] = 1.0
    """Maximum share of 100 pings through a tunnel that get no answer, in percent, whichever way they are lost."""
    handshake_s: Annotated[int, Field(ge=60)] = 180
    """Maximum seconds since the last handshake with a peer; a tunnel in use makes one every two minutes."""
    certificate_days: Annotated[int, Field(ge=1)] = 14
    """Minimum days for which a certificate must still be valid."""
    key_age_days: Annotated[int, Field(ge=1)] = 365
    """Maximum age of a host's WireGuard key, in days; NIST SP 800-57 gives such keys one to two years."""
    clock_offset_ms: Annotated[int, Field(ge=1)] = 100
    """Maximum difference between a host's clock and the operator's, in ms."""
    failover_s: Annotated[float, Field(gt=0, le=60)] = 3.0
    """Maximum seconds until the edge stops using a dead server, as computed from `edge.checks`."""
    replication_lag_s: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    """Maximum seconds that a copy of the database may be behind."""
    disk_percent: Annotated[float, Field(gt=0, le=100)] = 85.0
    """Maximum share of a host's file systems that may be used, in percent of their bytes and of their inodes."""
    iowait_percent: Annotated[float, Field(gt=0, le=100)] = 5.0
    """Maximum I/O wait of the database's host, in percent of its processors' time."""
    iops_4k: Annotated[int, Field(ge=1)] = 50_000
    """Minimum IOPS of the database's disk at 4 KiB, 70 % reads; measured with `--io` only."""
    iops_16k: Annotated[int, Field(ge=1)] = 50_000
    """The same at 16 KiB, InnoDB's page size."""
    commit_ms: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    """Maximum ms that 99 of 100 commits to disk (fdatasync) may take; etcd's documentation asks for the same."""
    ports: list[Port] = [21, 22, 23, 25, 53, 80, 111, 139, 443, 445, 2375, 3306, 4444, 4567, 4568, 5432, 6443, 8080]
    """TCP ports tried on each host's outside address."""
    firewall_tables: firewall.Tables = []
    """nftables tables that other tools maintain on hosts, such as `ip nat`: a new host may have them, and `fortress
    drift` leaves them alone."""
    log_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """Maximum age of the oldest entry of a host's journal, in days: logs hold addresses of clients. Not looked at when
    not given; docs/production.md says what makes journald keep to it."""
    listeners: dict[Name, Listener] = {}
    """What else may listen on hosts, outside loopback and tunnel, by a name of your own; it opens no firewall."""

    containers: dict[Name, ContainerUrl] = {}
    """Containers and buckets that must refuse a client without a login: names of your own, and the address of each,
    such as https://object.example.org/v1/AUTH_0123/personal. The bucket of `database.backup` is asked anyway."""

    def listeners_problem(self, sites: Collection[str], hosts: Collection[str]) -> str | None:
        """What is wrong with the places of `listeners`, where there are these sites and hosts."""
        for name, listener in self.listeners.items():
            if listener.at not in (*sites, *hosts):
                known = ", ".join([*sites, *hosts])
                return f"listeners.{name}.at: {shown(listener.at)} is neither a site nor a host; known: {known}"
        return None

    def pairs_problem(self, sites: Collection[str]) -> str | None:
        """What is wrong with the pairs of `rtt_ms`, where there are these sites."""
        known = sorted({"-".join(sorted((one, other))) for one in sites for other in sites})
        wrong = next((pair for pair in self.rtt_ms if pair not in known), None)
        if wrong is None:
            return None
        return f"rtt_ms: {shown(wrong)} must be two sites in alphabetical order: {', '.join(known)}"
