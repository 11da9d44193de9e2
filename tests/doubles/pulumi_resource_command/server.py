"""The provider protocol around the commands: what the engine asks, one method each."""

# ruff: noqa: ARG002 - the protocol gives every method a request and a context

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from . import NOTICE, VERSION, changes, commands
from .context import Context, Log, Severity
from .schema import RESOURCES, Resource, check, package_schema
from .serving import Engine, property_diff, refuse, serve
from .values import from_wire, to_wire
from .words import CommandError

T = TypeVar("T")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One plugin process; the engine starts one for each operation."""

    def __init__(self, engine_address: str) -> None:
        self._cancelled = threading.Event()
        self._announced = False
        self._engine = Engine(engine_address)

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        # no resource references and no output values: then the engine sends plain values, secrets and unknowns
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._engine = Engine(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=package_schema())

    def Parameterize(
        self, request: provider_pb2.ParameterizeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ParameterizeResponse:
        refuse(context, grpc.StatusCode.UNIMPLEMENTED, "Parameterize is not implemented")

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        if not self._announced:
            self._announced = True
            self._engine.log(Severity.INFO, NOTICE)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        refuse(context, grpc.StatusCode.UNIMPLEMENTED, _not_modelled(request.tok))

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        inputs, failures = check(_resource(request.urn, context), from_wire(request.news))
        return provider_pb2.CheckResponse(
            inputs=to_wire(inputs),
            failures=[provider_pb2.CheckFailure(property=item.property, reason=item.reason) for item in failures],
        )

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        olds = from_wire(request.olds)
        news = changes.with_ignored(olds, from_wire(request.news), request.ignoreChanges)
        diff = changes.detailed_diff(_resource(request.urn, context), olds, news)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if diff else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=list(diff),
            replaces=[path for path, (_, replaces) in diff.items() if replaces],
            detailedDiff={path: property_diff(*how) for path, how in diff.items()},
            hasDetailedDiff=True,
        )

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        resource = _resource(request.urn, context)
        inputs = from_wire(request.properties)
        work = self._context(request.urn, request.timeout)
        name = request.urn.split("::")[-1]
        identity, outputs = _tell(context, lambda: commands.create(work, resource, name, inputs, request.preview))
        return provider_pb2.CreateResponse(id=identity, properties=to_wire(outputs))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        # the plugin has no read: a refresh gives back what the state holds
        _resource(request.urn, context)
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        resource = _resource(request.urn, context)
        olds = from_wire(request.olds)
        inputs = changes.with_ignored(olds, from_wire(request.news), request.ignoreChanges)
        work = self._context(request.urn, request.timeout)
        outputs = _tell(context, lambda: commands.update(work, resource, olds, inputs, request.preview))
        return provider_pb2.UpdateResponse(properties=to_wire(outputs))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        resource = _resource(request.urn, context)
        state = from_wire(request.properties)
        work = self._context(request.urn, request.timeout)
        _tell(context, lambda: commands.delete(work, resource, state))
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._cancelled.set()
        return empty_pb2.Empty()

    def _context(self, urn: str, timeout: float) -> Context:
        return Context(self._log(urn), self._cancelled, timeout)

    def _log(self, urn: str) -> Log:
        def log(severity: Severity, message: str, passing: bool) -> None:
            self._engine.log(severity, message, urn, passing)

        return log


def _resource(urn: str, context: grpc.ServicerContext) -> Resource:
    token = urn.split("::")[2].split("$")[-1]
    if token not in RESOURCES:
        refuse(context, grpc.StatusCode.UNIMPLEMENTED, _not_modelled(token))
    return RESOURCES[token]


def _not_modelled(token: str) -> str:
    return f"the stand-in for pulumi-resource-command does not model {token}; it knows {', '.join(RESOURCES)}"


def _tell(context: grpc.ServicerContext, work: Callable[[], T]) -> T:
    try:
        return work()
    except CommandError as error:
        refuse(context, grpc.StatusCode.UNKNOWN, str(error))


def main() -> NoReturn:
    """Serves the engine whose address is the first argument."""
    serve(Provider(sys.argv[1] if len(sys.argv) > 1 else ""))
