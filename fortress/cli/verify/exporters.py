"""What a host says of its metrics exporters, judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fortress.cli.base.errors import GARBLED, printable
from fortress.cli.base.result import Result
from fortress.cli.check.check import Check


def judge(checks: Sequence[Check], result: Result) -> list[Check]:
    """One check for each exporter; `result` has as many lines, in the same order."""
    lines = result.stdout.splitlines()
    if len(lines) != len(checks):
        why = printable(result.stderr) or f"the host printed {result.stdout!r}"
        return [check.unknown(why) for check in checks]
    return [_one(check, line) for check, line in zip(checks, lines, strict=True)]


def _one(check: Check, line: str) -> Check:
    try:
        found: dict[str, Any] = json.loads(line)
        samples, wrong = int(found["samples"]), printable(str(found["wrong"]))
    except GARBLED:
        return check.unknown(f"the host printed {line!r}")
    if wrong:
        return check.fail(None, f"{wrong}; run `pulumi up`, or look at the unit on {check.host}")
    return check.ok(samples)
