"""The provider protocol around the kinds of a cloud: what the engine asks, one method each."""

# ruff: noqa: ARG002 - the protocol gives every method a request and a context

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import threading
from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar, cast

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from ..pulumi_resource_command.changes import Kind as Change
from ..pulumi_resource_command.changes import object_diff
from ..pulumi_resource_command.context import Severity
from ..pulumi_resource_command.serving import Engine, property_diff, refuse, serve
from ..pulumi_resource_command.values import Properties, Value, from_wire, plain, to_wire
from . import changes, shapes
from .kinds import CloudError, Kind, Plugin, Problem

C = TypeVar("C")
T = TypeVar("T")


class Provider(provider_pb2_grpc.ResourceProviderServicer, Generic[C]):
    """One plugin process; the engine starts one for each provider of an operation."""

    def __init__(self, plugin: Plugin[C], engine_address: str) -> None:
        self._plugin = plugin
        self._kinds = {kind.token: kind for kind in plugin.kinds}
        self._functions = {function.token: function for function in plugin.functions}
        self._engine = Engine(engine_address)
        self._announced = False
        self._connecting = threading.Lock()
        self._configuration: Properties = {}
        self._cloud: C | None = None

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        # no resource references and no output values: then the engine sends plain values, secrets and unknowns
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._engine = Engine(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._plugin.version)

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(
            schema=json.dumps({"name": self._plugin.name, "version": self._plugin.version})
        )

    def Parameterize(
        self, request: provider_pb2.ParameterizeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ParameterizeResponse:
        refuse(context, grpc.StatusCode.UNIMPLEMENTED, "Parameterize is not implemented")

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        shape = shapes.of_class(self._plugin.provider)
        news = {name: value for name, value in from_wire(request.news).items() if name not in ("version", "internal")}
        found = shapes.problems(shape, shapes.from_texts(shape, news, _decoded))
        return provider_pb2.CheckResponse(
            inputs=request.news,
            failures=[
                provider_pb2.CheckFailure(
                    reason=f"could not validate provider configuration: {_placed(problem, _name(request.urn))}"
                )
                for problem in found
            ],
        )

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        olds, news = (changes.told(from_wire(item)) for item in (request.old_inputs, request.news))
        return _diff_response({path: (change, False) for path, change in object_diff("", olds, news)}, False)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        if not self._announced:
            self._announced = True
            self._engine.log(Severity.INFO, self._plugin.notice)
        shape = shapes.of_class(self._plugin.provider)
        self._configuration = changes.told(shapes.from_texts(shape, _plain(from_wire(request.args)), _decoded))
        self._tell(context, self._connected)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        function = self._functions.get(request.tok)
        if function is None:
            refuse(context, grpc.StatusCode.UNIMPLEMENTED, self._not_modelled(request.tok))
        inputs = from_wire(request.args)
        failures = list(shapes.problems(shapes.of_function(function.args), inputs))
        if failures:
            return provider_pb2.InvokeResponse(
                failures=[provider_pb2.CheckFailure(property=item.property, reason=item.reason) for item in failures]
            )
        prefix = f"invoking {request.tok}: "
        result = self._tell(context, lambda: function.call(self._connected(), changes.told(inputs)), prefix)
        return provider_pb2.InvokeResponse(**{"return": to_wire(result)})

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        kind = self._kind(request.urn, context)
        olds = from_wire(request.olds)
        news = {name: value for name, value in from_wire(request.news).items() if name != changes.DEFAULTS}
        shape = shapes.of_class(kind.args)
        failures = list(shapes.problems(shape, news)) or list(kind.problems(changes.told(news)))
        name = _name(request.urn)
        filled: Properties = {key: value for key, value in kind.defaults.items() if news.get(key) is None}
        if kind.named in shape.fields and news.get(kind.named) is None:
            kept = olds.get(kind.named) if kind.named in changes.noted(olds) else None
            filled[kind.named] = kept or f"{name}-{_digits(request.randomSeed)}"
        noted: list[Value] = [*sorted(filled)]
        inputs: Properties = {**news, **filled, changes.DEFAULTS: noted}
        return provider_pb2.CheckResponse(
            inputs=to_wire(inputs),
            failures=[provider_pb2.CheckFailure(reason=_placed(problem, name)) for problem in failures],
        )

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        kind = self._kind(request.urn, context)
        olds = from_wire(request.old_inputs)
        news = changes.with_ignored(olds, from_wire(request.news), request.ignoreChanges)
        return _diff_response(changes.detailed_diff(kind, olds, news), changes.deletes_first(kind, news))

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        kind = self._kind(request.urn, context)
        inputs = from_wire(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=to_wire(changes.previewed_create(kind, inputs)))
        given = changes.told(inputs)
        identity, outputs = self._tell(context, lambda: kind.create(self._connected(), given, _name(request.urn)))
        return provider_pb2.CreateResponse(
            id=identity, properties=to_wire(changes.secret_again({**given, **outputs}, inputs))
        )

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        kind = self._kind(request.urn, context)
        state, inputs = from_wire(request.properties), from_wire(request.inputs)
        outputs = self._tell(context, lambda: kind.read(self._connected(), request.id, changes.told(state)))
        if outputs is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=to_wire(changes.secret_again({**changes.told(inputs), **outputs}, inputs, state)),
            inputs=to_wire(changes.read_inputs(kind, shapes.of_class(kind.args), inputs, outputs)),
        )

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        kind = self._kind(request.urn, context)
        olds, old_inputs = from_wire(request.olds), from_wire(request.old_inputs)
        inputs = changes.with_ignored(old_inputs, from_wire(request.news), request.ignoreChanges)
        if request.preview:
            outputs = changes.previewed_update(kind, olds, old_inputs, inputs)
            return provider_pb2.UpdateResponse(properties=to_wire(outputs))
        given = changes.told(inputs)
        made = self._tell(context, lambda: kind.update(self._connected(), request.id, changes.told(olds), given))
        return provider_pb2.UpdateResponse(properties=to_wire(changes.secret_again({**given, **made}, inputs)))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        kind = self._kind(request.urn, context)
        state = changes.told(from_wire(request.properties))
        self._tell(context, lambda: kind.delete(self._connected(), request.id, state))
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def _connected(self) -> C:
        with self._connecting:
            if self._cloud is None:
                self._cloud = self._plugin.connect(self._configuration)
            return self._cloud

    def _kind(self, urn: str, context: grpc.ServicerContext) -> Kind[C]:
        token = urn.split("::")[2].split("$")[-1]
        if token not in self._kinds:
            refuse(context, grpc.StatusCode.UNIMPLEMENTED, self._not_modelled(token))
        return self._kinds[token]

    def _not_modelled(self, token: str) -> str:
        known = ", ".join(sorted({*self._kinds, *self._functions}))
        return f"the stand-in for pulumi-resource-{self._plugin.name} does not model {token}; it knows {known}"

    def _tell(self, context: grpc.ServicerContext, work: Callable[[], T], prefix: str = "") -> T:
        try:
            return work()
        except CloudError as error:
            # as the bridge lists what a Terraform provider says
            refuse(context, grpc.StatusCode.UNKNOWN, f"{prefix}1 error occurred:\n\t* {error}\n\n")


def _diff_response(diff: dict[str, tuple[Change, bool]], deletes_first: bool) -> provider_pb2.DiffResponse:
    replaces = [path for path, (_, replaces) in diff.items() if replaces]
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if diff else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted({str(changes.steps(path)[0]) for path in diff}),
        replaces=replaces,
        deleteBeforeReplace=bool(replaces) and deletes_first,
        detailedDiff={path: property_diff(*how, of_inputs=True) for path, how in diff.items()},
        hasDetailedDiff=True,
    )


def _placed(problem: Problem, name: str) -> str:
    if not problem.property or problem.reason.startswith("Missing required"):
        return problem.reason
    return f"{problem.reason}. Examine values at '{name}.{problem.property}'."


def _name(urn: str) -> str:
    return urn.split("::", 3)[-1]


def _digits(seed: bytes) -> str:
    return (hashlib.sha256(seed).hexdigest() if seed else secrets.token_hex(4))[:7]


def _plain(properties: Properties) -> Properties:
    return cast("Properties", plain(properties))


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main(plugin: Plugin[C]) -> NoReturn:
    """Serves the engine whose address is the first argument."""
    serve(Provider(plugin, sys.argv[1] if len(sys.argv) > 1 else ""))
