"""The page of `fortress report`, read as a program reads it; tests/engine/test_report_page.py opens it in a browser."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.report import page as report
from fortress.cli.report.up import Touched, Up
from fortress.facts import StackOutputs
from tests.unit import example_report

EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(1)'> & {{ 7*7 }}"


class Page(HTMLParser):
    """Its tags with their attributes, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="module")
def text() -> str:
    return report.as_html(example_report.facts(instead=example_report.BROKEN))


def rows(text: str) -> list[list[str]]:
    """The lines of the tables of checks, as words by cell."""
    found = re.findall(r'<tr role="row" data-state.*?</tr>', text, re.DOTALL)
    return [
        [" ".join(" ".join(Page(cell).words).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in found
    ]


def test_every_check_stands_with_its_value_and_limit(text: str) -> None:
    found = {tuple(row[1:5]) for row in rows(text)}
    assert len(rows(text)) == len(example_report.facts().checks)
    assert ("round trip to oslo-db", "frankfurt-2", "23.09 ms", "20-30 ms") in found
    assert ("edge certificate renew it", "oslo-edge", "9.2 days", "14 days") in found
    assert ("host key", "oslo-db", "as pinned", "as pinned") in found


def folds(text: str) -> list[tuple[str, str, bool, list[str]]]:
    """The kinds of checks: title, state, whether it is unfolded, and the states of its cells, one a host."""
    return [
        (
            re.sub(r"<.*?>", "", body.partition('<span class="kind">')[2].partition("</span>")[0]),
            state,
            opened == " open",
            re.findall(r'<span class="cell (\w+)"', body),
        )
        for state, opened, body in re.findall(
            r'<details class="group" data-state="(\w+)"( open)?>(.*?)</summary>', text, re.DOTALL
        )
    ]


def test_kinds_that_hold_are_a_folded_line_below_those_that_do_not(text: str) -> None:
    found = folds(text)
    assert [(title, state, opened) for title, state, opened, _ in found][:5] == [
        ("handshake", "fail", True),
        ("backend", "fail", True),
        ("edge certificate", "fail", True),
        ("database over TLS", "unknown", True),
        ("host key", "ok", False),
    ]
    assert {opened for _, state, opened, _ in found if state == "ok"} == {False}
    # In the order of the hosts: edge, database, Oslo's worker, Frankfurt's.
    assert {title: cells for title, _, _, cells in found}["database over TLS"] == [
        *("none", "none", "ok", "ok", "unknown")
    ]
    assert [row[0] for row in rows(text)][:2] == ["fail", "ok"]


def test_a_folded_kind_says_its_values_and_its_limit(text: str) -> None:
    lines = [part.rpartition('<span class="spread">')[2] for part in text.split("</summary>")]
    said = [" ".join(" ".join(Page(line).words).split()) for line in lines]
    assert "109 to 912 s limit 180 s" in said
    assert "as pinned limit as pinned" in said


def test_country_and_operator_of_each_site_are_shown(text: str) -> None:
    words = " ".join(" ".join(Page(text).words).split())
    assert "NO, The cloud of oslo, personal data is kept here" in words
    assert "DE, The cloud of frankfurt" in words
    older = example_report.standing(example_report.LAB).model_copy(update={"sites": {}})
    assert "The cloud of" not in report.as_html(replace(example_report.facts(), outputs=older))


def test_a_program_gets_the_sites_too() -> None:
    found = json.loads(report.as_json(example_report.facts()))
    assert found["sites"]["oslo"] == {
        "operator": "The cloud of oslo",
        "country": "NO",
        "sovereign": True,
        "parent_country": None,
    }


@pytest.mark.parametrize("missing", [("edge",), ("database",), ("mesh", "database", "edge")])
def test_a_stack_may_be_without_them(missing: tuple[str, ...]) -> None:
    """The page has what is left, and says nothing of what is not there."""
    facts = example_report.facts()
    less: dict[str, Any] = dict.fromkeys(missing)
    hosts = {name: host.model_copy(update={"role": "host"}) for name, host in facts.outputs.hosts.items()}
    outputs = facts.outputs.model_copy(update={**less, "hosts": hosts} if "edge" in missing else less)
    page = report.as_html(replace(facts, outputs=outputs))
    assert [name for name in hosts if f'id="host-{name}"' not in page] == []
    assert ("answers at" in page) == ("outside</text>" in page) == ("edge" not in missing)
    assert "from these to" not in page
    found = json.loads(report.as_json(replace(facts, outputs=outputs)))
    assert [*found["hosts"]] == [*hosts]


def test_states_are_told_in_words_too(text: str) -> None:
    assert {row[0] for row in rows(text)} == {"ok", "fail", "unknown"}
    assert "3 of 42 checks fail, 1 could not be asked" in " ".join(" ".join(Page(text).words).split())
    assert "frankfurt-2 gave no answer within 10 s" in text


def test_each_history_has_its_words(text: str) -> None:
    images = re.findall(r'<svg class="plot"[^>]*aria-label="([^"]+)"[^>]*><title>([^<]+)</title>', text)
    assert len(images) == len(example_report.facts().checks)
    assert all(label == title for label, title in images)
    assert "ms, median" in " ".join(label for label, _ in images)


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ((), "Nothing was measured"),
        ((Check(Kind.HOST_KEY, "oslo-1").unknown("x"),), "1 of 1 could not be asked"),
        ((Check(Kind.HOST_KEY, "oslo-1").ok(1), Check(Kind.KEY_AGE, "oslo-1").ok(1)), "All 2 checks hold"),
        ((Check(Kind.HOST_KEY, "oslo-1").fail(1, ""), Check(Kind.KEY_AGE, "oslo-1").ok(1)), "1 of 2 checks fail"),
    ],
)
def test_the_verdict(checks: tuple[Check, ...], verdict: str) -> None:
    facts = example_report.facts({"oslo": 1}, runs=1)
    page = report.as_html(replace(facts, checks=checks, runs=()))
    assert verdict in " ".join(page.partition('<p class="verdict')[2].partition("</p>")[0].split())


@pytest.mark.parametrize(
    ("up", "said"),
    [
        (Up(0.0, 4.0, "succeeded", {"same": 120}), "Nothing: every resource was up to date."),
        (Up(0.0, 4.0, "succeeded", {"same": 9, "delete": 1}), "It wrote nothing that still exists."),
        (Up(0.0, 4.0, "failed", {"same": 9}), '<dd class="fail">failed</dd>'),
        (Up(0.0, None, ""), "not finished"),
        (None, "The engine knows of none."),
    ],
)
def test_what_the_last_up_did(up: Up | None, said: str) -> None:
    page = report.as_html(replace(example_report.facts({"oslo": 1}, runs=1), up=up))
    assert said in page.partition('<section id="up"')[2]


def test_nothing_is_loaded(text: str) -> None:
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "base", "video", "audio"}
    assert page.attributes("src") == []
    assert all(value.startswith("#") for value in page.attributes("href"))
    assert page.attributes("style") == []
    assert "url(" not in text.replace("url(#tip-", "")
    assert "@import" not in text


def test_the_policy_names_the_style_and_the_script_and_nothing_else(text: str) -> None:
    (policy,) = [
        attrs["content"] or "" for _, attrs in Page(text).tags if attrs.get("http-equiv") == "Content-Security-Policy"
    ]

    def named(tag: str) -> str:
        ((content),) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()

    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{named('style')}'" in policy
    assert f"script-src 'sha256-{named('script')}'" in policy


def renamed(found: StackOutputs, name: str, other: str) -> StackOutputs:
    hosts = {other if key == name else key: host for key, host in found.hosts.items()}
    return found.model_copy(update={"hosts": hosts})


def test_whatever_comes_from_elsewhere_is_text() -> None:
    facts = example_report.facts({"oslo": 1}, runs=1)
    plain = Page(report.as_html(facts))
    up = Up(0.0, 1.0, EVIL, {EVIL: 1}, EVIL, True, EVIL, EVIL, (Touched(EVIL, (EVIL,), (EVIL,), (EVIL,)),))
    evil = report.ReportData(
        stack=EVIL,
        when=facts.when,
        measured=facts.measured,
        outputs=renamed(facts.outputs, "oslo-1", EVIL),
        checks=(*facts.checks, Check(Kind.BACKEND, EVIL, EVIL, Status.FAIL, EVIL, EVIL, EVIL)),
        looked=(Check(Kind.UP, EVIL, status=Status.FAIL, value=EVIL, detail=EVIL),),
        runs=facts.runs,
        up=up,
    )
    text = report.as_html(evil)
    page = Page(text)
    assert page.count("script") == plain.count("script") == 1
    assert page.count("img") == 0
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "{{ 7*7 }}" in text
    assert EVIL in page.words
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"[<(]script|onerror=|alert\(", style)


def test_ids_are_there_once_and_every_link_has_its_end() -> None:
    gone = Check(Kind.HOST_KEY, "fra-9").unknown("it left the stack after this run")
    facts = example_report.facts(instead=example_report.BROKEN)
    page = Page(report.as_html(replace(facts, checks=(*facts.checks, gone))))
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.attributes("href")} <= set(ids)


def test_two_hosts_whose_names_look_alike_stay_apart() -> None:
    facts = example_report.standing({"oslo": 1})
    alike = renamed(renamed(facts, "oslo-1", "fra-1.1"), "oslo-db", "fra-1-1")
    found = report.slugs(alike, [])
    assert len(set(found.values())) == len(found) == 3


# --- contrast ---------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


GROUNDS = ("page", "card", "lane")
TEXT = [
    *itertools.product(("ink", "soft", "link", "ok", "fail", "unknown"), GROUNDS),
    *(("ink", "fail-soft"), ("ink", "unknown-soft"), ("soft", "fail-soft"), ("soft", "unknown-soft")),
    *(("fail", "fail-soft"), ("unknown", "unknown-soft"), ("link", "fail-soft"), ("link", "unknown-soft")),
    ("page", "ink"),
]
"""Words and what they stand on: 4.5 to 1 (WCAG 2.2, 1.4.3)."""
SHAPES = [
    *itertools.product(("tunnel", "edge"), GROUNDS),
    *(
        ("edge", "card"),
        ("glyph", "ok"),
        ("glyph", "fail"),
        ("glyph", "unknown"),
        ("soft", "ok-soft"),
        ("edge", "ok-soft"),
    ),
]
"""What must be seen to be understood: 3 to 1 (1.4.11)."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(text: str, scheme: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light if scheme == "light" else dark))
    poor = {
        (one, other): round(contrast(colours[one], colours[other]), 2)
        for pairs, least in ((TEXT, 4.5), (SHAPES, 3.0))
        for one, other in pairs
        if contrast(colours[one], colours[other]) < least
    }
    assert poor == {}
    # No colour is written where this test does not see it.
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", text.partition("<style>")[2].partition("</style>")[0])) == {
        *dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light)).values(),
        *dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark)).values(),
    }
