"""What an engine's preview would do, read from `pulumi preview --json --show-sames`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fortress import push
from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.masking import masked
from fortress.cli.engine.project import project_folder
from fortress.cli.engine.state import COMMAND, DATABASE, STACK, State, host_of, name_of, parents, type_of
from fortress.cli.preview.registered import in_settings, in_state
from fortress.machine import incarnation
from fortress.sovereignty.declared import Declared

UNKNOWN = "[unknown]"


_SENTINELS = re.compile(
    "04da6b54-80e4-46f7-96ec-b56ff0331ba9|1c4a061d-8072-4f0a-a4cb-0ff528b18fe7|3eeb2bf0-c639-47a8-9e75-3b44932eb421"
    "|6a19a0b0-7e62-4c92-b797-7f8e31da9cc2|030794c1-ac77-496b-92df-f27374a8bd58|e48ece36-62e2-4504-bad9-02848725956a"
    "|dd056dcd-154b-4c76-9bd3-c8f88648b5ff"
)
"""What the engine writes for values that are not known yet (sdk/go/common/resource/plugin/rpc.go, 3.255)."""
_COLOUR = re.compile(r"<\{%.*?%\}>|\x1b\[[0-9;]*m")
_REPLACING = ("replace", "create-replacement", "delete-replaced", "import-replacement", "read-replacement")
_DELETING = ("delete", "discard", "discard-replaced")
_MACHINE = (":compute/instance:Instance", ":ec2/instance:Instance")
_RESTARTS_MACHINE = ("flavorName", "flavorId", "instanceType")
"""Inputs that the providers change in place by stopping the machine and starting it again."""
_HOLDS_DATA = re.compile(
    r":(?:blockstorage/volume(?:V\d)?|ebs/(?:volume|snapshot(?:Copy|Import)?)|sharedfilesystem/(?:share|snapshot)"
    r"|objectstorage/container(?:Object|V1)?|s3/bucket(?:V2|Object|Objectv2)?|efs/fileSystem"
    r"|rds/(?:instance|cluster|clusterInstance|(?:clusterS|s)napshot(?:Copy)?)|dynamodb/(?:table(?:Item|Replica)?|globalTable)"
    r"|database/(?:instance|database)):",
    re.IGNORECASE,
)
"""Types that hold data. Not their accessories: a bucket's policy, a volume's attachment, a subnet group."""
_NOISE = re.compile(
    "^an unhandled error occurred: program exited with non-zero exit code|^warning: using pulumi-resource-"
    "|^cannot ignore changes in added or removed elements of the path|: this is the stand-in of tests/doubles, "
)
"""What the engine and the stand-ins for its plugins say whatever the plan is."""

ANOTHER_MACHINE = "its `incarnation` changes; if this is another machine, the database's data does not come along"
"""A risk of all commands on the database's host, some of which are replaced for it."""


@dataclass(frozen=True)
class Change:
    """The change of one resource: `op` is same, create, update, replace, delete, leave (only the state), or read."""

    urn: str
    type: str
    name: str
    op: str
    old: State
    new: State
    """Its states before and after as the engine prints them; empty if there is none."""
    differing: tuple[str, ...] = ()
    """The properties that differ."""
    reasons: tuple[str, ...] = ()
    """The properties whose change replaces it."""
    host: str = ""
    """The host to which it belongs."""
    database: bool = False
    """Whether that host keeps a database."""

    @property
    def before(self) -> State:
        """Its inputs as they are."""
        return self.old.get("inputs") or {}

    @property
    def after(self) -> State:
        """Its inputs as they will be."""
        return self.new.get("inputs") or {}

    @property
    def is_cloud(self) -> bool:
        """Whether it is a resource of a cloud, not a command, a component or a provider."""
        kept = self.old or self.new
        return bool(kept.get("custom")) and not self.type.startswith(("command:", "pulumi:"))

    @property
    def is_command(self) -> bool:
        """Whether it is a command on a host, which may put a file."""
        return self.type == COMMAND

    @property
    def goes(self) -> bool:
        """Whether the existing resource is deleted."""
        return self.op in ("replace", "delete")

    @property
    def moves(self) -> bool:
        """Whether it is a command that goes to another machine than before, by the host's incarnation."""
        old, new = (incarnation(push.machine_of(str(each.get("create", "")))) for each in (self.before, self.after))
        return self.is_command and bool(old and new and old.number != new.number)

    @property
    def is_machine(self) -> bool:
        """Whether it is a machine in a cloud."""
        return self.is_cloud and self.type.endswith(_MACHINE)

    @property
    def reboots(self) -> bool:
        """Whether it is a machine that gets another size in place, and is stopped and started for that."""
        return self.op == "update" and self.is_machine and any(name in self.differing for name in _RESTARTS_MACHINE)

    @property
    def holds_data(self) -> bool:
        """Whether it is of a type that holds data."""
        return bool(_HOLDS_DATA.search(self.type))

    @property
    def rebuilt(self) -> bool:
        """Whether it is a machine that gets another image in place."""
        return (
            self.op == "update" and self.type == "openstack:compute/instance:Instance" and "imageId" in self.differing
        )

    def risk(self) -> str:
        """Why the change loses data or protection, empty if it does not."""
        if self.goes and self.holds_data:
            return "holds data"
        if self.goes and self.database and self.is_machine:
            return "the database's machine"
        if self.goes and self.old.get("protect"):
            return "protected"
        if self.goes and _wipes(self.before):
            return "its removal deletes the database's files"
        if self.rebuilt:
            return "rebuilt in place: the disk of the machine is lost"
        if self.op in ("same", "update") and self.old.get("protect") and not self.new.get("protect"):
            return "loses its protection: nothing stops a later `up` or `destroy` from deleting it"
        if _wipes(self.after) and not _wipes(self.before):
            return "from now on its removal deletes the database's files"
        if self.database and self.moves:
            return ANOTHER_MACHINE
        return ""


def _wipes(inputs: State) -> bool:
    """Whether a command's removal deletes the database's files."""
    command = push.parse(str(inputs.get("delete", "")))
    return isinstance(command, push.Run) and command.begins(push.WIPE_DATABASE)


@dataclass(frozen=True)
class Plan:
    """A preview: what would change, and what the engine said."""

    changes: tuple[Change, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    status: int = 0
    """The engine's exit status."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of resources per `op`."""
    registered: tuple[Declared | None, Declared | None] = (None, None)
    """The register and the places that it is about, before and after, as far as they are known."""

    @property
    def changing(self) -> tuple[Change, ...]:
        """All changes except `same`."""
        return tuple(change for change in self.changes if change.op != "same")

    @property
    def risks(self) -> tuple[Change, ...]:
        """The changes that lose data or protection, the worst first; a machine that all its commands leave, once."""
        found: dict[tuple[str, str], Change] = {}
        for change in sorted(self.changes, key=lambda change: (not change.goes, change.type, change.name)):
            if risk := change.risk():
                found.setdefault((change.host if change.moves else change.urn, risk), change)
        return tuple(found.values())


def clean(value: Any) -> Any:
    """The engine's output, with unknowns as `[unknown]`, and with private keys masked."""
    if isinstance(value, str):
        return masked(_SENTINELS.sub(UNKNOWN, value))
    if isinstance(value, dict):
        return {name: clean(part) for name, part in value.items()}
    if isinstance(value, list):
        return [clean(part) for part in value]
    return value


def parse(said: Any, status: int) -> Plan:
    """The engine's JSON as a plan.

    Raises:
        CannotAskError: anything else.
    """
    if not isinstance(said, dict):
        raise CannotAskError("`pulumi preview --json` did not print a preview")
    said = clean(said)
    steps = [step for step in said.get("steps") or [] if isinstance(step, dict) and "urn" in step]
    states: dict[str, State] = {}
    for step in steps:
        states[step["urn"]] = step.get("newState") or step.get("oldState") or states.get(step["urn"], {})
    found: dict[str, list[dict[str, Any]]] = {}
    for step in steps:
        found.setdefault(step["urn"], []).append(step)
    homes = {urn: host_of(urn, states) for urn in states}
    databases = {homes[urn] for urn in states if any(type_of(up) == DATABASE for up in parents(urn, states))} - {""}
    changes = tuple(_change(urn, steps, homes[urn], databases) for urn, steps in found.items())
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.op] = counts.get(change.op, 0) + 1
    spoken: dict[str, list[str]] = {"error": [], "warning": [], "info": []}
    for diagnostic in said.get("diagnostics") or []:
        text = _COLOUR.sub("", str(diagnostic.get("message", ""))).strip()
        text = text.removeprefix("error: ")
        kind = spoken.get(diagnostic.get("severity", ""), spoken["info"])
        if text and text not in kind and not _NOISE.search(text):
            kind.append(text)
    errors = tuple(spoken["error"])
    if status and not errors:
        # A program that cannot even start reports it at severity info.
        said_besides = "\n".join(spoken["info"]) or "the program ended with an error and no message"
        errors, spoken["info"] = (said_besides,), []
    stack = next((step for step in steps if type_of(step["urn"]) == STACK), {})
    registered = (
        in_state((stack.get("oldState") or {}).get("outputs") or {}),
        in_settings(said.get("config") or {}, project_folder()),
    )
    return Plan(changes, errors, tuple(spoken["warning"]), tuple(spoken["info"]), status, counts, registered)


def _change(urn: str, steps: list[dict[str, Any]], host: str, databases: set[str]) -> Change:
    ops = {step["op"] for step in steps}
    old: State = next((step["oldState"] for step in steps if step.get("oldState")), {})
    new: State = next((step["newState"] for step in steps if step.get("newState")), {})
    if ops & set(_REPLACING):
        op = "replace"
    elif ops & set(_DELETING):
        op = "leave" if old.get("retainOnDelete") or "discard" in ops else "delete"
        new = {}
    else:
        op = next((one for one in ("create", "update", "import") if one in ops), "same")
        op = {"import": "create"}.get(op, op) if ops != {"read"} else "read"
    differing = sorted({str(key) for step in steps for key in step.get("diffReasons") or ()})
    if op in ("update", "replace") and not differing:
        before, after = old.get("inputs") or {}, new.get("inputs") or {}
        differing = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    reasons = sorted({str(key) for step in steps for key in step.get("replaceReasons") or ()})
    return Change(
        urn,
        type_of(urn),
        name_of(urn),
        op,
        old,
        new,
        tuple(key for key in differing if not key.startswith("__")),
        tuple(reasons),
        host,
        host in databases,
    )
