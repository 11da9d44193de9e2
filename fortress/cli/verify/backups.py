"""What holds of the database's backups, by what its host remembers of the last runs. Plain functions, no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fortress import backup
from fortress.cli.base.errors import GARBLED
from fortress.cli.base.result import Result
from fortress.cli.check.check import DAY_S, Check
from fortress.cli.check.kinds import Kind
from fortress.cli.verify.verdicts import read_json

HOUR_S = 3600.0
ENTROPY_BITS, SAMPLE = 7.9, 4096
"""Random bytes have 8 bits each, and as few as these are measured at 7.95; text in pages has 1 to 6."""
DRILL_LATE_DAYS = 1.0
"""A drill is part of the daily run, so it comes up to a day after its time."""


def checks(host: str) -> tuple[Check, ...]:
    """The checks of a database that is backed up."""
    return (
        Check(Kind.BACKUP, host, limit=backup.MAX_AGE_H),
        Check(Kind.RECOVERY_POINT, host, limit=backup.LATE_S),
        Check(Kind.BACKUP_READ_BACK, host, limit=backup.CHECK_AGE_H),
        Check(Kind.BACKUP_BYTES, host, limit=ENTROPY_BITS),
        Check(Kind.RESTORE_DRILL, host),
    )


def judge(every: tuple[Check, ...], result: Result) -> list[Check]:
    """What the host's answer means; ages by the host's own clock."""
    full, point, read_back, stored, drill = every
    try:
        if result.status != 0:
            raise ValueError(result.stderr or f"exit status {result.status} with no output")
        found: dict[str, Any] = read_json(result.stdout)
        judged = [_full(full, found), _point(point, found), _read_back(read_back, found), _stored(stored, found)]
        return judged if found["drill_days"] is None else [*judged, _drill(drill, found)]
    except GARBLED as error:
        why = str(error) if result.status != 0 else f"the host printed {result.stdout!r}"
        return [check.unknown(why) for check in every]


def _full(check: Check, found: Mapping[str, Any]) -> Check:
    last, failed = found["full"]["ok"], found["full"]["failed"]
    running = {"daily", "full"} & set(found["running"])
    if failed:
        return check.fail(_age(found, last, HOUR_S), f"the last run failed: {failed['why']}")
    if not last:
        if running:
            return check.unknown("the first backup is being taken")
        return check.fail(None, "no backup was ever completed; `fortress backup now` takes one")
    age = (found["now"] - last["at"]) / HOUR_S
    size = f"{_size(last['bytes'])}, {_size(last['added'])} of it new, in {last['seconds']:.0f} s, to {found['target']}"
    late = "" if age <= backup.MAX_AGE_H else "late: see `systemctl list-timers` there; "
    return check.judge(age <= backup.MAX_AGE_H, round(age, 1), f"{late}{size}")


def _point(check: Check, found: Mapping[str, Any]) -> Check:
    last, failed = found["ship"]["ok"], found["ship"]["failed"]
    if found["position"] is None:
        return check.unknown(found["trouble"])
    if not last:
        why = failed["why"] if failed else "they have not been sent yet"
        return check.fail(None, f"binary logs: {why}")
    if [last["file"], last["position"]] == found["position"]:
        # A copy has sent all that it has, and may lack what was committed on the primary since.
        lag = found.get("behind_s", 0.0)
        behind, said = max(0.0, found["now"] - last["at"]) if lag is None else lag, f"all sent to {found['target']}"
    else:
        behind, said = max(0.0, found["now"] - last["at"]), f"sent up to {last['file']} {last['position']}"
    if "ship" not in found["running"]:
        return check.fail(round(behind, 1), f"nothing sends them: see `systemctl status {backup.SHIP}` there")
    if failed:
        return check.judge(behind <= backup.LATE_S, round(behind, 1), f"binary logs: {failed['why']}")
    return check.judge(behind <= backup.LATE_S, round(behind, 1), said)


def _read_back(check: Check, found: Mapping[str, Any]) -> Check:
    last, failed = found["check"]["ok"], found["check"]["failed"]
    if failed:
        return check.fail(_age(found, last, HOUR_S), f"the target cannot be read back: {failed['why']}")
    if not last:
        if "daily" in found["running"] or found["full"]["ok"] is None:
            return check.unknown("the first daily run has not come to it yet")
        return check.unknown("the first daily run is to come")
    age = (found["now"] - last["at"]) / HOUR_S
    return check.judge(
        age <= backup.CHECK_AGE_H, round(age, 1), f"part {last['part']} of 30, in {last['seconds']:.0f} s"
    )


def _stored(check: Check, found: Mapping[str, Any]) -> Check:
    """By the last daily run that could read the target back."""
    last = found["check"]["ok"]
    if not last or not (seen := last.get("stored")):
        return check.unknown("no daily run has looked at what lies at the target yet")
    bits, sample = round(float(seen["entropy"]), 2), int(seen["sample"])
    if seen["begins"]:
        return check.fail(bits, f"what lies at {found['target']} is {seen['begins']}, and not encrypted")
    if sample < SAMPLE:
        return check.unknown(f"the file that was looked at has {sample} bytes, too few to tell")
    said = f"of {_size(sample)} as they lie at {found['target']}"
    return check.judge(bits >= ENTROPY_BITS, bits, said if bits >= ENTROPY_BITS else f"{said}: not encrypted")


def _drill(check: Check, found: Mapping[str, Any]) -> Check:
    limit = found["drill_days"] + DRILL_LATE_DAYS
    check = Check(check.kind, check.host, limit=limit)
    last, failed = found["drill"]["ok"], found["drill"]["failed"]
    if failed:
        return check.fail(_age(found, last, DAY_S), f"the last one failed: {failed['why']}")
    if not last:
        return check.unknown("none was done yet; `fortress drill` does one")
    age = (found["now"] - last["at"]) / DAY_S
    said = f"{len(last['tables'])} tables, {last['rows']} rows, restored in {last['restore_s']:.0f} s"
    return check.judge(age <= limit, round(age, 1), said)


def _age(found: Mapping[str, Any], last: Mapping[str, Any] | None, unit_s: float) -> float | None:
    return round((found["now"] - last["at"]) / unit_s, 1) if last else None


def _size(count: float) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"
