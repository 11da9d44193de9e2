"""Runs on a host (python3, standard library only): how much its disks keep it waiting, over a few seconds.

`python3 -I - FOLDER SECONDS`, with this text as standard input. Prints JSON: `iowait_percent` of the processors' time
in so many `seconds`; `disk`, under the folder, or all disks where the kernel does not count that one by itself;
`r_await_ms` and `w_await_ms`, null where nothing was read or written; `queue`, the mean number of requests that waited
or were served.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

Counters = list[int]
"""Of one disk, as /proc/diskstats has them (Documentation/admin-guide/iostats.rst): reads, merged, sectors, ms, writes,
merged, sectors, ms, in flight, ms busy, weighted ms."""


def cpu() -> list[int]:
    """Ticks of all processors together: user, nice, system, idle, iowait and the rest (proc(5))."""
    return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


def disks() -> dict[str, tuple[str, Counters]]:
    """`major:minor` to name and counters."""
    found = {}
    for line in Path("/proc/diskstats").read_text().splitlines():
        major, minor, name, *counters = line.split()
        found[f"{major}:{minor}"] = (name, [int(word) for word in counters[:11]])
    return found


def under(folder: str, known: dict[str, tuple[str, Counters]]) -> tuple[str, list[str]]:
    """A word for what the folder lies on, and the keys of it: one disk, or every whole one."""
    number = Path(folder).stat().st_dev
    key = f"{os.major(number)}:{os.minor(number)}"
    if key in known:
        return known[key][0], [key]
    whole = {path.name for path in Path("/sys/block").iterdir() if not path.name.startswith(("loop", "ram", "zram"))}
    return "all disks", [key for key, (name, _) in known.items() if name in whole]


def main(folder: str, seconds: float) -> None:
    cpu_before, disks_before = cpu(), disks()
    disk, keys = under(folder, disks_before)
    time.sleep(seconds)
    cpu_after, disks_after = cpu(), disks()
    ticks = [after - before for before, after in zip(cpu_before, cpu_after, strict=True)]
    done = [0] * 11
    for key in keys:
        if key in disks_after:
            both = zip(done, disks_before[key][1], disks_after[key][1], strict=True)
            done = [sum_ + after - before for sum_, before, after in both]
    reads, read_ms, writes, write_ms, weighted_ms = (done[place] for place in (0, 3, 4, 7, 10))
    found = {
        # The first eight: what guests take is counted in user and nice already.
        "iowait_percent": 100 * ticks[4] / max(1, sum(ticks[:8])),
        "seconds": seconds,
        "disk": disk,
        "r_await_ms": read_ms / reads if reads else None,
        "w_await_ms": write_ms / writes if writes else None,
        "queue": weighted_ms / 1000 / seconds,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    try:
        main(sys.argv[1], float(sys.argv[2]))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
