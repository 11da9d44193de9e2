"""A Galera cluster: what a member's MariaDB is told of the others, and the text that a witness has on its host.

Which member takes the writes, and who may begin a cluster, is decided on the hosts (scripts/roles).
Values without a source beside them: docs/decisions/0027.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from fortress import text
from fortress.values import DnsName, Model, TunnelAddress, refusal

GROUP_PORT = 4567
"""Write-sets and membership, over TCP: UDP would carry multicast only, which no tunnel passes."""
MISSING_PORT = 4568
"""Write-sets that a member missed, while it receives them (IST)."""
STATE_PORT = 4444
"""All data, while a member receives them (SST)."""
PORTS = (GROUP_PORT, MISSING_PORT, STATE_PORT)
PACKAGES = ("galera-4", "mariadb-backup", "python3", "socat")
PROVIDER = "/usr/lib/galera/libgalera_smm.so"
CLUSTER = "fortress"
JOINED_PATH = "/etc/mysql/mariadb.conf.d/93-fortress-joined.cnf"
"""Has MariaDB start as a member. database_role.py writes it once the server takes part, and takes it away."""

WRITE_MB_S = 1
"""Write-sets a second that a member away is kept (our choice; `wsrep_replicated_bytes` tells the real rate)."""
OUTAGE_S = 1800
"""How long it may be away and still get only what it missed (our choice: a reboot, or the change of a disk)."""
MIN_CACHE_MB = 128

WITNESS_PACKAGES = ("galera-arbitrator-4", "openssl")
WITNESS_FOLDER = "/etc/fortress/witness"
WITNESS_UNIT = "fortress-witness"
WITNESS_UNIT_PATH = f"/etc/systemd/system/{WITNESS_UNIT}.service"
WITNESS_CA_PATH = f"{WITNESS_FOLDER}/authorities.pem"
WITNESS_CERTIFICATE = f"{WITNESS_FOLDER}/server.pem"

Segment = Annotated[int, Field(ge=0, le=255)]


class Voter(Model):
    """One voter's place in the cluster."""

    name: DnsName
    """Of its host."""
    address: TunnelAddress
    segment: Segment = 0
    """The site's number: one copy of a write-set crosses between two segments, and is passed on inside."""
    members: Annotated[tuple[TunnelAddress, ...], Field(min_length=1)]
    """Addresses of all voters and of the witness, its own among them; of those that are gone too, so that a lost host
    makes nobody restart."""
    donors: tuple[DnsName, ...] = ()
    """Members that it prefers to receive data from, the first one first: not the one that takes the writes."""

    @model_validator(mode="after")
    def _knows_itself(self) -> Voter:
        if self.address not in self.members:
            raise refusal(("members",), list(self.members), f"must have {self.address}, the member itself")
        return self


class Witness(Model):
    """A vote without data, which receives every write-set all the same."""

    name: DnsName
    address: TunnelAddress
    segment: Segment = 0
    members: Annotated[tuple[TunnelAddress, ...], Field(min_length=1)]


def cache_mb(pool_mb: int) -> int:
    """Size of the ring of write-sets in MB: write rate by outage (https://galeracluster.com/library/kb/gcache.html), at
    most half of the buffer pool, since it is mapped memory (our choice)."""
    return min(WRITE_MB_S * OUTAGE_S, max(pool_mb // 2, MIN_CACHE_MB))


def peers(members: tuple[str, ...]) -> str:
    """Where a member looks for the others."""
    return f"gcomm://{','.join(members)}"


def provider_options(member: Voter, certificate: str, authorities: str, cache_mb: int) -> str:
    """Give wsrep_provider_options, spelled as the server shows them: `fortress-push` asks it what is in force."""
    options = {
        **_group(member.address, member.segment),
        **_secure(certificate, authorities),
        "gcache.size": f"{cache_mb}M",
        # A member waits for one that is this many write-sets behind, and goes on once it has caught up by a tenth: one
        # server takes the writes, so certification conflicts grow no faster with a longer queue.
        "gcs.fc_limit": "256",
        "gcs.fc_factor": "0.9",
    }
    return _line(options)


def read_options(line: str) -> dict[str, str]:
    """Galera's options, of such a line or as the server shows all that it has."""
    parts = (part.partition("=") for part in line.strip('"').split(";"))
    return {name.strip(): value.strip() for name, equals, value in parts if equals}


def render_witness(witness: Witness) -> str:
    """Give the unit at WITNESS_UNIT_PATH."""
    # A unit's own folder of credentials: systemd puts it in.
    folder = "${CREDENTIALS_DIRECTORY}"
    options = {
        **_group(witness.address, witness.segment),
        **_secure(f"{folder}/server.pem", f"{folder}/authorities.pem"),
    }
    return text.render(
        "fortress-witness.service.j2",
        name=witness.name,
        cluster=CLUSTER,
        peers=peers(tuple(each for each in witness.members if each != witness.address)),
        options=_line(options),
        certificate=WITNESS_CERTIFICATE,
        authorities=WITNESS_CA_PATH,
        unit=WITNESS_UNIT,
    )


def _group(address: str, segment: int) -> dict[str, str]:
    return {
        "gmcast.listen_addr": f"ssl://{address}:{GROUP_PORT}",
        "gmcast.segment": str(segment),
        # A silent member is left after 3 s (5 by default), so that writes go on within 10.
        "evs.suspect_timeout": "PT3S",
        "evs.inactive_timeout": "PT10S",
        "evs.send_window": "512",
        "evs.user_send_window": "256",
        # After a power cut of all, members that were the cluster together and all come back are it again.
        "pc.recovery": "true",
        # Both would let a minority go on.
        "pc.ignore_sb": "false",
        "pc.ignore_quorum": "false",
    }


def _secure(certificate: str, authorities: str) -> dict[str, str]:
    return {
        "socket.ssl": "YES",
        "socket.ssl_ca": authorities,
        "socket.ssl_cert": certificate,
        "socket.ssl_key": certificate,
    }


def _line(options: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in options.items())
