"""Errors of the settings' models as lines for people: the path of the setting, what is wrong, and the cure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from fortress.settings.secrets import SECRETS
from fortress.settings.types import PROJECT


def setting_path(location: Sequence[str | int]) -> str:
    """A setting's path as `pulumi config set --path` takes it."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", part):
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(_cut(part))}]"
    return f"{PROJECT}:{path}" if path else PROJECT


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def shown(value: object) -> str:
    """A value as it may stand in a message: one line, nothing that a terminal would obey."""
    return _cut(repr(value) if isinstance(value, str) else json.dumps(value, default=str))


_WORDS: Mapping[str, str] = {
    "string_type": "must be text; if it is, put it in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "too_short": "must not be empty",
}
"""pydantic's errors in the words of a stack file."""


def explain(error: dict[str, Any], model: type[BaseModel]) -> list[str]:
    """One problem that `model` found, as lines of `path: value, what is wrong and the cure`."""
    location, kind, value = error["loc"], error["type"], error["input"]
    if location and location[-1] == "[key]":
        location = location[:-2]
        value = error["loc"][-2]
    path = setting_path(location)
    if kind == "missing":
        return [f"{path}: missing; add it to the stack file"]
    if kind == "extra_forbidden":
        return [f"{path}: unknown setting{_nearest(location, model)}"]
    if kind == "model_type":
        return [f"{path}: {shown(value)} must be a mapping with {', '.join(_fields(location, model))}"]
    if kind == "value_error":
        message = str(error["ctx"]["error"])
        if isinstance(value, (Mapping, BaseModel)):
            joint = "." if location else ":"
            return [f"{path}{joint}{line}" for line in message.split("\n")]
    else:
        message = _WORDS.get(kind, str(error["msg"])).format(**error.get("ctx", {}))
    return [f"{path}: {shown(value)} {message}"]


def _fields(location: Sequence[str | int], model: Any) -> list[str]:
    """The settings that stand below a path, empty where that is not a model."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = _model_in(field.annotation) if field else model
    return list(getattr(model, "model_fields", {}))


def _nearest(location: Sequence[str | int], model: Any) -> str:
    """A hint at the setting that was probably meant."""
    known = [*_fields(location[:-1], model), *(SECRETS if len(location) == 1 else ())]
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
