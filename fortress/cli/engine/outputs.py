"""The stack's outputs `fortress` and `sovereignty`, read from the engine's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fortress import facts
from fortress.cli.base.errors import CannotAskError
from fortress.cli.engine import run as engine
from fortress.cli.engine.state import STACK, is_secret
from fortress.facts import StackOutputs
from fortress.sovereignty import declared
from fortress.sovereignty.declared import Declared

Found = TypeVar("Found")


def read(stack: str) -> StackOutputs:
    """What a stack that is up exports.

    Raises:
        CannotAskError: no such stack, not up, no engine.
    """
    return of_state(engine.export(stack), stack)


def of_state(exported: Mapping[str, Any], stack: str) -> StackOutputs:
    """The same from an exported state, secrets readable or not.

    Raises:
        CannotAskError: the stack has no such output, or one of another version.
    """
    return _read(exported, stack, facts.OUTPUT, facts.parse)


def declared_of_state(exported: Mapping[str, Any], stack: str) -> Declared:
    """The output `sovereignty`: the register, and the places and flows that it is about.

    Raises:
        CannotAskError: the stack has no such output, or one of another version.
    """
    return _read(exported, stack, declared.OUTPUT, declared.parse)


def _read(exported: Mapping[str, Any], stack: str, output: str, parse: Callable[[Any], Found]) -> Found:
    resources = exported["deployment"]["resources"]
    outputs = next((resource.get("outputs") for resource in resources if resource["type"] == STACK), None) or {}
    if output not in outputs:
        raise CannotAskError(
            f"stack {stack!r} has no output {output!r}: its program exports none, or its last `pulumi up` did "
            f"not finish; name a stack of Data Fortress's own program, or run `pulumi up --stack {stack}` again"
        )
    found = outputs[output]
    if secret := _secret(output, found):
        raise CannotAskError(
            f"output {secret} of stack {stack!r} is secret and cannot be read; the program must export as "
            f"{output!r} only values that are not secret"
        )
    try:
        return parse(found)
    except facts.UnreadableError as wrong:
        raise CannotAskError(f"output {output!r} of stack {stack!r} {wrong}") from None


def _secret(path: str, value: Any) -> str | None:
    """Path of the first value that is secret."""
    if is_secret(value):
        return path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for name, part in parts if (found := _secret(f"{path}.{name}", part))), None)
