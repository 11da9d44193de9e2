"""fortress/push.sh under dash: each verb, each refusal, and a cut at every step."""

import fcntl
import os
import re
import shlex
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fortress import push, records
from fortress.records import Record
from tests.unit.push_host import END, NEVER, SCRIPT, Cut, PushHost, sha256

ORIGINAL, OLD, NEW, BAD = b"original\n", b"old\nmore\n", b"new\nmore\n", b"bad\nmore\n"

# How the journal of a unit is asked, for the seconds of one attempt.
JOURNAL = r"journalctl -u {} --since -[1-9]\d*s -n 8 --no-pager --quiet -o cat"

# What a put answers.
RECEIPT = re.compile(r"\Aput [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n\Z")

# Stands for a service that reads the file's first line, and refuses one that says "bad".
APPLY = """
line=none
[ ! -e "$1" ] || read -r line <"$1"
echo "$line" >>"$LOG"
[ "$line" != bad ] || { echo "no $line"; false; }
"""


@pytest.fixture
def host(tmp_path: Path) -> PushHost:
    return PushHost(tmp_path / "host")


@pytest.fixture
def target(host: PushHost) -> Path:
    """A path two folders below one that is there."""
    return host.root / "t" / "etc" / "app" / "app.conf"


def put(host: PushHost, target: Path, text: bytes, *options: str, cut_at: int = 0) -> CompletedProcess[str]:
    return host.push("put", target, "0640", "root:daemon", "--apply", APPLY, *options, text=text, cut_at=cut_at)


def well(done: CompletedProcess[str]) -> None:
    said = RECEIPT.sub("", done.stdout) if done.args[2] in ("put", "files") else done.stdout
    assert (done.returncode, said, done.stderr) == (0, "", "")


def refused(done: CompletedProcess[str]) -> list[str]:
    """What it said, line by line, without the host's name."""
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 14
    return [re.sub(r"^fortress-push: [^:]+: ", "", line) for line in lines]


def facts(file: Path) -> tuple[bytes, str]:
    return file.read_bytes(), f"{stat.S_IMODE(file.stat().st_mode):04o} {file.owner()}:{file.group()}"


def place(file: Path, text: bytes) -> None:
    """A file that was there before, of mode 0600."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text)
    file.chmod(0o600)


# --- put --------------------------------------------------------------------------------------------------------------


def test_put_lands_text_mode_and_owner_in_new_folders(host: PushHost, target: Path) -> None:
    check = 'echo "$(stat -c "%a %U:%G" "$1") $(cat "$1")" >>"$LOG"; [ ! -e "${1%/*}/app.conf" ]'
    well(put(host, target, b"one\n", "--machine", "i-1", "--check", check))
    assert facts(target) == (b"one\n", "0640 root:daemon")
    assert host.logged() == ["640 root:daemon one", "one"]
    assert host.tree("t") == ["etc", "etc/app", "etc/app/app.conf"]
    for folder in (target.parent, target.parent.parent):
        assert (stat.S_IMODE(folder.stat().st_mode), folder.owner()) == (0o755, "root")


def test_put_of_what_stands_runs_nothing(host: PushHost, target: Path) -> None:
    well(put(host, target, NEW))
    host.logged()
    inode = target.stat().st_ino
    well(put(host, target, NEW, "--check", "false", "--unit", "app", "--machine", "another"))
    assert (host.logged(), host.asked(), target.stat().st_ino) == ([], [], inode)


def test_no_two_puts_answer_alike(host: PushHost, target: Path) -> None:
    answers = [put(host, target, text).stdout for text in (OLD, OLD, NEW, OLD)]
    assert all(RECEIPT.match(answer) for answer in answers)
    assert len(set(answers)) == 4


@pytest.mark.parametrize("edit", ["text", "mode", "owner", "removed"])
def test_put_mends_what_was_changed_by_hand(host: PushHost, target: Path, edit: str) -> None:
    well(put(host, target, NEW))
    host.logged()
    match edit:
        case "text":
            target.write_bytes(b"hand\n")
        case "mode":
            target.chmod(0o666)
        case "owner":
            host.run("chown", "daemon:root", target)
        case "removed":
            target.unlink()
    well(put(host, target, NEW))
    assert facts(target) == (NEW, "0640 root:daemon")
    assert host.logged() == ["new"]


def test_text_that_stood_there_already_is_applied_once(host: PushHost, target: Path) -> None:
    place(target, NEW)
    well(host.push("put", target, "600", "root:root", "--apply", APPLY, text=NEW))
    well(host.push("put", target, "0600", "root:root", "--apply", APPLY, text=NEW))
    assert host.logged() == ["new"]


def test_a_candidate_is_never_readable_by_others_before_it_has_its_mode(host: PushHost, target: Path) -> None:
    host.shim("chown", 'stat -c "%a %n" "$3" >>"$LOG"; exec /usr/bin/chown "$@"\n')
    well(host.push("put", target, "0644", "root:root", text=NEW))
    [line] = host.logged()
    assert line == f"600 {target.parent}/.app.conf.fortress-new"


def test_a_refused_text_changes_nothing_and_says_where(host: PushHost, target: Path) -> None:
    place(target, ORIGINAL)
    check = 'for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "parsing [$1:$n]"; done; false'
    said = refused(put(host, target, b"new\npassword: hunter2\n", "--check", check))
    assert said[0] == f"{target}: check: parsing [{target}:3]"
    assert said[1:] == [f"  parsing [{target}:{n}]" for n in range(4, 13)] + ["  nothing was changed"]
    assert facts(target)[0] == ORIGINAL
    assert host.logged() == []
    assert host.tree("t") == ["etc", "etc/app", "etc/app/app.conf"]


def test_a_checker_without_words(host: PushHost, target: Path) -> None:
    said = refused(put(host, target, NEW, "--check", 'exit "$(wc -l <"$1")"'))
    assert said[0] == f"{target}: check: exit status 2 with no output"


def test_a_refused_first_text_leaves_no_folder(host: PushHost, target: Path) -> None:
    refused(put(host, target, NEW, "--check", "echo never; false"))
    assert host.tree("t") == []
    assert host.tree("varlib/fortress/files") == host.tree("varlib/fortress/dirs") == []


def test_a_failed_apply_brings_the_old_file_back(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    said = refused(put(host, target, BAD))
    assert said == [f"{target}: apply: no bad", f"{target}: apply: the old file is back and active"]
    assert facts(target) == (OLD, "0640 root:daemon")
    assert host.logged() == ["old", "bad", "old"]
    well(put(host, target, OLD))
    assert host.logged() == []


def test_a_failed_first_apply_leaves_nothing(host: PushHost, target: Path) -> None:
    said = refused(put(host, target, BAD))
    assert said[1] == f"{target}: apply: there was no file before; the new one was removed"
    assert host.logged() == ["bad", "none"]
    assert host.tree("t") == host.tree("varlib/fortress/files") == []


def test_a_failed_first_apply_gives_the_original_back(host: PushHost, target: Path) -> None:
    place(target, ORIGINAL)
    refused(put(host, target, BAD))
    assert facts(target) == (ORIGINAL, "0600 root:root")
    assert host.tree("varlib/fortress/files") == []


def test_it_says_when_the_old_file_is_not_active_either(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    said = refused(host.push("put", target, "0640", "root:daemon", "--apply", "echo gone; false", text=NEW))
    assert said[1] == f"{target}: apply: the old file is back, but apply failed then too: gone"
    assert facts(target)[0] == OLD
    host.logged()
    well(put(host, target, OLD))
    assert host.logged() == ["old"]


def test_what_apply_starts_holds_neither_the_connection_nor_the_lock(host: PushHost, target: Path) -> None:
    start = time.monotonic()
    apply = 'umask >>"$LOG"; for fd in 3 9; do [ ! -e /proc/$$/fd/$fd ] || echo $fd >>"$LOG"; done; /usr/bin/sleep 50 &'
    well(host.push("put", target, "0644", "root:root", "--apply", apply, text=NEW))
    assert time.monotonic() - start < 10
    assert host.logged() == ["0022"]


def test_an_apply_without_end_is_ended(host: PushHost, target: Path) -> None:
    host.shim("timeout", 'echo "limit $3" >>"$LOG"; shift 3; exec /usr/bin/timeout 1 "$@"\n')
    well(put(host, target, OLD))
    apply = 'read -r line <"$1"; [ "$line" = old ] || /usr/bin/sleep 50'
    said = refused(host.push("put", target, "0640", "root:daemon", "--apply", apply, text=NEW))
    assert said == [f"{target}: apply: no end within 300 s", f"{target}: apply: the old file is back and active"]
    assert host.logged() == ["limit 300", "old", "limit 300", "limit 300"]


def test_where_systemctl_says_to_look_is_looked(host: PushHost, target: Path) -> None:
    """In its words of systemd 252 and 257."""
    well(put(host, target, OLD))
    (host.doubles / "journal").write_text("[ALERT] unable to load certificate\nexited\n")
    apply = """
    read -r line <"$1"
    [ "$line" = old ] || {
        echo 'Job for haproxy.service failed because the control process exited with error code.'
        echo 'See "systemctl status haproxy.service" and "journalctl -xeu haproxy.service" for details.'
        false
    }"""
    said = refused(host.push("put", target, "0640", "root:daemon", "--apply", apply, text=NEW))
    assert said == [
        f"{target}: apply: Job for haproxy.service failed because the control process exited with error code.",
        "  [ALERT] unable to load certificate",
        "  exited",
        f"{target}: apply: the old file is back and active",
    ]
    (asked,) = [call for call in host.asked() if call.startswith("journalctl")]
    assert re.fullmatch(JOURNAL.format("haproxy.service"), asked)


# --- the unit ---------------------------------------------------------------------------------------------------------


def test_put_waits_until_the_unit_is_steadily_active(host: PushHost, target: Path) -> None:
    states = ["activating 1", "active 1", "active 1", "failed 1", "activating 2", *["active 2"] * 5]
    (host.doubles / "unit-states").write_text("\n".join(["active 0", *states]) + "\n")
    well(put(host, target, NEW, "--unit", "app.service"))
    assert host.asked() == ["systemctl show -p ActiveState -p InvocationID -- app.service"] * (1 + len(states))


def test_put_waits_less_for_a_unit_that_has_run_since_before(host: PushHost, target: Path) -> None:
    """A reload: what a start has yet to show, it has shown."""
    for after, asked in (("active 1", 1 + 3), ("active 2", 1 + 5), ("reloading 1", 2 + 3)):
        (host.doubles / "unit-states").write_text(f"active 1\n{after}\n" + ("active 1\n" if "2" not in after else ""))
        well(put(host, target, f"{after}\n".encode(), "--unit", "app.service"))
        assert len(host.asked()) == asked, after


@pytest.mark.parametrize("states", [["failed 1"] * 5, [f"active {n}" for n in range(40)], ["activating 1"] * 40])
def test_a_unit_that_does_not_live_brings_the_old_file_back(host: PushHost, target: Path, states: list[str]) -> None:
    well(put(host, target, OLD))
    (host.doubles / "unit-states").write_text("\n".join(["active 0", *states]) + "\nactive 99\n")
    (host.doubles / "journal").write_text("exec: no such file\nexited\n")
    said = refused(put(host, target, NEW, "--unit", "app.service"))
    assert said == [
        f"{target}: unit app.service: did not stay active; now it is {states[-1].split()[0]}",
        "  exec: no such file",
        "  exited",
        f"{target}: unit app.service: the old file is back and active",
    ]
    asked = [call for call in host.asked() if call.startswith("journalctl")]
    assert all(re.fullmatch(JOURNAL.format("app.service"), call) for call in asked)
    assert asked
    assert facts(target)[0] == OLD
    assert host.logged() == ["old", "new", "old"]


# --- the text ---------------------------------------------------------------------------------------------------------


def test_a_cut_text_is_refused_wherever_it_was_cut(host: PushHost, target: Path) -> None:
    place(target, ORIGINAL)
    whole = b"a\n" + END
    for length in range(len(whole)):
        done = host.push("put", target, "0600", "root:root", "--apply", APPLY, stdin=whole[:length])
        assert "the connection was cut; nothing was changed" in refused(done)[0]
        assert facts(target) == (ORIGINAL, "0600 root:root")
    assert (host.logged(), host.tree("t")) == ([], ["etc", "etc/app", "etc/app/app.conf"])
    assert host.tree("varlib/fortress") == ["dirs", "files"]


@pytest.mark.parametrize("text", [b"no newline" + END, b"\0" + END, END[:-1], END + b"\n", END + b"more\n"])
def test_the_last_line_is_the_whole_last_line(host: PushHost, target: Path, text: bytes) -> None:
    refused(host.push("put", target, "0600", "root:root", stdin=text))
    assert host.tree("t") == []


@given(lines=st.lists(st.binary(max_size=40), max_size=6))
@example(lines=[])
@example(lines=[b"\0", b"", b"\xff\xfe"])
@example(lines=[END[:-1], b"after"])
@example(lines=[b"a script that ends in the same line", END[:-1]])
@example(lines=[b"%s $(id) `id` \\n '\"", b"-n"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_land_as_they_are(host: PushHost, target: Path, lines: list[bytes]) -> None:
    text = b"".join(line + b"\n" for line in lines)
    well(host.push("put", target, "0600", "root:root", text=text))
    assert target.read_bytes() == text


# --- arguments --------------------------------------------------------------------------------------------------------

GOOD = ("put", "/t/x", "0644", "root:root")


@pytest.mark.parametrize(
    "words",
    [
        *[("put", path, "0644", "root:root") for path in ("t/x", "", "/", "/t/", "//t", "/t/./x", "/t/../x", "/t/..")],
        *[("put", path, "0644", "root:root") for path in ("/t/a\nb", "/t/a\tb", "/t/a\x7fb", "/t/" + "x" * 240)],
        ("put", "/var/lib/fortress/files/x", "0644", "root:root"),
        *[("put", "/t/x", mode, "root:root") for mode in ("", "64", "00644", "0648", "u=rw", "-644")],
        *[("put", "/t/x", "0644", owner) for owner in ("", "root", "root:", ":root", "0:0", "root:0", "a:b:c", "-x:y")],
        *[("put", "/t/x", "0644", owner) for owner in ("root:-x", "ro ot:root", "root:root\n", "../x:root")],
        *[(*GOOD, "--unit", unit) for unit in ("-x", "a b", "a;b", "a/b")],
        *[(*GOOD, "--confirm", seconds) for seconds in ("0", "-1", "1.5", "030", "99999", "x")],
        *[(*GOOD, *more) for more in (("--check",), ("--sheck", "true"), ("more",), ("--machine",))],
        ("put",),
        ("put", "/t/x"),
        ("remove",),
        ("remove", "/t/x", "--check", "true"),
        ("remove", "/t/x", "/t/y"),
        ("confirm", "/t/x"),
        *[("confirm", "/t/x", sha) for sha in ("", "abc", "g" * 64, "a" * 65, "A" * 64)],
        ("files",),
        *[
            ("files", *more)
            for more in (("t/x",), ("/t/x", "0644"), ("/t/x", "--apply", "true"), ("/t/x", "--confirm", "9"))
        ],
        ("packages",),
        *[("packages", name) for name in ("", "Nginx", "-y", "nginx-", "ngi nx", "n*", "--reinstall", "a;b", "ngïnx")],
        ("uninstall", "now"),
        ("mine", "now"),
        ("records", "/t/x"),
        ("again", "/t/x"),
        ("revert", "/t/x"),
        ("reverts",),
        ("--halp",),
    ],
)
def test_misuse_is_refused_before_anything_else(host: PushHost, words: tuple[str, ...]) -> None:
    done = host.push(*words, text=NEW)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"fortress-push: [^\0]+ \(see fortress-push --help\)\n", done.stderr)
    assert host.tree("varlib") == []


def test_the_usage_names_each_verb(host: PushHost) -> None:
    shown, bare = host.push("--help"), host.push()
    assert (shown.returncode, bare.returncode, shown.stderr, bare.stderr) == (0, 2, "", "")
    assert shown.stdout == bare.stdout
    assert re.findall(r"fortress-push ([a-z]+)", shown.stdout) == [
        *("put", "files", "remove", "confirm", "packages", "mine", "tools", "uninstall", "records", "again")
    ]
    assert END.decode().strip() in shown.stdout


@pytest.mark.parametrize(("owner", "missing"), [("nobody-here:root", "user"), ("root:nobody-here", "group")])
def test_an_owner_must_exist(host: PushHost, target: Path, owner: str, missing: str) -> None:
    done = host.push("put", target, "0644", owner, "--apply", APPLY, text=NEW)
    assert refused(done) == [f"{target}: owner: chown: invalid {missing}: '{owner}'"]
    assert (host.tree("t"), host.logged()) == ([], [])


def test_a_target_that_is_no_file_is_refused(host: PushHost) -> None:
    folder, link, below = host.root / "t" / "folder", host.root / "t" / "link", host.root / "t" / "file" / "x"
    folder.mkdir()
    link.symlink_to("nowhere")
    below.parent.write_bytes(b"a file\n")
    assert "folder" in refused(put(host, folder, NEW))[0]
    assert "symbolic link" in refused(put(host, link, NEW))[0]
    assert "Not a directory" in refused(put(host, below, NEW))[0] or "File exists" in refused(put(host, below, NEW))[0]
    assert host.tree("t") == ["file", "folder", "link"]
    assert host.tree("varlib/fortress/files") == host.tree("varlib/fortress/dirs") == []


def test_odd_names_are_plain_names(host: PushHost) -> None:
    target = host.root / "t" / "a %2F b" / "$(touch x) 'y' \"z\" \\n*"
    well(put(host, target, NEW))
    assert host.tree("t") == ["a %2F b", "a %2F b/" + target.name]
    well(host.push("remove", target, "--apply", APPLY))
    assert host.tree("t") == []
    assert host.logged() == ["new", "none"]


def test_only_root_may(host: PushHost, target: Path) -> None:
    host.shim("id", "echo 1000\n")
    assert refused(put(host, target, NEW)) == [f"{target}: arguments: must be run as root (sudo)"]


# --- remove -----------------------------------------------------------------------------------------------------------


def test_remove_gives_back_what_stood_there_before_the_first_put(host: PushHost, target: Path) -> None:
    place(target, ORIGINAL)
    well(put(host, target, OLD))
    well(put(host, target, NEW))
    target.write_bytes(b"edited by hand\n")
    for _ in range(2):
        well(host.push("remove", target, "--machine", "i-1", "--apply", APPLY))
        assert facts(target) == (ORIGINAL, "0600 root:root")
    assert host.logged() == ["old", "new", "original"]
    assert host.tree("t") == ["etc", "etc/app", "etc/app/app.conf"]


def test_remove_takes_the_folders_that_put_made_and_no_others(host: PushHost, target: Path) -> None:
    theirs, ours = host.root / "t" / "theirs" / "x", target.with_name("another")
    theirs.parent.mkdir()
    for file in (target, ours, theirs):
        well(put(host, file, NEW))
    well(host.push("remove", target))
    assert host.tree("t") == ["etc", "etc/app", "etc/app/another", "theirs", "theirs/x"]
    well(host.push("remove", ours))
    well(host.push("remove", theirs))
    assert host.tree("t") == ["theirs"]
    assert host.tree("varlib/fortress/files") == host.tree("varlib/fortress/dirs") == []


def test_remove_of_what_was_never_put_does_nothing(host: PushHost, target: Path) -> None:
    well(host.push("remove", target, "--apply", APPLY))
    place(target, ORIGINAL)
    well(host.push("remove", target, "--apply", APPLY))
    assert (facts(target)[0], host.logged()) == (ORIGINAL, [])


def test_remove_of_a_file_that_is_gone_already(host: PushHost, target: Path) -> None:
    well(put(host, target, NEW))
    target.unlink()
    target.parent.rmdir()
    well(host.push("remove", target, "--apply", APPLY))
    assert host.tree("t") == []


def test_a_removal_whose_apply_fails_is_ended_by_a_repeat(host: PushHost, target: Path) -> None:
    well(put(host, target, NEW))
    said = refused(host.push("remove", target, "--apply", "echo busy; false"))
    assert said == [f"{target}: apply: busy", "  the file is removed; run this again to complete the removal"]
    assert not target.exists()
    well(host.push("remove", target, "--apply", APPLY))
    assert host.logged() == ["new", "none"]
    assert host.tree("t") == []


# --- confirm ----------------------------------------------------------------------------------------------------------


def test_what_comes_before_a_removal_finds_the_file_and_holds_it_where_it_fails(host: PushHost, target: Path) -> None:
    place(target, ORIGINAL)
    put(host, target, NEW)
    for _ in range(2):
        said = refused(host.push("remove", target, "--before", 'cat "$1"; false', "--apply", APPLY))
        assert said == [f"{target}: before: new", "  more", "  nothing was changed; run this again"], said
        assert target.read_bytes() == NEW
    host.logged()
    well(host.push("remove", target, "--before", 'cat "$1" >>"$LOG"', "--apply", APPLY))
    assert host.logged() == ["new", "more", "original"]
    well(host.push("remove", target, "--before", "false"))
    assert target.read_bytes() == ORIGINAL


# --- the host scripts that come with it ----------------------------------------------------------------------------


FIRST = {"ask": "#!/bin/sh\necho ask\n", "wait": "#!/bin/sh\n\n# with an empty line at its end\n\n"}
SECOND = {"ask": "#!/bin/sh\necho better\n", "look": "#!/bin/sh\n"}
COMES = shlex.split(push.Install(machine="a.1", stack="p/one").render())


def come_with(host: PushHost, tools: dict[str, str], *, cut_at: int = 0) -> CompletedProcess[str]:
    """What an `up` sends, by the command that it runs."""
    text = push.content(push.with_tools(SCRIPT.read_text(), tools))
    return host.run(*COMES, stdin=text.encode(), cut_at=cut_at)


def tools_of(host: PushHost) -> dict[str, str]:
    folder = host.root / "lib" / "fortress"
    return {file.name: file.read_text() for file in folder.iterdir()} if folder.exists() else {}


def test_host_scripts_come_with_it_and_go_with_it(host: PushHost) -> None:
    well(come_with(host, FIRST))
    assert tools_of(host) == FIRST
    assert {stat.S_IMODE(file.stat().st_mode) for file in (host.root / "lib" / "fortress").iterdir()} == {0o755}
    well(come_with(host, SECOND))
    assert tools_of(host) == {**FIRST, **SECOND}
    assert host.push("uninstall").returncode == 0
    assert set(tools_of(host)) == {"wait"}, "which the last version did not have"
    assert not (host.root / "sbin" / "fortress-push").exists()


def test_uninstall_takes_the_folder_of_host_scripts(host: PushHost) -> None:
    well(come_with(host, FIRST))
    well(host.push("uninstall"))
    assert host.tree("lib") == []


def test_a_host_script_that_was_put_by_itself_is_not_removed_by_that_any_more(host: PushHost) -> None:
    """An earlier version had a resource for each of them, which is removed once they come with push.sh."""
    path = Path("/usr/local/lib/fortress/ask")
    well(host.push("put", path, "0755", "root:root", "--resource", "a-ask", text=b"#!/bin/sh\n"))
    well(come_with(host, FIRST))
    well(host.push("remove", path, "--resource", "a-ask"))
    assert tools_of(host) == FIRST
    assert told(host) == {}


def test_a_host_script_that_is_no_shell_script_is_refused(host: PushHost) -> None:
    well(come_with(host, FIRST))
    installed = (host.root / "sbin" / "fortress-push").read_bytes()
    done = come_with(host, {"ask": "if\n"})
    assert (done.returncode, "check:" in done.stderr) == (1, True)
    assert (host.root / "sbin" / "fortress-push").read_bytes() == installed
    assert tools_of(host) == FIRST


def come_with_file(host: PushHost, target: Path, text: str, *, cut_at: int = 0) -> CompletedProcess[str]:
    """push.sh, and a file behind it, in one login, as the base firewall comes."""
    line = push.steps(
        push.Install(machine="a.1", stack="p/one"),
        push.Put(str(target), machine="a.1", resource="a-push", stack="p/one", check='! grep bad "$1"', apply=APPLY),
        undo=push.Uninstall(machine="a.1", stack="p/one"),
    ).render()
    sent = push.content(push.with_tools(SCRIPT.read_text(), FIRST)) + text
    return host.run(*shlex.split(line), stdin=sent.encode(), cut_at=cut_at)


def test_a_file_comes_behind_it_in_the_same_login(host: PushHost, target: Path) -> None:
    for text in (NEW, NEW):
        done = come_with_file(host, target, push.content(text.decode()))
        assert (done.returncode, RECEIPT.sub("", done.stdout), done.stderr) == (0, "", "")
    assert (target.read_bytes(), tools_of(host), host.logged()) == (NEW, FIRST, ["new"])


@pytest.mark.parametrize(
    ("text", "said"), [(push.content("bad\n"), "check: bad"), ("new\n", "the connection was cut"), ("", "cut")]
)
def test_what_comes_with_a_file_that_is_refused_goes_again_where_nothing_needs_it(
    host: PushHost, target: Path, text: str, said: str
) -> None:
    done = come_with_file(host, target, text)
    assert (done.returncode, said in done.stderr) == (1, True)
    assert (target.exists(), tools_of(host), (host.root / "sbin" / "fortress-push").exists()) == (False, {}, False)
    assert come_with_file(host, target, push.content("new\n")).returncode == 0
    assert come_with_file(host, target, text).returncode == 1
    assert (target.read_text(), tools_of(host)) == ("new\n", FIRST), "files that stand need it"


def test_cut_while_a_file_comes_with_it(host: PushHost, target: Path) -> None:
    assert come_with_file(host, target, push.content(OLD.decode())).returncode == 0
    for _ in cuts(host, lambda n: come_with_file(host, target, push.content(NEW.decode()), cut_at=n), first="chmod"):
        assert target.read_bytes() in (OLD, NEW)
        assert come_with_file(host, target, push.content(NEW.decode())).returncode == 0
        assert (target.read_bytes(), tools_of(host)) == (NEW, FIRST)
        clean(host, target, more=("by", "stack"))


def test_cut_while_host_scripts_come(host: PushHost) -> None:
    well(come_with(host, FIRST))
    for _ in cuts(host, lambda n: come_with(host, SECOND, cut_at=n), first="chmod"):
        found = {name: text for name, text in tools_of(host).items() if not name.startswith(".")}
        assert set(found) - {"look"} == set(FIRST)
        assert found["ask"] in (FIRST["ask"], SECOND["ask"])
        well(come_with(host, SECOND))
        assert tools_of(host) == {**FIRST, **SECOND}
        assert set(host.tree("sbin")) == {"fortress-push"}


def expire(host: PushHost, target: Path, *, boot: str = "") -> None:
    """Lets the time to confirm pass; with `boot`, by a boot."""
    marker = host.record(target) / "confirm"
    this_boot, end, timer = marker.read_text().split()
    marker.write_text(f"{boot or this_boot} {end if boot else 0} {timer}\n")


def long_ago(host: PushHost, target: Path) -> None:
    """Lets time pass after a file was taken back."""
    os.utime(host.record(target) / "unconfirmed", (0, 0))


def test_a_confirmed_file_stays(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    [timer] = [call for call in host.asked() if call.startswith("systemd-run")]
    assert timer.startswith("systemd-run --quiet --collect --unit=fortress-push-revert-")
    assert timer.endswith(" --on-active=30 --timer-property=AccuracySec=100ms /usr/local/sbin/fortress-push revert")
    for _ in range(2):
        well(host.push("confirm", target, sha256(NEW), "--machine", "i-1"))
    assert [call.split()[1] for call in host.asked()] == ["stop"]
    well(host.push("revert"))
    assert (facts(target)[0], host.logged()) == (NEW, ["old", "new"])
    assert sorted(p.name for p in host.record(target).iterdir()) == [
        "applied",
        "original.none",
        "path",
        "put",
    ]


def test_the_revert_is_armed_before_the_apply_and_bounds_it(host: PushHost, target: Path) -> None:
    host.shim("timeout", 'echo "limit $3" >>"$LOG"; exec /usr/bin/timeout "$@"\n')
    well(put(host, target, OLD))
    apply = 'cat "$PUSH_DOUBLES/calls" >>"$LOG"'
    well(host.push("put", target, "0640", "root:daemon", "--confirm", "30", "--apply", apply, text=NEW))
    assert [line.split(" --")[0] for line in host.logged()] == ["limit 300", "old", "limit 30", "systemd-run"]


def test_an_unconfirmed_file_is_taken_back_stands_again_and_is_confirmed(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    well(host.push("revert"))  # a timer that fires too early finds nothing to do
    assert facts(target)[0] == NEW
    expire(host, target)
    done = host.push("revert")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith(f"{target}: confirm: no new connection came in time: the old file is back and active\n")
    assert facts(target) == (OLD, "0640 root:daemon")
    assert host.logged() == ["old", "new", "old"]
    assert refused(host.push("confirm", target, sha256(NEW))) == [
        f"{target}: confirm: the new file was reverted after 30 s because no new connection came.",
        "  The old one is in place. Fix the setting; if the connection was at fault, run `pulumi up` again in 30 s",
    ]
    assert (facts(target)[0], host.logged()) == (OLD, [])
    long_ago(host, target)
    said = refused(host.push("confirm", target, sha256(NEW)))
    assert said == [
        f"{target}: confirm: the new file was reverted after 30 s because no new connection came.",
        "  It is in place again for 30 s: run `pulumi up` again to confirm it, or fix the setting",
    ]
    assert facts(target) == (NEW, "0640 root:daemon")
    well(host.push("confirm", target, sha256(NEW)))
    well(host.push("revert"))
    assert (facts(target)[0], host.logged()) == (NEW, ["new"])


def test_confirm_after_the_time_takes_back_first(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    expire(host, target)
    assert "no new connection came in time" in refused(host.push("confirm", target, sha256(NEW)))[0]
    assert host.logged() == ["old", "new", "old"]


def test_a_change_of_mode_alone_is_confirmed_too(host: PushHost, target: Path) -> None:
    well(put(host, target, NEW))
    well(host.push("put", target, "0600", "root:root", "--confirm", "30", "--apply", APPLY, text=NEW))
    expire(host, target)
    host.push("revert")
    long_ago(host, target)
    refused(host.push("confirm", target, sha256(NEW)))
    well(host.push("confirm", target, sha256(NEW)))
    assert facts(target) == (NEW, "0600 root:root")


def test_an_unconfirmed_file_is_taken_back_by_the_next_run_of_any_kind(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    expire(host, target, boot="another-boot")
    done = host.push("put", target.with_name("another"), "0600", "root:root", text=NEW)
    assert done.returncode == 0
    assert "the old file is back and active" in done.stderr
    assert facts(target)[0] == OLD


def test_a_boot_puts_the_old_file_back_and_leaves_running_to_the_services(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    unit = (host.root / "systemd" / "fortress-push-revert.service").read_text()
    link = host.root / "systemd" / "sysinit.target.wants" / "fortress-push-revert.service"
    assert str(link.readlink()) == "/etc/systemd/system/fortress-push-revert.service"
    [start] = re.findall(r"^ExecStart=(.+)$", unit, re.M)
    [condition] = re.findall(r"^ConditionPathExistsGlob=\|/var/lib/(.+)$", unit, re.M)
    assert list((host.root / "varlib").glob(condition))
    expire(host, target)
    well(host.run("dash", *start.split()))  # systemd may start it at any time of this boot: that is left to the timer
    assert facts(target)[0] == NEW
    expire(host, target, boot="another-boot")
    host.logged()
    well(host.run("dash", *start.split()))
    assert (facts(target)[0], host.logged()) == (OLD, [])
    assert not list((host.root / "varlib").glob(condition))
    well(put(host, target, OLD))
    assert host.logged() == ["old"]


def test_an_unconfirmed_put_is_not_unchanged(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    for _ in range(2):
        well(put(host, target, NEW, "--confirm", "30"))
    expire(host, target)
    host.push("revert")
    assert (facts(target)[0], host.logged()) == (OLD, ["old", "new", "new", "old"])


def test_a_put_without_confirm_ends_an_unconfirmed_one(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    well(put(host, target, NEW))
    assert not (host.record(target) / "confirm").exists()
    refused(put(host, target, BAD))
    assert facts(target)[0] == NEW


def test_a_first_file_nobody_confirms_goes_away(host: PushHost, target: Path) -> None:
    well(put(host, target, NEW, "--confirm", "30"))
    expire(host, target)
    host.push("revert")
    assert (target.exists(), host.logged()) == (False, ["new", "none"])
    long_ago(host, target)
    refused(host.push("confirm", target, sha256(NEW)))
    well(host.push("confirm", target, sha256(NEW)))
    well(host.push("remove", target))
    assert host.tree("t") == []


def test_confirm_refuses_another_file(host: PushHost, target: Path) -> None:
    assert "never put" in refused(host.push("confirm", target, sha256(NEW)))[0]
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    assert "not the one to confirm" in refused(host.push("confirm", target, sha256(OLD)))[0]
    assert facts(target)[0] == NEW


def test_a_renamed_resource_does_not_take_the_file_of_its_successor(host: PushHost, target: Path) -> None:
    well(put(host, target, NEW, "--resource", "before"))
    well(put(host, target, NEW, "--resource", "after"))
    well(host.push("remove", target, "--resource", "before", "--apply", APPLY))
    assert (facts(target)[0], host.logged()) == (NEW, ["new"])
    well(host.push("remove", target, "--resource", "after", "--apply", APPLY))
    assert not target.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"one\r\ntwo\r\n",
        b"no line feed at the end",
        b"\n\n",
        bytes(range(256)) * 40,
        b"x" + push.OPEN_END.encode(),
        push.END.encode().rstrip(),
    ],
)
def test_a_file_lands_byte_for_byte(host: PushHost, target: Path, data: bytes) -> None:
    sent = push.exact(data.decode(errors="surrogateescape")).encode()
    for expected in (["new"], []):  # put again, it is not applied again
        done = host.push("put", target, "0640", "root:daemon", "--apply", f"echo new >>{host.log}", stdin=sent)
        assert (done.returncode, done.stderr) == (0, "")
        assert target.read_bytes() == data
        assert host.logged() == expected
    for cut in range(1, 40):
        done = host.push("put", target, "0640", "root:daemon", stdin=sent[:-cut])
        assert done.returncode == 1
        assert target.read_bytes() == data


def test_what_is_no_base64_is_refused(host: PushHost, target: Path) -> None:
    said = refused(host.push("put", target, "0640", "root:daemon", stdin=b"*\n" + push.BASE64_END.encode()))
    assert said[-1] == f"{target}: receive: what was sent is no base64"
    assert not target.exists()


def test_the_file_of_another_stack_is_neither_put_nor_removed(host: PushHost, target: Path) -> None:
    first, second = ("--stack", "fortress/prod"), ("--stack", "fortress/staging")
    well(put(host, target, OLD, "--resource", "db-note", *first))
    for text in (NEW, OLD):
        said = refused(put(host, target, text, "--resource", "web-note", *second))
        assert said == [
            f"{target}: stack: {target} belongs to stack fortress/prod, which put it as db-note, and not to "
            "fortress/staging.",
            "  Nothing was changed. Use another host or, if that stack is to lose this one, set adopt: true for the "
            "host",
        ]
    well(host.push("remove", target, "--resource", "db-note", *second, "--apply", APPLY, "--machine", "db.1"))
    assert (facts(target)[0], host.logged()) == (OLD, ["old"])
    well(put(host, target, NEW, "--resource", "db-note", *first))


def test_a_host_is_its_stacks(host: PushHost) -> None:
    first, second = ("--stack", "fortress/prod"), ("--stack", "fortress/staging")
    record = host.state / "files/%2Fetc%2Fnftables.conf"
    well(host.push("mine", *second))
    record.mkdir(parents=True)
    for name, text in (("path", "/etc/nftables.conf"), ("by", "db-firewall"), ("stack", "fortress/prod")):
        (record / name).write_text(f"{text}\n")
    well(host.push("mine", *first))
    said = "mine: stack: /etc/nftables.conf belongs to stack fortress/prod, which put it as db-firewall, and not to "
    assert refused(host.push("mine", *second))[0] == f"{said}fortress/staging."
    well(host.push("mine", *second, "--adopt", "yes"))


def test_uninstall_leaves_the_script_to_another_stack(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD, "--resource", "db-note", "--stack", "fortress/prod"))
    well(host.push("uninstall", "--stack", "fortress/staging", "--machine", "db.1"))
    well(host.push("remove", target, "--resource", "db-note", "--stack", "fortress/prod"))
    assert not target.exists()
    well(host.push("uninstall", "--stack", "fortress/prod"))
    assert not (host.root / "sbin/fortress-push").exists()


def test_a_file_that_is_adopted_belongs_to_the_other_stack(host: PushHost, target: Path) -> None:
    first, second = ("--stack", "fortress/prod"), ("--stack", "fortress/staging")
    well(put(host, target, OLD, "--resource", "db-note", *first))
    well(put(host, target, OLD, "--resource", "db-note", *second, "--adopt", "yes"))
    well(put(host, target, NEW, "--resource", "db-note", *second))
    refused(put(host, target, OLD, "--resource", "db-note", *first))
    well(host.push("remove", target, "--resource", "db-note", *first))
    assert facts(target)[0] == NEW
    well(host.push("remove", target, "--resource", "db-note", *second))
    assert not target.exists()


def test_a_file_of_before_stacks_were_named_belongs_to_the_next_that_puts_it(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD, "--resource", "db-note"))
    well(put(host, target, OLD, "--resource", "db-note", "--stack", "fortress/prod"))
    refused(put(host, target, NEW, "--resource", "db-note", "--stack", "fortress/staging"))


def test_remove_ends_an_unconfirmed_put(host: PushHost, target: Path) -> None:
    place(target, ORIGINAL)
    well(put(host, target, NEW, "--confirm", "30"))
    well(host.push("remove", target, "--apply", APPLY))
    well(host.push("revert"))
    assert (facts(target)[0], host.logged()) == (ORIGINAL, ["new", "original"])
    assert host.tree("varlib/fortress/files") == []


LOCKS_OUT = 'read -r line <"$1"; echo "$line" >>"$LOG"; [ "$line" = old ] || exec /usr/bin/sleep 50'


@pytest.mark.parametrize("systemd", [True, False])
@pytest.mark.parametrize("apply", [APPLY, LOCKS_OUT])
def test_the_revert_comes_by_itself_after_the_death_of_the_connection(
    host: PushHost, target: Path, systemd: bool, apply: str
) -> None:
    well(put(host, target, OLD))
    (host.shims / "sleep").unlink()
    (host.doubles / "timers").unlink()
    if not systemd:
        host.shim("systemd-run", "echo Failed to connect to bus >&2; exit 1\n")
    lose = """
    exec 4<&0
    fortress-push put "$1" 0640 root:daemon --confirm 1 --apply "$2" <&4 &
    until [ "$(wc -l <"$LOG")" -ge 2 ]; do sleep 0.05; done
    kill -KILL $!
    until [ "$(wc -l <"$LOG")" -ge 3 ]; do sleep 0.05; done
    """
    host.run("dash", "-c", lose, "lose", target, apply, stdin=NEW + END)
    assert facts(target)[0] == OLD
    assert host.logged() == ["old", "new", "old"]


# --- one at a time ----------------------------------------------------------------------------------------------------


def test_one_run_at_a_time_with_a_limit(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    host.shim("flock", 'echo "$*" >>"$LOG"; shift 2; exec /usr/bin/flock -w 0.2 "$@"\n')
    host.logged()
    with (host.root / "run" / "fortress-push.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (["remove", target], ["confirm", target, sha256(OLD)], ["packages", "nginx"], ["revert"]):
            said = refused(host.push(*words))
            assert re.search(r"another fortress-push has locked this host for 300 s: process \d+, put /", said[0])
        refused(put(host, target, NEW))
    assert host.logged() == ["-w 300 9"] * 5
    assert facts(target)[0] == OLD
    assert host.tree("t") == ["etc", "etc/app", "etc/app/app.conf"]
    well(put(host, target, NEW))


def test_a_put_whose_text_does_not_come_keeps_nobody_waiting(host: PushHost, target: Path) -> None:
    host.shim("flock", 'shift 2; exec /usr/bin/flock -w 0.2 "$@"\n')
    stalled = '(/usr/bin/sleep 3 | fortress-push put "$1" 0600 root:root) & /usr/bin/sleep 0.3; '
    both = stalled + 'exec fortress-push put "$1" 0600 root:root'
    done = host.run("dash", "-c", both, "both", target, stdin=NEW + END)
    assert (done.returncode, RECEIPT.sub("", done.stdout), done.stderr) == (0, "", "")
    assert facts(target)[0] == NEW


# --- packages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def apt(host: PushHost) -> Path:
    """What the doubles of apt and dpkg read."""
    files = {
        "installed": "curl installed\nwget config-files\n",
        "known": "",
        "archive": "nginx\nwget\ng++\n",
        "locked": "0\n",
        "held": "",
    }
    for name, text in files.items():
        (host.doubles / name).write_text(text)
    return host.doubles


def apt_calls(host: PushHost) -> list[str]:
    return [
        re.sub(r"^apt-get -qq -o DPkg::Lock::Timeout=300 -o APT::Cmd::Pattern-Only=true ", "", c) for c in host.asked()
    ]


INSTALL = "install -y --no-install-recommends -o Dpkg::Options::=--force-confold"


def test_packages_that_are_installed_cost_nothing(host: PushHost, apt: Path) -> None:
    well(host.push("packages", "curl", "curl"))
    assert host.asked() == []
    assert (apt / "installed").read_text().startswith("curl")


@pytest.mark.usefixtures("apt")
def test_files_land_while_packages_are_installed(host: PushHost, target: Path) -> None:
    """The longest of a first `up`: MariaDB."""
    host.shim("apt-get", f"/usr/local/sbin/fortress-push put {target} 0644 root:root <$LOG.sent && exit 1\n")
    Path(f"{host.log}.sent").write_bytes(NEW + END)
    said = refused(host.push("packages", "curl", "wget"))
    assert said[0].startswith("packages: install: put "), "what a failed installation has said"
    assert target.read_bytes() == NEW


def test_packages_are_installed_from_lists_that_are_there(host: PushHost, apt: Path) -> None:
    (apt / "known").write_text("nginx\nwget\n")
    well(host.push("packages", "--machine", "i-1", "curl", "nginx", "wget"))
    assert apt_calls(host) == [f"{INSTALL} nginx wget"]


def test_lists_are_fetched_when_needed(host: PushHost, apt: Path) -> None:
    well(host.push("packages", "nginx", "g++"))
    dpkg = "dpkg --force-confold --configure -a"
    assert apt_calls(host) == [f"{INSTALL} nginx g++", dpkg, "update", f"{INSTALL} nginx g++"]
    assert "g++ installed" in (apt / "installed").read_text()


def test_a_package_that_cannot_be_had(host: PushHost, apt: Path) -> None:
    assert (apt / "archive").exists()
    said = refused(host.push("packages", "nginx", "no-such-thing"))
    assert said[0] == "packages: install: E: Unable to locate package nginx"
    assert said[-1] == "  E: Unable to locate package no-such-thing"


def test_packages_on_hold_are_named_with_the_cure(host: PushHost, apt: Path) -> None:
    (apt / "held").write_text("haproxy\nnginx\n")
    said = refused(host.push("packages", "nginx"))
    assert said[0].startswith("packages: install: E: Held packages were changed")
    assert said[-1] == "  on hold on this host: haproxy nginx. Release them: apt-mark unhold haproxy nginx"


def test_lists_that_another_apt_holds_are_waited_for(host: PushHost, apt: Path) -> None:
    (apt / "locked").write_text("3\n")
    well(host.push("packages", "nginx"))
    assert [call.split()[0] for call in apt_calls(host)] == [
        "install",
        "dpkg",
        "update",
        "update",
        "update",
        "update",
        "install",
    ]
    (apt / "known").write_text("")
    (apt / "locked").write_text("1000\n")
    said = refused(host.push("packages", "wget"))
    assert said[-1] == "  E: Unable to lock directory /var/lib/apt/lists/"
    assert 50 < len(apt_calls(host)) < 70


# --- uninstall --------------------------------------------------------------------------------------------------------


def test_a_record_without_an_original_is_none(host: PushHost, target: Path) -> None:
    """What a removal leaves that was cut while it deleted the record, its original first."""
    place(target, ORIGINAL)
    well(put(host, target, NEW))
    (host.record(target) / "original").unlink()
    well(host.push("remove", target, "--apply", APPLY))
    assert (facts(target)[0], host.logged(), host.tree("varlib/fortress/files")) == (NEW, ["new"], [])
    well(put(host, target, OLD))
    (host.record(target) / "original").unlink()
    well(put(host, target, OLD))
    assert host.logged() == ["old"]
    well(host.push("uninstall"))


def test_uninstall_names_what_still_stands_and_then_leaves_nothing(host: PushHost, target: Path) -> None:
    files = [target, target.with_name("another")]
    for file in files:
        well(put(host, file, NEW, "--confirm", "30"))
    said = refused(host.push("uninstall", "--machine", "i-1"))
    assert said[0] == "uninstall: uninstall: these files were put and not removed:"
    assert sorted(said[1:]) == sorted(f"  {file}" for file in files)
    for file in files:
        well(host.push("remove", file))
    well(host.push("uninstall"))
    assert host.tree("varlib") == host.tree("sbin") == host.tree("t") == []
    assert host.tree("systemd") == ["sysinit.target.wants"]
    assert not (host.root / "run" / "fortress-push.lock").exists()


# --- records, and what is to be applied again -------------------------------------------------------------------------

NAMES = ["plain", "with  spaces ", "%2F and %", "blåbærsyltetøy", "back\\slash", "next\u2028line"]


def told(host: PushHost) -> dict[str, Record]:
    done = host.push("records")
    assert (done.returncode, done.stderr) == (0, "")
    found = [records.parse(line) for line in done.stdout.removesuffix("\n").split("\n") if line]
    assert len({record.path for record in found}) == len(found)
    return {record.path: record for record in found}


def test_a_host_without_a_record_tells_none(host: PushHost) -> None:
    assert told(host) == {}
    assert host.tree("varlib") == host.tree("run") == [], "nothing is written"


@pytest.mark.parametrize("name", NAMES)
def test_records_tell_of_a_file_what_was_put(host: PushHost, target: Path, name: str) -> None:
    file, by = target.with_name(name), f"x-{name}\tand more"
    well(put(host, file, NEW, "--resource", by, "--unit", "app.service"))
    well(put(host, target, OLD))
    found = told(host)
    ended = (host.record(file) / "applied").stat().st_mtime
    applied = f"{sha256(NEW)},0640,root:daemon"
    assert found[str(file)] == Record(str(file), applied, frozenset(), "app.service", int(ended), by)
    assert (found[str(target)].unit, found[str(target)].by) == (None, None)
    assert not any(record.unfinished for record in found.values())


def test_records_tell_what_did_not_end(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD, "--confirm", "30"))
    found = told(host)[str(target)]
    assert (set(found.marks), found.unfinished) == ({"old.none", "confirm"}, True)
    well(host.push("confirm", target, sha256(OLD)))
    for at in cuts(host, lambda n: put(host, target, NEW, cut_at=n)):
        found = told(host)[str(target)]
        if target.read_bytes() == NEW:
            assert found.unfinished or found.applied == f"{sha256(NEW)},0640,root:daemon", at
        else:
            assert found.unfinished or found.applied == f"{sha256(OLD)},0640,root:daemon", at


def test_records_are_told_while_another_run_has_the_host(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    with (host.root / "run" / "fortress-push.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert set(told(host)) == {str(target)}


def test_records_take_nothing_back(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    expire(host, target)
    assert told(host)[str(target)].marks == {"old", "confirm"}
    assert facts(target)[0] == NEW


@pytest.mark.parametrize("name", NAMES)
def test_what_is_to_be_applied_again_is_by_its_next_put(host: PushHost, target: Path, name: str) -> None:
    file = target.with_name(name)
    for each in (file, target):
        well(put(host, each, NEW))
    host.logged()
    for _ in range(2):
        well(host.push("again", stdin=f"{file}\n{target.with_name('never put')}\n\n".encode()))
    assert {path for path, record in told(host).items() if "again" in record.marks} == {str(file)}
    assert not told(host)[str(file)].unfinished
    assert host.logged() == []
    for each in (file, target, file):
        well(put(host, each, NEW))
    assert host.logged() == ["new"]


def test_nothing_is_marked_while_another_run_has_the_host(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    host.shim("flock", 'shift 2; exec /usr/bin/flock -w 0.2 "$@"\n')
    with (host.root / "run" / "fortress-push.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = refused(host.push("again", stdin=f"{target}\n".encode()))
        assert "another fortress-push has locked this host" in said[0]
    assert told(host)[str(target)].marks == set()


def test_a_mark_that_cannot_be_written_is_told(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    host.shim("touch", "echo no room >&2; exit 1\n")
    assert refused(host.push("again", stdin=f"{target}\n".encode())) == ["again: again: no room"]


# --- a cut at every step ----------------------------------------------------------------------------------------------


# They change no file: a cut before one of them finds what a cut before the next command finds.
READS = {"id", "sed", "sha256sum", "stat", "sync", "tail"}


def cuts(host: PushHost, act: Callable[[int], object], *, first: str = "flock") -> Iterator[None]:
    """Lets `act` end, and then pulls the plug before each of its commands from `first` on; each time from one start.

    What comes before the lock is the same in all of them, so only one test asks for it.
    """
    host.snapshot("start")
    act(NEVER)
    calls = host.calls()
    yield
    for cut_at in range(calls.index(first) + 1, len(calls) + 1):
        if calls[cut_at - 1] not in READS:
            host.restore("start")
            with pytest.raises(Cut):
                act(cut_at)
            yield


def clean(host: PushHost, target: Path, *, more: tuple[str, ...] = ()) -> None:
    """Nothing is left over: not beside the target, and not in the state."""
    assert host.tree("t") == ["etc", "etc/app", "etc/app/app.conf"]
    names = {path.name for path in host.record(target).iterdir()}
    assert names - {"original", "original.none", *more} == {"applied", "path", "put"}
    assert {path.name for path in host.state.iterdir()} == {"dirs", "files", "output"}


def whole(target: Path, *texts: bytes | None) -> None:
    """The target is one of these, or absent where None is one of them; a candidate beside it is not for others."""
    assert (target.read_bytes() if target.exists() else None) in texts
    candidate = target.with_name(f".{target.name}.fortress-new")
    assert not candidate.exists() or stat.S_IMODE(candidate.stat().st_mode) in (0o600, 0o640)


def test_cut_in_a_first_put(host: PushHost, target: Path) -> None:
    for _ in cuts(host, lambda n: put(host, target, NEW, "--check", "true", cut_at=n), first="install"):
        whole(target, None, NEW)
        well(put(host, target, NEW))
        assert facts(target) == (NEW, "0640 root:daemon")
        assert host.logged()[-1] == "new"
        clean(host, target)


def test_cut_in_a_first_put_over_a_file(host: PushHost, target: Path) -> None:
    place(target, ORIGINAL)
    for _ in cuts(host, lambda n: put(host, target, NEW, cut_at=n)):
        whole(target, ORIGINAL, NEW)
        well(put(host, target, NEW))
        clean(host, target)
        well(host.push("remove", target))
        assert facts(target) == (ORIGINAL, "0600 root:root")


def test_cut_in_a_put_over_an_older_one(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    for _ in cuts(host, lambda n: put(host, target, NEW, cut_at=n)):
        whole(target, OLD, NEW)
        host.snapshot("cut")
        well(put(host, target, NEW))
        assert (facts(target)[0], host.logged()[-1]) == (NEW, "new")
        clean(host, target)
        host.restore("cut")
        well(put(host, target, OLD))  # the setting was taken back instead
        assert (facts(target)[0], host.logged()[-1]) == (OLD, "old")
        clean(host, target)


def test_cut_in_a_put_that_fails(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    for _ in cuts(host, lambda n: put(host, target, BAD, cut_at=n)):
        whole(target, OLD, BAD)
        refused(put(host, target, BAD))
        assert (facts(target)[0], host.logged()[-1]) == (OLD, "old")
        clean(host, target)


def test_cut_in_a_first_put_that_fails(host: PushHost, target: Path) -> None:
    for _ in cuts(host, lambda n: put(host, target, BAD, cut_at=n)):
        whole(target, None, BAD)
        refused(put(host, target, BAD))
        assert host.logged()[-1] == "none"
        assert host.tree("t") == host.tree("varlib/fortress/files") == []


def test_cut_in_a_remove(host: PushHost, target: Path) -> None:
    place(target, ORIGINAL)
    well(put(host, target, NEW))
    for _ in cuts(host, lambda n: host.push("remove", target, "--apply", APPLY, cut_at=n)):
        whole(target, NEW, ORIGINAL)
        well(host.push("remove", target, "--apply", APPLY))
        assert (facts(target), host.logged()[-1]) == ((ORIGINAL, "0600 root:root"), "original")
        assert host.tree("varlib/fortress/files") == []
        assert host.tree("t") == ["etc", "etc/app", "etc/app/app.conf"]


def test_cut_in_a_put_to_confirm(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    for _ in cuts(host, lambda n: put(host, target, NEW, "--confirm", "30", cut_at=n)):
        whole(target, OLD, NEW)
        host.snapshot("cut")
        well(put(host, target, NEW, "--confirm", "30"))
        well(host.push("confirm", target, sha256(NEW)))
        assert (facts(target)[0], host.logged()[-1]) == (NEW, "new")
        clean(host, target)
        host.restore("cut")
        if (host.record(target) / "confirm").exists():  # or else a boot finds the old file
            expire(host, target, boot="another-boot")
        well(host.push("revert", "--boot"))
        assert facts(target)[0] == OLD


def test_cut_in_a_revert(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    expire(host, target)
    for _ in cuts(host, lambda n: host.push("revert", cut_at=n)):
        whole(target, OLD, NEW)
        assert host.push("revert").returncode == 0
        assert (facts(target)[0], host.logged()[-1]) == (OLD, "old")
        well(put(host, target, OLD))
        assert host.logged() in ([], ["old"])
        clean(host, target, more=("unconfirmed",))


def test_cut_in_a_confirm(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    for _ in cuts(host, lambda n: host.push("confirm", target, sha256(NEW), cut_at=n)):
        confirmed = not (host.record(target) / "confirm").exists()
        host.snapshot("cut")
        refused(put(host, target, BAD))
        assert facts(target)[0] == NEW or not confirmed
        host.restore("cut")
        well(host.push("confirm", target, sha256(NEW)))
        clean(host, target)


def test_cut_in_a_confirm_that_puts_the_file_again(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    well(put(host, target, NEW, "--confirm", "30"))
    expire(host, target)
    assert host.push("revert").returncode == 0
    long_ago(host, target)
    for _ in cuts(host, lambda n: host.push("confirm", target, sha256(NEW), cut_at=n)):
        whole(target, OLD, NEW)
        host.push("confirm", target, sha256(NEW))
        well(host.push("confirm", target, sha256(NEW)))
        assert (facts(target)[0], host.logged()[-1]) == (NEW, "new")
        clean(host, target)


def test_a_connection_that_goes_at_any_step_changes_nothing_of_it(host: PushHost, target: Path) -> None:
    def lose(cut_at: int) -> CompletedProcess[str]:
        words = ("put", target, "0640", "root:daemon", "--check", "echo fine", "--apply", APPLY)
        return host.push(*words, text=NEW, cut_at=cut_at, cut_by="HUP", deaf=True)

    well(put(host, target, OLD))
    host.snapshot("start")
    assert lose(NEVER).returncode == 0
    for cut_at in range(1, len(host.calls()) + 1):
        host.restore("start")
        assert lose(cut_at).returncode == 0
        assert (facts(target)[0], host.logged()[-1]) == (NEW, "new")
        clean(host, target)


def test_a_failure_that_nobody_hears_ends_well_all_the_same(host: PushHost, target: Path) -> None:
    well(put(host, target, OLD))
    done = host.push("put", target, "0640", "root:daemon", "--apply", APPLY, text=BAD, deaf=True)
    assert done.returncode == 1
    assert (facts(target)[0], host.logged()) == (OLD, ["old", "bad", "old"])
    clean(host, target)
