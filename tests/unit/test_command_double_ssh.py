"""Connecting, against an SSH server in this process; tests/engine does it against a real sshd."""

# ruff: noqa: ARG002 - paramiko gives its server methods more than this one looks at

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.doubles.pulumi_resource_command import remote, ssh
from tests.doubles.pulumi_resource_command.context import Context
from tests.doubles.pulumi_resource_command.output import Capture, Stream
from tests.doubles.pulumi_resource_command.values import Properties
from tests.doubles.pulumi_resource_command.words import CommandError

HOST_KEY = paramiko.ECDSAKey.generate()
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0vfo0vIbVJSmpGxLnM/OSqCsY5yZKMG9W4tVtqrlNP"


class Door(paramiko.ServerInterface):
    """Lets in who has the password by one of the methods, and runs `exit N` and `say TEXT`."""

    def __init__(self, methods: Sequence[str]) -> None:
        self.methods = methods

    def get_allowed_auths(self, username: str) -> str:
        return ",".join(self.methods)

    def check_auth_password(self, username: str, password: str) -> int:
        good = "password" in self.methods and (username, password) == ("ops", "open sesame")
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> int | paramiko.server.InteractiveQuery:
        if "keyboard-interactive" not in self.methods:
            return paramiko.common.AUTH_FAILED
        return paramiko.server.InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        good = responses == ["open sesame"]
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        return name == b"GOOD"

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True).start()
        return True

    @staticmethod
    def _run(channel: paramiko.Channel, command: str) -> None:
        while channel.recv(1024):  # to the end of the input, which comes after the answer to the request
            pass
        verb, _, rest = command.partition(" ")
        if verb == "say":
            channel.sendall(rest.encode())
            channel.send_exit_status(0)
        elif verb == "exit":
            channel.send_exit_status(int(rest))
        channel.close()  # `vanish`: without a status


@contextmanager
def listening(*methods: str) -> Iterator[int]:
    """The port of a server with these methods of authentication."""
    transports: list[paramiko.Transport] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(HOST_KEY)
            transport.start_server(server=Door(methods), event=threading.Event())
            transports.append(transport)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for transport in transports:
                transport.close()


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def context() -> Context:
    return Context(lambda *_: None, threading.Event())


def run(command: str, port: int, environment: dict[str, str] | None = None, **connection: str) -> str:
    given: Properties = {"host": "127.0.0.1", "port": float(port), "user": "ops", "dialErrorLimit": 0.0, **connection}
    capture = Capture(context(), "none")
    remote.run(context(), given, command, environment=environment or {}, previous={}, stdin=None, capture=capture)
    return capture.output(Stream.STDOUT)


def refused(command: str, port: int, environment: dict[str, str] | None = None, **connection: str) -> str:
    with pytest.raises(CommandError) as raised:
        run(command, port, environment, **connection)
    return str(raised.value)


def private_key(
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: str = ""
) -> str:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encryption).decode()


def test_a_password_opens_by_either_method() -> None:
    for method in ("password", "keyboard-interactive"):
        with listening(method) as port:
            assert run("say hello", port, password="open sesame") == "hello"


def test_methods_are_tried_in_order_and_once() -> None:
    stranger = private_key(ed25519.Ed25519PrivateKey.generate())
    start = "after 0 failed attempts: ssh: handshake failed: "
    with listening("password", "publickey") as port:
        assert refused("say x", port, password="wrong", privateKey=stranger) == (
            start
            + "ssh: unable to authenticate, attempted methods [none publickey password], no supported methods remain"
        )
        assert refused("say x", port) == (
            start + "ssh: unable to authenticate, attempted methods [none], no supported methods remain"
        )
    with listening("keyboard-interactive") as port:
        assert refused("say x", port, password="wrong") == (
            start
            + "ssh: unable to authenticate, attempted methods [none keyboard-interactive], no supported methods remain"
        )


def test_the_host_key_is_compared_before_anybody_logs_in() -> None:
    pinned = f"{HOST_KEY.get_name()} {HOST_KEY.get_base64()} a comment"
    other = paramiko.ECDSAKey.generate()
    with listening("password") as port:
        assert run("say hello", port, password="open sesame", hostKey=pinned) == "hello"
        mismatch = refused("say x", port, password="open sesame", hostKey=f"{other.get_name()} {other.get_base64()}")
        assert mismatch == "after 0 failed attempts: ssh: handshake failed: ssh: host key mismatch"
        assert refused("say x", port, hostKey=ED25519) == (
            "after 0 failed attempts: ssh: handshake failed: "
            "ssh: no common algorithm for host key; we offered: [ssh-ed25519]"
        )
        assert refused("say x", port, hostKey="nonsense") == "failed to parse host key: ssh: no key found"


def test_how_a_command_ends() -> None:
    with listening("password") as port:
        password = "open sesame"
        assert refused("exit 3", port, password=password) == 'Process exited with status 3: running "exit 3":\n'
        assert refused("vanish", port, password=password) == (
            'wait: remote command exited without exit status or exit signal: running "vanish":\n'
        )
        assert run("say x", port, {"GOOD": "v"}, password=password) == "x"
        assert refused("say x", port, {"BAD": "v"}, password=password) == (
            'could not set environment variable "BAD": ssh: setenv failed'
        )


def test_a_server_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1024)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert refused("say x", port) == "after 0 failed attempts: ssh: handshake failed: EOF"
        thread.join()
    assert refused("say x", port) == f"after 0 failed attempts: dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert refused("say x", port, host="no-such-host.invalid") == (
        "after 0 failed attempts: dial tcp: lookup no-such-host.invalid: no such host"
    )


def test_waits_grow_by_half_up_to_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    said: list[str] = []
    monkeypatch.setattr(Context, "sleep", lambda _self, seconds: waited.append(seconds))
    monkeypatch.setattr(Context, "status", lambda _self, message: said.append(message))
    attempts: list[int] = []

    def attempt() -> None:
        attempts.append(1)
        raise ssh.DialError("no")

    with pytest.raises(CommandError, match=r"^after 12 failed attempts: no$"):
        ssh._retry(context(), "Dial", 12, attempt)
    assert len(attempts) == 13
    grown = [0.1, 0.15, 0.225, 0.3375, 0.50625, 0.759375, 1.1390625, 1.70859375, 2.562890625, 3.8443359375, 5, 5]
    assert waited == pytest.approx(grown)
    assert said[0] == "Dial 1/12 failed: retrying"
    assert said[-1] == "Dial 12/12 failed: retrying"

    said.clear()

    def third_time() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise ssh.DialError("no")
        return "in"

    attempts.clear()
    assert ssh._retry(context(), "Dial", -1, third_time) == "in"
    assert said == ["Dial 1/inf failed: retrying", "Dial 2/inf failed: retrying"]


def login(**connection: str) -> ssh._Login:
    return ssh._Login(ssh.Endpoint.of({"host": "h", **connection}))


def test_private_keys_of_every_kind_open_with_their_passphrase_only() -> None:
    for key in (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ):
        assert login(privateKey=private_key(key)).key is not None
        closed = private_key(key, "open sesame")
        assert login(privateKey=closed, privateKeyPassword="open sesame").key is not None
        with pytest.raises(CommandError, match=r"^ssh: this private key is passphrase protected$"):
            login(privateKey=closed)
        with pytest.raises(CommandError, match=r"^x509: decryption password incorrect$"):
            login(privateKey=closed, privateKeyPassword="wrong")
    with pytest.raises(CommandError, match=r"^ssh: no key found$"):
        login(privateKey="nonsense")


def test_a_classic_rsa_key_opens() -> None:
    text = io.StringIO()
    paramiko.RSAKey.generate(2048).write_private_key(text)
    assert login(privateKey=text.getvalue()).key is not None


def test_an_endpoint_has_defaults_and_takes_the_agent_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ssh.Endpoint.of({"host": "h"})
    assert (plain.user, plain.port, plain.dial_error_limit, plain.per_dial_timeout) == ("root", 22, 10, 15)
    assert plain.agent_socket_path is None
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/environment")
    assert ssh.Endpoint.of({"host": "h", "agentSocketPath": "/nowhere/given"}).agent_socket_path == "/nowhere/given"
    with pytest.raises(CommandError, match=r"^dial unix /nowhere/environment: connect: no such file or directory$"):
        login(privateKey=private_key(ed25519.Ed25519PrivateKey.generate()))
