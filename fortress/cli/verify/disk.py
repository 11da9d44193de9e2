"""What holds of disks: how full they are, how long they keep a host waiting, and what fio measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fortress.cli.base.errors import GARBLED
from fortress.cli.base.result import Result
from fortress.cli.check.check import Check
from fortress.cli.verify.verdicts import read_json


def io_wait(check: Check, result: Result, limit_percent: float) -> Check:
    """The share of time that processors idled while a request to a disk was open, with what each request took.

    A busy processor hides it, so the requests' own times stand beside it (proc(5); Documentation/admin-guide/iostats).
    """
    try:
        found = _printed(result)
        percent = max(0.0, round(float(found["iowait_percent"]), 1))  # the kernel's counter may go back (proc(5))
        awaits = f"read {_ms(found['r_await_ms'])}, write {_ms(found['w_await_ms'])}"
        over = f"over {float(found['seconds']):g} s"
        detail = f"{over}; {found['disk']}: await {awaits}, {float(found['queue']):.2g} in the queue"
    except GARBLED as error:
        return check.unknown(_why(result, error))
    return check.judge(percent <= limit_percent, percent, detail)


def space(check: Check, result: Result, folders: Sequence[str], limit_percent: float) -> Check:
    """How full the fullest file system under these folders is.

    Blocks that are kept for root count as df counts them: not among those that can be used.
    """
    fullest, detail = -1.0, ""
    try:
        lines = result.stdout.splitlines()
        for folder, line in zip(folders, lines, strict=True):
            size, total, free, available, inodes, free_inodes = (int(word) for word in line.split())
            used = total - free
            percent = 100 * used / (used + available)
            if percent > fullest:
                fullest, detail = percent, f"{folder} has {_gib(size * available)} free of {_gib(size * total)}"
            if inodes and (percent := 100 * (inodes - free_inodes) / inodes) > fullest:
                fullest, detail = percent, f"{folder} has {free_inodes} of {inodes} inodes free"
    except (ValueError, ZeroDivisionError):
        return check.unknown(_why(result, ValueError(result.stderr or f"exit status {result.status}")))
    rounded = round(fullest, 1)
    return check.judge(rounded <= limit_percent, rounded, detail)


def benchmark(checks: Sequence[Check], result: Result, iops: Mapping[str, float], commit_ms: float) -> list[Check]:
    """IOPS at each block size with 70 % reads, and what one commit waits for. `checks` are those, in the order of
    `iops` and the commit's last.
    """
    *mixed, commit = checks
    try:
        found = _printed(result)
        judged = [_mixed(check, found[size], limit) for check, (size, limit) in zip(mixed, iops.items(), strict=True)]
        latency = round(float(found["commit"]["p99_ms"]), 2)
        detail = f"fdatasync after each 4k write at queue depth 1; {float(found['commit']['iops']):.0f} a second"
    except GARBLED as error:
        return [check.unknown(_why(result, error)) for check in checks]
    return [*judged, commit.judge(latency <= commit_ms, latency, detail)]


def _mixed(check: Check, found: Mapping[str, Any], limit: float) -> Check:
    iops = round(float(found["iops"]))
    p99 = f"p99 read {_ms(found['read_p99_ms'])}, write {_ms(found['write_p99_ms'])}"
    return check.judge(iops >= limit, iops, f"{p99}; 70 % reads, 64 at a time")


def _printed(result: Result) -> dict[str, Any]:
    if result.status != 0:
        raise ValueError(result.stderr or f"exit status {result.status} with no output")
    found: dict[str, Any] = read_json(result.stdout)
    return found


def _why(result: Result, error: Exception) -> str:
    return str(error) if result.status != 0 else f"the host printed {result.stdout!r}"


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{float(value):.2g} ms"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
