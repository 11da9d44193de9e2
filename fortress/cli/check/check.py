"""A check: what was asked of which host, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from fortress.cli.base.errors import clipped
from fortress.cli.check.kinds import RANK, Kind

DAY_S = 86_400.0


class Status(StrEnum):
    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One thing measured on one host; `kind`, `host` and `about` together name it once."""

    kind: Kind
    host: str
    about: str = ""
    """What of its kind it is about: a peer, a backend's server, a file's path; empty where there is one a host."""
    status: Status = Status.UNKNOWN
    value: float | str | None = None
    limit: float | str | tuple[float, float] | None = None
    detail: str = ""

    @property
    def name(self) -> str:
        """What people call it: `round trip to fra-1`."""
        return self.kind.check_name(self.about)

    @property
    def unit(self) -> str | None:
        """Of `value` and `limit`."""
        return self.kind.unit

    def ok(self, value: float | str | None, detail: str = "") -> Check:
        """It holds.

        Raises:
            ValueError: it is no number, as `fail` does: a host may print anything.
        """
        return replace(self, status=Status.OK, value=_value(value), detail=clipped(detail))

    def fail(self, value: float | str | None, detail: str) -> Check:
        """It does not hold."""
        return replace(self, status=Status.FAIL, value=_value(value), detail=clipped(detail))

    def unknown(self, detail: str) -> Check:
        """It was not measured."""
        return replace(self, status=Status.UNKNOWN, value=None, detail=clipped(detail))

    def judge(self, holds: bool, value: float | str | None, detail: str = "") -> Check:
        """One of the first two."""
        return self.ok(value, detail) if holds else self.fail(value, detail)

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "host": self.host,
            "status": str(self.status),
            "value": self.value,
            "unit": self.unit,
            "limit": self.limit,
            "detail": self.detail,
            "kind": str(self.kind),
            "about": self.about,
        }


def _value(value: float | str | None) -> float | str | None:
    if isinstance(value, str):
        return clipped(value)
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{value} is no measured number")
    return value


def exit_status(checks: Iterable[Check]) -> int:
    """0 when all hold, 1 when some fail, 2 when none fails but some could not be asked."""
    found = {check.status for check in checks}
    if Status.FAIL in found:
        return 1
    return 2 if Status.UNKNOWN in found or not found else 0


def in_order(checks: Iterable[Check]) -> list[Check]:
    """Checks by their kinds, those of one kind as they come."""
    return sorted(checks, key=lambda check: RANK[check.kind])
