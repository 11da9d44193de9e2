"""The provider protocol around the commands: what the engine asks, one method each."""

# ruff: noqa: ARG002 - the protocol gives every method a request and a context

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from typing import NoReturn, TypeVar

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from . import NOTICE, VERSION, changes, commands
from .context import Context, Log, Severity
from .schema import RESOURCES, Resource, check, package_schema
from .values import from_wire, to_wire
from .words import CommandError

_WORKERS = 64  # requests at once; the engine's own default is four a core
_GRACE = 4.0  # seconds for requests under way at the end; the engine kills after 5
_LARGEST = 400 * 1024 * 1024  # bytes of a message: the engine's own limit (sdk/go/common/util/rpcutil)
_OPTIONS = [("grpc.max_receive_message_length", _LARGEST), ("grpc.max_send_message_length", _LARGEST)]
_SEVERITIES = {
    Severity.DEBUG: engine_pb2.DEBUG,
    Severity.INFO: engine_pb2.INFO,
    Severity.WARNING: engine_pb2.WARNING,
    Severity.ERROR: engine_pb2.ERROR,
}
_KINDS = {
    (changes.Kind.ADD, False): provider_pb2.PropertyDiff.ADD,
    (changes.Kind.ADD, True): provider_pb2.PropertyDiff.ADD_REPLACE,
    (changes.Kind.DELETE, False): provider_pb2.PropertyDiff.DELETE,
    (changes.Kind.DELETE, True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    (changes.Kind.UPDATE, False): provider_pb2.PropertyDiff.UPDATE,
    (changes.Kind.UPDATE, True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}

T = TypeVar("T")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One plugin process; the engine starts one for each operation."""

    def __init__(self, engine_address: str) -> None:
        self._cancelled = threading.Event()
        self._announced = False
        self._engine = _engine(engine_address) if engine_address else None

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        # no resource references and no output values: then the engine sends plain values, secrets and unknowns
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._engine = _engine(request.address)
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
        _refuse(context, grpc.StatusCode.UNIMPLEMENTED, "Parameterize is not implemented")

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
            self._log("")(Severity.INFO, NOTICE, False)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        _refuse(context, grpc.StatusCode.UNIMPLEMENTED, _not_modelled(request.tok))

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
            detailedDiff={path: provider_pb2.PropertyDiff(kind=_KINDS[how]) for path, how in diff.items()},
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
            if self._engine is not None:
                self._engine.Log(
                    engine_pb2.LogRequest(severity=_SEVERITIES[severity], message=message, urn=urn, ephemeral=passing)
                )

        return log


def _engine(address: str) -> engine_pb2_grpc.EngineStub:
    return engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=_OPTIONS))


def _resource(urn: str, context: grpc.ServicerContext) -> Resource:
    token = urn.split("::")[2].split("$")[-1]
    if token not in RESOURCES:
        _refuse(context, grpc.StatusCode.UNIMPLEMENTED, _not_modelled(token))
    return RESOURCES[token]


def _not_modelled(token: str) -> str:
    return f"the stand-in for pulumi-resource-command does not model {token}; it knows {', '.join(RESOURCES)}"


def _tell(context: grpc.ServicerContext, work: Callable[[], T]) -> T:
    try:
        return work()
    except CommandError as error:
        _refuse(context, grpc.StatusCode.UNKNOWN, str(error))


def _refuse(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, message)
    raise AssertionError("abort raises")


def main() -> NoReturn:
    """Serves until the engine interrupts us, as it ends a plugin, or dies, which closes our standard input."""
    provider = Provider(sys.argv[1] if len(sys.argv) > 1 else "")
    server = grpc.server(futures.ThreadPoolExecutor(_WORKERS), options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")

    def leave(_signal: int, _frame: object) -> NoReturn:
        server.stop(_GRACE).wait()
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    server.start()
    print(port, flush=True)
    while os.read(0, 4096):
        pass
    os._exit(0)
