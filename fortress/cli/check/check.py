"""A check: what was asked of which host, what came of it, and the order in which checks are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from fortress.cli.base.errors import clipped

DAY_S = 86_400.0


class Status(StrEnum):
    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One thing measured on one host; `name` and `host` together name it once."""

    name: str
    host: str
    status: Status = Status.UNKNOWN
    value: float | str | None = None
    unit: str | None = None
    limit: float | str | tuple[float, float] | None = None
    detail: str = ""

    def ok(self, value: float | str | None, detail: str = "") -> Check:
        """It holds. Raises ValueError for a number that is none, as `fail` does: a host may print anything."""
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
        return asdict(self) | {"status": str(self.status)}


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


ORDER = (
    "host key",
    "clock offset",
    "open ports",
    "handshake",
    "unknown peers",
    "key age",
    "interface MTU",
    "round trip",
    "tunnel MTU",
    "path MTU",
    "database over TLS",
    "database",
    "replication lag",
    "I/O wait",
    "IOPS",
    "commit to disk",
    "failover",
    "backend",
    "https",
    "http",
    "edge certificate",
)
"""The groups in which checks are shown, by how their names begin."""
