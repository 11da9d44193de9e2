"""Who takes the writes: what a server does about its role, from what it knows of itself and of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .states import SYNCED, ServerState, ahead

DESYNCED_S = 10.0
"""How long a member that takes the writes may give data to another one before it lets a third one take them: what was
missed takes less, and all data take longer."""


@dataclass(frozen=True)
class Decision:
    """What the service does now: `lift` read_only, `drop` to read-only, `follow` a server, or `keep` what there is. In
    a cluster it may `take` the writes from one that left, or `yield` them to another one."""

    do: str
    why: str
    server: str = ""


def decide(
    me: str, own: ServerState, others: Mapping[str, ServerState | str], addresses: Mapping[str, str]
) -> Decision:
    """What a server does about its role. `others` has a text in place of a state where one does not answer."""
    answered = [state for state in others.values() if isinstance(state, ServerState) and not state.trouble]
    silent = [
        f"{name} does not answer ({state if isinstance(state, str) else state.trouble})"
        for name, state in others.items()
        if isinstance(state, str) or state.trouble
    ]
    trusted = [state for state in (own, *answered) if not state.seeding]
    number = max((state.number for state in trusted), default=0)
    claims = {state.primary for state in trusted if state.number == number}
    to_read_only = "keep" if own.read_only else "drop"
    if own.seeding:
        return Decision("keep", "its data are being replaced by a copy of the primary's")
    if number == 0:
        return Decision(to_read_only, "takes no part yet: `pulumi up` lets it join")
    if len(claims) > 1:
        named = " and ".join(sorted(str(claim) for claim in claims))
        return Decision(to_read_only, f"{named} were both made primary (number {number}): promote one of them")
    (primary,) = claims
    if primary != me:
        if not own.read_only:
            return Decision("drop", f"{primary} takes the writes since number {number}", str(primary))
        if primary not in addresses:
            return Decision("keep", f"the primary, {primary}, is none of the servers any more: promote one of them")
        if own.number == 0:
            return Decision("keep", "takes no part yet: `pulumi up` lets it join")
        if own.source is None or own.source.address != addresses[str(primary)]:
            return Decision("follow", f"{primary} takes the writes since number {number}", str(primary))
        return Decision("keep", f"follows {primary}", str(primary))
    if own.number < number:
        return Decision(
            to_read_only,
            f"its data are older than number {number}, which another server knows of: promote that one instead",
        )
    if not own.read_only:
        return Decision("keep", "takes the writes")
    if silent:
        return Decision(
            "keep", f"stays read-only until it knows that no other server was promoted: {'; '.join(silent)}"
        )
    behind = [state.server for state in answered if not state.seeding and ahead(state.position, own.position)]
    if behind:
        return Decision("keep", f"stays read-only: {', '.join(behind)} has transactions that are missing here")
    return Decision("lift", f"is the primary, number {number}, and no other server knows of a newer one")


def decide_member(
    me: str, own: ServerState, others: Mapping[str, ServerState | str], desynced_s: float = 0.0
) -> Decision:
    """The same in a Galera cluster, in whose majority all know the same rows. `desynced_s` says since when this server
    has not been Synced.

    Only who is in it can commit, so one that left is replaced at once. Two that would do so at the same time write the
    same number, and the cluster takes one of them.
    """
    to_read_only = "keep" if own.read_only else "drop"
    member = own.member
    if member is None or own.number == 0:
        return Decision(to_read_only, "takes no part yet: `pulumi up` lets it join")
    if not member.stands:
        said = f"{member.status or 'not connected'}, {member.state or 'no state'}"
        return Decision(to_read_only, f"is not in the majority of the cluster ({said})")
    states = [own, *(state for state in others.values() if isinstance(state, ServerState) and not state.trouble)]
    synced = sorted(
        state.server
        for state in states
        if state.member is not None and state.member.stands and state.member.state == SYNCED
        if state.server in member.members
    )
    if own.primary == me:
        better = [name for name in synced if name != me]
        if member.state != SYNCED and better and desynced_s > DESYNCED_S:
            return Decision("yield", f"is {member.state} while {better[0]} is Synced", better[0])
        return Decision("lift" if own.read_only else "keep", "takes the writes")
    if not own.read_only:
        return Decision("drop", f"{own.primary} takes the writes since number {own.number}")
    if own.primary in member.members:
        return Decision("keep", f"is a member; {own.primary} takes the writes", str(own.primary))
    successor = synced[0] if synced else me
    if successor != me:
        return Decision("keep", f"{own.primary} left the cluster, so {successor} is to take the writes", successor)
    return Decision("take", f"{own.primary} left the cluster")
