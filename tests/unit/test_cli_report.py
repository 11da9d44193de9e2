"""`fortress report`: the facts behind the page, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fortress import push
from fortress.cli import main
from fortress.cli.base.errors import CannotAskError
from fortress.cli.base.verb import save
from fortress.cli.check import history
from fortress.cli.check.check import Check, Status
from fortress.cli.check.history import PastRun
from fortress.cli.check.kinds import Kind
from fortress.cli.report import page as report
from fortress.cli.report import plots
from fortress.cli.report.pairs import between_sites, link, pairs
from fortress.cli.report.up import Touched, read_up
from tests.doubles.standing_fortress import exported, standing_fortress
from tests.unit import example_report

FORTRESS = Path(sys.executable).parent / "fortress"
SECRET = "correct-horse-battery"
"""A value of a resource: the report shows none."""


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:lab::data-fortress::{kind}::{name}"


def resource(kind: str, name: str, modified: str, **more: Any) -> dict[str, Any]:
    return {"urn": urn(kind, name), "type": kind, "custom": True, "created": modified, "modified": modified, **more}


HOST: dict[str, Any] = {"urn": urn("fortress:index:Host", "fra-1"), "type": "fortress:index:Host"}
HISTORY: list[dict[str, Any]] = [
    {"kind": "refresh", "startTime": "2026-11-23T15:00:00.000Z", "endTime": "2026-11-23T15:00:09.000Z"},
    {
        "kind": "update",
        "startTime": "2026-11-23T13:42:17.000Z",
        "endTime": "2026-11-23T13:42:53.000Z",
        "message": "Narrow the tunnel\n\nbecause",
        "result": "succeeded",
        "resourceChanges": {"same": 100, "update": 2, "delete": 1, "import": 1},
        "environment": {"git.head": "b17bb234f947ad6ca8ae", "git.dirty": "true", "git.author": "A. Operator"},
    },
]
STATE: dict[str, Any] = {
    "deployment": {
        "resources": [
            HOST,
            resource("pulumi:providers:command", "default", "2026-11-23T13:42:19.3214900Z"),
            resource(
                "command:remote:Command",
                "fra-1-mtu",
                "2026-11-23T13:42:53.999999999Z",
                parent=HOST["urn"],
                inputs={
                    "create": f"sudo {push.PUSH} put /etc/wireguard/wg0.d/mtu 0644 root:root",
                    "stdin": SECRET,
                },
            ),
            resource(
                "command:remote:Command",
                "db-tunnel",
                "2026-11-23T13:42:20Z",
                propertyDependencies={"connection": [HOST["urn"]]},
                inputs={"create": f"echo {SECRET}"},
            ),
            resource("openstack:compute/instance:Instance", "vm", "2026-11-23T13:42:21Z", inputs={"a": SECRET}),
            resource("command:remote:Command", "before", "2026-11-23T13:42:16.9Z", parent=HOST["urn"]),
            resource("command:remote:Command", "after", "2026-11-23T15:00:05Z", parent=HOST["urn"]),
        ]
    }
}


def test_the_last_up() -> None:
    up = read_up(HISTORY, STATE)
    assert up is not None
    assert (up.took_s, up.result, up.commit, up.dirty) == (36.0, "succeeded", "b17bb234f9", True)
    assert (up.message, up.author) == ("Narrow the tunnel", "A. Operator")
    assert up.counted == "2 updated, 1 deleted, 100 unchanged, 1 import"
    assert up.touched == (
        Touched("fra-1", files=("/etc/wireguard/wg0.d/mtu",), commands=("db-tunnel",)),
        Touched("", resources=("vm",)),
    )
    assert [touched.said for touched in up.touched] == ["1 file, 1 command", "1 cloud resource"]


def test_an_up_that_never_ended_and_none_at_all() -> None:
    entry = {key: value for key, value in HISTORY[1].items() if key != "endTime"}
    up = read_up([entry], STATE)
    assert up is not None
    assert up.took_s is None
    assert "after" in up.touched[0].commands
    assert read_up([HISTORY[0]], STATE) is None


def test_a_pair_has_its_tunnel_and_what_flows_through_it() -> None:
    facts = example_report.facts(instead=example_report.BROKEN)
    links = {(link.source, link.target): link for link in (link(pair) for pair in pairs(facts.outputs, facts.checks))}
    assert len(links) == 6
    well = links["oslo-edge", "oslo-1"]
    assert (well.tunnel, well.flow, well.above, well.below) == (Status.OK, Status.OK, "0.5 ms", "UP")
    down = links["oslo-edge", "frankfurt-1"]
    assert (down.tunnel, down.flow, down.below) == (Status.FAIL, Status.FAIL, "DOWN")
    assert "the tunnel is silent" in down.said
    silent = links["frankfurt-2", "oslo-db"]
    assert (silent.tunnel, silent.flow, silent.below) == (Status.OK, Status.UNKNOWN, "unknown")


def test_a_tunnel_without_a_flow_is_there_too() -> None:
    facts = example_report.standing({"oslo": 1})
    hosts = dict(facts.hosts)
    hosts["oslo-db"] = hosts["oslo-db"].model_copy(update={"peers": ("oslo-1", "oslo-edge")})
    found = pairs(facts.model_copy(update={"hosts": hosts}), ())
    assert [(pair.source, pair.target, pair.carries) for pair in found] == [
        ("oslo-edge", "oslo-1", "requests"),
        ("oslo-1", "oslo-db", "queries"),
        ("oslo-db", "oslo-edge", ""),
    ]


@pytest.mark.parametrize("lost", ["oslo-edge", "oslo-db", "oslo-1"])
def test_a_host_that_is_lost_leaves_the_rest_to_be_drawn(lost: str) -> None:
    """Set as gone, it is no host of the stack any more, and others still name it."""
    facts = example_report.facts()
    hosts = {name: host for name, host in facts.outputs.hosts.items() if name != lost}
    standing = facts.outputs.model_copy(update={"hosts": hosts})
    found = pairs(standing, facts.checks)
    assert found
    assert all(lost not in (pair.source, pair.target) for pair in found)
    page = report.as_html(replace(facts, outputs=standing))
    assert all(f">{name}</text>" in page for name in hosts)


def test_round_trips_between_sites() -> None:
    facts = example_report.facts()
    found = between_sites(facts.outputs, pairs(facts.outputs, facts.checks))
    assert found == {("frankfurt", "oslo"): "23.09 ms"}


def test_ages() -> None:
    facts = example_report.facts()
    certificates, keys = report.ages(facts, keys=False), report.ages(facts, keys=True)
    assert [(age.row.check.name, age.days) for age in certificates] == [
        ("edge certificate", 36.0),
        ("database certificate", 373.0),
    ]
    assert [round(age.part, 3) for age in certificates] == [0.097, 1.0]
    assert {age.row.check.name for age in keys} == {"key age"}
    assert len(keys) == 5


def test_a_certificate_that_only_the_host_shows() -> None:
    facts = example_report.facts()
    seen = [Check(Kind.CERTIFICATE, host, limit=14).ok(70.5) for host in ("oslo-1", "oslo-edge")]
    more = report.ages(replace(facts, looked=tuple(seen)), keys=False)
    names = [(age.row.check.name, age.row.check.host) for age in more]
    assert ("certificate", "oslo-1") in names
    assert ("certificate", "oslo-edge") not in names


ROUND_TRIP = Check(Kind.ROUND_TRIP, "a", "b", limit=(20.0, 30.0))


def test_a_plot_of_numbers() -> None:
    past = [(1.0, ROUND_TRIP.ok(22.0)), (2.0, ROUND_TRIP.fail(None, "lost")), (3.0, ROUND_TRIP.fail(40.0, "slow"))]
    found = plots.plot(past)
    assert found is not None
    assert found.said == "22 to 40 ms, median 31; held in 1 of 3 runs since 1970-01-01"
    points = [tuple(map(float, point.split(","))) for point in found.line.split()]
    # The run that measured nothing leaves its place empty; the highest value is at the top, the limits inside.
    assert [x for x, _ in points] == [plots.EDGE, plots.WIDTH - plots.EDGE]
    assert points[1] == found.last == found.failed[0] == (plots.WIDTH - plots.EDGE, plots.EDGE)
    assert plots.EDGE < min(found.limits) < points[0][1] < max(found.limits) == plots.HEIGHT - plots.EDGE
    assert found.ticks == ()


@pytest.mark.parametrize("limit", ["UP", 1.0])
def test_a_plot_without_numbers_to_tell_apart_has_a_tick_a_run(limit: str | float) -> None:
    check = Check(Kind.BACKEND, "a", "x", limit=limit)
    past = [(1.0, check.ok(limit)), (2.0, check.fail(None, "")), (3.0, check.ok(limit))]
    found = plots.plot(past)
    assert found is not None
    assert found.line == ""
    assert [tick.status for tick in found.ticks] == ["ok", "fail", "ok"]


def test_a_plot_of_numbers_that_have_no_limit() -> None:
    check = Check(Kind.ROUND_TRIP, "a", "b")
    found = plots.plot([(1.0, check.ok(0.4)), (2.0, check.ok(0.5))])
    assert found is not None
    assert found.limits == ()
    assert found.line == f"{plots.EDGE:g},{plots.HEIGHT - plots.EDGE:g} {plots.WIDTH - plots.EDGE:g},{plots.EDGE:g}"


def test_one_run_is_no_history() -> None:
    assert plots.plot([(1.0, ROUND_TRIP.ok(22.0))]) is None


def test_a_clock_may_be_ahead_or_behind() -> None:
    check = Check(Kind.CLOCK_OFFSET, "a", limit=100)
    found = plots.plot([(1.0, check.ok(-5.0)), (2.0, check.ok(5.0))])
    assert found is not None
    assert found.limits == (plots.HEIGHT - plots.EDGE, plots.EDGE)


def test_only_the_latest_runs_are_drawn() -> None:
    found = plots.plot([(float(run), ROUND_TRIP.ok(20.0 + run % 7)) for run in range(500)])
    assert found is not None
    assert len(found.line.split()) == plots.MOST_RUNS


def test_no_run_was_kept() -> None:
    with pytest.raises(CannotAskError, match="run `fortress verify --stack lab` first"):
        report.collect("lab", example_report.standing({"oslo": 1}), [], [], {})


@pytest.mark.parametrize(
    "trouble", ["exit 255", "echo nonsense", "echo '[{]'", "echo null", 'echo \'[{"kind": "update"}]\'']
)
def test_an_engine_without_a_history_leaves_that_unknown(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tmp_path / "pulumi"
    engine.write_text(f"#!/bin/sh\n{trouble}\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    facts = report.collect("lab", example_report.standing({"oslo": 1}), [PastRun(1.0, ())], [], STATE)
    assert facts.up is None
    assert "pulumi" in facts.no_up


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    page = tmp_path / "page.html"
    with standing_fortress(tmp_path / "f") as standing:
        state = exported(standing.outputs, *STATE["deployment"]["resources"])
        for name, answer in (("history", HISTORY), ("export", state)):
            (tmp_path / f"{name}.json").write_text(json.dumps(answer))
        engine = tmp_path / "pulumi"
        engine.write_text(
            f'#!/bin/sh\necho "$2" >>{tmp_path}/asked\n'
            f'case "$*" in *nope*) exit 6 ;; *) exec cat {tmp_path}/$2.json ;; esac\n'
        )
        engine.chmod(0o755)
        plain = {k: v for k, v in os.environ.items() if k not in ("SSH_AUTH_SOCK", "FORCE_COLOR", "COLUMNS")}

        def run(*words: str, stack: str = "lab") -> subprocess.CompletedProcess[str]:
            environment = plain | {"PATH": f"{tmp_path}:/usr/bin:/bin"}
            command = [str(FORTRESS), "report", "--stack", stack, *words]
            return subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
            )

        none = run("--kept")
        (tmp_path / "asked").unlink()
        measured = run("--key", str(standing.key), "-o", str(page))
        processes = (tmp_path / "asked").read_text().split()
        asked = [host.logins for host in standing.hosts.values()]
        assert asked == [1, 1, 1]
        kept = run("--kept", "--json")
        assert [host.logins for host in standing.hosts.values()] == asked
        unwritable = run("--kept", "-o", str(tmp_path / "no" / "page.html"))
        unknown = run("--json", "--kept", stack="nope")
        printed = run("--kept", "-o", "-")
    assert processes == ["export", "history"], "one look at the state, one at the history"
    assert (none.returncode, none.stdout) == (2, "")
    assert none.stderr.startswith("fortress: no run of stack 'lab' was kept")
    assert (measured.returncode, measured.stdout, measured.stderr) == (0, "", "")
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert SECRET not in text
    assert '<th role="columnheader" scope="col">services</th>' in text
    assert not [left for left in tmp_path.iterdir() if left.name.startswith(".page")]
    found = json.loads(kept.stdout)
    assert {check["name"] for check in found["checks"]} >= {"clock offset", "round trip to oslo-db"}
    assert found["up"]["touched"][0]["files"] == ["/etc/wireguard/wg0.d/mtu"]
    assert len(history.kept("lab", tmp_path)) == 1
    assert found["looked"] == []
    assert kept.returncode == 0
    assert (unwritable.returncode, unwritable.stdout) == (2, "")
    assert "cannot be written" in unwritable.stderr
    assert (unknown.returncode, json.loads(unknown.stdout)["ok"]) == (2, False)
    assert printed.stdout.startswith("<!DOCTYPE html>")


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    page, link = tmp_path / "page", tmp_path / "link"
    link.symlink_to(page)
    save(link, "one")
    save(page, "two")
    assert (link.is_symlink(), page.read_text()) == (True, "two")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        save(pipe, "three")
        assert reader.communicate(timeout=30)[0] == "three"
    with pytest.raises(CannotAskError, match="cannot be written: Is a directory"):
        save(tmp_path, "four")
    with pytest.raises(CannotAskError, match=r"^\. cannot be written"):
        save(Path(), "five")
    assert {left.name for left in tmp_path.iterdir()} == {"page", "link", "pipe"}


def test_what_cannot_be_kept_costs_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / history.FOLDER).write_text("in the way")
    monkeypatch.chdir(tmp_path)
    run = history.remember("lab", [ROUND_TRIP])
    assert run.checks == (ROUND_TRIP,)
    assert "the result is not kept for `fortress report`" in capsys.readouterr().err


def test_a_terminal_is_not_filled_with_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fortress.cli.verbs.report.is_terminal", lambda: True)
    done = CliRunner().invoke(main.app, ["report", "--stack", "lab"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "fortress: refusing to print HTML to a terminal; use -o FILE, or -o - to print it anyway\n"
