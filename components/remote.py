"""Commands on a host over SSH: how every other module of this folder reaches one."""

import asyncio
import hashlib
import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NotRequired, TypedDict, TypeVar

import pulumi
from pulumi.resource import DependencyResource
from pulumi_command import remote

from fortress.explain import shown
from fortress.host_keys import fingerprint

T = TypeVar("T")
U = TypeVar("U")

DIALS = 5
"""Attempts to connect, once a host has answered its readiness gate."""


class Bastion(TypedDict):
    """A jump host in front of the hosts."""

    address: pulumi.Input[str]
    """Where it answers SSH."""
    user: pulumi.Input[str]
    """Who logs in."""
    port: pulumi.Input[int]
    """TCP port of its SSH."""
    host_key: pulumi.Input[str]
    """Its pinned key, type and base64."""


class Member(TypedDict):
    """A host as other components see it: a plain dict with Output leaves, and nothing secret in it."""

    name: str
    """The host's name, unique in the stack."""
    site: str
    """The site it stands at."""
    address: pulumi.Input[str]
    """Where it answers SSH, and WireGuard when it is a hub."""
    port: pulumi.Input[int]
    """TCP port of SSH."""
    user: pulumi.Input[str]
    """Who logs in; commands run by sudo unless it is root."""
    host_key: pulumi.Input[str]
    """Its pinned SSH key, type and base64. Known once the host is prepared, so using it waits for that."""
    machine_id: pulumi.Input[str]
    """Which machine stands behind the name."""
    mesh_address: str
    """IPv4 address inside the mesh."""
    public_key: pulumi.Input[str]
    """WireGuard public key, base64."""
    ram_mb: pulumi.Input[int]
    """Memory to size services by, in MB."""
    gone: bool
    """The machine is lost: no command goes to it any more."""
    bastion: NotRequired[Bastion]
    """The jump host in front of it."""
    adopt: NotRequired[bool]
    """Whether files that another stack has put there are taken from it."""
    in_mesh: NotRequired[pulumi.Input[str]]
    """Whatever it says, its use waits for the host's part of the mesh: `WireGuardMesh.member` sets it."""
    host_urn: NotRequired[pulumi.Input[str]]
    """URN of the `Host` that makes the machine, and ends it with all that is on it."""


class Target(TypedDict):
    """A member, and the key to it when no SSH agent holds one."""

    member: Member
    private_key: pulumi.Input[str] | None


def stack_name() -> str:
    """PROJECT/STACK, by which a host knows to whom a file on it belongs."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"


def applied(value: pulumi.Input[T], make: Callable[[T], pulumi.Input[U]]) -> pulumi.Input[U]:
    """What is made of a value, at once where it is known.

    Each Output is a task, and the SDK looks at all that are left whenever one ends.
    """
    if isinstance(value, pulumi.Output) or inspect.isawaitable(value):
        return pulumi.Output.from_input(value).apply(make)
    return make(value)


def version(what: str, *texts: str) -> str:
    """One line for a command that does not read it, so that it runs again whenever one of the texts is another."""
    return f"{what} {hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:16]}\n"


def command(
    name: str,
    target: Target,
    create: Callable[[str], pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    *,
    delete: Callable[[str], str] | None = None,
    stdin: pulumi.Input[str] | None = None,
    dials: int = DIALS,
    replace_on: pulumi.Input[str] | None = None,
) -> remote.Command:
    """One command on a host. `create` and `delete` make its text from the machine's identity.

    The identity stands in the text and never in `triggers`: those replace, and a replacement deletes through the old
    connection. Secrets go by `stdin` only, since a failing command's text is printed whole.

    `replace_on` is for the one case that wants just that, a volume's mount: the id of a machine that the stack
    makes, before whose end `delete` must have run there. It runs when the machine is replaced and when it is removed,
    and fails for one that is lost: after an `up` with `gone`, one without it gives its place to a new machine.
    """
    member = target["member"]
    connection = remote.ConnectionArgs(
        host=member["address"],
        port=member["port"],
        user=member["user"],
        host_key=member["host_key"],
        private_key=target["private_key"],
        dial_error_limit=dials,
        per_dial_timeout=15,
        proxy=_proxy(member.get("bastion"), target["private_key"]),
    )
    # What a machine that is gone has stays as the state has it, and what it lacks is recorded without a command:
    # that contacts nobody, and the machine gets it when it is back.
    gone = member["gone"]
    ignored = ["connection", "create", "delete", "stdin"] if gone else []
    if gone and replace_on is not None:
        ignored.append("triggers")
    return remote.Command(
        name,
        connection=connection,
        create=None if gone else _by_sudo(member, create),
        delete=_by_sudo(member, delete) if delete and not gone else None,
        stdin=stdin,
        triggers=None if replace_on is None else [replace_on],
        add_previous_output_in_env=False,
        logging=remote.Logging.NONE,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                ignore_changes=ignored,
                # No delete command dials a machine that the cloud has ended.
                deleted_with=_named(member["host_urn"]) if "host_urn" in member and replace_on is None else None,
                delete_before_replace=None if replace_on is None else True,
                retain_on_delete=True if gone and replace_on is not None else None,
                hooks=None if gone else pulumi.ResourceHookBinding(before_create=[_guard()], before_update=[_guard()]),
            ),
        ),
    )


def question(
    name: str,
    target: Target,
    create: Callable[[str], pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    *,
    stdin: pulumi.Input[str] | None = None,
    dials: int = DIALS,
    given_key: pulumi.Input[str] | None = None,
) -> remote.Command:
    """A command whose answer texts are made of.

    A changed login or time limit is no reason to ask again: the answer would be unknown at preview, and every text that
    is made of it. What is ignored stays in the state as it was, though, and an update would dial by it for ever. So
    whatever else changes replaces the command, which is then asked by today's login, and what undoes it belongs to a
    command that nobody reads from.

    `given_key` is the host key that a host was given: with another one it may be another machine. One that was learnt
    changes with the machine only.
    """
    member = target["member"]
    if not member["gone"]:
        asked = (_by_sudo(member, create), member["address"], member["port"], given_key or "", stdin or "")
        once = pulumi.ResourceOptions(
            replacement_trigger=pulumi.Output.all(*asked).apply(lambda known: [str(each) for each in known]),
            ignore_changes=[*_LOGIN, "delete"],
            # A state of an earlier version has the delete here, by a login that may have been retired since.
            retain_on_delete=True,
        )
        opts = pulumi.ResourceOptions.merge(opts, once)
    return command(name, target, create, opts, stdin=stdin, dials=dials)


_LOGIN = [f"connection.{part}" for part in ("user", "privateKey", "perDialTimeout", "dialErrorLimit", "proxy")]


def _named(urn: pulumi.Input[str]) -> pulumi.Resource:
    """A resource of which only the URN is known, for an option that reads nothing else."""
    resource = DependencyResource("")
    resource.__dict__["urn"] = pulumi.Output.from_input(urn)
    return resource


def child_options(parent: pulumi.Resource, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Options of a component's children: the component's own `depends_on`, which the SDK does not hand down."""
    return pulumi.ResourceOptions(parent=parent, depends_on=opts.depends_on if opts else None)


def with_depends_on(opts: pulumi.ResourceOptions, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
    """The same options, waiting for further resources too: for order that no value carries."""
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(resources)))


def after(value: pulumi.Input[str], resource: pulumi.Resource) -> pulumi.Output[str]:
    """A value, known as early as it is, whose use waits for a resource: the engine knows a URN before it makes that."""
    return pulumi.Output.all(value, resource.urn).apply(lambda known: str(known[0]))


def serving(target: Target, *waits: pulumi.Input[str]) -> Target:
    """A target for what begins to serve there: it waits for the host's part of the mesh, and for these values.

    What only prepares for that, such as packages, goes to the target itself and is done meanwhile.
    """
    member = target["member"]
    needed = [*waits, *([member["in_mesh"]] if "in_mesh" in member else [])]
    if not needed:
        return target
    key = pulumi.Output.all(member["host_key"], *needed).apply(lambda known: str(known[0]))
    return {**target, "member": {**member, "host_key": key}}


async def refuse_impostor(hook: pulumi.ResourceHookArgs) -> None:
    """Look at a host's key before anything is sent to it, since the command's own refusal names no fingerprints.

    A host behind a bastion cannot be looked at from here, and one that does not answer is left to the command.
    """
    given = (hook.new_inputs or {}).get("connection")
    connection: Mapping[str, Any] = (await given.future() if isinstance(given, pulumi.Output) else given) or {}
    pinned = connection.get("hostKey")
    if not pinned or connection.get("proxy"):
        return
    address, port = str(connection["host"]), int(connection.get("port") or 22)
    shown = await _shown_key(address, port, pinned.split()[0])
    if shown and shown.split()[:2] != pinned.split()[:2]:
        raise RuntimeError(
            f"{address} shows another host key than the pinned one, so nothing was sent.\n"
            f"  pinned  {fingerprint(pinned)}\n  shown   {fingerprint(shown)}\n"
            "If this is a new machine, raise the host's `incarnation` in the settings, or run `pulumi refresh` if the "
            "stack created it; if not, find out who answers."
        )


_guards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, pulumi.ResourceHook] = weakref.WeakKeyDictionary()


def _guard() -> pulumi.ResourceHook:
    """The hook as the engine knows it: registered once a program, since its name must be unique there.

    The engine prints the name where an update is interrupted meanwhile, which is no attack.
    """
    loop = asyncio.get_event_loop()
    if loop not in _guards:
        _guards[loop] = pulumi.ResourceHook("fortress-look-at-host-key", refuse_impostor)
    return _guards[loop]


_looked_at: dict[tuple[str, int, str], asyncio.Task[str]] = {}


async def _shown_key(address: str, port: int, kind: str) -> str:
    """The key a host shows now, or nothing when it does not answer; asked once a run.

    Raises:
        RuntimeError: the question was interrupted, which says nothing about the host.
    """
    key = (address, port, kind)
    if key not in _looked_at:
        _looked_at[key] = asyncio.create_task(_scan(*key))
        if not await _looked_at[key]:
            pulumi.log.warn(
                f"{address} does not answer SSH on port {port}. If the host is lost, set `gone: true` in its settings, "
                "run `up` and remove it from them, or remove it with `fortress forget`."
            )
    return await _looked_at[key]


async def _scan(address: str, port: int, kind: str) -> str:
    kind = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(kind, "ecdsa")
    scan: asyncio.subprocess.Process | None = None
    try:
        scan = await asyncio.create_subprocess_exec(
            *("ssh-keyscan", "-T", "5", "-p", str(port), "-t", kind, address),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await scan.communicate()
    except asyncio.CancelledError:
        if scan is not None:  # else asyncio ends what it had only begun to start
            scan.kill()
            await scan.wait()
        raise _interrupted(address) from None
    if scan.returncode is None or scan.returncode < 0:
        raise _interrupted(address)
    lines = [line for line in out.decode().splitlines() if line and not line.startswith("#")]
    return lines[0].split(" ", 1)[1] if lines else ""


def _interrupted(address: str) -> RuntimeError:
    return RuntimeError(f"interrupted while {address} was asked for its host key; nothing was sent to it")


def _one_line(member: Member, machine: str) -> str:
    """A machine's identity, which each command holds. One that comes later has not been looked at before.

    Raises:
        ValueError: it is not one line of printable text.
    """
    if not machine.isprintable():
        raise ValueError(f'host "{member["name"]}": machine_id: {shown(machine)} must be one line of printable text')
    return machine


def _by_sudo(member: Member, text: Callable[[str], pulumi.Input[str]]) -> pulumi.Input[str]:
    # The text may wait for more than the machine: for a volume's id.
    said = applied(member["machine_id"], lambda machine: text(_one_line(member, machine)))
    return applied(member["user"], lambda user: said if user == "root" else applied(said, "sudo {}".format))


def _proxy(bastion: Bastion | None, private_key: pulumi.Input[str] | None) -> remote.ProxyConnectionArgs | None:
    if bastion is None:
        return None
    return remote.ProxyConnectionArgs(
        host=bastion["address"],
        port=bastion["port"],
        user=bastion["user"],
        host_key=bastion["host_key"],
        private_key=private_key,
    )
