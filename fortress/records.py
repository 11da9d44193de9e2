"""What `fortress-push records` (push.sh) prints of the files that were put on a host."""

from __future__ import annotations

import re
from dataclasses import dataclass

_APPLIED = re.compile(r"[^,]+,[^,]+,[^,]+")
_UNFINISHED = {"old", "old.none", "confirm"}


@dataclass(frozen=True)
class Record:
    """What push.sh keeps of one file."""

    path: str
    applied: str | None
    """SHA256,MODE,OWNER:GROUP of the file that was put and is active; None where the last push did not end."""
    marks: frozenset[str]
    """Those of `first`, `old`, `old.none`, `confirm` and `again` that the record has."""
    unit: str | None
    """systemd unit that the file is for."""
    ended: float | None
    """When its last push ended, in seconds since 1970."""
    by: str | None
    """The resource that put it."""

    @property
    def unfinished(self) -> bool:
        """Whether a push of it was cut, or not confirmed: `applied` is written last, and `old` kept until then."""
        return self.applied is None or bool(self.marks & _UNFINISHED)


def parse(line: str) -> Record:
    """A record from its line.

    Raises:
        ValueError: anything else.
    """
    fields = line.split("\t", 5)
    if len(fields) != 6:
        raise ValueError(f"not a record: {line!r}")
    path, applied, marks, unit, ended, by = (None if field == "-" else field for field in fields)
    if path is None or (applied is not None and not _APPLIED.fullmatch(applied)):
        raise ValueError(f"not a record: {line!r}")
    return Record(
        path, applied, frozenset((marks or "").split(",")) - {""}, unit, None if ended is None else float(ended), by
    )


def cure(said: str) -> str | None:
    """Why a host's fortress-push told or marked no records, with what to do, from what was said instead.

    None where that is nothing known.
    """
    if re.search(r"fortress-push: unknown verb: (?:records|again)\b", said):
        return "its fortress-push is older than this command: run `pulumi up` once"
    if re.search(r"fortress-push: (?:command )?not found|fortress-push: No such file", said):
        return "its fortress-push is missing: `fortress drift --repair` restores it"
    return None
