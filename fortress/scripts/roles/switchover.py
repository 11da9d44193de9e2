"""Another server takes the writes: handed over as planned, or promoted since the primary is lost."""

from __future__ import annotations

import time

from .host import RoleError, ServerList, one_at_a_time, until
from .others import ask, ask_all
from .server import APPLY_S, HAND_OVER_S, READ_ONLY, ROW, hand_on, lift, look, quoted, sql
from .states import SYNCED, ServerState, ahead


def hand_over(config: ServerList, to: str) -> None:
    """Let another server take the writes, once it has every transaction that this one acknowledged.

    Raises:
        RoleError: it cannot be; this server takes writes then as before, unless the text says something else.
    """
    if to not in config.others:
        raise RoleError(f"{to!r} is none of the other servers: {', '.join(config.others)}")
    with one_at_a_time():
        own = look(config.me)
        if own.trouble or own.primary != config.me or own.read_only:
            raise RoleError(f"{config.me} does not take the writes now: {own.trouble or own.primary}")
        started = time.monotonic()
        if own.member is not None:
            hand_over_in_cluster(config, own, to)
            return
        try:
            sql(f"SET SESSION lock_wait_timeout = {int(HAND_OVER_S)}; SET GLOBAL read_only = ON;", HAND_OVER_S + 5)
            last = look(config.me).binlog

            def behind() -> str:
                state = ask(config, to)
                if isinstance(state, str) or state.trouble:
                    return state if isinstance(state, str) else state.trouble
                return f"it has {state.position} of {last}" if ahead(last, state.position) else ""

            until(HAND_OVER_S, behind, f"{to} did not catch up")
            sql(f"SET SESSION sql_log_bin = 1; {ROW.format(own.number + 1, quoted(to))}", HAND_OVER_S)
        except RoleError:
            # Whether the row is there decides, not whether its writer heard of it.
            if look(config.me).number == own.number:
                sql("SET GLOBAL read_only = OFF;")
            raise
        print(f"read-only at {last}; {to} has all of it", flush=True)
    wait_until_taken(config, to, started)


def wait_until_taken(config: ServerList, to: str, started: float) -> None:
    """Wait until another server takes the writes, which this one gave up when its monotonic clock was at `started`.

    Raises:
        RoleError: it does not within HAND_OVER_S.
    """

    def taken() -> str:
        state = ask(config, to)
        return "" if isinstance(state, ServerState) and not state.read_only else "it is still read-only"

    until(HAND_OVER_S, taken, f"{to} did not take the writes, and {config.me} gave them up")
    print(f"{to} takes the writes, {time.monotonic() - started:.1f} s after {config.me} became read-only", flush=True)


def hand_over_in_cluster(config: ServerList, own: ServerState, to: str) -> None:
    """The same in a cluster: whoever has applied the row has all that came before it.

    Raises:
        RoleError: it cannot be; this server takes writes then as before, unless the text says something else.
    """
    state = ask(config, to)
    if isinstance(state, str) or state.member is None or state.member.state != SYNCED:
        raise RoleError(f"{to} is not Synced: {state if isinstance(state, str) else state.trouble or state.member}")
    started = time.monotonic()
    try:
        sql(f"SET SESSION lock_wait_timeout = {int(HAND_OVER_S)}; {READ_ONLY}", HAND_OVER_S + 5)
        hand_on(own.number + 1, to)
    except RoleError:
        # Whether the row is there decides, not whether its writer heard of it.
        if look(config.me).number == own.number:
            sql("SET GLOBAL read_only = OFF;")
        raise
    print(f"{config.me} is read-only; {to} is named after its last commit", flush=True)
    wait_until_taken(config, to, started)


def promote(config: ServerList) -> None:
    """Take the writes, with all that arrived here.

    Raises:
        RoleError: another server takes them, or has more.
    """
    if config.cluster:
        raise RoleError("a cluster's members agree on it themselves; where the majority is lost: fortress recover")
    others = {name: state for name, state in ask_all(config).items() if isinstance(state, ServerState)}
    with one_at_a_time():
        own = look(config.me)
        if own.trouble:
            raise RoleError(own.trouble)
        if own.seeding or own.number == 0:
            raise RoleError(f"{config.me} has no whole copy of the data")
        for name, state in others.items():
            if not state.trouble and not state.read_only:
                raise RoleError(f"{name} takes the writes: use `fortress switchover`")
        if own.source is not None:
            sql("STOP SLAVE IO_THREAD;", 60)

            def applying() -> str:
                now = look(config.me)
                if now.source is None or (now.source.waiting and not ahead(now.source.received, now.position)):
                    return ""
                if not now.source.applying and ahead(now.source.received, now.position):
                    why = now.source.error or "its SQL thread was stopped; START SLAVE SQL_THREAD"
                    raise RoleError(f"transactions that arrived, up to {now.source.received}, are not applied: {why}")
                return "" if not now.source.applying else "transactions that arrived are still being applied"

            until(APPLY_S, applying, "could not apply all that arrived")
        own = look(config.me)
        for name, state in others.items():
            if not state.seeding and ahead(state.position, own.position):
                raise RoleError(f"{name} has more ({state.position}, here {own.position}): promote {name}")
        number = max([own.number, *(state.number for state in others.values() if not state.seeding)])
        if not (own.number == number and own.primary == config.me):
            number += 1
            sql(f"SET SESSION sql_log_bin = 1; {ROW.format(number, quoted(config.me))}")
        lift()
    print(f"{config.me} takes the writes as number {number}, from {own.position} on")
