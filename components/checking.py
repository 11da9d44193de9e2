"""Arguments of components, checked before a component registers anything.

`arguments` looks at their shape, by the types that a component declares: names, kinds of values, and where a value must
be known at once. `Facts` are what the values must be, by the same models as stack files.
"""

import collections.abc
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import (
    Annotated,
    Any,
    Generic,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import pulumi
from pydantic import BeforeValidator, Field, WrapValidator, create_model
from pydantic_core import PydanticCustomError

from fortress import explain
from fortress.values import Address, HostKey, MemberName, Model, OneLine, Port, TunnelAddress, User

from .remote import Bastion, Member

A = TypeVar("A", bound=Mapping[str, Any])
M = TypeVar("M", bound=Model)
T = TypeVar("T")


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
    _refuse(
        line for each in facts for line in explain.check(each.model, _known(each), _place(component, name, each.paths))
    )


def once_known(component: str, name: str, facts: Facts[Any], fact: str) -> Any:
    """One of the facts; if it is an Output, one that fails as `check` does, before anything uses it."""
    value = facts.values[fact]
    if not _comes_later(value):
        return value

    def look(known: Any) -> Any:
        check(component, name, replace(facts, values={**facts.values, fact: known}))
        return known

    return pulumi.Output.from_input(value).apply(look)


def build(component: str, name: str, facts: Facts[M]) -> M:
    """The facts, all of them known.

    Raises:
        ValueError: as `check` does.
    """
    return explain.build(facts.model, _known(facts), _place(component, name, facts.paths))


def wrong(component: str, name: str, path: str, problem: str) -> ValueError:
    """The error for an argument that no model checks."""
    return ValueError(f'{component} "{name}": {path}: {problem}')


def arguments(component: str, name: str, shape: type[A], args: A) -> A:
    """The arguments as the component reads them: those that are None left out, the member in place of its `Host`.

    Args:
        component: class of the component.
        name: its name in the program.
        shape: the TypedDict that declares the arguments.
        args: what the program gave.

    Raises:
        ValueError: a line for each that is unknown, missing, of another type, or an Output where a value must be known.
    """
    if not isinstance(args, Mapping):
        raise ValueError(f'{component} "{name}": {explain.shown(args)} must be a mapping of arguments')
    given = {key: _normal(value) for key, value in args.items() if value is not None}
    _refuse(explain.check(_model(shape), given, _place(component, name)))
    return cast(A, given)


def facts_of(model: type[M], args: Mapping[str, Any], paths: Mapping[str, str] | None = None, **more: Any) -> Facts[M]:
    """Those of the arguments that the model has by the same names, and more."""
    return Facts(model, {**{name: args.get(name) for name in model.model_fields}, **more}, paths or {})


def _refuse(found: Iterable[str]) -> None:
    if lines := list(dict.fromkeys(found)):
        raise ValueError("\n".join(lines))


def _place(component: str, name: str, paths: Mapping[str, str] | None = None) -> explain.Place:
    return explain.Place(f'{component} "{name}": ', paths or {})


def _known(facts: Facts[Any]) -> dict[str, Any]:
    return {name: _without_outputs(value) for name, value in facts.values.items() if value is not None}


def _without_outputs(value: Any) -> Any:
    if _comes_later(value):
        return explain.UNKNOWN
    return _each(value, _without_outputs)


def _normal(value: Any) -> Any:
    """A value as it stands in a stack file: whole numbers arrive as floats from programs in other languages."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, pulumi.ComponentResource) and isinstance(member := getattr(value, "member", None), Mapping):
        return member
    return _each(list(value) if isinstance(value, tuple) else value, _normal)


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: change(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(change(part) for part in value)
    return value


def _comes_later(value: Any) -> bool:
    return isinstance(value, pulumi.Output) or inspect.isawaitable(value)


# --- shapes -----------------------------------------------------------------------------------------------------------


def _known_now(value: Any) -> Any:
    if _comes_later(value):
        raise PydanticCustomError("known_later", "is an Output, known only later; this must be a plain value")
    return value


Now = Annotated[T, BeforeValidator(_known_now)]
Later = Annotated[T, WrapValidator(lambda value, check: value if _comes_later(value) else check(value))]


class _Bastion(Model):
    """A `Bastion`, and what a host has like one: how it is reached."""

    address: Later[Address]
    port: Later[Port]
    user: Later[User]
    host_key: Later[HostKey]


class _Member(_Bastion):
    """A `Member`, whoever made it."""

    name: Now[MemberName]
    site: Now[MemberName]
    machine_id: Later[OneLine]
    mesh_address: Now[TunnelAddress]
    public_key: Later[str]
    """Looked at where it enters a file."""
    ram_mb: Later[Annotated[int, Field(ge=0)]]
    gone: Now[bool]
    bastion: _Bastion | None = None
    adopt: Now[bool] = False
    in_mesh: Later[OneLine] | None = None
    host_urn: Later[OneLine] | None = None


_MODELS: Mapping[type, type[Model]] = {Bastion: _Bastion, Member: _Member}
"""TypedDicts whose values are looked at as well, wherever they are given."""
_INPUT = {"Output": pulumi.Output, "T": Any}
"""What the SDK leaves open in its type Input[T]: the text "Output[T]"."""


@cache
def _model(shape: type) -> type[Model]:
    """The model of a TypedDict: its names, which of them may be left out, and the types of their values."""
    if shape in _MODELS:
        return _MODELS[shape]
    fields: dict[str, Any] = {
        name: (_type(hint), ...) if name in shape.__required_keys__ else (_type(hint) | None, None)  # type: ignore[attr-defined]
        for name, hint in get_type_hints(shape, localns=_INPUT).items()
    }
    return create_model(shape.__name__, __base__=Model, **fields)


def _type(hint: Any) -> Any:
    """What pydantic checks for the type of an argument."""
    parts = get_args(hint)
    if is_typeddict(hint):
        return Now[_model(hint)]  # type: ignore[misc]
    if get_origin(hint) in (Union, types.UnionType):
        plain = [part for part in parts if not _is_later(part)]
        found = _type(plain[0])
        for part in plain[1:]:
            found = found | (None if part is type(None) else _type(part))
        return Later[found] if len(plain) < len(parts) else found  # type: ignore[misc, valid-type]
    if get_origin(hint) in (list, Sequence):
        return Now[list[_type(parts[0])]]  # type: ignore[misc]
    if get_origin(hint) is Mapping:
        return Now[dict[str, _type(parts[1])]]  # type: ignore[misc]
    return Now[hint]  # type: ignore[misc]


def _is_later(hint: Any) -> bool:
    origin = get_origin(hint) or hint
    return origin in (pulumi.Output, collections.abc.Awaitable)
