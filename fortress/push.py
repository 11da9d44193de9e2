"""The command lines that run on a host, written and read: those of `fortress-push` (push.sh), and host scripts."""

from __future__ import annotations

import base64
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

PUSH = "/usr/local/sbin/fortress-push"
LIBRARY = "/usr/local/lib/fortress"
"""Folder of the host scripts."""

END = "# fortress-push: end of file\n"
"""The last line of what is sent: a connection that is cut shows as an end of input, and must not pass for the whole."""

OPEN_END = "# fortress-push: end of file, whose last line has no end\n"
"""The same where the file does not end in a line feed; the one before this line is not the file's."""
BASE64_END = "# fortress-push: end of file in base64\n"
"""The same where what is sent is base64 of the file, for bytes that are no text."""

FILES_END = "# fortress-push: end of files\n"
"""The last line of several files that are sent together."""

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
MARIADB_LIVE = f"{LIBRARY}/mariadb-live"
ENSURE_ACCESS = (f"{LIBRARY}/mariadb-access", "ensure")
"""With the checksum of the file of accounts behind it."""
RETIRE_PASSWORDS = (f"{LIBRARY}/mariadb-access", "retire")
ACCESS_STATE = (f"{LIBRARY}/mariadb-access", "state")
REMOVE_ACCESS = (f"{LIBRARY}/mariadb-access", "remove")
UPGRADED = (f"{LIBRARY}/mariadb-data", "upgraded")
WIPE_DATABASE = (f"{LIBRARY}/mariadb-access", "wipe")
HEALTH_GATE = (f"{LIBRARY}/wait-healthy",)
"""With URL, seconds and the unit behind it."""

_MARK = "# fortress-push: "
_TOOL = f"{_MARK}tool "
_EACH = 'for step; do eval "$step" || exit; done'
_EACH_OR_UNDO = (
    'undo=$1; shift; for step; do eval "$step" || { status=$?; eval "$undo" >/dev/null 2>&1; exit $status; }; done'
)
_SUDO = "sudo "
_MACHINE = "FORTRESS_MACHINE="
_INSTALL = (
    # Reads no further than its own end (-u): what a next step reads may follow.
    f"umask 077; sed -u {shlex.quote(f'/^{END.strip()}$/q')} >{PUSH}.new"
    f" && tail -n 1 {PUSH}.new | grep -qxF {shlex.quote(END.strip())}"
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


@dataclass(frozen=True)
class Files(Command):
    """Puts several files, sent `together`: all of them land and are active, or none; what it put before goes."""

    paths: tuple[str, ...]
    _: KW_ONLY
    resource: str
    """The name that the files are known by."""
    stack: str = ""
    """As `Push.stack`."""
    adopt: bool = False
    """As `Put.adopt`."""

    def words(self) -> tuple[str, ...]:
        whose = {
            "--resource": self.resource,
            "--stack": self.stack or None,
            "--adopt": "yes" if self.adopt else None,
        }
        return (PUSH, "files", *self.paths, *_given(whose))


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


@dataclass(frozen=True)
class Steps(Command):
    """Commands that run one after the other in one login, up to the first that fails.

    One at most reads its input, or push.sh's installation and another one, which gets what is left.
    """

    steps: tuple[Command, ...]
    _: KW_ONLY
    undo: Command | None = None
    """What runs where one of them fails; nothing that it says is told."""

    def words(self) -> tuple[str, ...]:
        head: tuple[str, ...] = ("sh", "-c", _EACH, "steps")
        if self.undo is not None:
            head = ("sh", "-c", _EACH_OR_UNDO, "steps", self.undo.render())
        return (*head, *(step.render() for step in self.steps))

    def render(self) -> str:
        return shlex.join(self.words())


def steps(*commands: Command, undo: Command | None = None) -> Command:
    """Commands for one machine as one; a single one is itself. `undo` is as `Steps` has it."""
    return commands[0] if len(commands) == 1 else Steps(commands, machine=commands[0].machine, undo=undo)


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


def together(files: Iterable[tuple[Put, str]]) -> str:
    """Several files as they are sent with `Files`: each by its put and what that would send (`content`, `exact`).

    Raises:
        ValueError: a path or command has more than one line, or the file is to be confirmed, which single ones are.
    """
    return "".join(_part(put, sent) for put, sent in files) + FILES_END


def _part(put: Put, sent: str) -> str:
    options = {"check": put.check, "apply": put.apply, "unit": put.unit}
    head = [f"file {put.mode} {put.owner} {put.path}", *(f"{name} {value}" for name, value in options.items() if value)]
    if put.confirm_s is not None or any("\n" in line for line in head):
        raise ValueError(f"{put.path} cannot be put together with others")
    end = next(each for each in (BASE64_END, OPEN_END, END) if sent.endswith(each))
    escaped = re.sub(f"^{_MARK}", f"{_MARK}= {_MARK}", sent.removesuffix(end), flags=re.MULTILINE)
    return "".join(f"{_MARK}{line}\n" for line in head) + escaped + end


def apart(command: Files, sent: str) -> list[tuple[Put, str]]:
    """What `together` was made of; nothing where what is sent is not known."""
    found = []
    _, *parts = re.split(f"^{_MARK}file ", sent.removesuffix(FILES_END), flags=re.MULTILINE)
    for part in parts:
        head, _, rest = part.partition("\n")
        mode, owner, path = head.split(" ", 2)
        options: dict[str, str] = {}
        while option := re.match(f"{_MARK}(check|apply|unit) (.*)\n", rest):
            options[option[1]] = option[2]
            rest = rest[option.end() :]
        put = Put(
            path,
            mode=mode,
            owner=owner,
            check=options.get("check"),
            apply=options.get("apply"),
            unit=options.get("unit"),
            resource=command.resource,
            stack=command.stack,
            adopt=command.adopt,
            machine=command.machine,
        )
        found.append((put, re.sub(f"^{_MARK}= ", "", rest, flags=re.MULTILINE)))
    return found


def received(stdin: str) -> str:
    """The file that lands for what is sent, with surrogates for bytes that are no UTF-8."""
    if stdin.endswith(BASE64_END):
        return base64.b64decode(stdin.removesuffix(BASE64_END)).decode(errors="surrogateescape")
    return stdin.removesuffix("\n" + OPEN_END) if stdin.endswith(OPEN_END) else stdin.removesuffix(END)


def is_binary(text: str) -> bool:
    """Whether a file that was `received` is no text: it has surrogates or NUL."""
    return re.search("[\\0\ud800-\udfff]", text) is not None


def _given(options: Mapping[str, str | int | None]) -> list[str]:
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
        case ["sh", "-c", script, "steps", *lines] if script in (_EACH, _EACH_OR_UNDO):
            found = [_parse(shlex.split(line)) for line in lines]
            known = tuple(step for step in found if step)
            undo, known = (known[:1], known[1:]) if script == _EACH_OR_UNDO else ((), known)
            if not known or len(undo) + len(known) < len(found):
                return None
            return Steps(known, machine=known[0].machine, undo=next(iter(undo), None))
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
        case "files", _ if (options := _options(words[(paths := _before_options(words)) :])) is not None:
            return Files(
                tuple(words[:paths]),
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


def _before_options(words: Sequence[str]) -> int:
    return next((index for index, word in enumerate(words) if word.startswith("--")), len(words))


def parts(line: str, stdin: str | None) -> list[tuple[Command, str | None]]:
    """Everything that a line does, in order, as if each were alone: its command, and what that reads.

    Several files are one put each; a set of files whose text is not known is itself.
    """
    command = parse(line)
    found: list[tuple[Command, str | None]] = []
    for step, given in _inputs(command, stdin) if command else ():
        files = apart(step, given) if isinstance(step, Files) and given is not None else []
        found += files or [(step, given)]
    return found


def _inputs(command: Command, stdin: str | None) -> list[tuple[Command, str | None]]:
    """Each step of a command, and what it reads."""
    if not isinstance(command, Steps):
        return [(command, stdin)]
    found: list[tuple[Command, str | None]] = []
    for step in command.steps:
        if not isinstance(step, Put | Files | Install):
            found.append((step, None))
        elif isinstance(step, Install) and stdin is not None and f"\n{END}" in stdin:
            own, _, stdin = stdin.partition(f"\n{END}")
            found.append((step, f"{own}\n{END}"))
        else:
            found.append((step, stdin))
    return found


def paths(command: Command) -> tuple[str, ...]:
    """Where the files are that a command puts or removes."""
    return command.paths if isinstance(command, Files) else (command.path,) if isinstance(command, Push) else ()


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


def with_file(line: str, stdin: str, path: str, change: Callable[[Put, str], tuple[Put, str]]) -> tuple[str, str]:
    """A line and what it is sent, with another file at one of the paths that it puts."""
    command = parse(line)
    if command is None:
        return line, stdin
    found, sent = [], ""
    for step, given in _inputs(command, stdin):
        if isinstance(step, Put) and step.path == path and given is not None:
            step, given = change(step, given)
        elif isinstance(step, Files) and given is not None and (files := apart(step, given)):
            given = together(change(*file) if file[0].path == path else file for file in files)
        found.append(step)
        sent += given or ""
    return with_command(line, replace(command, steps=tuple(found)) if isinstance(command, Steps) else found[0]), sent


def notes(note: str, path: str) -> bool:
    """Whether a note is about this file."""
    return f" {path}: " in f" {note}: "


def with_command(line: str, command: Command) -> str:
    """A line that runs another command, by whom it was run before."""
    return f"{_SUDO if line.startswith(_SUDO) else ''}{command.render()}"
