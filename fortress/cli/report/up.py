"""The last `pulumi up`, from the engine's history and state."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fortress import push
from fortress.cli.base.errors import GARBLED, CannotAskError
from fortress.cli.engine import run as engine
from fortress.cli.engine.state import COMMAND, host_of, name_of, of_cloud, type_of

_COUNTED = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted", "same": "unchanged"}


@dataclass(frozen=True)
class Touched:
    """What the last `up` wrote on one host, or beside the hosts where `host` is empty. Names only, no values."""

    host: str
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    """Those that a cloud made."""

    @property
    def said(self) -> str:
        """The tally in words."""
        kinds = (("file", self.files), ("command", self.commands), ("cloud resource", self.resources))
        return ", ".join(f"{len(found)} {kind}{'s' * (len(found) != 1)}" for kind, found in kinds if found)


@dataclass(frozen=True)
class Up:
    """The last `pulumi up`, by the engine's own record."""

    began: float
    """Seconds since 1970."""
    took_s: float | None
    """None while it runs, or when nobody noted its end."""
    result: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """Resources by what became of them, in the engine's words."""
    commit: str = ""
    dirty: bool = False
    """Whether it was brought up from changes that were in no commit."""
    message: str = ""
    author: str = ""
    touched: tuple[Touched, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything but unchanged resources was counted."""
        return set(self.counts) != {"same"}

    @property
    def counted(self) -> str:
        """What became of how many resources, in words."""
        known = [f"{self.counts[op]} {word}" for op, word in _COUNTED.items() if self.counts.get(op)]
        others = [f"{count} {op}" for op, count in self.counts.items() if op not in _COUNTED and count]
        return ", ".join(known + others)


def last_up(stack: str, exported: Mapping[str, Any]) -> Up | None:
    """The last `up` of a stack by the engine's history and state, None where there is none.

    Raises:
        CannotAskError: the engine cannot be asked.
    """
    try:
        entries = json.loads(engine.run("stack", "history", "--json", stack=stack))
        return read_up(entries, exported)
    except GARBLED:
        raise CannotAskError("`pulumi stack history` printed unreadable output") from None


def read_up(entries: Any, exported: Any) -> Up | None:
    """The last `up` from what the engine prints: its history, the newest first, and the exported state."""
    entry = next((each for each in entries if each.get("kind") == "update"), None)
    if entry is None:
        return None
    began = _seconds(entry["startTime"])
    ended = _seconds(entry["endTime"]) if entry.get("endTime") else None
    environment = entry.get("environment") or {}
    return Up(
        began,
        None if ended is None else ended - began,
        str(entry.get("result", "")),
        dict(entry.get("resourceChanges") or {}),
        str(environment.get("git.head", ""))[:10],
        environment.get("git.dirty") == "true",
        str(entry.get("message", "")).partition("\n")[0],
        str(environment.get("git.author", "")),
        _touched(exported, began, ended),
    )


def _seconds(text: str) -> float:
    """RFC 3339 with up to nine digits of a second, of which Python takes six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))).timestamp()


def _touched(exported: Any, began: float, ended: float | None) -> tuple[Touched, ...]:
    """What was written meanwhile and still stands, by host. What was deleted is in no state."""
    resources = (exported.get("deployment") or {}).get("resources") or []
    states = {resource["urn"]: resource for resource in resources}
    found: dict[str, dict[str, list[str]]] = {}
    for urn, resource in states.items():
        if not resource.get("custom") or type_of(urn).startswith("pulumi:") or not resource.get("modified"):
            continue
        # The history's times have no fractions of a second.
        if not began <= _seconds(resource["modified"]) < (ended or float("inf")) + 1:
            continue
        host = host_of(urn, states)
        create = str((resource.get("inputs") or {}).get("create", ""))
        does = push.parts(create, None) if type_of(urn) == COMMAND else []
        paths = [path for command, _ in does for path in push.paths(command)]
        kind = "files" if paths else "resources" if of_cloud(resource) else "commands"
        found.setdefault(host, {}).setdefault(kind, []).extend(paths or [name_of(urn)])
    return tuple(
        Touched(host, **{kind: tuple(sorted(names)) for kind, names in kinds.items()})
        for host, kinds in sorted(found.items(), key=lambda each: (not each[0], each[0]))
    )
