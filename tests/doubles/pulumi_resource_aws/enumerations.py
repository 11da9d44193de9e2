"""EC2's own model, where moto and boto3 do not ask it: values that must be one of a list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.model import ListShape, OperationModel, Shape, StringShape, StructureShape

from .words import Refusal

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_OPEN = frozenset({"InstanceType"})
"""Lists that grow every month; that a type is not there is found otherwise."""


def enforce(client: EC2Client) -> None:
    """From now on the client raises Refusal where a request holds a value that the service's model does not list."""
    client.meta.events.register("provide-client-params.ec2", _check)


def _check(params: dict[str, Any], model: OperationModel, **_: Any) -> None:
    for name, value in _strange(model.input_shape, params, ""):
        said = f"Value ({value}) for parameter {name[0].lower()}{name[1:]} is invalid."
        raise Refusal(model.name, "InvalidParameterValue", said)


def _strange(shape: Shape | None, value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for key, inner in value.items():
            if key in shape.members:
                yield from _strange(shape.members[key], inner, key)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for inner in value:
            yield from _strange(shape.member, inner, name)
    elif isinstance(shape, StringShape) and shape.enum and shape.name not in _OPEN and value not in shape.enum:
        yield name, str(value)
