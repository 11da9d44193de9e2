"""Hosts: systemd-nspawn with a disk that is an overlay over the base system."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.base import cgroups, processes
from lab.base.commands import run
from lab.base.errors import LabError, NotStandingError
from lab.base.folders import Lab
from lab.base.processes import Process
from lab.base.topology import CLOUD, USER, USER_ID, LabHost
from lab.host import volumes
from lab.net import network

POWEROFF = signal.SIGRTMIN + 4
"""What systemd takes for an orderly end (systemd(1), signals)."""


@dataclass(frozen=True)
class Machine:
    """What a cloud makes of a host: its name for itself, who may log in with which public key, and the addresses
    (`10.20.0.11/24`) that it has besides the pool's."""

    hostname: str
    login: str
    public_key: str
    addresses: Sequence[str] = ()


@dataclass(frozen=True)
class HostState:
    """A host as it stands: `pid` is its supervising process, None when it is off; `host_key` is None before its
    first boot."""

    name: str
    site: str
    address: str
    pid: int | None
    host_key: str | None

    @property
    def running(self) -> bool:
        return self.pid is not None


def _part(host: LabHost) -> str:
    return f"host-{host.name}"


def _pid_file(lab: Lab, host: LabHost) -> Path:
    return lab.pid_file(_part(host))


def supervisor(lab: Lab, host: LabHost) -> Process | None:
    """The process that carries a host; None when the host is off."""
    return processes.alive(_pid_file(lab, host))


def host_key(lab: Lab, host: LabHost) -> str | None:
    """The public key that the host's sshd shows, read from the host's disk: `ssh-ed25519 AAAA…`."""
    try:
        text = (lab.host(host.name) / "upper/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    except FileNotFoundError:
        return None
    return " ".join(text.split()[:2])


def state(lab: Lab, host: LabHost) -> HostState:
    """How a host stands."""
    process = supervisor(lab, host)
    return HostState(
        host.name, host.site.name, str(host.address), process.pid if process else None, host_key(lab, host)
    )


def network_file(host: LabHost, addresses: Sequence[str] = ()) -> str:
    """Text of the host's systemd-networkd file, with further addresses."""
    return (
        "[Match]\nName=host0\n\n"
        f"[Network]\nAddress={host.address}/{host.site.network.prefixlen}\nGateway={host.site.gateway}\n"
        + "".join(f"Address={address}\n" for address in addresses)
        + "LinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )


def prepare(lab: Lab, host: LabHost, base: Path, machine: Machine | None = None) -> None:
    """Make a host's disk unless it has one: name, address, keys; the rest is the base system's.

    Raises:
        LabError: it would be a cloud's machine that no cloud has booted.
    """
    folder = lab.host(host.name)
    if (folder / "upper").is_dir():
        return
    if machine is None and host.name in CLOUD:
        raise LabError(f"there is no machine {host.name}", "let the stand-in for its cloud create an instance")
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("making/etc/ssh", "making/etc/systemd/network", f"making/home/{USER}/.ssh", "work", "root"):
        (folder / part).mkdir(parents=True)
    folder.chmod(0o700)
    disk = folder / "making"
    hostname = machine.hostname if machine else host.name
    (disk / "etc/hostname").write_text(f"{hostname}\n")
    (disk / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n")
    (disk / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    (disk / "etc/systemd/network/10-lab.network").write_text(network_file(host, machine.addresses if machine else ()))
    key = disk / "etc/ssh/ssh_host_ed25519_key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{hostname}", "-f", str(key)])
    authorize(disk, USER, USER_ID, lab.key.with_suffix(".pub").read_text())
    if machine:
        add_login(disk, base, machine.login, machine.public_key)
    (folder / "base").symlink_to(base)  # a later recipe must not slip another system below this disk
    disk.rename(folder / "upper")


def authorize(disk: Path, user: str, number: int, public_key: str) -> None:
    """Have a user's home on a disk, and in it the key that they log in with."""
    keys = disk / f"home/{user}/.ssh/authorized_keys"
    keys.parent.mkdir(parents=True, exist_ok=True)
    keys.write_text(f"{public_key.strip()}\n")
    keys.chmod(0o600)
    keys.parent.chmod(0o700)
    for path in (keys, keys.parent, keys.parent.parent):
        os.chown(path, number, number)


def add_login(disk: Path, base: Path, user: str, public_key: str) -> None:
    """Have a user who logs in with that key and may become root, as cloud-init makes the one of a cloud's image.

    Raises:
        LabError: the base system has that user.
    """
    number = USER_ID + 1
    added = account(user, number)
    if any(line.split(":")[0] == user for line in (base / "etc/passwd").read_text().splitlines()):
        raise LabError(f"the hosts' system already has a user {user!r}", "use another login")
    for name, line in added.items():
        source, target = base / "etc" / name, disk / "etc" / name
        target.write_text(source.read_text() + line)
        target.chmod(source.stat().st_mode & 0o7777)
        os.chown(target, source.stat().st_uid, source.stat().st_gid)
    rights = disk / "etc/sudoers.d/90-cloud-init-users"
    rights.parent.mkdir()
    rights.write_text(f"{user} ALL=(ALL) NOPASSWD:ALL\n")
    rights.chmod(0o440)
    authorize(disk, user, number, public_key)


def account(user: str, number: int) -> dict[str, str]:
    """The lines that make a user without a password, by file in /etc."""
    return {
        "passwd": f"{user}:x:{number}:{number}::/home/{user}:/bin/bash\n",
        "group": f"{user}:x:{number}:\n",
        "shadow": f"{user}:!:20000:0:99999:7:::\n",
        "gshadow": f"{user}:!::\n",
    }


def discard(lab: Lab, host: LabHost) -> None:
    """Pull the plug and remove the disk; volumes are detached and stay. A host that is not there is fine."""
    kill(lab, host)
    volumes.release(lab, host)
    shutil.rmtree(lab.host(host.name), ignore_errors=True)


def start(lab: Lab, host: LabHost, base: Path, fresh: bool = False) -> bool:
    """Start a host that is off, on its disk or on a new one over `base`; False when it runs already.

    In a `fresh` network nobody can have taken its address, so that is not looked at.

    Raises:
        LabError: its base system is gone from the cache, or its address is taken.
    """
    if supervisor(lab, host):
        return False
    cgroups.kill(cgroups.of(lab, _part(host)))  # what outlived its supervisor
    if not fresh and network.answers(lab, host.address):
        raise LabError(
            f"{host.address} is in use: something else in the lab answers for {host.name}",
            "take that address off the host that has it",
        )
    prepare(lab, host, base)
    folder = lab.host(host.name)
    under = (folder / "base").readlink()
    if not under.is_dir():
        raise LabError(
            f"{host.name} is based on {under}, which is gone",
            "python -m lab down && python -m lab up: its data is lost",
        )
    volumes.restore(lab, host)
    command = [
        *cgroups.inside(lab, _part(host)),
        *("unshare", "--mount", "--propagation", "private"),
        *(str(Path(__file__).with_name("host.sh")), host.name, str(folder), str(under)),
        *(str(network.holder(lab, host.site.name).network), "systemd" if cgroups.systemd() else "pure"),
    ]
    processes.spawn(command, _pid_file(lab, host), folder / "console.log")
    return True


def init(lab: Lab, host: LabHost) -> Process:
    """The first process inside a host.

    Raises:
        NotStandingError: the host is off, or only begins to boot.
    """
    for pid in cgroups.members(cgroups.of(lab, _part(host))):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        if len(ids) > 1 and ids[-1] == "1" and (process := processes.look(pid)):
            return process
    raise NotStandingError(f"{host.name} is off", f"python -m lab start {host.name}")


def booted(lab: Lab, host: LabHost) -> bool:
    """Whether a host has come so far that its system runs; before, what is put into it may land elsewhere."""
    try:
        return Path(f"/proc/{init(lab, host).pid}/comm").read_text() == "systemd\n"
    except (NotStandingError, FileNotFoundError, ProcessLookupError):
        return False


def stop(lab: Lab, host: LabHost, seconds: float) -> None:
    """Shut a host down; pull the plug when that takes longer than so many seconds."""
    process = supervisor(lab, host)
    if process:
        try:
            processes.send(init(lab, host), POWEROFF)
            processes.wait(process, seconds)
        except NotStandingError:
            pass
    kill(lab, host)


def kill(lab: Lab, host: LabHost) -> None:
    """Pull the plug: nothing in the host gets to do or say anything any more. Its disk stays as it is."""
    network.unplug(lab, host)
    cgroups.kill(cgroups.of(lab, _part(host)))
    if process := supervisor(lab, host):
        processes.wait(process, 5)
    _pid_file(lab, host).unlink(missing_ok=True)


def console(lab: Lab, host: LabHost) -> list[str]:
    """What to write before a command to have it run inside a host as root, not through the network.

    Raises:
        NotStandingError: the host is off.
    """
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [
        *("nsenter", f"--target={init(lab, host).pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"),
        *("--root", "--wd", "--", "env", "-i", f"PATH={path}", "HOME=/root", "USER=root", "LANG=C.UTF-8"),
    ]
