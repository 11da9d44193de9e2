"""The measuring room's figures, their table, and what it exports for the rivals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import content, galera, program
from bench.__main__ import PARTS, main
from bench.figures import Figure, alternating, as_json, median, table
from bench.rivals import part
from bench.stand import BenchError
from fortress import push
from fortress.settings.parse import parse
from tests.unit.stack_file import ROOT, lab

BESIDE = Figure("one line", 5.0, "s", 2.0, "Ansible, tags", 1.0)
ALONE = Figure("resources", 1234, "", goal=60)
FASTER = Figure("throughput", 120.5, "Mbit/s", 100, "by hand", 0.97, at_least=True, note="one stream")


def test_a_goal_is_for_the_ratio_or_for_the_value_where_nothing_stands_beside() -> None:
    assert (BESIDE.ratio, BESIDE.met) == (2.5, False)
    assert (ALONE.ratio, ALONE.met) == (None, False)
    assert (FASTER.ratio, FASTER.met) == (1.205, True)
    assert Figure("seconds", 1, "s").met is None
    assert Figure("as much", 1, "s", 1, "other", 1.0).met is True
    assert Figure("beside nothing", 1, "s", 0, "other", 1.0).met is False


def test_the_table_is_markdown() -> None:
    assert table([BESIDE, ALONE, FASTER, Figure("a|b", 0.25, "s")]) == (
        "| what | ours | beside | ratio | goal | met |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| one line | 5 s | Ansible, tags: 2 s | 2.50 | ≤ 1 | **no** |\n"
        "| resources | 1,234 |  |  | ≤ 60 | **no** |\n"
        "| throughput (one stream) | 120.5 Mbit/s | by hand: 100 Mbit/s | 1.21 | ≥ 0.97 | yes |\n"
        "| a\\|b | 0.25 s |  |  |  |  |\n"
    )


def test_the_json_has_what_the_table_has() -> None:
    found = json.loads(as_json([BESIDE], {"cores": 2}))
    assert found["cores"] == 2
    assert [(row["what"], row["ratio"], row["met"]) for row in found["figures"]] == [("one line", 2.5, False)]


def test_runs_alternate() -> None:
    order: list[str] = []

    def run(name: str) -> int:
        order.append(name)
        return len(order)

    found = alternating(2, {"ours": lambda: run("ours"), "theirs": lambda: run("theirs")})
    assert order == ["ours", "theirs", "ours", "theirs"]
    assert found == {"ours": [1, 3], "theirs": [2, 4]}
    assert median(found["ours"]) == 2


def test_an_unknown_part_or_no_number_of_runs_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["rivalz"], "no part is called 'rivalz'; known: nothing, program, rules, rivals"),
        (["--repeat", "0"], "'0' is not a number of runs"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["nothing"]) == 3
    assert "root" in capsys.readouterr().err


def test_the_help_names_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert [name for name in PARTS if f"  {name}" not in said] == []


@pytest.mark.parametrize("more", [1, 47])
def test_more_workers_are_settings_that_can_stand(more: int) -> None:
    settings = lab()
    program.with_workers(settings, more)
    assert len(settings["hosts"]) == 5 + more
    assert len(parse(settings, ROOT).workers) == 3 + more


def pushed(path: str, text: str) -> dict[str, Any]:
    command = push.Put(path, machine="oslo-edge.1", resource="x").render()
    urn = "urn:pulumi:lab::data-fortress::command:remote:Command::" + path
    return {"urn": urn, "inputs": {"create": f"sudo {command}", "stdin": push.exact(text)}}


def test_texts_are_exported_for_the_rivals_with_a_place_for_what_is_born_on_hosts(tmp_path: Path) -> None:
    peer = f"[Peer]\n# fra-1\nPublicKey = {'A' * 43}=\nAllowedIPs = 10.100.0.2/32\n"
    config = "    timeout queue 3s\n    timeout client 10s\n"
    resources = [
        pushed("/etc/haproxy/haproxy.cfg", config),
        pushed("/etc/wireguard/wg0.d/fra-1.conf", peer),
        pushed("/usr/local/lib/fortress/wireguard", "#!/bin/sh\n"),
        pushed("/etc/fortress/app/database-password", "hush\n"),
    ]
    for name in lab()["hosts"]:
        packages = push.Packages(machine=f"{name}.1", names=("nftables",)).render()
        urn = f"urn:pulumi:lab::data-fortress::command:remote:Command::{name}-packages"
        resources.append({"urn": urn, "inputs": {"create": packages}})
    texts = part.Content(tmp_path / "content")
    content.export(resources, lab(), texts.folder)
    there = {str(file.relative_to(texts.folder)) for file in texts.folder.rglob("*") if file.is_file()}
    assert there == {"hosts.json", "oslo-edge/etc/haproxy/haproxy.cfg", "oslo-edge/peers/fra-1.conf.j2"}
    assert texts.folder.stat().st_mode & 0o77 == 0, "the password is in it"
    assert "PublicKey = {{ keys['fra-1'] }}\n" in (texts.folder / "oslo-edge/peers/fra-1.conf.j2").read_text()
    about = json.loads((texts.folder / "hosts.json").read_text())
    assert about["password"] == "hush"
    assert about["hosts"]["fra-1"]["mesh_address"] == "10.100.0.2"
    assert about["hosts"]["fra-1"]["packages"] == ["nftables", "wireguard-go"]
    texts.one_line(7)
    assert (texts.folder / "oslo-edge" / part.CONFIG).read_text() == config.replace("queue 3s", "queue 4007ms")
    texts.mtu(7)
    assert json.loads((texts.folder / "hosts.json").read_text())["mtu"] == 1307


def test_each_change_is_compared_with_each_rival() -> None:
    names = ("bare", "line", "line end", "whole", "mtu", "program")
    seconds = {f"{who} {name}": 2.0 for who in ("ours", "ansible", "pyinfra") for name in names}
    found = list(part.compared(seconds | {"ansible whole": 20.0}))
    assert {figure.beside_what.partition(",")[0] for figure in found} == {"Ansible", "pyinfra"}
    assert [figure.ratio for figure in found if figure.beside_what == "Ansible, whole playbook"] == [0.1]


def test_a_commit_is_timed_between_two_times_of_the_server() -> None:
    times = ("00.000000", "00.023000", "01.000000", "01.025000")
    said = "".join(f"2026-11-30 04:00:{each}\n" for each in times)
    assert galera.commits_median(said) == pytest.approx(24.0, abs=0.01)
    for wrong in (said + "2026-11-30 04:00:09.000000\n", "ERROR 1047"):
        with pytest.raises(BenchError, match="no times of commits"):
            galera.commits_median(wrong)
