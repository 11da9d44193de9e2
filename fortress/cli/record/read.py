"""A stack's state as the record takes it, and earlier records to compare with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fortress import push
from fortress.cli.base.errors import GARBLED, CannotAskError
from fortress.cli.engine import outputs as stack_outputs
from fortress.cli.engine import run as engine
from fortress.cli.engine.evidence import evidence, secrets_provider
from fortress.cli.engine.state import COMMAND, host_of, is_secret, name_of, parents, plain, type_of
from fortress.facts import UnreadableError
from fortress.sovereignty import evaluate
from fortress.sovereignty.record import model
from fortress.sovereignty.record.build import build
from fortress.sovereignty.record.model import ProcessingRecord, StateStamp
from fortress.sovereignty.record.rules import outcomes
from fortress.sovereignty.record.standing import DATABASE, VOLUME, PushedFile, Standing, StandingResource


def standing_record(stack: str, now: datetime) -> ProcessingRecord:
    """The record of a stack that is up.

    Raises:
        CannotAskError: no such stack, not up, no engine, no register in its state.
    """
    return of_text(engine.run("stack", "export", stack=stack), stack, now)


def of_text(text: str, stack: str, now: datetime) -> ProcessingRecord:
    """The record from what `pulumi stack export` printed.

    Raises:
        CannotAskError: it is no state with the outputs that the record is made from.
    """
    exported = engine.read_export(text, stack)
    declared = stack_outputs.declared_of_state(exported, stack)
    try:
        standing = standing_of(exported, text, stack)
    except GARBLED:
        raise CannotAskError(f"the state of stack {stack!r} cannot be read: it is of another form") from None
    verdicts = evaluate.evaluate(evidence(stack, exported, now))
    return build(
        stack,
        declared,
        standing,
        made=now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        program=version("data-fortress"),
        rules=outcomes(verdicts),
        rules_version=evaluate.VERSION,
    )


def earlier(file: Path, stack: str, now: datetime) -> ProcessingRecord:
    """The record in a file: what `fortress record --json` wrote, or made from an exported state.

    Raises:
        CannotAskError: it cannot be read, or is neither.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CannotAskError(f"{file} cannot be read: {why}") from None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict) and "deployment" in found:
        return of_text(text, stack, now)
    if isinstance(found, dict) and "record" in found:
        try:
            return model.parse(found["record"])
        except UnreadableError as wrong:
            raise CannotAskError(f"{file} {wrong}") from None
    raise CannotAskError(
        f"{file} is neither a state that `pulumi stack export` wrote nor what `fortress record --json` did"
    )


def standing_of(exported: Mapping[str, Any], text: str, stack: str) -> Standing:
    """What the record takes from an exported state; `text` is all of it, as the engine printed it.

    Raises:
        CannotAskError: it has no output `fortress`.
    """
    deployment = exported["deployment"]
    resources = deployment["resources"]
    states = {resource["urn"]: resource for resource in resources}
    stamp = StateStamp(
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        updated=str((deployment.get("manifest") or {}).get("time", "")),
        resources=len(resources),
    )
    files: dict[str, list[PushedFile]] = {}
    for path, file in _files(states):
        files.setdefault(path, []).append(file)
    outputs = stack_outputs.of_state(exported, stack)
    return Standing(
        stamp=stamp,
        outputs=outputs,
        resources=sorted(
            _resources(states, outputs.database.host if outputs.database else ""), key=lambda one: one.urn
        ),
        files={path: sorted(found, key=lambda one: one.urn) for path, found in files.items()},
        secrets_provider=secrets_provider(deployment),
    )


def _resources(states: Mapping[str, Mapping[str, Any]], database: str) -> Iterator[StandingResource]:
    for urn, state in states.items():
        kind = type_of(urn)
        if kind == COMMAND or kind.startswith("pulumi:"):
            continue
        provider = str(state.get("provider") or "").rpartition("::")[0]
        inputs = {key: plain(value)[0] for key, value in (state.get("inputs") or {}).items() if not is_secret(value)}
        host = host_of(urn, states)
        if not host and kind == VOLUME and any(type_of(up) == DATABASE for up in parents(urn, states)):
            host = database  # it belongs to the database, whose machine may be replaced
        region = (state.get("outputs") or {}).get("region")
        yield StandingResource(
            urn=urn,
            type=kind,
            name=name_of(urn),
            host=host,
            provider=provider,
            region=region if isinstance(region, str) else None,
            properties=inputs,
        )


def _files(states: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, PushedFile]]:
    for urn, state in states.items():
        if type_of(urn) != COMMAND:
            continue
        inputs = state.get("inputs") or {}
        sent = inputs.get("stdin")
        for command, text in push.parts(str(inputs.get("create", "")), sent if isinstance(sent, str) else None):
            for path in push.paths(command):
                yield path, PushedFile(urn, host_of(urn, states), text)
