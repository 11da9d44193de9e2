"""What every stand-in for a plugin needs to speak with the engine, whatever it provides."""

from __future__ import annotations

import os
import signal
from concurrent import futures
from typing import NoReturn

import grpc  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from .changes import Kind
from .context import Severity

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
    (Kind.ADD, False): provider_pb2.PropertyDiff.ADD,
    (Kind.ADD, True): provider_pb2.PropertyDiff.ADD_REPLACE,
    (Kind.DELETE, False): provider_pb2.PropertyDiff.DELETE,
    (Kind.DELETE, True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    (Kind.UPDATE, False): provider_pb2.PropertyDiff.UPDATE,
    (Kind.UPDATE, True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


class Engine:
    """The engine that started us; one without an address hears nothing."""

    def __init__(self, address: str) -> None:
        channel = grpc.insecure_channel(address, options=_OPTIONS) if address else None
        self._stub = engine_pb2_grpc.EngineStub(channel) if channel else None

    def log(self, severity: Severity, message: str, urn: str = "", passing: bool = False) -> None:
        """Adds a line to the engine's log, under a resource when a URN is given; `passing` is only a status."""
        if self._stub is not None:
            self._stub.Log(
                engine_pb2.LogRequest(severity=_SEVERITIES[severity], message=message, urn=urn, ephemeral=passing)
            )


def property_diff(kind: Kind, replaces: bool, of_inputs: bool = False) -> provider_pb2.PropertyDiff:
    """How one property changed, as a message; `of_inputs` when the inputs were compared and not the state."""
    return provider_pb2.PropertyDiff(kind=_KINDS[kind, replaces], inputDiff=of_inputs)


def refuse(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    """Ends a request with an error."""
    context.abort(code, message)
    raise AssertionError("abort raises")


def serve(provider: provider_pb2_grpc.ResourceProviderServicer) -> NoReturn:
    """Serves until the engine interrupts us, as it ends a plugin, or dies, which closes our standard input."""
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
