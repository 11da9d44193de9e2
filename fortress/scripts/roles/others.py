"""The other servers, asked over TLS for what their services know."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading

from .host import CA, ServerList
from .server import look
from .states import ServerReport, ServerState, parse_report

ANSWER_S = 1.5
"""How long another server may take for its answer."""
FRESH_S = 3.0
"""How old an answer about the own server may be to be given to a proxy."""


def context_of_client() -> ssl.SSLContext:
    """TLS to another server, whose certificate is for its address and from the authority of one of the servers."""
    return ssl.create_default_context(cafile=str(CA))


def connect(config: ServerList, name: str, seconds: float) -> http.client.HTTPSConnection:
    """A connection to a server's service."""
    address = config.servers[name]
    return http.client.HTTPSConnection(address, config.port, timeout=seconds, context=context_of_client())


def ask(config: ServerList, name: str) -> ServerState | str:
    """What another server says of itself, or why it does not."""
    try:
        connection = connect(config, name, ANSWER_S)
        with contextlib.closing(connection):
            connection.request("GET", "/state")
            answer = connection.getresponse()
            found = parse_report(json.loads(answer.read(1_000_000)))
        if found.age_s >= FRESH_S and not found.own.trouble:
            return "its service has not asked MariaDB lately"
        return found.own
    except (OSError, ValueError, TypeError, http.client.HTTPException) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__


def ask_all(config: ServerList) -> dict[str, ServerState | str]:
    """Every other server at the same time."""
    found: dict[str, ServerState | str] = {}
    asking = [
        threading.Thread(target=lambda each=name: found.__setitem__(each, ask(config, each)), daemon=True)
        for name in config.others
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join(ANSWER_S * 3)
    return {name: found.get(name, "no answer") for name in config.others}


def own_report(config: ServerList) -> ServerReport:
    """What the service of this host knows; a look without it where it does not answer."""
    try:
        connection = connect(config, config.me, ANSWER_S)
        with contextlib.closing(connection):
            connection.request("GET", "/state")
            return parse_report(json.loads(connection.getresponse().read(1_000_000)))
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = f"fortress-database-role does not answer: {error}"
        return ServerReport(look(config.me), votes=config.votes, service=why)
