"""The command lines that run `fortress-push` (push.sh) on a host, quoted for its shell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import pairwise

PUSH = "/usr/local/sbin/fortress-push"
LIBRARY = "/usr/local/lib/fortress"
"""Folder of the host scripts."""

END = "# fortress-push: end of file\n"
"""The last line of what is sent: a connection that is cut shows as an end of input, and must not pass for the whole."""


@dataclass(frozen=True)
class Push:
    """A command of `fortress-push` (fortress/push.py) that puts or removes a file."""

    verb: str
    path: str
    mode: str
    owner: str
    apply: str
    unit: str


_OPTIONS = {"--apply", "--unit", "--check", "--confirm", "--resource", "--machine"}


def push_in(command: str) -> Push | None:
    """The push that a command is, None when it is something else or not known."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:1] == ["sudo"]:
        words = words[1:]
    if len(words) < 3 or not words[0].endswith("/fortress-push") or words[1] not in ("put", "remove"):
        return None
    options = {word: following for word, following in pairwise(words) if word in _OPTIONS}
    mode, owner = (words[3], words[4]) if words[1] == "put" and len(words) > 4 else ("", "")
    return Push(words[1], words[2], mode, owner, options.get("--apply", ""), options.get("--unit", ""))


def content(text: str) -> str:
    """A file's text as it is sent."""
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{END}"


def put(
    path: str,
    *,
    machine: str,
    resource: str,
    mode: str = "0644",
    owner: str = "root:root",
    check: str | None = None,
    apply: str | None = None,
    unit: str | None = None,
    confirm_s: int | None = None,
) -> str:
    """Put standard input at `path`. `check` and `apply` are shell commands that see the candidate or the file as "$1".

    `machine` identifies the machine behind the name: it changes the command when another one took its place.
    `resource` is the name that the file is known by; only that one removes it.
    """
    words = [PUSH, "put", path, mode, owner]
    for option, value in (("--check", check), ("--apply", apply), ("--unit", unit), ("--confirm", confirm_s)):
        if value is not None:
            words += [option, str(value)]
    return shlex.join([*words, "--resource", resource, "--machine", machine])


def remove(path: str, *, machine: str, resource: str, apply: str | None = None) -> str:
    """Take a pushed file away; what stood there before it comes back."""
    words = [PUSH, "remove", path, *(["--apply", apply] if apply else [])]
    return shlex.join([*words, "--resource", resource, "--machine", machine])


def confirm(path: str, sha256: str, *, machine: str) -> str:
    """Say, by a new connection, that the file pushed with `confirm_s` does not lock us out."""
    return shlex.join([PUSH, "confirm", path, sha256, "--machine", machine])


def packages(names: list[str], *, machine: str) -> str:
    """Install Debian packages that are not there yet."""
    return shlex.join([PUSH, "packages", "--machine", machine, *names])


def install(*, machine: str) -> str:
    """Install push.sh itself from standard input; the one file that cannot push itself.

    A script that was cut short is refused: its last line is looked for before it takes its place.
    """
    script = (
        f"umask 077; cat >{PUSH}.new && tail -n 1 {PUSH}.new | grep -qxF {shlex.quote(END.strip())}"
        f" && chmod 755 {PUSH}.new && sync {PUSH}.new && mv {PUSH}.new {PUSH}"
    )
    return shlex.join(["sh", "-c", script, machine])


def uninstall(*, machine: str) -> str:
    """Take push.sh away, last of all."""
    return shlex.join([PUSH, "uninstall", "--machine", machine])


def script(name: str, *arguments: str) -> str:
    """Run a host script."""
    return shlex.join([f"{LIBRARY}/{name}", *arguments])


def on(machine: str, command: str) -> str:
    """A command that also says which machine it is for, where it changes nothing but the text."""
    return f"env FORTRESS_MACHINE={shlex.quote(machine)} {command}"
