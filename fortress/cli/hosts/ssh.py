"""SSH to hosts whose key is pinned: one connection a host, bounded in time, by the operator's agent or a key file.

Nothing is sent to a host, not even a user's name, before it has shown the pinned key.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from fortress import host_keys
from fortress.cli.base.errors import CannotAskError, printable
from fortress.cli.base.result import Result

# sudo also warns about harmless things, a host name that does not resolve for one.
_SUDO_FINDS_NONE = re.compile(r"sudo: .*command not found")


_SUDO_REFUSES = re.compile(r"password is required|terminal is required|sudoers|may not run sudo|is not allowed to")


def not_asked(result: Result, host: str) -> str | None:
    """Why a command on a host measured nothing, None where it did: a program that is missing, sudo that is refused."""
    stderr = printable(result.stderr)
    if result.status == 127 or (result.status and _SUDO_FINDS_NONE.search(stderr)):  # 127: the shell found no such one
        return f"{host} lacks a program ({stderr})"
    if result.status and _SUDO_REFUSES.search(stderr):
        return f"sudo on {host} refuses ({stderr})"
    return None


# paramiko logs the tracebacks of its threads; what went wrong is told by our errors instead.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

LONGEST_ANSWER = 64 * 2**20
"""Bytes that a host may print to one question; `drift` reads whole files, of 1 MB at most each."""

CHANNEL_S = 3.0
"""Seconds within which a host that refuses another session must have ended the one before, as MaxSessions 1 needs."""

AGENT_ANSWERS_S = 5.0
"""Seconds that an agent has for listing its keys."""

_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12  # RFC draft-ietf-sshm-ssh-agent, section 6.1


class SshError(Exception):
    """A host could not be asked; the text says why in one line."""


class HostKeyError(SshError):
    """The host showed another key than the pinned one; nothing was sent to it."""

    def __init__(self, shown: str, pinned: str) -> None:
        super().__init__(f"the host shows {shown}, pinned is {pinned}")
        self.shown = shown
        self.pinned = pinned


class LoginError(SshError):
    """The host is the pinned one, and lets nobody in."""


@dataclass(frozen=True)
class Login:
    """Where a host answers and who it must be. `host_key` is a line of a known_hosts file without its address."""

    name: str
    address: str
    port: int
    user: str
    host_key: str

    @property
    def where(self) -> str:
        """Address and port, with brackets around IPv6."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Credentials:
    """What opens the hosts: keys from a file, and the operator's agent."""

    keys: tuple[paramiko.PKey, ...] = ()
    agent: bool = False


def prepare(key_file: Path | None, environment: Mapping[str, str]) -> Credentials:
    """Find what opens the hosts before any of them is asked.

    Raises:
        CannotAskError: neither an agent with a key in it nor a key file, or one that cannot be read.
    """
    keys = (_load(key_file),) if key_file else ()
    path = environment.get("SSH_AUTH_SOCK")
    cure = "start one and add your key (`eval $(ssh-agent)`, `ssh-add`), or give --key FILE"
    if not path:
        trouble = "there is no SSH agent (SSH_AUTH_SOCK is not set)"
    else:
        try:
            count = _agent_keys(path)
        except OSError as error:
            trouble = f"the SSH agent at {path} is dead ({error.strerror or error})"
        else:
            if count:
                return Credentials(keys, agent=True)
            trouble, cure = f"the SSH agent at {path} holds no key", "run `ssh-add`, or give --key FILE"
    if keys:
        return Credentials(keys)
    raise CannotAskError(f"{trouble}; {cure}")


def _agent_keys(path: str) -> int:
    """How many keys an agent holds.

    Raises:
        OSError: none answers in time.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(AGENT_ANSWERS_S)
        connection.connect(path)
        connection.sendall(struct.pack(">IB", 1, _REQUEST_IDENTITIES))
        answer = b""
        while len(answer) < 9:
            part = connection.recv(9 - len(answer))
            if not part:
                raise OSError("closed without an answer")
            answer += part
    _, kind, count = struct.unpack(">IBI", answer)
    if kind != _IDENTITIES_ANSWER:
        raise OSError(f"refused to list its keys (message {kind})")
    return int(count)


def _load(path: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(path)
    except OSError as error:
        raise CannotAskError(f"--key {path}: {error.strerror or error}") from None
    except (paramiko.PasswordRequiredException, TypeError):
        raise CannotAskError(f"--key {path} has a passphrase; load it into an agent with `ssh-add {path}`") from None
    except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError):
        raise CannotAskError(f"--key {path} is not an SSH private key") from None


@dataclass
class Deadline:
    """Seconds that may still pass."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """At least a moment, so that what is almost done may finish."""
        return max(0.05, self.started + self.seconds - time.monotonic())

    def over(self) -> bool:
        return time.monotonic() >= self.started + self.seconds


class Session:
    """An open connection to one host. Not shared between threads."""

    def __init__(self, target: Login, transport: paramiko.Transport, timeout: float) -> None:
        self.name = target.name
        self.sudo = [] if target.user == "root" else ["sudo", "-n"]
        """Words in front of a command that needs root."""
        self.transport = transport
        self._timeout = timeout

    @contextlib.contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        """Close the connection when a host goes silent, so that every wait in it ends; paramiko has waits without."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self.transport.close()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (paramiko.SSHException, OSError, EOFError) as error:
            if expired.is_set():
                raise SshError(f"gave no answer within {seconds:.0f} s") from None
            raise SshError(f"the connection broke ({_why(error)})") from None
        finally:
            timer.cancel()
        if expired.is_set():
            raise SshError(f"gave no answer within {seconds:.0f} s")

    def run(self, command: str, *, text: str = "", takes: float = 0.0) -> Result:
        """Run a command of a few lines of output on the host, with `text` as its standard input.

        `takes` is how many seconds the command itself needs beside the time that an answer may take.

        Raises:
            SshError: the host does not answer.
        """
        with self._limit(self._timeout + takes), contextlib.closing(self._open()) as channel:
            channel.set_environment_variable("LC_ALL", "C")  # words are read; sshd of Debian takes it
            channel.exec_command(f"{_SAY_MARK}; {command}")
            with contextlib.suppress(OSError):  # it ended before it had read all; its status says why
                channel.sendall(text.encode())
            channel.shutdown_write()
            stdout = _bounded(channel.makefile("rb"))
            stderr = _bounded(channel.makefile_stderr("rb"))
            status = channel.recv_exit_status()
            if status == -1:  # paramiko's word for a connection that went, and for a command that was killed
                raise EOFError("the command ended without a status")
        answer = _after_mark(stdout)
        return Result(status, answer.decode(errors="replace"), stderr.decode(errors="replace"))

    def follow(self, command: str, hear: Callable[[str], None], *, text: str = "", silence: float) -> Result:
        """Run a command that tells how far it is, a line each, to whoever `hear`s; it may take any time.

        `text` is its standard input, `silence` the longest time in seconds between two lines. The result's standard
        output is empty.

        Raises:
            SshError: the host falls silent.
        """
        with contextlib.closing(self._open()) as channel:
            channel.settimeout(silence)
            try:
                channel.exec_command(f"{_SAY_MARK}; {command}")
                channel.sendall(text.encode())
                channel.shutdown_write()
                marked = False
                for line in channel.makefile("rb"):
                    if marked:
                        hear(line.decode(errors="replace"))
                    marked = marked or line == _MARK
                stderr = _bounded(channel.makefile_stderr("rb"))
                status = channel.recv_exit_status()
            except TimeoutError:
                raise SshError(f"said nothing for {silence:.0f} s") from None
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise SshError(f"the connection broke ({_why(error)})") from None
        if status == -1:
            raise SshError("the connection broke (the command ended without a status)")
        return Result(status, "", stderr.decode(errors="replace"))

    def lines(self, command: str, count: int) -> Iterator[bytes]:
        """Run a command that answers each line it is sent with one line, `count` times.

        Each time a line is sent when the next one is asked for.

        Raises:
            SshError: as `run` does, and when the command ends early.
        """
        with self._limit(self._timeout), contextlib.closing(self._open()) as channel:
            channel.exec_command(f"{_SAY_MARK}; {command}")
            answers = channel.makefile("rb")
            while (line := answers.readline()) != _MARK:
                if not line:
                    raise EOFError("the command ended early")
            for _ in range(count):
                channel.sendall(b"\n")
                line = answers.readline()
                if not line:
                    raise EOFError("the command ended early")
                yield line
            channel.shutdown_write()
            channel.recv_exit_status()

    def _open(self) -> paramiko.Channel:
        """A session for one command. sshd counts the one before until its process has ended, a moment after its answer.

        Raises:
            SshError: the host refuses it.
        """
        deadline = Deadline(CHANNEL_S)
        while True:
            try:
                return self.transport.open_session()
            except paramiko.ChannelException as refused:
                if deadline.over():
                    raise SshError(
                        f"refuses to run a command after the login ({_why(refused)}): see that MaxSessions in its "
                        "sshd_config is at least 1, and that no ForceCommand or Match block forbids sessions"
                    ) from None
            time.sleep(0.05)

    def alive(self) -> bool:
        """Whether the host can be asked anything more."""
        return self.transport.is_active()

    def close(self) -> None:
        self.transport.close()


_MARK = b"fortress: from here on the command speaks\n"
"""Before it, a login shell may have said anything, such as by an `echo` in ~/.bashrc."""
_SAY_MARK = f"echo; echo {shlex.quote(_MARK.decode().strip())}"


def _after_mark(said: bytes) -> bytes:
    """What the command itself said; all of it where the mark did not come, so that it tells why."""
    before, mark, after = said.partition(_MARK)
    return after if mark else before


def _bounded(stream: paramiko.ChannelFile) -> bytes:
    """All of a stream.

    Raises:
        SshError: it does not end; the connection is of no more use then.
    """
    text: bytes = stream.read(LONGEST_ANSWER + 1)
    if len(text) > LONGEST_ANSWER:
        raise SshError(f"answered with more than {LONGEST_ANSWER >> 20} MiB")
    return text


def connect(target: Login, credentials: Credentials, timeout: float, through: Session | None = None) -> Session:
    """Open one connection, within `timeout` seconds in all, directly or through a bastion.

    Raises:
        HostKeyError: the host is not the pinned one; nothing was sent to it.
        SshError: the host cannot be reached, or lets nobody in.
    """
    deadline = Deadline(timeout)
    where = target.where
    try:
        pinned = host_keys.fingerprint(target.host_key)
    except ValueError as error:
        raise SshError(f"the pinned host key cannot be read: {error}") from None
    transport = paramiko.Transport(_dial(target, deadline, through))
    try:
        _prefer(transport, target.host_key.split()[0])
        # Longer than our own limit, so that running out of time is told as that and not as a bad banner.
        transport.banner_timeout = transport.handshake_timeout = 2 * timeout
        transport.start_client(timeout=deadline.left())
        if not transport.initial_kex_done:
            raise SshError(f"does not answer on {where} within {timeout:.0f} s")
        key = transport.get_remote_server_key()
        if (key.get_name(), key.asbytes()) != host_keys.split(target.host_key):
            raise HostKeyError(f"{key.get_name()} {key.fingerprint}", pinned)
        _authenticate(transport, target.user, credentials, deadline)
    except (paramiko.SSHException, OSError, EOFError) as error:
        transport.close()
        raise SshError(f"SSH to {where} fails ({_why(error)})") from None
    except BaseException:
        transport.close()
        raise
    return Session(target, transport, timeout)


def _dial(target: Login, deadline: Deadline, through: Session | None) -> socket.socket | paramiko.Channel:
    where = target.where
    try:
        if through is None:
            return socket.create_connection((target.address, target.port), deadline.left())
        return through.transport.open_channel(
            "direct-tcpip", (target.address, target.port), ("127.0.0.1", 0), timeout=deadline.left()
        )
    except TimeoutError:
        raise SshError(f"does not answer on {where} within {deadline.seconds:.0f} s") from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        by = f" through {through.name}" if through else ""
        raise SshError(f"does not answer on {where}{by} ({_why(error)})") from None


def _prefer(transport: paramiko.Transport, kind: str) -> None:
    """Ask for the pinned kind of key first: a host with several keys shows the one that we can compare."""
    wanted = {"ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"]}.get(kind, [kind])
    options = transport.get_security_options()
    known = list(options.key_types)
    options.key_types = [k for k in wanted if k in known] + [k for k in known if k not in wanted]


def _authenticate(transport: paramiko.Transport, user: str, credentials: Credentials, deadline: Deadline) -> None:
    agent = paramiko.Agent() if credentials.agent else None
    try:
        keys = [*credentials.keys, *(agent.get_keys() if agent else ())]
        for tried, key in enumerate(keys, 1):
            transport.auth_timeout = deadline.left()
            try:
                still_wanted = transport.auth_publickey(user, key)
            except (paramiko.SSHException, OSError) as error:
                if deadline.over():
                    raise LoginError(f"gave no answer to the login within {deadline.seconds:.0f} s") from None
                # sshd lets one try six, unless it is told otherwise.
                if tried < len(keys) and not transport.is_active():
                    raise LoginError(
                        f"refuses user {user}: it hung up after {tried} of {len(keys)} keys; "
                        "name the right one with --key FILE"
                    ) from None
                if not isinstance(error, paramiko.AuthenticationException):
                    raise
                continue
            if not still_wanted:
                return
    finally:
        if agent:
            agent.close()
    raise LoginError(
        f"refuses user {user}: none of the keys is accepted ({len(keys)} tried); add the right one with `ssh-add`"
    )


def _why(error: BaseException) -> str:
    """An exception as a few words; several of these carry no text of their own."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    if isinstance(error, paramiko.ChannelException):
        return printable(error.text).lower()
    return printable(str(error)) or (
        "no answer in time" if isinstance(error, TimeoutError) else "closed by the other end"
    )
