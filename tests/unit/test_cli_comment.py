"""The comment of a preview: what is first, what is masked, how long it gets, and that no forge interprets it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fortress import push
from fortress.cli import main
from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.markdown import code
from fortress.cli.base.result import Result
from fortress.cli.base.verb import save
from fortress.cli.engine import run as engine
from fortress.cli.preview import comment
from fortress.cli.preview import run as preview
from fortress.cli.preview.comment import render
from fortress.cli.preview.forge import LIMITS, Forge
from fortress.cli.preview.plan import Change, Plan
from tests.unit.plans import HOST, RETAINED, UNKNOWN, file, plan, pushed, step, urn

NASTY = "@everyone #1 !2 <script>alert(1)</script> </details> https://evil.example GH-1 ``` \u202e\x1b[31m\r"


def outside_code(text: str) -> str:
    """The comment without its blocks and spans of code: what a forge interprets."""
    text = re.sub(r"^(`{3,})[a-z]*\n.*?^\1$", "", text, flags=re.M | re.S)
    text = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    return re.sub(r"<code>[^<]*</code>", "", text)


# --- what it says -----------------------------------------------------------------------------------------------------


def test_a_changed_file_shows_its_lines_and_what_becomes_of_its_service() -> None:
    found = plan(pushed("update", file("a = 1\nb = 2\n"), file("a = 1\nb = 3\n"), diffReasons=["stdin"]))
    text = render("lab", found)
    assert text.startswith("<!-- fortress preview: lab -->\n")
    assert "#### `a`\n\n`app` **restarts**.\n" in text
    assert "`/etc/x` changes: `app` **restarts**\n\n```diff\n a = 1\n-b = 2\n+b = 3\n```\n" in text
    assert push.END.strip() not in text


def test_the_same_file_over_another_connection_touches_no_service() -> None:
    old, new = file("a\n"), file("a\n")
    text = render("lab", plan(pushed("update", old, new, diffReasons=["connection"])))
    assert "- The connection to `a` changes; 1 file is put again, which touches no service.\n" in text
    assert "#### `a`\n\nNo service is touched.\n" in text
    assert "<summary>1 file put again as before</summary>\n\n- `/etc/x`\n" in text


def test_the_same_file_for_another_machine_is_a_restart_there() -> None:
    old, new = file("a\n"), file("a\n")
    new["create"] = new["create"].replace("a.1", "a.2")
    text = render("lab", plan(pushed("update", old, new, diffReasons=["create"])))
    assert "- `a` **is another machine**, which gets everything again.\n- `app` **restarts** on `a`.\n" in text
    assert "#### `a`\n\n`app` **restarts**.\n" in text
    assert "<summary>1 file put again as before</summary>\n\n- `/etc/x`\n" in text


def test_what_drift_noted_is_put_right_by_a_restart() -> None:
    old = file("a\n")
    old["create"] = push.with_note(old["create"], "unit app: inactive")
    text = render("lab", plan(pushed("update", old, file("a\n"), diffReasons=["create"])))
    assert "`/etc/x` is pushed again unchanged: `app` **restarts**" in text


def test_a_secret_text_is_said_to_change_and_not_shown() -> None:
    old, new = {**file("x"), "stdin": "[secret]"}, {**file("x"), "stdin": "[secret]"}
    text = render("lab", plan(pushed("update", old, new, diffReasons=["stdin"])))
    assert "`/etc/x` changes: `app` **restarts**\n\nIts text is secret and not shown.\n" in text


def test_a_private_key_is_masked_wherever_it_stands() -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nHUSH\n-----END OPENSSH PRIVATE KEY-----\n"
    said = [{"severity": "error", "message": f"error: it failed: {key}"}]
    text = render("lab", plan(pushed("create", None, file(f"a\n{key}b\n")), status=1, diagnostics=said))
    assert "HUSH" not in text
    assert "+[secret]\n+b\n" in text


def test_a_key_of_wireguard_is_masked_too_and_its_change_is_told() -> None:
    old, new = file("[Interface]\nPrivateKey = HUSH=\n"), file("[Interface]\nPrivateKey = HUSHHUSH=\n")
    made = render("lab", plan(pushed("create", None, new)))
    assert "+[Interface]\n+PrivateKey = [secret]\n" in made
    changed = render("lab", plan(pushed("update", old, new, diffReasons=["stdin"])))
    assert "`/etc/x` changes: `app` **restarts**\n\nIts text is secret and not shown.\n" in changed
    assert "HUSH" not in made + changed


def test_what_is_not_known_yet_is_unknown() -> None:
    new = {"create": UNKNOWN, "stdin": UNKNOWN}
    text = render("lab", plan(pushed("create", None, new, name="wg-peer")))
    assert UNKNOWN not in text
    assert "`wg-peer` (path unknown) is new: service unknown\n\n```diff\n+[unknown]\n```" in text


def test_a_removed_file_says_what_its_removal_does() -> None:
    old = {
        **file("a\n"),
        "delete": push.Remove("/etc/x", machine="a.1", resource="x", apply="systemctl stop app").render(),
    }
    text = render("lab", plan(pushed("delete", old)))
    assert "`/etc/x` is removed: `app` **stops**\n\n```diff\n-a\n```" in text


VOLUME = "openstack:blockstorage/volume:Volume"
WIPE = push.for_machine("a.1", *push.WIPE_DATABASE)


def test_what_holds_data_comes_before_all_else() -> None:
    volume = step("replace", VOLUME, "db-data", {"type": "nvme"}, {"type": "hdd"}, replaceReasons=["volumeType"])
    text = render("oslo", plan(pushed("update", file("a"), file("b"), diffReasons=["stdin"]), volume))
    assert text.splitlines()[1] == "## Preview of `oslo`: data is at risk in 1 place"
    loud = "- **REPLACED** `db-data` (`openstack:blockstorage/volume:Volume`), because of `volumeType`: holds data"
    assert text.index(loud) < text.index("### Hosts") < text.index("### Cloud resources")


@pytest.mark.parametrize(
    ("found", "risk"),
    [
        (step("delete", "openstack:objectstorage/container:Container", "c", {}), "holds data"),
        (step("delete", "aws:s3/bucketV2:BucketV2", "c", {}), "holds data"),
        (step("delete", "random:index:Thing", "c", {}, old_more={"protect": True}), "protected"),
        (
            step("same", VOLUME, "c", {}, {}, old_more={"protect": True}),
            "loses its protection: nothing stops a later `up` or `destroy` from deleting it",
        ),
        (
            step("delete", "command:remote:Command", "c", {"delete": f"sudo {WIPE}"}),
            "its removal deletes the database's files",
        ),
        (
            step("update", "openstack:compute/instance:Instance", "c", {}, {}, diffReasons=["imageId"]),
            "rebuilt in place: the disk of the machine is lost",
        ),
    ],
)
def test_each_way_to_lose_data_is_said(found: dict[str, Any], risk: str) -> None:
    assert [change.risk() for change in plan(found).risks] == [risk]
    assert f": {risk}\n" in render("lab", plan(found))


def test_the_databases_machine_holds_data_and_another_does_not() -> None:
    instance = "openstack:compute/instance:Instance"
    db = urn("fortress:index:DataFortress", "db")
    command = step("same", "command:remote:Command", "db-x", file("a"), file("a"), parent=db)
    for state in ("oldState", "newState"):
        command[state]["propertyDependencies"] = {"connection": [urn("command:local:Command", "a-host-key")]}
    key = step("same", "command:local:Command", "a-host-key", {}, {}, parent=HOST)
    component = {"op": "same", "urn": db, "newState": {"urn": db, "custom": False}}
    mine = step("replace", instance, "a-machine", {}, {}, parent=HOST)
    other = step("replace", instance, "b-machine", {}, {})
    found = plan(component, key, command, mine, other)
    assert [(change.name, change.risk()) for change in found.risks] == [("a-machine", "the database's machine")]


@pytest.mark.parametrize("text", [push.for_machine("a.2", "true"), push.Packages(machine="a.2", names=("x",)).render()])
def test_a_command_of_a_host_that_is_gone_says_which_and_when_it_moves(text: str) -> None:
    before = text.replace("a.2", "a.1")
    moves = step("update", "command:remote:Command", "x", {"create": before}, {"create": text})
    stays = step("update", "command:remote:Command", "y", {"create": text}, {"create": text})
    changes = {change.name: (change.host, change.moves) for change in plan(moves, stays).changes if change.is_command}
    assert changes == {"x": ("a", True), "y": ("a", False)}


def test_another_machine_for_the_database_is_said_first_and_once() -> None:
    db = urn("fortress:index:DataFortress", "db")
    component = {"op": "same", "urn": db, "newState": {"urn": db, "custom": False}}
    old, new = file("a"), file("a")
    new["create"] = new["create"].replace("a.1", "a.2")
    key = step("same", "command:local:Command", "a-host-key", {}, {}, parent=HOST)
    steps = [
        step("update", "command:remote:Command", name, old, new, parent=parent, diffReasons=["create"])
        for name, parent in (("db-x", db), ("db-y", db), ("other", ""))
    ]
    for each in steps[:2]:
        for state in ("oldState", "newState"):
            each[state]["propertyDependencies"] = {"connection": [urn("command:local:Command", "a-host-key")]}
    found = plan(component, key, *steps)
    text = render("lab", found)
    assert text.splitlines()[1] == "## Preview of `lab`: data is at risk in 1 place"
    assert text.count("- **ANOTHER MACHINE** for `a`: its `incarnation` changes; if this is another machine, ") == 1
    assert [change.host for change in found.risks] == ["a"]
    # A worker's is no loss.
    assert plan(key, pushed("update", old, new, diffReasons=["create"])).risks == ()


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("aws:s3/bucketPolicy:BucketPolicy", False),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", False),
        ("openstack:blockstorage/volumeAttach:VolumeAttach", False),
        ("aws:rds/subnetGroup:SubnetGroup", False),
        ("docker:index/container:Container", False),
        ("aws:s3/bucketObjectv2:BucketObjectv2", True),
        ("aws:ebs/snapshot:Snapshot", True),
        ("aws:ebs/snapshotCopy:SnapshotCopy", True),
        ("aws:rds/cluster:Cluster", True),
        ("aws:rds/clusterSnapshotCopy:ClusterSnapshotCopy", True),
        ("aws:dynamodb/tableItem:TableItem", True),
        ("aws:efs/fileSystem:FileSystem", True),
        ("aws:dynamodb/table:Table", True),
        ("openstack:sharedfilesystem/share:Share", True),
        ("openstack:database/instance:Instance", True),
    ],
)
def test_what_only_belongs_to_data_holds_none(kind: str, holds: bool) -> None:
    assert [change.risk() for change in plan(step("delete", kind, "x", {})).risks] == ["holds data"] * holds


def test_a_machine_that_is_rebuilt_is_in_the_headline() -> None:
    machine = step("update", "openstack:compute/instance:Instance", "c", {}, {}, diffReasons=["imageId"])
    assert render("lab", plan(machine)).splitlines()[1] == "## Preview of `lab`: data is at risk in 1 place"


def test_no_service_is_touched_is_only_said_where_nothing_else_runs() -> None:
    commands = "fortress:index:Host$command:remote:Command"
    mount = step("update", commands, "mount", {"create": "mount a"}, {"create": "mount b"}, parent=HOST)
    script = "sudo " + push.for_machine("a.1", *push.script("wait-healthy", "http://10.100.0.2:80/health", "60", "app"))
    waits = step("update", commands, "healthy", {"create": script}, {"create": script}, parent=HOST)
    left = step("delete", commands, "mount", {"create": "x", "delete": "y"}, parent=HOST, old_more=RETAINED)
    removal = push.Remove("/etc/x", machine="a.1", resource="x", apply="systemctl stop app").render()
    file_left = pushed("delete", {**file("a"), "delete": removal}, old_more=RETAINED)
    forgotten = step("delete", commands, "healthy", {"create": script}, parent=HOST)
    untouched = pushed("update", file("a"), file("a"), diffReasons=["triggers"])
    restarts = pushed("update", file("a"), file("b"), diffReasons=["stdin"])
    for steps, said in (
        ([untouched], "No service is touched."),
        ([mount], "No file touches a service; commands below may."),
        ([untouched, mount], "No file touches a service; commands below may."),
        ([waits], "No service is touched."),
        ([forgotten], "No service is touched."),
        ([left], "No service is touched."),
        ([file_left], "No service is touched."),
        ([restarts], "`app` **restarts**."),
        ([restarts, mount], "`app` **restarts**. Commands below may touch others."),
    ):
        assert f"#### `a`\n\n{said}\n" in render("lab", plan(*steps))


def test_what_leaves_the_state_alone_is_no_loss() -> None:
    found = plan(step("delete", VOLUME, "v", {}, old_more={"retainOnDelete": True}))
    assert found.risks == ()
    assert "1 left in place and forgotten" in render("lab", found)


def test_steps_of_a_replacement_are_one_change() -> None:
    ops = ("create-replacement", "replace", "delete-replaced")
    found = plan(*(step(op, VOLUME, "v", {"a": 1}, {"a": 2}) for op in ops))
    assert [(change.op, change.differing) for change in found.changing] == [("replace", ("a",))]


def test_an_update_in_a_cloud_shows_the_properties() -> None:
    flavor = step("update", "openstack:compute/instance:Instance", "m", {"f": "a", "g": 1}, {"f": "b", "g": 1})
    text = render("lab", plan(flavor))
    assert "- updated: `m` (`openstack:compute/instance:Instance`)\n  - `f`: `a` → `b`\n" in text


def test_an_error_is_said_without_what_the_engine_adds() -> None:
    said = [
        {"severity": "error", "message": "error: invalid settings:\n  mesh.mtu: no\n"},
        {
            "severity": "error",
            "message": "error: an unhandled error occurred: program exited with non-zero exit code: 1",
        },
    ]
    text = render("lab", plan(status=255, diagnostics=said))
    assert "exit status 255; nothing was changed" in text
    assert "```\ninvalid settings:\n  mesh.mtu: no\n```" in text
    assert "unhandled" not in text


def test_a_program_that_cannot_start_says_why_first() -> None:
    said = [{"severity": "info", "message": "ModuleNotFoundError: No module named 'pulumi'"}]
    found = plan(status=1, diagnostics=said)
    assert found.errors == ("ModuleNotFoundError: No module named 'pulumi'",)


# --- what no forge interprets -----------------------------------------------------------------------------------------


def test_nothing_from_elsewhere_is_interpreted() -> None:
    steps = [
        pushed(
            "update", file("a", NASTY), file(f"{NASTY}\n````\n~~~\n", NASTY), name=NASTY, diffReasons=["stdin", NASTY]
        ),
        pushed("create", None, file("\n".join([NASTY] * 30), NASTY), name=f"n{NASTY}"),
        pushed("update", {"create": f"run {NASTY}"}, {"create": NASTY}, name=f"c{NASTY}", diffReasons=[NASTY]),
        step("replace", VOLUME, NASTY, {"a": NASTY}, {"a": f"b{NASTY}"}, replaceReasons=[NASTY], diffReasons=["a"]),
        step("create", f"t:{NASTY}", NASTY, None, {"a": NASTY}),
    ]
    said = [{"severity": kind, "message": f"{NASTY} {kind}"} for kind in ("error", "warning", "info")]
    text = render(NASTY, plan(*steps, status=255, diagnostics=said))
    bare = outside_code(text.split("\n", 1)[1])  # the marker has a test of its own
    assert "everyone" in text
    for bad in ("@", "everyone", "script", "evil", "GH-1", "\u202e", "\x1b", "\r"):
        assert bad not in bare, bad if bad.isprintable() else repr(bad)
    assert bare.count("<details>") == bare.count("</details>")
    for hidden in ("\u202e", "\x1b", "\r"):
        assert hidden not in text


def test_a_marker_stays_one_comment() -> None:
    assert comment.marker("a-->b\n<x>") == "<!-- fortress preview: a--?b??x? -->"


@pytest.mark.parametrize("text", ["`", "``a", "a```b", " a ", "", "\n", "a|b\tc"])
def test_a_span_of_code_holds_any_text(text: str) -> None:
    shown = code(text)
    fence = re.match("`+", shown)
    assert fence is not None
    inner = shown[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in inner
    assert shown.endswith(fence[0])


def test_only_a_line_feed_ends_a_line() -> None:
    text = render("lab", plan(pushed("update", file("a\r\x0cb\n"), file("c\u2028d\n"), diffReasons=["stdin"])))
    assert "-a\\r\\u{c}b\n+c\\u{2028}d\n```" in text


# --- how long it gets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forge", Forge)
@pytest.mark.parametrize(("files", "lines"), [(1, 400_000), (3000, 30), (200, 2000)])
def test_it_is_never_longer_than_the_forge_takes(forge: Forge, files: int, lines: int) -> None:
    text = "\n".join(f"line {number} \u202e é" for number in range(lines))
    steps = [pushed("create", None, file(text, f"/etc/{number}"), name=f"f{number}") for number in range(files)]
    steps += [step("delete", VOLUME, f"v{number}", {}) for number in range(files)]
    said = render("lab", plan(*steps), forge)
    assert len(said.encode()) <= LIMITS[forge]
    assert "## Preview of `lab`: data is at risk" in said
    assert "more lines" in said or f"Cut to the {LIMITS[forge]} bytes" in said
    assert said.count("<details>") == said.count("</details>")
    assert outside_code(said).count("```") == 0


def test_a_long_error_leaves_room() -> None:
    said = [{"severity": "error", "message": "x" * 10**6 + "\n" + "\u202e\n" * 10**5}]
    text = render("lab", plan(status=1, diagnostics=said))
    assert len(text.encode()) <= 65_536


HARD_LETTERS = st.text(st.sampled_from("a`語\U0001f512\u202e\0\n<@"), min_size=1, max_size=4)
LONG = st.builds(lambda letters, times: letters * times, HARD_LETTERS, st.sampled_from([1, 30, 400, 2000]))


@settings(max_examples=25, deadline=None)
@given(
    errors=st.lists(LONG, max_size=3),
    names=st.lists(LONG, max_size=4),
    at_risk=st.sampled_from([1, 20]),
    stack=LONG,
    forge=st.sampled_from(Forge),
)
@example(["\n".join(["語" * 400] * 40)], ["語" * 400], 50, "lab", Forge.GITHUB)
@example(["`" * 5000] * 3, ["`" * 5000], 50, "`" * 400, Forge.GITHUB)
@example([], ["\0" * 80 + str(number) for number in range(500)], 1, "lab", Forge.GITHUB)
def test_marker_and_risks_are_there_whatever_else_is_said(
    errors: list[str], names: list[str], at_risk: int, stack: str, forge: Forge
) -> None:
    changes = [
        Change(f"{number}", VOLUME, name, "delete", {"inputs": {name: name}}, {}, reasons=(name,) * 30)
        for number, name in enumerate(names * at_risk)
    ]
    kept = [Change(f"k{name}", f"t:{name}", name, "create", {}, {"custom": True}) for name in names]
    found = Plan((*changes, *kept), errors=tuple(errors), notes=tuple(errors), status=1 if errors else 0)
    text = render(stack, found, forge)
    assert len(text.encode()) <= LIMITS[forge]
    first, title, *rest = text.split("\n")
    assert first == comment.marker(stack)
    assert title.startswith(f"## Preview of {code(stack)}: ")
    if changes:
        assert rest[:3] == ["", "### ⚠️ Data at risk", ""]
        listed = [line for line in rest if line.startswith("- **DELETED** ")]
        more = re.findall(r"^- and (\d+) more, in the full report$", text, re.M)
        assert listed[0].startswith(f"- **DELETED** {code(min(names), 120)} (`{VOLUME}`), because of ")
        assert len(listed) + sum(map(int, more)) == len(changes)
    if errors:
        assert "**The engine stopped with exit status 1; nothing was changed.** Its message:\n\n```" in text


def test_what_changes_outlives_what_is_new_where_it_is_cut() -> None:
    long = "\n".join(f"line {number}" for number in range(500))
    steps = [pushed("create", None, file(long, f"/etc/a{number}"), name=f"a{number}") for number in range(50)]
    steps.append(pushed("update", file("a\n", "/etc/z"), file("b\n", "/etc/z"), name="z", diffReasons=["stdin"]))
    text = render("lab", plan(*steps))
    assert "-a\n+b\n" in text
    assert "Not shown: `/etc/a" in text


def test_help_says_how_long_a_preview_may_take() -> None:
    said = CliRunner().invoke(main.app, ["preview", "--help"]).stdout
    assert f"The engine may take {preview.LONGEST_S / 60:.0f} minutes." in " ".join(said.replace("│", " ").split())


# --- reading the engine -----------------------------------------------------------------------------------------------


def said(monkeypatch: pytest.MonkeyPatch, status: int, stdout: str, stderr: str = "") -> None:
    monkeypatch.setattr(engine, "ask", lambda *_a, **_k: Result(status, stdout, stderr))


def test_the_json_object_tells_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [pushed("update", file("a"), file("b"), diffReasons=["stdin"]), step("delete", VOLUME, "v", {})]
    said(monkeypatch, 0, "hello from a plugin\n" + json.dumps({"steps": steps}, indent=4) + "\nbye\n")
    found = preview.read("lab")
    shown = json.loads(preview.render("lab", found, Forge.GITHUB, as_object=True))
    assert (shown["ok"], shown["counts"]) == (True, {"update": 1, "delete": 1})
    assert shown["checks"][0]["status"] == "ok"
    assert shown["risks"] == [
        {"name": "v", "type": VOLUME, "change": "delete", "because": [], "risk": "holds data"},
    ]
    assert [(one["path"], one["service"]) for one in shown["changes"]] == [("/etc/x", "app restarts"), ("", "")]
    assert shown["comment"].startswith("<!-- fortress preview: lab -->")


def test_an_engine_that_says_nothing_readable_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, 255, "", "error: could not parse Pulumi.lab.yaml\n")
    found = preview.read("lab")
    assert (found.status, found.errors) == (255, ("pulumi: could not parse Pulumi.lab.yaml",))
    said(monkeypatch, 3, "", "error: could not get cloud url: PULUMI_ACCESS_TOKEN must be set\n")
    with pytest.raises(CannotAskError, match="set PULUMI_BACKEND_URL"):
        preview.read("lab")
    said(monkeypatch, 0, "no JSON")
    with pytest.raises(CannotAskError, match="did not print JSON"):
        preview.read("lab")


@pytest.mark.parametrize("words", [(), ("-o", "-"), ("-o", "comment.md")])
def test_the_comment_goes_to_a_file_or_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    said(monkeypatch, 0, json.dumps({"steps": []}, indent=4))
    done = CliRunner().invoke(main.app, ["preview", "--stack", "lab", *words])
    assert done.exit_code == 0
    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    written = files.pop("comment.md") if "comment.md" in words else done.stdout
    assert written.startswith("<!-- fortress preview: lab -->\n")
    assert files == {}


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotAskError, match="cannot be written: No such file"):
        save(tmp_path / "no" / "x", "text")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(CannotAskError, match=r"loop cannot be written: Too many levels of symbolic links"):
        save(loop, "text")


def test_where_there_is_no_engine_a_program_still_gets_its_object(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise CannotAskError("pulumi is not there")

    monkeypatch.setattr(engine, "find", missing)
    done = CliRunner().invoke(main.app, ["preview", "--stack", "lab", "--json"])
    assert done.exit_code == 2
    shown = json.loads(done.stdout)
    assert (shown["ok"], shown["checks"], shown["error"]) == (False, [], "pulumi is not there")


@pytest.mark.parametrize("verb", ["preview", "report"])
def test_an_older_answer_does_not_outlive_a_question_that_could_not_be_asked(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing() -> str:
        raise CannotAskError("pulumi is not there")

    monkeypatch.setattr(engine, "find", missing)
    answer = tmp_path / "answer.json"
    answer.write_text('{"ok": true}')
    words = [verb, "--stack", "lab", "--json", *(["--kept"] if verb == "report" else [])]
    done = CliRunner().invoke(main.app, [*words, "-o", str(answer)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert json.loads(answer.read_text())["error"] == "pulumi is not there"
    # Where there is no place for it, a program still gets it.
    nowhere = CliRunner().invoke(main.app, [*words, "-o", str(tmp_path / "no" / "answer.json")])
    assert (nowhere.exit_code, json.loads(nowhere.stdout)["ok"]) == (2, False)


def test_what_rules_say_stands_at_the_top_a_line_each_and_once() -> None:
    said = [
        {
            "severity": "warning",
            "message": f"sovereignty: processors: sovereignty.operators.X{number}.review: expires: soon",
        }
        for number in range(2)
    ]
    told = {"severity": "info", "message": "sovereignty: a: b: not evaluated: c"}
    other = {"severity": "warning", "message": "a plugin is old"}
    text = render("lab", plan(pushed("update", file("a\n"), file("b\n")), diagnostics=[*said, told, other]))
    top, _, rest = text.partition("### What happens")
    assert top.count("- `processors: sovereignty.operators.X") == 2
    assert "- `a: b: not evaluated: c`" in top
    assert "### Sovereignty" not in rest
    assert "not evaluated" not in rest
    assert "a plugin is old" in rest
    many = [{**told, "message": f"sovereignty: {'x' * 500} {number}"} for number in range(200)]
    long = render("lab", plan(pushed("update", file("a\n"), file("b\n")), diagnostics=many), Forge.GITHUB)
    assert len(long.encode()) <= LIMITS[Forge.GITHUB]
    assert re.search(r"- and \d+ more; `fortress audit` lists them", long)
    assert "### Sovereignty" not in render("lab", plan(pushed("update", file("a\n"), file("b\n"))))
