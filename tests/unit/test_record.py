"""The record of processing: what it has of the examples, and what it says where nobody declared anything."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from fortress.cli.record import markdown, page
from fortress.explain import path_of
from fortress.facts import UnreadableError
from fortress.sovereignty import evaluate
from fortress.sovereignty.record import model
from fortress.sovereignty.record.model import ProcessingRecord, RecordSection, RuleOutcome
from tests.unit.example_record import planned, standing, steady
from tests.unit.golden import check_golden
from tests.unit.stack_file import GONE, lab, oslo

PROCESSOR: dict[str, Any] = {
    "sovereignty/acts_as": "processor",
    "sovereignty/on_behalf_of": [{"name": "Shop One AS", "contact": "one@fortress.example"}],
    "sovereignty/data_sets/customers/lawful_basis": GONE,
    "sovereignty/data_sets/customers/retention": GONE,
    "sovereignty/data_sets/customers/subjects": GONE,
    "sovereignty/data_sets/customers/categories": GONE,
}


def values(record: ProcessingRecord, section: str, key: str) -> tuple[str, ...]:
    """The values of an entry; AssertionError if there is none."""
    found = next(one for one in record.sections() if one.name == section).entry(key)
    assert found is not None
    return found.values


def gaps(record: ProcessingRecord) -> list[str]:
    return [entry.source for _, entry in record.gaps()]


@pytest.mark.parametrize(("stack", "settings"), [("lab", lab), ("oslo", oslo)])
def test_the_record_of_an_example_reads_as_it_did(stack: str, settings: Any) -> None:
    record = standing(stack, settings)
    assert record.gaps() == []
    check_golden(f"record-{stack}.md", markdown.render(steady(record)))


def test_the_record_as_json_reads_as_it_did_and_is_read_back() -> None:
    record = steady(standing("lab", lab))
    text = json.dumps(model.written(record), indent=1, ensure_ascii=False)
    check_golden("record-lab.json", text + "\n")
    assert model.parse(json.loads(text)) == record


def test_machines_that_the_stack_made_have_their_urns_region_and_provider() -> None:
    record = standing("oslo", oslo)
    urns = "\n".join(values(record, "customers", "resources"))
    for kind in ("Host::oslo-db", "Instance::oslo-db-machine-instance", "Volume::db-data"):
        assert kind in urns
    assert "Container::oslo-fortress-personal-container" in urns
    assert "oslo-fortress-backups" not in urns
    assert values(record, "customers", "regions") == ("NO-Oslo-1",)
    (provider,) = values(record, "customers", "providers")
    assert provider.endswith("::pulumi:providers:openstack::oslo")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("require_secure_transport = ON", "refuses connections without TLS"),
        ("require_secure_transport = OFF", "not known: the state does not show its configuration"),
    ],
)
def test_a_measure_is_only_what_the_state_shows(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.example_record.DATABASE", f"\n{text}\n")
    monkeypatch.setattr("tests.unit.example_record.FIREWALL", "policy accept;")
    record = standing("lab", lab)
    assert values(record, "measures", "database_tls") == (words,)
    assert values(record, "measures", "firewall") == ("drops what nothing allows, on 0 of 5 hosts",)


def test_a_stack_without_a_register_has_everything_undeclared() -> None:
    record = standing("lab", lab, {"sovereignty": GONE})
    assert gaps(record) == [
        "sovereignty.controller",
        "sovereignty.protection_officer",
        "sovereignty.data_sets",
        'sovereignty.operators["A Norwegian cloud"]',
        'sovereignty.operators["Amazon Web Services"]',
        "sovereignty.flows: frankfurt to oslo, tcp/3306",
        "sovereignty.flows: oslo to frankfurt, tcp/80",
        "sovereignty.measures",
    ]
    text = markdown.render(record)
    assert "**The record is not complete: 8 entries are UNDECLARED.**" in text
    assert all(f"- `{gap}`: " in text for gap in gaps(record))


CUSTOMERS = "sovereignty/data_sets/customers"
AWS = "sovereignty/operators/Amazon Web Services"
REQUESTS = "sovereignty/flows/frankfurt-requests"


@pytest.mark.parametrize(
    "left_out",
    [
        *("sovereignty/controller", "sovereignty/protection_officer", "sovereignty/measures"),
        *(f"{CUSTOMERS}/{key}" for key in ("categories", "subjects", "purposes", "lawful_basis", "retention", "keys")),
        f"{CUSTOMERS}/stored_on",
        *(f"{AWS}/{key}" for key in ("parent_country", "agreement", "basis", "review")),
        *(f"{REQUESTS}/{key}" for key in ("purpose", "encryption_ends", "use_case", "basis", "review", "data_sets")),
    ],
)
def test_what_the_law_asks_for_and_nobody_declared_is_a_gap(left_out: str) -> None:
    found = gaps(planned({left_out: GONE}))
    assert path_of(tuple(left_out.split("/"))) in found
    # What depends on the missing entry may be undeclared too, under its own setting; nothing else is.
    assert len(found) <= 2


def test_a_data_set_that_is_about_nobody_needs_no_basis() -> None:
    parts = ("categories", "subjects", "purposes", "lawful_basis", "retention", "keys")
    changes = {f"{CUSTOMERS}/data_class": "none", **{f"{CUSTOMERS}/{key}": GONE for key in parts}}
    assert gaps(planned(changes)) == []


def test_clauses_need_an_assessment_and_a_decision_of_adequacy_does_not() -> None:
    without = {f"{AWS}/assessment": GONE}
    assert gaps(planned(without)) == []
    assert gaps(planned({**without, f"{AWS}/basis": "standard-clauses"})) == [
        'sovereignty.operators["Amazon Web Services"].assessment'
    ]


def test_the_officer_may_be_none_with_a_reason() -> None:
    changes = {"sovereignty/protection_officer": GONE, "sovereignty/no_protection_officer": "No large-scale monitoring"}
    record = planned(changes)
    assert gaps(record) == []
    assert values(record, "parties", "protection_officer") == ("none: No large-scale monitoring",)


def test_a_processor_has_the_record_of_article_30_2() -> None:
    record = planned(PROCESSOR)
    assert gaps(record) == []
    assert values(record, "parties", "on_behalf_of") == ("Shop One AS, one@fortress.example",)
    text = markdown.render(record)
    assert text.startswith("# Record of processing carried out on behalf of controllers\n\nArticle 30(2) GDPR.\n")
    assert "| Categories of processing | to deliver orders and to keep accounts |" in text
    assert "| Processor | Example Shop AS | | |" in text
    assert gaps(planned({**PROCESSOR, "sovereignty/on_behalf_of": []})) == ["sovereignty.on_behalf_of"]


def test_a_transfer_follows_the_parent_and_not_the_place_of_the_machines() -> None:
    record = planned()
    assert [one.name for one in record.transfers] == ["Amazon Web Services"]
    assert values(record, "customers", "third_countries") == ("United States (US)",)
    home = planned({f"{AWS}/parent_country": "LU"})
    assert home.transfers == ()
    assert values(home, "customers", "third_countries") == ("none",)
    assert not any(site.third_country for site in home.sites)


def test_a_stricter_profile_makes_no_third_country_of_norway() -> None:
    record = planned({"sovereignty/profile": "EU"})
    assert [one.name for one in record.transfers] == ["Amazon Web Services"]


def test_a_flow_of_the_register_that_the_stack_has_not_says_so() -> None:
    record = planned({f"{REQUESTS}/port": 8080})
    assert values(record, "frankfurt-requests", "connections") == ("none: the stack has no such connection",)
    assert gaps(record) == ["sovereignty.flows: oslo to frankfurt, tcp/80"]
    assert [(arrow.flow, arrow.data_class) for arrow in record.arrows][-1] == ("oslo to frankfurt, tcp/80", "")


def test_a_flow_may_be_registered_by_its_hosts() -> None:
    changes = {f"{REQUESTS}/source": "oslo-edge", f"{REQUESTS}/destination": "fra-1"}
    record = planned(changes)
    assert values(record, "frankfurt-requests", "connections") == ("oslo-edge to fra-1, tcp/80",)
    assert gaps(record) == ["sovereignty.flows: oslo to frankfurt, tcp/80"]


def test_an_edge_that_sends_requests_to_another_stacks_servers_has_that_flow() -> None:
    record = planned({"edge/guests": {"far-1": "10.100.0.20:80"}})
    assert "oslo-edge to far-1, tcp/80" in values(record, "frankfurt-requests", "connections")
    assert gaps(planned({"edge/guests": {"far-1": "10.100.0.20:80"}, REQUESTS: GONE})) == [
        "sovereignty.flows: oslo to frankfurt, tcp/80"
    ]


def test_an_encrypted_volume_is_a_measure() -> None:
    def encrypted() -> dict[str, Any]:
        found = lab()
        found["database"]["volume"] = {"device": "/dev/vdb", "encrypted": True}
        return found

    assert values(planned({}, encrypted), "measures", "database_volume") == (
        "encrypted on the host (LUKS), with a key from the secret setting database_volume_key",
    )
    assert next(one for one in planned().sections() if one.name == "measures").entry("database_volume") is None


def test_a_backup_that_the_stack_makes_is_in_the_record_whatever_is_declared() -> None:
    backup = {"database/backup": {"site": "bergen", "directory": "/srv/backup"}}
    site = {"sites/bergen": {"operator": "Another cloud", "country": "NO", "sovereign": True}}
    record = planned({**site, **backup})
    assert values(record, "customers", "backups_at") == ("bergen in Norway (NO), run by Another cloud",)
    assert values(record, "customers", "operators") == ("A Norwegian cloud", "Amazon Web Services", "Another cloud")
    assert values(record, "measures", "backup_database.backup") == (
        "kept at bergen, encrypted on the host before it leaves",
    )
    abroad = {"sovereignty/operators/Another cloud": {"country": "NO", "parent_country": "US"}}
    assert [one.name for one in planned({**site, **backup, **abroad}).transfers] == [
        "Amazon Web Services",
        "Another cloud",
    ]
    elsewhere = planned({**site, **backup, f"{CUSTOMERS}/stored_on": ["oslo-edge"]})
    assert values(elsewhere, "customers", "backups_at") == ("none declared",)


def test_a_standing_stack_has_what_each_rule_found() -> None:
    record = standing("lab", lab, {"sovereignty/operators/Amazon Web Services/review": "2026-01-01"})
    assert record.rules is not None
    found = {one.rule: one for one in record.rules}
    assert len(found) == len(evaluate.ALL)
    assert record.rules_version == evaluate.VERSION
    assert found["processors"].result == "failed"
    assert "Amazon Web Services was to be reviewed by 2026-01-01" in found["processors"].details[0]
    assert found["third-country-flows"].result == "exempt"
    assert "| processors | mandatory | failed |" in markdown.render(record)


def test_a_rule_that_could_not_be_evaluated_is_not_evaluated() -> None:
    record = standing("lab", lab, {"sovereignty": GONE})
    results = {one.rule: one.result for one in record.rules or ()}
    assert results["key-custody"] == "not evaluated"


def test_the_order_of_the_settings_does_not_matter() -> None:
    def reversed_order() -> dict[str, Any]:
        found = lab()
        for part in ("operators", "data_sets", "flows"):
            found["sovereignty"][part] = dict(reversed(found["sovereignty"][part].items()))
        found["hosts"] = dict(reversed(found["hosts"].items()))
        found["sites"] = dict(reversed(found["sites"].items()))
        return found

    assert planned({}, reversed_order) == planned()


def test_rules_that_were_not_evaluated_are_not_passed_over() -> None:
    record = planned()
    assert "Rules were not evaluated for this record." in markdown.render(record)
    results: list[Any] = ["holds", "failed", "not evaluated", "exempt"]
    rules = tuple(
        RuleOutcome(rule=f"rule-{number}", level="mandatory", result=result, details=(f"about {number}",))
        for number, result in enumerate(results)
    )
    record = record.model_copy(update={"rules": rules, "rules_version": 7})
    text = markdown.render(record)
    assert "Version 7 of the rules: 2 of 4 hold or are exempt, 1 failed, 1 not evaluated." in text
    assert "| rule-2 | mandatory | not evaluated | about 2 |" in text
    assert "not evaluated" in page.render(record)


# --- the page ---------------------------------------------------------------------------------------------------------


class Read(HTMLParser):
    """A page's tags and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.words += [value for _, value in attrs if value]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def has(self, words: str) -> bool:
        return any(words in found for found in self.words)


@pytest.mark.parametrize("record", [standing("oslo", oslo), planned(PROCESSOR), planned({"sovereignty": GONE})])
def test_the_page_has_the_facts_of_the_markdown(record: ProcessingRecord) -> None:
    found, text = Read(page.render(record)), markdown.render(record)
    facts = {words for section in record.sections() for entry in section.entries for words in entry.values}
    facts |= {entry.source for section in record.sections() for entry in section.entries}
    facts |= {entry.title for section in record.sections() for entry in section.entries}
    assert len(facts) > 20
    assert [words for words in sorted(facts) if not found.has(words)] == []
    plain = text.replace("\\", "")
    assert [words for words in sorted(facts) if words not in plain] == []
    assert len(record.gaps()) == 0 or found.has("The record is not complete")


EVIL = "<script>alert(1)</script> | **bold** [x](http://evil.example) `code` & \\ $x$ \\| \"q\" 'q' {{ 7*7 }} --> ]]"


def evil_section(section: RecordSection) -> RecordSection:
    entries = tuple(one.model_copy(update={"values": (EVIL, f"{EVIL}\n# two")}) for one in section.entries)
    return section.model_copy(update={"title": EVIL, "entries": entries})


def test_no_text_of_the_register_breaks_the_page_or_the_markdown() -> None:
    plain = planned()
    groups = ("data_sets", "operators", "transfers", "flows")
    record = plain.model_copy(
        update={
            **{group: tuple(map(evil_section, getattr(plain, group))) for group in groups},
            "parties": evil_section(plain.parties),
            "measures": evil_section(plain.measures),
            "sites": tuple(site.model_copy(update={"operator": EVIL, "jurisdiction": EVIL}) for site in plain.sites),
            "arrows": tuple(arrow.model_copy(update={"flow": EVIL}) for arrow in plain.arrows),
        }
    )
    good, bad = Read(page.render(plain)), Read(page.render(record))
    assert "script" not in bad.tags
    assert bad.has(EVIL)
    assert {*bad.tags} <= {*good.tags, "ul", "li"}

    lines = markdown.render(record).splitlines()
    fences = [line for line in lines if line.startswith("```")]
    assert fences == ["```mermaid", "```"]
    assert not any(line.startswith("# ") for line in lines[1:])
    assert not any(re.search(r"(?<!\\)<(?!br>)", line) for line in lines)
    rows = [line for line in lines if line.startswith("| Purpose")]
    assert rows
    # A backslash and a bar, each escaped: an unescaped bar would be another cell.
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 4
    drawing = lines[lines.index("```mermaid") : lines.index("```")]
    assert all(line.count('"') in (0, 2) for line in drawing)


def test_what_quotes_a_name_in_a_source_stays_in_its_cell() -> None:
    name = "A | `cloud` \\| of"

    def evil() -> dict[str, Any]:
        found = lab()
        found["sites"]["frankfurt"]["operator"] = name
        operators = found["sovereignty"]["operators"]
        operators[name] = operators.pop("Amazon Web Services")
        return found

    lines = markdown.render(planned({}, evil)).splitlines()
    rows = [line for line in lines if line.startswith("| Established in")]
    assert len(rows) == 2
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 4


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"version": 2}, "was written by a newer version of this program (version 2; this one reads 1)"),
        ({"version": 1}, "is no record of this version (stack: field required)"),
        ([], "is no record of this version (record: input should be a valid dictionary"),
    ],
)
def test_another_versions_record_is_refused(found: Any, words: str) -> None:
    with pytest.raises(UnreadableError) as refusal:
        model.parse(found)
    assert str(refusal.value).startswith(words)
