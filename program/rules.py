"""The rules in docs/rules.md, held by every preview and `up` of this stack."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pulumi

from components import rules
from fortress.settings.declare import declare
from fortress.settings.model import Settings
from program.refusal import refusal
from program.toolchain import toolchain


def hold_rules(s: Settings, project: Path) -> None:
    """Judge the settings, and from here on each resource before it is made.

    Raises:
        pulumi.RunError: a mandatory rule does not hold; the message has a line for each finding, with its cure.
    """
    rules.hold_rules(declare(s), toolchain(project), datetime.now(UTC).date(), _refused)


def _refused(lines: list[str]) -> pulumi.RunError:
    return refusal("refused by the rules in docs/rules.md:", lines)
