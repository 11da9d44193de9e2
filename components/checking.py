"""Arguments of components, checked by the same models as stack files, before a component registers anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pulumi

from fortress import explain
from fortress.values import Model

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Facts(Generic[M]):
    """Arguments for the model that checks them. None counts as not given."""

    model: type[M]
    values: Mapping[str, Any]
    paths: Mapping[str, str] = field(default_factory=dict)
    """From a fact to the path of the argument that it comes from, as `fortress.explain.Place` has them."""


def check(component: str, name: str, *facts: Facts[Any]) -> None:
    """Refuse wrong arguments. Outputs, not known yet, are not checked.

    Raises:
        ValueError: a line for each wrong argument.
    """
    found = [line for each in facts for line in explain.check(each.model, _given(each), _place(component, name, each))]
    if found:
        raise ValueError("\n".join(dict.fromkeys(found)))


def build(component: str, name: str, facts: Facts[M]) -> M:
    """The facts, all of them known.

    Raises:
        ValueError: as `check` does.
    """
    return explain.build(facts.model, _given(facts), _place(component, name, facts))


def _place(component: str, name: str, facts: Facts[Any]) -> explain.Place:
    return explain.Place(f'{component} "{name}": ', facts.paths)


def _given(facts: Facts[Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in facts.values.items() if value is not None}


def _plain(value: Any) -> Any:
    """A value as it stands in a stack file: whole numbers arrive as floats from programs in other languages."""
    match value:
        case pulumi.Output():
            return explain.UNKNOWN
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {key: _plain(part) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_plain(part) for part in value)
        case _:
            return value
