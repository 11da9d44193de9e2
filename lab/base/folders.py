"""Where a lab keeps its things.

Everything of a lab lies in one folder and carries the lab's name, so that several stand side by side.
The cache is shared by all labs and outlives them.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError

ROOT = Path("/var/lib/data-fortress")

RELEASES = ("trixie", "bookworm")
"""Debian's releases that hosts may run, the usual one first: 13 and 12."""

FOREIGN = ("OS_", "AWS_")
"""How variables begin that lead to a real cloud, with the user's credentials: none of them reaches a lab."""


@dataclass(frozen=True)
class Lab:
    """A lab by name, and the paths that follow from it."""

    name: str

    @property
    def folder(self) -> Path:
        """Holds all of the lab; `down` removes it."""
        return ROOT / self.name

    @property
    def run(self) -> Path:
        """Pid files, sockets and logs of the processes that carry the lab."""
        return self.folder / "run"

    @property
    def ssh(self) -> Path:
        """The lab's key pair, its agent's socket and the known host keys."""
        return self.folder / "ssh"

    @property
    def key(self) -> Path:
        return self.ssh / "id_ed25519"

    @property
    def agent_socket(self) -> Path:
        return self.ssh / "agent.sock"

    @property
    def state(self) -> Path:
        """File backend of the engine."""
        return self.folder / "state"

    @property
    def clouds(self) -> Path:
        """What the stand-ins for the clouds know; nobody else's machines are booted from it."""
        return self.state / "clouds"

    @property
    def volumes(self) -> Path:
        """Which volume is attached to which host."""
        return self.folder / "volumes.json"

    @property
    def link(self) -> Path:
        """What the link between the sites is set to."""
        return self.folder / "link.json"

    @property
    def release_file(self) -> Path:
        return self.folder / "release"

    @property
    def release(self) -> str:
        """The Debian release that its hosts run; the usual one where none was named yet."""
        try:
            return self.release_file.read_text().strip()
        except FileNotFoundError:
            return RELEASES[0]

    def host(self, name: str) -> Path:
        """Disk, console log and pid file of one host."""
        return self.folder / "hosts" / name

    def pid_file(self, process: str) -> Path:
        return self.run / f"{process}.pid"

    def log(self, process: str) -> Path:
        return self.run / f"{process}.log"

    def environment(self) -> dict[str, str]:
        """What a shell needs to work with this lab."""
        return {
            "FORTRESS_LAB": self.name,
            "SSH_AUTH_SOCK": str(self.agent_socket),
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            # Known to everyone, as Pulumi.lab.yaml says: the stack file in the tree is encrypted with it.
            "PULUMI_CONFIG_PASSPHRASE": "lab",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "FORTRESS_CLOUDS": str(self.clouds),
            # Credentials of the stand-ins for the clouds, which know no others; no file of the user's is looked at.
            "OS_USERNAME": "fortress",
            "OS_PASSWORD": "lab",
            "OS_PROJECT_NAME": "fortress",
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_CLIENT_CONFIG_FILE": os.devnull,
            "AWS_ACCESS_KEY_ID": "fortress",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def surroundings(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment in which to work with this lab: the caller's without what leads to clouds of theirs."""
        kept = {name: value for name, value in environment.items() if not name.startswith(FOREIGN)}
        return {**kept, **self.environment()}


def current() -> Lab:
    """The lab that the environment variable FORTRESS_LAB names; `lab` when it is not set.

    Raises:
        LabError: the name does not fit into names of units, folders and control groups.
    """
    name = os.environ.get("FORTRESS_LAB") or "lab"
    if not re.fullmatch(r"[a-z][a-z0-9]{0,15}", name):
        raise LabError(
            f"FORTRESS_LAB={name!r} cannot name a lab",
            "up to 16 small letters and digits, the first one a letter",
        )
    return Lab(name)


def cache() -> Path:
    """Folder of what is expensive to make: base image, package repository, built helpers."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "data-fortress"


def drop_root() -> None:
    """Remove the folder of all labs when no lab is in it."""
    with suppress(OSError):  # it holds a lab, is gone already, or something is mounted there
        ROOT.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`, making it first, so that two commands do not change the same thing at once.

    The folder may be removed by who holds it.
    """
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(os.fstat(held), folder.stat())
            except FileNotFoundError:
                same = False  # its last holder removed it
            if same:
                yield
                return
        finally:
            os.close(held)
