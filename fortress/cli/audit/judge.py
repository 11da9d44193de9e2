"""The rules over an exported state."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from fortress.cli.engine import run as engine
from fortress.cli.engine.evidence import evidence
from fortress.sovereignty import evaluate
from fortress.sovereignty.evaluate import Verdict
from fortress.sovereignty.finding import Outcome


@dataclass(frozen=True)
class Audit:
    """What the rules find in a state."""

    stack: str
    verdicts: tuple[Verdict, ...]
    judged: datetime
    state_sha256: str
    """Of what `pulumi stack export` printed, byte for byte."""


def judge(stack: str, text: str, now: datetime | None = None) -> Audit:
    """Hold a stack's state, as `pulumi stack export` printed it, against the rules, as of now.

    Raises:
        CannotAskError: it is no state of a stack that is up, or it has nothing for the rules, or another version's.
    """
    now = now or datetime.now(UTC)
    known = evidence(stack, engine.read_export(text, stack), now)
    return Audit(stack, tuple(evaluate.evaluate(known)), now, hashlib.sha256(text.encode()).hexdigest())


def exit_status(audit: Audit) -> int:
    """0 when all rules hold, 1 when what is found would stop a run, 2 when only something could not be evaluated."""
    found = evaluate.findings(audit.verdicts)
    if any(evaluate.stops(one) for one in found):
        return 1
    return 2 if any(one.outcome is Outcome.NOT_EVALUATED for one in found) else 0
