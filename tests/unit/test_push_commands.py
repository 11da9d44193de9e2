"""The command lines that run push.sh."""

import shlex
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from fortress import push

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(path=texts, check=texts, apply=texts, unit=texts, machine=texts)
def test_every_word_reaches_the_script_as_it_is(path: str, check: str, apply: str, unit: str, machine: str) -> None:
    line = push.put(path, machine=machine, resource="db-x", check=check, apply=apply, unit=unit, confirm_s=45)
    assert shlex.split(line) == [
        *(push.PUSH, "put", path, "0644", "root:root", "--check", check, "--apply", apply),
        *("--unit", unit, "--confirm", "45", "--resource", "db-x", "--machine", machine),
    ]


def test_another_machine_is_another_command_on_the_same_file() -> None:
    first, second = (push.put("/etc/x", machine=machine, resource="x") for machine in ("db.1", "db.2"))
    assert first != second
    assert push.on("db.1", "true") != push.on("db.2", "true")


@given(machine=texts)
def test_the_machine_stands_where_it_runs_nothing(machine: str) -> None:
    command = push.on(machine, "printf done")
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == b"done"


@given(text=st.text())
def test_what_is_sent_ends_in_the_line_that_says_so(text: str) -> None:
    sent = push.content(text)
    assert sent.endswith("\n" + push.END) or sent == push.END
    assert sent.startswith(text)


def test_a_script_cut_short_does_not_replace_the_one_that_stands(tmp_path: object) -> None:
    line = shlex.split(push.install(machine="db.1"))
    assert line[:2] == ["sh", "-c"]
    script = line[2].replace(push.PUSH, f"{tmp_path}/push")

    def install(text: str) -> int:
        return subprocess.run(["sh", "-c", script, "db.1"], input=text, text=True, check=False).returncode

    whole = push.content("#!/bin/sh\necho first\n")
    assert install(whole) == 0
    for cut in range(0, len(whole) - 1):
        assert install(whole[:cut]) != 0, f"cut after {cut} characters"
    assert subprocess.run([f"{tmp_path}/push"], capture_output=True, check=True).stdout == b"first\n"
