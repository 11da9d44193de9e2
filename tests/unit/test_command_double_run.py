"""Local commands, their log, and the life of a resource, without the engine."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.doubles.pulumi_resource_command import commands
from tests.doubles.pulumi_resource_command.context import Context, Severity
from tests.doubles.pulumi_resource_command.output import Capture, Stream
from tests.doubles.pulumi_resource_command.schema import LOCAL
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Properties, Secret
from tests.doubles.pulumi_resource_command.words import CommandError


class Log:
    """Lines of the engine's log."""

    def __init__(self) -> None:
        self.lines: list[tuple[Severity, str, bool]] = []

    def __call__(self, severity: Severity, message: str, passing: bool) -> None:
        self.lines.append((severity, message, passing))


def context(log: Log | None = None, timeout: float = 0.0) -> Context:
    return Context(log or Log(), threading.Event(), timeout)


def create(inputs: Properties, timeout: float = 0.0) -> Properties:
    return commands.create(context(timeout=timeout), LOCAL, "name", inputs, preview=False)[1]


def test_streams_are_kept_apart_and_together_and_logged_by_line() -> None:
    log = Log()
    capture = Capture(context(log), None)
    capture.add(Stream.STDOUT, b"one\r\ntw")
    capture.add(Stream.STDERR, b"ERR\n")
    capture.add(Stream.STDOUT, b"o \xc3\xa9\xff")
    capture.close()
    assert capture.output(Stream.STDOUT) == "one\r\ntwo é\ufffd"
    assert capture.output(Stream.STDERR) == "ERR"
    assert capture.together() == "one\r\ntwERR\no é\ufffd"
    assert log.lines == [(Severity.INFO, line, True) for line in ("one", "twERR", "o é\ufffd")]


@pytest.mark.parametrize(
    ("logging", "logged"),
    [
        (None, ["out", "err"]),
        ("stdoutAndStderr", ["out", "err"]),
        ("stdout", ["out"]),
        ("stderr", ["err"]),
        ("none", []),
        ("nonsense", []),
    ],
)
def test_logging_chooses_the_streams(logging: str | None, logged: list[str]) -> None:
    log = Log()
    capture = Capture(context(log), logging)
    capture.add(Stream.STDOUT, b"out\n")
    capture.add(Stream.STDERR, b"err\n")
    assert [line for _, line, _ in log.lines] == logged
    assert capture.output(Stream.STDOUT) == "out"


def test_only_one_final_newline_is_taken_off() -> None:
    assert create({"create": "printf 'a\\n\\n'"})["stdout"] == "a\n"


def test_input_environment_folder_and_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTER", "outer")
    monkeypatch.setenv("BOTH", "outer")
    outputs = create(
        {
            "create": 'print -- "$OUTER $BOTH $(pwd)"; cat',
            "interpreter": ["/bin/bash", "-c", 'print() { shift; echo "$@"; }; eval "$0"'],
            "environment": {"BOTH": Secret("inner")},
            "dir": str(tmp_path),
            "stdin": Secret("typed"),
        }
    )
    assert outputs["stdout"] == f"outer inner {tmp_path}\ntyped"


def test_a_command_without_input_reads_none() -> None:
    assert create({"create": "wc -c"})["stdout"] == "0"


def test_a_command_need_not_read_its_input() -> None:
    assert create({"create": "echo done", "stdin": "x" * 1_000_000})["stdout"] == "done"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"create": "echo out; echo err >&2; exit 3"}, 'exit status 3: running "echo out; echo err >&2; exit 3":\n'),
        ({"create": "kill -TERM $$"}, 'signal: terminated: running "kill -TERM $$":\n'),
        ({"create": "kill -KILL $$"}, 'signal: killed: running "kill -KILL $$":\n'),
        ({"create": "x", "interpreter": ["/no/such"]}, 'fork/exec /no/such: no such file or directory: running "x":\n'),
        ({"create": "x", "interpreter": ["no-such"]}, 'exec: "no-such": executable file not found in $PATH: running'),
        ({"create": "x", "interpreter": ["/etc/passwd"]}, 'fork/exec /etc/passwd: permission denied: running "x":\n'),
        ({"create": "x", "dir": "/no/such"}, 'chdir /no/such: no such file or directory: running "x":\n'),
        ({"create": "x", "dir": "/etc/passwd"}, 'fork/exec /bin/sh: not a directory: running "x":\n'),
    ],
)  # fmt: skip
def test_failures_name_the_whole_command(inputs: Properties, words: str) -> None:
    with pytest.raises(CommandError) as raised:
        create(inputs)
    assert str(raised.value).startswith(words)


def test_a_failure_tells_both_streams() -> None:
    with pytest.raises(CommandError) as raised:
        create({"create": "echo out; exec >&2; sleep 0.2; echo err; exit 3", "logging": "none"})
    assert str(raised.value).endswith(":\nout\nerr\n")


def test_a_command_is_killed_when_its_time_is_over() -> None:
    begun = time.monotonic()
    with pytest.raises(CommandError, match="signal: killed"):
        create({"create": "exec sleep 30"}, timeout=1)
    assert time.monotonic() - begun < 5


def test_nothing_runs_at_preview(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    inputs: Properties = {"create": f"touch {marker}", "environment": {"A": UNKNOWN}}
    identity, outputs = commands.create(context(), LOCAL, "name", inputs, preview=True)
    assert identity.startswith("name")
    assert outputs == inputs | {"stdout": UNKNOWN, "stderr": UNKNOWN}
    state: Properties = {"create": "true", "stdout": "s", "stderr": ""}
    assert commands.update(context(), LOCAL, state, inputs, preview=True)["stdout"] is UNKNOWN
    assert not marker.exists()


SAY = 'echo "${PULUMI_COMMAND_STDOUT-unset}/${PULUMI_COMMAND_STDERR-unset}"'


@pytest.mark.parametrize(
    ("inputs", "stdout"),
    [
        ({"create": SAY}, "before/unset"),  # for want of an update command; an empty stream sets nothing
        ({"create": "exit 1", "update": SAY}, "before/unset"),
        ({"create": SAY, "addPreviousOutputInEnv": True}, "before/unset"),
        ({"create": SAY, "addPreviousOutputInEnv": False}, "unset/unset"),
        ({"delete": "exit 1"}, "before"),  # nothing to run: what was printed stays
    ],
)
def test_an_update_gets_what_was_printed_before(inputs: Properties, stdout: str) -> None:
    state: Properties = {"create": "true", "stdout": Secret("before"), "stderr": ""}
    assert commands.update(context(), LOCAL, state, inputs, preview=False) == inputs | {"stdout": stdout, "stderr": ""}


def test_a_delete_runs_with_what_the_state_says(tmp_path: Path) -> None:
    record = tmp_path / "record"
    state: Properties = {
        "create": "exit 1",
        "delete": f'{{ cat; echo "$A $PULUMI_COMMAND_STDOUT $PULUMI_COMMAND_STDERR"; }} >{record}',
        "stdin": Secret("in "),
        "environment": {"A": "a"},
        "stdout": "out",
        "stderr": "err",
    }
    commands.delete(context(), LOCAL, state)
    assert record.read_text() == "in a out err\n"
    commands.delete(context(), LOCAL, {"create": "exit 1", "stdout": "", "stderr": ""})


def test_outputs_are_not_secret_for_a_secret_input() -> None:
    """As in the plugin's library: who needs that says `additional_secret_outputs`."""
    assert create({"create": "cat", "stdin": Secret("in")})["stdout"] == "in"


def test_identities_differ() -> None:
    made = {commands.create(context(), LOCAL, "n", {}, preview=False)[0] for _ in range(10)}
    assert len(made) == 10
    assert {len(identity) for identity in made} == {9}


def test_waiting_ends_with_the_request() -> None:
    late = context(timeout=1)
    begun = time.monotonic()
    with pytest.raises(CommandError, match="context deadline exceeded"):
        late.sleep(30)
    assert time.monotonic() - begun < 5
    assert late.ended()
    cancelled = context()
    cancelled.cancelled.set()
    with pytest.raises(CommandError, match="context canceled"):
        cancelled.sleep(30)
    assert cancelled.ended()
    assert not context().ended()
