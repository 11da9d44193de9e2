"""The command lines that run on hosts, as they are written and as they are read."""

import base64
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fortress import push, text
from fortress.machine import Incarnation, incarnation
from fortress.push import NOTE
from tests import recorded

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
texts |= st.lists(st.sampled_from([*"'\"\\;$ \n\t#=", "--machine ", "a", "sudo ", NOTE])).map("".join)
maybe = st.none() | texts
puts = st.builds(
    push.Put,
    texts,
    machine=texts,
    resource=texts,
    stack=texts,
    adopt=st.booleans(),
    mode=texts,
    owner=texts,
    check=maybe,
    apply=maybe,
    unit=maybe,
    confirm_s=st.none() | st.integers(1, 9999),
)
not_options = texts.filter(lambda text: not text.startswith("--"))
single = st.one_of(
    puts,
    st.builds(
        push.Files,
        st.lists(not_options).map(tuple),
        machine=texts,
        resource=texts,
        stack=texts,
        adopt=st.booleans(),
    ),
    st.builds(push.Remove, texts, machine=texts, resource=texts, stack=texts, before=maybe, apply=maybe),
    st.builds(push.Confirm, texts, texts, machine=texts),
    st.builds(push.Packages, machine=texts, names=st.lists(texts).map(tuple)),
    st.builds(push.Install, machine=texts, stack=texts, adopt=st.booleans()),
    st.builds(push.Uninstall, machine=texts, stack=texts),
    st.builds(push.Run, machine=texts, command=st.lists(texts, min_size=1).map(tuple)),
)
commands = single | st.builds(
    lambda steps, undo: push.Steps(tuple(steps), machine=steps[0].machine, undo=undo),
    st.lists(single, min_size=2, max_size=3),
    st.none() | single,
)
line_of_text = st.text(st.characters(min_codepoint=32, max_codepoint=126))


@given(command=commands)
def test_what_is_written_is_read(command: push.Command) -> None:
    assert push.parse(command.render()) == command
    assert push.parse(f"sudo {command.render()}") == command
    assert push.machine_of(command.render()) == command.machine
    assert push.without_note(command.render()) == (command.render(), "")


@given(command=commands, note=line_of_text, other=line_of_text)
def test_a_note_is_read_apart_from_its_command(command: push.Command, note: str, other: str) -> None:
    line = f"sudo {command.render()}"
    assert push.without_note(push.with_note(line, note)) == (line, note)
    assert push.parse(push.with_note(line, note)) == command
    assert push.with_note(push.with_note(line, note), other) == push.with_note(line, other)


def test_a_note_changes_nothing_of_what_runs() -> None:
    line = push.with_note(push.for_machine("db.1", "echo", f"a{NOTE}b"), "file /etc/x: edited by hand; `false`")
    assert subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout == f"a{NOTE}b\n"


@given(put=puts, owner=texts, sudo=st.sampled_from(["", "sudo "]))
def test_a_field_is_changed_in_a_line(put: push.Put, owner: str, sudo: str) -> None:
    changed = push.with_command(f"{sudo}{put.render()}", replace(put, owner=owner))
    assert changed.startswith("sudo ") == bool(sudo)
    assert push.parse(changed) == replace(put, owner=owner)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[unknown]",
        "true",
        "sudo true",
        "sh -c 'open",
        "apt-get update # don't ask",
        "env FORTRESS_MACHINE=a.1",
        "env OTHER=a.1 true",
        f"{push.PUSH}",
        f"{push.PUSH} put /etc/x 0644",
        f"{push.PUSH} put /etc/x 0644 root:root --unit",
        f"{push.PUSH} put /etc/x 0644 root:root && reboot now",
        f"{push.PUSH} put /etc/x 0644 root:root --confirm soon",
        f"{push.PUSH} records",
    ],
)
def test_another_command_is_none(line: str) -> None:
    assert push.parse(line) is None
    assert push.machine_of(line) == ""


def test_an_option_of_another_version_hides_no_file() -> None:
    line = f"{push.PUSH} put /etc/x 0644 root:root --newer thing --machine db.1"
    assert push.parse(line) == push.Put("/etc/x", machine="db.1", resource="")


@pytest.mark.parametrize("stack", ["lab", "oslo"])
def test_every_command_of_a_recorded_stack_is_read_and_written_as_it_was(stack: str) -> None:
    """Written by the real engine, before there was anything that reads."""
    lines = [
        resource["inputs"][key]
        for resource in recorded.read(stack)["deployment"]["resources"]
        for key in ("create", "delete")
        if resource["type"] == "command:remote:Command" and key in resource["inputs"]
    ]
    assert len(lines) > 60  # or the record holds next to nothing
    for line in lines:
        command = push.parse(line)
        assert command is not None, line
        assert push.with_command(line, command) == line


def test_a_command_for_a_reader_names_no_machine() -> None:
    lines = {
        push.Confirm("/etc/x", "00", machine="db.1").render(): f"{push.PUSH} confirm /etc/x 00",
        push.Packages(names=("a", "b"), machine="db.1").render(): f"{push.PUSH} packages a b",
        push.for_machine("db.1", *push.script("haproxy-drain", "35")): f"{push.LIBRARY}/haproxy-drain 35",
        "echo 'of another' --machine x": "echo 'of another' --machine x",
        "[unknown]": "[unknown]",
    }
    for line, shown in lines.items():
        assert push.bare(line) == push.bare(f"sudo {line}") == shown


@given(host=texts.filter(bool), number=st.integers(0))
def test_an_incarnation_is_read_back(host: str, number: int) -> None:
    assert incarnation(str(Incarnation(host, number))) == Incarnation(host, number)


@pytest.mark.parametrize("machine", ["", "i-896dd164e531dcb41", "e76acb5a-2f70-41c8-affb-5fdc6db55ff9", "a.b", ".1"])
def test_a_clouds_id_is_no_incarnation(machine: str) -> None:
    assert incarnation(machine) is None


@given(path=texts, check=texts, apply=texts, unit=texts, machine=texts)
def test_every_word_reaches_the_script_as_it_is(path: str, check: str, apply: str, unit: str, machine: str) -> None:
    line = push.Put(path, machine=machine, resource="db-x", check=check, apply=apply, unit=unit, confirm_s=45).render()
    assert shlex.split(line) == [
        *(push.PUSH, "put", path, "0644", "root:root", "--check", check, "--apply", apply),
        *("--unit", unit, "--confirm", "45", "--resource", "db-x", "--machine", machine),
    ]


def test_another_machine_is_another_command_on_the_same_file() -> None:
    first, second = (push.Put("/etc/x", machine=machine, resource="x").render() for machine in ("db.1", "db.2"))
    assert first != second
    assert push.for_machine("db.1", "true") != push.for_machine("db.2", "true")


@given(machine=texts)
def test_the_machine_stands_where_it_runs_nothing(machine: str) -> None:
    command = push.for_machine(machine, "printf", "done")
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == b"done"


ANY = st.binary(max_size=200) | st.text(max_size=80).map(lambda text: text.encode(errors="replace"))


@given(data=ANY)
@example(data=b"one\r\ntwo\r\n")
@example(data=b"no line feed")
@example(data=b"\0")
@example(data=push.END.encode())
@example(data=push.OPEN_END.encode().rstrip())
@example(data=push.BASE64_END.encode())
def test_what_is_sent_byte_for_byte_is_received_so(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    sent = push.exact(text)
    assert sent.encode().decode() == sent, "the engine carries text"
    assert "\0" not in sent
    assert push.received(sent).encode(errors="surrogateescape") == data
    encoded = base64.b64encode(data).decode()
    assert push.received(push.in_base64(encoded)).encode(errors="surrogateescape") == data
    assert push.is_binary(text) == sent.endswith(push.BASE64_END)


scripts = st.text().filter(lambda text: not re.search("^# fortress-push: (tool|end)", text, re.MULTILINE))


@given(script=scripts, tools=st.dictionaries(st.from_regex("[a-z-]+", fullmatch=True), scripts))
def test_host_scripts_are_told_from_the_text_that_they_come_in(script: str, tools: dict[str, str]) -> None:
    lines = {name: f"{text}\n" for name, text in tools.items()}
    sent = push.content(push.with_tools(f"{script}\n", lines))
    assert push.installed(sent) == {push.PUSH: sent, **{f"{push.LIBRARY}/{name}": each for name, each in lines.items()}}


def test_each_host_script_that_comes_along_is_told_whole() -> None:
    found = push.installed(push.content(text.push_script()))
    assert found.pop(push.PUSH).startswith("#!/bin/sh\n")
    assert found == {f"{push.LIBRARY}/{name}": text.script(name) for name in push.TOOLS}


@given(text=st.text())
def test_what_is_sent_ends_in_the_line_that_says_so(text: str) -> None:
    sent = push.content(text)
    assert sent.endswith("\n" + push.END) or sent == push.END
    assert sent.startswith(text)


def test_a_script_cut_short_does_not_replace_the_one_that_stands(tmp_path: Path) -> None:
    line = shlex.split(push.Install(machine="db.1").render())
    assert line[:2] == ["sh", "-c"]
    script = line[2].replace(push.PUSH, f"{tmp_path}/push")

    def install(text: str) -> int:
        return subprocess.run(["sh", "-c", script, "db.1"], input=text, text=True, check=False).returncode

    whole = push.content('#!/bin/sh\n[ "$1" = mine ] || echo first\n')
    assert install(whole) == 0
    for cut in range(0, len(whole) - 1):
        assert install(whole[:cut]) != 0, f"cut after {cut} characters"
    assert subprocess.run([f"{tmp_path}/push"], capture_output=True, check=True).stdout == b"first\n"


def test_a_script_that_finds_the_host_taken_does_not_replace_the_one_that_stands(tmp_path: Path) -> None:
    line = push.Install(machine="db.1", stack="fortress/staging").render().replace(push.PUSH, f"{tmp_path}/push")
    taken = push.content(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\nexit 1\n')
    (tmp_path / "push").write_text("the one that stands\n")
    assert subprocess.run(["sh", "-c", line], input=taken, text=True, check=False).returncode == 1
    assert (tmp_path / "asked").read_text() == "mine --stack fortress/staging\n"
    assert {file.name for file in tmp_path.iterdir()} == {"push", "asked"}
    assert (tmp_path / "push").read_text() == "the one that stands\n"


words = st.text(st.characters(exclude_characters="\0\n ", exclude_categories=["Cs", "Zl", "Zp", "Cc"]), min_size=1)
one_line = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1)
bodies = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(
    st.sampled_from(
        ["# fortress-push: ", "file 0644 a:b /x\n", "= ", "end of file\n", "check true\n", "\n", "\r\n", "x"]
    )
).map("".join)
together = st.lists(
    st.tuples(
        st.builds(
            push.Put,
            one_line,
            machine=st.just("db.1"),
            resource=st.just("db-files"),
            stack=st.just("a/b"),
            adopt=st.just(True),
            mode=words,
            owner=words,
            check=st.none() | one_line,
            apply=st.none() | one_line,
            unit=st.none() | one_line,
        ),
        bodies.map(push.exact)
        | bodies.map(push.content)
        | st.binary().map(base64.b64encode).map(lambda data: push.in_base64(data.decode())),
    )
)


@given(files=together)
def test_files_that_are_sent_together_are_read_apart(files: list[tuple[push.Put, str]]) -> None:
    command = push.Files((), machine="db.1", resource="db-files", stack="a/b", adopt=True)
    sent = push.together(files)
    assert sent.endswith(push.FILES_END)
    assert push.apart(command, sent) == files
    read = push.parts(f"sudo {command.render()}", sent)
    assert read == files if files else read == [(command, sent)]


@pytest.mark.parametrize("what", [{"path": "/etc/a\nb"}, {"check": "a\nb"}, {"confirm_s": 45}])
def test_what_cannot_be_sent_together_is_refused(what: dict[str, object]) -> None:
    put = replace(push.Put("/etc/x", machine="a", resource="x"), **what)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot be put together"):
        push.together([(put, push.END)])


@pytest.mark.parametrize("sent", [None, "", "[secret]", "[unknown]", push.content("a\n")])
def test_of_files_that_are_not_known_the_paths_are(sent: str | None) -> None:
    command = push.Files(("/etc/a", "/etc/b c"), machine="db.1", resource="x")
    assert push.parts(command.render(), sent) == [(command, sent)]
    assert push.paths(command) == ("/etc/a", "/etc/b c")


def test_of_several_steps_the_one_that_puts_has_the_text() -> None:
    put = push.Put("/etc/x", machine="db.1", resource="x")
    confirm, installed = push.Confirm("/etc/y", "0" * 64, machine="db.1"), push.Packages(machine="db.1", names=("a",))
    line = push.steps(confirm, put, installed).render()
    assert push.parts(line, push.content("x\n")) == [(confirm, None), (put, push.content("x\n")), (installed, None)]
    assert push.steps(put) == put
    assert push.machine_of(line) == "db.1"


def test_a_file_is_changed_where_others_are_with_it() -> None:
    put, other = (push.Put(path, machine="", resource="x") for path in ("/etc/x", "/etc/y"))
    install = push.Packages(machine="db.1", names=("a",))

    def edited(put: push.Put, sent: str) -> tuple[push.Put, str]:
        return replace(put, mode="0600"), sent.replace("one", "two")

    files = push.steps(install, push.Files((put.path, other.path), machine="db.1", resource="x"))
    sent = push.together([(put, push.content("one\n")), (other, push.content("one\n"))])
    line, changed = push.with_file(f"sudo {files.render()}", sent, "/etc/x", edited)
    assert line == f"sudo {files.render()}"
    found = [(part.path, part.mode, text) for part, text in push.parts(line, changed) if isinstance(part, push.Put)]
    assert found == [("/etc/x", "0600", push.content("two\n")), ("/etc/y", "0644", push.content("one\n"))]

    line, changed = push.with_file(push.steps(put, install).render(), push.content("one\n"), "/etc/x", edited)
    assert push.parts(line, changed) == [(replace(put, mode="0600"), push.content("two\n")), (install, None)]
    assert push.with_file("true", "text", "/etc/x", edited) == ("true", "text")


def test_a_file_behind_push_sh_is_read_apart_and_changed_there() -> None:
    install, put = push.Install(machine="a.1"), push.Put("/etc/x", machine="a.1", resource="x")
    packages = push.Packages(machine="a.1", names=("a",))
    line = push.steps(install, packages, put, undo=push.Uninstall(machine="a.1")).render()
    script = push.content("#!/bin/sh\n")
    both = script + push.content("one\n")
    assert push.parts(line, both) == [(install, script), (packages, None), (put, push.content("one\n"))]
    assert push.parts(line, None) == [(install, None), (packages, None), (put, None)]
    assert push.parts(line, "[unknown]") == [(install, "[unknown]"), (packages, None), (put, "[unknown]")]
    changed = push.with_file(line, both, "/etc/x", lambda put, _sent: (put, push.content("two\n")))
    assert changed == (line, script + push.content("two\n"))


def test_what_undoes_steps_runs_where_one_fails() -> None:
    def says(text: str, status: int = 0) -> push.Command:
        return push.Run(machine="m", command=("sh", "-c", f"echo {text} >&2; exit {status}"))

    for status in (0, 3):
        undo = push.Run(machine="m", command=("sh", "-c", "echo noise; exit 1"))
        line = push.steps(says("one"), says("two", status), says("three"), undo=undo).render()
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        told = "one\ntwo\n" if status else "one\ntwo\nthree\n"
        assert (done.returncode, done.stdout, done.stderr) == (status, "", told)


def test_steps_run_up_to_the_first_that_fails() -> None:
    def says(text: str) -> push.Command:
        return push.Run(machine="m", command=("sh", "-c", 'echo "$1"; cat; [ "$1" != bad ]', "sh", text))

    line = push.steps(says("it's one"), says("bad"), says("three")).render()
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, input="in\n", check=False)
    assert (done.returncode, done.stdout) == (1, "it's one\nin\nbad\n")


def test_a_note_is_about_the_file_that_it_names() -> None:
    note = "file /etc/x: edited by hand; file /etc/y.conf: removed by hand"
    assert [path for path in ("/etc/x", "/etc/y.conf", "/etc/y", "/x") if push.notes(note, path)] == [
        "/etc/x",
        "/etc/y.conf",
    ]
