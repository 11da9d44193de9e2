"""The record as Markdown: a line for each fact, so that two records differ in the lines of what changed."""

from __future__ import annotations

from collections.abc import Iterator

from fortress.cli.base.markdown import code, prose, tag_code
from fortress.cli.record.chapters import LIMITS, article, chapters, rules_line, signers, stamp, title
from fortress.sovereignty.record.model import UNDECLARED, ProcessingRecord, RecordEntry, RecordSection

_URNS = ("resources", "providers")
_LINES = {"personal": "==>", "pseudonymised": "-.->", "ciphertext": "-.->", "none": "-->", "": "==>"}


def render(record: ProcessingRecord) -> str:
    """The whole document."""
    lines = [f"# {title(record)}", "", f"{article(record)}.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {prose(value)} |" for name, value in stamp(record)]
    lines += ["", *_gaps(record)]
    for number, chapter in enumerate(chapters(record), 1):
        lines += [f"## {number}. {prose(chapter.title)}", "", chapter.about, ""]
        if not chapter.sections:
            lines += [chapter.nothing, ""]
        for section in chapter.sections:
            if len(chapter.sections) > 1 or section.title != chapter.title:
                lines += [f"### {prose(section.title)}", ""]
            lines += [*_table(section), ""]
        if chapter.title == "Flows":
            lines += [*_drawing(record), *_connections(record)]
    lines += [f"## {len(chapters(record)) + 1}. Rules", "", rules_line(record), "", *_rules(record)]
    lines += ["## Signatures", "", LIMITS, "", "| role | name | date | signature |", "|---|---|---|---|"]
    lines += [f"| {role} | {prose(name)} | | |" for role, name in signers(record)]
    return "\n".join(lines) + "\n"


def changes(since: str, sentences: list[str]) -> str:
    """What changed, as a list. The sentences mark what they quote themselves."""
    head = f"# Changes of the record since {prose(since)}\n\n"
    return head + ("".join(f"- {prose(one)}\n" for one in sentences) or "Nothing changed.\n")


def _gaps(record: ProcessingRecord) -> Iterator[str]:
    gaps = record.gaps()
    if not gaps:
        yield from ("Everything that the record must have is declared.", "")
        return
    yield from (
        f"**The record is not complete: {len(gaps)} {'entry is' if len(gaps) == 1 else 'entries are'} "
        f"{UNDECLARED}.** Settings to fill in:",
        "",
    )
    yield from (f"- {code(entry.source)}: {entry.title}, of {prose(section.title)}" for section, entry in gaps)
    yield ""


def _table(section: RecordSection) -> Iterator[str]:
    yield from ("| | | from |", "|---|---|---|")
    yield from (f"| {entry.title} | {_values(entry)} | {_cell_code(entry.source)} |" for entry in section.entries)


def _values(entry: RecordEntry) -> str:
    if entry.undeclared:
        return f"**{UNDECLARED}**"
    mark = _cell_code if entry.key in _URNS and not entry.none else prose
    return "<br>".join(mark(value) for value in entry.values)


def _cell_code(text: str) -> str:
    """Text as code within a table, where a bar would end the cell in spite of the code around it."""
    return tag_code(text).replace("|", "&#124;") if "|" in text else code(text)


def _drawing(record: ProcessingRecord) -> Iterator[str]:
    """A diagram that forges and editors draw (Mermaid); the tables have the same facts."""
    yield from ("### Drawing", "", "```mermaid", "flowchart LR")
    numbers = {site.name: f"s{number}" for number, site in enumerate(record.sites)}
    for site in record.sites:
        where = f"{site.name}, {site.country}: {site.operator}, ultimate parent in {site.jurisdiction or UNDECLARED}"
        yield f'  subgraph {numbers[site.name]}["{_label(where)}"]'
        for number, keeper in enumerate(site.keepers):
            stores = f", stores {', '.join(keeper.data_sets)}" if keeper.data_sets else ""
            yield f'    {numbers[site.name]}k{number}["{_label(f"{keeper.name}, {keeper.role}{stores}")}"]'
        yield "  end"
    for arrow in record.arrows:
        ends = numbers[arrow.source], numbers[arrow.destination]
        label = _label(f"{arrow.flow}: {arrow.data_class or UNDECLARED}")
        yield f'  {ends[0]} {_LINES[arrow.data_class]}|"{label}"| {ends[1]}'
    yield from ("```", "")


def _label(text: str) -> str:
    """Text within quotes of a Mermaid diagram: what is no plain sign is written as its number."""
    return "".join(sign if sign.isalnum() or sign in " .,-/:()" else f"#{ord(sign)};" for sign in text)


def _connections(record: ProcessingRecord) -> Iterator[str]:
    yield from ("### Every connection between hosts", "", "| from | to | port | flow |", "|---|---|---|---|")
    for one in record.connections:
        flow = prose(one.flow) if one.flow else "same operator" if one.same_operator else f"**{UNDECLARED}**"
        yield f"| {prose(one.source)} | {prose(one.destination)} | {one.port} | {flow} |"
    yield ""


def _rules(record: ProcessingRecord) -> Iterator[str]:
    if record.rules:
        yield from ("| rule | level | result | |", "|---|---|---|---|")
        for rule in record.rules:
            details = "<br>".join(prose(detail) for detail in rule.details)
            yield f"| {prose(rule.rule)} | {prose(rule.level)} | {rule.result} | {details} |"
        yield ""
