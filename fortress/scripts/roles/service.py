"""The service: looks at all servers twice a second, and acts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import replace

from .decisions import Decision, decide, decide_member
from .host import RoleError, ServerList, one_at_a_time
from .others import FRESH_S, ask_all
from .server import APPLY_S, HEARTBEAT, READ_ONLY, follow, hand_on, lift, look, sql
from .states import SYNCED, PrimarySeen, ServerReport, ServerState, ahead

EVERY_S = 0.5
FLOW_S = 60.0
"""Over how long the share of time is told in which the cluster waited for its slowest member."""


class Service:
    """Looks twice a second, acts, and tells who asks."""

    def __init__(self, config: ServerList) -> None:
        self.config = config
        self.own = ServerState(config.me, trouble="not asked yet")
        self.others: dict[str, ServerState | str] = dict.fromkeys(config.others, "not asked yet")
        self.decision = Decision("keep", "has just started")
        self.looked = self.asked = self.asked_others = 0.0
        self.seen: tuple[float, ServerState] | None = None
        """The primary as this copy saw it last, and when."""
        self.marks: deque[tuple[float, float, str]] = deque(maxlen=7200)
        """When the primary was seen where, and when it was about to be asked: what a copy's lag is told from, by the
        copy's own clock. Each commit so is a beat of its own; a table of beats would cost a commit a second, in every
        binary log and backup, and two clocks that agree. The server's own figure is NULL without a thread, and 0 while
        the network stalls."""
        self.applied: tuple[float, float] | None = None
        """When the primary was seen where this copy is, and was about to be asked; None before one is known."""
        self.synced = time.monotonic()
        """When this member was seen Synced last."""
        self.flow: deque[tuple[float, int]] = deque(maxlen=240)
        """How long the cluster was paused in all, and when."""
        self.sending = threading.Lock()
        self.waking = threading.Lock()

    def step(self) -> None:
        """One look, and what follows from it."""
        self.asked_others = time.monotonic()
        others = ask_all(self.config)
        with contextlib.suppress(RoleError), one_at_a_time(5.0):
            # Under the lock, since a hand-over may have begun meanwhile.
            asked = time.monotonic()
            own = look(self.config.me)
            self.own, self.others = own, others
            # After it: whoever asks meanwhile in another thread gets an older answer and its own age.
            self.asked = asked
            if own.trouble:
                self.decision = Decision("keep", own.trouble)
            else:
                self.decision = (
                    decide_member(self.config.me, own, others, self.desynced_s())
                    if self.config.cluster
                    else decide(self.config.me, own, others, self.config.servers)
                )
                self.act()
            self.looked = time.monotonic()
        self.note()
        if self.takes_writes() and self.own.member is None and not self.own.semi_sync and self.own.semi_sync_copies:
            threading.Thread(target=self.wake, daemon=True).start()

    def desynced_s(self) -> float:
        """Since when this member has not been Synced."""
        now = time.monotonic()
        if self.own.member is None or self.own.member.state == SYNCED:
            self.synced = now
        return now - self.synced

    def wake(self) -> None:
        """Commit something: semi-sync that went off comes back with a commit that a copy acknowledges, and no sooner.

        In a thread of its own, since that commit may have to wait for the copy.
        """
        if self.waking.acquire(blocking=False):
            try:
                sql(HEARTBEAT, 30)
            except RoleError as error:
                print(f"no heartbeat: {error}", flush=True)
            finally:
                self.waking.release()

    def act(self) -> None:
        """Do what was decided; a failure is said in its reason, and tried again by the next step."""
        try:
            match self.decision.do:
                case "lift" if self.config.cluster:
                    sql("SET GLOBAL read_only = OFF;", APPLY_S)
                case "lift":
                    lift()
                case "take":
                    hand_on(self.own.number + 1, self.config.me)
                    sql("SET GLOBAL read_only = OFF;", APPLY_S)
                case "yield":
                    sql(READ_ONLY, APPLY_S)
                    hand_on(self.own.number + 1, self.decision.server)
                case "drop":
                    sql(READ_ONLY, APPLY_S)
                case "follow":
                    follow(self.config, self.decision.server)
                case _:
                    return
            print(f"{self.decision.do}: {self.decision.why}", flush=True)
            self.own = look(self.config.me)
        except RoleError as error:
            self.decision = replace(self.decision, why=f"{self.decision.why}; {error}")

    def note(self) -> None:
        """Where the primary is now, and how far this copy has come; in a cluster, how long it was paused."""
        now = time.monotonic()
        if self.config.cluster:
            if self.own.member is not None and not self.own.trouble:
                self.flow.append((now, self.own.member.paused_ns))
            while self.flow and now - self.flow[0][0] > FLOW_S:
                self.flow.popleft()
            return
        primary = self.others.get(self.own.primary or "")
        if isinstance(primary, ServerState) and not primary.trouble and not primary.read_only:
            self.seen = now, primary
            self.marks.append((now, self.asked_others - primary.age_s, primary.binlog))
        while self.marks and not ahead(self.marks[0][2], self.own.position):
            self.applied = self.marks.popleft()[:2]

    def report(self) -> ServerReport:
        """What is known."""
        now = time.monotonic()
        asked, own = self.asked, self.own  # in this order, for a step that ends in between
        copies = own.source is not None and bool(own.primary) and not own.trouble
        paused = None
        if len(self.flow) > 1 and (took := self.flow[-1][0] - self.flow[0][0]) > 0:
            # A restart begins to count anew.
            paused = round(max(self.flow[-1][1] - self.flow[0][1], 0) / 1e9 / took, 4)
        seen = None
        if self.seen is not None:
            when, primary = self.seen
            seen = PrimarySeen(round(now - when, 3), primary.binlog, primary.semi_sync)
        lag, lacks = self.applied if copies and self.applied is not None else (None, None)
        return ServerReport(
            replace(own, age_s=round(now - asked, 3)),
            age_s=round(now - self.looked, 3),
            takes_writes=self.takes_writes(),
            why=self.decision.why,
            lag_s=None if lag is None else round(now - lag, 3),
            lacks_s=None if lacks is None else round(now - lacks, 3),
            primary_seen=seen,
            votes=self.config.votes,
            flow_paused=paused,
            others={name: other if isinstance(other, str) else "answers" for name, other in self.others.items()},
        )

    def takes_writes(self) -> bool:
        """Whether clients are sent here."""
        fresh = time.monotonic() - self.looked < FRESH_S
        if self.config.cluster and not (self.own.member is not None and self.own.member.stands):
            return False
        return fresh and not self.own.trouble and not self.own.read_only and self.own.primary == self.config.me
