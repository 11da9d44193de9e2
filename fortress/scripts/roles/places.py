"""Whether this server is at its place, and may leave it for a restart."""

from __future__ import annotations

from .host import JOINED, SETTLE_S, RoleError, ServerList, running, until
from .others import FRESH_S, ask_all, own_report
from .server import look
from .states import SYNCED, ServerReport
from .switchover import hand_over


def place(config: ServerList) -> str:
    """Why this server is not at its place: takes the writes, or follows who does and has all of it."""
    found = own_report(config)
    if trouble := found.service or found.own.trouble:
        return trouble
    if config.cluster:
        return place_in_cluster(found)
    if found.takes_writes:
        return ""
    source = found.own.source
    if source is None:
        return found.why
    if source.diverged:
        raise RoleError(f"its data do not continue into the primary's, see `fortress reseed`: {source.error}")
    if source.error:
        return source.error
    if not (source.receiving and source.applying):
        return f"it does not receive yet from {source.address}"
    if found.lag_s is None:
        return "how far it is behind is not known yet"
    return "" if found.lag_s < FRESH_S else f"it is {found.lag_s} s behind"


def place_in_cluster(found: ServerReport) -> str:
    """The same of a member: it is in the majority, has all, and somebody there takes the writes."""
    member = found.own.member
    if member is None or not member.stands:
        return found.why
    if member.state != SYNCED and not found.takes_writes:
        return f"it is {member.state}"
    return "" if found.takes_writes or found.own.primary in member.members else found.why


def role(config: ServerList) -> str:
    """What this server is now, in a word, and why where it is nothing."""
    if own_report(config).takes_writes:
        return "primary"
    try:
        why = place(config)
    except RoleError as error:
        why = str(error)
    return f"none {' '.join(why.split())}" if why else "copy"


def settled(config: ServerList) -> None:
    """Wait until this server has its place again; one that takes no part yet has none."""
    own = look(config.me)
    if (not own.trouble and own.number == 0) or (config.cluster and not JOINED.exists()):
        return
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come back to its place")


def may_restart(config: ServerList, turn: str) -> None:
    """Whether this server may restart at its turn: first, as a copy, or last, as the one that takes the writes.

    In a cluster the turn does not matter: one that takes the writes hands them over.

    Raises:
        RoleError: it takes the writes, and the settings have another server restart last; or another member of the
            cluster is not at its place, so that the majority would be at stake.
    """
    if config.cluster:
        if JOINED.exists() and running().endswith((", running", ", start")):
            until(SETTLE_S, lambda: others_stand(config), f"{config.me} must not restart")
            own = look(config.me)
            if config.others and own.primary == config.me and not own.read_only:
                # Clients lose a moment so, and a statement or two where they must find out by themselves.
                hand_over(config, min(config.others))
        return
    if turn == "first" and own_report(config).takes_writes:
        raise RoleError(
            f"{config.me} takes the writes now, and would restart before the copies: set database.primary: {config.me}"
        )


def others_stand(config: ServerList) -> str:
    """Why a member must not restart now: it or another one is not at its place."""
    own = look(config.me)
    if own.trouble or own.member is None or not own.member.stands:
        return f"{config.me} is not in the majority of the cluster itself ({own.trouble or 'see fortress verify'})"
    if own.member.size == 1:
        return f"{config.me} is the only vote that is left, so nobody could go on, nor let it come back"
    for name, state in ask_all(config).items():
        if isinstance(state, str):
            return f"{name} does not answer ({state}); if it is lost, set it as gone"
        if state.member is None and not state.trouble:
            continue  # it has not joined yet
        if state.trouble or state.member is None or not state.member.stands or state.member.state != SYNCED:
            return f"{name} is not Synced ({state.trouble or (state.member and state.member.state) or 'no member'})"
    return ""
