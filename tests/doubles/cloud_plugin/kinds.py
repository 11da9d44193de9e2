"""What a stand-in for a cloud's plugin is made of: one `Kind` a resource type, one `Function` a function type.

The frame around them (`server.py`) speaks the engine's protocol, checks properties against the real SDK's own types,
finds what changed, and keeps secrets and unknowns to itself: a kind sees plain camelCase dicts, never a secret's
wrapping and, but for `problems` and `computed`, never an unknown. Kinds hold no state; what they work on is the cloud
that `Plugin.connect` made of the provider's configuration, and it is given to each of their methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

Properties: TypeAlias = "dict[str, Any]"
"""Names in camelCase. A whole number is an int."""

C = TypeVar("C")
"""The cloud that the kinds of one plugin work on."""


class CloudError(Exception):
    """What the service, or the provider in its place, says when it refuses; the engine shows exactly this."""


@dataclass(frozen=True)
class Problem:
    """Why an input is refused before anything is asked of the cloud: `property` is its path, "" for the whole."""

    property: str
    reason: str


class Kind(ABC, Generic[C]):
    """One resource type.

    Each method that acts raises CloudError; nothing of a resource is kept when its `create` did.
    """

    token: ClassVar[str]
    """As the engine names the type: `openstack:compute/instance:Instance`."""
    args: ClassVar[type]
    """The SDK's class of its inputs: `pulumi_openstack.compute.InstanceArgs`."""
    replaces: ClassVar[frozenset[str]] = frozenset()
    """Inputs any change of which, or of anything inside, replaces the resource."""
    outputs: ClassVar[frozenset[str]] = frozenset()
    """What the service fills in: always, or where the inputs say nothing. Unknown when a create is previewed."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """What the provider itself sets where the program says nothing; a preview shows it."""
    named: ClassVar[str] = "name"
    """The input that gets the resource's own name and seven random digits where the program says nothing; where it
    does, a replacement deletes first, as Pulumi's bridge has it. Without effect where the type has no such input."""

    def replacing(self, inputs: Properties) -> frozenset[str]:
        """Inputs that replace, where that depends on what the new inputs say."""
        del inputs
        return self.replaces

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        """What the provider refuses besides what the types say. A value may be `values.UNKNOWN`."""
        del inputs
        return ()

    def computed(self, inputs: Properties) -> frozenset[str]:
        """Outputs that are unknown when a create is previewed. A value may be `values.UNKNOWN`."""
        return self.outputs - inputs.keys()

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        """Outputs that are unknown when an update of these inputs is previewed."""
        del changed
        return frozenset()

    @abstractmethod
    def create(self, cloud: C, inputs: Properties, name: str) -> tuple[str, Properties]:
        """Makes one; its id, and its outputs: all of `outputs`, and whatever the service made of the inputs.

        An input that the outputs leave out stands there as it was given. `name` is the resource's in the program.
        """

    @abstractmethod
    def read(self, cloud: C, identity: str, state: Properties) -> Properties | None:
        """The outputs as they are now, `state` being what they were; None when it is gone.

        Inputs that the cloud has otherwise than the state shows are drift, and the next preview shows it.
        """

    def update(self, cloud: C, identity: str, olds: Properties, inputs: Properties) -> Properties:
        """The outputs after a change; `olds` are the outputs before it. Only for inputs that do not replace."""
        raise AssertionError(f"{self.token} knows no update of {identity}: {cloud}, {olds.keys()}, {inputs.keys()}")

    @abstractmethod
    def delete(self, cloud: C, identity: str, state: Properties) -> None:
        """Removes it; what is gone already is fine. `state` holds the outputs."""


class Function(ABC, Generic[C]):
    """One function type."""

    token: ClassVar[str]
    """As the engine names it: `openstack:compute/getFlavor:getFlavor`."""
    args: ClassVar[Callable[..., Any]]
    """The SDK's function, whose parameters are the inputs; `staticmethod(pulumi_openstack.compute.get_flavor)`."""

    @abstractmethod
    def call(self, cloud: C, inputs: Properties) -> Properties:
        """The result.

        Raises: CloudError.
        """


@dataclass(frozen=True)
class Plugin(Generic[C]):
    """A whole stand-in."""

    name: str
    """The package: `openstack`."""
    version: str
    """The real plugin's version with `+stand-in`: of equal rank for the engine, and told apart by a reader."""
    provider: type
    """The SDK's class of the provider's inputs: `pulumi_openstack.ProviderArgs`."""
    kinds: Sequence[Kind[C]]
    functions: Sequence[Function[C]]
    connect: Callable[[Properties], C]
    """Makes the cloud of the provider's configuration; it may raise CloudError. Called once a process, before any
    kind or function acts; an environment of the plugin's own (OS_*, AWS_*) is its business."""

    @property
    def notice(self) -> str:
        """What it says of itself once a run."""
        return (
            f"pulumi-resource-{self.name} {self.version}: this is the stand-in of tests/doubles, not Pulumi's plugin; "
            "no cloud is asked"
        )
