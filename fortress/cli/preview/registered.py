"""What a preview changes in the record of processing: the register in the state against that of the settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fortress.facts import UnreadableError
from fortress.settings.declare import declare
from fortress.settings.parse import SettingsError, parse
from fortress.settings.secrets import SECRETS
from fortress.settings.types import PROJECT
from fortress.sovereignty import declared
from fortress.sovereignty.declared import Declared
from fortress.sovereignty.record.build import build
from fortress.sovereignty.record.changes import Quote, quoted, sentences


def in_state(outputs: Mapping[str, Any]) -> Declared | None:
    """The output `sovereignty` of the stack as it is up; None where there is none that this version reads."""
    try:
        return declared.parse(outputs[declared.OUTPUT])
    except (KeyError, UnreadableError):
        return None


def in_settings(config: Mapping[str, str], project: Path) -> Declared | None:
    """What that output will be with these settings, as the engine prints them; None of another program, or invalid."""
    prefix = f"{PROJECT}:"
    values = {key.removeprefix(prefix): _value(text) for key, text in config.items() if key.startswith(prefix)}
    try:
        return declare(parse({key: value for key, value in values.items() if key not in SECRETS}, project))
    except SettingsError:
        return None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def changes(before: Declared | None, after: Declared | None, quote: Quote = quoted) -> list[str]:
    """A sentence for each change of the record; of a first record, one on what it has."""
    if after is None or (after.entries is None and (before is None or before.entries is None)):
        return []
    new = build("", after)
    if before is None or before.entries is None:
        return [
            f"The first record of processing: data sets {_names((one.name for one in new.data_sets), quote)}; "
            f"operators {_names((one.name for one in new.operators), quote)}; "
            f"transfers to {_names((one.name for one in new.transfers), quote)}."
        ]
    return sentences(build("", before), new, quote)


def _names(names: Iterable[str], quote: Quote) -> str:
    return ", ".join(quote(name) for name in names if name) or "none"
