"""Rules and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from fortress.sovereignty.evidence import Evidence
from fortress.sovereignty.register import Level, Rule


class Outcome(StrEnum):
    """What came of looking at one thing."""

    FAILED = "failed"
    NOT_EVALUATED = "not evaluated"
    """The rule could not see its fact, and does not guess."""
    EXPIRES = "expires"
    """It holds, and will not for much longer."""
    EXEMPT = "exempt"
    """It failed or was not evaluated, and somebody has decided to go on until a day."""


@dataclass(frozen=True)
class RuleFinding:
    """One thing that a rule has to say about a resource or a setting."""

    subject: str
    """Name of the resource, or path of the setting."""
    wrong: str
    """What is wrong, or why it was not evaluated."""
    cure: str
    """What to do about it."""
    outcome: Outcome = Outcome.FAILED
    urn: str = ""
    """Of the resource; empty for a setting."""
    level: Level | None = None
    """Where it differs from the rule's."""
    rule: Rule | None = None
    """Set by `evaluate`."""


Check = Callable[[Evidence], Iterable[RuleFinding]]


@dataclass(frozen=True)
class RuleText:
    """A rule: its function, and what docs/rules.md has of it."""

    name: Rule
    check: Check
    level: Level
    why: str
    source: str
    """Where the reason is written: law, guidance or manual."""

    @property
    def what(self) -> str:
        """What must be, in a sentence: the function's docstring."""
        return " ".join((self.check.__doc__ or "").split())


def rule(name: Rule, *, why: str, source: str, level: Level = "mandatory") -> Callable[[Check], RuleText]:
    """Make a rule of a function from evidence to findings."""
    return lambda check: RuleText(name, check, level, why, source)
