"""The chapters of the record, from which the Markdown and the page are both made: so both have the same facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fortress.sovereignty.record.model import ProcessingRecord, RecordSection

LIMITS = (
    "What is declared is a statement of whoever signs below. What is derived, or from the state, is what the program "
    "has set up; the command fortress verify measures whether it holds. This record is no legal advice."
)


@dataclass(frozen=True)
class Chapter:
    """A heading, a sentence on what follows, and sections of entries."""

    title: str
    about: str
    sections: Sequence[RecordSection]
    nothing: str = ""
    """What to read where there is no section."""


def article(record: ProcessingRecord) -> str:
    """The law that asks for the record."""
    return "Article 30(2) GDPR" if record.acts_as == "processor" else "Article 30(1) GDPR"


def title(record: ProcessingRecord) -> str:
    """The document's name."""
    if record.acts_as == "processor":
        return "Record of processing carried out on behalf of controllers"
    return "Record of processing activities"


def chapters(record: ProcessingRecord) -> list[Chapter]:
    """Those that consist of entries, in order."""
    return [
        Chapter(
            record.parties.title,
            "Who decides on the processing and answers for it, and how to reach them."
            if record.acts_as == "controller"
            else "Who processes, on whose behalf, and how to reach them.",
            [record.parties],
        ),
        Chapter(
            "Data sets", "What is kept, about whom, why, where, for how long, and who can read it.", record.data_sets
        ),
        Chapter(
            "Operators",
            "The companies whose machines the data is on or passes through: processors, or their sub-processors. An "
            "operator answers to the country where it is established and to that of its ultimate parent.",
            record.operators,
        ),
        Chapter(
            "Transfers to third countries",
            "Operators that answer to a country outside the EEA, and may come to data of this stack. That the machines "
            "are in the EEA does not change this (EDPB guidelines 05/2021, example 12).",
            record.transfers,
            "No operator that comes to data of this stack answers to a country outside the EEA.",
        ),
        Chapter(
            "Flows",
            "Data that goes from the machines of one operator to those of another.",
            record.flows,
            "No data goes from one operator to another.",
        ),
        Chapter(
            "Security measures",
            "Article 32(1) GDPR. Technical measures are those that the state shows.",
            [record.measures],
        ),
    ]


def stamp(record: ProcessingRecord) -> list[tuple[str, str]]:
    """What the record was made from, and when."""
    return [
        ("Made", f"{record.made}, by data-fortress {record.program}"),
        ("Stack", record.stack),
        ("State", f"{record.state.resources} resources, last written {record.state.updated}"),
        ("SHA-256 of the state", record.state.sha256),
        ("Area that operators must be in", record.profile),
    ]


def rules_line(record: ProcessingRecord) -> str:
    """What is known of the rules, in a sentence."""
    if record.rules is None:
        return "Rules were not evaluated for this record."
    counts = {result: sum(one.result == result for one in record.rules) for result in ("failed", "not evaluated")}
    held = sum(one.result in ("holds", "exempt", "expires") for one in record.rules)
    return (
        f"Version {record.rules_version} of the rules: {held} of {len(record.rules)} hold or are exempt, "
        f"{counts['failed']} failed, {counts['not evaluated']} not evaluated."
    )


def signers(record: ProcessingRecord) -> list[tuple[str, str]]:
    """Who signs: role and name, as far as it is declared."""
    found = []
    for key, role in (("controller", record.acts_as.capitalize()), ("protection_officer", "Data protection officer")):
        entry = record.parties.entry(key)
        named = entry.values[0] if entry and entry.values and not entry.source.endswith("no_protection_officer") else ""
        found.append((role, named))
    return found
