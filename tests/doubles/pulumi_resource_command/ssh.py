"""Connects to a host as `command:remote:Command` does.

That is the plugin's `remote/connection.go` over golang.org/x/crypto/ssh.

What holds for the plugin and is easy to get wrong:
- keys, the pinned host key and the agent's socket are looked at once, before anything is dialled: no retry for them;
- a dial that fails is tried `dialErrorLimit` times more, waiting 0.1 s and half as much again each time, up to 5 s;
- the methods of authentication are `none`, the given key, the password, the agent, each *kind* tried once: where a
  key is given, the agent's keys are never tried;
- `perDialTimeout` bounds the TCP connection, not the handshake;
- through a proxy a failed handshake cannot be repeated (its channel is closed), so later tries report `EOF`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import itertools
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import paramiko
from paramiko.agent import AgentSSH

from .context import Context
from .transport import Transport
from .values import Value
from .words import CommandError, join_host_port, os_words

_FIRST_DELAY, _BACKOFF, _LONGEST_DELAY = 0.1, 1.5, 5.0  # seconds and a factor: sdk/go/common/util/retry
_PATIENCE = 3600.0  # seconds for what the plugin waits for without limit

T = TypeVar("T")
Socket = socket.socket | paramiko.Channel


class DialError(Exception):
    """One attempt to connect that failed, in the plugin's words."""


@dataclass(frozen=True)
class Endpoint:
    """Where and how to connect; the fields are those of the resource's `connection`."""

    user: str
    host: str
    port: int
    dial_error_limit: int
    per_dial_timeout: int
    password: str | None
    private_key: str | None
    private_key_password: str | None
    agent_socket_path: str | None
    host_key: str | None

    @classmethod
    def of(cls, connection: Mapping[str, Value]) -> Endpoint:
        """From checked inputs without secrets; those of a state that lacks defaults get them here."""

        def text(name: str) -> str | None:
            value = connection.get(name)
            return None if value is None else str(value)

        def number(name: str, default: int) -> int:
            value = connection.get(name)
            return int(value) if isinstance(value, int | float) else default

        return cls(
            user=text("user") or "root",
            host=text("host") or "",
            port=number("port", 22),
            dial_error_limit=number("dialErrorLimit", 10),
            per_dial_timeout=number("perDialTimeout", 15),
            password=text("password"),
            private_key=text("privateKey"),
            private_key_password=text("privateKeyPassword"),
            agent_socket_path=text("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK") or None,
            host_key=text("hostKey"),
        )


class _Agent(AgentSSH):
    """The keys of the agent at a socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise CommandError(f"dial unix {path}: connect: {os_words(error)}") from error
        self.connection = connection
        try:
            self._connect(connection)  # type: ignore[attr-defined]
        except (paramiko.SSHException, OSError) as error:
            connection.close()
            raise CommandError(f"agent: client error: {error}") from error


class _Login:
    """What is prepared once for an endpoint, before any dial.

    Raises: CommandError for a host key, a private key or an agent that cannot be used.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.pinned = _parse_host_key(endpoint.host_key) if endpoint.host_key is not None else None
        self.key = _parse_private_key(endpoint) if endpoint.private_key is not None else None
        self.agent = _Agent(endpoint.agent_socket_path) if endpoint.agent_socket_path else None

    def close(self) -> None:
        if self.agent is not None:
            self.agent.connection.close()

    def signers(self) -> list[paramiko.PKey]:
        """The keys of the one try of public keys."""
        if self.key is not None:
            return [self.key]
        return list(self.agent.get_keys()) if self.agent is not None else []

    def methods(self) -> list[str]:
        """Kinds of authentication in the order in which they are tried."""
        kinds = ["publickey"] if self.key is not None else []
        kinds += ["password", "keyboard-interactive"] if self.endpoint.password is not None else []
        kinds += ["publickey"] if self.key is None and self.agent is not None else []
        return kinds


@contextlib.contextmanager
def connected(context: Context, connection: Mapping[str, Value]) -> Iterator[Transport]:
    """An authenticated connection for one command, by way of the connection's proxy if it names one.

    Raises: CommandError.
    """
    with contextlib.ExitStack() as stack:
        login = _Login(Endpoint.of(connection))
        stack.callback(login.close)
        limit = login.endpoint.dial_error_limit
        through = connection.get("proxy")
        if not isinstance(through, dict):
            transport = _retry(context, "Dial", limit, lambda: _dial(login))
            stack.callback(transport.close)
            yield transport
            return
        try:
            proxy = _Login(Endpoint.of(through))
            stack.callback(proxy.close)
            bastion = _retry(context, "Dial proxy", proxy.endpoint.dial_error_limit, lambda: _dial(proxy))
            stack.callback(bastion.close)
            channel = _retry(context, "Dial from proxy", limit, lambda: _tunnel(bastion, login.endpoint))
            stack.callback(channel.close)
            transport = _retry(context, "Dial", limit, lambda: _handshake(channel, login))
            stack.callback(transport.close)
        except CommandError as error:
            raise CommandError(f"proxy: {error}") from error
        yield transport


def _retry(context: Context, what: str, limit: int, attempt: Callable[[], T]) -> T:
    failed, delay = 0, _FIRST_DELAY
    while True:
        try:
            return attempt()
        except DialError as error:
            if -1 < limit < failed + 1:
                raise CommandError(f"after {failed} failed attempts: {error}") from error
        failed += 1
        context.status(f"{what} {failed}/{'inf' if limit == -1 else limit} failed: retrying")
        context.sleep(delay)
        delay = min(delay * _BACKOFF, _LONGEST_DELAY)


def _dial(login: _Login) -> Transport:
    return _handshake(_dial_tcp(login.endpoint), login)


def _dial_tcp(endpoint: Endpoint) -> socket.socket:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DialError(f"dial tcp: lookup {endpoint.host}: no such host") from error
    problem = ""
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(endpoint.per_dial_timeout or None)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            words = os_words(error)
            step = "" if words == "i/o timeout" else "connect: "
            problem = problem or f"dial tcp {join_host_port(str(address[0]), endpoint.port)}: {step}{words}"
        else:
            connection.settimeout(None)
            return connection
    raise DialError(problem)


def _tunnel(bastion: Transport, target: Endpoint) -> paramiko.Channel:
    try:
        return bastion.open_channel("direct-tcpip", (target.host, target.port), ("0.0.0.0", 0), timeout=_PATIENCE)
    except paramiko.ChannelException as error:
        raise DialError(f"ssh: rejected: {error.text.lower()} ({bastion.refusal})") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise DialError(_read_words(error, "")) from error


def _handshake(connection: Socket, login: _Login) -> Transport:
    transport: Transport | None = None
    try:
        if isinstance(connection, paramiko.Channel) and connection.closed:
            raise DialError("EOF")
        transport = Transport(connection)
        ends = _ends(connection)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = _PATIENCE
        if login.pinned is not None:
            _offer_only(transport, login.pinned[0])
        try:
            _start(transport, login)
            _authenticate(transport, login)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise DialError(_read_words(error, ends)) from error
    except BaseException as error:
        if transport is not None:
            transport.close()
        connection.close()
        if isinstance(error, DialError):
            raise DialError(f"ssh: handshake failed: {error}") from error
        raise
    return transport


def _offer_only(transport: Transport, kind: str) -> None:
    try:
        transport.get_security_options().key_types = (kind,)
    except ValueError as error:
        raise DialError(f"ssh: no common algorithm for host key; we offered: [{kind}]") from error


def _start(transport: Transport, login: _Login) -> None:
    try:
        transport.start_client(timeout=_PATIENCE)
    except paramiko.ssh_exception.IncompatiblePeer as error:
        if "host key" in str(error) and login.pinned is not None:
            raise DialError(f"ssh: no common algorithm for host key; we offered: [{login.pinned[0]}]") from error
        raise DialError(str(error)) from error
    if login.pinned is not None and transport.get_remote_server_key().asbytes() != login.pinned[1]:
        raise DialError("ssh: host key mismatch")


def _authenticate(transport: Transport, login: _Login) -> None:
    tried, refusal = ["none"], ""
    try:
        transport.auth_none(login.endpoint.user)
        return
    except paramiko.BadAuthenticationType as error:
        allowed = list(error.allowed_types)
    while kind := next((name for name in login.methods() if name not in tried and name in allowed), None):
        more, refusal = _try(transport, login, kind)
        if more is None:
            tried.append(kind)
        elif not more:
            return
        else:
            allowed = more
    methods = " ".join(tried)
    raise DialError(
        refusal or f"ssh: unable to authenticate, attempted methods [{methods}], no supported methods remain"
    )


def _try(transport: Transport, login: _Login, kind: str) -> tuple[list[str] | None, str]:
    """What the server still wants after this kind (nothing: we are in), None when refused; and a refusal of note."""
    user, password = login.endpoint.user, login.endpoint.password or ""
    asked: list[str] = []

    def answer(_title: str, _text: str, questions: list[tuple[str, bool]]) -> list[str]:
        asked.extend(question for question, _ in questions)
        return [password for _ in questions]

    if kind == "publickey":
        for key in login.signers():
            with contextlib.suppress(paramiko.AuthenticationException):
                return transport.auth_publickey(user, key), ""
    elif kind == "password":
        with contextlib.suppress(paramiko.AuthenticationException):
            return transport.auth_password(user, password, fallback=False), ""
    else:
        with contextlib.suppress(paramiko.AuthenticationException):
            return transport.auth_interactive(user, answer), ""
        if not asked:
            return None, "ssh: unexpected message type 51 (expected 60)"
    return None, ""


def _ends(connection: Socket) -> str:
    """Both ends of a TCP connection, as they stand in the error of a read."""
    if isinstance(connection, paramiko.Channel):
        return ""
    here, there = connection.getsockname(), connection.getpeername()
    return f" {join_host_port(here[0], here[1])}->{join_host_port(there[0], there[1])}"


def _read_words(error: Exception, ends: str) -> str:
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, OSError):
        return f"read tcp{ends}: read: {os_words(cause)}"
    if isinstance(error, EOFError) or isinstance(cause, EOFError) or "banner" in str(error):
        return "EOF"
    return f"ssh: {error}"


def _parse_host_key(line: str) -> tuple[str, bytes]:
    """Type and bytes of a key as it stands in authorized_keys, with or without options before it."""
    words = line.split()
    for kind, encoded in itertools.pairwise(words):
        try:
            blob = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue
        if blob[4 : 4 + len(kind)] == kind.encode():
            return kind, blob
    raise CommandError("failed to parse host key: ssh: no key found")


def _parse_private_key(endpoint: Endpoint) -> paramiko.PKey:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(endpoint.private_key or ""), endpoint.private_key_password)
        except paramiko.PasswordRequiredException as error:
            raise CommandError("ssh: this private key is passphrase protected") from error
        except paramiko.SSHException as error:
            if "password" in str(error).lower() or "checkints" in str(error).lower():
                raise CommandError("x509: decryption password incorrect") from error
        except ValueError:
            continue
    raise CommandError("ssh: no key found")
