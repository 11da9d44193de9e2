"""What should stand on the hosts, as the engine's state has it: every file that was pushed, and what it makes run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fortress import activation, firewall, push
from fortress.cli.engine.state import COMMAND, HOST, Resource, name_of, plain


@dataclass(frozen=True)
class File:
    """One file as it was pushed. `text` may be a secret, and is then never shown; other bytes are surrogates."""

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
    gated: str | None = None
    """The unit whose health gate is to run once this was put."""
    by_push: bool = True
    """All but push.sh itself and what comes with it, which have no records."""
    noted: str = ""
    """What an earlier look found and nobody has put right yet: text, mode and owner are then as found."""

    @property
    def standing(self) -> str:
        """As push.sh and read-back say it: SHA256,MODE,OWNER:GROUP."""
        digest = hashlib.sha256(self.text.encode(errors="surrogateescape")).hexdigest()
        return f"{digest},{self.mode},{self.owner}"


@dataclass
class PushedHost:
    """What should stand on one host."""

    files: list[File] = field(default_factory=list)
    confirms: dict[str, str] = field(default_factory=dict)
    """Path to the URN of the command that confirms it."""
    tunnels: dict[str, str] = field(default_factory=dict)
    """Interface to the URN of the command that starts it."""
    gates: dict[str, str] = field(default_factory=dict)
    """Unit to the URN of the command that waits until it is healthy."""
    accounts: list[str] = field(default_factory=list)
    """URNs of the commands that make the database's accounts, and end their old passwords."""

    def file(self, path: str) -> File | None:
        return next((file for file in self.files if file.path == path), None)

    def after(self, file: File) -> tuple[str, ...]:
        """URNs of the commands that are to run once a file was put: what confirms it, and what waits for its unit."""
        found = (self.confirms.get(file.path), self.gates.get(file.gated or ""))
        return tuple(urn for urn in found if urn)

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
    if not isinstance(create, str) or (machine := push.machine_of(create)) not in machines:
        return  # a host that is gone has no text
    name, urn, note = machines[machine], resource["urn"], push.without_note(create)[1]
    parts = push.parts(create, stdin if isinstance(stdin, str) else None)
    for command, sent in parts:
        # Of several files, those that it names were found to differ.
        noted = note if len(parts) == 1 or not isinstance(command, push.Put) or push.notes(note, command.path) else ""
        _add_part(found[name], File(name, urn, "", "0755", "root:root", "", secret, noted=noted), command, sent)


def _add_part(host: PushedHost, file: File, command: push.Command, stdin: str | None) -> None:
    """One thing that a resource does; `file` says what all files of that resource have in common."""
    urn = file.urn
    match command:
        case push.Put(path, mode=octal, owner=owner, apply=apply, unit=unit) if stdin is not None:
            put = replace(file, path=path, mode=f"{int(octal, 8):04o}", owner=owner, text=push.received(stdin))
            enables = "systemctl -q enable " in (apply or "")
            gated = activation.gated_unit(apply or "") or unit
            host.files.append(replace(put, unit=unit, enables=enables, gated=gated))
        case push.Install() if stdin is not None:
            for path, text in push.installed(stdin).items():
                host.files.append(replace(file, path=path, text=text, by_push=False))
        case push.Confirm(path):
            host.confirms[path] = urn
        case push.Run() if command.begins(push.ENSURE_ACCESS) or command.begins(push.RETIRE_PASSWORDS):
            host.accounts.append(urn)
        case push.Run(command=[*start, interface]) if tuple(start) == push.START_TUNNEL:
            host.tunnels[interface] = urn
        case push.Run(command=[*start, unit]) if command.begins(push.HEALTH_GATE):
            host.gates[unit] = urn
