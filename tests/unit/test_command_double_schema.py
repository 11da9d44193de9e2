"""The check of inputs: defaults, secrets, and the real plugin's sentences for what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pulumi_command as command
import pytest

from tests.doubles.pulumi_resource_command.schema import LOCAL, REMOTE, Resource, Shape, check, package_schema
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Properties, Secret, Value


def test_defaults_are_set_at_every_depth_and_the_connection_is_secret() -> None:
    inputs, failures = check(
        REMOTE, {"create": "true", "connection": {"host": "h", "proxy": {"host": "p"}, "user": None}}
    )
    assert failures == []
    defaults: Properties = {"user": "root", "port": 22.0, "dialErrorLimit": 10.0, "perDialTimeout": 15.0}
    assert inputs == {
        "create": "true",
        "addPreviousOutputInEnv": True,
        "connection": Secret({"host": "h", "proxy": {"host": "p", **defaults}, **defaults}),
    }


def test_what_is_given_stays_as_it_is() -> None:
    given: Properties = {
        "connection": Secret(
            {"host": UNKNOWN, "port": 2222.0, "user": "ops", "perDialTimeout": 0.0, "dialErrorLimit": -1.0}
        ),
        "stdin": Secret("password"),
        "environment": {"A": Secret("a"), "B": UNKNOWN},
        "triggers": [1.0, "two", {"three": [UNKNOWN]}],
        "addPreviousOutputInEnv": False,
        "update": UNKNOWN,
    }
    assert check(REMOTE, given) == (given, [])


def test_a_connection_that_is_unknown_stays_so() -> None:
    inputs, failures = check(REMOTE, {"connection": UNKNOWN})
    assert failures == []
    assert inputs["connection"] == Secret(UNKNOWN)


@pytest.mark.parametrize(
    ("resource", "given", "field", "reason"),
    [
        (REMOTE, {}, "connection", "Missing required field 'connection' on 'remote.CommandInputs'"),
        (REMOTE, {"connection": None}, "connection", "Missing required field 'connection' on 'remote.CommandInputs'"),
        (LOCAL, {"connection": {}}, "connection", "Unrecognized field 'connection' on 'local.CommandInputs'"),
        (
            LOCAL,
            {"create": 1.0},
            "create",
            "Field 'create' on 'local.CommandInputs' must be a 'string'; got 'float64' instead",
        ),
        (
            LOCAL,
            {"create": True},
            "create",
            "Field 'create' on 'local.CommandInputs' must be a 'string'; got 'bool' instead",
        ),
        (
            LOCAL,
            {"environment": {"A": 1.0}},
            "environment[A] value",
            "Field 'environment[A] value' on 'local.CommandInputs' must be a 'string'; got 'float64' instead",
        ),
        (
            LOCAL,
            {"interpreter": ["sh", 2.0]},
            "interpreter[1]",
            "Field 'interpreter[1]' on 'local.CommandInputs' must be a 'string'; got 'float64' instead",
        ),
        (
            LOCAL,
            {"interpreter": "sh"},
            "interpreter",
            "Field 'interpreter' on 'local.CommandInputs' must be a '[]string'; got 'string' instead",
        ),
        (
            LOCAL,
            {"addPreviousOutputInEnv": "no"},
            "addPreviousOutputInEnv",
            "Field 'addPreviousOutputInEnv' on 'local.CommandInputs' must be a 'bool'; got 'string' instead",
        ),
        (
            LOCAL,
            {"assetPaths": ["*"]},
            "assetPaths",
            "the stand-in for pulumi-resource-command does not model 'assetPaths' of command:local:Command",
        ),
        (
            REMOTE,
            {"connection": Secret({"host": "h", "dialErrorLimit": "3"})},
            "connection",
            "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n"
            "\tdialErrorLimit: Field 'dialErrorLimit' on 'remote.Connection' must be a 'int'; got 'string' instead",
        ),
        (
            REMOTE,
            {"connection": {"host": "h", "proxy": {"user": "u"}}},
            "connection",
            "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n"
            "\tproxy: An error occurred decoding 'Connection.proxy': 1 failures decoding:\n"
            "\thost: Missing required field 'host' on 'remote.ProxyConnection'",
        ),
    ],
)
def test_refusals(resource: Resource, given: Properties, field: str, reason: str) -> None:
    inputs, failures = check(resource, given)
    assert [(failure.property, failure.reason) for failure in failures] == [(field, reason)]
    assert "addPreviousOutputInEnv" not in inputs.keys() - given.keys()


def test_a_refused_connection_is_secret_all_the_same() -> None:
    inputs, failures = check(REMOTE, {"connection": {"password": "p"}})
    assert failures
    assert inputs["connection"] == Secret({"password": "p"})


def test_names_and_defaults_are_those_of_the_python_sdk() -> None:
    """The SDK's own table of names on the wire, and the defaults that it sets itself."""
    assert {field.name for field in REMOTE.inputs.fields} == set(_wire_names(command.remote.CommandArgs))
    assert {field.name for field in LOCAL.inputs.fields} == set(_wire_names(command.local.CommandArgs))
    connection = _shape(REMOTE.inputs, "connection")
    _compare(connection, command.remote.ConnectionArgs(host="h"))
    _compare(_shape(connection, "proxy"), command.remote.ProxyConnectionArgs(host="h"))


def _compare(shape: Shape, made: object) -> None:
    names = _wire_names(type(made))
    assert {field.name for field in shape.fields} == set(names)
    for field in shape.fields:
        if field.name != "host":
            assert getattr(made, names[field.name]) == field.default


def test_the_schema_speaks_of_both_resources() -> None:
    schema = json.loads(package_schema())
    plugin = json.loads((Path(command.__file__).parent / "pulumi-plugin.json").read_text())
    assert schema["version"].split("+")[0] == plugin["version"]
    remote = schema["resources"]["command:remote:Command"]
    assert remote["requiredInputs"] == ["connection"]
    assert remote["inputProperties"]["connection"] == {"$ref": "#/types/command:remote:Connection", "secret": True}
    assert remote["inputProperties"]["triggers"]["replaceOnChanges"] is True
    assert set(remote["properties"]) - set(remote["inputProperties"]) == {"stdout", "stderr"}
    assert schema["types"]["command:remote:ProxyConnection"]["properties"]["port"] == {
        "type": "number",
        "default": 22.0,
    }


def _shape(shape: Shape, name: str) -> Shape:
    [found] = [field.type for field in shape.fields if field.name == name]
    assert isinstance(found, Shape)
    return found


def _wire_names(kind: type) -> dict[str, str]:
    """Wire name to Python name of an SDK input type."""
    found: dict[str, str] = {}
    for name, member in vars(kind).items():
        if isinstance(member, property):
            assert member.fget is not None
            found[getattr(member.fget, "_pulumi_name", name)] = name
    return found


def test_null_items_are_not_there() -> None:
    given: dict[str, Value] = {"create": None, "stdin": None}
    assert check(LOCAL, given) == ({"addPreviousOutputInEnv": True}, [])
