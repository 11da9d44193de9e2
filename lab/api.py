"""The lab in plain functions, for tests and for the command line.

Every function works on the lab that FORTRESS_LAB names at that moment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.base import cgroups, folders, processes, topology
from lab.base.commands import run
from lab.base.errors import LabError, NotStandingError
from lab.base.folders import Lab, current, locked
from lab.host import cloud_config, secure_shell, volumes
from lab.host import hosts as hosts_
from lab.host.hosts import HostState, Machine
from lab.image import images, machine
from lab.net import link as link_
from lab.net import network, repository
from lab.net.link import LinkSettings

__all__ = [
    "HostState",
    "LabError",
    "LabStatus",
    "LinkSettings",
    "NotStandingError",
    "attach",
    "boot",
    "console",
    "current",
    "cut",
    "detach",
    "discard",
    "down",
    "environment",
    "grow",
    "heal",
    "hosts",
    "in_operator",
    "in_outside",
    "kill",
    "link",
    "link_settings",
    "shut_down",
    "ssh",
    "start",
    "status",
    "up",
]

Step = Callable[[str], AbstractContextManager[None]]
"""Told the name of a step; the step is what happens inside the `with`."""

BOOT_SECONDS = 60.0
"""How long a host may take until it lets the operator in; 2 s is usual."""
STOP_SECONDS = 8.0
"""How long a host may take to shut down before its plug is pulled."""


@contextmanager
def silent(_: str) -> Iterator[None]:
    """Steps that nobody is told of."""
    yield


def up(names: Sequence[str] | None = None, step: Step = silent, release: str | None = None) -> list[str]:
    """Bring the lab up: what stands is left alone, what is missing is made and started.

    Args:
        names: hosts to have up; the standard ones and all that have a disk already when None, but for those of
            the clouds, which they switch on and off. Others are left as they are.
        step: is told what is being done.
        release: the Debian release that the hosts run, one of `folders.RELEASES`; the one that the lab has when None,
            the first of them in a new lab.

    Returns:
        The hosts that were started.

    Raises:
        LabError: what is missing, and the cure.
    """
    lab = current()
    usual = dict.fromkeys([*topology.STANDARD, *(name for name in hosts() if name not in topology.CLOUD)])
    wanted = [topology.host(name) for name in (usual if names is None else names)]
    with step("machine"):
        release = check_release(lab, release)
        features = machine.check(lab, release)
    with ThreadPoolExecutor() as pool:
        jobs = []
        if not features.netem and not images.delay_line_path().exists():
            jobs.append(pool.submit(_within, step("delay line, built once"), images.delay_line))
        if not images.base_path(release).exists():
            jobs.append(
                pool.submit(_within, step(f"base system of {release}, made once (half a minute)"), images.base, release)
            )
        if not images.repository_path(release).exists():
            jobs.append(pool.submit(_within, step("packages, fetched once (a minute)"), images.repository, release))
        for job in jobs:
            job.result()
    with locked(lab.folder):
        lab.run.mkdir(exist_ok=True)
        lab.state.mkdir(exist_ok=True)
        check_release(lab, release)  # another `up` may have been quicker
        lab.release_file.write_text(f"{release}\n")
        (lab.run / "features.json").write_text(json.dumps(asdict(features)) + "\n")
        secure_shell.make_key(lab)
        if not secure_shell.agent_standing(lab):
            with step("ssh-agent"):
                secure_shell.start_agent(lab)
        fresh = not network.standing(lab)
        if fresh:
            with step("network"):
                for host in topology.HOSTS.values():
                    hosts_.kill(lab, host)  # its wires hung in what is gone
                repository.down(lab)
                link_.down(lab)
                network.down(lab)
                network.up(lab)
        if not link_.standing(lab):
            with step("link between the sites"):
                link_.up(lab, features.netem)
        if not repository.standing(lab):
            with step("package repository"):
                repository.up(lab)
        started = [host for host in wanted if not hosts_.supervisor(lab, host)]
        base = images.base(release)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: hosts_.start(lab, host, base, fresh), started))
    # Those that ran already are asked, too: another `up` may have started them a moment ago.
    with ThreadPoolExecutor() as pool:
        named = [(host, step(f"host {host.name}") if host in started else nullcontext()) for host in wanted]
        list(pool.map(lambda pair: _within(pair[1], lambda: _wait(lab, pair[0])), named))
    return [host.name for host in started]


def check_release(lab: Lab, release: str | None) -> str:
    """The Debian release for a lab's hosts: the one that is asked for, or the one that it has.

    Raises:
        LabError: there is no such release, or the lab has another.
    """
    wanted = release or lab.release
    if wanted not in folders.RELEASES:
        raise LabError(f"no host can run {wanted!r}", f"name one of {', '.join(folders.RELEASES)}")
    if lab.release_file.exists() and lab.release != wanted:
        raise LabError(
            f"the hosts of lab {lab.name!r} run {lab.release}, not {wanted}",
            f"take it down first (python -m lab down), or set FORTRESS_LAB to the name of a second lab for {wanted}",
        )
    return wanted


def _within(context: AbstractContextManager[None], do: Callable[..., object], *arguments: object) -> None:
    with context:
        do(*arguments)


def _wait(lab: Lab, host: topology.LabHost) -> None:
    if link_.load(lab).cut and host.site != topology.OSLO:
        return  # the operator, who is in Oslo, cannot reach it
    secure_shell.wait(lab, host, BOOT_SECONDS)


def down(step: Step = silent) -> None:
    """Take the lab down and remove all of it but the cache. A lab that is not there is fine."""
    machine.check_root()
    lab = current()
    if lab.folder.exists():
        if any(lab.folder.iterdir()) and not lab.run.is_dir():
            machine.check_name(lab)
        with locked(lab.folder):
            running = [host for host in topology.HOSTS.values() if hosts_.supervisor(lab, host)]
            if running:
                with step("hosts"), ThreadPoolExecutor() as pool:
                    list(pool.map(lambda host: hosts_.stop(lab, host, STOP_SECONDS), running))
            for volume in volumes.load(lab).values():
                volumes.free_loop(volume)
            with step("network"):
                repository.down(lab)
                link_.down(lab)
                secure_shell.stop_agent(lab)
                network.down(lab)
                cgroups.kill(cgroups.of_lab(lab))
            with step("folders"):
                shutil.rmtree(lab.folder)
    else:
        cgroups.kill(cgroups.of_lab(lab))
    folders.drop_root()


def hosts() -> dict[str, HostState]:
    """The hosts of the lab that have a disk, running or not."""
    lab = current()
    return {name: hosts_.state(lab, host) for name, host in topology.HOSTS.items() if lab.host(name).is_dir()}


@dataclass(frozen=True)
class LabStatus:
    """How a lab stands. `parts` says of each of its own processes whether it runs."""

    lab: str
    release: str
    parts: dict[str, bool]
    link: LinkSettings
    link_kind: str | None
    wireguard: str | None
    hosts: dict[str, HostState]

    @property
    def ok(self) -> bool:
        """Whether the lab stands and all hosts that it has run."""
        return all(self.parts.values()) and bool(self.hosts) and all(host.running for host in self.hosts.values())

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "ok": self.ok,
            "lab": self.lab,
            "release": self.release,
            "parts": self.parts,
            "link": {"kind": self.link_kind, **asdict(self.link)},
            "wireguard": self.wireguard,
            "repository": topology.REPOSITORY_URL,
            "hosts": {name: {**asdict(host), "running": host.running} for name, host in self.hosts.items()},
        }


def status() -> LabStatus:
    """How the lab stands; a lab that is not there stands in no part."""
    lab = current()
    joined = network.standing(lab)
    kind = link_.standing(lab) if joined else None
    try:
        in_kernel = json.loads((lab.run / "features.json").read_text())["wireguard"]
        wireguard = "kernel" if in_kernel else "wireguard-go"
    except FileNotFoundError:
        wireguard = None
    return LabStatus(
        lab=lab.name,
        release=lab.release,
        parts={
            "network": joined,
            "link": kind is not None,
            "repository": repository.standing(lab),
            "agent": secure_shell.agent_standing(lab),
        },
        link=link_.load(lab),
        link_kind=kind,
        wireguard=wireguard,
        hosts=hosts(),
    )


def environment() -> dict[str, str]:
    """Variables for whoever works with the lab.

    Raises:
        NotStandingError: it is not up.
    """
    lab = current()
    network.holder(lab, "operator")
    return lab.environment()


def ssh(host: str, command: str, input: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a host as its operator does: by SSH over the lab's network, the host's key pinned.

    Args:
        host: its name.
        command: for the shell of the user `ops`, who may use sudo.
        input: for its standard input.
        timeout: seconds, after which subprocess.TimeoutExpired is raised.
    """
    lab = current()
    return _run(secure_shell.command(lab, topology.host(host), command), input, timeout)


def in_operator(
    command: Sequence[str], input: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine in the operator's namespace, with the lab's environment."""
    lab = current()
    return _run([*network.enter(lab, "operator"), *command], input, timeout)


def in_outside(
    command: Sequence[str], input: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine in the namespace of the client outside, without the operator's SSH agent."""
    lab = current()
    return _run([*network.enter(lab, "outside"), *command], input, timeout, drop=("SSH_AUTH_SOCK",))


def console(host: str, command: str, input: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a shell command as root inside a host, not through the network: for when SSH is locked out."""
    lab = current()
    return _run([*hosts_.console(lab, topology.host(host)), "sh", "-c", command], input, timeout)


def _run(
    command: Sequence[str], text: str | None, seconds: float, drop: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    environment = current().surroundings(os.environ)
    return subprocess.run(
        command,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        env={name: value for name, value in environment.items() if name not in drop},
        timeout=seconds,
        check=False,
    )


def kill(host: str, wipe: bool = False) -> None:
    """Pull a host's plug. Its disk stays as it is; wiped, it is gone, and the next start is that of a new machine."""
    lab = current()
    network.holder(lab, "operator")
    with locked(lab.folder):
        (hosts_.discard if wipe else hosts_.kill)(lab, topology.host(host))


def start(host: str) -> bool:
    """Start a host, with its disk as it was, and wait until it lets the operator in; False when it ran already.

    A host in Frankfurt is not waited for while the link is cut.
    """
    lab = current()
    found = topology.host(host)
    network.holder(lab, "operator")
    with locked(lab.folder):
        started = hosts_.start(lab, found, images.base(lab.release))
    _wait(lab, found)
    return started


def boot(
    name: str, login: str, public_key: str, hostname: str, user_data: str, extra_addresses: Sequence[str] = ()
) -> None:
    """Start a host of the clouds' pool on a new disk, and do not wait for it.

    Args:
        name: of the host, which is off; a disk that it had is gone then.
        login: user who may log in with the key and use sudo, as cloud-init makes one, unless user data names another.
        public_key: in OpenSSH's form.
        hostname: what the host calls itself, unless its user data has another name.
        user_data: a #cloud-config, or nothing.
        extra_addresses: with their prefix lengths (`10.20.0.11/24`), besides the pool's.

    Raises:
        LabError: it runs, or its user data asks for what the lab cannot do.
    """
    lab = current()
    host = topology.cloud_host(name)
    network.holder(lab, "operator")
    called, user = cloud_config.hostname(user_data, hostname), cloud_config.login(user_data, login)
    with locked(lab.folder):
        if hosts_.supervisor(lab, host):
            raise LabError(f"{name} runs already", "discard it first")
        hosts_.discard(lab, host)
        base = images.base(lab.release)
        hosts_.prepare(lab, host, base, Machine(called, user, public_key, extra_addresses))
        hosts_.start(lab, host, base, fresh=True)  # nobody else is given the pool's addresses


def discard(name: str) -> None:
    """Pull the plug of a host of the clouds' pool and remove its disk; its volumes stay, attached to nothing."""
    lab = current()
    host = topology.cloud_host(name)
    if lab.folder.is_dir():
        with locked(lab.folder):
            hosts_.discard(lab, host)


def shut_down(name: str) -> None:
    """Have a host end in order, and pull its plug when that takes long; its disk and volumes stay as they are."""
    lab = current()
    network.holder(lab, "operator")
    with locked(lab.folder):
        hosts_.stop(lab, topology.host(name), STOP_SECONDS)


def attach(name: str, image: Path, serial: str) -> str:
    """Give a host a file on this machine as a disk, which it keeps through `kill` and `start`.

    Args:
        name: of a host, running or not.
        image: the file; its size is the disk's.
        serial: the host finds the disk as /dev/disk/by-id/virtio-SERIAL, cut to 20 characters.

    Returns:
        The disk's name in the host: `/dev/vdb`.

    Raises:
        LabError: it is attached already, here or elsewhere.
    """
    lab = current()
    host = topology.host(name)
    network.holder(lab, "operator")
    with locked(lab.folder):
        volume = volumes.attach(lab, host, image, serial)
        if hosts_.supervisor(lab, host):
            try:
                processes.until(f"the boot of {name}", BOOT_SECONDS, lambda: hosts_.booted(lab, host))
                run([*hosts_.console(lab, host), "sh", "-c", volume.plug()])
            except LabError:
                volumes.detach(lab, volume)
                raise
    return f"/dev/{volume.device}"


def detach(name: str, serial: str) -> None:
    """Take a disk out of a host.

    Raises:
        LabError: the host has no such disk, or uses it.
    """
    lab = current()
    host = topology.host(name)
    with locked(lab.folder):
        volume = volumes.load(lab).get(serial)
        if volume is None or volume.host != name:
            raise LabError(f"volume {serial} is not attached to {name}")
        if hosts_.supervisor(lab, host) and hosts_.booted(lab, host):
            if volumes.busy(volume):
                raise LabError(f"{name} has volume {serial} mounted", f"umount /dev/{volume.device} there first")
            run([*hosts_.console(lab, host), "sh", "-c", volume.unplug()])
        volumes.detach(lab, volume)


def grow(serial: str) -> None:
    """Have the host of a volume see that the file under it has become larger."""
    lab = current()
    with locked(lab.folder):
        if volume := volumes.load(lab).get(serial):
            volumes.grow(volume)


def link(
    rtt_ms: float | None = None, loss: float | None = None, rate_mbit: float | None = None, cut: bool | None = None
) -> LinkSettings:
    """Set the link between the sites while connections stand; what is None stays as it is.

    Args:
        rtt_ms: round trip in milliseconds.
        loss: percent of packets, each way.
        rate_mbit: Mbit/s, each way; 0 is no limit.
        cut: drop every packet.
    """
    lab = current()
    network.holder(lab, "operator")
    with locked(lab.folder):
        settings = link_.changed(lab, rtt_ms=rtt_ms, loss=loss, rate_mbit=rate_mbit, cut=cut)
        link_.change(lab, settings)
    return settings


def link_settings() -> LinkSettings:
    """What the link between the sites is set to."""
    return link_.load(current())


def cut() -> None:
    """Cut the link between the sites: every packet is dropped, both ways."""
    link(cut=True)


def heal() -> None:
    """Join the sites again."""
    link(cut=False)
