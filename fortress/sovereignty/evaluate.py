"""All rules over what is known of a stack, with its levels and exemptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fortress.sovereignty.evidence import Evidence
from fortress.sovereignty.finding import Outcome, RuleFinding, RuleText
from fortress.sovereignty.register import Level, RuleExemption
from fortress.sovereignty.rules import custody, exposure, flows, keys, machines, places
from fortress.sovereignty.rules.words import WARN

ALL: tuple[RuleText, ...] = (
    places.data_class,
    places.sovereign_storage,
    places.openstack_endpoint,
    places.aws_region,
    places.default_providers,
    places.aws_types,
    places.replication,
    keys.key_custody,
    keys.volume_encryption,
    exposure.public_container,
    exposure.private_database,
    keys.backup_encryption,
    flows.registered_flows,
    flows.third_country_flows,
    exposure.database_secrets,
    machines.disposable_compute,
    exposure.plain_metadata,
    custody.log_custody,
    custody.state_custody,
    custody.processors,
    flows.egress,
    custody.toolchain,
)
"""Every rule, in the order of `register.Rule`."""

VERSION = 2
"""Of the rules: raised when one judges otherwise than before."""


@dataclass(frozen=True)
class Verdict:
    """What one rule found."""

    rule: RuleText
    level: Level
    findings: tuple[RuleFinding, ...]


def evaluate(evidence: Evidence, rules: Sequence[RuleText] = ALL) -> list[Verdict]:
    """What the rules find, one verdict a rule. A rule without findings holds."""
    return [_verdict(rule, evidence) for rule in rules]


def _verdict(rule: RuleText, evidence: Evidence) -> Verdict:
    register = evidence.register
    level: Level = register.levels.get(rule.name, rule.level) if register else rule.level
    exemptions = list((register.exemptions if register else {}).values())
    found: list[RuleFinding] = []
    for finding in rule.check(evidence):
        found += _exempted(
            replace(finding, rule=rule.name, level=finding.level or level),
            [one for one in exemptions if one.rule == rule.name and one.subject == finding.subject],
            evidence,
        )
    return Verdict(rule, level, tuple(dict.fromkeys(found)))


def _exempted(finding: RuleFinding, exemptions: list[RuleExemption], evidence: Evidence) -> Iterator[RuleFinding]:
    if finding.outcome not in (Outcome.FAILED, Outcome.NOT_EVALUATED) or not exemptions:
        yield finding
        return
    latest = max(exemptions, key=lambda one: one.end)
    if latest.end < evidence.today:
        yield replace(finding, wrong=f"{finding.wrong}; the exemption ended on {latest.end}")
        return
    decided = f"{finding.wrong}; exempt until {latest.end} by {latest.owner}: {latest.reason}"
    yield replace(finding, wrong=decided, outcome=Outcome.EXEMPT)
    if latest.end - evidence.today <= WARN:
        yield replace(finding, wrong=f"the exemption ends on {latest.end}", outcome=Outcome.EXPIRES)


def findings(verdicts: Sequence[Verdict]) -> list[RuleFinding]:
    """All findings, by rule."""
    return [finding for verdict in verdicts for finding in verdict.findings]


def stops(finding: RuleFinding) -> bool:
    """Whether a finding stops a run: a mandatory rule failed, or could not be evaluated."""
    return finding.level == "mandatory" and finding.outcome in (Outcome.FAILED, Outcome.NOT_EVALUATED)


def sentence(finding: RuleFinding) -> str:
    """A finding in one line: rule, subject, what is wrong, and the cure."""
    prefix = "" if finding.outcome is Outcome.FAILED else f"{finding.outcome}: "
    cure = "" if finding.outcome is Outcome.EXEMPT else f"; {finding.cure}"
    return f"{finding.rule}: {finding.subject}: {prefix}{finding.wrong}{cure}"
