"""What changed between two records, in a sentence each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from fortress.sovereignty.record.model import UNDECLARED, ProcessingRecord, RecordEntry, RecordSection

Quote = Callable[[str], str]
"""Marks a text from the register as such, so that it cannot be taken for words of ours."""

_UNSAID = ("resources", "providers", "connections", "ways", "parents")
"""URNs and hosts, which change whenever a machine is replaced: nobody decides anew on the processing. And ways and
parents, which the sentences on flows, places and operators have."""
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SPAN = re.compile(rf"\b(\d+|{'|'.join(_NUMBERS)})[ -]({'|'.join(_DAYS)})s?\b", re.IGNORECASE)


def quoted(text: str) -> str:
    """For a terminal and JSON."""
    return f"\u201c{text}\u201d"


def sentences(before: ProcessingRecord, after: ProcessingRecord, quote: Quote = quoted) -> list[str]:
    """What changed, who receives data first. Nothing of dates, hashes and versions of the program."""
    return [
        *_transfers(before, after, quote),
        *_operators(before, after, quote),
        *_data_sets(before, after, quote),
        *_flows(before, after, quote),
        *_role(before, after, quote),
        *_entries(before.parties, after.parties, "", quote),
        *_entries(before.measures, after.measures, "", quote),
        *_rules(before, after, quote),
    ]


def _transfers(before: ProcessingRecord, after: ProcessingRecord, quote: Quote) -> Iterator[str]:
    olds, news = _by_name(before.transfers), _by_name(after.transfers)
    for name, new in news.items():
        countries = ", ".join(new.values("country"))
        old = olds.get(name)
        if old is None:
            data = _all(new.values("data_sets"), quote) or "no named data set"
            yield f"New transfer: {quote(name)}, which answers to {quote(countries)}, may come to {data}."
            continue
        for gained in _gained(old, new, "data_sets"):
            yield f"New transfer of {quote(gained)} to {quote(name)}, which answers to {quote(countries)}."
        for lost in _gained(new, old, "data_sets"):
            yield f"{quote(lost)} is no longer transferred to {quote(name)}."
        yield from _entries(old, new, f"The transfer to {quote(name)}", quote, besides=("data_sets", "way"))
    for name in olds.keys() - news.keys():
        yield f"The transfer to {quote(name)} has ended."


def _operators(before: ProcessingRecord, after: ProcessingRecord, quote: Quote) -> Iterator[str]:
    olds, news = _by_name(before.operators), _by_name(after.operators)
    for name, new in news.items():
        if name not in olds:
            parent = ", ".join(new.values("parent_country")) or UNDECLARED
            yield f"New recipient: the operator {quote(name)}, whose ultimate parent is in {quote(parent)}."
        else:
            yield from _entries(olds[name], new, f"The operator {quote(name)}", quote)
    for name in sorted(olds.keys() - news.keys()):
        yield f"The operator {quote(name)} is no recipient any more."


def _data_sets(before: ProcessingRecord, after: ProcessingRecord, quote: Quote) -> Iterator[str]:
    olds, news = _by_name(before.data_sets), _by_name(after.data_sets)
    for name, new in news.items():
        if name and name not in olds:
            summary = ", ".join(new.values("summary"))
            yield f"New data set {quote(name)}: {quote(summary)}."
        elif name:
            yield from _data_set(olds[name], new, quote)
    for name in sorted(olds.keys() - news.keys() - {""}):
        yield f"The data set {quote(name)} is no longer in the record."


def _data_set(old: RecordSection, new: RecordSection, quote: Quote) -> Iterator[str]:
    name = quote(new.name)
    for gained in _gained(old, new, "recipients"):
        yield f"New recipient of {name}: {quote(gained)}."
    for lost in _gained(new, old, "recipients"):
        yield f"{quote(lost)} no longer receives {name}."
    yield from _retention(old, new, quote)
    yield from _entries(old, new, name, quote, besides=("recipients", "retention"))


def _retention(old: RecordSection, new: RecordSection, quote: Quote) -> Iterator[str]:
    before, after = (", ".join(section.values("retention")) for section in (old, new))
    if before == after:
        return
    spans = [longest_span(text) for text in (before, after)]
    word = "Another"
    if spans[0] and spans[1] and spans[0] != spans[1]:
        word = "A longer" if spans[1] > spans[0] else "A shorter"
    yield (
        f"{word} retention of {quote(new.name)}: {quote(after or UNDECLARED)} instead of {quote(before or UNDECLARED)}."
    )


def longest_span(text: str) -> int | None:
    """The longest time that a text names, in days; None where it names none."""
    found = [
        (int(number) if number.isdigit() else _NUMBERS.index(number.lower()) + 1) * _DAYS[unit.lower()]
        for number, unit in _SPAN.findall(text)
    ]
    return max(found, default=None)


def _flows(before: ProcessingRecord, after: ProcessingRecord, quote: Quote) -> Iterator[str]:
    olds, news = _by_name(before.flows), _by_name(after.flows)
    for name, new in news.items():
        if name not in olds:
            ends = [", ".join(new.values(key)) for key in ("source", "destination")]
            data = ", ".join(new.values("data_class")) or UNDECLARED
            yield f"New flow {quote(name)} from {quote(ends[0])} to {quote(ends[1])}: {quote(data)}."
        else:
            yield from _entries(olds[name], new, f"The flow {quote(name)}", quote, besides=("third_countries",))
            if bool(olds[name].values("connections")) != bool(new.values("connections")):
                has = "now has" if new.values("connections") else "no longer has any"
                yield f"The stack {has} connections of the flow {quote(name)}."
    for name in sorted(olds.keys() - news.keys()):
        yield f"The flow {quote(name)} is no longer in the record."


def _role(before: ProcessingRecord, after: ProcessingRecord, quote: Quote) -> Iterator[str]:
    if before.acts_as != after.acts_as:
        yield f"The record is now that of a {quote(after.acts_as)}, and was that of a {quote(before.acts_as)}."
    if before.profile != after.profile:
        yield f"The profile is now {quote(after.profile)}, and was {quote(before.profile)}."


def _rules(before: ProcessingRecord, after: ProcessingRecord, quote: Quote) -> Iterator[str]:
    olds = {one.rule: one.result for one in before.rules or ()}
    for rule in after.rules or ():
        old = olds.get(rule.rule)
        if old is not None and old != rule.result:
            yield f"Rule {quote(rule.rule)}: {quote(rule.result)}, and was {quote(old)}."


def _entries(
    old: RecordSection, new: RecordSection, subject: str, quote: Quote, besides: Sequence[str] = ()
) -> Iterator[str]:
    """A sentence for each entry that differs: lists by what they gained and lost."""
    titles = {one.key: one.title for section in (old, new) for one in section.entries}
    for key in dict.fromkeys([*(one.key for one in new.entries), *(one.key for one in old.entries)]):
        before, after = old.entry(key), new.entry(key)
        if key not in (*_UNSAID, *besides) and _shown(before) != _shown(after):
            title = titles[key]
            about = f"{subject}, {title[0].lower()}{title[1:]}" if subject else title
            yield f"{about}: {_difference(before, after, quote)}."


def _shown(entry: RecordEntry | None) -> tuple[str, ...]:
    return entry.values if entry else ()


def _difference(before: RecordEntry | None, after: RecordEntry | None, quote: Quote) -> str:
    old, new = _shown(before), _shown(after)
    if after and after.undeclared:
        return f"now {UNDECLARED}, and was {_all(old, quote)}"
    if not new:
        return f"no longer {_all(old, quote)}"
    if not old:
        return f"now {_all(new, quote)}"
    if len(old) == len(new) == 1:
        return f"{_all(new, quote)} instead of {_all(old, quote)}"
    gained, lost = [each for each in new if each not in old], [each for each in old if each not in new]
    said = [f"now also {_all(gained, quote)}"] if gained else []
    said += [f"no longer {_all(lost, quote)}"] if lost else []
    return ", ".join(said) or "in another order"


def _gained(old: RecordSection, new: RecordSection, key: str) -> list[str]:
    """Values of an entry that the older section has not."""
    return [value for value in new.values(key) if value not in old.values(key)]


def _by_name(sections: Sequence[RecordSection]) -> dict[str, RecordSection]:
    return {one.name: one for one in sections}


def _all(values: Sequence[str], quote: Quote) -> str:
    return ", ".join(quote(value) for value in values)
