"""The record as data: sections of entries, each entry with where it came from. JSON has it in this shape.

Any change of the models raises VERSION.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fortress.facts import UnreadableError

VERSION = 1

UNDECLARED = "UNDECLARED"
"""What an entry reads that the record must have, and that nobody has declared."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordEntry(_Part):
    """One fact, and where it came from."""

    key: str
    """Its name for programs, such as `retention`: the same in every record."""
    title: str
    values: tuple[str, ...]
    """None for an entry that is undeclared."""
    source: str
    """Path of a setting, URN of a resource, or `derived from …`; for an undeclared entry the setting to fill in."""
    undeclared: bool = False
    none: bool = False
    """Whether the value is a word for having none."""


class RecordSection(_Part):
    """What the record has about one thing: a data set, an operator, a flow."""

    name: str
    """Its name in the register."""
    title: str
    entries: tuple[RecordEntry, ...]

    def values(self, key: str) -> tuple[str, ...]:
        """What the entry of this key has; nothing where it is undeclared, or has none."""
        found = self.entry(key)
        return () if found is None or found.none else found.values

    def entry(self, key: str) -> RecordEntry | None:
        """The entry of this key."""
        return next((one for one in self.entries if one.key == key), None)


class RecordKeeper(_Part):
    """A host or an object container on the drawing."""

    name: str
    role: str
    data_sets: tuple[str, ...]
    """Those that it stores."""


class RecordSite(_Part):
    """A place on the drawing."""

    name: str
    operator: str
    country: str
    """In words, as all countries here: `Norway (NO)`."""
    jurisdiction: str
    """The country of the operator's ultimate parent."""
    third_country: bool
    """Whether the operator, or its parent, is outside the EEA, or not known."""
    keepers: tuple[RecordKeeper, ...]
    """Its hosts and object containers."""


class RecordArrow(_Part):
    """A flow on the drawing, from one site to another."""

    flow: str
    """Name of the flow's section."""
    source: str
    destination: str
    """Sites."""
    data_class: str
    """Empty where it is undeclared."""


class RecordConnection(_Part):
    """Connections that the stack has from one host to another."""

    source: str
    destination: str
    source_site: str
    destination_site: str
    port: str
    """Such as tcp/3306."""
    flow: str
    """The flow that registers it; empty between hosts of the same operator, and where no flow does."""
    same_operator: bool


class RuleOutcome(_Part):
    """What became of one rule."""

    rule: str
    level: str
    result: Literal["holds", "failed", "not evaluated", "exempt", "expires"]
    details: tuple[str, ...]


class StateStamp(_Part):
    """The state that a record was made from."""

    sha256: str
    """Of what `pulumi stack export` printed, byte for byte."""
    updated: str
    """When the engine last wrote it."""
    resources: int


class ProcessingRecord(_Part):
    """All of it."""

    version: Literal[1] = 1
    stack: str
    made: str
    """When, such as 2026-11-29 14:00 UTC."""
    program: str
    """Version of data-fortress."""
    state: StateStamp
    acts_as: Literal["controller", "processor"]
    profile: str
    parties: RecordSection
    data_sets: tuple[RecordSection, ...]
    operators: tuple[RecordSection, ...]
    transfers: tuple[RecordSection, ...]
    flows: tuple[RecordSection, ...]
    connections: tuple[RecordConnection, ...]
    measures: RecordSection
    sites: tuple[RecordSite, ...]
    arrows: tuple[RecordArrow, ...]
    rules: tuple[RuleOutcome, ...] | None = None
    """None where rules were not evaluated."""
    rules_version: int | None = None

    def sections(self) -> Iterator[RecordSection]:
        """Every section, in the order of the record."""
        yield self.parties
        for group in (self.data_sets, self.operators, self.transfers, self.flows):
            yield from group
        yield self.measures

    def gaps(self) -> list[tuple[RecordSection, RecordEntry]]:
        """What is undeclared. One setting that several entries need is there once."""
        found = {
            entry.source: (section, entry)
            for section in self.sections()
            for entry in section.entries
            if entry.undeclared
        }
        return list(found.values())


def written(record: ProcessingRecord) -> dict[str, Any]:
    """The record, as JSON has it."""
    return record.model_dump(mode="json")


def parse(found: Any) -> ProcessingRecord:
    """The record that JSON holds.

    Raises:
        UnreadableError: it holds none, or another version's.
    """
    version = found.get("version") if isinstance(found, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise UnreadableError(
            f"was written by a newer version of this program (version {version}; this one reads {VERSION}); "
            "update data-fortress"
        )
    try:
        return ProcessingRecord.model_validate(found)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "record"
        raise UnreadableError(f"is no record of this version ({where}: {first['msg'].lower()})") from None
