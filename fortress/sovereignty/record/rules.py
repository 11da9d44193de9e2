"""What each rule found, as the record has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fortress.sovereignty.evaluate import Verdict, sentence
from fortress.sovereignty.finding import Outcome
from fortress.sovereignty.record.model import RuleOutcome

GRAVEST = (Outcome.FAILED, Outcome.NOT_EVALUATED, Outcome.EXEMPT, Outcome.EXPIRES)


def outcomes(verdicts: Sequence[Verdict]) -> tuple[RuleOutcome, ...]:
    """One for each rule, those that were not evaluated among them: the gravest of what it found, and all of it."""
    return tuple(
        RuleOutcome(
            rule=verdict.rule.name, level=verdict.level, result=_result(verdict), details=tuple(_details(verdict))
        )
        for verdict in verdicts
    )


def _result(verdict: Verdict) -> Literal["holds", "failed", "not evaluated", "exempt", "expires"]:
    found = {finding.outcome for finding in verdict.findings}
    gravest = next((outcome for outcome in GRAVEST if outcome in found), None)
    return "holds" if gravest is None else gravest.value


def _details(verdict: Verdict) -> list[str]:
    return [sentence(finding).partition(": ")[2] for finding in verdict.findings]
