"""fortress/push.sh with several files at once: all of them land, or none; and a cut at every step."""

import re
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fortress import push
from tests.unit.push_host import PushHost
from tests.unit.test_push import RECEIPT, cuts, facts, place, refused, well

# As in test_push.py, and what each of three files is put with: the first two share what they do, the third has a unit.
ALONE = 'read -r line <"$1" 2>/dev/null || line=none; echo "alone $line" >>"$LOG"; [ "$line" != bad ]'
OLD = {"a": "old a\n", "b": "old b\n", "c": "old c\n"}
NEW = {"a": "new a\n", "b": "new b\n", "c": "new c\n"}
SHARED = 'echo "shared" >>"$LOG"; ! grep -qx bad "${1%/*}"/[ab]'


@pytest.fixture
def host(tmp_path: Path) -> PushHost:
    return PushHost(tmp_path / "host")


@pytest.fixture
def folder(host: PushHost) -> Path:
    """A folder that is not there yet."""
    return host.root / "t" / "etc" / "app"


def files(
    host: PushHost,
    folder: Path,
    texts: Mapping[str, str],
    *,
    check: str | None = None,
    cut_at: int = 0,
    resource: str = "app-files",
    stack: str = "fortress/prod",
) -> CompletedProcess[str]:
    apply, mode = {"c": ALONE}, {"c": "0600"}
    puts = [
        push.Put(
            str(folder / name),
            machine="i-1",
            resource=resource,
            mode=mode.get(name, "0640"),
            owner="root:daemon",
            check=check,
            apply=apply.get(name, SHARED),
        )
        for name in texts
    ]
    sent = push.together((put, push.exact(text)) for put, text in zip(puts, texts.values(), strict=True))
    _, *words = push.Files(tuple(put.path for put in puts), machine="i-1", resource=resource, stack=stack).words()
    return host.push(*words, "--machine", "i-1", stdin=sent.encode(errors="surrogateescape"), cut_at=cut_at)


def standing(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(folder.iterdir()) if not file.name.startswith(".")}


def clean(host: PushHost, folder: Path, names: str) -> None:
    """Nothing is left over: not beside the files, and not in the state."""
    assert host.tree("t") == ["etc", "etc/app", *(f"etc/app/{name}" for name in names)]
    for name in names:
        found = {path.name for path in host.record(folder / name).iterdir()}
        assert found - {"original", "original.none"} == {"applied", "by", "path", "put", "stack"}
    assert {path.name for path in host.state.iterdir()} == {"dirs", "files", "output"}


def test_all_of_them_land_with_their_modes_and_what_they_share_is_done_once(host: PushHost, folder: Path) -> None:
    done = files(host, folder, OLD)
    well(done)
    assert RECEIPT.match(done.stdout)
    assert [facts(folder / name) for name in "abc"] == [
        (b"old a\n", "0640 root:daemon"),
        (b"old b\n", "0640 root:daemon"),
        (b"old c\n", "0600 root:daemon"),
    ]
    assert host.logged() == ["shared", "alone old c"]
    clean(host, folder, "abc")


def test_what_stands_is_left_alone_and_only_what_changes_is_applied(host: PushHost, folder: Path) -> None:
    well(files(host, folder, OLD))
    host.logged()
    inodes = {name: (folder / name).stat().st_ino for name in "abc"}
    well(files(host, folder, OLD, check="false"))
    assert host.logged() == []
    well(files(host, folder, {**OLD, "c": NEW["c"]}, check='echo "check $(cat "$1")" >>"$LOG"'))
    assert host.logged() == ["check new c", "alone new c"]
    assert {name: (folder / name).stat().st_ino == inode for name, inode in inodes.items()} == {
        **{"a": True, "b": True},
        "c": False,
    }


def test_a_check_that_fails_leaves_nothing_half_done(host: PushHost, folder: Path) -> None:
    check = '! grep -qx bad "$1" || { echo "$1 is bad"; false; }'
    said = refused(files(host, folder, {**OLD, "c": "bad\n"}, check=check))
    assert said == [f"{folder}/c: check: {folder}/c is bad", "  nothing was changed"]
    assert host.tree("t") == host.tree("varlib/fortress/files") == host.tree("varlib/fortress/dirs") == []
    well(files(host, folder, OLD))
    host.logged()
    refused(files(host, folder, {**NEW, "b": "bad\n"}, check=check))
    assert (standing(folder), host.logged()) == (OLD, [])
    clean(host, folder, "abc")


@pytest.mark.parametrize(("bad", "said"), [("b", ["shared", "shared", "alone old c"]), ("c", None)])
def test_a_failed_apply_puts_all_the_old_ones_back(
    host: PushHost, folder: Path, bad: str, said: list[str] | None
) -> None:
    well(files(host, folder, OLD))
    host.logged()
    lines = refused(files(host, folder, {**NEW, bad: "bad\n"}))
    culprit = "a" if bad == "b" else "c"  # of those that share what they do, the first is told
    assert lines == [
        f"{folder}/{culprit}: apply: exit status 1 with no output",
        f"{folder}/{culprit}: apply: the old files are back and active",
    ]
    assert standing(folder) == OLD
    assert host.logged() == (said or ["shared", "alone bad", "shared", "alone old c"])
    clean(host, folder, "abc")
    well(files(host, folder, OLD))
    assert host.logged() == []


def test_a_failed_first_apply_leaves_nothing(host: PushHost, folder: Path) -> None:
    place(folder / "a", b"original\n")
    lines = refused(files(host, folder, {**NEW, "c": "bad\n"}))
    assert lines[1] == f"{folder}/c: apply: the old files are back and active"
    assert facts(folder / "a") == (b"original\n", "0600 root:root")
    assert host.tree("t") == ["etc", "etc/app", "etc/app/a"]
    assert host.tree("varlib/fortress/files") == []
    (folder / "a").unlink()
    lines = refused(files(host, folder, {**NEW, "c": "bad\n"}))
    assert lines[1] == f"{folder}/c: apply: there were no files before; the new ones were removed"


def test_it_says_when_an_old_one_is_not_active_either(host: PushHost, folder: Path) -> None:
    well(files(host, folder, OLD))
    host.shim("timeout", "echo gone; exit 1\n")
    lines = refused(files(host, folder, NEW))
    assert lines == [
        f"{folder}/a: apply: gone",
        f"{folder}/a: apply: the old files are back, but apply failed then too: gone",
    ]
    assert standing(folder) == OLD
    (host.shims / "timeout").unlink()
    well(files(host, folder, OLD))
    assert host.logged()[-2:] == ["shared", "alone old c"]
    clean(host, folder, "abc")


def test_a_unit_that_does_not_live_brings_all_the_old_ones_back(host: PushHost, folder: Path) -> None:
    well(files(host, folder, OLD))
    host.logged()
    (host.doubles / "unit-states").write_text("active 0\n" + "failed 1\n" * 5 + "active 99\n")
    puts = [push.Put(str(folder / name), machine="", resource="x", mode="0640", owner="root:daemon") for name in "ab"]
    units = [puts[0], push.Put(puts[1].path, machine="", resource="x", apply=SHARED, unit="app.service")]
    sent = push.together(zip(units, ("new a\n" + push.END, "new b\n" + push.END), strict=True))
    lines = refused(host.push("files", *(put.path for put in puts), stdin=sent.encode()))
    assert lines[0] == f"{folder}/b: unit app.service: did not stay active; now it is failed"
    assert lines[-1] == f"{folder}/b: unit app.service: the old files are back and active"
    assert standing(folder) == OLD


def test_what_is_not_sent_any_more_is_removed(host: PushHost, folder: Path) -> None:
    place(folder / "b", b"original\n")
    well(files(host, folder, OLD))
    well(files(host, folder, {"other": "x\n"}, resource="another"))
    host.logged()
    well(files(host, folder, {"a": OLD["a"]}))
    assert standing(folder) == {"a": "old a\n", "b": "original\n", "other": "x\n"}
    assert sorted(host.logged()) == ["alone none", "shared"]
    well(files(host, folder, {"a": OLD["a"]}))
    assert host.logged() == []


def test_files_of_other_resources_are_taken_over_and_not_removed_by_them(host: PushHost, folder: Path) -> None:
    """As when what was one resource a file becomes one of several."""
    for name, text in OLD.items():
        words = ("put", folder / name, "0600" if name == "c" else "0640", "root:daemon", "--resource", f"app-{name}")
        well(host.push(*words, "--stack", "fortress/prod", "--apply", SHARED, text=text.encode()))
    host.logged()
    well(files(host, folder, OLD))
    for name in OLD:
        well(host.push("remove", folder / name, "--resource", f"app-{name}", "--stack", "fortress/prod"))
    assert (standing(folder), host.logged()) == (OLD, [])


def test_one_file_of_another_stack_refuses_all(host: PushHost, folder: Path) -> None:
    well(files(host, folder, {"b": OLD["b"]}, stack="fortress/staging"))
    host.logged()
    said = refused(files(host, folder, NEW))
    assert said[0].startswith(f"{folder}/b: stack: {folder}/b belongs to stack fortress/staging")
    assert (standing(folder), host.logged()) == ({"b": OLD["b"]}, [])


def test_a_target_that_is_no_file_refuses_all(host: PushHost, folder: Path) -> None:
    (folder / "b").mkdir(parents=True)
    assert refused(files(host, folder, NEW)) == [
        f"{folder}/b: target: is a folder or something else that is not a file"
    ]
    assert host.tree("t") == ["etc", "etc/app", "etc/app/b"]


def test_a_cut_text_is_refused_wherever_it_was_cut(host: PushHost, folder: Path) -> None:
    put = push.Put(str(folder / "a"), machine="", resource="x")
    sent = push.together([(put, push.content("a")), (push.Put(str(folder / "b"), machine="", resource="x"), push.END)])
    for length in range(0, len(sent), 7):
        done = host.push("files", folder / "a", folder / "b", stdin=sent[:length].encode())
        assert "the connection was cut; nothing was changed" in refused(done)[0]
    assert host.tree("t") == []


def test_what_is_sent_must_be_what_is_named(host: PushHost, folder: Path) -> None:
    put = push.Put(str(folder / "a"), machine="", resource="x")
    sent = push.together([(put, push.content("a"))]).encode()
    for named in ([folder / "b"], [folder / "a", folder / "b"], [folder / "b", folder / "a"]):
        done = host.push("files", *named, stdin=sent)
        assert (done.returncode, "not those that were named" in done.stderr) == (2, True)
    bad = push.together([(push.Put("/t/../x", machine="", resource="x"), push.END)]).encode()
    assert host.push("files", "/t/../x", stdin=bad).returncode == 2
    assert host.tree("t") == []


@given(data=st.lists(st.binary(max_size=60), min_size=1, max_size=3))
@example(data=[b"", b"no line feed", b"\0\xff\n\n"])
@example(data=[push.END.encode(), push.FILES_END.encode() + b"x", b"# fortress-push: = a\n# fortress-push: file b"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_land_as_they_are(host: PushHost, folder: Path, data: list[bytes]) -> None:
    texts = {f"f {number}": each.decode(errors="surrogateescape") for number, each in enumerate(data)}
    well(files(host, folder, texts, resource=""))
    assert [(folder / name).read_bytes() for name in texts] == data


OLD_TWO, NEW_TWO = ({name: texts[name] for name in "ac"} for texts in (OLD, NEW))
"""Two suffice where there is a cut at every step."""


def test_a_cut_leaves_all_old_or_all_new_after_the_next_run(host: PushHost, folder: Path) -> None:
    well(files(host, folder, OLD_TWO))
    unit = (host.root / "systemd" / "fortress-push-revert.service").read_text()
    [start] = re.findall(r"^ExecStart=(.+)$", unit, re.M)
    [condition] = re.findall(r"^ConditionPathExists=\|/var/lib/(.+)$", unit, re.M)
    mixed = 0
    for _ in cuts(host, lambda n: files(host, folder, NEW_TWO, cut_at=n)):
        found, half_done = standing(folder), (host.root / "varlib" / condition).exists()
        assert found in (OLD_TWO, NEW_TWO) or half_done
        mixed += found not in (OLD_TWO, NEW_TWO)
        host.snapshot("cut")
        well_or_told(files(host, folder, NEW_TWO))
        assert standing(folder) == NEW_TWO
        clean(host, folder, "ac")
        if not half_done:
            continue
        host.restore("cut")
        host.logged()
        well(host.run("dash", *start.split()))  # at boot, where services read them as they start
        assert (standing(folder), host.logged()) == (OLD_TWO, [])
        host.restore("cut")
        host.logged()
        well_or_told(host.push("mine"))
        assert standing(folder) == OLD_TWO
        assert host.logged() == ["shared", "alone old c"]
        well(files(host, folder, OLD_TWO))
        assert host.logged() == []
        clean(host, folder, "ac")
    assert mixed


def well_or_told(done: CompletedProcess[str]) -> None:
    """It went well, and told at most that it took back what a cut had left."""
    assert done.returncode == 0
    assert re.fullmatch(r"(fortress-push: .*: an earlier push of several files was cut: .*\n)?", done.stderr)


def test_a_cut_in_a_first_push_that_removes_another_leaves_all_or_none(host: PushHost, folder: Path) -> None:
    place(folder / "a", b"original\n")
    well(files(host, folder, {"b": OLD["b"]}))
    for _ in cuts(host, lambda n: files(host, folder, NEW_TWO, cut_at=n)):
        well_or_told(host.push("mine"))
        assert standing(folder) in ({"a": "original\n", "b": OLD["b"]}, {**NEW_TWO, "b": OLD["b"]}, NEW_TWO)
        well(files(host, folder, NEW_TWO))
        assert standing(folder) == NEW_TWO
        clean(host, folder, "ac")


def test_a_cut_in_a_push_that_fails_leaves_the_old_ones(host: PushHost, folder: Path) -> None:
    well(files(host, folder, OLD_TWO))
    bad = {**NEW_TWO, "c": "bad\n"}
    for _ in cuts(host, lambda n: files(host, folder, bad, cut_at=n)):
        well_or_told(files(host, folder, OLD_TWO))
        assert standing(folder) == OLD_TWO
        clean(host, folder, "ac")


def test_a_file_that_is_applied_again_takes_no_other_with_it(host: PushHost, folder: Path) -> None:
    well(files(host, folder, OLD))
    host.logged()
    well(host.push("again", stdin=f"{folder}/c\n".encode()))
    well(files(host, folder, OLD))
    assert host.logged() == ["alone old c"]
