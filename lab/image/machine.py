"""What the lab needs of this machine, looked at before anything is made."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.base import cgroups, folders
from lab.base.commands import run, succeeds
from lab.base.errors import LabError
from lab.base.folders import Lab
from lab.image import images, sources

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "dpkg-scanpackages": "dpkg-dev",
    "ip": "iproute2",
    "tc": "iproute2",
    "ping": "iputils-ping",
    "nft": "nftables",
    "ssh": "openssh-client",
    "ssh-add": "openssh-client",
    "ssh-agent": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""Programs that are called, and the Debian package of each."""

APT_LOCK_SECONDS = 300
HOSTS_MB = 4000
"""Room for the disks of five hosts, each with its services installed (0.6 GB with MariaDB) and some data."""
CACHE_MB = 1500
"""Room to make the base system (300 MB) and the packages (200 MB), each twice while it is made."""
WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
WATCHERS_NEEDED = 1024
"""inotify instances that root may have: a host takes nine, and a kernel that allows 128 is full with the third lab,
whose hosts then boot without SSH."""


@dataclass(frozen=True)
class Features:
    """What the kernel does itself, and what needs a stand-in."""

    netem: bool
    wireguard: bool
    systemd: bool


def features() -> Features:
    """Try, in a network namespace that is thrown away; the kernel loads a module if it has one."""
    scratch = ["unshare", "--net", "sh", "-c"]
    netem = "ip link set lo up && tc qdisc add dev lo root netem delay 1ms"
    return Features(
        netem=succeeds([*scratch, netem]),
        wireguard=succeeds([*scratch, "ip link add wg0 type wireguard"]),
        systemd=cgroups.systemd(),
    )


def check_root() -> None:
    """Namespaces and mounts are root's."""
    if os.geteuid() != 0:
        raise LabError("the lab makes namespaces and mounts, which requires root", "run it with sudo, or as root")


def check_tun() -> None:
    """The delay line and wireguard-go work on TUN devices."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except FileNotFoundError:
        cure = "modprobe tun; in a container, start it with --device /dev/net/tun"
        raise LabError("there is no /dev/net/tun", cure) from None
    except OSError as error:
        cure = "modprobe tun; in a container, allow it the device"
        raise LabError(f"/dev/net/tun cannot be opened: {error.strerror}", cure) from None


def free_mb(path: Path) -> int:
    """Megabytes free on the file system that will hold `path`."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free // 1_000_000


def check_room(lab: Lab, release: str) -> None:
    """Disks of hosts and the cache must fit."""
    needed = [] if lab.folder.is_dir() else [(lab.folder, HOSTS_MB)]
    if not images.repository_path(release).exists():
        needed.append((folders.cache(), CACHE_MB))
    for path, megabytes in needed:
        if (free := free_mb(path)) < megabytes:
            cure = "free some space" + (", or set XDG_CACHE_HOME" if path == folders.cache() else "")
            raise LabError(f"{path} has {free} MB free and needs {megabytes} MB", cure)


def allow_watchers() -> None:
    """Raise the machine's limit, which costs nothing until it is used; where that is not ours to do, hosts tell."""
    with suppress(OSError):
        if int(WATCHERS.read_text()) < WATCHERS_NEEDED:
            WATCHERS.write_text(f"{WATCHERS_NEEDED}\n")


def check_overlay() -> None:
    """Disks of hosts are overlays; some file systems, overlays among them, cannot hold their upper layers."""
    folders.ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
    trial = folders.ROOT / f".trial-{os.getpid()}"
    script = (
        'mkdir -p "$0/low" "$0/up" "$0/work" "$0/all" && '
        'mount -t overlay -o "lowerdir=$0/low,upperdir=$0/up,workdir=$0/work" overlay "$0/all" && touch "$0/all/x"'
    )
    try:
        if not succeeds(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(trial)]):
            raise LabError(
                f"the file system of {folders.ROOT} cannot hold overlay mounts",
                "mount an ext4, xfs or btrfs file system there (in a container: a volume)",
            )
    finally:
        shutil.rmtree(trial, ignore_errors=True)
        folders.drop_root()


def check_name(lab: Lab) -> None:
    """The lab's name must be free, or the lab's own."""
    if lab.folder.exists() and any(lab.folder.iterdir()) and not lab.run.is_dir():
        raise LabError(f"{lab.folder} is in use and holds no lab", "remove it, or set FORTRESS_LAB to another name")
    group = cgroups.of_lab(lab)
    if not lab.run.is_dir() and cgroups.populated(group):
        count = len(cgroups.members(group))
        raise LabError(
            f"{count} processes of an earlier lab {lab.name!r} are left",
            f"FORTRESS_LAB={lab.name} python -m lab down",
        )


def missing_packages() -> list[str]:
    """Debian packages of the programs that are not on PATH."""
    return sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})


def apt(*arguments: str) -> None:
    """Run apt-get and wait for others who hold its locks, up to five minutes.

    Raises:
        LabError: it failed, or the locks stayed taken.
    """
    command = ["apt-get", "-o", f"DPkg::Lock::Timeout={APT_LOCK_SECONDS}", "-o", "Acquire::Retries=3", "--yes"]
    deadline = time.monotonic() + APT_LOCK_SECONDS
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    while True:
        try:
            run([*command, *arguments], environment=environment, seconds=1800)
        except LabError as error:
            # The lock on the lists is one that apt itself does not wait for.
            if "Could not get lock" not in error.problem or time.monotonic() > deadline:
                raise
            time.sleep(2)
        else:
            return


def install_programs() -> list[str]:
    """Install the Debian packages that the lab needs on the machine itself, and give their names.

    Raises:
        LabError: this is not Debian, or apt failed.
    """
    packages = missing_packages()
    if not packages:
        return []
    if shutil.which("apt-get") is None:
        raise LabError("this machine has no apt", f"install what provides: {', '.join(packages)}")
    apt("update")
    apt("install", "--no-install-recommends", *packages)
    if still := missing_packages():
        raise LabError(f"installed, yet not on PATH: {', '.join(still)}", "have /usr/sbin on PATH")
    return packages


def check_sources(release: str) -> None:
    """The base system and the packages come from where the machine gets its own."""
    if images.repository_path(release).exists():
        return
    if shutil.which("apt-get") is None:
        raise LabError("this machine has no apt", "run the lab on Debian 12 or 13")
    try:
        sources.debian(release)
    except LabError:
        apt("update")  # a fresh image has no lists yet, and who is Debian stands in them
        sources.debian(release)


def check_go() -> None:
    """The delay line is built with Go."""
    if not images.delay_line_path().exists() and shutil.which("go") is None:
        raise LabError(
            "this kernel has no netem, and there is no Go to build the stand-in for it with",
            "install Go 1.20 or newer, or boot a kernel with sch_netem",
        )


def check(lab: Lab, release: str) -> Features:
    """Everything that can be known beforehand about a lab whose hosts run that release of Debian.

    Raises:
        LabError: what is missing, and the cure.
    """
    check_root()
    check_name(lab)
    check_tun()
    cgroups.root()
    check_room(lab, release)
    check_overlay()
    allow_watchers()
    install_programs()
    check_sources(release)
    found = features()
    if not found.netem:
        check_go()
    return found
