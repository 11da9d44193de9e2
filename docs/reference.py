"""Writes docs/settings.md and docs/stack.schema.json from the models of the settings, docs/checks.md from the kinds of
checks, docs/rules.md from the rules: `make docs`."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from fortress.cli.check.kinds import Kind
from fortress.settings.model import Settings
from fortress.settings.secrets import SECRETS
from fortress.settings.types import PROJECT
from fortress.sovereignty.evaluate import ALL

HERE = Path(__file__).parent
Node = dict[str, Any]

UNITS = {"_ms": "milliseconds", "_s": "seconds", "_mb": "MB", "_gb": "GB", "_days": "days", "_percent": "percent"}
"""What a number is a number of, by the end of its setting's name."""

HEAD = f"""\
<!-- Made by `make docs` from the models in fortress/settings/: change it there. -->

# Every setting

All settings under `config:` in `Pulumi.STACK.yaml`, by the paths that messages use: `{PROJECT}:mesh.mtu` is `mtu:`
under `{PROJECT}:mesh:`, and `pulumi config set --path {PROJECT}:mesh.mtu 1340` sets it. NAME is a name of your choice,
N counts from 0. Settings that are not *required* may be left out. A setting that is unknown, of the wrong type, out of
range, or in conflict with others is refused with its path, its value and how to fix it, before anything is created.

Editors with a YAML language server complete and check a stack file that begins with

```yaml
# yaml-language-server: $schema=docs/stack.schema.json
```

In another folder, use the path of the `stack.schema.json` from a [release](releases.md).
"""


class _Schema(GenerateJsonSchema):
    """Titles only where a type has words of its own; each setting with its docstring.

    Pydantic can read those docstrings (use_attribute_docstrings), but does so in every program that imports a model: a
    fifth of what one costs that finds nothing to do. They are for this page alone, and read here.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        found = super().model_schema(schema)
        properties = found.get("properties", {})
        for name, text in _docstrings(schema["cls"]).items():
            properties[name].setdefault("description", text)
        return found


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Of a model's own settings and those that it inherits, by name."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _of_module(sys.modules[base.__module__])[base.__qualname__]
    return {name: text for name, text in found.items() if name in model.model_fields}


@cache
def _of_module(module: ModuleType) -> dict[str, dict[str, str]]:
    """The docstring after each assignment of each class of a module."""
    classes = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)]
    return {each.name: dict(_after_assignments(each)) for each in classes}


def _after_assignments(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for before, after in pairwise(node.body):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)


def _models() -> Node:
    """The settings as pydantic describes them, their docstrings as one line a paragraph."""
    found: Node = Settings.model_json_schema(schema_generator=_Schema, ref_template="#/definitions/{model}")
    found["definitions"] = found.pop("$defs")
    for node in _nodes(found):
        if "description" in node:
            node["description"] = "\n\n".join(" ".join(part.split()) for part in node["description"].split("\n\n"))
        if "patternProperties" in node:
            node["additionalProperties"] = False
        if "$ref" in node:  # the model itself says what each default is
            node.pop("default", None)
    return found


def _nodes(value: Any) -> Iterator[Node]:
    """Each schema inside a schema, itself first."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def stack_schema() -> Node:
    """JSON Schema of a stack file: these settings, secrets of its own, and whatever other namespaces have."""
    models = _models()
    secret = {
        "type": "object",
        "properties": {"secure": {"type": "string"}},
        "required": ["secure"],
        "additionalProperties": False,
    }
    own = {f"{PROJECT}:{name}": node for name, node in models["properties"].items()}
    own |= {
        f"{PROJECT}:{name}": {**secret, "description": f"{what} Secret: pulumi config set --secret {PROJECT}:{name}"}
        for name, what in SECRETS.items()
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Stack file of a data fortress, Pulumi.STACK.yaml",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": own,
                "patternProperties": {f"^(?!{PROJECT}:)[^:]+:.+$": {}},
                "required": [f"{PROJECT}:{name}" for name in (*models["required"], "database_password")],
                "additionalProperties": False,
            },
            "encryptionsalt": {"type": "string", "description": "Goes with the passphrase; pulumi writes it."},
            "encryptedkey": {"type": "string", "description": "Goes with the secrets provider; pulumi writes it."},
            "secretsprovider": {"type": "string", "description": "What encrypts secrets, if not a passphrase."},
            "environment": {"description": "Pulumi's environments to take settings from."},
        },
        "required": ["config"],
        "additionalProperties": False,
        "definitions": models["definitions"],
    }


def settings_page() -> str:
    """docs/settings.md: a table for each mapping, a line for each setting."""
    models = _models()
    lines = [HEAD]
    for name, node in models["properties"].items():
        note = "" if name in models["required"] else " May be left out."
        lines += _section(f"{PROJECT}:{name}", node, models["definitions"], 2, note)
    lines += [
        "## Secrets\n",
        f"Each is encrypted in the stack file: `pulumi config set --secret {PROJECT}:database_password`.\n",
        "| setting | description |",
        "|---|---|",
        *(f"| `{PROJECT}:{name}` | {_cell(what)} |" for name, what in SECRETS.items()),
    ]
    return "\n".join(lines) + "\n"


def _section(path: str, node: Node, models: Mapping[str, Node], level: int, note: str = "") -> Iterator[str]:
    """The table of the mapping at a path, and those of the mappings inside it."""
    path, model = _mapping(path, node, models)
    if model is None:
        return
    yield f"{'#' * level} {path}\n"
    yield f"{model['description']}{note}\n"
    yield "| setting | must be | default | description |"
    yield "|---|---|---|---|"
    inner = []
    for name, setting in model["properties"].items():
        below, mapping = _mapping(f"{path}.{name}", setting, models)
        if mapping is None:
            must = _words(name, setting)
        else:
            kind = "a list of mappings" if setting.get("type") == "array" else "a mapping"
            must = f"{kind}, [below](#{_anchor(below)})"
            inner.append((f"{path}.{name}", setting))
        what = setting.get("description") or (mapping["description"].partition(".")[0] + "." if mapping else "")
        default = "*required*" if name in model.get("required", ()) else _default(setting.get("default"))
        yield f"| `{path}.{name}` | {_cell(must)} | {default} | {_cell(what)} |"
    yield ""
    for below, setting in inner:
        yield from _section(below, setting, models, min(level + 1, 4))


def _mapping(path: str, node: Node, models: Mapping[str, Node]) -> tuple[str, Node | None]:
    """The model that stands at a path or, by a name of one's own or in a list, below it."""
    node = _given(node)
    if "$ref" in node:
        return path, models[node["$ref"].rpartition("/")[2]]
    if "patternProperties" in node:
        (value,) = node["patternProperties"].values()
        below, model = _mapping(f"{path}.NAME", value, models)
        return (below, model) if model else (path, None)
    if "items" in node:
        below, model = _mapping(f"{path}[N]", node["items"], models)
        return (below, model) if model else (path, None)
    return path, None


def _given(node: Node) -> Node:
    """The type of a setting that may be left out, without the null."""
    (given,) = [kind for kind in node.get("anyOf", [node]) if kind.get("type") != "null"]
    return dict(given)


def _words(name: str, node: Node) -> str:
    """What a setting must be."""
    node = _given(node)
    if "enum" in node:
        values = [f"`{value}`" for value in node["enum"]]
        return " or ".join(values) if len(values) <= 3 else f"one of {', '.join(values)}"
    match node["type"]:
        case "integer" | "number":
            unit = next((f" of {words}" for end, words in UNITS.items() if name.endswith(end)), "")
            step = f", a multiple of {node['multipleOf']}" if "multipleOf" in node else ""
            return ("a whole number" if node["type"] == "integer" else "a number") + unit + _range(node) + step
        case "boolean":
            return "true or false"
        case "array":
            return f"a list; each {_words('', node['items'])}"
        case "object":
            return "a mapping"
        case _:
            return str(node.get("title", "text"))


def _range(node: Node) -> str:
    least, most, above = (node.get(bound) for bound in ("minimum", "maximum", "exclusiveMinimum"))
    if least is None and above is None:
        return "" if most is None else f", at most {most}"
    low = f", more than {above}" if least is None else f", {least}"
    if most is None:
        return low if least is None else f"{low} or more"
    return f"{low} and at most {most}" if least is None else f"{low} to {most}"


def _default(value: Any) -> str:
    if value in (None, [], {}):
        return ""
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`".replace('"', "")


def _anchor(path: str) -> str:
    """What forges make of a heading."""
    return "".join(letter for letter in path.lower() if letter.isalnum() or letter in "-_")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


CHECKS_HEAD = """\
<!-- Made by `make docs` from fortress/cli/check/kinds.py: change it there. -->

# Every check

The checks of `fortress verify`, `status` and `drift`, in the order of their output. `kind` and `about` are fields of
a check in `--json`: `fortress verify -s lab --json | jq '.checks[] | select(.kind == "round_trip")'`.

| kind | name | unit | what it measures |
|---|---|---|---|
"""


def checks_page() -> str:
    """The kinds of checks as a table."""
    rows = [
        f"| `{kind}` | {kind.check_name('ABOUT')} | {kind.unit or ''} | {_cell(kind.measures)} |\n" for kind in Kind
    ]
    return CHECKS_HEAD + "".join(rows)


RULES_HEAD = """\
<!-- Made by `make docs` from fortress/sovereignty/rules/: change it there. -->

# Every rule

What `pulumi preview`, `pulumi up` and `fortress audit` hold a stack to. A finding of a mandatory rule stops a run, that
of an advisory rule is a warning; `data-fortress:sovereignty.levels` changes which is which. What a rule cannot see is
*not evaluated*, which stops a run too. [sovereignty.md](sovereignty.md) says what rules cannot do.

| # | rule | level | what must be | why | source |
|---|---|---|---|---|---|
"""


def rules_page() -> str:
    """The rules as a table."""
    rows = [
        f"| {number} | `{rule.name}` | {rule.level} | {_cell(rule.what)} | {_cell(rule.why)} | {_cell(rule.source)} |\n"
        for number, rule in enumerate(ALL, start=1)
    ]
    return RULES_HEAD + "".join(rows)


def pages() -> dict[str, str]:
    """Name and text of each page that is made from the code."""
    schema = json.dumps(stack_schema(), indent=1, ensure_ascii=False)
    return {
        "settings.md": settings_page(),
        "stack.schema.json": schema + "\n",
        "checks.md": checks_page(),
        "rules.md": rules_page(),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (HERE / name).write_text(text)
        print(f"wrote docs/{name}", file=sys.stderr)
