"""The stand-in for pulumi-resource-command under the real engine and against a real sshd."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.command_stack import DOUBLES, Command, Stack, output, secret
from tests.engine.openssh import Server, generate_key, sshd
from tests.ports import closed_port
from tests.ssh_agent import ssh_agent

PASSWORD = "hunter2-and-a-half"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd(tmp_path_factory.mktemp("ssh") / "one") as running:
        yield running


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd(tmp_path_factory.mktemp("ssh") / "two") as running:
        yield running


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path / "stack")


def remote(name: str, connection: dict[str, object], **args: object) -> Command:
    return Command(name, "remote", {"connection": connection, **args})


def local(name: str, **args: object) -> Command:
    return Command(name, "local", args)


def port_of_login() -> str:
    """A shell word for the port at which the command's own connection came in."""
    return "${SSH_CONNECTION##* }"


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def test_a_remote_command_lives_as_with_the_real_plugin(stack: Stack, server: Server, tmp_path: Path) -> None:
    record = tmp_path / "record"
    before = server.logins()

    def state(text: str) -> Command:
        return remote(
            "file",
            server.connection(),
            create=f"cat >>{record}; echo created; echo noted >&2",
            update=f'cat >>{record}; echo "updated after $PULUMI_COMMAND_STDOUT, $PULUMI_COMMAND_STDERR"',
            delete=f'echo "deleted after $PULUMI_COMMAND_STDOUT" >>{record}',
            stdin=text,
        )

    stack.program(state("one\ntwo\n"))
    preview = stack.preview()
    assert 'stdin                 : "one\\ntwo\\n"' in preview
    assert "connection            : [secret]" in preview
    assert server.logins() == before, "a preview must not connect"

    stack.up()
    assert lines(record) == ["one", "two"]
    assert stack.outputs("file") | {"connection": None} == {
        "addPreviousOutputInEnv": True,
        "connection": None,
        "create": f"cat >>{record}; echo created; echo noted >&2",
        "update": f'cat >>{record}; echo "updated after $PULUMI_COMMAND_STDOUT, $PULUMI_COMMAND_STDERR"',
        "delete": f'echo "deleted after $PULUMI_COMMAND_STDOUT" >>{record}',
        "stdin": "one\ntwo\n",
        "stdout": "created",
        "stderr": "noted",
    }
    identity = str(stack.resource("file")["id"])
    assert identity.startswith("file")
    assert len(identity) == len("file") + 8

    stack.up("--expect-no-changes")
    stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert server.logins() == before + 1, "neither an up without changes nor a refresh may connect"

    stack.program(state("one\nthree\n"))
    preview = stack.preview()
    assert "- two\n" in preview
    assert "+ three\n" in preview
    assert "1 to update" in preview
    stack.up()
    assert lines(record) == ["one", "two", "one", "three"]
    assert stack.outputs("file")["stdout"] == "updated after created, noted"
    assert stack.resource("file")["id"] == identity

    stack.destroy()
    assert lines(record)[-1] == "deleted after updated after created, noted"
    assert server.logins() == before + 3


def test_a_trigger_replaces_and_the_old_one_is_deleted_over_its_own_connection(
    stack: Stack, server: Server, second: Server, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    life = {
        "create": f"echo create {port_of_login()} >>{record}",
        "delete": f"echo delete {port_of_login()} >>{record}",
    }
    stack.program(remote("host", server.connection(), triggers=["a", {"b": 1}], **life))
    stack.up()

    # another connection alone: an update, for want of an `update` command by `create`
    stack.program(remote("host", second.connection(), triggers=["a", {"b": 1}], **life))
    assert "1 updated" in stack.up()
    stack.program(remote("host", server.connection(), triggers=["a", {"b": 2}], **life))
    printed = stack.up("--diff")
    assert "1 replaced" in printed
    assert "~ b: 1 => 2" in printed
    one, two = server.port, second.port
    assert lines(record) == [f"create {one}", f"create {two}", f"create {one}", f"delete {two}"]


def test_what_derives_from_a_changed_input_is_unknown_at_preview(stack: Stack, server: Server) -> None:
    def program(text: str) -> None:
        stack.program(
            remote("facts", server.connection(), create="cat", stdin=text),
            local("after", create="cat", stdin=output("facts.stdout"), environment={"KEY": output("facts.stderr")}),
            local("beside", create="echo beside"),
        )

    program("first")
    preview = stack.preview()
    assert "stdin                 : [unknown]" in preview
    assert "4 to create" in preview
    stack.up()
    assert stack.outputs("after")["stdout"] == "first"

    program("second")
    preview = stack.preview()
    assert '~ stdin      : "first" => [unknown]' in preview
    assert "2 to update" in preview


def test_a_secret_stays_one(stack: Stack, server: Server) -> None:
    stack.program(
        remote(
            "password",
            server.connection(),
            create="wc -c",
            delete="wc -c",
            stdin=secret(PASSWORD),
            environment={"GREETING": secret(PASSWORD)},
        ),
        local("here", create="wc -c", stdin=secret(PASSWORD)),
    )
    printed = stack.preview() + stack.up("--diff", "--logtostderr", "-v=3")
    assert stack.outputs("password")["stdout"] == str(len(PASSWORD))
    assert stack.outputs("here")["stdout"] == str(len(PASSWORD))
    stack.program(
        remote("password", server.connection(), create="wc  -c", delete="wc -c", stdin=secret(PASSWORD + "!")),
        local("here", create="wc -c", stdin=secret(PASSWORD + "!")),
    )
    printed += stack.up("--diff") + stack.destroy()
    assert "[secret] => [secret]" in printed
    key = server.private_key.read_text().splitlines()[2]
    kept = b"".join(file.read_bytes() for file in stack.backend.rglob("*") if file.is_file())
    for hidden in (PASSWORD, key):
        assert hidden not in printed
        assert hidden.encode() not in kept


def test_errors_have_the_real_ones_words(stack: Stack, server: Server, tmp_path: Path) -> None:
    impostor = generate_key(tmp_path / "impostor")
    stranger = tmp_path / "stranger"
    generate_key(stranger)
    closed = closed_port()
    big = "head -c 200000 /dev/zero | tr '\\0' x; exit 9"
    stack.program(
        remote("impostor", server.connection(host_key=impostor), create="true"),
        remote("stranger", server.connection(private_key=stranger.read_text(), dial_error_limit=0), create="true"),
        remote("closed", server.connection(port=closed, dial_error_limit=2), create="true"),
        remote("fails", server.connection(), create='echo "to\tsay"; exit 3'),
        remote("killed", server.connection(), create="kill -KILL $$"),
        remote("refused", server.connection(), create="true", environment={"NOT_ACCEPTED": "x"}),
        remote("big", server.connection(), create=big, logging="none"),
        local("here", create="echo out; exit 4"),
        local("nowhere", create="true", dir="/nowhere"),
        local("nothing", create="true", interpreter=["no-such-interpreter"]),
    )
    printed = stack.up("--continue-on-error", fails=True)
    for words in (
        "error: after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch\n",
        "error: after 0 failed attempts: ssh: handshake failed: ssh: unable to authenticate, "
        "attempted methods [none publickey], no supported methods remain\n",
        f"error: after 2 failed attempts: dial tcp 127.0.0.1:{closed}: connect: connection refused\n",
        'error: Process exited with status 3: running "echo \\"to\\tsay\\"; exit 3":\n    to\tsay\n',
        'error: Process exited with status 137 from signal KILL: running "kill -KILL $$":\n',
        'error: could not set environment variable "NOT_ACCEPTED": ssh: setenv failed\n',
        "error: Unable to set 'NOT_ACCEPTED'. This only works if your SSH server is configured to accept",
        "error: Process exited with status 9: running " + '"' + big.replace("\\", "\\\\") + '":\n    ' + "x" * 200000,
        'error: exit status 4: running "echo out; exit 4":\n    out\n',
        'error: chdir /nowhere: no such file or directory: running "true":\n',
        'error: exec: "no-such-interpreter": executable file not found in $PATH: running "true":\n',
    ):
        assert words in printed, f"{words[:200]!r} not in\n{printed[:20000]}"
    assert "Dial 1/2 failed: retrying" in printed
    assert "11 errored" in printed


def test_a_failed_update_changes_nothing_and_a_failed_delete_keeps_the_resource(stack: Stack, server: Server) -> None:
    stack.program(remote("file", server.connection(), create="echo good", delete="exit 5"))
    stack.up()
    stack.program(remote("file", server.connection(), create="echo bad; exit 1", delete="exit 5"))
    stack.up(fails=True)
    assert stack.outputs("file")["create"] == "echo good"
    assert stack.outputs("file")["stdout"] == "good"
    failed = stack.run("destroy", "--yes", "--skip-preview", fails=True)
    assert 'Process exited with status 5: running "exit 5":' in failed
    assert stack.outputs("file")["stdout"] == "good"


def test_inputs_are_checked_before_anything_runs(stack: Stack, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    stack.program(
        local("good", create=f"touch {marker}"),
        remote("wrong", {"user": "root", "colour": "blue"}, create="true"),
    )
    printed = stack.preview(fails=True)
    assert "An error occurred decoding 'CommandInputs.connection': 2 failures decoding:" in printed
    assert "host: Missing required field 'host' on 'remote.Connection'" in printed
    assert "colour: Unrecognized field 'colour' on 'remote.Connection'" in printed
    assert not marker.exists()


def test_the_agent_is_used_and_a_dead_one_fails_even_with_a_key(server: Server, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    generate_key(stranger)
    without_key = {name: value for name, value in server.connection().items() if name != "private_key"}
    with ssh_agent(tmp_path / "agent", server.private_key) as path:
        stack = Stack(tmp_path / "stack", SSH_AUTH_SOCK=str(path))
        stack.program(
            remote("environment", without_key, create="echo by agent"),
            # a path in the connection goes before the one in the environment
            remote("path", server.connection(agent_socket_path=f"{path}.gone"), create="true"),
            # public keys are tried once: after a key that is refused the agent is not asked
            remote("stranger", server.connection(private_key=stranger.read_text()), create="true"),
        )
        before = server.logins()
        printed = stack.up("--continue-on-error", fails=True)
        assert stack.outputs("environment")["stdout"] == "by agent"
        assert f"error: dial unix {path}.gone: connect: no such file or directory\n" in printed
        assert "attempted methods [none publickey], no supported methods remain\n" in printed
        assert server.logins() == before + 1


def test_a_bastion_has_a_host_key_and_a_limit_of_its_own(
    stack: Stack, server: Server, second: Server, tmp_path: Path
) -> None:
    impostor = generate_key(tmp_path / "impostor")
    closed = closed_port()
    stack.program(
        remote("through", server.connection(proxy=second.connection()), create=f"echo {port_of_login()}"),
        remote("bastion", server.connection(proxy=second.connection(host_key=impostor)), create="true"),
        remote("inner", server.connection(proxy=second.connection(), host_key=impostor), create="true"),
        remote("at-once", server.connection(proxy=second.connection(), host_key=impostor, dial_error_limit=0)),
        remote("closed", server.connection(proxy=second.connection(), port=closed), create="true"),
    )
    before = second.logins()
    printed = stack.up("--continue-on-error", fails=True)
    assert stack.outputs("through")["stdout"] == str(server.port)
    assert second.logins() == before + 3, "the host behind must be reached through the bastion"
    assert "error: proxy: after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch\n" in printed
    # the bastion's channel is closed by the first failure, so the second try reports that
    assert "error: proxy: after 1 failed attempts: ssh: handshake failed: EOF\n" in printed
    assert "error: proxy: after 1 failed attempts: ssh: rejected: connect failed (Connection refused)\n" in printed
    assert str(stack.resource("at-once")["id"]).startswith("at-once"), "without a command nothing is dialled"


def test_a_local_command_can_refuse_what_differs_from_its_previous_output(stack: Stack, tmp_path: Path) -> None:
    scanned = tmp_path / "scanned"
    refuse = (
        f'[ "$(cat {scanned})" = "$PULUMI_COMMAND_STDOUT" ] || {{ echo "was $PULUMI_COMMAND_STDOUT" >&2; exit 1; }}'
    )

    def learn(address: str) -> Command:
        return local(
            "learn",
            create=f"cat {scanned}; pwd >&2",
            update=f"{refuse}; cat {scanned}",
            environment={"ADDRESS": address},
            triggers=["machine-1"],
        )

    scanned.write_text("key one\n")
    stack.program(learn("192.0.2.11"))
    stack.up()
    assert stack.outputs("learn")["stdout"] == "key one"
    assert stack.outputs("learn")["stderr"] == str(stack.project), "local commands run in the project's folder"

    stack.program(learn("192.0.2.12"))
    stack.up()
    scanned.write_text("key two\n")
    stack.program(learn("192.0.2.13"))
    printed = stack.up(fails=True)
    assert "error: exit status 1: running " in printed
    assert "    was key one\n" in printed
    assert stack.outputs("learn")["stdout"] == "key one"


def test_the_log_shows_what_logging_asks_for(stack: Stack, server: Server) -> None:
    say = {"create": "echo to-$NAME-stdout; echo to-$NAME-stderr >&2"}
    stack.program(
        *(local(name, logging=name, environment={"NAME": name}, **say) for name in ("none", "stdout", "stderr")),
        local("both", environment={"NAME": "both"}, **say),
        remote("far", server.connection(), logging="stderr", create="echo far-stdout; echo far-stderr >&2"),
    )
    printed = stack.up()
    shown = {word for word in printed.replace("\n", " ").split() if word.endswith(("-stdout", "-stderr"))}
    assert shown == {"to-stdout-stdout", "to-stderr-stderr", "to-both-stdout", "to-both-stderr", "far-stderr"}
    assert stack.outputs("none")["stdout"] == "to-none-stdout"

    said = printed.split("Diagnostics:")[1].count("this is the stand-in of tests/doubles, not Pulumi's plugin")
    assert said == 1, "it says what it is once a run"
    schema = stack.run("package", "get-schema", str(DOUBLES / "pulumi-resource-command"))
    assert '"version": "1.2.1+stand-in"' in schema


def test_previous_output_that_the_server_does_not_accept_only_warns(tmp_path: Path) -> None:
    with sshd(tmp_path / "strict", accept_env="LANG") as strict:
        stack = Stack(tmp_path / "stack")
        stack.program(
            remote("asks", strict.connection(), create="echo one", update="echo ${PULUMI_COMMAND_STDOUT:-nothing}"),
            remote("silent", strict.connection(), create="echo one", add_previous_output_in_env=False),
        )
        assert "Unable to set" not in stack.up()
        stack.program(
            remote("asks", strict.connection(user=strict.user, port=strict.port), create="echo two", update="echo two"),
            remote("silent", strict.connection(), create="echo two", add_previous_output_in_env=False),
        )
        printed = stack.up()
        # progress and summary each print it
        assert printed.count("warning: Unable to set 'PULUMI_COMMAND_STDOUT'. This only works if") == 2
        assert stack.outputs("asks")["stdout"] == "two"
        assert stack.outputs("silent")["stdout"] == "two"


def plugins_of(engine: int) -> list[int]:
    """Stand-ins that the engine with this process id has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            command = entry.joinpath("cmdline").read_bytes()
        except OSError:
            continue
        if parent == engine and b"pulumi_resource_command" in command:
            found.append(int(entry.name))
    return found


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_it_ends_with_the_engine(stack: Stack, tmp_path: Path) -> None:
    started = tmp_path / "started"
    stack.program(local("slow", create=f"touch {started}; sleep 3"))
    engine = stack.start("up", "--yes", "--skip-preview").process
    try:
        wait_for(started.exists)
        plugins = plugins_of(engine.pid)
        assert plugins
    finally:
        engine.kill()
        engine.wait()
    wait_for(lambda: not any(map(running, plugins)), seconds=60)


def test_an_interrupt_ends_waiting_for_a_host(stack: Stack, server: Server) -> None:
    closed = closed_port()
    stack.program(remote("waits", server.connection(port=closed, dial_error_limit=-1), create="true"))
    engine = stack.start("up", "--yes", "--skip-preview")
    wait_for(lambda: "Dial 3/inf failed: retrying" in engine.text())
    begun = time.monotonic()
    engine.process.send_signal(signal.SIGINT)
    assert engine.wait() != 0
    assert time.monotonic() - begun < 10
    assert "error: context canceled" in engine.text()
