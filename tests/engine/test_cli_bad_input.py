"""Bad input to the `fortress` command, each verb with each: what it prints and how it ends, by the real engine.

Every refusal is one line on standard error that names the cure, nothing on standard output (one object with --json),
and the status that --help documents. One verb meets each trouble as a process of its own, the others in this one; what
the real engine once said to a question of theirs, it is not asked again.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fortress.cli.start import main
from fortress.facts import VERSION
from tests.engine.command_stack import ROOT, Stack
from tests.engine.openssh import generate_key
from tests.engine.test_cli_ssh_real import facts

FORTRESS = str(Path(sys.executable).with_name("fortress"))
Done = subprocess.CompletedProcess[str]
Changes = Mapping[str, str | None]
"""Of the environment; None takes a variable away, `{files}` in a value is the folder of the test."""
NOTHING: Changes = {}

_PROGRAM = """
import json
import os
import time
from pathlib import Path

import pulumi

if says := os.environ.get("SAYS"):
    raise pulumi.RunError(says)
if waits := os.environ.get("WAITS"):
    Path(waits).touch()
    time.sleep(60)
pulumi.export("fortress", json.loads(Path("facts.json").read_text()))
pulumi.export("hidden", pulumi.Output.secret("x"))  # so that the state has something to decrypt
"""


_RECORDED = """#!/bin/sh
# The engine's answers, each asked for once: {answers} holds them by where and how it was asked.
asked=$(printf '%s\\n' "$PWD" "${{PULUMI_BACKEND_URL-none}}" "${{PULUMI_CONFIG_PASSPHRASE-none}}" \\
    "${{PULUMI_CONFIG_PASSPHRASE_FILE-none}}" "$@" | sha256sum)
answer={answers}/${{asked%% *}}
if [ ! -e "$answer" ]; then
    new=$(mktemp -d {answers}/new.XXXXXX)
    {engine} "$@" >"$new/stdout" 2>"$new/stderr" </dev/null
    echo $? >"$new/status"
    mv -T "$new" "$answer" 2>/dev/null || [ -e "$answer" ]
fi
cat "$answer/stdout"
cat "$answer/stderr" >&2
exit "$(cat "$answer/status")"
"""


@dataclass(frozen=True)
class Server:
    """Nobody answers there."""

    host: str = "127.0.0.1"
    port: int = 1
    user: str = "ops"
    host_key: str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"


@dataclass(frozen=True)
class Command:
    """The command in a project whose stacks each have another trouble."""

    stack: Stack
    files: Path
    """Keys, sockets, folders."""

    def environment(self, changes: Changes = NOTHING) -> dict[str, str]:
        merged = self.stack.environment | {"TERM": "dumb"} | dict(changes)
        return {k: v.format(files=self.files) for k, v in merged.items() if v is not None}

    def run(
        self, *words: str, cwd: Path | None = None, tool: Sequence[str] = (FORTRESS,), changes: Changes = NOTHING
    ) -> Done:
        return subprocess.run(
            [*tool, *(word.format(files=self.files) for word in words)],
            cwd=cwd or self.stack.project,
            env=self.environment(changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def start(self, *words: str, changes: Changes = NOTHING) -> subprocess.Popen[str]:
        """In a session of its own."""
        return subprocess.Popen(
            words,
            cwd=self.stack.project,
            env=self.environment(changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def locks(self) -> list[Path]:
        """What keeps others from the state."""
        return [path for path in (self.stack.backend / ".pulumi/locks").rglob("*") if path.is_file()]


def _output(state: dict[str, Any]) -> dict[str, Any]:
    output: dict[str, Any] = state["checkpoint"]["latest"]["resources"][0]["outputs"]["fortress"]
    return output


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    folder = tmp_path_factory.mktemp("bad")
    stack = Stack(folder / "s")
    (stack.project / "__main__.py").write_text(_PROGRAM)
    (stack.project / "facts.json").write_text(json.dumps(facts(Server())))  # type: ignore[arg-type]
    stack.up()
    stack.run("stack", "init", "fresh", "--no-select")
    states = stack.backend / ".pulumi/stacks/double"
    dev = json.loads((states / "dev.json").read_text())

    def write(name: str, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
        """A stack with the state of `dev`, changed; `change` is given all of it and the host's facts."""
        state = json.loads(json.dumps(dev).replace("double/dev", f"double/{name}").replace(":dev::", f":{name}::"))
        resource = state["checkpoint"]["latest"]["resources"][0]
        change(state, resource["outputs"]["fortress"]["hosts"]["oslo-db"])
        (states / f"{name}.json").write_text(json.dumps(state))
        shutil.copy(stack.project / "Pulumi.dev.yaml", stack.project / f"Pulumi.{name}.yaml")

    write("newer", lambda state, _: state.update(version=99))
    write("feature", lambda state, _: state.update(version=4, features=["time-travel"]))
    write("role", lambda _, host: host.update(role="oracle"))
    write("other", lambda state, _: state["checkpoint"]["latest"]["resources"][0]["outputs"].pop("fortress"))
    write("silent", lambda state, _: state["checkpoint"]["latest"]["resources"][0].pop("outputs"))
    write("lacking", lambda _, host: host.pop("site"))
    write("tomorrow", lambda state, _: _output(state).update(version=VERSION + 1))

    files = folder / "files"
    (files / "elsewhere").mkdir(parents=True)
    generate_key(files / "key")
    generate_key(files / "locked", "a passphrase")
    (files / "garbage").write_text("hello\n")
    (files / "python").symlink_to(sys.executable)  # beside it there is no engine
    for made in ("recorded", "answers"):
        (files / made).mkdir()
    recorded = files / "recorded" / "pulumi"
    recorded.write_text(_RECORDED.format(answers=files / "answers", engine=Path(FORTRESS).with_name("pulumi")))
    recorded.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(files / "dead"))
    return Command(stack, files)


# The table

ASKING = ("verify", "status", "drift", "report")
"""The verbs that ask hosts."""
VERBS = {
    **{verb: (verb, "--key", "{files}/key") for verb in ASKING},
    "ssh": ("ssh", "oslo-db"),
    "forget": ("forget", "oslo-db", "--yes"),
    "preview": ("preview",),
    "record": ("record",),
}
ALL = tuple(VERBS)
READING = (*ASKING, "ssh")
"""The verbs that read what the stack says of its hosts."""


@dataclass(frozen=True)
class Case:
    """One trouble, the verbs that it stops, and the line that they say. `{files}` stands for the folder of the test."""

    says: str
    """All of standard error, as a regular expression."""
    verbs: tuple[str, ...] = ALL
    stack: str = "dev"
    words: tuple[str, ...] | None = None
    """In place of those that VERBS has behind the verb."""
    environment: Changes = field(default_factory=dict)
    elsewhere: bool = False
    """Outside of any project."""
    no_engine: bool = False


CURE = r"start one and add your key \(`eval \$\(ssh-agent\)`, `ssh-add`\), or give --key FILE"
NEWER = r"the state of stack '{stack}' was written by a newer engine \(pulumi: .*{what}.*\); update `pulumi`"
OTHER = (
    r"output 'fortress' of stack '{stack}' was written by another version of this program "
    r"\(hosts\.oslo-db\.{what}\); run `pulumi up` once more"
)

NO_OUTPUT = (
    "stack '{stack}' has no output 'fortress': its program exports none, or its last `pulumi up` did not finish; "
    "name a stack of Data Fortress's own program, or run `pulumi up --stack {stack}` again"
)

TABLE = {
    "unknown stack": Case(
        r"there is no stack 'nope' in this backend; `pulumi stack ls` lists the existing ones", stack="nope"
    ),
    "never brought up": Case(
        r"stack 'fresh' is not up: never created, or destroyed; create it with `pulumi up --stack fresh`",
        (*READING, "forget", "record"),
        "fresh",
    ),
    "another program": Case(NO_OUTPUT.format(stack="other"), READING, "other"),
    "a program without outputs": Case(NO_OUTPUT.format(stack="silent"), READING, "silent"),
    "a program without a register": Case(
        NO_OUTPUT.format(stack="dev").replace("'fortress'", "'sovereignty'"), ("record",)
    ),
    "state of a newer version": Case(
        NEWER.format(stack="newer", what="unsupported checkpoint version 99"), stack="newer"
    ),
    "state with a newer feature": Case(
        NEWER.format(stack="feature", what="time-travel"), ("status", "preview"), "feature"
    ),
    "a role of a newer program": Case(
        OTHER.format(what=r"role: input should be 'database', 'edge', 'worker' or 'host'", stack="role"),
        READING,
        "role",
    ),
    "facts that lack one": Case(OTHER.format(what="site: field required", stack="lacking"), ("verify",), "lacking"),
    "an output of a newer program": Case(
        r"output 'fortress' of stack 'tomorrow' was written by a newer version of this program "
        rf"\(version {VERSION + 1}; this one reads {VERSION}\); update data-fortress",
        READING,
        "tomorrow",
    ),
    "not logged in": Case(
        r"the engine does not know where the state is stored; set PULUMI_BACKEND_URL, or run `pulumi login`",
        environment={"PULUMI_BACKEND_URL": None},
    ),
    "a backend that is not there": Case(
        r"pulumi: unable to open bucket file:///nowhere.*; PULUMI_BACKEND_URL, or `pulumi login`, tells it where .*",
        ("forget", "preview"),
        environment={"PULUMI_BACKEND_URL": "file:///nowhere"},
    ),
    "no passphrase": Case(
        r"the passphrase of stack 'dev' is missing; set PULUMI_CONFIG_PASSPHRASE_FILE or PULUMI_CONFIG_PASSPHRASE",
        ("drift", "preview"),
        environment={"PULUMI_CONFIG_PASSPHRASE": None},
    ),
    "wrong passphrase": Case(
        r"the passphrase in PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE is not that of stack 'dev'",
        ("drift", "preview"),
        environment={"PULUMI_CONFIG_PASSPHRASE": "wrong"},
    ),
    "no passphrase file": Case(
        r"cannot read the file named by PULUMI_CONFIG_PASSPHRASE_FILE, which holds the passphrase of stack 'dev'",
        ("drift", "preview"),
        environment={"PULUMI_CONFIG_PASSPHRASE": None, "PULUMI_CONFIG_PASSPHRASE_FILE": "{files}/none"},
    ),
    "outside of a project": Case(
        r"there is no Pulumi\.yaml here or above; run this in the folder that holds it", elsewhere=True
    ),
    "no engine": Case(
        r"pulumi is neither on PATH nor beside this command; run `source .venv/bin/activate`, or `make lab` first",
        environment={"PATH": "/usr/bin:/bin"},
        no_engine=True,
    ),
    "no agent and no key": Case(rf"there is no SSH agent \(SSH_AUTH_SOCK is not set\); {CURE}", ASKING, words=()),
    "a dead agent": Case(
        rf"the SSH agent at {{files}}/dead is dead \(Connection refused\); {CURE}",
        ASKING,
        words=(),
        environment={"SSH_AUTH_SOCK": "{files}/dead"},
    ),
    "an agent that is gone": Case(
        rf"the SSH agent at {{files}}/gone is dead \(No such file or directory\); {CURE}",
        ("verify",),
        words=(),
        environment={"SSH_AUTH_SOCK": "{files}/gone"},
    ),
    "no key file": Case(r"--key {files}/none: No such file or directory", ASKING, words=("--key", "{files}/none")),
    "a folder for a key": Case(r"--key {files}: Is a directory", ("verify",), words=("--key", "{files}")),
    "a key with a passphrase": Case(
        r"--key {files}/locked has a passphrase; load it into an agent with `ssh-add {files}/locked`",
        ("drift",),
        words=("--key", "{files}/locked"),
    ),
    "no key at all": Case(
        r"--key {files}/garbage is not an SSH private key", ("status",), words=("--key", "{files}/garbage")
    ),
    "ssh with no key file": Case(
        r"--key {files}/none: No such file or directory", ("ssh",), words=("oslo-db", "--key", "{files}/none")
    ),
    "an unknown host": Case(r"the stack has no host 'nope'; it has oslo-db", ("ssh",), words=("nope",)),
    "a host to forget that is unknown": Case(
        r"the state has no host 'nope'; it has none", ("forget",), words=("nope",)
    ),
}

BOTH = ("unknown stack", "no agent and no key", "wrong passphrase")
"""Asked with --json too."""
ROWS = [(name, verb, False) for name, case in TABLE.items() for verb in case.verbs] + [
    (name, verb, True) for name in BOTH for verb in TABLE[name].verbs if verb not in ("ssh", "forget")
]


def asked(case: Case, verb: str, as_json: bool) -> list[str]:
    """The words of the command."""
    words = VERBS[verb] if case.words is None else (verb, *case.words)
    return [*words, "--stack", case.stack, *(["--json"] if as_json else [])]


def folder(command: Command, case: Case) -> Path:
    """Where it is run."""
    return command.files / "elsewhere" if case.elsewhere else command.stack.project


def changes(command: Command, case: Case) -> Changes:
    """Of its environment."""
    recorded = f"{command.files / 'recorded'}:{command.stack.environment['PATH']}"
    packages = {"PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}"} if case.no_engine else {}
    return {"PATH": recorded, **packages, **case.environment}


@pytest.fixture(scope="module")
def processes(command: Command) -> Iterator[dict[str, Future[Done]]]:
    """Each trouble met by its first verb, under way at once, as many as the machine has processors and a few."""

    def ask(case: Case) -> Done:
        python = (str(command.files / "python"), "-c", "from fortress.cli.start import main; main()")
        return command.run(
            *asked(case, case.verbs[0], as_json=False),
            cwd=folder(command, case),
            tool=python if case.no_engine else (FORTRESS,),
            changes=changes(command, case),
        )

    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        yield {name: pool.submit(ask, case) for name, case in TABLE.items()}


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """What the command sets for itself is ours again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_here(
    command: Command, words: Sequence[str], case: Case, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]
) -> Done:
    """The command in this process."""
    environment = command.environment(changes(command, case))
    for name in set(os.environ) - set(environment):
        patch.delenv(name)
    for name, value in environment.items():
        patch.setenv(name, value)
    patch.chdir(folder(command, case))
    patch.setattr(sys, "argv", ["fortress", *(word.format(files=command.files) for word in words)])
    if case.no_engine:
        patch.setattr(sys, "executable", str(command.files / "python"))
    with pytest.raises(SystemExit) as ended:
        main()
    shown = captured.readouterr()
    return Done(words, int(ended.value.code or 0), shown.out, shown.err)


@pytest.mark.usefixtures("_own_signals")
@pytest.mark.parametrize(("name", "verb", "as_json"), ROWS)
def test_one_line_with_the_cure_and_status_2(
    processes: dict[str, Future[Done]],
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    verb: str,
    as_json: bool,
) -> None:
    case = TABLE[name]
    done = processes[name].result()
    if (verb, as_json) != (case.verbs[0], False):
        done = run_here(command, asked(case, verb, as_json), case, monkeypatch, capsys)
    says = case.says.replace("{files}", re.escape(str(command.files)))
    assert re.fullmatch(f"fortress: {says}\n", done.stderr)
    assert done.returncode == 2
    if as_json:
        found = json.loads(done.stdout)
        assert found["ok"] is False
        assert found["checks"] == []
        assert f"fortress: {found['error']}\n" == done.stderr
    else:
        assert done.stdout == ""


def test_what_needs_no_passphrase_goes_on_without(command: Command) -> None:
    done = command.run("status", "-s", "dev", "--key", "{files}/key", changes={"PULUMI_CONFIG_PASSPHRASE": None})
    assert (done.returncode, done.stderr) == (2, "")
    assert "oslo-db does not answer on 127.0.0.1:1 (connection refused)" in done.stdout


def test_a_stack_that_was_never_brought_up_can_be_previewed(command: Command) -> None:
    done = command.run("preview", "-s", "fresh")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 created" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("verfy",), "No such command 'verfy'. Did you mean 'verify'?"),
        (("verify", "--stak", "dev"), "No such option: --stak (Possible options: --stack)"),
        (("verify",), "Missing option '--stack' / '-s'."),
        (("status", "-s", ""), "Invalid value for '--stack' / '-s': name a stack; `pulumi stack ls` lists them"),
        (("drift", "-s", "dev", "--timeout", "nan"), "Invalid value for '--timeout': "),
        (("preview", "-s", "dev", "--forge", "x"), "Invalid value for '--forge': "),
        (("ssh",), "Missing argument 'HOST'."),
    ],
)
def test_wrong_words_are_told_with_where_to_read_on(command: Command, words: tuple[str, ...], says: str) -> None:
    done = command.run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "--help' for help." in done.stderr


# Streams

STATUS = f"{FORTRESS} status -s dev --key {{files}}/key"


@pytest.mark.parametrize(
    ("line", "status", "stdout", "stderr"),
    [
        (f"{STATUS} >&-", 2, "", "fortress: cannot write to standard output: it is closed\n"),
        (f"{STATUS} >/dev/full", 2, "", "fortress: cannot write to standard output: No space left on device\n"),
        (f"{STATUS} 2>&- | tail -n 1", 0, "dev: 1 hosts, 5 checks, 0 ok, 5 unknown\n", ""),
        (f"{STATUS} | true; exit ${{{{PIPESTATUS[0]}}}}", 2, "", ""),
        (f"{STATUS} | head -n 0; exit ${{{{PIPESTATUS[0]}}}}", 2, "", ""),
        (f"{FORTRESS} status -s nope --key {{files}}/key 2>&-", 2, "", ""),
        (f"{FORTRESS} status -s nope --key {{files}}/key 2>/dev/full", 2, "", ""),
        (f"{FORTRESS} nosuch 2>/dev/full", 2, "", ""),
        (f"{FORTRESS} --help >/dev/full", 2, "", "fortress: No space left on device\n"),
        (f"{FORTRESS} --help >&-", 0, "", ""),
        (f"{FORTRESS} --help | true", 0, "", ""),
        (
            f"{FORTRESS} --version >/dev/full",
            2,
            "",
            "fortress: cannot write to standard output: No space left on device\n",
        ),
        (
            f"{FORTRESS} preview -s dev -o /dev/full",
            2,
            "",
            "fortress: /dev/full cannot be written: No space left on device\n",
        ),
        (f"{FORTRESS} forget nope -s dev <&-", 2, "", "fortress: the state has no host 'nope'; it has none\n"),
    ],
)
def test_streams_that_are_closed_full_or_gone(
    command: Command, line: str, status: int, stdout: str, stderr: str
) -> None:
    done = command.run("-c", line, tool=("bash",))
    assert (done.returncode, done.stdout, done.stderr) == (status, stdout, stderr)


# The terminal


def on_a_terminal(command: Command, *words: str, stream: str, changes: Changes = NOTHING) -> tuple[int, str]:
    """Run with a terminal as standard output or standard error, the other one thrown away; what it was shown."""
    ours, theirs = pty.openpty()
    other = "stdout" if stream == "stderr" else "stderr"
    with subprocess.Popen(
        [FORTRESS, *(word.format(files=command.files) for word in words)],
        cwd=command.stack.project,
        env=command.environment(changes),
        stdin=subprocess.DEVNULL,
        **{stream: theirs, other: subprocess.DEVNULL},  # type: ignore[call-overload]
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(ours)
    return process.returncode, shown.decode()


@pytest.mark.parametrize("terminal", ["dumb", None])
def test_a_terminal_that_can_do_nothing_gets_plain_text(command: Command, terminal: str | None) -> None:
    status, shown = on_a_terminal(
        command, "status", "-s", "dev", "--key", "{files}/key", stream="stdout", changes={"TERM": terminal}
    )
    assert status == 2
    assert "unknown  oslo-db" in shown
    assert "\x1b" not in shown
    status, shown = on_a_terminal(command, "ssh", "nope", "-s", "dev", stream="stderr", changes={"TERM": terminal})
    assert (status, shown) == (2, "fortress: the stack has no host 'nope'; it has oslo-db\r\n")


def test_colour_unless_it_is_not_wanted(command: Command) -> None:
    words = ("status", "-s", "dev", "--key", "{files}/key")
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    _, shown = on_a_terminal(command, *words, stream="stdout", changes={"TERM": "xterm"})
    assert colour.search(shown)
    _, shown = on_a_terminal(command, *words, stream="stdout", changes={"TERM": "xterm", "NO_COLOR": "1"})
    assert "unknown" in shown
    assert not colour.search(shown)


def test_progress_is_shown_and_wiped(command: Command) -> None:
    status, shown = on_a_terminal(command, *VERBS["status"], "-s", "dev", stream="stderr", changes={"TERM": "xterm"})
    assert status == 2
    assert "reading stack dev" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1, "the cursor is back"
    # Up to the line of the last picture, and that one erased.
    assert shown.endswith("\x1b[1A\x1b[2K")
    assert command.run(*VERBS["status"], "-s", "dev", changes={"TERM": "xterm"}).stderr == ""


@pytest.mark.parametrize("columns", ["0", "-1", "20"])
def test_any_width_will_do(command: Command, columns: str) -> None:
    done = command.run("verify", "-s", "dev", "--key", "{files}/key", changes={"COLUMNS": columns})
    assert done.stderr == ""
    assert "dev:" in done.stdout
    # It goes to a pipe, which has no width: whatever a terminal was that wide, lines stay whole.
    assert done.stdout == command.run("verify", "-s", "dev", "--key", "{files}/key", changes={"COLUMNS": None}).stdout


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("LC_ALL", "C", "rød grød på øen"), ("PYTHONIOENCODING", "ascii", r"r\xf8d gr\xf8d p\xe5 \xf8en")],
)
def test_a_locale_that_lacks_letters(command: Command, name: str, value: str, shown: str) -> None:
    done = command.run("preview", "-s", "dev", changes={"SAYS": "rød grød på øen", name: value})
    assert done.returncode not in (0, 2)
    assert done.stderr == "fortress: `pulumi up` would fail on stack dev; the comment says why\n"
    assert f"\n{shown}\n" in done.stdout


# Ctrl-C


def left(process: subprocess.Popen[str]) -> list[str]:
    """What still runs in its session; zombies wait for the machine's first process, not for us."""
    shown = subprocess.run(
        ["ps", "-o", "stat=,args=", "-s", str(process.pid)], capture_output=True, text=True, check=False
    )
    return [line for line in shown.stdout.splitlines() if not line.startswith("Z")]


def nobody_left(process: subprocess.Popen[str]) -> bool:
    """What was killed may take a moment."""
    deadline = time.monotonic() + 60
    while left(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left(process) == []


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def only_patience(stderr: str) -> bool:
    """A word that the engine takes its time is all that may be said."""
    return stderr in ("", "fortress: the engine is finishing its current step; Ctrl-C again stops it at once\n")


def test_ctrl_c_while_it_starts(command: Command, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    begin = (sys.executable, "-c", "from fortress.cli.start import main; main()")
    done = command.run("--help", tool=begin, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_engine_ends_too(command: Command, tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = command.start(FORTRESS, "preview", "-s", "dev", changes={"WAITS": str(tmp_path / "under-way")})
    wait_for(tmp_path / "under-way", process)
    os.killpg(process.pid, number)  # as a terminal does
    stdout, stderr = process.communicate(timeout=90)
    assert (process.returncode, stdout) == (status, "")
    assert only_patience(stderr)
    assert nobody_left(process)


def test_nohup_is_respected(command: Command, tmp_path: Path) -> None:
    line = f"trap '' HUP; exec {FORTRESS} preview -s dev"
    process = command.start("bash", "-c", line, changes={"WAITS": str(tmp_path / "under-way")})
    wait_for(tmp_path / "under-way", process)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=90)
    assert process.returncode == 143


def test_ctrl_c_while_drift_mends_gives_the_lock_back(command: Command, tmp_path: Path) -> None:
    mend = "from fortress.cli.drift import repair; repair._up('dev', [])"
    process = command.start(sys.executable, "-c", mend, changes={"WAITS": str(tmp_path / "under-way")})
    wait_for(tmp_path / "under-way", process)
    assert command.locks()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=90)
    assert process.returncode != 0
    assert command.locks() == []
    assert nobody_left(process)
