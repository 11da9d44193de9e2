"""What the types of the project have in common: each thing is an entry of a collection, and its outputs are that."""

# ruff: noqa: ARG002 - a type need not look at all that it is given

from __future__ import annotations

from typing import Any, ClassVar

from ..cloud_plugin.kinds import CloudError, Kind, Properties
from . import catalogue
from .catalogue import State
from .cloud import Cloud, new_id


class Stored(Kind[Cloud]):
    """A type whose things are entries of one collection; subclasses say what a change of the collection takes."""

    collection: ClassVar[str]
    """Of the state."""
    service: ClassVar[str] = "networking"
    """Whose client the provider makes."""

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        """What the service fills in beside the inputs; nothing unless a type knows better.

        Raises: CloudError when the service refuses them.
        """
        return {}

    def changed(self, state: State, identity: str, olds: Properties, inputs: Properties) -> Properties:
        """The entry after a change; made anew with the same id unless a type knows better."""
        others = {name: entry for name, entry in state[self.collection].items() if name != identity}
        entry = self.made({**state, self.collection: others}, identity, inputs)
        return {**{name: value for name, value in olds.items() if name in self.outputs}, **entry}

    def removed(self, state: State, identity: str, entry: Properties) -> None:
        """What goes with it; CloudError when something still needs it."""

    def identity(self, inputs: Properties) -> str:
        """The id of a new one."""
        return new_id()

    def shown(self, state: State, identity: str, entry: Properties) -> Properties:
        """The outputs: the entry, with what depends on other things."""
        return {"region": catalogue.REGION, **entry}

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        with cloud.state(self.service, inputs.get("region")) as state:
            identity = self.identity(inputs)
            entry = {**inputs, **self.made(state, identity, inputs)}
            state[self.collection][identity] = entry
            return identity, self.shown(state, identity, entry)

    def read(self, cloud: Cloud, identity: str, state: Properties) -> Properties | None:
        with cloud.state(self.service, state.get("region")) as found:
            entry = found[self.collection].get(identity)
            return None if entry is None else self.shown(found, identity, entry)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        with cloud.state(self.service, inputs.get("region")) as state:
            before = state[self.collection].get(identity)
            if before is None:
                raise CloudError(f"Error updating {self.token} {identity}: Resource not found")
            entry = {**inputs, **self.changed(state, identity, before, inputs)}
            state[self.collection][identity] = entry
            return self.shown(state, identity, entry)

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        with cloud.state(self.service, state.get("region")) as found:
            if entry := found[self.collection].get(identity):
                self.removed(found, identity, entry)
                del found[self.collection][identity]


def tagged(inputs: Properties) -> Properties:
    """The outputs of a thing that has tags."""
    return {"allTags": sorted(inputs.get("tags", []))}


def named(state: State, collection: str, name: Any) -> list[str]:
    """Ids of what has a name in a collection."""
    return [identity for identity, entry in state[collection].items() if entry.get("name") == name]
