"""What the report's drawing has from the register: ultimate jurisdictions, and classes of data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fortress.cli.report import page as report
from fortress.cli.report.custody import NO_REGISTER, custody, of_register
from fortress.settings.declare import declare
from fortress.settings.parse import parse
from fortress.sovereignty.declared import written
from tests.doubles.standing_fortress import exported
from tests.unit import example_report
from tests.unit.stack_file import GONE, ROOT, changed
from tests.unit.test_cli_report_page import EVIL, Page

AWS = "sovereignty/operators/Amazon Web Services"
REQUESTS = "sovereignty/flows/frankfurt-requests"


def declared(changes: dict[str, Any] | None = None) -> Any:
    return declare(parse(changed(changes or {}), ROOT))


def test_it_has_parents_and_classes() -> None:
    found = of_register(declared({f"{REQUESTS}/data_class": "pseudonymised"}))
    assert found.parents == {"oslo": "NO", "frankfurt": "US"}
    assert found.kept == {"oslo-db": "personal", "oslo-edge": "personal"}
    assert found.passing == {
        ("oslo-edge", "fra-1"): "pseudonymised",
        ("oslo-edge", "fra-2"): "pseudonymised",
        ("fra-1", "oslo-db"): "personal",
        ("fra-2", "oslo-db"): "personal",
    }
    assert found.reached == {"oslo": "personal", "frankfurt": "personal"}


@pytest.mark.parametrize("change", [f"{AWS}/parent_country", AWS])
def test_a_parent_that_nobody_declared_is_undeclared(change: str) -> None:
    assert of_register(declared({change: GONE})).parents == {"oslo": "NO", "frankfurt": "UNDECLARED"}


def test_a_host_has_the_class_of_its_settings_and_a_pair_the_gravest_of_its_flows() -> None:
    changes = {"hosts/oslo-edge/data_class": "ciphertext", "hosts/fra-1/data_class": "pseudonymised"}
    assert of_register(declared(changes)).kept == {
        "oslo-db": "personal",
        "oslo-edge": "ciphertext",
        "fra-1": "pseudonymised",
    }
    requests = {"source": "oslo-edge", "destination": "frankfurt", "port": 80, "data_class": "none"}
    found = of_register(declared({"sovereignty/flows/empty": requests}))
    assert found.passing["oslo-edge", "fra-1"] == "personal"


def test_a_stack_without_a_register_has_none() -> None:
    assert of_register(declared({"sovereignty": GONE})) == NO_REGISTER
    assert custody(exported({"fortress": {}}), "lab") == NO_REGISTER
    found = custody(exported({"sovereignty": written(declared())}), "lab")
    assert found == of_register(declared())


def test_the_drawing_and_the_tables_show_them() -> None:
    facts = example_report.facts()
    custody_ = replace(
        NO_REGISTER,
        parents={"oslo": "NO", "frankfurt": "US"},
        kept={"oslo-db": "personal"},
        passing={("oslo-edge", "frankfurt-1"): "pseudonymised"},
        reached={"frankfurt": "pseudonymised"},
    )
    without, found = (Page(report.as_html(each)) for each in (facts, replace(facts, custody=custody_)))
    words, plain = (" ".join(" ".join(each.words).split()) for each in (found, without))
    for said in ("NO, The cloud of oslo, ultimate parent in NO, personal data is kept here", "ultimate parent in US"):
        assert said in words
        assert said not in plain
    for said in ("pseudonymised data in transit", "requests: pseudonymised data", "DE, parent in US", "personal data"):
        assert said in words
    assert "parent in" not in plain
    assert any("Carries pseudonymised data" in said for said in found.words)

    link = next(
        one
        for one in json.loads(report.as_json(replace(facts, custody=custody_)))["links"]
        if (one["source"], one["target"]) == ("oslo-edge", "frankfurt-1")
    )
    assert link["data_class"] == "pseudonymised"
    as_object = json.loads(report.as_json(replace(facts, custody=custody_)))
    assert as_object["sites"]["frankfurt"]["parent_country"] == "US"
    assert as_object["hosts"]["oslo-db"]["keeps"] == "personal"
    assert json.loads(report.as_json(facts))["sites"]["frankfurt"]["parent_country"] is None


def test_no_name_of_an_operator_is_markup() -> None:
    facts = example_report.facts()
    page = Page(report.as_html(replace(facts, custody=replace(NO_REGISTER, parents={"oslo": EVIL, "frankfurt": EVIL}))))
    plain = Page(report.as_html(facts))
    assert page.count("script") == plain.count("script")
    assert page.count("img") == 0
