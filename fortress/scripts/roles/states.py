"""What a server says of itself, and how that travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SYNCED = "Synced"


@dataclass(frozen=True)
class ReplicationSource:
    """What a copy says of its connection to the primary."""

    address: str
    receiving: bool
    applying: bool
    error: str
    received: str
    """GTID position up to which transactions arrived."""
    waiting: bool
    """Whether all that arrived is applied."""
    diverged: bool = False
    """Whether its data do not continue into the primary's: another copy is the only way back."""


@dataclass(frozen=True)
class Membership:
    """What a member of a Galera cluster says of it."""

    status: str = ""
    """`Primary` where it is in the majority; nothing where MariaDB does not answer."""
    state: str = ""
    """Synced, or what it does to become so; Donor/Desynced while it gives data to another one."""
    ready: bool = False
    """Whether it takes queries."""
    size: int = 0
    """Votes in its component, the witness's too."""
    members: tuple[str, ...] = ()
    """Hosts of its component that keep data."""
    cluster: str = ""
    """Which cluster the data are of, for ever."""
    committed: int = 0
    """Number of the last write-set that it applied."""
    queue: int = 0
    """Write-sets that it received and has not applied."""
    paused_ns: int = 0
    """How long it waited for the slowest member, since it was started."""

    @property
    def stands(self) -> bool:
        """Whether it is in the majority, and answers."""
        return self.status == "Primary" and self.ready


@dataclass(frozen=True)
class ServerState:
    """One server, as it says itself."""

    server: str
    number: int = 0
    """Of the newest row that says who takes writes; 0 where there is none."""
    primary: str | None = None
    read_only: bool = True
    position: str = ""
    """GTID position of all that it has: its own transactions and those that it applied."""
    binlog: str = ""
    own_tables: int = 0
    """Of databases that are not the system's."""
    semi_sync: bool = False
    """Whether its commits wait for a copy."""
    semi_sync_copies: int = 0
    source: ReplicationSource | None = None
    member: Membership | None = None
    """None where it is no member of a Galera cluster."""
    seeding: bool = False
    trouble: str = ""
    """Why the server itself cannot be asked."""
    age_s: float = 0.0
    """Since it was about to be asked; of another one when that answered, so what it says here is no older."""


def parse_state(found: Mapping[str, Any]) -> ServerState:
    """A state as another server's service prints it; fields that this version does not know are passed over."""
    known = {name: found[name] for name in ServerState.__dataclass_fields__ if name in found}
    source, member = known.pop("source", None), known.pop("member", None)
    return ServerState(
        **known,
        source=ReplicationSource(**source) if source else None,
        member=Membership(**{**member, "members": tuple(member["members"])}) if member else None,
    )


def positions(text: str) -> dict[str, int]:
    """A GTID position: domain to sequence number."""
    found: dict[str, int] = {}
    for each in text.replace("\n", "").split(","):
        if each.strip():
            domain, _, sequence = each.strip().split("-")
            found[domain] = max(found.get(domain, 0), int(sequence))
    return found


def ahead(one: str, other: str) -> bool:
    """Whether position `one` has a transaction that `other` lacks, by their numbers."""
    had = positions(other)
    return any(sequence > had.get(domain, 0) for domain, sequence in positions(one).items())


@dataclass(frozen=True)
class PrimarySeen:
    """The primary as a copy saw it last."""

    ago_s: float
    position: str
    semi_sync: bool


@dataclass(frozen=True)
class ServerReport:
    """What a server's service knows, as it prints it and as others read it."""

    own: ServerState
    age_s: float = 0.0
    """Since it asked its own server."""
    takes_writes: bool = False
    why: str = ""
    """What it does about its role, and the reason."""
    lag_s: float | None = None
    """Of a copy: how old what it has is, by when it saw the primary at that position."""
    lacks_s: float | None = None
    """The same at most: for how long it may lack what was committed, by when the primary was about to be asked."""
    primary_seen: PrimarySeen | None = None
    votes: int = 0
    """Of a Galera cluster: how many there should be, the witness's too; 0 where there is none."""
    flow_paused: float | None = None
    """Of a member: the share of the last minute in which it waited for the slowest one."""
    others: dict[str, str] = field(default_factory=dict)
    """Every other server to `answers`, or why it does not."""
    service: str = ""
    """Why the service itself does not answer; then this is one look without it."""


def parse_report(found: Mapping[str, Any]) -> ServerReport:
    """A report as `asdict` of it is printed in JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        known = {name: found[name] for name in ServerReport.__dataclass_fields__ if name in found}
        seen = known.pop("primary_seen", None)
        own = parse_state(known.pop("own"))
        return ServerReport(own, **known, primary_seen=PrimarySeen(**seen) if seen else None)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no report of a server: {error!r}") from None
