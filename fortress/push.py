"""The command lines that run on a host, written and read: those of `fortress-push` (push.sh), and host scripts."""

from __future__ import annotations

import base64
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

PUSH = "/usr/local/sbin/fortress-push"
LIBRARY = "/usr/local/lib/fortress"
"""Folder of the host scripts."""

END = "# fortress-push: end of file\n"
"""The last line of what is sent: a connection that is cut shows as an end of input, and must not pass for the whole."""

OPEN_END = "# fortress-push: end of file, whose last line has no end\n"
"""The same where the file does not end in a line feed; the one before this line is not the file's."""
BASE64_END = "# fortress-push: end of file in base64\n"
"""The same where what is sent is base64 of the file, for bytes that are no text."""

NOTE = "  # found by fortress drift: "
"""What `fortress drift --repair` writes behind a command in the state, until the next `pulumi up` has put it right."""

IN_FORCE = "in-force"
"""The host script that asks the thing itself, which each `Host` has before its first configuration."""
OVERRULED = 3
"""Its exit status where something else on the host overrules a file, which no push of that file can change."""

PUT_FILE = '"$1"'
"""How the commands around a put have the file that it puts."""

TOOLS = (IN_FORCE, "wireguard", "wait-healthy", "edge-certificate", "haproxy-drain", "edge-answers")
"""Host scripts that every host has, whatever it is for: they come with push.sh."""

# Words that are read as well as written.
READY = ("true",)
MEMORY = ("awk", "/^MemTotal:/ { print int($2 / 1024) }", "/proc/meminfo", "-")
"""Prints a host's memory in MB."""
START_TUNNEL = (f"{LIBRARY}/wireguard", "start")
"""With the interface behind it."""
WIPE_DATABASE = (f"{LIBRARY}/mariadb-access", "wipe")
HEALTH_GATE = (f"{LIBRARY}/wait-healthy",)
"""With URL, seconds and the unit behind it."""

_TOOL = "# fortress-push: tool "
_SUDO = "sudo "
_MACHINE = "FORTRESS_MACHINE="
_INSTALL = (
    f"umask 077; cat >{PUSH}.new && tail -n 1 {PUSH}.new | grep -qxF {shlex.quote(END.strip())}"
    f' && chmod 755 {PUSH}.new && sync {PUSH}.new && {PUSH}.new mine "$@" && {PUSH}.new tools && mv {PUSH}.new {PUSH}'
    f" || {{ rm -f {PUSH}.new; exit 1; }}"
)


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """A command line for one machine."""

    machine: str
    """Identity of the machine: it changes the command when another one took the host's place, and nothing else."""

    @abstractmethod
    def words(self) -> tuple[str, ...]:
        """What is run, without the machine."""

    def render(self) -> str:
        """The command line, quoted for the host's shell."""
        return shlex.join([*self.words(), "--machine", self.machine])


@dataclass(frozen=True)
class Push(Command):
    """Puts or removes a file."""

    path: str
    _: KW_ONLY
    resource: str
    """The name that the file is known by; only that one removes it."""
    stack: str = ""
    """PROJECT/STACK that the file belongs to: no other one puts or removes it."""
    apply: str | None = None
    """Shell command that makes the file, "$1", take effect."""

    def whose(self) -> dict[str, str | None]:
        """The options that say to whom the file belongs."""
        return {"--resource": self.resource, "--stack": self.stack or None}


@dataclass(frozen=True, kw_only=True)
class Put(Push):
    """Puts standard input (`content`) at `path`."""

    mode: str = "0644"
    """Octal."""
    owner: str = "root:root"
    """OWNER:GROUP."""
    check: str | None = None
    """Shell command that refuses a bad candidate, "$1"."""
    unit: str | None = None
    """systemd unit that must be active afterwards."""
    adopt: bool = False
    """Whether it is taken from another stack."""
    confirm_s: int | None = None
    """Seconds within which a new connection must `Confirm` the file, or the old one comes back."""

    def words(self) -> tuple[str, ...]:
        options = {"--check": self.check, "--apply": self.apply, "--unit": self.unit, "--confirm": self.confirm_s}
        whose = {**self.whose(), "--adopt": "yes" if self.adopt else None}
        return (PUSH, "put", self.path, self.mode, self.owner, *_given({**options, **whose}))


@dataclass(frozen=True, kw_only=True)
class Remove(Push):
    """Takes a pushed file away; what stood there before it comes back."""

    before: str | None = None
    """Shell command that runs while the file, "$1", still stands."""

    def words(self) -> tuple[str, ...]:
        return (PUSH, "remove", self.path, *_given({"--before": self.before, "--apply": self.apply, **self.whose()}))


@dataclass(frozen=True)
class Confirm(Command):
    """Says, by a new connection, that a file pushed with `confirm_s` does not lock us out."""

    path: str
    sha256: str

    def words(self) -> tuple[str, ...]:
        return (PUSH, "confirm", self.path, self.sha256)


@dataclass(frozen=True, kw_only=True)
class Packages(Command):
    """Installs Debian packages that are not there yet."""

    names: tuple[str, ...]

    def words(self) -> tuple[str, ...]:
        return (PUSH, "packages", *self.names)

    def render(self) -> str:
        return shlex.join([PUSH, "packages", "--machine", self.machine, *self.names])


@dataclass(frozen=True, kw_only=True)
class Install(Command):
    """Installs push.sh itself from standard input, and the host scripts that are with it (`with_tools`).

    It is the one file that cannot push itself. A script that was cut short is refused: its last line is looked for
    before it takes its place. So is a host of another stack.
    """

    stack: str = ""
    """PROJECT/STACK that the host is for."""
    adopt: bool = False
    """Whether it is taken from another stack."""
    script: str = _INSTALL
    """What does it; another version's may differ."""

    def words(self) -> tuple[str, ...]:
        return ("sh", "-c", self.script)

    def render(self) -> str:
        options: dict[str, str | int | None] = {"--stack": self.stack or None, "--adopt": "yes" if self.adopt else None}
        return shlex.join([*self.words(), self.machine, *_given(options)])


@dataclass(frozen=True, kw_only=True)
class Uninstall(Command):
    """Takes push.sh away, last of all, unless another stack has files on the host."""

    stack: str = ""
    """PROJECT/STACK whose files are gone."""

    def words(self) -> tuple[str, ...]:
        return (PUSH, "uninstall", *_given({"--stack": self.stack or None}))


@dataclass(frozen=True, kw_only=True)
class Run(Command):
    """Runs anything else, such as a host script; the machine stands where it changes nothing but the text."""

    command: tuple[str, ...]

    def words(self) -> tuple[str, ...]:
        return self.command

    def render(self) -> str:
        return f"env {_MACHINE}{shlex.quote(self.machine)} {shlex.join(self.command)}"

    def begins(self, words: Sequence[str]) -> bool:
        """Whether these are its first words."""
        return self.command[: len(words)] == tuple(words)


def for_machine(machine: str, *words: str) -> str:
    """A command that also says which machine it is for."""
    return Run(machine=machine, command=words).render()


def script(name: str, *arguments: str) -> tuple[str, ...]:
    """The words that run a host script."""
    return (f"{LIBRARY}/{name}", *arguments)


def in_force(what: str, file: str) -> str:
    """Shell command that fails unless what a file says is what runs; `what` and `file` are as in-force has them."""
    return f"{LIBRARY}/{IN_FORCE} {what} {file}"


def with_tools(script: str, tools: Mapping[str, str]) -> str:
    """push.sh and host scripts, by name, in one text: push.sh ends before them, and puts each into its folder."""
    return script + "".join(f"{_TOOL}{name}\n{text}" for name, text in tools.items())


def installed(sent: str) -> dict[str, str]:
    """What stands on a host by a text of `with_tools` as `content` sends it: push.sh and host scripts, by path."""
    _, *parts = re.split(f"^{_TOOL}(.*)\n", sent.removesuffix(END), flags=re.MULTILINE)
    tools = zip(parts[::2], parts[1::2], strict=True)
    return {PUSH: sent, **{f"{LIBRARY}/{name}": text for name, text in tools}}


def content(text: str) -> str:
    """A text of whole lines as it is sent: it lands with a line feed at its end."""
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{END}"


def exact(text: str) -> str:
    """A file that lands byte for byte as it is: a text, or with surrogates for bytes that are none (`received`)."""
    if is_binary(text):
        return in_base64(base64.b64encode(text.encode(errors="surrogateescape")).decode())
    return f"{text}{END}" if not text or text.endswith("\n") else f"{text}\n{OPEN_END}"


def in_base64(encoded: str) -> str:
    """A file as it is sent, from its bytes in base64."""
    lines = [encoded[start : start + 76] for start in range(0, len(encoded), 76)]
    return "".join(f"{line}\n" for line in lines) + BASE64_END


def received(stdin: str) -> str:
    """The file that lands for what is sent, with surrogates for bytes that are no UTF-8."""
    if stdin.endswith(BASE64_END):
        return base64.b64decode(stdin.removesuffix(BASE64_END)).decode(errors="surrogateescape")
    return stdin.removesuffix("\n" + OPEN_END) if stdin.endswith(OPEN_END) else stdin.removesuffix(END)


def is_binary(text: str) -> bool:
    """Whether a file that was `received` is no text: it has surrogates or NUL."""
    return re.search("[\\0\ud800-\udfff]", text) is not None


def _given(options: dict[str, str | int | None]) -> list[str]:
    return [word for option, value in options.items() if value is not None for word in (option, str(value))]


# --- read -------------------------------------------------------------------------------------------------------------


def parse(line: str) -> Command | None:
    """The command of a line as a state has it, with `sudo` before and a note behind it or without.

    None when it is something else, or not known yet.
    """
    try:
        return _parse(shlex.split(without_note(line)[0].removeprefix(_SUDO)))
    except ValueError:  # a quote that nobody closes, or no number of seconds
        return None


def _parse(words: list[str]) -> Command | None:
    match words:
        case [tool, verb, *rest] if tool == PUSH:
            return _parse_push(verb, rest)
        case ["sh", "-c", script, machine, *rest] if PUSH in script and (options := _options(rest)) is not None:
            stack, adopt = options.get("--stack", ""), "--adopt" in options
            return Install(machine=machine, stack=stack, adopt=adopt, script=script)
        case ["env", machine, _, *_] if machine.startswith(_MACHINE):
            return Run(machine=machine.removeprefix(_MACHINE), command=tuple(words[2:]))
    return None


def _parse_push(verb: str, words: list[str]) -> Command | None:
    match verb, words:
        case "packages", ["--machine", machine, *names]:
            return Packages(machine=machine, names=tuple(names))
        case "put", [path, mode, owner, *rest] if (options := _options(rest)) is not None:
            seconds = options.get("--confirm")
            return Put(
                path,
                mode=mode,
                owner=owner,
                check=options.get("--check"),
                apply=options.get("--apply"),
                unit=options.get("--unit"),
                confirm_s=None if seconds is None else int(seconds),
                resource=options.get("--resource", ""),
                stack=options.get("--stack", ""),
                adopt="--adopt" in options,
                machine=options.get("--machine", ""),
            )
        case "remove", [path, *rest] if (options := _options(rest)) is not None:
            return Remove(
                path,
                before=options.get("--before"),
                apply=options.get("--apply"),
                resource=options.get("--resource", ""),
                stack=options.get("--stack", ""),
                machine=options.get("--machine", ""),
            )
        case "confirm", [path, sha256, *rest] if (options := _options(rest)) is not None:
            return Confirm(path, sha256, machine=options.get("--machine", ""))
        case "uninstall", rest if (options := _options(rest)) is not None:
            return Uninstall(stack=options.get("--stack", ""), machine=options.get("--machine", ""))
    return None


def _options(words: Sequence[str]) -> dict[str, str] | None:
    """Each option with its value, also those that only another version knows; None for anything but options."""
    options, values = words[::2], words[1::2]
    if len(options) != len(values) or not all(option.startswith("--") for option in options):
        return None
    return dict(zip(options, values, strict=True))


def machine_of(line: str) -> str:
    """Identity of the machine that a line is for, empty where it names none."""
    command = parse(line)
    return command.machine if command else ""


def bare(line: str) -> str:
    """A command for a reader, without what each of them says: who runs it, and for which machine."""
    command = parse(line)
    return shlex.join(command.words()) if command else line.removeprefix(_SUDO)


# --- changed in a state -----------------------------------------------------------------------------------------------


def without_note(line: str) -> tuple[str, str]:
    """A line without the note of `fortress drift`, and what that says: nothing where there is none."""
    start = line.find(NOTE)
    while start >= 0:
        try:
            shlex.split(line[:start])
        except ValueError:  # it is inside of quotes: a text that looks like a note
            start = line.find(NOTE, start + 1)
        else:
            return line[:start], line[start + len(NOTE) :]
    return line, ""


def with_note(line: str, note: str) -> str:
    """A line with this note, of one line, in place of any other."""
    return f"{without_note(line)[0]}{NOTE}{note}"


def with_command(line: str, command: Command) -> str:
    """A line that runs another command, by whom it was run before."""
    return f"{_SUDO if line.startswith(_SUDO) else ''}{command.render()}"
