"""`fortress status`: what a host says of itself in one answer, and what that means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fortress import text
from fortress.cli import status
from fortress.cli.check.check import Check
from fortress.cli.hosts import ssh
from fortress.facts import parse
from tests.doubles.ssh_server import Behaviour
from tests.doubles.standing_fortress import KEYS, Fortress, standing_fortress
from tests.unit.push_host import PushHost

FORTRESS = Path(sys.executable).parent / "fortress"
NOW = 1_790_000_000
WELL = f"""now {NOW}
up 90061
unit app active
unit wg-quick@wg0 active
peer {KEYS["oslo-db"]} {NOW - 37}
peer {KEYS["oslo-edge"]}\t{NOW - 180}
certificate /etc/mysql/fortress/server.pem Oct  1 10:00:00 2027 GMT
certificate /etc/ssl/private/site.pem Dec 24 10:00:00 2026 GMT
record /etc/app\t0123,0644,root:root\t-\tapp\t{NOW - 7300}\tapp-file
record /etc/a b\t4567,0644,root:root\tagain\t-\t{NOW - 9000}\t-
"""
"""What host-state prints of a worker whose host is well; it has a database's and an edge's certificate for the test."""

NAMES = ("up", "peers", "services", "certificate", "last push")


@pytest.fixture
def fortress(tmp_path: Path) -> Fortress:
    (tmp_path / "f").mkdir()
    with standing_fortress(tmp_path / "f") as standing:
        return standing  # its facts are all that is wanted


def judged(fortress: Fortress, answer: str) -> dict[str, Check]:
    found = parse(fortress.facts)
    return {check.name: check for check in status.judge(found, "fra-1", status.read(answer))}


def test_a_host_that_is_well(fortress: Fortress) -> None:
    found = judged(fortress, WELL)
    assert {check.status for check in found.values()} == {"ok"}
    assert tuple(found) == NAMES
    assert [check.value for check in found.values()] == ["1 d", "2/2", "2/2", 93.8, "2026-09-21 12:11 UTC"]
    # The one that ends first.
    assert found["certificate"].detail == "/etc/ssl/private/site.pem"
    assert found["last push"].detail == "2 h ago"


@pytest.mark.parametrize(
    ("before", "after", "name", "value", "detail"),
    [
        (f"{NOW - 37}", f"{NOW - 181}", "peers", "1/2", "silent: oslo-db"),
        (f"peer {KEYS['oslo-db']} {NOW - 37}\n", "", "peers", "1/2", "silent: oslo-db"),
        (f"{NOW - 37}", "0", "peers", "1/2", "silent: oslo-db"),
        ("unit app active", "unit app failed", "services", "1/2", "app failed"),
        (
            "Dec 24 10:00:00 2026",
            "Sep 25 00:00:00 2026",
            "certificate",
            3.4,
            "renew it; `fortress verify` prints the command",
        ),
        (WELL[WELL.index("record ") :], "", "last push", None, "nothing was ever pushed"),
        ("\t4567,0644,root:root\tagain", "\t-\t-", "last push", "2026-09-21 12:11 UTC", "unfinished: /etc/a b; see"),
        ("\tagain\t", "\told,again\t", "last push", "2026-09-21 12:11 UTC", "unfinished: /etc/a b; see"),
        ("\tagain\t", "\tconfirm\t", "last push", "2026-09-21 12:11 UTC", "unfinished: /etc/a b; see"),
    ],
)
def test_what_is_not_well(fortress: Fortress, before: str, after: str, name: str, value: object, detail: str) -> None:
    assert before in WELL
    found = judged(fortress, WELL.replace(before, after, 1))
    assert {each for each, check in found.items() if check.status != "ok"} == {name}
    assert found[name].value == value
    assert found[name].detail.startswith(detail)


@pytest.mark.parametrize(
    "answer", ["", "up 3\n", "now soon\n", "what 3\n", WELL + "peer onlyakey\n", "certificate x y\n", "record /etc/a\n"]
)
def test_an_answer_that_is_none(answer: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        status.read(answer)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", None),
        ("role primary\n", ("ok", "primary", "")),
        ("role copy\n", ("ok", "copy", "")),
        ("role none b does not answer\n", ("fail", "none", "b does not answer")),
        ("role Traceback: of something\n", ("fail", "Traceback:", "of something")),
    ],
)
def test_a_server_of_several_says_its_role(fortress: Fortress, line: str, wanted: tuple[str, str, str] | None) -> None:
    answer = status.read(line + WELL)
    found = status.role_of("fra-1", answer.role)
    assert [(check.status, check.value, check.detail) for check in found] == ([wanted] if wanted else [])
    facts = parse(fortress.facts)
    every = [check for name in facts.hosts for check in status.judge(facts, name, answer)]
    shown = status.as_table(facts, "lab", [*every, *found], terminal=False, width=120)
    assert ("b does not answer" in shown) == ("b does not answer" in line)
    assert (wanted is not None and wanted[0] == "ok") == any(word in shown for word in ("primary", "copy"))


def test_a_host_says_it_itself(tmp_path: Path) -> None:
    """The script, run for real beside push.sh: its records are where units and pushes are known from."""
    machine = PushHost(tmp_path / "host")
    one, other = machine.root / "t" / "one", machine.root / "t" / "two"
    machine.push("put", one, "0644", "root:root", "--unit", "app", text=b"x\n")
    machine.push("put", other, "0644", "root:root", text=b"x\n")

    def answer() -> status.HostAnswer:
        done = machine.run("/usr/bin/dash", "-c", text.script("host-state"), "host-state", "wg0")
        assert (done.returncode, done.stderr) == (0, "")
        return status.read(done.stdout)

    found = answer()
    assert set(found.units) == {"app", "wg-quick@wg0"}
    assert found.unfinished == []
    assert found.pushed
    assert abs(found.pushed - found.now) < 60
    (machine.record(other) / "applied").unlink()
    assert answer().unfinished == [str(other)]


@pytest.mark.parametrize(
    ("tool", "detail"),
    [
        ("unknown verb: records (see fortress-push --help)", "is older than this command: run `pulumi up` once"),
        ("", "fra-1 printed ''"),
    ],
)
def test_a_host_that_tells_no_records_is_unknown_with_the_cure(tmp_path: Path, tool: str, detail: str) -> None:
    (tmp_path / "f").mkdir()
    older = f'[ -z "{tool}" ] || echo "fortress-push: {tool}" >&2; exit 2'
    with standing_fortress(tmp_path / "f", scripts={"fra-1": {"fortress-push": older}}) as standing:
        found = status.ask(parse(standing.facts), ssh.prepare(standing.key, {}), timeout=5)
    unknown = [check for check in found if check.status == "unknown"]
    assert [(check.host, check.kind) for check in unknown] == [("fra-1", kind) for kind in status.KINDS]
    assert all(detail in check.detail for check in unknown), unknown


def test_hosts_are_asked_once_each_and_a_silent_one_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "LOOKING_TAKES_S", 1)
    (tmp_path / "f").mkdir()
    with standing_fortress(tmp_path / "f", behaviour={"fra-1": Behaviour((), freezes_on="host-state")}) as standing:
        outputs = parse(standing.facts)
        found = status.ask(outputs, ssh.prepare(standing.key, {}), timeout=2)
        assert {name: server.logins for name, server in standing.hosts.items()} == dict.fromkeys(standing.hosts, 1)
        assert {len(server.commands) for server in standing.hosts.values()} == {1}
    silent = [check for check in found if check.host == "fra-1"]
    assert [check.name for check in silent] == list(NAMES)
    assert {(str(check.status), check.detail[:20]) for check in silent} == {("unknown", "fra-1 gave no answer")}
    shown = status.as_table(outputs, "lab", found, terminal=False, width=80)
    assert "unknown  fra-1 gave no answer within 3 s\n" in shown
    assert max(map(len, shown.splitlines()[:4])) <= 80
    # One line a host, and the reason once.
    assert shown.count("fra-1") == 2
    narrow = status.as_table(outputs, "lab", found, terminal=False, width=40)
    assert narrow.splitlines()[2].startswith("unknown  fra-1: up -, peers -")


def test_a_stack_may_have_hosts_alone(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with standing_fortress(
        tmp_path / "f", scripts={"fra-1": {"sh": f"[ $4 = wg0 ] && printf '%s' '{WELL}'"}}
    ) as standing:
        host = {**standing.facts["hosts"]["fra-1"], "role": "host"}
        nothing = dict.fromkeys(("mesh", "database", "edge"))
        outputs = parse({**standing.facts, **nothing, "version": 3, "hosts": {"fra-1": host}})
        found = status.ask(outputs, ssh.prepare(standing.key, {}), timeout=5)
    assert [(check.name, str(check.status)) for check in found] == [(name, "ok") for name in NAMES]
    assert " host " in status.as_table(outputs, "lab", found, terminal=False, width=120).splitlines()[1]


@pytest.mark.parametrize("width", [None, 90, 80, 60])
def test_a_hosts_name_stays_in_one_piece_at_any_width(fortress: Fortress, width: int | None) -> None:
    outputs = parse(fortress.facts)
    name = "oslo-edge-of-a-very-long-name"
    outputs = outputs.model_copy(update={"hosts": {**outputs.hosts, name: outputs.hosts["oslo-edge"]}})
    found = [Check(kind, host).ok("1") for host in outputs.hosts for kind in status.KINDS]
    assert name in status.as_table(outputs, "lab", found, terminal=False, width=width)


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with standing_fortress(tmp_path / "f") as standing:
        engine = tmp_path / "pulumi"
        (tmp_path / "state.json").write_text(json.dumps(standing.state))
        engine.write_text(f'#!/bin/sh\ncase "$*" in *nope*) exit 6 ;; *) exec cat {tmp_path}/state.json ;; esac\n')
        engine.chmod(0o755)
        plain = {k: v for k, v in os.environ.items() if k not in ("SSH_AUTH_SOCK", "FORCE_COLOR", "COLUMNS")}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            environment = plain | {"PATH": f"{tmp_path}:/usr/bin:/bin"}
            command = [str(FORTRESS), "status", *words, "--key", str(standing.key)]
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

        done, nope = run("--stack", "lab", "--json"), run("--stack", "nope", "--json")
    found = json.loads(done.stdout)
    assert {check["name"] for check in found["checks"]} == set(NAMES)
    assert len(found["checks"]) == 15
    assert done.returncode == (0 if found["ok"] else 1)
    assert (nope.returncode, json.loads(nope.stdout)["ok"]) == (2, False)
    assert nope.stderr.startswith("fortress: there is no stack 'nope'")
