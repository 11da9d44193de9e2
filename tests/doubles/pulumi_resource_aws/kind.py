"""What all kinds of EC2 share."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from ..cloud_plugin.kinds import Kind, Problem, Properties
from .cloud import Cloud
from .words import NOT_MODELLED, Refusal, is_gone

_EVERY = 0.3  # seconds between two tries of a removal


class Ec2Kind(Kind[Cloud]):
    """A kind that refuses what it does not model, rather than let it pass unnoticed."""

    modelled: ClassVar[frozenset[str]]
    """Inputs that have an effect here."""
    inside: ClassVar[Mapping[str, frozenset[str]]] = {}
    """The same for inputs that are structures, or lists of them."""
    required: ClassVar[tuple[str, ...]] = ()
    """Inputs that EC2 needs though the SDK's type lets them go."""

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        for name in sorted(inputs.keys() - self.modelled):
            yield Problem(name, f"{NOT_MODELLED} '{name}' of {self.token}")
        for name, known in self.inside.items():
            for place, structure in _structures(inputs.get(name)):
                for key in sorted(structure.keys() - known):
                    path = f"{name}{place}.{key}"
                    yield Problem(path, f"{NOT_MODELLED} '{path}' of {self.token}")
        for name in self.required:
            if name not in inputs:
                yield Problem(name, f'Missing required argument. The argument "{_snake(name)}" is required')

    @abstractmethod
    def found(self, cloud: Cloud, identity: str, state: Properties) -> Properties:
        """The outputs as the service has them; `state` are the inputs, or the outputs so far.

        Raises:
            LookupError: it is gone.
        """

    def read(self, cloud: Cloud, identity: str, state: Properties) -> Properties | None:
        try:
            return self.found(cloud, identity, state)
        except LookupError:
            return None


def _structures(value: Any) -> Iterable[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield "", value
    elif isinstance(value, list):
        yield from ((f"[{index}]", item) for index, item in enumerate(value) if isinstance(item, dict))


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def request_of(structure: Mapping[str, Any]) -> dict[str, Any]:
    """A structure of the SDK as EC2's requests have it: `httpTokens` is `HttpTokens` there."""
    return {key[0].upper() + key[1:]: value for key, value in structure.items()}


def as_given(given: Iterable[Any], found: Iterable[Any]) -> list[Any]:
    """What the service has of a list without an order, in the order in which it was given."""
    rest = list(found)
    first = [item for item in given if item in rest]
    return [*first, *(item for item in rest if item not in first)]


def where(name: str, *values: str) -> list[Any]:
    """`Filters` of a request that describes."""
    return [{"Name": name, "Values": list(values)}]


def one(describe: Callable[..., Any], key: str, **request: Any) -> dict[str, Any]:
    """The one thing that a request describes.

    Raises:
        LookupError: it is gone.
    """
    try:
        found: list[dict[str, Any]] = describe(**request)[key]
    except ClientError as error:
        if is_gone(error):
            raise LookupError(key) from None
        raise
    if not found:
        raise LookupError(key)
    return found[0]


def unless_gone(request: Callable[[], object]) -> None:
    """Sends a request that removes something; that it is gone already is fine."""
    try:
        request()
    except ClientError as error:
        if not is_gone(error) and error.response["Error"]["Code"] != "Gateway.NotAttached":
            raise


def when_free(cloud: Cloud, remove: Callable[[], None]) -> None:
    """Removes something as soon as nothing uses it any more: what does may be about to go in the same run."""
    deadline = time.monotonic() + cloud.patience
    while True:
        try:
            remove()
        except (ClientError, Refusal) as error:
            code = error.code if isinstance(error, Refusal) else error.response["Error"]["Code"]
            if code != "DependencyViolation" or time.monotonic() > deadline:
                raise
            time.sleep(_EVERY)
        else:
            return
