"""Resources with several files or commands, as the comment on a preview has them."""

from __future__ import annotations

from typing import Any

import pytest

from fortress import push
from fortress.cli.preview.comment import render
from fortress.cli.preview.files import file_of, outlook
from fortress.cli.preview.plan import Change
from tests.unit.plans import UNKNOWN, file, plan, pushed

RESTARTS, RELOADS = "systemctl restart app", "systemctl reload-or-restart edge"


def put(path: str, apply: str | None = RESTARTS, **more: Any) -> push.Put:
    return push.Put(path, machine="a.1", resource="x", apply=apply, **more)


def inputs(files: dict[push.Put, str], **more: Any) -> dict[str, Any]:
    """Of a resource that puts these together."""
    command = push.Files(tuple(each.path for each in files), machine="a.1", resource="x")
    removal = push.steps(
        *(push.Remove(each.path, machine="a.1", resource="x", apply="systemctl stop app") for each in files)
    )
    sent = push.together((each, push.content(text)) for each, text in files.items())
    return {"create": f"sudo {command.render()}", "delete": f"sudo {removal.render()}", "stdin": sent, **more}


def changes(*steps: dict[str, Any]) -> list[Change]:
    return [change for change in outlook(plan(*steps)).plan.changing if change.is_command]


def told(*steps: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What is said of each file: what becomes of it, and of its service."""
    seen = outlook(plan(*steps))
    return {
        file_of(change): (change.op, str(seen.activation(change))) for change in seen.plan.changing if change.is_command
    }


OLD = {put("/etc/a"): "old\n", put("/etc/b", RELOADS): "b\n", put("/etc/c", None): "c\n"}


def test_each_file_is_one_of_its_own_and_what_stays_is_none() -> None:
    new = {**OLD, put("/etc/b", RELOADS): "new b\n"}
    [change] = changes(pushed("update", inputs(OLD), inputs(new), diffReasons=["stdin"]))
    assert (file_of(change), change.op, change.differing) == ("/etc/b", "update", ("stdin",))
    text = render("lab", plan(pushed("update", inputs(OLD), inputs(new), diffReasons=["stdin"])))
    assert "-b\n+new b\n" in text
    assert "`edge` reloads" in text
    assert "restarts" not in text
    assert push.FILES_END.strip() not in text


def test_files_that_come_and_go_in_one_resource() -> None:
    new = {put("/etc/b", RELOADS): "b\n", put("/etc/c", None, mode="0600"): "c\n", put("/etc/d"): "d\n"}
    assert told(pushed("update", inputs(OLD), inputs(new), diffReasons=["stdin", "create"])) == {
        "/etc/c": ("update", "no service is touched"),
        "/etc/d": ("create", "app restarts"),
        "/etc/a": ("delete", "app restarts"),  # by what put it, since nothing else removes it
    }


def test_a_resource_that_is_new_or_goes() -> None:
    assert told(pushed("create", None, inputs(OLD))) == {
        "/etc/a": ("create", "app starts"),
        "/etc/b": ("create", "edge starts"),
        "/etc/c": ("create", "no service is touched"),
    }
    assert told(pushed("delete", inputs(OLD))) == dict.fromkeys(("/etc/a", "/etc/b", "/etc/c"), ("delete", "app stops"))


@pytest.mark.parametrize("hidden", [UNKNOWN, "[secret]"])
def test_of_texts_that_are_not_shown_the_paths_are(hidden: str) -> None:
    before = inputs(OLD, stdin=hidden) if hidden == "[secret]" else inputs(OLD)
    found = changes(pushed("update", before, inputs(OLD, stdin=hidden), diffReasons=["stdin"]))
    assert [(file_of(change), change.op, change.differing) for change in found] == [
        (path, "update", ("stdin",)) for path in ("/etc/a", "/etc/b", "/etc/c")
    ]
    if hidden == UNKNOWN:
        assert told(pushed("update", before, inputs(OLD, stdin=hidden), diffReasons=["stdin"]))["/etc/b"] == (
            "update",
            "edge reloads",
        )


def test_a_changed_connection_puts_all_of_them_again_and_touches_nothing() -> None:
    old, new = inputs(OLD, connection="[secret]"), inputs(OLD, connection="[secret]")
    found = changes(pushed("update", old, new, diffReasons=["connection"]))
    assert [change.differing for change in found] == [("connection",)] * 3
    assert set(told(pushed("update", old, new, diffReasons=["connection"])).values()) == {
        ("update", "no service is touched")
    }


def test_what_drift_found_of_one_file_is_put_right_there_alone() -> None:
    old = inputs({**OLD, put("/etc/a"): "by hand\n"})
    old["create"] = push.with_note(old["create"], "file /etc/a: edited by hand")
    found = changes(pushed("update", old, inputs(OLD), diffReasons=["stdin", "create"]))
    assert [file_of(change) for change in found] == ["/etc/a"]
    old["stdin"] = inputs(OLD)["stdin"]
    assert told(pushed("update", old, inputs(OLD), diffReasons=["create"])) == {"/etc/a": ("update", "app restarts")}


def test_a_file_that_only_changes_hands_is_put_again_and_not_removed() -> None:
    """As when resources of one file each become one of several."""
    alone = [file(text, each.path, str(each.apply)) for each, text in OLD.items()]
    for each in alone:
        each["delete"] = push.Remove("/etc/a", machine="a.1", resource="x", apply="systemctl stop app").render()
    gone = [pushed("delete", each, name=f"x{number}") for number, each in enumerate(alone)]
    new = {**OLD, put("/etc/b", RELOADS): "new b\n"}
    assert told(pushed("create", None, inputs(new)), *gone) == {
        "/etc/a": ("update", "no service is touched"),
        "/etc/b": ("update", "edge reloads"),
        "/etc/c": ("update", "no service is touched"),
    }


def test_steps_are_one_change_each() -> None:
    def steps(sha256: str, name: str) -> dict[str, Any]:
        confirm = push.Confirm("/etc/y", sha256, machine="a.1")
        packages = push.Packages(machine="a.1", names=(name,))
        return {"create": push.steps(confirm, put("/etc/a"), packages).render(), "stdin": push.content("a\n")}

    old = steps("0" * 64, "one")
    [change] = changes(pushed("update", old, steps("1" * 64, "one"), diffReasons=["create"]))
    assert push.bare(str(change.after["create"])) == f"{push.PUSH} confirm /etc/y {'1' * 64}"
    [change] = changes(pushed("update", old, steps("0" * 64, "two"), diffReasons=["create"]))
    assert push.bare(str(change.after["create"])) == f"{push.PUSH} packages two"
    assert [file_of(change) for change in changes(pushed("create", None, old))] == ["", "/etc/a", ""]
