"""A stand-in for a host's sshd: paramiko's server on a loopback address, with a shell behind it.

It stands in for OpenSSH on a host of a fortress where no host is: public keys open it, each command runs by `sh -c`
with a PATH of the test's choosing, and it can forward (a bastion), stay silent, or freeze after the login. tests/engine
asks a real sshd.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
)


@dataclass
class SshServer:
    """A running server. `logins` counts who came in, `commands` has what they ran."""

    address: str
    port: int
    host_key: str
    """Type and base64, as in a known_hosts file."""
    logins: int = 0
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Behaviour:
    """What the server does. `programs` is the PATH of its commands."""

    authorized: tuple[str, ...]
    programs: str = "/usr/bin:/bin"
    forwards: bool = False
    freezes_on: str | None = None
    """A command with this text in it is accepted, and never ends."""
    hangs_up_on: str | None = None
    """A command with this text in it ends the connection."""
    shell_says: str = ""
    """What its login shell prints before it runs a command."""
    most_keys: int | None = None
    """So many keys that do not fit end the connection, as sshd's MaxAuthTries has it."""
    most_sessions: int | None = None
    """So many at a time on one connection, as sshd's MaxSessions has it; its 10 need no test."""
    lingers_s: float = 0.0
    """Seconds for which a session counts after its command has answered."""


class _Login(paramiko.ServerInterface):
    def __init__(self, transport: paramiko.Transport, server: SshServer, behaviour: Behaviour) -> None:
        self._transport = transport
        self._server = server
        self._behaviour = behaviour
        self._outgoing: dict[int, socket.socket] = {}
        self._refused = 0
        self._sessions = 0

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, _username: str, key: paramiko.PKey) -> int:
        if f"{key.get_name()} {key.get_base64()}" in self._behaviour.authorized:
            self._server.logins += 1
            return AUTH_SUCCESSFUL
        self._refused += 1
        if self._refused == self._behaviour.most_keys:
            self._transport.close()
        return AUTH_FAILED

    def check_channel_request(self, kind: str, _chanid: int) -> int:
        if kind != "session":
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        if self._sessions == self._behaviour.most_sessions:
            return OPEN_FAILED_CONNECT_FAILED
        self._sessions += 1
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, _origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        if not self._behaviour.forwards:
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            self._outgoing[chanid] = socket.create_connection(destination, 5)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        return OPEN_SUCCEEDED

    def forward(self) -> None:
        """Join each channel that was opened to a destination with its connection, until the client leaves."""
        while self._transport.is_active():
            channel = self._transport.accept(0.2)
            outgoing = self._outgoing.pop(channel.get_id(), None) if channel else None
            if channel and outgoing:
                _join(channel, outgoing)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        text = command.decode()
        self._server.commands.append(text)
        if self._behaviour.hangs_up_on and self._behaviour.hangs_up_on in text:
            self._transport.close()
        elif not (self._behaviour.freezes_on and self._behaviour.freezes_on in text):
            _thread(lambda: self._run(channel, text))
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        _run(channel, command, self._behaviour)
        time.sleep(self._behaviour.lingers_s)
        self._sessions -= 1


def _run(channel: paramiko.Channel, command: str, behaviour: Behaviour) -> None:
    if behaviour.shell_says:
        channel.sendall(behaviour.shell_says.encode())
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": behaviour.programs, "LC_ALL": "C.UTF-8"},
        bufsize=0,
    )
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin
    assert stdout
    assert stderr
    spoken = threading.Event()

    def receive(size: int) -> bytes:
        part = channel.recv(size)
        spoken.set()
        return part

    _thread(lambda: _pump(receive, stdin.write, stdin.close))
    errors = _thread(lambda: _pump(stderr.read, channel.sendall_stderr, lambda: None))
    _pump(stdout.read, channel.sendall, lambda: None)
    errors.join()
    # That the command was taken is answered after it began, and the client sends its input, or the end of it, after
    # that: no real server closes the channel before.
    spoken.wait(10)
    with contextlib.suppress(OSError, EOFError):
        channel.send_exit_status(process.wait())
        channel.close()


def _join(channel: paramiko.Channel, outgoing: socket.socket) -> None:
    _thread(lambda: _pump(channel.recv, outgoing.sendall, lambda: outgoing.shutdown(socket.SHUT_WR)))
    _thread(lambda: _pump(outgoing.recv, channel.sendall, channel.close))


def _pump(read: Callable[[int], bytes], write: Callable[[bytes], object], end: Callable[[], object]) -> None:
    with contextlib.suppress(OSError, EOFError):
        while part := read(65536):
            write(part)
    with contextlib.suppress(OSError, EOFError):
        end()


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def ssh_server(
    behaviour: Behaviour, *, address: str = "127.0.0.1", key: paramiko.PKey | None = None
) -> Iterator[SshServer]:
    """Serve until the context ends. Every server has a key of its own unless one is given."""
    host_key = key or paramiko.ECDSAKey.generate()
    with socket.create_server((address, 0)) as listener:
        server = SshServer(address, listener.getsockname()[1], public(host_key))
        transports: list[paramiko.Transport] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                transport = paramiko.Transport(connection)
                transport.add_server_key(host_key)
                transports.append(transport)
                login = _Login(transport, server, behaviour)
                with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                    transport.start_server(event=threading.Event(), server=login)
                    if behaviour.forwards:
                        _thread(login.forward)

        _thread(serve)
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for transport in transports:
                transport.close()


@contextlib.contextmanager
def silent_server(address: str = "127.0.0.1") -> Iterator[SshServer]:
    """A port that accepts connections and never says a word, like a machine whose disk is gone."""
    with socket.create_server((address, 0)) as listener:
        yield SshServer(address, listener.getsockname()[1], public(paramiko.ECDSAKey.generate()))


def public(key: paramiko.PKey) -> str:
    """A key's public half as a line of authorized_keys or known_hosts has it."""
    return f"{key.get_name()} {key.get_base64()}"


def write_key(folder: Path, name: str = "id") -> tuple[Path, str]:
    """A new private key file that `--key` takes, and its public half."""
    key = paramiko.ECDSAKey.generate()
    path = folder / name
    key.write_private_key_file(str(path))
    return path, public(key)


def programs(folder: Path, scripts: dict[str, str]) -> str:
    """A PATH on which these shell scripts come first, as programs of the host."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return os.pathsep.join([str(folder), "/usr/bin", "/bin"])
