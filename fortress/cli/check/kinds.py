"""The kinds of checks: how each is named, in which unit it is measured, and what it measures."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What a check measures. Kinds stand in the order in which checks are shown.

    Each has the words of its checks' names, in which {about} is what the check is about; its unit; and a sentence that
    says what it measures.
    """

    # `fortress verify`
    HOST_KEY = "host key", None, "The host has the pinned SSH key."
    CLOCK_OFFSET = "clock offset", "ms", "How far the host's clock is ahead of the operator's."
    OPEN_PORTS = (
        "open ports",
        None,
        "TCP ports that answer the machine that runs the command: exactly the expected ones.",
    )
    HANDSHAKE = "handshake with {about}", "s", "Seconds since the last WireGuard handshake with a peer."
    UNKNOWN_PEERS = "unknown peers", None, "Peers of the tunnel that no stack pushed."
    KEY_AGE = "key age", "days", "Age of the host's WireGuard key."
    INTERFACE_MTU = "interface MTU", "bytes", "The MTU of the tunnel's interface is the one in the settings."
    ROUND_TRIP = "round trip to {about}", "ms", "Median round trip of 100 pings through the tunnel."
    LOSS = "loss to {about}", "%", "Share of these pings that got no answer, whichever way they were lost."
    TUNNEL_MTU = "tunnel MTU to {about}", "bytes", "The largest packet that passes whole through the tunnel."
    PATH_MTU = "path MTU to {about}", "bytes", "The largest packet that passes whole outside the tunnel."
    ENCRYPTION = (
        "encryption to {about}",
        None,
        "Bytes sent into the tunnel are on no other interface of the host.",
    )
    FLOW = "flow to {about}", "ms", "A declared flow between two hosts that no other check uses gets there."
    EXPORTER = (
        "exporter {about}",
        "figures",
        "A metrics exporter answers at the host's address in the tunnel, and listens nowhere else.",
    )
    DISK_SPACE = "disk space", "%", "Used share of the host's fullest file system, in bytes or in inodes."
    LOG_AGE = "log age", "days", "Age of the oldest entry of the host's journal, where `verify.log_days` limits it."
    EGRESS = (
        "egress",
        None,
        "A host whose egress is closed refuses a connection to what answers everybody and no host needs.",
    )
    LISTENING = (
        "listening",
        None,
        "Sockets that listen outside loopback and tunnel are the program's own, or named in `verify.listeners`.",
    )
    DATABASE_OVER_TLS = (
        "database over TLS",
        None,
        "A worker reaches the database, verifies its certificate, and negotiates TLS 1.2 or later.",
    )
    DATABASE_WITHOUT_TLS = (
        "database without TLS",
        None,
        "The database refuses connections without TLS, or with one before 1.2.",
    )
    DATABASE_CERTIFICATE = "database certificate", "days", "Remaining validity of the database's certificate."
    DATABASE_FROM_OUTSIDE = "database from outside", None, "The database's port is closed outside the tunnel."
    DATABASE_ACCOUNTS = (
        "database accounts",
        None,
        "The database's accounts, where they may come from and what each may do, are those of the settings.",
    )
    DATABASE_RELEASE = (
        "database release",
        None,
        "MariaDB's release; the database's system tables were brought to it by mariadb-upgrade.",
    )
    SANDBOX = (
        "sandbox of {about}",
        None,
        "What the running service may reach of its host, by `systemd-analyze security`: from 0, nothing, to 10.",
    )
    DATABASE_PRIMARY = "database primary", None, "Exactly one of several database servers takes the writes."
    DATABASE_ROLE = "database role", None, "A server of several takes the writes, or follows the one that does."
    CLUSTER = "cluster", None, "All votes of the database's cluster are together, so that any one of them may be lost."
    RECEIVE_QUEUE = "receive queue", None, "Write-sets that a member of the cluster has received and not applied."
    FLOW_CONTROL = "flow control", "%", "Share of the last minute in which writes waited for the slowest member."
    SEMI_SYNC = "semi-sync", None, "Commits on the primary wait until a copy has them."
    REPLICATION = "replication", None, "A copy of the database receives and applies what its primary commits."
    REPLICATION_LAG = "replication lag", "s", "How far copies of the database are behind."
    VOLUME_BYTES = (
        "data volume",
        None,
        "What lies on the database's volume is LUKS, and random; asked where `database.volume.encrypted` is set.",
    )
    BACKUP = "backup", "h", "Age of the last full backup; it fails where the last run did, or was late."
    RECOVERY_POINT = (
        "recovery point",
        "s",
        "Age of the oldest commit that may be on the database's host alone: what a loss of it would cost.",
    )
    BACKUP_READ_BACK = "backup read back", "h", "Time since the target was read back, a part of the data each day."
    BACKUP_BYTES = (
        "backup bytes",
        "bits",
        "Entropy of each byte of a file as it lies at the target: 8 if it is encrypted. It begins as no known format.",
    )
    RESTORE_DRILL = "restore drill", "days", "Age of the last restore beside the data, with every row read."
    ANONYMOUS = (
        "anonymous access to {about}",
        None,
        "A container, or the bucket of the backups, refuses a client without a login.",
    )
    IO_WAIT = (
        "I/O wait",
        "%",
        "Share of time that the database host's processors idle while a request to a disk is open.",
    )
    IOPS = (
        "IOPS at {about}",
        "IOPS",
        "Requests a second of the database's disk at a block size, 70 % reads; `--io` only.",
    )
    COMMIT = "commit to disk, p99", "ms", "Time within which 99 of 100 commits reach the database's disk; `--io` only."
    FAILOVER = "failover", "s", "Longest time until the edge stops using a dead server, computed from the settings."
    BACKEND = "backend {about}", None, "HAProxy sees the server as up, at the address in the stack."
    HTTPS_ANSWER = "https answer", None, "The edge answers the health path over HTTPS."
    HTTP_REDIRECT = "http redirect", None, "The edge redirects HTTP to HTTPS."
    EDGE_TLS = "edge TLS", None, "What the edge and a client negotiate: TLS 1.2 or later, and nothing before it."
    EDGE_CERTIFICATE = "edge certificate", "days", "Remaining validity of the edge's certificate."
    # `fortress status`
    UP = "up", None, "Uptime of the host."
    PEERS_HEARD = "peers", None, "Peers with a recent handshake, out of all."
    SERVICES = "services", None, "Running services of the fortress, out of all on the host."
    CERTIFICATE = "certificate", "days", "Remaining validity of the host's certificate that expires first."
    LAST_PUSH = "last push", None, "Time of the last push, and whether all pushes completed."
    # `fortress drift`
    FILE = "file {about}", None, "A file is as it was pushed: its text, mode, owner and record."
    UNIT = "unit {about}", None, "A unit runs, and starts at boot if it was enabled."
    FIREWALL = "firewall", None, "The live rules are those of the pushed files."
    FIREWALL_TABLE = "firewall table {about}", None, "A table of rules that the stack did not push."
    TUNNEL_KEY = "tunnel key", None, "The file of the WireGuard key exists."
    LIVE_PEERS = "peers", None, "The live tunnel has the address, port, MTU and peers of the pushed files."
    DATABASE_VARIABLES = "database variables", None, "The server's variables are those of its pushed file."
    IN_FORCE = (
        "in force {about}",
        None,
        "What a file says is what runs, and no file or unit of another hand overrules it at the next start.",
    )
    FILES = "files", None, "All files of a host that could not be asked."
    UNITS = "services", None, "All units of a host that could not be asked."
    # `fortress preview`
    PREVIEW = "preview", None, "The exit status of `pulumi preview`."
    # `fortress record`
    UNDECLARED = (
        "undeclared entries",
        None,
        "Entries that the record of processing must have and nobody declared.",
    )

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
