"""docs/settings.md and the editor's schema: made from the models, complete, right about what a stack file may say."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from docs import reference
from fortress import mariadb
from fortress.settings.model import Settings
from fortress.settings.parse import parse
from fortress.settings.secrets import SECRETS
from tests.unit.stack_file import KEY, ROOT, changed, lab
from tests.unit.verdicts import refused

SCHEMA = reference.stack_schema()
STACKS = ("lab", "oslo")
Stack = dict[str, Any]


def stack_file(name: str) -> Stack:
    found: Stack = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())
    return found


def settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each setting with its path in the schema's definitions: `Mesh.mtu`."""
    for model, definition in SCHEMA["definitions"].items():
        for name, setting in definition.get("properties", {}).items():
            yield f"{model}.{name}", setting


@pytest.mark.parametrize("name", reference.pages())
def test_the_committed_page_is_what_the_models_say(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == reference.pages()[name], f"docs/{name} is old; cure: make docs"


def test_each_setting_stands_in_the_reference_and_says_what_it_is() -> None:
    page = reference.settings_page()
    for name, field in Settings.model_fields.items():
        assert f"\n## data-fortress:{name}" in page
        assert field.annotation is not None
    for name in SECRETS:
        assert f"| `data-fortress:{name}` | " in page
    silent = [path for path, setting in settings() if "$ref" not in str(setting) and "description" not in setting]
    assert silent == []
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    assert [row for row in rows if row.endswith(("|  |", "| |"))] == []


def test_links_in_the_reference_lead_to_its_headings() -> None:
    page = reference.settings_page()
    headings = {re.sub(r"[^\w-]", "", heading.lower()) for heading in re.findall(r"^#+ (.+)$", page, re.M)}
    links = re.findall(r"\(#([^)]+)\)", page)
    assert len(links) > 10
    assert set(links) <= headings


RANGES = [
    (path, setting["minimum"], setting["maximum"])
    for path, setting in settings()
    if path.startswith(("EdgeSettings.", "HealthChecks.")) and "minimum" in setting
]


@pytest.mark.parametrize(("path", "least", "most"), RANGES)
def test_a_range_of_the_edge_is_the_one_that_holds(path: str, least: int, most: int) -> None:
    """Those of HAProxy's numbers are in its module, which components take them from too."""
    below = path.replace("HealthChecks.", "edge/checks/").replace("EdgeSettings.", "edge/")
    for value, wrong in ((least - 1, f"at least {least}"), (most + 1, f"at most {most}")):
        (line,) = refused(changed({below: value}))
        assert line == f"{below.replace('/', '.')}: {value} must be {wrong}"


def test_every_number_of_the_edge_has_a_range() -> None:
    assert len(RANGES) == 13


def test_the_privileges_of_the_schema_are_those_there_are() -> None:
    assert dict(settings())["DatabaseSettings.privileges"]["items"]["enum"] == list(mariadb.PRIVILEGES)


# --- the editor's schema ----------------------------------------------------------------------------------------------


def problems(stack: Stack) -> list[str]:
    """What the schema refuses, deepest first where there are alternatives."""
    found = jsonschema.Draft7Validator(SCHEMA).iter_errors(stack)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def with_setting(path: str, value: Any) -> Stack:
    stack = copy.deepcopy(stack_file("lab"))
    *above, last = path.split("/")
    place = stack
    for part in above:
        place = place.setdefault(part, {})
    place[last] = value
    return stack


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", STACKS)
def test_the_stack_files_fit_and_name_it(name: str) -> None:
    assert problems(stack_file(name)) == []
    first = (ROOT / f"Pulumi.{name}.yaml").read_text().splitlines()[0]
    path = first.removeprefix("# yaml-language-server: $schema=")
    assert (ROOT / path) == ROOT / "docs" / "stack.schema.json"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("config/aws:region", "eu-central-1"),
        ("config/pulumi:disable-default-providers", ["aws"]),
        ("config/data-fortress:edge_tls_key", {"secure": "v1:x"}),
        ("config/data-fortress:ssh/bastion", {"address": "198.51.100.1", "host_key": KEY}),
        ("config/data-fortress:hosts/fra-1/memory_mb", None),
        ("config/data-fortress:verify/rtt_ms", {"frankfurt-oslo": [20.5, 30]}),
        ("config/data-fortress:verify/firewall_tables", ["ip nat", "inet f2b-table"]),
        ("secretsprovider", "passphrase"),
    ],
)
def test_what_may_stand_there_fits(path: str, value: Any) -> None:
    assert problems(with_setting(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("config/data-fortress:mesh/mut", 1360, "config.data-fortress:mesh: Additional properties"),
        ("config/data-fortress:meshh", {}, "config: 'data-fortress:meshh'"),
        ("config/data-fortress:mesh/mtu", "1360", "config.data-fortress:mesh.mtu: '1360' is not of type 'integer'"),
        ("config/data-fortress:mesh/keepalive_s", 600, "config.data-fortress:mesh.keepalive_s: 600 is greater"),
        ("config/data-fortress:mesh/hubs", [], "config.data-fortress:mesh.hubs: []"),
        ("config/data-fortress:hosts/fra-1/role", "cache", "config.data-fortress:hosts.fra-1.role: 'cache'"),
        ("config/data-fortress:hosts/Fra_1", {}, "config.data-fortress:hosts: 'Fra_1'"),
        ("config/data-fortress:hosts/fra-9", {}, "config.data-fortress:hosts.fra-9: 'site' is a required property"),
        ("config/data-fortress:sites/oslo/country", False, "config.data-fortress:sites.oslo.country: False is not"),
        ("config/data-fortress:sites/oslo/country", "Norway", "config.data-fortress:sites.oslo.country: 'Norway'"),
        ("config/data-fortress:workload/health", "health", "config.data-fortress:workload.health: 'health'"),
        (
            "config/data-fortress:verify/firewall_tables",
            ["table ip nat"],
            "config.data-fortress:verify.firewall_tables.0: 'table ip nat'",
        ),
        ("config/data-fortress:database_password", "plain", "config.data-fortress:database_password: 'plain'"),
        ("config/region", "eu-central-1", "config: 'region'"),
        ("konfig", {}, ": Additional properties"),
    ],
)
def test_what_may_not_stand_there_is_refused(path: str, value: Any, where: str) -> None:
    (line, *more) = problems(with_setting(path, value))
    assert line.startswith(where), [line, *more]


def test_it_refuses_nothing_that_the_program_takes() -> None:
    """The settings that may be left out, left out."""
    stack = stack_file("lab")
    for name in ("database", "verify"):
        del stack["config"][f"data-fortress:{name}"]
    least = lab()
    del least["database"], least["verify"]
    parse(least, ROOT)
    assert problems(stack) == []


def test_a_program_that_imports_the_models_reads_no_source() -> None:
    """Pydantic would read each model's docstrings from its file, a fifth of what an `up` without changes costs."""
    assert [field for field in Settings.model_fields.values() if field.description] == []
