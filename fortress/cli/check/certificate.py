"""How long a certificate is still valid."""

from __future__ import annotations

import math

from fortress.cli.check.check import DAY_S, Check


def certificate_days(
    check: Check, not_after: float, now: float, limit_days: float, cure: str, detail: str = ""
) -> Check:
    """Days until a certificate expires; times in seconds since 1970. `cure` is the command that renews it."""
    days = math.floor((not_after - now) / DAY_S * 10) / 10
    if days < 0:
        return check.fail(days, f"expired: {cure}")
    return check.judge(days >= limit_days, days, detail if days >= limit_days else cure)
