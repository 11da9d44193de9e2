"""The rules inside a program: settings before anything is registered, then each resource as the engine hears of it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import pulumi
from pulumi.output import Unknown
from pulumi.runtime import rpc

from fortress.sovereignty import evaluate
from fortress.sovereignty.declared import Declared
from fortress.sovereignty.evidence import Evidence, Resource, Toolchain, Withheld
from fortress.sovereignty.finding import Outcome, RuleFinding


class RuleError(Exception):
    """A resource that a rule refuses."""


def hold_rules(
    declared: Declared,
    toolchain: Toolchain,
    today: date,
    refusal: Callable[[list[str]], Exception] = lambda lines: pulumi.RunError("\n".join(lines)),
) -> None:
    """Hold this program to the rules from here on; called once, before any resource is registered.

    Each resource, whoever registers it, is looked at with the values that the engine is about to use. What is not known
    at a preview is listed there, and looked at again in the `up` before the resource is made.

    Raises:
        Exception: what `refusal` makes of the lines, if a mandatory rule has something to say about the settings.
    """
    preview = pulumi.runtime.is_dry_run()
    if lines := _judge(Evidence(today, declared, toolchain=toolchain)):
        raise refusal(lines)
    providers: dict[str, Resource] = {}

    async def look(args: pulumi.ResourceTransformArgs) -> None:
        if not args.custom:
            return
        resource = await seen(args)
        if resource.is_provider:
            providers[resource.name] = resource
        login = providers.get(_name(resource.provider))
        known = {resource.provider: login} if login else {}
        if lines := _judge(Evidence(today, declared, [resource], known, settings=False), later=preview):
            # The engine wraps what is raised here in a traceback of the SDK's.
            for line in lines:
                pulumi.log.error(f"sovereignty: refused by the rules in docs/rules.md: {line}")
            raise RuleError("\n".join(lines))

    pulumi.runtime.register_resource_transform(look)


def _judge(evidence: Evidence, *, later: bool = False) -> list[str]:
    """Tell what does not stop the run, and return what does; `later` is whether the rules will be asked once more."""
    found = evaluate.findings(evaluate.evaluate(evidence))
    stopping = [
        finding
        for finding in found
        if evaluate.stops(finding) and not (later and finding.outcome is Outcome.NOT_EVALUATED)
    ]
    _tell(finding for finding in found if finding not in stopping)
    return [evaluate.sentence(finding) for finding in stopping]


def _tell(found: Iterable[RuleFinding]) -> None:
    """What was exempted is listed by `fortress audit`: at each run it would hide what is new."""
    for finding in found:
        say = pulumi.log.debug if finding.outcome is Outcome.EXEMPT else pulumi.log.warn
        say(f"sovereignty: {evaluate.sentence(finding)}")


async def seen(args: pulumi.ResourceTransformArgs) -> Resource:
    """A resource that is about to be registered, as rules look at it."""
    parent = await _urn(args.opts.parent)
    types = parent.split("::")[2] if parent.count("::") >= 3 else ""
    is_part = types and types != "pulumi:pulumi:Stack"
    return Resource(
        type=args.type_,
        name=args.name,
        # As the URN will end.
        urn=f"{types}${args.type_}::{args.name}" if is_part else f"{args.type_}::{args.name}",
        properties={name: _value(value) for name, value in args.props.items() if not name.startswith("__")},
        provider=await _urn(args.opts.provider),
        protect=bool(args.opts.protect),
    )


async def _urn(option: Any) -> str:
    """The URN of a parent or a provider; empty where none is given."""
    return str(await option.urn.future()) if isinstance(option, pulumi.Resource) else ""


def _name(urn: str) -> str:
    return urn.split("::")[3] if urn.count("::") >= 3 else ""


def _value(value: Any) -> Any:
    """A property without the SDK's wrapping; every number arrives as a fraction."""
    if isinstance(value, Unknown):
        return Withheld.UNKNOWN
    if rpc.is_rpc_secret(value):
        return Withheld.SECRET
    if isinstance(value, Mapping):
        return {name: _value(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_value(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
