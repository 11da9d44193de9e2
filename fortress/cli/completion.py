"""Shell completion for `--stack` and HOST: read from the project's stack files, without the engine.

Nothing here may fail or take long: it runs while somebody types.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from fortress.cli.engine.project import project_folder

LONGEST_S = 2
"""Seconds until completion gives up: a folder may be on a disk that does not answer."""
LARGEST = 1_000_000
"""Characters of a stack file that are read; those of this project have some thousand."""

HOSTS = "data-fortress:hosts"
"""The setting's name, repeated here because the models of `fortress.settings` take long to load."""

LINE = "_FORTRESS_LINE"
"""Where `tidy_line` puts all words of the line."""


def stacks(incomplete: str) -> list[str]:
    """The stacks that have a stack file."""
    return _offered(incomplete, _stack_files)


def hosts(incomplete: str) -> list[str]:
    """The hosts of the stack that the line names anywhere; of every stack if it names none."""

    def found() -> Iterator[str]:
        files = _stack_files()
        named = _stack_of(_words())
        for stack in files if named is None else [named.rpartition("/")[2]]:
            if stack in files:
                yield from _hosts(files[stack])

    return _offered(incomplete, found)


def _offered(incomplete: str, find: Callable[[], Iterable[str]]) -> list[str]:
    # The signal ends the process silently.
    signal.alarm(LONGEST_S)
    try:
        return sorted({name for name in find() if name.startswith(incomplete)})
    except Exception:  # noqa: BLE001 - no error may disturb the line that somebody types
        return []
    finally:
        signal.alarm(0)


def _stack_files() -> dict[str, Path]:
    files = project_folder().glob("Pulumi.*.yaml")
    return {file.name.removeprefix("Pulumi.").removesuffix(".yaml"): file for file in files if file.is_file()}


def _hosts(file: Path) -> list[str]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with file.open(encoding="utf-8") as text:
        hosts = yaml.load(text.read(LARGEST), loader)["config"][HOSTS]  # noqa: S506 - either is safe
    return [_machine(name, settings or {}) for name, settings in hosts.items()]


def _machine(name: str, settings: Mapping[str, Any]) -> str:
    """As `Settings.member` names it."""
    made = "address" not in settings
    return f"{name}.{settings.get('generation', 1)}" if made and settings.get("role") == "worker" else name


def _words() -> list[str]:
    """The words of the line; bash includes those after the cursor, zsh and fish do not."""
    return (os.environ.get(LINE) or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()


def _stack_of(words: list[str]) -> str | None:
    """What `--stack` or `-s` names in a line."""
    for word, following in pairwise([*words, ""]):
        if word in ("--stack", "-s") and following and not following.startswith("-"):
            return following
        if word.startswith("--stack="):
            return word.partition("=")[2]
    return None


def tidy_line(environment: MutableMapping[str, str]) -> None:
    """Turn the line from bash into the form that typer reads: up to the cursor, with `--stack=lab` as one word.

    Bash makes three words of that, and gives what is behind the cursor too.
    """
    if "COMP_WORDS" not in environment:
        return
    words: list[str] = []
    cursor = 0
    for index, word in enumerate(environment["COMP_WORDS"].split("\n")):
        if words and words[-1].startswith("--") and (word == "=" or words[-1].endswith("=")):
            words[-1] += word
        else:
            words.append(word)
        if index <= int(environment["COMP_CWORD"]):
            cursor = len(words) - 1
    environment[LINE] = "\n".join(words)
    environment["COMP_WORDS"] = "\n".join([*(word or "''" for word in words[:cursor]), words[cursor]])
    environment["COMP_CWORD"] = str(cursor)
