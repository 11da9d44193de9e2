"""Control groups: each part of the lab runs in one of its own, so that nothing that it started can stay behind.

Where systemd runs the machine it makes them, as scopes of a slice per lab. Elsewhere they are folders in the
machine's cgroup2 hierarchy, which may be mounted beside the old ones.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lab.base.commands import succeeds
from lab.base.errors import LabError
from lab.base.folders import Lab
from lab.base.processes import until


def systemd() -> bool:
    """Whether the machine itself is run by systemd."""
    return Path("/run/systemd/system").is_dir() and Path("/proc/1/comm").read_text().strip() == "systemd"


def hierarchy(mounts: str) -> Path | None:
    """Where the cgroup2 hierarchy is mounted, from the text of /proc/self/mounts."""
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def root() -> Path:
    """The machine's cgroup2 hierarchy.

    Raises:
        LabError: it is not mounted.
    """
    found = hierarchy(Path("/proc/self/mounts").read_text())
    if found is None:
        raise LabError(
            "the machine has no cgroup2 hierarchy",
            "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
        )
    return found


def _slice(lab: Lab) -> str:
    return f"fortress_{lab.name}.slice"  # a dash would put it below a slice that all labs share


def of_lab(lab: Lab) -> Path:
    """The group that holds all of a lab."""
    return root() / (_slice(lab) if systemd() else f"fortress-{lab.name}")


def of(lab: Lab, part: str) -> Path:
    """The group of one part of a lab."""
    return of_lab(lab) / (f"fortress-{lab.name}-{part}.scope" if systemd() else part)


def inside(lab: Lab, part: str) -> list[str]:
    """What to write before a command to have it run in the group of a part; the process id stays the same."""
    if systemd():
        return [
            *("systemd-run", "--scope", "--quiet", "--collect", "--property=Delegate=yes"),
            *(f"--slice={_slice(lab)}", f"--unit=fortress-{lab.name}-{part}.scope", "--"),
        ]
    group = of(lab, part)
    group.mkdir(parents=True, exist_ok=True)
    return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs")]


def members(group: Path) -> list[int]:
    """Ids of the processes in a group and in those below it."""
    found: list[int] = []
    for folder, _, _ in os.walk(group):  # which passes over a group that goes away meanwhile
        with suppress(OSError):
            found += [int(line) for line in (Path(folder) / "cgroup.procs").read_text().split()]
    return sorted(set(found))


def populated(group: Path) -> bool:
    """Whether any process lives in a group or below it."""
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:  # not there, or removed while it is read
        return False


def kill(group: Path) -> None:
    """Kill all that lives in a group at once, as when the plug is pulled, and remove the group.

    Raises:
        LabError: the kernel did not get rid of them in 15 s.
    """
    if not group.is_dir():
        return
    with suppress(OSError):  # it went meanwhile
        (group / "cgroup.kill").write_text("1")
    until(f"the end of all processes in {group}", 15, lambda: not populated(group))
    if systemd():
        succeeds(["systemctl", "stop", group.name])  # a slice stays until it is told; a scope goes by itself
        until(f"systemd to drop {group}", 15, lambda: not group.exists())
        return
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
