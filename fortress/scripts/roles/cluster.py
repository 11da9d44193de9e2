"""Members of a Galera cluster: how it begins, how one joins, and how it begins again."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time

from .host import DATA, JOIN_S, JOINED, SETTLE_S, RoleError, ServerList, one_at_a_time, run, running, sync, until
from .others import ask_all
from .places import place
from .server import APPLY_S, ROW, TABLE, look, quoted, sql
from .states import ServerState, ahead

BEGINNING = DATA / ".fortress-beginning"
"""While it is there, this member was to begin the cluster, and it is not known whether it did."""
SAVED = DATA / "grastate.dat"
PATIENCE_S = 10.0
STOP_S = 900.0
"""How long MariaDB may take to write what it has in memory, as its unit has it."""


def join(config: ServerList, *, first: bool) -> None:
    """Become a member: as the one that begins the cluster, or with the data of one that stands.

    A second cluster is never begun: not while another server does not answer, and not where one was a member.

    Raises:
        RoleError: neither comes about in time, or the server has data of its own.
    """
    if BEGINNING.exists() and not JOINED.exists():
        BEGINNING.unlink()

    def part() -> str:
        own = look(config.me)
        if own.member is not None and own.member.stands:
            BEGINNING.unlink(missing_ok=True)
            return ""
        if own.trouble and not JOINED.exists():
            return own.trouble
        others = ask_all(config)
        states = [state for state in others.values() if isinstance(state, ServerState)]
        standing = [state for state in states if state.member is not None and state.member.stands]
        if standing:
            enter(config, own, standing)
            return ""
        silent = [f"{name} does not answer ({state})" for name, state in others.items() if isinstance(state, str)]
        members = [state.server for state in states if state.member is not None]
        if JOINED.exists() and not BEGINNING.exists():
            return f"{config.me} is a member of a cluster that has lost its majority: see `fortress recover`"
        if members:
            raise RoleError(
                f"{', '.join(members)} had joined a cluster, which has no majority now, so no other one is begun: see "
                "`fortress recover`"
            )
        if not first:
            return "; ".join(["no member stands yet", *silent])
        if silent:
            return "; ".join(silent)
        if own.primary not in (None, config.me):
            raise RoleError(f"{own.primary} takes the writes: set database.primary: {own.primary}")
        for state in states:
            if state.own_tables and not own.own_tables and own.number == 0:
                raise RoleError(
                    f"{state.server} has tables and {config.me} has none: name {state.server} as database.primary"
                )
        newer = [state.server for state in states if state.number > own.number]
        if newer:
            raise RoleError(f"{newer[0]} has newer data than {config.me}: name it as database.primary")
        begin_first(config, own)
        return ""

    until(SETTLE_S, lambda: "" if JOINED.exists() else look(config.me).trouble, "MariaDB does not answer")
    until(JOIN_S, part, f"{config.me} could not join")
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")


def begin_first(config: ServerList, own: ServerState) -> None:
    """Begin the cluster with the data of this server, for the first time.

    Raises:
        RoleError: MariaDB refuses it.
    """
    if not JOINED.exists():
        with one_at_a_time():
            # Before it is one, since a cluster has no semi-sync and follows nobody.
            sql("STOP ALL SLAVES; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_master_enabled = OFF;", APPLY_S)
            if own.number == 0:
                sql(f"{TABLE} {ROW.format(1, quoted(config.me))}")
        BEGINNING.touch()
        sync(DATA)
    begin()
    BEGINNING.unlink()
    sync(DATA)
    print(f"{config.me} has begun the cluster")


def begin() -> None:
    """Start MariaDB as the first member of a cluster, whatever it says of being safe for that.

    Raises:
        RoleError: it does not come up.
    """
    stop()
    set_joined()
    if SAVED.exists():
        saved = re.sub(r"(?m)^safe_to_bootstrap: .*$", "safe_to_bootstrap: 1", SAVED.read_text())
        SAVED.write_text(saved)
    run("galera_new_cluster")


def begin_again(config: ServerList) -> None:
    """Begin a cluster that lost its majority with the data of this member, which is the one that has most.

    Raises:
        RoleError: a member stands, or this one never was a member.
    """
    if not (config.cluster and JOINED.exists()):
        raise RoleError(f"{config.me} never was a member of a cluster")
    for name, state in ask_all(config).items():
        if isinstance(state, ServerState) and state.member is not None and state.member.stands:
            raise RoleError(f"{name} is in a majority, so there is a cluster: start mariadb here to join it")
    begin()
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")
    print(f"{config.me} has begun the cluster again, with all up to {look(config.me).position}")


def enter(config: ServerList, own: ServerState, standing: list[ServerState]) -> None:
    """Become a member of a cluster that stands, or come back to it: it gives what is missing, or all.

    Raises:
        RoleError: there are data of its own that the cluster lacks, or it does not come up.
    """
    if not JOINED.exists():
        if own.number == 0 and own.own_tables:
            raise RoleError(
                f"{config.me} has {own.own_tables} tables of its own, which those of the cluster would replace: move "
                "them away, or throw them away: database_role.py reseed"
            )
        known = saved()[0] in {state.member.cluster for state in standing if state.member}
        if own.number > 0 and not known:
            # A copy has had what the others told a moment ago, and more: it stops, and they are asked once more.
            sql("STOP ALL SLAVES;", APPLY_S)
            position = look(config.me).position

            def lacking() -> str:
                now = [
                    state for state in ask_all(config).values() if isinstance(state, ServerState) and not state.trouble
                ]
                there = [state for state in now if state.member is not None and state.member.stands]
                if any(not ahead(position, state.position) for state in there):
                    return ""
                found = "; ".join(f"{state.server} is at {state.position}" for state in there) or "no member answers"
                return f"it is at {position}, {found}"

            cure = "move its data away, or throw them away: database_role.py reseed"
            until(PATIENCE_S, lacking, f"{config.me} has what no member has, and would lose it ({cure}); none had it")
        sql("STOP ALL SLAVES; RESET SLAVE ALL;", APPLY_S)
    started = time.monotonic()
    set_joined()
    run("systemctl", "reset-failed", "mariadb", fails=True)
    # It says that it is up only once it has all data.
    run("systemctl", "restart", "mariadb")
    print(f"{config.me} joined the cluster in {time.monotonic() - started:.0f} s")


def reseed(config: ServerList) -> None:
    """Throw this member's data away for those of one that stands.

    Raises:
        RoleError: none does, or this one takes the writes.
    """
    standing = [s for s in ask_all(config).values() if isinstance(s, ServerState) and s.member and s.member.stands]
    own = look(config.me)
    if not standing or (own.member is not None and own.member.stands and own.primary == config.me):
        raise RoleError("no other member stands, or this one takes the writes, so there is nothing to copy")
    stop()
    SAVED.unlink(missing_ok=True)
    set_joined()
    enter(config, own, standing)
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")


def set_joined() -> None:
    """From now on MariaDB starts as a member."""
    if not JOINED.exists():
        new = JOINED.with_suffix(".new")
        new.write_text(
            "# Written by fortress-database-role: this server is a member of the cluster, and starts as one.\n\n"
            "[mariadbd]\nwsrep_on = ON\n"
        )
        new.chmod(0o644)
        new.rename(JOINED)
        sync(JOINED.parent)


def stop() -> None:
    """Stop MariaDB, one that waits for a majority too: it heeds no signal, and has begun nothing that could be lost.

    Raises:
        RoleError: it does not stop.
    """
    answers = not look("").trouble
    run("systemctl", "stop", "--no-block", "mariadb")
    if not answers:
        with contextlib.suppress(RoleError):
            until(PATIENCE_S, running, "MariaDB waits")
        run("systemctl", "kill", "--signal=KILL", "mariadb", fails=True)
    until(STOP_S, running, "MariaDB did not stop")
    run("systemctl", "reset-failed", "mariadb", fails=True)


def saved() -> tuple[str, int, bool]:
    """What a member's own file says of its data: of which cluster, up to which number, and whether it may begin one."""
    try:
        found = dict(re.findall(r"(?m)^(uuid|seqno|safe_to_bootstrap):\s*(\S+)", SAVED.read_text()))
    except OSError:
        return "", -1, False
    return found.get("uuid", ""), int(found.get("seqno", "-1")), found.get("safe_to_bootstrap") == "1"


def print_saved(config: ServerList) -> None:
    """What the data of a member that is in no majority are worth. MariaDB is stopped for it, since only it can tell.

    Raises:
        RoleError: it is in the majority, or its data cannot be read.
    """
    own = look(config.me)
    if own.member is not None and own.member.stands:
        raise RoleError(f"{config.me} is in the majority of the cluster: there is nothing to recover")
    uuid, number, safe = saved()
    if JOINED.exists() and SAVED.exists():
        stop()
        words = ["runuser", "-u", "mysql", "--", "galera_recovery"]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        found = re.search(r"start_position=([0-9a-f-]{36}):(-?[0-9]+)", done.stdout)
        if found is None:
            raise RoleError(f"its data cannot be read: {done.stderr.strip()[-800:]}")
        uuid, number = found[1], int(found[2])
    print(json.dumps({"server": config.me, "cluster": uuid, "committed": number, "safe_to_bootstrap": safe}))
