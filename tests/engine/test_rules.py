"""The rules on the real engine: what somebody adds beside the stack is seen before it is made."""

from __future__ import annotations

import pytest
import yaml

from tests.engine.project_stack import ProjectStack
from tests.unit.stack_file import changed, oslo

SLIPPED_IN = """
pulumi.CustomResource(
    "aws:ec2/vpc:Vpc", "elsewhere", {"region": "us-east-1", "cidrBlock": "10.99.0.0/16"},
    pulumi.ResourceOptions(provider=sites.providers["frankfurt"]),
)
pulumi.CustomResource(
    "openstack:objectstorage/container:Container", "published",
    {"name": "p", "containerRead": ".r:*", "metadata": {"data-class": "none", "owner": "kari@fortress.example"}},
    pulumi.ResourceOptions(provider=sites.providers["oslo"]),
)
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> ProjectStack:
    return ProjectStack(tmp_path_factory.mktemp("rules"), "oslo")


def test_what_is_slipped_in_beside_the_stack_stops_the_preview(stack: ProjectStack) -> None:
    main = stack.project / "__main__.py"
    as_it_is = main.read_text()
    main.write_text(as_it_is + SLIPPED_IN)
    try:
        said = stack.run("preview", fails=True)
    finally:
        main.write_text(as_it_is)
    # The engine stops at the first that it hears of.
    first = said[said.index("error: sovereignty: refused by the rules in docs/rules.md: ") :].splitlines()[0]
    assert "aws-region: elsewhere: is in region us-east-1" in first or " published: " in first
    assert not any(found["urn"].endswith(("::elsewhere", "::published")) for found in stack.resources())


def test_a_register_that_is_past_its_review_stops_everything_with_the_cure(stack: ProjectStack) -> None:
    stack.settings(changed({"sovereignty/operators/CoolVDS/review": "2026-01-01"}, oslo))
    said = stack.run("preview", fails=True)
    stack.as_it_stands()
    assert "refused by the rules in docs/rules.md:" in said
    assert (
        "processors: sovereignty.operators.CoolVDS.review: the entry of CoolVDS was to be reviewed by 2026-01-01; "
        "review it, and set sovereignty.operators.CoolVDS.review to the next review"
    ) in said
    assert "Traceback" not in said


def test_a_stack_without_a_register_is_told_what_was_not_evaluated_and_goes_on(stack: ProjectStack) -> None:
    found = yaml.safe_load(stack.file.read_text())
    del found["config"]["data-fortress:sovereignty"]
    stack.file.write_text(yaml.safe_dump(found, allow_unicode=True))
    said = stack.run("preview")
    stack.as_it_stands()
    assert "sovereignty: processors: sovereignty: not evaluated: the settings have no register" in said
