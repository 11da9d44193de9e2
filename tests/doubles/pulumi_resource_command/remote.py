"""Runs a command on a host as `command:remote:Command` does (the plugin's `remote/commandOutputs.go`)."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import paramiko

from .context import Context, Severity
from .output import Capture, Stream
from .ssh import connected
from .transport import Transport, exit_signal, set_environment
from .values import Value
from .words import CommandError, quote

_CHUNK = 65536  # bytes read at once
_SIGNALS = {
    "ABRT": 6, "ALRM": 14, "FPE": 8, "HUP": 1, "ILL": 4, "INT": 2, "KILL": 9, "PIPE": 13, "QUIT": 3, "SEGV": 11,
    "TERM": 15,
}  # fmt: skip


def run(
    context: Context,
    connection: Mapping[str, Value],
    command: str,
    *,
    environment: Mapping[str, str],
    previous: Mapping[str, str],
    stdin: str | None,
    capture: Capture,
) -> None:
    """Runs the command over an SSH connection of its own, printing into the capture.

    A variable of `environment` that the server does not accept fails the command; one of `previous` only warns.
    Raises: CommandError with the exit status, the whole command and what it printed.
    """
    with connected(context, connection) as transport:
        channel = _session(transport)
        for name, value in environment.items():
            if not set_environment(channel, name, value):
                context.log(Severity.ERROR, _not_accepted(name), False)
                raise CommandError(f"could not set environment variable {quote(name)}: ssh: setenv failed")
        for name, value in previous.items():
            if not set_environment(channel, name, value):
                context.log(Severity.WARNING, _not_accepted(name), False)
        reason = _execute(channel, command, (stdin or "").encode(), capture)
    capture.close()
    if reason:
        raise CommandError(f"{reason}: running {quote(command)}:\n{capture.together()}")


def _not_accepted(name: str) -> str:
    return (
        f"Unable to set '{name}'. This only works if your SSH server is configured to accept\n"
        "\tthese variables via AcceptEnv. Alternatively, if a Bash-like shell runs the command on the remote host, "
        "you could\n\tprefix the command itself with the variables in the form 'VAR=value command'"
    )


def _session(transport: Transport) -> paramiko.Channel:
    try:
        return transport.open_session()
    except paramiko.ChannelException as error:
        raise CommandError(f"ssh: rejected: {error.text.lower()} ({transport.refusal})") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise CommandError("EOF") from error


def _execute(channel: paramiko.Channel, command: str, stdin: bytes, capture: Capture) -> str:
    """Why the command failed, empty when it did not."""
    window = channel.out_window_size
    try:
        channel.exec_command(command)
    except (paramiko.SSHException, OSError, EOFError):
        return f"ssh: command {command} failed"
    unread = threading.Event()
    work = [
        threading.Thread(target=_feed, args=(channel, stdin, window, unread)),
        threading.Thread(target=_pump, args=(channel, Stream.STDERR, capture)),
    ]
    for thread in work:
        thread.start()
    _pump(channel, Stream.STDOUT, capture)
    status = channel.recv_exit_status()  # comes back when the channel closes, at the latest
    for thread in work:
        thread.join()
    name, words = exit_signal(channel)
    if status == 0:
        return "EOF" if unread.is_set() else ""
    if status == -1 and not name:
        return "wait: remote command exited without exit status or exit signal"
    if status == -1:
        status = 128 + _SIGNALS.get(name, 0)
    return (
        f"Process exited with status {status}"
        + (f" from signal {name}" if name else "")
        + (f". Reason was: {words}" if words else "")
    )


def _feed(channel: paramiko.Channel, data: bytes, window: int, unread: threading.Event) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        # The command ended before it had read everything. What the window holds is sent long before, but for a thread
        # that started late.
        if len(data) > window:
            unread.set()


def _pump(channel: paramiko.Channel, stream: Stream, capture: Capture) -> None:
    receive = channel.recv if stream is Stream.STDOUT else channel.recv_stderr
    while data := receive(_CHUNK):
        capture.add(stream, data)
