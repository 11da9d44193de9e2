"""MariaDB on this host: asking it, and telling it whom to follow and whether to take the writes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from .host import CA, JOINED, PASSWORD, SEEDING, SOCKET, RoleError, ServerList
from .states import Membership, ReplicationSource, ServerState

USER = "_replica"
HAND_OVER_S = 20.0
APPLY_S = 120.0
LOOK = """
SET SESSION wsrep_dirty_reads = ON;
SET @primary = IF((SELECT COUNT(*) FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = '_fortress' AND TABLE_NAME = 'primaries') > 0,
    'SELECT number, server FROM _fortress.primaries ORDER BY number DESC LIMIT 1',
    'SELECT 0 AS number, NULL AS server');
EXECUTE IMMEDIATE @primary;
SET @members = IF((SELECT COUNT(*) FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'wsrep_cluster_members') > 0,
    'SELECT node_name AS name FROM mysql.wsrep_cluster_members WHERE node_incoming_address <> ""',
    'SELECT NULL AS name');
EXECUTE IMMEDIATE @members;
SELECT @@global.read_only AS read_only, @@global.gtid_current_pos AS position, @@global.gtid_binlog_pos AS binlog,
    @@global.wsrep_on AS wsrep_on,
    (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN
        ('mysql', 'sys', 'information_schema', 'performance_schema', '_fortress')) AS own_tables;
SHOW GLOBAL STATUS WHERE Variable_name IN
    ('Rpl_semi_sync_master_status', 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_slave_status',
    'wsrep_cluster_status', 'wsrep_cluster_state_uuid', 'wsrep_cluster_size', 'wsrep_local_state_comment',
    'wsrep_ready', 'wsrep_last_committed', 'wsrep_local_recv_queue', 'wsrep_flow_control_paused_ns');
SHOW ALL SLAVES STATUS;
"""
TABLE = """
SET SESSION sql_log_bin = 1;
CREATE DATABASE IF NOT EXISTS _fortress CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS _fortress.primaries (number BIGINT UNSIGNED PRIMARY KEY, server VARCHAR(255) NOT NULL,
    since TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE InnoDB CHARACTER SET ascii COLLATE ascii_bin;
CREATE TABLE IF NOT EXISTS _fortress.heartbeat (one TINYINT UNSIGNED PRIMARY KEY, at TIMESTAMP(6) NOT NULL)
    ENGINE InnoDB;
"""
ROW = "INSERT INTO _fortress.primaries (number, server) VALUES ({}, {});"
HEARTBEAT = "SET SESSION sql_log_bin = 1; REPLACE INTO _fortress.heartbeat VALUES (1, NOW(6));"
RELOAD = """
SET @reload = IF((SELECT COUNT(*) FROM information_schema.GLOBAL_VARIABLES
    WHERE VARIABLE_NAME = 'wsrep_provider_socket_ssl_reload') > 0,
    'SET GLOBAL wsrep_provider_socket_ssl_reload = ON',
    'SET GLOBAL wsrep_provider_options = "socket.ssl_reload=1"');
EXECUTE IMMEDIATE @reload;
"""
"""Newer servers have a variable of its own for each of Galera's options, and then do not take them together."""
READ_ONLY = "SET SESSION wsrep_on = OFF; SET GLOBAL read_only = ON;"
"""Without it Galera itself would stop for the moment that this takes."""
DIVERGED = {"1236", "1945", "1950"}
"""Of MariaDB's errors: the position is not in the primary's binary log, cannot be applied after what is here, or is
out of order there."""


def quoted(text: str) -> str:
    """A string of SQL, of what holds no control characters."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def sql(statements: str, seconds: float = 10.0) -> list[list[dict[str, str]]]:
    """Run SQL as this process's account by the unix socket; the rows of each result.

    Raises:
        RoleError: the server does not answer in time, or refuses.
    """
    words = ["mariadb", "--no-defaults", "--protocol=socket", f"--socket={SOCKET}", "--connect-timeout=3", "--xml"]
    account = "root" if os.geteuid() == 0 else "mysql"
    try:
        done = subprocess.run(
            [*words, f"--user={account}", "--default-character-set=utf8mb4"],
            input=f"SET SESSION sql_mode = '', sql_log_bin = 0;\n{statements}",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RoleError(f"MariaDB gave no answer within {seconds:g} s") from None
    if done.returncode != 0:
        raise RoleError(" ".join(done.stderr.split()) or "mariadb failed")
    found = []
    for part in done.stdout.split('<?xml version="1.0"?>')[1:]:
        root = ElementTree.fromstring(re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "?", part))  # noqa: S314 - our server's
        found.append([{str(f.get("name")): f.text or "" for f in row.iter("field")} for row in root.iter("row")])
    return found


def look(me: str) -> ServerState:
    """This host's server."""
    seeding = SEEDING.exists()
    try:
        (primary,), members, (known,), status, sources = sql(LOOK)
    except (RoleError, ValueError, ElementTree.ParseError) as error:
        member = Membership() if JOINED.exists() else None
        return ServerState(me, seeding=seeding, member=member, trouble=f"MariaDB: {error}")
    flags = {str(row["Variable_name"]).lower(): row["Value"] for row in status}
    return ServerState(
        server=me,
        number=int(primary["number"] or 0),
        primary=primary["server"] or None,
        read_only=known["read_only"] != "0",
        position=str(known["position"]),
        binlog=str(known["binlog"]),
        own_tables=int(known["own_tables"] or 0),
        semi_sync=flags.get("rpl_semi_sync_master_status") == "ON",
        semi_sync_copies=int(flags.get("rpl_semi_sync_master_clients") or 0),
        source=_source(sources[0]) if sources else None,
        # It may be on without Galera, where the file that named that is gone: then it says nothing of a cluster.
        member=_member(flags, members) if known["wsrep_on"] != "0" and "wsrep_local_state_comment" in flags else None,
        seeding=seeding,
    )


def _member(flags: Mapping[str, str], members: list[dict[str, str]]) -> Membership:
    return Membership(
        status=flags["wsrep_cluster_status"],
        state=flags["wsrep_local_state_comment"],
        ready=flags["wsrep_ready"] == "ON",
        size=int(flags["wsrep_cluster_size"]),
        members=tuple(sorted(row["name"] for row in members if row["name"])),
        cluster=flags["wsrep_cluster_state_uuid"],
        committed=int(flags["wsrep_last_committed"]),
        queue=int(flags["wsrep_local_recv_queue"]),
        paused_ns=int(flags["wsrep_flow_control_paused_ns"]),
    )


def _source(row: Mapping[str, str]) -> ReplicationSource:
    return ReplicationSource(
        address=str(row["Master_Host"]),
        receiving=row["Slave_IO_Running"] == "Yes",
        applying=row["Slave_SQL_Running"] == "Yes",
        error=" ".join(f"{row['Last_IO_Error'] or ''} {row['Last_SQL_Error'] or ''}".split()),
        received=str(row["Gtid_IO_Pos"] or ""),
        diverged=bool(DIVERGED & {row["Last_IO_Errno"], row["Last_SQL_Errno"]}),
        waiting=str(row["Slave_SQL_Running_State"]).startswith("Slave has read all relay log"),
    )


def follow(config: ServerList, primary: str) -> None:
    """Copy another server from here on. What this one wrote itself as a primary counts as its position.

    Raises:
        RoleError: the server refuses, or the password cannot be read.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        password = (Path(folder) / "replication-password" if folder else PASSWORD).read_text().removesuffix("\n")
    except OSError as error:
        raise RoleError(f"the replication password cannot be read ({error.strerror})") from None
    sql(f"""
        STOP ALL SLAVES;
        SET GLOBAL rpl_semi_sync_master_enabled = OFF;
        CHANGE MASTER TO MASTER_HOST = {quoted(config.servers[primary])}, MASTER_PORT = {config.database_port},
            MASTER_USER = {quoted(USER)}, MASTER_PASSWORD = {quoted(password)}, MASTER_CONNECT_RETRY = 2,
            MASTER_HEARTBEAT_PERIOD = 5, MASTER_SSL = 1, MASTER_SSL_CA = {quoted(str(CA))},
            MASTER_SSL_VERIFY_SERVER_CERT = 1, MASTER_USE_GTID = slave_pos, MASTER_DEMOTE_TO_SLAVE = 1;
        START SLAVE;
    """)


def hand_on(number: int, server: str) -> None:
    """In a cluster: name who takes the writes from here on, after all that came before.

    Raises:
        RoleError: another member was faster, or the majority is lost.
    """
    sql(f"SET SESSION sql_log_bin = 1; {ROW.format(number, quoted(server))}", HAND_OVER_S)


def lift() -> None:
    """Take writes, each of which waits for a copy from the first on: only the primary's do, or a copy would wait for
    one of its own with each transaction that it applies.

    Raises:
        RoleError: the server refuses.
    """
    sql(
        "STOP ALL SLAVES; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_master_enabled = ON; SET GLOBAL read_only = OFF;",
        APPLY_S,
    )


def read_authorities() -> None:
    """Have Galera read again whom it trusts: a push of these restarts the service."""
    try:
        found = sql("SHOW GLOBAL STATUS LIKE 'wsrep_connected';")
        if found and found[0] and found[0][0]["Value"] == "ON":
            sql(RELOAD)
    except RoleError as error:
        print(f"Galera reads its authorities when MariaDB starts: {error}", flush=True)


def hash_of(password: bytes) -> str:
    """As mysql_native_password keeps it."""
    return "*" + hashlib.sha1(hashlib.sha1(password).digest()).hexdigest().upper()  # noqa: S324 - MariaDB's own


def ensure_account(config: ServerList) -> None:
    """The account by which the others copy from here: it may read the binary log, over TLS, and nothing else.

    Made on each server, and not in the binary log, so that all have it with today's password before anyone needs it.
    """
    account = f"{quoted(USER)}@{quoted(config.clients)}"
    hashed = hash_of(PASSWORD.read_bytes().removesuffix(b"\n"))
    secret = f"IDENTIFIED VIA mysql_native_password USING '{hashed}' REQUIRE SSL"
    (found,) = sql(f"SELECT Host FROM mysql.global_priv WHERE User = {quoted(USER)};")
    others = "".join(
        f"DROP USER {quoted(USER)}@{quoted(row['Host'])};" for row in found if row["Host"] != config.clients
    )
    sql(f"""
        CREATE USER IF NOT EXISTS {account} {secret};
        ALTER USER {account} {secret};
        REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account};
        GRANT REPLICATION SLAVE ON *.* TO {account};
        {others}
    """)
