"""What the database's host says of its accounts: whether they are those of the settings."""

from __future__ import annotations

import json
from typing import Any

from fortress import push
from fortress.cli.base.errors import GARBLED, printable
from fortress.cli.base.result import Result
from fortress.cli.check.check import Check

QUESTION = push.ACCESS_STATE


def judge(check: Check, result: Result) -> tuple[Check, tuple[str, ...]]:
    """The check, and each difference as a sentence. What was added by hand to other names is said, and no failure."""
    try:
        if result.status != 0:
            raise ValueError(result.stderr or f"exit status {result.status} with no output")
        found: dict[str, Any] = json.loads(result.stdout)
        differing = tuple(printable(str(each)) for each in found["differences"])
        others = ", ".join(printable(str(each)) for each in found["others"])
        count = int(found["accounts"])
    except GARBLED as error:
        why = printable(str(error)) if result.status != 0 else f"the host printed {result.stdout!r}"
        return check.unknown(why), ()
    if differing:
        return check.fail("differ", "; ".join(differing)), differing
    said = f"not of this stack: {others}" if others else ""
    if not found.get("passwords", True):
        said = "; ".join(["passwords are compared once `pulumi up` has set one", *([said] if said else [])])
    return check.ok(f"{count} as set", said), ()
