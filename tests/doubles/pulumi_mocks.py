"""A double of Pulumi's engine for programs run inside a test: it keeps every registration whole.

The SDK's own mock monitor hands a mock the inputs only: no dependencies, no options, secrets unwrapped. This one is
that monitor with the request kept as the engine would see it, and with a plugin's answers: an input comes back as it
went in, what a command prints and what a cloud decides is unknown at preview. Resource hooks are registered without the
callback server that the SDK would start for them (a gRPC server in each test), and can be called.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import grpc  # type: ignore[import-untyped]
import pulumi
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]
from pulumi.resource import DependencyProviderResource, DependencyResource
from pulumi.runtime import mocks, proto, rpc, set_all_config, set_mocks
from pulumi.runtime.settings import SETTINGS, get_root_resource
from pulumi.runtime.stack import Stack, run_pulumi_func

from tests.doubles.pulumi_resource_command.values import UNKNOWN, Secret, Value, from_wire, to_wire

PROJECT, STACK = "data-fortress", "lab"


@dataclass(frozen=True)
class Registration:
    """One resource as the engine is asked for it; other resources by their names, which must be unique in a test."""

    type: str
    name: str
    urn: str
    parent: str | None
    """None below the stack itself."""
    inputs: Mapping[str, Value]
    waits: frozenset[str]
    """All that it waits for, by `depends_on` or by a value."""
    ignore_changes: tuple[str, ...]
    retain_on_delete: bool
    """As the engine has it: a parent's where the resource says nothing."""
    hooks: Mapping[str, Sequence[str]]
    protect: bool
    """As the SDK has it: a parent's where the resource says nothing."""
    delete_before_replace: bool
    replace_on_changes: tuple[str, ...]
    provider: str | None
    """The explicit provider; None for the default one of its package."""
    asked_again_on: tuple[Value, ...]
    """Values whose change alone replaces it: its `replacement_trigger`, of which every one here is a list."""
    deleted_with: str | None
    """The resource whose end is its own: its URN where no resource of the program has it."""
    aliases: tuple[str, ...]
    """What tells it in earlier states: its URN or name, or that of its parent."""
    options: Sequence[str]
    """Names of the options that the program set on it, but for the two above `hooks` and the hooks."""


@dataclass(frozen=True)
class Question:
    """A call of a provider's function."""

    token: str
    arguments: Mapping[str, Value]
    provider: str | None
    """The explicit provider; None for the default one of its package."""


class Refused(Exception):
    """What a function of a provider answers when it fails."""


@dataclass
class Run:
    """What a program registered and gave out."""

    resources: dict[str, Registration] = field(default_factory=dict)
    """By name, or by what `run` was told to know them by; no two share one here."""
    asked: list[Question] = field(default_factory=list)
    registered: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    """Outputs that components registered, by the component's name."""
    hooks: dict[str, pulumi.ResourceHook] = field(default_factory=dict)
    outputs: dict[str, Seen] = field(default_factory=dict)
    """What the program exported or a test asked for by `Run.see`."""

    def children(self, parent: str | None) -> dict[str, Registration]:
        """The children of a component, by name."""
        return {name: found for name, found in self.resources.items() if found.parent == parent}

    def below(self, parent: str) -> dict[str, Registration]:
        """All descendants of a component."""
        found = self.children(parent)
        for child in list(found):
            found |= self.below(child)
        return found

    def before(self, name: str) -> frozenset[str]:
        """All that must be done before a resource starts."""
        found: set[str] = set()
        ahead = [name]
        while ahead:
            for other in self.resources[ahead.pop()].waits - found:
                found.add(other)
                ahead.append(other)
        return frozenset(found)


@dataclass(frozen=True)
class Seen:
    """An output as it came out."""

    value: Any
    known: bool
    secret: bool


Stdout = Callable[[str], str]
"""What a command prints, by its name."""

Decided = Callable[[str, str, Mapping[str, Value]], Mapping[str, Value]]
"""What a cloud gives out besides the inputs, by a resource's type, name and inputs."""


Answers = Callable[[str, Mapping[str, Value]], Mapping[str, Value]]
"""What a provider's function answers, by its token and arguments. Raises `Refused`."""

Known = Callable[[str, str], str]
"""What a resource is known by in a `Run`, by its type and name."""


def address_of(name: str) -> str:
    """The address that a resource is given: always the same by its name, of a range for tests (RFC 2544)."""
    return str(IPv4Network("198.18.0.0/15")[int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big") + 1])


def decided(type_: str, name: str, inputs: Mapping[str, Value]) -> Mapping[str, Value]:
    """What the clouds give out where a test says nothing else."""
    match type_:
        case "openstack:networking/floatingIp:FloatingIp":
            return {"address": address_of(name)}
        case "openstack:networking/port:Port":
            asked = plain(inputs.get("fixedIps")) or [{}]
            return {"allFixedIps": [one.get("ipAddress", address_of(name)) for one in asked]}
        case "aws:ec2/instance:Instance":
            return {"publicIp": address_of(name)}
        case "aws:ec2/vpc:Vpc":
            return {"ipv6CidrBlock": "2001:db8:0:ab00::/56" if inputs.get("assignGeneratedIpv6CidrBlock") else ""}
    return {}


def nothing_is_asked(token: str, _arguments: Mapping[str, Value]) -> Mapping[str, Value]:
    """For programs that call no function."""
    raise AssertionError(f"the program calls {token}")


class _Failed(grpc.RpcError):  # type: ignore[misc]  # untyped
    """An answer of the engine that its caller sees as an error."""

    def __init__(self, details: str) -> None:
        super().__init__(details)
        self._details = details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return self._details


class _Hooks:
    """Takes the place of the SDK's callback server."""

    def __init__(self, run: Run) -> None:
        self._run, self._loop = run, asyncio.get_running_loop()
        self._transforms: list[Any] = []

    def register_stack_transform(self, transform: Any) -> None:
        self._transforms.append(transform)

    def show(self, request: Any) -> None:
        """Call the program's transforms as the SDK does when the engine asks; they may look, and change nothing."""
        for transform in self._transforms:
            asked = _asked(transform, request)
            assert asyncio.run_coroutine_threadsafe(asked, self._loop).result(60) is None

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        assert hook.name not in self._run.hooks, f"the engine refuses a second hook {hook.name}"
        self._run.hooks[hook.name] = hook


async def _asked(transform: Any, request: Any) -> Any:
    """A transform's answer about a registration; an error is one of the engine's."""
    options = pulumi.ResourceOptions(
        parent=DependencyResource(request.parent) if request.parent else None,
        provider=DependencyProviderResource(request.provider) if request.provider else None,
        protect=request.protect,
    )
    props = rpc.deserialize_properties(request.object)
    args = pulumi.ResourceTransformArgs(
        custom=request.custom, type_=request.type, name=request.name, props=props, opts=options
    )
    try:
        return await transform(args)
    except Exception as error:
        raise _Failed(f"Invoke callback error: {error}") from error


class _Monitor(mocks.MockMonitor):
    def __init__(
        self,
        run: Run,
        stdout: Stdout,
        decided: Decided,
        answers: Answers,
        known_by: Known,
        unknown: Callable[[str], bool],
        has_come_up: bool | None,
    ) -> None:
        super().__init__(_NoMocks())
        self._has_come_up = has_come_up
        self._run, self._stdout, self._decided, self._answers = run, stdout, decided, answers
        self._known_by, self._unknown = known_by, unknown
        self._names: dict[str, str] = {}

    def Invoke(self, request: Any) -> Any:
        if request.tok == "pulumi:pulumi:readStackOutputs":  # which the engine answers, and no provider
            if self._has_come_up is None:
                raise _Failed("failed to load checkpoint: EOF")
            outputs: Value = {"fortress": "facts"} if self._has_come_up else {}
            return proto.resource_pb2.ResourceInvokeResponse(**{"return": to_wire({"outputs": outputs})})
        question = Question(request.tok, from_wire(request.args), self._provider(request))
        self._run.asked.append(question)
        try:
            answer = self._answers(question.token, question.arguments)
        except Refused as words:
            # As the engine tells what a bridged provider answers.
            raise _Failed(
                f"invocation of {request.tok} returned an error: invoking {request.tok}: "
                f"1 error occurred:\n\t* {words}\n\n"
            ) from None
        return proto.resource_pb2.ResourceInvokeResponse(**{"return": to_wire(dict(answer))})

    def _provider(self, request: Any) -> str | None:
        # A reference to a provider is its URN and its id.
        return self._names.get(request.provider.rpartition("::")[0])

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return proto.resource_pb2.RegisterResourceResponse(urn=urn)
        assert urn not in self._names, f"duplicate URN: {urn}"
        hooks = SETTINGS.callbacks
        assert isinstance(hooks, _Hooks)
        hooks.show(request)
        known_by = self._known_by(request.type, request.name)
        assert known_by not in self._run.resources, f"two resources are known by {known_by}"
        self._names[urn] = known_by
        inputs = from_wire(request.object)
        self._run.resources[known_by] = Registration(
            type=request.type,
            name=request.name,
            urn=urn,
            parent=self._names.get(request.parent),
            inputs=inputs,
            waits=frozenset(self._names[dependency] for dependency in request.dependencies),
            ignore_changes=tuple(request.ignoreChanges),
            retain_on_delete=self._retained(request),
            hooks={kind.name: tuple(names) for kind, names in request.hooks.ListFields()},
            protect=request.protect,
            delete_before_replace=request.deleteBeforeReplace,
            replace_on_changes=tuple(request.replaceOnChanges),
            provider=self._provider(request),
            asked_again_on=_trigger(request),
            deleted_with=self._names.get(request.deletedWith, request.deletedWith) or None,
            aliases=tuple(alias.urn or alias.spec.parentUrn or alias.spec.name for alias in request.aliases),
            options=_options(request),
        )
        state, unknown = dict(inputs), self._unknown(known_by)
        if request.type.startswith("command:"):
            for stream in ("stdout", "stderr"):
                state[stream] = UNKNOWN if unknown else ""
            if not unknown:
                state["stdout"] = self._stdout(request.name)
        for output, value in self._decided(request.type, request.name, inputs).items():
            state[output] = UNKNOWN if unknown else value
        return proto.resource_pb2.RegisterResourceResponse(
            urn=urn, id="" if unknown else f"{request.name}-id", object=to_wire(state)
        )

    def _retained(self, request: Any) -> bool:
        if request.HasField("retainOnDelete") or request.parent not in self._names:
            return bool(request.retainOnDelete)
        return self._run.resources[self._names[request.parent]].retain_on_delete

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if name := self._names.get(request.urn):
            self._run.registered[name] = from_wire(request.outputs)
        return empty_pb2.Empty()


# What the SDK sets on its own, or what a registration has a field for.
_ORDINARY = {
    *("type", "name", "parent", "custom", "object", "dependencies", "propertyDependencies", "acceptSecrets"),
    *("acceptResources", "supportsPartialValues", "sourcePosition", "supportsResultReporting", "version", "hooks"),
    *("ignoreChanges", "retainOnDelete", "stackTrace", "packageRef", "deleteBeforeReplaceDefined", "remote"),
    *("replacement_trigger", "aliases"),
}


def _trigger(request: Any) -> tuple[Value, ...]:
    if not request.HasField("replacement_trigger"):
        return ()
    kept = from_wire(struct_pb2.Struct(fields={"kept": request.replacement_trigger}))["kept"]
    return tuple(kept) if isinstance(kept, list) else (kept,)


def _options(request: Any) -> tuple[str, ...]:
    return tuple(sorted(option.name for option, _ in request.ListFields() if option.name not in _ORDINARY))


class _NoMocks(mocks.Mocks):
    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(f"the program calls {args.token} past the monitor")

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        raise AssertionError(f"the program reads {args.typ}")


def run(
    program: Callable[[], Mapping[str, Any] | None],
    *,
    preview: bool = False,
    standing: Collection[str] = (),
    stdout: Stdout = "{} said".format,
    decided: Decided = decided,
    answers: Answers = nothing_is_asked,
    known_by: Known = lambda _type, name: name,
    config: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    has_come_up: bool | None = True,
    done: Run | None = None,
) -> Run:
    """Run a program as an update, or as a preview of the first one; what it exports or returns is in `outputs`.

    A preview on a stack that stands has `standing`, which are not changed and whose outputs are therefore known.
    `has_come_up` is whether the stack has the outputs of an earlier update; None where the engine cannot read them.
    Raises what the program raises; what it did until then is in `done`.
    """
    done = Run() if done is None else done

    def unknown(name: str) -> bool:
        return preview and name not in standing

    def go() -> None:
        set_all_config(dict(config or {}), list(secrets))
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            monitor = _Monitor(done, stdout, decided, answers, known_by, unknown, has_come_up)
            loop.run_until_complete(_run(done, program, monitor, preview))
        finally:
            left = asyncio.all_tasks(loop)  # of a program that failed
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()

    contextvars.Context().run(go)
    return done


async def _run(done: Run, program: Callable[[], Mapping[str, Any] | None], monitor: _Monitor, preview: bool) -> None:
    set_mocks(_NoMocks(), PROJECT, STACK, preview=preview, monitor=monitor)
    SETTINGS.callbacks = _Hooks(done)
    SETTINGS.outputs = set()  # else what a program that failed left behind is waited for, on a loop that is closed
    asked: dict[str, Any] = {}

    def wanted() -> None:
        asked.update(program() or {})

    await run_pulumi_func(wanted)
    root = get_root_resource()
    assert isinstance(root, Stack)
    for name, value in {**root.outputs, **asked}.items():
        out = pulumi.Output.from_input(value)
        known = await out.is_known()
        # The value of an unknown output is whatever stood in its place: of no use, and not to be compared.
        done.outputs[name] = Seen(await out.future() if known else UNKNOWN, known, await out.is_secret())


def plain(value: Value) -> Any:
    """A value without its secret wrappings, numbers that are whole as int."""
    match value:
        case Secret():
            return plain(value.value)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def holds_unknown(value: Value) -> bool:
    """Whether anything in a value is unknown."""
    match value:
        case Secret():
            return holds_unknown(value.value)
        case dict():
            return any(holds_unknown(item) for item in value.values())
        case list():
            return any(holds_unknown(item) for item in value)
        case _:
            return value is UNKNOWN


def secret_paths(inputs: Mapping[str, Value]) -> set[str]:
    """Where secrets stand, such as `stdin` or `connection.privateKey`."""
    found: set[str] = set()

    def look(value: Value, path: str) -> None:
        if isinstance(value, Secret):
            found.add(path)
        elif isinstance(value, dict):
            for key, item in value.items():
                look(item, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                look(item, f"{path}[{index}]")

    look(dict(inputs), "")
    return found
