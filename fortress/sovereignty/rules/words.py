"""Findings that several rules have words in common for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from fortress.sovereignty.evidence import Evidence, Resource, Withheld
from fortress.sovereignty.finding import Outcome, RuleFinding

WARN = timedelta(days=30)
"""How long before an assumption expires it is said."""


def about(resource: Resource, wrong: str, cure: str) -> RuleFinding:
    """What is wrong with a resource."""
    return RuleFinding(resource.name, wrong, cure, urn=resource.urn)


def unseen(resource: Resource, what: str, value: object, cure: str) -> RuleFinding:
    """A fact of a resource that cannot be seen."""
    why = value.value if isinstance(value, Withheld) else "not given"
    return RuleFinding(resource.name, f"{what} is {why}", cure, Outcome.NOT_EVALUATED, resource.urn)


def no_register(evidence: Evidence, needed: str) -> Iterator[RuleFinding]:
    """What a rule says of a stack without a register: that it could not look. This stops no run."""
    if evidence.settings and evidence.register is None:
        yield needs_register("sovereignty", needed)


def needs_register(subject: str, needed: str, urn: str = "") -> RuleFinding:
    """What cannot be judged without a register."""
    return RuleFinding(
        subject,
        f"the settings have no register, and {needed}",
        "add the block data-fortress:sovereignty, as Pulumi.oslo.yaml has it",
        Outcome.NOT_EVALUATED,
        urn,
        level="advisory",
    )


def dated(evidence: Evidence, path: str, day: date | None, what: str) -> Iterator[RuleFinding]:
    """An assumption that must be reviewed by a day: missing, past, or near."""
    if day is None:
        yield RuleFinding(
            path, f"UNDECLARED: {what} has no day by which it is reviewed", f"set {path}, a day in quotes"
        )
    elif day < evidence.today:
        cure = f"review it, and set {path} to the next review"
        yield RuleFinding(path, f"{what} was to be reviewed by {day}", cure)
    elif day - evidence.today <= WARN:
        yield RuleFinding(path, f"{what} is to be reviewed by {day}", f"review it, and set {path}", Outcome.EXPIRES)
