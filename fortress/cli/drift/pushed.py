"""What should stand on the hosts, as the engine's state has it: every file that was pushed, and what it makes run."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fortress import firewall, push
from fortress.cli.engine.state import COMMAND, HOST, Resource, name_of, plain

NOTE = "  # found by fortress drift: "
"""What `fortress drift --repair` writes behind a command in the state, until the next `pulumi up` has put it right."""

_START_TUNNEL = re.compile(rf"{re.escape(push.LIBRARY)}/wireguard start (\S+)$")


@dataclass(frozen=True)
class File:
    """One file as it was pushed. `text` may be a secret, and is then never shown."""

    host: str
    urn: str
    path: str
    mode: str
    owner: str
    text: str = field(repr=False)
    secret: bool = False
    unit: str | None = None
    enables: bool = False
    """Whether its --apply enables the unit."""
    by_push: bool = True
    """All but push.sh itself, which has no record."""
    noted: str = ""
    """What an earlier look found and nobody has put right yet: text, mode and owner are then as found."""

    @property
    def standing(self) -> str:
        """As push.sh and read-back say it: SHA256,MODE,OWNER:GROUP."""
        return f"{hashlib.sha256(self.text.encode()).hexdigest()},{self.mode},{self.owner}"


@dataclass
class PushedHost:
    """What should stand on one host."""

    files: list[File] = field(default_factory=list)
    confirms: dict[str, str] = field(default_factory=dict)
    """Path to the URN of the command that confirms it."""
    tunnels: dict[str, str] = field(default_factory=dict)
    """Interface to the URN of the command that starts it."""

    def file(self, path: str) -> File | None:
        return next((file for file in self.files if file.path == path), None)

    def under(self, folder: str, ending: str) -> list[File]:
        """Pushed files of a folder, as a shell's pattern lists them."""
        found = [f for f in self.files if f.path.rpartition("/")[0] == folder and f.path.endswith(ending)]
        return sorted(found, key=lambda file: file.path)

    def ruleset(self) -> str | None:
        """The whole firewall as one text, None where no base is pushed."""
        base = self.file(firewall.BASE)
        if base is None:
            return None
        include = f'include "{firewall.FOLDER}/*.nft"\n'
        return base.text.replace(include, "".join(f.text for f in self.under(firewall.FOLDER, ".nft")))


def read(exported: Mapping[str, Any]) -> dict[str, PushedHost]:
    """What should stand, by host, from an exported state with readable secrets."""
    resources: list[Resource] = list((exported.get("deployment") or {}).get("resources") or [])
    machines = {}
    for resource in resources:
        if resource["type"] == HOST and not resource.get("delete"):
            machine = plain((resource.get("outputs") or {}).get("machine_id"))[0]
            machines[str(machine)] = name_of(resource["urn"])
    found: dict[str, PushedHost] = {name: PushedHost() for name in machines.values()}
    for resource in resources:
        if resource["type"] == COMMAND and not resource.get("delete"):
            _add(found, machines, resource)
    return found


def _add(found: dict[str, PushedHost], machines: Mapping[str, str], resource: Resource) -> None:
    inputs = resource.get("inputs") or {}
    create = plain(inputs.get("create"))[0]
    stdin, secret = plain(inputs.get("stdin"))
    if not isinstance(create, str):  # a host that is gone has none
        return
    create, _, noted = create.partition(NOTE)
    try:
        words = shlex.split(create)
    except ValueError:  # a command of somebody else's, with a lone quote in a comment or a heredoc
        return
    words = words[1:] if words[:1] == ["sudo"] else words
    urn = resource["urn"]
    if words[:2] == [push.PUSH, "put"] and isinstance(stdin, str):
        options = dict(zip(words[5::2], words[6::2], strict=False))
        host = machines.get(options.get("--machine", ""))
        if host is not None:
            path, mode, owner = words[2:5]
            unit, enables = options.get("--unit"), "systemctl -q enable " in options.get("--apply", "")
            text = stdin.removesuffix(push.END)
            found[host].files.append(
                File(host, urn, path, f"{int(mode, 8):04o}", owner, text, secret, unit, enables, noted=noted)
            )
    elif words[:2] == [push.PUSH, "confirm"]:
        host = machines.get(words[words.index("--machine") + 1]) if "--machine" in words else None
        if host is not None:
            found[host].confirms[words[2]] = urn
    elif words[:2] == ["sh", "-c"] and len(words) == 4 and push.PUSH in words[2] and isinstance(stdin, str):
        if (host := machines.get(words[3])) is not None:
            found[host].files.append(
                File(host, urn, push.PUSH, "0755", "root:root", stdin, secret, by_push=False, noted=noted)
            )
    elif tunnel := _START_TUNNEL.search(create):
        machine = next((w.partition("=")[2] for w in words if w.startswith("FORTRESS_MACHINE=")), "")
        if (host := machines.get(machine)) is not None:
            found[host].tunnels[tunnel[1]] = urn
