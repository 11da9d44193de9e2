"""What is wrong with facts, as lines for people: where, the value, what is wrong, and the cure.

The words are the same for a stack file and for the arguments of a component.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

UNKNOWN = object()
"""Stands for a value that is not known yet: `check` says nothing about it."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Place:
    """Where the values come from that a model checks."""

    prefix: str = ""
    """Prefix of each line: `data-fortress:`, `HAProxyEdge "edge": `."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """The path of a field in the model to that of the value which it came from, where the two differ. What lies below
    a field is below that value; `""` is the whole model."""
    noun: str = "argument"
    """The word for a value there."""
    missing: str = "missing"
    others: Sequence[str] = ()
    """Names that are allowed in addition to the model's fields."""

    def line(self, location: Sequence[str | int], wrong: str) -> str:
        """A line about one value."""
        return ": ".join(part for part in (f"{self.prefix}{self._path(location)}".rstrip(": "), wrong) if part)

    def below(self, location: Sequence[str | int], line: str) -> str:
        """A line of a whole model's validator, which names the path below the model itself."""
        path = self._path(location)
        return f"{self.prefix}{path}.{line}" if path else f"{self.prefix}{line}"

    def _path(self, location: Sequence[str | int]) -> str:
        for length in range(len(location), -1, -1):
            if (found := self.paths.get(path_of(location[:length]))) is not None:
                return path_of(location[length:], found)
        return path_of(location)


def check(model: type[BaseModel], values: Mapping[str, Any], place: Place | None = None) -> list[str]:
    """What is wrong with those values that are known, a line each; the others are `UNKNOWN`.

    How one field fits another is looked at once no value of the model is unknown.
    """
    try:
        model.model_validate(dict(values))
    except ValidationError as bad:
        return lines(bad, model, place or Place())
    return []


def build(model: type[M], values: Mapping[str, Any], place: Place | None = None) -> M:
    """The facts, all of them known.

    Raises:
        ValueError: the lines of `check`.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as bad:
        raise ValueError("\n".join(lines(bad, model, place or Place()))) from None


def lines(bad: ValidationError, model: type[BaseModel], place: Place) -> list[str]:
    """The problems that `model` found, one line each."""
    return [
        line for error in bad.errors() if error["input"] is not UNKNOWN for line in _explain(dict(error), model, place)
    ]


def path_of(location: Sequence[str | int], start: str = "") -> str:
    """A path as `pulumi config set --path` takes it, below `start`."""
    path = start
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", part):
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(_cut(part))}]"
    return path


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def shown(value: object) -> str:
    """A value as shown in a message: one line, without control characters."""
    return _cut(repr(value) if isinstance(value, str) else json.dumps(value, default=str))


_WORDS: Mapping[str, str] = {
    "string_type": "must be text; if it is, put it in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "multiple_of": "must be a multiple of {multiple_of}; the next below is {below}",
    "too_short": "must not be empty",
}
"""pydantic's errors in plain words."""


def _explain(error: dict[str, Any], model: type[BaseModel], place: Place) -> list[str]:
    """One problem, as lines."""
    location, kind, value = error["loc"], error["type"], error["input"]
    if location and location[-1] == "[key]":
        location = location[:-2]
        value = error["loc"][-2]
    if kind == "missing":
        return [place.line(location, place.missing)]
    if kind == "extra_forbidden":
        return [place.line(location, f"unknown {place.noun}{_nearest(location, model, place.others)}")]
    if kind == "known_later":
        return [place.line(location, str(error["msg"]))]
    if kind == "model_type":
        return [place.line(location, f"{shown(value)} must be a mapping with {', '.join(_fields(location, model))}")]
    if kind == "value_error":
        message = str(error["ctx"]["error"])
        if isinstance(value, (Mapping, BaseModel)):
            return [place.below(location, line) for line in message.split("\n")]
    elif kind in _WORDS:
        known = dict(error.get("ctx", {}))
        if kind == "multiple_of":
            known["below"] = value - value % known["multiple_of"]
        message = _WORDS[kind].format(**known)
    else:
        message = str(error["msg"])
    return [place.line(location, f"{shown(value)} {message}")]


def _fields(location: Sequence[str | int], model: Any) -> list[str]:
    """The fields below a path, none where that is not a model."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = _model_in(field.annotation) if field else model
    return list(getattr(model, "model_fields", {}))


def _nearest(location: Sequence[str | int], model: Any, others: Sequence[str]) -> str:
    """A hint at the one that was probably meant."""
    known = [*_fields(location[:-1], model), *(others if len(location) == 1 else ())]
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(known)}"


def _model_in(annotation: Any) -> Any:
    """The model inside an annotation such as `dict[Name, Host]` or `Bastion | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in reversed(getattr(annotation, "__args__", ())):
        if (found := _model_in(part)) is not None:
            return found
    return None
