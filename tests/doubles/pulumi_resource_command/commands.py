"""The life of a command resource: which text runs when, over which connection, and what comes out.

From the plugin's `remote/commandController.go` and `local/commandController.go`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import cast

from . import changes, local, remote
from .context import Context
from .output import Capture, Stream
from .schema import REMOTE, Resource
from .values import Properties, plain, text


def create(
    context: Context, resource: Resource, name: str, inputs: Properties, preview: bool
) -> tuple[str, Properties]:
    """The new resource's id and outputs; runs `create` unless previewing.

    Raises: CommandError; nothing of the resource is kept then.
    """
    outputs = inputs | {"stdout": "", "stderr": ""}
    identity = name + secrets.token_hex(4)
    if preview:
        return identity, changes.previewed_create(inputs, outputs)
    return identity, outputs | _run(context, resource, outputs, text(inputs, "create"))


def update(context: Context, resource: Resource, olds: Properties, inputs: Properties, preview: bool) -> Properties:
    """The outputs after an update; runs `update`, or `create` where there is none, over the new connection.

    Raises: CommandError; the resource stays as it was then.
    """
    outputs = inputs | {name: plain(olds.get(name)) or "" for name in ("stdout", "stderr")}
    if preview:
        return changes.previewed_update(resource, olds, inputs, outputs)
    command = text(inputs, "update")
    return outputs | _run(context, resource, outputs, text(inputs, "create") if command is None else command)


def delete(context: Context, resource: Resource, state: Properties) -> None:
    """Runs `delete` of the state over the state's connection.

    Raises: CommandError; the resource stays then.
    """
    _run(context, resource, state, text(state, "delete"))


def _run(context: Context, resource: Resource, state: Properties, command: str | None) -> Properties:
    """Runs a command with what the state says, and gives what it printed; nothing where there is no command."""
    if command is None:
        return {}
    capture = Capture(context, text(state, "logging"))
    environment = cast("Mapping[str, str]", plain(state.get("environment")) or {})
    previous = _previous(state)
    stdin = text(state, "stdin")
    if resource is REMOTE:
        connection = cast("Properties", plain(state.get("connection")))
        remote.run(
            context, connection, command, environment=environment, previous=previous, stdin=stdin, capture=capture
        )
    else:
        local.run(
            context,
            command,
            interpreter=cast("list[str] | None", plain(state.get("interpreter"))),
            directory=text(state, "dir"),
            environment={**environment, **previous},
            stdin=stdin,
            capture=capture,
        )
    return {stream.value: capture.output(stream) for stream in Stream}


def _previous(state: Properties) -> dict[str, str]:
    if plain(state.get("addPreviousOutputInEnv")) is False:
        return {}
    printed = {stream: text(state, stream.value) for stream in Stream}
    return {f"PULUMI_COMMAND_{stream.name}": value for stream, value in printed.items() if value}
