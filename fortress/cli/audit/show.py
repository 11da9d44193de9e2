"""An audit as text for people, as one JSON object, and as SARIF for forges."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from rich.text import Text

from fortress.cli.audit.judge import Audit, exit_status
from fortress.cli.base.errors import printable
from fortress.cli.base.screen import Screen
from fortress.cli.check.check import Status
from fortress.cli.check.show import STYLES, WORDS, envelope
from fortress.sovereignty import evaluate
from fortress.sovereignty.finding import Outcome, RuleFinding

STATUS = {
    Outcome.FAILED: Status.FAIL,
    Outcome.NOT_EVALUATED: Status.UNKNOWN,
    Outcome.EXPIRES: Status.OK,
    Outcome.EXEMPT: Status.OK,
}
"""What a finding is as a check: exempted and soon to expire, it holds today."""

RULES_PAGE = "docs/rules.md"


def as_text(audit: Audit, *, terminal: bool, width: int | None = None) -> str:
    """A line a rule, with what it found below, and the tally."""
    screen = Screen(terminal=terminal, width=width)
    for verdict in audit.verdicts:
        worst = _worst(verdict.findings)
        line = Text(f"{WORDS[worst]:7}  {verdict.rule.name}")
        line.stylize(STYLES[worst], 0, len(WORDS[worst]))
        if verdict.level == "advisory":
            line.append(" (advisory)")
        screen.print(line)
        for finding in verdict.findings:
            screen.print(Text(f"         {printable(_said(finding))}"))
    screen.print()
    screen.print(Text(tally(audit)))
    return screen.text()


def tally(audit: Audit) -> str:
    """How many rules hold, and how many findings of each kind there are, in words."""
    found = evaluate.findings(audit.verdicts)
    holding = sum(_worst(verdict.findings) is Status.OK for verdict in audit.verdicts)
    counts = [(outcome, sum(one.outcome is outcome for one in found)) for outcome in Outcome]
    return ", ".join(
        [
            f"{len(audit.verdicts)} rules",
            f"{holding} hold",
            *(f"{count} {outcome}" for outcome, count in counts if count),
        ]
    )


def _worst(findings: tuple[RuleFinding, ...]) -> Status:
    found = {STATUS[finding.outcome] for finding in findings}
    return next((status for status in (Status.FAIL, Status.UNKNOWN) if status in found), Status.OK)


def _said(finding: RuleFinding) -> str:
    return evaluate.sentence(finding).partition(": ")[2]


def as_json(audit: Audit) -> str:
    """One object: a check for each rule that holds, and one for each finding."""
    more = {
        "judged": audit.judged.isoformat(timespec="seconds"),
        "rules_version": evaluate.VERSION,
        "state_sha256": audit.state_sha256,
        "exit": exit_status(audit),
    }
    return envelope(audit.stack, list(_checks(audit)), None, more)


def unasked(stack: str, error: str) -> str:
    """The object where nothing was judged."""
    return envelope(stack, [], error, None)


def _checks(audit: Audit) -> Iterator[Mapping[str, object]]:
    for verdict in audit.verdicts:
        if not verdict.findings:
            yield _check(verdict.rule.name, Status.OK, verdict.level)
        for finding in verdict.findings:
            yield _check(verdict.rule.name, STATUS[finding.outcome], str(finding.level), finding)


def _check(rule: str, status: Status, level: str, finding: RuleFinding | None = None) -> Mapping[str, object]:
    return {
        "name": rule,
        "host": "",
        "status": str(status),
        "value": None,
        "unit": None,
        "limit": None,
        "detail": finding.wrong if finding else "",
        "level": level,
        "outcome": str(finding.outcome) if finding else "holds",
        "subject": finding.subject if finding else "",
        "urn": finding.urn if finding else "",
        "cure": finding.cure if finding else "",
    }


def as_sarif(audit: Audit) -> str:
    """SARIF 2.1.0 (docs.oasis-open.org/sarif), as forges take it; exempted findings are suppressed results."""
    rules = [verdict.rule for verdict in audit.verdicts]
    driver: dict[str, Any] = {
        "name": "fortress audit",
        "version": version("data-fortress"),
        "rules": [
            {
                "id": rule.name,
                "shortDescription": {"text": rule.what},
                "fullDescription": {"text": rule.why},
                "help": {"text": f"Source: {rule.source}. All rules: {RULES_PAGE}"},
                "defaultConfiguration": {"level": "error" if rule.level == "mandatory" else "warning"},
            }
            for rule in rules
        ],
    }
    results = [_result(audit.stack, finding) for finding in evaluate.findings(audit.verdicts)]
    document = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(document, indent=2) + "\n"


def _result(stack: str, finding: RuleFinding) -> dict[str, Any]:
    stack_file = f"Pulumi.{stack.rpartition('/')[2]}.yaml"
    found: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": "error" if evaluate.stops(finding) else "note" if finding.outcome is Outcome.EXEMPT else "warning",
        "message": {"text": _said(finding)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": stack_file}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": finding.urn or finding.subject}],
            }
        ],
    }
    if finding.outcome is Outcome.EXEMPT:
        found["suppressions"] = [{"kind": "external", "justification": finding.wrong}]
    return found
