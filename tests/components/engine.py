"""What the tests of components share: a host as they take it, and what must be true of every command."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from components.remote import Member
from fortress import push
from tests.doubles.pulumi_mocks import Registration, Run, plain
from tests.doubles.pulumi_resource_command.values import Secret, Value


def ssh_key(seed: int) -> str:
    """An ed25519 host key, type and base64."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([seed]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


HOST_KEY, BASTION_KEY, LEARNT_KEY = ssh_key(1), ssh_key(2), ssh_key(3)
WIREGUARD_KEY = "wFzZ3c2xXv2oS7m0Qw0pJ0dQ2h1k3l4m5n6o7p8q9r0="
LOAD = (
    "'/usr/local/lib/fortress/in-force nftables-next /etc/nftables.conf && nft -f /etc/nftables.conf "
    "&& /usr/local/lib/fortress/in-force nftables /etc/nftables.conf'"
)
"""How a part of the firewall takes effect."""
REMOTE, LOCAL = "command:remote:Command", "command:local:Command"

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"


def said(name: str) -> str:
    """What commands on hosts print: an answer of its kind where something is made from it."""
    kinds = {"-authority": PEM, "-key": f"{WIREGUARD_KEY}\n", "-facts": "1987\n"}
    return next((text for ending, text in kinds.items() if name.endswith(ending)), f"{name} said")


_HOOK = {"before_create": ("fortress-look-at-host-key",), "before_update": ("fortress-look-at-host-key",)}

# What the SDK's classes of the command plugin set on their own.
_SDK_OPTIONS = ("additionalSecretOutputs", "replaceOnChanges")


def member(name: str = "oslo-db", /, **more: Any) -> Member:
    """A host whose every value is known."""
    known: dict[str, Any] = {
        "name": name,
        "site": "oslo",
        "address": "192.0.2.11",
        "port": 22,
        "user": "ops",
        "host_key": HOST_KEY,
        "machine_id": f"{name}.1",
        "mesh_address": "10.100.0.1",
        "public_key": WIREGUARD_KEY,
        "ram_mb": 1024,
        "gone": False,
    }
    return Member(**{**known, **more})  # type: ignore[typeddict-item]


def connection(**more: Value) -> dict[str, Any]:
    """The connection to `member()`."""
    return {
        "host": "192.0.2.11",
        "port": 22,
        "user": "ops",
        "hostKey": HOST_KEY,
        "dialErrorLimit": 5,
        "perDialTimeout": 15,
        **more,
    }


def texts(resources: Mapping[str, Registration]) -> dict[str, tuple[Value, Value]]:
    """Of each command: what makes it and what takes it away, without the file's own name, which is looked at here."""
    return {
        name: (_anonymous(name, found.inputs.get("create")), _anonymous(name, found.inputs.get("delete")))
        for name, found in resources.items()
    }


def _anonymous(name: str, command: Value) -> Value:
    """A file is known on the host by the name of its resource."""
    if not isinstance(command, str):
        return command
    known_by = f" --resource {name} --stack data-fortress/lab"
    whose = len(re.findall("fortress-push (put|files|remove) ", command))
    assert command.count(known_by + " ") == whose, command
    return command.replace(known_by, "")


def put(words: str, *, machine: str, apply: str | None = None, remove: str | None = None) -> tuple[str, str]:
    """A file's two commands: `words` are PATH MODE OWNER and options; `apply` and `remove` stand as in the text."""
    path = words.split()[0]
    undone = remove or apply
    return (
        f"sudo /usr/local/sbin/fortress-push put {words}{_apply(apply)} --machine {machine}",
        f"sudo /usr/local/sbin/fortress-push remove {path}{_apply(undone)} --machine {machine}",
    )


def together(files: Mapping[str, str | None], *, machine: str, first: str = "") -> tuple[str, str]:
    """The two commands of several files: by path, and what each one's removal does, unquoted."""
    removals = [
        push.Remove(path, machine=machine, resource="", apply=apply).render().replace(" --resource ''", "")
        for path, apply in reversed(list(files.items()))
    ]
    put = f"/usr/local/sbin/fortress-push files {' '.join(files)} --machine {machine}"
    return f"sudo {steps(first, put) if first else put}", f"sudo {steps(*removals)}"


def steps(*lines: str, undo: str = "") -> str:
    """Commands of one login as one line, and what runs where one of them fails."""
    if undo:
        return shlex.join(["sh", "-c", EACH_OR_UNDO, "steps", undo, *lines])
    return lines[0] if len(lines) == 1 else shlex.join(["sh", "-c", EACH, "steps", *lines])


EACH = 'for step; do eval "$step" || exit; done'
EACH_OR_UNDO = (
    'undo=$1; shift; for step; do eval "$step" || { status=$?; eval "$undo" >/dev/null 2>&1; exit $status; }; done'
)


def files(resource: Registration) -> dict[str, tuple[push.Put, str]]:
    """What is put together: by path, how, and the text that lands."""
    command = push.Files((), machine="", resource="")
    return {put.path: (put, push.received(text)) for put, text in push.apart(command, sent(resource))}


def _apply(command: str | None) -> str:
    return f" --apply {command}" if command else ""


def sent(resource: Registration) -> str:
    """The file that a command sends, without the line that ends it; several as they are sent."""
    text = plain(resource.inputs["stdin"])
    assert isinstance(text, str)
    if text.endswith(push.FILES_END):
        return text
    assert text.endswith((push.END, push.OPEN_END, push.BASE64_END))
    return push.received(text)


def landing(resource: Registration, path: str) -> str:
    """The text that a command with several steps puts at a path."""
    create, text = resource.inputs["create"], plain(resource.inputs["stdin"])
    assert isinstance(create, str)
    assert isinstance(text, str)
    (found,) = [
        given for command, given in push.parts(create, text) if isinstance(command, push.Put) and command.path == path
    ]
    assert found is not None
    return push.received(found)


def waits(resources: Mapping[str, Registration]) -> dict[str, set[str]]:
    """What each waits for."""
    return {name: set(found.waits) for name, found in resources.items()}


def check_commands(resources: Iterable[Registration], to: Mapping[str, Any], **special: Mapping[str, Any]) -> None:
    """What holds for each command on a host; `special` names those with another connection, `-` as `_`."""
    for found in resources:
        assert found.type == REMOTE, found.name
        expected = special.get(found.name.replace("-", "_"), to)
        assert isinstance(found.inputs["connection"], Secret), f"{found.name}: its connection may hold a key"
        assert plain(found.inputs["connection"]) == expected, found.name
        assert found.inputs["logging"] == "none", f"{found.name}: nothing that a host prints is logged"
        assert found.inputs["addPreviousOutputInEnv"] is False, found.name
        assert set(found.inputs) <= {"connection", "create", "delete", "stdin", "logging", "addPreviousOutputInEnv"}, (
            f"{found.name}: triggers replace, and a replacement deletes through the old connection"
        )
        assert found.hooks == _HOOK, f"{found.name}: an impostor must be refused before anything is sent"
        assert found.options == _SDK_OPTIONS, found.name


def without_commands(resource: Registration) -> dict[str, Any]:
    """The inputs of what is on a host as they are once the host is gone: no command is left that could contact it."""
    commands = ("create", "delete") if resource.type == REMOTE else ()
    return {name: value for name, value in resource.inputs.items() if name not in commands}


def kinds(run: Run) -> dict[str, tuple[str, str | None]]:
    """Type and parent of everything."""
    return {name: (found.type, found.parent) for name, found in run.resources.items()}
