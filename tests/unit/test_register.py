"""The register in a stack file: that of the examples is whole, all of it may be left out, wrong entries are refused in
one line. The output `sovereignty` is read back as it was written."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from fortress.facts import UnreadableError
from fortress.settings.declare import declare
from fortress.settings.parse import parse
from fortress.sovereignty import countries, declared
from tests.unit.stack_file import GONE, ROOT, changed, lab, oslo
from tests.unit.verdicts import refused

STACKS = {"lab": lab, "oslo": oslo}
HOSTS = "oslo-db, oslo-edge, oslo-web, fra-1, fra-2"


@pytest.mark.parametrize("stack", STACKS)
def test_the_register_of_the_examples_is_whole(stack: str) -> None:
    settings = parse(STACKS[stack](), ROOT)
    register = settings.sovereignty
    assert register is not None
    assert register.controller
    assert register.protection_officer
    assert set(register.operators) == {site.operator for site in settings.sites.values()}
    for operator in register.operators.values():
        assert None not in (operator.parent_country, operator.agreement, operator.basis, operator.review)
    for data in register.data_sets.values():
        assert all((data.categories, data.subjects, data.purposes, data.lawful_basis, data.retention, data.keys))
        assert "oslo-db" in data.stored_on
    for flow in register.flows.values():
        assert None not in (flow.purpose, flow.encryption_ends, flow.use_case, flow.basis, flow.review)


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_needs_no_register_and_none_of_its_parts(stack: str) -> None:
    assert parse(changed({"sovereignty": GONE}, STACKS[stack]), ROOT).sovereignty is None
    empty = parse(changed({"sovereignty": {}}, STACKS[stack]), ROOT).sovereignty
    assert empty is not None
    assert (empty.profile, empty.acts_as, empty.controller, empty.operators) == ("EEA", "controller", None, {})


CUSTOMERS = "sovereignty/data_sets/customers"
REQUESTS = "sovereignty/flows/frankfurt-requests"
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a day that is none": (
        {"sovereignty/operators/CoolVDS/review": "2027-02-30"},
        "sovereignty.operators.CoolVDS.review: '2027-02-30' must be a day such as \"2027-06-30\", in quotes",
    ),
    "a day as a number": (
        {f"{REQUESTS}/review": 20270630},
        'sovereignty.flows.frankfurt-requests.review: 20270630 must be a day such as "2027-06-30", in quotes',
    ),
    "an unknown operator's keys": (
        {f"{CUSTOMERS}/keys/holder": "CoolVD"},
        "sovereignty.data_sets.customers.keys.holder: 'CoolVD' is neither controller nor in operators; "
        "known: controller, CoolVDS, Amazon Web Services",
    ),
    "an unknown data set": (
        {f"{REQUESTS}/data_sets": ["orders"]},
        "sovereignty.flows.frankfurt-requests.data_sets[0]: 'orders' is not in data_sets; known: customers",
    ),
    "an unknown host": (
        {f"{CUSTOMERS}/stored_on": ["oslo-db", "oslo-db2"]},
        "sovereignty.data_sets.customers.stored_on[1]: 'oslo-db2' is neither a host nor an object container; "
        f"known: {HOSTS}, oslo/fortress-personal, oslo/fortress-backups",
    ),
    "an unknown site": (
        {f"{CUSTOMERS}/backups_at": ["bergen"]},
        "sovereignty.data_sets.customers.backups_at[0]: 'bergen' is not in sites; known: oslo, frankfurt",
    ),
    "a flow to nowhere": (
        {f"{REQUESTS}/destination": "paris"},
        "sovereignty.flows.frankfurt-requests.destination: 'paris' is neither a site nor a host; "
        f"known: oslo, frankfurt, {HOSTS}",
    ),
    "a flow to itself": (
        {f"{REQUESTS}/destination": "oslo"},
        "sovereignty.flows.frankfurt-requests.destination: 'oslo' is the source too; a flow joins two places",
    ),
    "a flow without its data class": (
        {f"{REQUESTS}/data_class": GONE},
        "sovereignty.flows.frankfurt-requests.data_class: missing; add it to the stack file",
    ),
    "an exemption without an end": (
        {f"{REQUESTS}/exemption": {"reason": "it is fast", "owner": "Kari Nordmann"}},
        "sovereignty.flows.frankfurt-requests.exemption.end: missing; add it to the stack file",
    ),
    "no officer, and one": (
        {"sovereignty/no_protection_officer": "we are few"},
        "sovereignty.no_protection_officer: 'we are few' but protection_officer names one; leave one of the two out",
    ),
    "a country by its name": (
        {"sovereignty/operators/CoolVDS/country": "Norway"},
        "sovereignty.operators.CoolVDS.country: 'Norway' must be a country's two letters (ISO 3166), such as NO",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_wrong_entry_is_refused_in_one_line(case: str) -> None:
    changes, line = REFUSALS[case]
    assert refused(changed(changes, oslo)) == [line]


@pytest.mark.parametrize("written", ["2027-06-30", "2027-06-30T00:00:00Z", date(2027, 6, 30)])
def test_a_day_is_read_however_yaml_and_the_engine_hand_it_on(written: Any) -> None:
    settings = parse(changed({"sovereignty/operators/CoolVDS/review": written}, oslo), ROOT)
    assert settings.sovereignty is not None
    assert settings.sovereignty.operators["CoolVDS"].review == date(2027, 6, 30)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("register", [True, False])
def test_the_output_is_read_back_as_it_was_written(stack: str, register: bool) -> None:
    settings = parse(changed({} if register else {"sovereignty": GONE}, STACKS[stack]), ROOT)
    facts = declare(settings)
    written = json.dumps(declared.written(facts))
    assert declared.parse(json.loads(written)) == facts
    assert declared.parse(json.loads(written, parse_int=float)) == facts, "as a state may have it"
    assert (facts.entries is not None) == register


def test_the_output_has_the_places_of_the_settings() -> None:
    facts = declare(parse(oslo(), ROOT))
    assert {name: (site.cloud, site.region, site.sovereign) for name, site in facts.sites.items()} == {
        "oslo": ("openstack", "NO-Oslo-1", True),
        "frankfurt": ("aws", "eu-central-1", False),
    }
    assert facts.sites["oslo"].containers == ("fortress-personal", "fortress-backups")
    assert facts.sites["oslo"].auth_url == "https://api.coolvds.com/v3"
    assert (facts.hosts["fra-1.1"].setting, facts.hosts["fra-1.1"].site) == ("fra-1", "frankfurt")
    assert ("oslo-edge", "fra-1.1", 80) in [(flow.source, flow.destination, flow.port) for flow in facts.flows]
    assert {name: site.region for name, site in declare(parse(lab(), ROOT)).sites.items()} == {
        "oslo": "NO-Oslo-1",
        "frankfurt": "eu-central-1",
    }


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"version": 3},
            "was written by a newer version of this program (version 3; this one reads 2); update data-fortress",
        ),
        ({"version": 1, "hosts": {}}, "was written by another version of this program (sites: field required)"),
        ("text", "was written by another version of this program (sovereignty: input should be a valid dictionary"),
    ],
)
def test_another_versions_output_is_refused(found: Any, words: str) -> None:
    with pytest.raises(UnreadableError) as refusal:
        declared.parse(found)
    assert str(refusal.value).startswith(words)


def test_norway_is_in_the_eea_and_not_in_the_eu() -> None:
    assert countries.inside("NO", "EEA")
    assert not countries.inside("NO", "EU")
    assert countries.inside("DE", "EU")
    assert not any(countries.inside(country, profile) for country in ("US", "GB", "CH") for profile in ("EEA", "EU"))
    assert (len(countries.EU), len(countries.EEA)) == (27, 30)
