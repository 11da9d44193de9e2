"""What changed between two records, in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from fortress.sovereignty.record.changes import longest_span, sentences
from fortress.sovereignty.record.model import RuleOutcome
from tests.unit.example_record import planned, standing
from tests.unit.stack_file import GONE, lab

CUSTOMERS = "sovereignty/data_sets/customers"
AWS = "sovereignty/operators/Amazon Web Services"
REQUESTS = "sovereignty/flows/frankfurt-requests"
CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "a new recipient": (
        {f"{CUSTOMERS}/recipients": ["carriers", "a payment service"]},
        ["New recipient of “customers”: “a payment service”."],
    ),
    "a recipient less": ({f"{CUSTOMERS}/recipients": []}, ["“carriers” no longer receives “customers”."]),
    "a longer retention": (
        {f"{CUSTOMERS}/retention": "Ten years after the last order"},
        [
            "A longer retention of “customers”: “Ten years after the last order” instead of “Three years after the "
            "last order; invoices after five years (bokføringsloven)”."
        ],
    ),
    "a shorter retention": (
        {f"{CUSTOMERS}/retention": "18 months after the last order"},
        [
            "A shorter retention of “customers”: “18 months after the last order” instead of “Three years after the "
            "last order; invoices after five years (bokføringsloven)”."
        ],
    ),
    "no retention": (
        {f"{CUSTOMERS}/retention": GONE},
        [
            "Another retention of “customers”: “UNDECLARED” instead of “Three years after the last order; invoices "
            "after five years (bokføringsloven)”."
        ],
    ),
    "a new transfer": (
        {"sovereignty/operators/A Norwegian cloud/parent_country": "GB"},
        [
            "New transfer: “A Norwegian cloud”, which answers to “United Kingdom (GB)”, may come to “customers”.",
            "The operator “A Norwegian cloud”, ultimate parent in: “United Kingdom (GB)” instead of “Norway (NO)”.",
        ],
    ),
    "another parent, whole": (
        {"sovereignty/operators/A Norwegian cloud/parent_country": "SE"},
        ["The operator “A Norwegian cloud”, ultimate parent in: “Sweden (SE)” instead of “Norway (NO)”."],
    ),
    "an end of a transfer": ({f"{AWS}/parent_country": "LU"}, ["The transfer to “Amazon Web Services” has ended."]),
    "a new data set": (
        {"sovereignty/data_sets/logs": {"summary": "Requests, by address", "stored_on": ["oslo-edge"]}},
        ["New data set “logs”: “Requests, by address”."],
    ),
    "another purpose": (
        {f"{CUSTOMERS}/purposes": ["to deliver orders and to keep accounts", "to send letters"]},
        ["“customers”, what it is used for: now also “to send letters”."],
    ),
    "another lawful basis": (
        {f"{CUSTOMERS}/lawful_basis": "consent"},
        [
            "“customers”, lawful basis: “consent (Article 6(1)(a) GDPR)” instead of “performance of a contract "
            "(Article 6(1)(b) GDPR)”."
        ],
    ),
    "a flow that is registered no more": (
        {REQUESTS: GONE},
        [
            "New flow “oslo to frankfurt, tcp/80” from “oslo, Norway (NO), run by A Norwegian cloud” to “frankfurt, "
            "Germany (DE), run by Amazon Web Services”: “UNDECLARED”.",
            "The flow “frankfurt-requests” is no longer in the record.",
        ],
    ),
    "another place": (
        {f"{CUSTOMERS}/stored_on": ["oslo-db", "fra-1"]},
        [
            "“customers”, where it is stored: now also “fra-1, host at frankfurt in Germany (DE), run by Amazon Web "
            "Services”.",
            "“customers”, region: now also “eu-central-1”.",
        ],
    ),
    "another purpose of a flow": (
        {f"{REQUESTS}/purpose": GONE},
        [
            "The flow “frankfurt-requests”, purpose: now UNDECLARED, and was “Answers requests when Oslo is full or "
            "has no live server”."
        ],
    ),
    "a measure less": (
        {"sovereignty/measures": ["A restore is rehearsed each quarter"]},
        ["Organisational measures: no longer “Access to hosts is given to named people and reviewed each quarter”."],
    ),
    "no officer": (
        {"sovereignty/protection_officer": GONE},
        ["Data protection officer: now UNDECLARED, and was “Kari Nordmann”, “dpo@fortress.example”."],
    ),
}


WHOLE = (
    "nothing",
    "another parent, whole",
    "a new recipient",
    "a longer retention",
    "a new data set",
    "a measure less",
    "no officer",
)
"""Changes that no other entry depends on: nothing else is said."""


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_a_sentence(case: str) -> None:
    changes, words = CHANGES[case]
    said = sentences(planned(), planned(changes))
    assert [one for one in words if one not in said] == []
    if case in WHOLE:
        assert said == words


def test_a_removed_data_set_and_a_removed_operator() -> None:
    logs = {"sovereignty/data_sets/logs": {"summary": "Requests, by address", "stored_on": ["oslo-edge"]}}
    assert "The data set “logs” is no longer in the record." in sentences(planned(logs), planned())
    other = {"sovereignty/operators/Another": {"country": "SE", "parent_country": "SE"}}
    assert sentences(planned(), planned(other)) == [
        "New recipient: the operator “Another”, whose ultimate parent is in “Sweden (SE)”."
    ]
    assert sentences(planned(other), planned()) == ["The operator “Another” is no recipient any more."]


def test_every_list_of_the_record_says_when_it_changes() -> None:
    """No entry of a data set can change without a sentence, except those that others have in theirs."""
    before = planned()
    data = before.data_sets[0]
    said_elsewhere = ("ways", "parents")
    for number, entry in enumerate(data.entries):
        if entry.key in said_elsewhere:
            continue
        entries = list(data.entries)
        entries[number] = entry.model_copy(update={"values": ("quite another",), "none": False})
        after = before.model_copy(update={"data_sets": (data.model_copy(update={"entries": tuple(entries)}),)})
        assert any("quite another" in one for one in sentences(before, after)), entry.key


def test_a_machine_that_is_replaced_and_another_day_are_no_change() -> None:
    before = standing("lab", lab)
    after = before.model_copy(
        update={"made": "2027-01-01 00:00 UTC", "state": before.state.model_copy(update={"sha256": "1" * 64})}
    )
    assert sentences(before, after) == []


def test_a_rule_that_fails_now() -> None:
    def with_result(result: Any) -> Any:
        rule = RuleOutcome(rule="key-custody", level="mandatory", result=result, details=())
        return planned().model_copy(update={"rules": (rule,)})

    assert sentences(with_result("holds"), with_result("failed")) == ["Rule “key-custody”: “failed”, and was “holds”."]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Three years after the last order; invoices after five years", 1825),
        ("30 days", 30),
        ("a 6-month period", 180),
        ("when the account is closed", None),
    ],
)
def test_the_longest_time_that_a_text_names(text: str, days: int | None) -> None:
    assert longest_span(text) == days


def test_a_flow_that_the_stack_no_longer_has() -> None:
    before, after = planned(), planned({f"{REQUESTS}/port": 8080})
    assert "The stack no longer has any connections of the flow “frankfurt-requests”." in sentences(before, after)
    assert "The stack now has connections of the flow “frankfurt-requests”." in sentences(after, before)


def test_another_worker_at_the_same_operator_is_no_change_of_the_record() -> None:
    worker = {"site": "frankfurt", "role": "worker", "slot": 6, "address": "203.0.113.23", "memory_mb": 512}
    assert sentences(planned(), planned({"hosts/fra-3": worker})) == []
