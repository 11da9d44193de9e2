"""The engine's surroundings as they can be read here: where the state is kept, what encrypts its secrets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fortress.sovereignty.evidence import Environment


def backend(project: Path, environment: Mapping[str, str]) -> str | None:
    """URL of the place where the engine keeps the state; None where nothing says.

    It is looked for as the engine does: PULUMI_BACKEND_URL, Pulumi.yaml in `project`, where `pulumi login` went last.
    """
    if url := environment.get("PULUMI_BACKEND_URL"):
        return url
    own = (read_yaml(project / "Pulumi.yaml") or {}).get("backend")
    if isinstance(own, dict) and own.get("url"):
        return str(own["url"])
    home = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
    try:
        current = json.loads((home / "credentials.json").read_text()).get("current")
    except (OSError, ValueError):
        return None
    return str(current) if current else None


def secrets_provider(project: Path, stack: str) -> str | None:
    """What encrypts the secrets of a stack, as its file says; None without such a file."""
    found = read_yaml(stack_file(project, stack))
    if found is None:
        return None
    if provider := found.get("secretsprovider"):
        return str(provider)
    return "passphrase" if "encryptionsalt" in found else "service"


def disabled_providers(project: Path, stack: str) -> tuple[str, ...] | None:
    """`pulumi:disable-default-providers` of a stack file; None without such a file."""
    found = read_yaml(stack_file(project, stack))
    if found is None:
        return None
    config = found.get("config")
    named = config.get("pulumi:disable-default-providers", []) if isinstance(config, dict) else []
    return tuple(map(str, named)) if isinstance(named, list) else (str(named),)


def environment(variables: Mapping[str, str]) -> Environment:
    """What is to be seen of an engine that is run with these variables. The passphrase itself goes nowhere."""
    overrides = variables.get("PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES", "")
    phrase = _passphrase(variables)
    return Environment(
        passphrase_bits=None if phrase is None else guesses(phrase),
        # What the engine takes for true (pulumi/sdk, go/common/util/cmdutil, IsTruthy).
        asks_for_updates=variables.get("PULUMI_SKIP_UPDATE_CHECK", "").lower() not in ("1", "true"),
        # REGEXP=URL, separated by commas.
        plugin_servers=tuple(part.partition("=")[2] or part for part in overrides.split(",") if part),
    )


def _passphrase(variables: Mapping[str, str]) -> str | None:
    if (given := variables.get("PULUMI_CONFIG_PASSPHRASE")) is not None:
        return given
    try:
        return Path(variables["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_text().strip()
    except (KeyError, OSError, ValueError):
        return None


WORD_BITS = math.log2(7776)
"""Of a word of Diceware's list (https://theworld.com/~reinhold/diceware.html)."""


def guesses(phrase: str) -> float:
    """About how many bits a guesser has to try, at most: letters in a row count as a word of a list at best.

    A phrase that somebody made up may be far easier, and none is harder.
    """
    kinds = ((str.islower, 26), (str.isupper, 26), (str.isdigit, 10), (lambda c: not c.isalnum(), 33))
    alphabet = sum(size for belongs, size in kinds if any(belongs(c) for c in phrase)) or 1
    words = re.findall(r"[^\W\d_]+", phrase)
    bits = sum(min(len(word) * math.log2(alphabet), WORD_BITS) if len(word) > 2 else 0 for word in set(words))
    others = "".join(word for word in words if len(word) < 3) + re.sub(r"[^\W\d_]+", "", phrase)
    # The same separator again and again adds nothing.
    distinct = len(set(others))
    return bits + (len(others) * math.log2(alphabet) if distinct > 2 else distinct * math.log2(alphabet))


def stack_file(project: Path, stack: str) -> Path:
    """Of a stack, which may be named with its organization and project."""
    return project / f"Pulumi.{stack.rpartition('/')[2]}.yaml"


def read_yaml(file: Path) -> dict[str, Any] | None:
    """A mapping in a file; None where it cannot be read."""
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return found if isinstance(found, dict) else {}
