"""The rules in docs/rules.md as a policy pack, for any project; policy/README.md says how it is used.

The rules are those of fortress/sovereignty, called here as the program calls them. A finding that stops a run is a
violation of a mandatory policy, named as its rule. What stops none is one of the advisory policy `told`: also what is
not known at a preview, which the `up` asks for again before the resource is made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pulumi_policy import (  # type: ignore[import-not-found]  # in an environment of its own
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fortress.sovereignty import evaluate, toolchain
from fortress.sovereignty.declared import Declared
from fortress.sovereignty.evidence import Evidence, Resource, Toolchain, Withheld
from fortress.sovereignty.finding import Outcome, RuleFinding, RuleText
from fortress.sovereignty.register import Register

FILE = Path("sovereignty.yaml")
"""Sites and register of the project, in its folder; see policy/README.md."""
TOLD = "told"
"""Name of the policy that stops nothing."""


@cache
def declared() -> Declared | None:
    """What sovereignty.yaml in the project's folder says of places and of who runs them; None without that file.

    Raises:
        ValueError: it is wrong; the message names the field.
    """
    if not FILE.exists():
        return None
    found = yaml.safe_load(FILE.read_text())
    register = found.pop("register", None)
    entries = None if register is None else Register.model_validate(register)
    return Declared(**{"sites": {}, **found}, entries=entries)


def surroundings(stack: str) -> Toolchain:
    """The engine's, as far as the pack sees them: the engine starts it in the project's folder."""
    project = Path.cwd()
    return Toolchain(
        toolchain.disabled_providers(project, stack),
        toolchain.backend(project, os.environ),
        toolchain.secrets_provider(project, stack),
        toolchain.environment(os.environ),
    )


def plain(value: Any) -> Any:
    """A property as rules look at it: numbers arrive as fractions, and what is not known raises where it is read."""
    if isinstance(value, Mapping):
        return dict(_parts(value, value))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [part for _, part in _parts(value, range(len(value)))]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parts(value: Any, keys: Any) -> Iterator[tuple[Any, Any]]:
    for key in keys:
        try:
            yield key, plain(value[key])
        except UnknownValueError:
            yield key, Withheld.UNKNOWN


def seen(args: ResourceValidationArgs) -> Evidence:
    """One resource that is about to be made, and its login."""
    found = Resource(
        type=args.resource_type,
        name=args.name,
        urn=args.urn,
        properties=plain(args.props),
        provider=args.provider.urn if args.provider else "",
        protect=bool(args.opts.protect),
    )
    logins = {}
    if login := args.provider:
        logins[login.urn] = Resource(login.resource_type, login.name, login.urn, plain(login.props))
    if found.is_provider:
        logins[found.urn] = found
    return Evidence(datetime.now(UTC).date(), declared(), [found], logins, settings=False)


def stops(finding: RuleFinding, known: Evidence) -> bool:
    """Whether a finding stops the run. Only at a preview is anything unknown, and its `up` asks again."""
    later = finding.outcome is Outcome.NOT_EVALUATED and any(one.withheld(Withheld.UNKNOWN) for one in known.resources)
    return evaluate.stops(finding) and not later


def of_rule(rule: RuleText) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    """What a mandatory policy of one rule does with a resource."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        known = seen(args)
        for finding in evaluate.findings(evaluate.evaluate(known, [rule])):
            if stops(finding, known):
                report(evaluate.sentence(finding), args.urn)

    return validate


def tell(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """What stops nothing, of all rules."""
    known = seen(args)
    for finding in evaluate.findings(evaluate.evaluate(known)):
        if not stops(finding, known) and finding.outcome is not Outcome.EXEMPT:
            report(evaluate.sentence(finding), args.urn)


def settings(wanted: bool) -> Callable[[StackValidationArgs, ReportViolation], None]:
    """What a policy does with the register and the engine's surroundings; `wanted` is whether it stops the run."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        # urn:pulumi:STACK::PROJECT::TYPE::NAME
        stack = args.resources[0].urn.split(":")[2] if args.resources else ""
        known = Evidence(datetime.now(UTC).date(), declared(), toolchain=surroundings(stack))
        for finding in evaluate.findings(evaluate.evaluate(known)):
            if evaluate.stops(finding) == wanted and finding.outcome is not Outcome.EXEMPT:
                report(evaluate.sentence(finding))

    return validate


PolicyPack(
    "data-fortress",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        *(ResourceValidationPolicy(rule.name, rule.what, of_rule(rule)) for rule in evaluate.ALL),
        ResourceValidationPolicy(TOLD, "What stops no run.", tell, EnforcementLevel.ADVISORY),
        StackValidationPolicy("settings", "The register, and where the state is kept.", settings(wanted=True)),
        StackValidationPolicy(
            f"settings-{TOLD}", "What of these stops no run.", settings(wanted=False), EnforcementLevel.ADVISORY
        ),
    ],
)
