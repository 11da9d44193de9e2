"""The kinds of checks: how each is named, in which unit it is measured, and what it measures."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What a check measures. Kinds stand in the order in which checks are shown.

    Each has the words of its checks' names, in which {about} is what the check is about; its unit; and a sentence that
    says what it measures.
    """

    # `fortress verify`
    HOST_KEY = "host key", None, "The host shows the SSH key that is pinned."
    CLOCK_OFFSET = "clock offset", "ms", "How far the host's clock is ahead of the operator's."
    OPEN_PORTS = "open ports", None, "TCP ports that answer from where the command runs: just those that should."
    HANDSHAKE = "handshake with {about}", "s", "Seconds since the last WireGuard handshake with a peer."
    UNKNOWN_PEERS = "unknown peers", None, "Peers of the tunnel that nobody pushed."
    KEY_AGE = "key age", "days", "Age of the host's WireGuard key."
    INTERFACE_MTU = "interface MTU", "bytes", "The MTU of the tunnel's interface is the one in the settings."
    ROUND_TRIP = "round trip to {about}", "ms", "Median round trip of ten pings through the tunnel."
    TUNNEL_MTU = "tunnel MTU to {about}", "bytes", "The largest packet that passes whole through the tunnel."
    PATH_MTU = "path MTU to {about}", "bytes", "The largest packet that passes whole outside the tunnel."
    DATABASE_OVER_TLS = "database over TLS", None, "A worker reaches the database, whose certificate it verifies."
    DATABASE_WITHOUT_TLS = "database without TLS", None, "The database refuses connections without TLS."
    DATABASE_CERTIFICATE = "database certificate", "days", "What is left of the database's certificate."
    DATABASE_FROM_OUTSIDE = "database from outside", None, "The database's port is closed outside the tunnel."
    REPLICATION_LAG = "replication lag", "s", "How far copies of the database are behind."
    IO_WAIT = "I/O wait", "%", "Time that the database host's processors idle while a request to a disk is open."
    IOPS = (
        "IOPS at {about}",
        "IOPS",
        "Requests a second of the database's disk at a block size, 70 % reads; `--io` only.",
    )
    COMMIT = "commit to disk, p99", "ms", "What 99 of 100 commits wait for the database's disk; `--io` only."
    FAILOVER = "failover", "s", "The longest until the edge leaves a dead server, as computed from the settings."
    BACKEND = "backend {about}", None, "A server is up as HAProxy sees it, and is the one that the stack says."
    HTTPS_ANSWER = "https answer", None, "The edge answers the health path over HTTPS."
    HTTP_REDIRECT = "http redirect", None, "The edge sends plain HTTP to HTTPS."
    EDGE_CERTIFICATE = "edge certificate", "days", "What is left of the edge's certificate."
    # `fortress status`
    UP = "up", None, "How long the host has been up."
    PEERS_HEARD = "peers", None, "Peers whose last handshake is recent enough, of all."
    SERVICES = "services", None, "Services of the fortress that run, of all on the host."
    CERTIFICATE = "certificate", "days", "What is left of the certificate on the host that ends first."
    LAST_PUSH = "last push", None, "When a file was last pushed, and whether each push ended."
    # `fortress drift`
    FILE = "file {about}", None, "A file is as it was pushed: its text, mode, owner and record."
    UNIT = "unit {about}", None, "A unit runs, and starts at boot where it was enabled."
    FIREWALL = "firewall", None, "The live rules are those of the pushed files."
    FIREWALL_TABLE = "firewall table {about}", None, "A table of rules that no push loaded."
    TUNNEL_KEY = "tunnel key", None, "The file of the WireGuard key is there."
    LIVE_PEERS = "peers", None, "The live tunnel has the port, MTU and peers of the pushed files."
    DATABASE_VARIABLES = "database variables", None, "The server's variables are those of its pushed file."
    FILES = "files", None, "All files of a host that could not be asked."
    UNITS = "services", None, "All units of a host that could not be asked."
    # `fortress preview`
    PREVIEW = "preview", None, "The exit status of `pulumi preview`."

    def __init__(self, words: str, unit: str | None, measures: str) -> None:
        self.words = words
        self.unit = unit
        self.measures = measures

    def __str__(self) -> str:
        """As JSON has it: `round_trip`."""
        return self.name.lower()

    def check_name(self, about: str) -> str:
        """The name of a check: `round trip to fra-1`."""
        return self.words.replace("{about}", about)


RANK = {kind: place for place, kind in enumerate(Kind)}
"""The place of each kind among those that are shown."""
