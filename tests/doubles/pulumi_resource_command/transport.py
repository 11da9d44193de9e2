"""An SSH transport that tells its caller what paramiko keeps to itself; all of it are messages of RFC 4254.

Whether the server took an environment variable (paramiko asks without wanting a reply, and closes the channel at any
refusal), the signal that ended a command, and the server's words when it refuses a channel.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, ClassVar

import paramiko
from paramiko.common import (
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    cMSG_CHANNEL_REQUEST,
)
from paramiko.message import Message

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what it says is said by the errors


class _Asked:
    """An answer that is being waited for."""

    def __init__(self) -> None:
        self.taken = False
        self.answered = threading.Event()


def _succeeded(channel: paramiko.Channel, message: Message) -> None:
    if not _answer(channel, True):
        channel._request_success(message)  # type: ignore[attr-defined]


def _failed(channel: paramiko.Channel, message: Message) -> None:
    if not _answer(channel, False):
        channel._request_failed(message)  # type: ignore[attr-defined]


def _answer(channel: paramiko.Channel, taken: bool) -> bool:
    asked = getattr(channel, "fortress_asked", None)
    if not isinstance(asked, _Asked) or asked.answered.is_set():
        return False
    asked.taken = taken
    asked.answered.set()
    return True


def _requested(channel: paramiko.Channel, message: Message) -> None:
    kind = message.get_text()
    message.get_boolean()
    if kind == "exit-signal":
        name = message.get_text()
        message.get_boolean()
        channel.fortress_signal = (name, message.get_text())  # type: ignore[attr-defined]
    message.rewind()
    message.get_int()  # the channel's number, which the caller of this handler had read
    channel._handle_request(message)  # type: ignore[attr-defined]


class Transport(paramiko.Transport):
    """A client's transport whose channels serve `set_environment` and `exit_signal`.

    `refusal` is what the server said when it last refused a channel.
    """

    refusal = ""

    _channel_handler_table: ClassVar[dict[int, Any]] = {
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_SUCCESS: _succeeded,
        MSG_CHANNEL_FAILURE: _failed,
        MSG_CHANNEL_REQUEST: _requested,
    }

    def _parse_channel_open_failure(self, message: Message) -> None:
        message.get_int()  # the channel
        message.get_int()  # the reason, which paramiko's error carries
        self.refusal = message.get_text()
        message.rewind()
        super()._parse_channel_open_failure(message)  # type: ignore[misc]


def set_environment(channel: paramiko.Channel, name: str, value: str) -> bool:
    """Asks the server to set a variable for the command to come; False when it refuses."""
    asked = _Asked()
    channel.fortress_asked = asked  # type: ignore[attr-defined]
    message = Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("env")
    message.add_boolean(True)
    message.add_string(name)
    message.add_string(value)
    transport = channel.get_transport()
    transport._send_user_message(message)  # type: ignore[attr-defined]
    while not asked.answered.wait(0.2):
        if channel.closed or not transport.is_active():
            return False
    return asked.taken


def exit_signal(channel: paramiko.Channel) -> tuple[str, str]:
    """The signal that ended the command and the server's words for it; empty when none did."""
    found: tuple[str, str] = getattr(channel, "fortress_signal", ("", ""))
    return found
