"""`fortress verify` against a whole fortress of doubles: what it measures, what it says, how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest
from typer.testing import CliRunner

from fortress.cli.check.check import DAY_S, Check
from fortress.cli.hosts import ssh
from fortress.cli.main import app
from fortress.cli.verify import outside, questions, renewal
from fortress.cli.verify.measure import measure
from fortress.facts import parse
from fortress.host_keys import fingerprint
from tests.doubles.certificates import issue
from tests.doubles.ssh_server import Behaviour, public, silent_server, ssh_server
from tests.doubles.standing_fortress import KEYS, PINGED, SERVER_NAME, Fortress, exported, standing_fortress

FORTRESS = Path(sys.executable).parent / "fortress"


@pytest.fixture
def fortress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fortress]:
    with standing_fortress(tmp_path / "f") as standing:
        monkeypatch.setattr(outside, "HTTP_PORT", standing.http_port)
        yield standing


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").mkdir()
    monkeypatch.chdir(tmp_path)  # where results are kept
    monkeypatch.setattr(questions, "LOAD_S", 0.1)


def checked(
    fortress: Fortress, *, ahead_s: float = 0.0, timeout: float = 5.0, changes: Mapping[str, Any] | None = None
) -> dict[tuple[str, str], Check]:
    """Every check by (name, host), measured with a clock of ours that is `ahead_s` wrong."""
    written = {**fortress.facts, **(changes or {})}
    found = measure(
        "lab", parse(written), ssh.prepare(fortress.key, {}), timeout=timeout, clock=lambda: time.time() + ahead_s
    )
    by_name = {(check.name, check.host): check for check in found}
    assert len(by_name) == len(found), "a name and a host must name one check"
    return by_name


def statuses(checks: Mapping[tuple[str, str], Check]) -> dict[tuple[str, str], str]:
    return {key: str(check.status) for key, check in checks.items() if check.status != "ok"}


def of_host(checks: Mapping[tuple[str, str], Check], host: str) -> set[str]:
    return {name for name, where in checks if where == host}


def test_everything_holds_and_everything_is_asked(fortress: Fortress) -> None:
    found = checked(fortress)
    assert statuses(found) == {}
    everywhere = {
        "host key",
        "clock offset",
        "open ports",
        "unknown peers",
        "key age",
        "interface MTU",
        "disk space",
        "listening",
    }
    assert of_host(found, "oslo-db") == everywhere | {
        "handshake with fra-1",
        "database without TLS",
        "database release",
        "sandbox of mariadb",
        "database from outside",
        "database certificate",
        "I/O wait",
    } | {name for name in of_host(found, "oslo-db") if name.startswith(OF_PAIRS)}
    assert of_host(found, "oslo-edge") >= everywhere | {
        "sandbox of haproxy",
        "backend oslo/oslo-web",
        "backend frankfurt/fra-2",
        "failover",
        "https answer",
        "http redirect",
        "edge certificate",
        "edge TLS",
    }
    assert of_host(found, "fra-1") >= everywhere | {
        "handshake with oslo-db",
        "handshake with oslo-edge",
        "database over TLS",
        # Who has an address that may change dials the other.
        "path MTU to oslo-db",
        "path MTU to oslo-edge",
    }
    # Two pairs of direct peers, each measured once.
    for start in ("round trip", "loss", "tunnel MTU", "path MTU", "encryption"):
        assert len([name for name, _ in found if name.startswith(start)]) == 2
    assert fortress.asked == [("lab.fortress.example", "/health")]
    assert found["database over TLS", "fra-1"].value == "TLSv1.3"
    assert found["database certificate", "oslo-db"].value == 299.9
    assert found["edge certificate", "oslo-edge"].value == 89.9


NOT_THERE = {
    "database": {
        "database over TLS",
        "database without TLS",
        "database release",
        "database from outside",
        "database certificate",
        "I/O wait",
        "sandbox of mariadb",
    },
    "edge": {"failover", "https answer", "http redirect", "edge TLS", "edge certificate", "sandbox of haproxy"},
    "mesh": {"interface MTU"},
}
OF_PAIRS = ("backend ", "round trip ", "loss ", "tunnel MTU ", "path MTU ", "encryption ")


@pytest.mark.parametrize("missing", [("database",), ("edge",), ("database", "edge"), ("database", "edge", "mesh")])
def test_what_a_stack_does_not_have_is_not_asked(fortress: Fortress, missing: tuple[str, ...]) -> None:
    whole = {name for name, _ in checked(fortress)}
    found = checked(fortress, changes={"version": 3, **dict.fromkeys(missing)})
    assert statuses(found) == {}
    left = {name for name, _ in found}
    assert whole - left == {
        name
        for name in whole
        if any(name in NOT_THERE[part] for part in missing)
        or ("edge" in missing and name.startswith("backend "))
        or ("mesh" in missing and name.startswith(OF_PAIRS))
    }


def test_a_declared_flow_is_tried_by_its_source(fortress: Fortress) -> None:
    known = fortress.facts["hosts"]
    hosts = {**known, **{name: {**known[name], "mesh_address": "127.0.0.1"} for name in ("fra-1", "oslo-db")}}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        flow = {"source": "fra-1", "destination": "oslo-db", "port": port, "protocol": "tcp"}
        shut = {**flow, "port": 1}
        found = checked(fortress, changes={"version": 3, "flows": [flow, shut], "hosts": hosts})
    assert found[f"flow to oslo-db tcp/{port}", "fra-1"].status == "ok"
    assert found["flow to oslo-db tcp/1", "fra-1"].detail == "oslo-db lets it in, and nobody listens there"
    (command,) = [each for each in fortress.hosts["fra-1"].commands if f"tcp {port}" in each]
    assert command.endswith(f"127.0.0.1 127.0.0.1 tcp {port} 127.0.0.1 tcp 1"), "one question for both"


def test_a_volume_that_hosts_encrypt_is_looked_at(tmp_path: Path) -> None:
    program = f"""[ "$3" = /var/lib/mysql ] && [ $# = 3 ] || exec {shlex.quote(sys.executable)} "$@"
echo '{{"device": "/dev/vdb", "luks": true, "entropy": 7.9972, "same": false}}'"""
    with standing_fortress(tmp_path / "f", scripts={"oslo-db": {"python3": program}}) as fortress:
        database = {**fortress.facts["database"], "encrypted": True}
        found = checked(fortress, changes={"version": 7, "database": database})
    check = found["data volume", "oslo-db"]
    assert (check.status, check.value, check.detail) == ("ok", "encrypted", "/dev/vdb: LUKS, and 8.00 bits a byte")


def test_a_worker_without_a_database_is_not_asked_for_it(fortress: Fortress) -> None:
    database = {**fortress.facts["database"], "clients": []}
    found = checked(fortress, changes={"version": 3, "database": database})
    assert ("database over TLS", "fra-1") not in found


def test_one_connection_a_host_and_only_commands_that_read(fortress: Fortress) -> None:
    checked(fortress)
    assert {name: server.logins for name, server in fortress.hosts.items()} == dict.fromkeys(fortress.hosts, 1)
    programs = set()
    for server in fortress.hosts.values():
        for command in server.commands:
            asked = command.split("; ", 2)[2]  # a mark comes before it
            words = [word for word in shlex.split(asked.split("&&")[-1]) if word not in ("sudo", "-n")]
            programs.add(words[0])
            assert words[0] != "mariadb-upgrade" or words[-1] == "--check-if-upgrade-is-needed"
    assert programs == {"sh", "cat", "mariadb", "mariadb-upgrade", "python3", "while"}


def test_an_upgrade_in_the_background_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "upgraded").mkdir()
    says = "echo 'This installation of MariaDB is already upgraded to 11.8.9-MariaDB.'; exit 1"
    upgrade = f"[ -e {tmp_path}/asked ] || {{ : >{tmp_path}/asked; exit 0; }}; {says}"
    with standing_fortress(tmp_path / "upgraded", scripts={"oslo-db": {"mariadb-upgrade": upgrade}}) as standing:
        found = checked(standing)
    assert found["database release", "oslo-db"].value == "11.8.9-MariaDB"


def test_a_wrong_clock_is_found_on_whichever_side_it_is(fortress: Fortress, tmp_path: Path) -> None:
    found = checked(fortress, ahead_s=-0.25)
    for host in fortress.hosts:
        offset = found["clock offset", host]
        assert offset.status == "fail"
        assert offset.value == pytest.approx(250, abs=60)
        assert offset.detail.startswith("ahead of this clock")
    # The host's own: its `date` is an hour behind.
    date = 'now=$(/bin/date +%s) && case "$*" in *%N) echo "$((now - 3600)).5" ;; *) echo "$((now - 3600))" ;; esac'
    (tmp_path / "wrong").mkdir()
    with standing_fortress(tmp_path / "wrong", scripts={"fra-1": {"date": date}}) as wrong:
        found = checked(wrong)
    assert found["clock offset", "fra-1"].value == pytest.approx(-3_600_000, abs=1500)
    assert found["clock offset", "fra-1"].detail.startswith("behind this clock")
    assert found["clock offset", "oslo-db"].status == "ok"
    # Ages of handshakes are by the host's own clock, and stay right.
    assert found["handshake with oslo-db", "fra-1"].value == pytest.approx(37, abs=2)


def test_an_impostor_is_told_by_both_fingerprints_and_is_asked_nothing(fortress: Fortress) -> None:
    pinned = public(paramiko.ECDSAKey.generate())
    hosts = {**fortress.facts["hosts"], "fra-1": {**fortress.facts["hosts"]["fra-1"], "host_key": pinned}}
    found = checked(fortress, changes={"hosts": hosts})
    key = found["host key", "fra-1"]
    assert str(key.status) == "fail"
    assert fingerprint(pinned) in key.detail
    assert fingerprint(fortress.hosts["fra-1"].host_key) in key.detail
    assert fortress.hosts["fra-1"].commands == []
    assert found["clock offset", "fra-1"].status == "unknown"
    assert found["clock offset", "fra-1"].detail == "fra-1 is not asked: its host key is not the pinned one"
    assert found["database certificate", "oslo-db"].detail == "no worker could reach the database over TLS"


def test_a_host_that_does_not_answer_leaves_its_checks_unknown_in_time(fortress: Fortress) -> None:
    with silent_server("127.0.0.21") as silent:
        facts = {**fortress.facts["hosts"]["fra-1"], "port": silent.port, "open_tcp": []}
        started = time.monotonic()
        found = checked(fortress, timeout=3.0, changes={"hosts": {**fortress.facts["hosts"], "fra-1": facts}})
        # Its own limit, and the scan's beside it.
        assert time.monotonic() - started < 3.0 + outside.PORT_ANSWERS_S + 5.0
    own = {name: str(check.status) for (name, host), check in found.items() if host == "fra-1"}
    # Nothing is open on it, as it should be; that can be seen from here.
    assert own.pop("open ports") == "ok"
    assert set(own.values()) == {"unknown"}
    assert found["host key", "fra-1"].detail == f"fra-1 does not answer on 127.0.0.21:{silent.port} within 3 s"
    others = {key: status for key, status in statuses(found).items() if key[1] != "fra-1"}
    assert others == {("database certificate", "oslo-db"): "unknown"}


def test_a_host_that_freezes_or_hangs_up_keeps_what_it_said_before(tmp_path: Path) -> None:
    freezing = {"fra-1": Behaviour((), freezes_on="sys/class"), "oslo-edge": Behaviour((), hangs_up_on="sys/class")}
    with standing_fortress(tmp_path / "f", behaviour=freezing) as fortress:
        found = checked(fortress, timeout=3.0)
    assert found["clock offset", "fra-1"].status == "ok"
    assert found["interface MTU", "fra-1"].detail == "fra-1 gave no answer within 3 s"
    assert found["database over TLS", "fra-1"].detail == "fra-1 gave no answer within 3 s"
    assert found["handshake with fra-1", "oslo-edge"].status == "ok"
    assert found["backend oslo/oslo-web", "oslo-edge"].detail.startswith("oslo-edge the connection broke")


def test_a_host_that_drips_or_stops_in_the_middle_is_given_up_in_time(tmp_path: Path) -> None:
    scripts = {
        "fra-1": {"wg": "for _ in $(seq 60); do printf x; sleep 0.1; done"},
        "oslo-db": {"wg": f"printf 'half an {KEYS['fra-1'][:9]}'; exec sleep 60"},
    }
    with standing_fortress(tmp_path / "f", scripts=scripts) as fortress:
        started = time.monotonic()
        found = checked(fortress, timeout=3.0)
        assert time.monotonic() - started < 15
    for host in scripts:
        assert found["clock offset", host].status == "ok"
        assert found["interface MTU", host].detail == f"{host} gave no answer within 3 s"
    assert found["handshake with fra-1", "oslo-edge"].status == "ok"


def test_a_host_that_prints_something_else_costs_only_what_it_was_asked(tmp_path: Path) -> None:
    odd = {"sh": "printf 'now 1\\npeer K inf\\nkey 1e999\\n'", "cat": "printf '\\033[2J1360'", "python3": "echo '{}'"}
    with standing_fortress(tmp_path / "f", scripts={"fra-1": odd}) as fortress:
        found = checked(fortress)
    for name in ("key age", "interface MTU", "database over TLS", "path MTU to oslo-db", "round trip to oslo-db"):
        assert str(found[name, "fra-1"].status) == "unknown", name
        assert found[name, "fra-1"].detail.isprintable()
    assert str(found["clock offset", "fra-1"].status) == "ok"


def test_what_is_lost_on_the_way_is_measured_by_the_same_pings(tmp_path: Path) -> None:
    some = PINGED.replace(" 100; ", " 95; ")
    lossy = {"ping": f"case $* in *'-c 100 '*) {some} ;; esac"}
    with standing_fortress(tmp_path / "f", scripts={"fra-1": lossy}) as fortress:
        found = checked(fortress)
        less = checked(fortress, changes={"limits": {**fortress.facts["limits"], "loss_percent": 5.0}})
    lost = found["loss to oslo-db", "fra-1"]
    assert (str(lost.status), lost.value, lost.limit, lost.detail) == ("fail", 5.0, 1.0, "95 of 100 answered")
    assert str(found["round trip to oslo-db", "fra-1"].status) == "ok"
    assert str(less["loss to oslo-db", "fra-1"].status) == "ok"


def test_a_stack_of_an_older_version_is_to_be_brought_up_once_more(fortress: Fortress, tmp_path: Path) -> None:
    del fortress.facts["mesh"]["path_mtu"]
    command = engine(tmp_path / "bin", fortress.outputs)
    done = command.run("verify", "--stack", "lab", "--key", str(fortress.key))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "fortress: output 'fortress' of stack 'lab' was written by another version of this program "
        "(mesh.path_mtu: field required); run `pulumi up` once more\n"
    )
    assert [server.commands for server in fortress.hosts.values()] == [[], [], []]


def test_a_program_that_a_host_lacks_is_unknown_with_its_name(tmp_path: Path) -> None:
    lacking = {"sudo": "echo 'sudo: wg: command not found' >&2; exit 1"}
    with standing_fortress(tmp_path / "f", scripts={"fra-1": lacking}) as fortress:
        found = checked(fortress)
    check = found["handshake with oslo-db", "fra-1"]
    assert (str(check.status), check.detail) == ("unknown", "fra-1 lacks a program (sudo: wg: command not found)")


def test_a_fortress_behind_a_bastion(fortress: Fortress) -> None:
    authorized = (public(paramiko.PKey.from_path(fortress.key)),)
    with ssh_server(Behaviour(authorized, forwards=True)) as jump:
        facts = {"address": jump.address, "port": jump.port, "user": "ops", "host_key": jump.host_key}
        assert statuses(checked(fortress, changes={"bastion": facts})) == {}
        assert jump.logins == 1
    found = checked(fortress, changes={"bastion": facts})
    assert {str(found["host key", host].status) for host in (*fortress.hosts, "the bastion")} == {"unknown"}
    assert found["host key", "fra-1"].detail.startswith("fra-1 is not asked: the bastion does not answer on")


def test_a_bastion_with_another_key_is_the_failure_and_nobody_behind_it_is_asked(fortress: Fortress) -> None:
    authorized = (public(paramiko.PKey.from_path(fortress.key)),)
    other = public(paramiko.ECDSAKey.generate())
    with ssh_server(Behaviour(authorized, forwards=True)) as jump:
        facts = {"address": jump.address, "port": jump.port, "user": "ops", "host_key": other}
        found = checked(fortress, changes={"bastion": facts})
        assert jump.logins == 0
    shown = f"shows {fingerprint(jump.host_key)}, pinned is {fingerprint(other)}"
    check = found["host key", "the bastion"]
    assert (str(check.status), check.value, check.detail) == ("fail", "another key", f"the host {shown}")
    check = found["host key", "fra-1"]
    assert (str(check.status), check.detail) == ("unknown", f"fra-1 is not asked: the bastion {shown}")


def test_a_database_that_answers_from_outside(fortress: Fortress) -> None:
    database = {**fortress.facts["database"], "port": fortress.hosts["oslo-db"].port}
    found = checked(fortress, changes={"database": database})
    check = found["database from outside", "oslo-db"]
    assert (str(check.status), check.value) == ("fail", "open")
    # On that port is no MariaDB inside the tunnel either.
    assert str(found["database over TLS", "fra-1"].status) == "fail"


def test_ports_that_should_not_be_open(fortress: Fortress) -> None:
    open_too = fortress.hosts["oslo-edge"].port
    hosts = {**fortress.facts["hosts"], "oslo-edge": {**fortress.facts["hosts"]["oslo-edge"], "open_tcp": []}}
    limits = {**fortress.facts["limits"], "ports": [open_too, 1]}
    found = checked(fortress, changes={"hosts": hosts, "limits": limits})
    assert found["open ports", "oslo-edge"].detail == f"open and should not be: {open_too}"
    assert found["open ports", "oslo-db"].status == "ok"


def test_an_edge_that_is_down_fails_when_its_host_lives(fortress: Fortress) -> None:
    edge = {**fortress.facts["edge"], "url": "https://127.0.0.12:1", "server_name": "other.example"}
    found = checked(fortress, changes={"edge": edge})
    assert found["https answer", "oslo-edge"].detail == "https://127.0.0.12:1/health: connection refused"
    assert str(found["https answer", "oslo-edge"].status) == "fail"
    assert str(found["edge certificate", "oslo-edge"].status) == "unknown"
    edge = {**fortress.facts["edge"], "server_name": "other.example"}
    certificate = checked(fortress, changes={"edge": edge})["edge certificate", "oslo-edge"]
    assert certificate.detail == f"is for lab.fortress.example, not for other.example; {renewal.OF_OTHERS}"


def test_the_edges_certificate_is_for_each_of_its_names(fortress: Fortress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "_MADE_THERE", issue(SERVER_NAME).certificate.subject)
    edge = {**fortress.facts["edge"], "other_names": ["www.lab.example", SERVER_NAME]}
    found = checked(fortress, changes={"version": 4, "edge": edge})["edge certificate", "oslo-edge"]
    assert str(found.status) == "fail"
    assert found.detail.startswith(f"is for {SERVER_NAME}, not for www.lab.example; renew it")
    assert f"{SERVER_NAME} www.lab.example" in found.detail


def test_a_certificate_about_to_end_comes_with_what_renews_it(
    fortress: Fortress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command only for a certificate that a host made: another one's owner renews it."""
    facts = parse(fortress.facts)
    assert facts.database is not None
    assert facts.edge is not None
    late_s = 290 * DAY_S
    found = checked(fortress, ahead_s=late_s)
    database, edge = found["database certificate", "oslo-db"], found["edge certificate", "oslo-edge"]
    assert (database.value, database.detail) == (9.9, renewal.of_database("lab", facts, facts.database))
    assert (edge.value, edge.detail) == (-200.1, f"expired: {renewal.OF_OTHERS}")
    monkeypatch.setattr(outside, "_MADE_THERE", issue(SERVER_NAME).certificate.subject)
    edge = checked(fortress, ahead_s=80 * DAY_S)["edge certificate", "oslo-edge"]
    assert (edge.value, edge.detail) == (9.9, renewal.of_edge("lab", facts, facts.edge))
    assert "--stack lab" in edge.detail


def test_a_host_that_is_set_as_gone_is_not_asked(fortress: Fortress) -> None:
    hosts = {name: facts for name, facts in fortress.facts["hosts"].items() if name != "oslo-db"}
    found = checked(fortress, changes={"hosts": hosts})
    assert found["database from outside", "oslo-db"].detail == "oslo-db is set as gone"
    assert {host for _, host in found} == {"oslo-db", "oslo-edge", "fra-1"}
    assert fortress.hosts["oslo-db"].commands == []


# The command itself


@dataclass(frozen=True)
class Command:
    """The `fortress` command with an engine that knows one stack."""

    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [FORTRESS, *arguments], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([FORTRESS, *arguments], env=self.environment, text=True, **options)


def engine(folder: Path, outputs: Mapping[str, Any]) -> Command:
    """Put a `pulumi` on PATH that prints the state of stack `lab`; one without outputs is not up."""
    folder.mkdir(exist_ok=True)
    (folder / "state.json").write_text(json.dumps(exported(outputs) if outputs else {}))
    pulumi = folder / "pulumi"
    pulumi.write_text(
        f'#!/bin/sh\ncase "$*" in\n'
        f'"stack export --stack lab --non-interactive --color never") exec cat {folder}/state.json ;;\n'
        "*) echo \"error: no stack named 'nope' found\" >&2; exit 6 ;;\nesac\n"
    )
    pulumi.chmod(0o755)
    plain = {k: v for k, v in os.environ.items() if k not in ("SSH_AUTH_SOCK", "FORCE_COLOR", "COLUMNS")}
    return Command(plain | {"PATH": f"{folder}:/usr/bin:/bin"})


def test_json_and_exit_status_of_a_fortress_that_holds(
    fortress: Fortress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", engine(tmp_path / "bin", fortress.outputs).environment["PATH"])
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    done = CliRunner().invoke(app, ["verify", "--stack", "lab", "--json", "--key", str(fortress.key)])
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["ok"], found["stack"]) == (True, "lab")
    assert {frozenset(check) for check in found["checks"]} == {
        frozenset({"name", "host", "status", "value", "unit", "limit", "detail", "kind", "about"})
    }
    assert [check["name"] for check in found["checks"]][:4] == ["host key"] * 3 + ["clock offset"]
    table = CliRunner().invoke(app, ["verify", "--stack", "lab", "--key", str(fortress.key)])
    assert table.exit_code == 0
    assert f"lab: {len(found['checks'])} checks, {len(found['checks'])} ok" in table.stdout


def test_what_fails_ends_with_1_and_what_is_unknown_with_2(fortress: Fortress, tmp_path: Path) -> None:
    # The edge's port 80 is another one here, so that check fails.
    command = engine(tmp_path / "bin", fortress.outputs)
    done = command.run("verify", "--stack", "lab", "--key", str(fortress.key))
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAIL  http redirect on oslo-edge: port 80: connection refused" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_with_nobody_at_home_nothing_can_be_told(
    fortress: Fortress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is down is no failure of what stands behind it."""
    with silent_server("127.0.0.31") as silent, socket.socket() as full:
        # A full queue drops what comes after, as a machine does that is off.
        full.bind(("127.0.0.32", 0))
        full.listen(0)
        nowhere = full.getsockname()
        with socket.create_connection(nowhere):
            for facts in fortress.facts["hosts"].values():
                facts |= {"address": silent.address, "port": silent.port, "open_tcp": [1]}
            fortress.facts["edge"]["url"] = f"https://{nowhere[0]}:{nowhere[1]}"
            monkeypatch.setattr(outside, "HTTP_PORT", nowhere[1])
            monkeypatch.setenv("PATH", engine(tmp_path / "bin", fortress.outputs).environment["PATH"])
            monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
            words = ["verify", "--stack", "lab", "--json", "--timeout", "1", "--key", str(fortress.key)]
            done = CliRunner().invoke(app, words)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"]) == (2, False)
    # Failover is computed, and asks nobody.
    assert {check["status"] for check in found["checks"] if check["name"] != "failover"} == {"unknown"}


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_missing_is_one_line_and_status_2(fortress: Fortress, tmp_path: Path, as_json: bool) -> None:
    key = ["--key", str(fortress.key)]
    options = ["--json"] if as_json else []
    whole, fresh = engine(tmp_path / "bin", fortress.outputs), engine(tmp_path / "fresh", {})
    cases = [
        (whole, ["--stack", "nope", *key], "there is no stack 'nope' in this backend; `pulumi stack ls` lists"),
        (
            fresh,
            ["--stack", "lab", *key],
            "stack 'lab' is not up: never created, or destroyed; create it with `pulumi up --stack",
        ),
        (whole, ["--stack", "lab"], "there is no SSH agent (SSH_AUTH_SOCK is not set); start one and add your key"),
    ]
    for command, arguments, why in cases:
        done = command.run("verify", *arguments, *options)
        assert done.returncode == 2
        assert done.stderr.startswith(f"fortress: {why}")
        assert done.stderr.count("\n") == 1
        if as_json:
            found = json.loads(done.stdout)
            assert (found["ok"], found["checks"]) == (False, [])
            assert found["error"].startswith(why)
        else:
            assert done.stdout == ""


def test_ctrl_c_ends_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    freezing = {"fra-1": Behaviour((), freezes_on="date")}
    with standing_fortress(tmp_path / "f", behaviour=freezing) as fortress:
        command = engine(tmp_path / "bin", fortress.outputs)
        process = command.start(
            *("verify", "--stack", "lab", "--key", str(fortress.key), "--timeout", "60"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not fortress.hosts["fra-1"].commands:
            assert time.monotonic() < deadline, "the host is not asked"
            time.sleep(0.05)
        pressed = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert time.monotonic() - pressed < 5
    assert (process.returncode, stdout, stderr) == (130, "", "")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_ctrl_c_takes_the_engine_along(fortress: Fortress, tmp_path: Path) -> None:
    command = engine(tmp_path / "bin", fortress.outputs)
    (tmp_path / "bin" / "pulumi").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    process = command.start(
        *("verify", "--stack", "lab", "--key", str(fortress.key)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        assert time.monotonic() < deadline, "the engine is not asked"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, "", "")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_reader_that_goes_away_is_no_error(fortress: Fortress, tmp_path: Path) -> None:
    command = engine(tmp_path / "bin", fortress.outputs)
    read, write = os.pipe()
    process = command.start(
        "verify", "--stack", "lab", "--key", str(fortress.key), stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    os.close(read)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (1, "")


def test_a_full_disk_is_one_line(fortress: Fortress, tmp_path: Path) -> None:
    command = engine(tmp_path / "bin", fortress.outputs)
    with Path("/dev/full").open("w") as full:
        process = command.start(
            "verify", "--stack", "lab", "--key", str(fortress.key), stdout=full, stderr=subprocess.PIPE
        )
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (2, "fortress: cannot write to standard output: No space left on device\n")


def test_progress_only_on_a_terminal(fortress: Fortress, tmp_path: Path) -> None:
    command = engine(tmp_path / "bin", fortress.outputs)
    words = shlex.join([str(FORTRESS), "verify", "--stack", "lab", "--key", str(fortress.key)])
    shown = subprocess.run(
        ["script", "-qec", f"{words} >/dev/null", "/dev/null"],
        env={**command.environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "asking 3 hosts" in shown.stdout
    assert command.run("verify", "--stack", "lab", "--key", str(fortress.key)).stderr == ""


def test_help_and_version_teach() -> None:
    for arguments, words in (
        (["--help"], ["verify", "forget", "Examples:", "fortress verify --stack lab"]),
        (["verify", "--help"], ["Examples:", "--json", "Exit status:", "2  no check fails, but some could not"]),
        (["forget", "--help"], ["Examples:", "--yes", "Exit status:"]),
        (["--version"], ["fortress 0."]),
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0
        for word in words:
            assert word in done.stdout


def test_each_help_fits_80_columns_with_examples_and_statuses() -> None:
    verbs = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    assert {
        *("verify", "drift", "status", "ssh", "preview", "report", "forget", "audit"),
        *("backups", "restore", "drill", "record", "switchover", "promote", "reseed", "recover"),
    } == set(verbs)
    verbs.append("backup now")
    for words in ([], *(verb.split() for verb in verbs)):
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": None}).stdout
        assert [line for line in shown.splitlines() if len(line) > 80] == []
        assert f"  fortress {' '.join(words)}".rstrip() in shown.partition("Examples:")[2]
        assert words == [] or "Exit status:" in shown


def test_wrong_words_on_the_command_line_end_with_2() -> None:
    for arguments in (["verify"], ["verify", "--stack", "lab", "--timeout", "0"], ["forget", "--stack", "lab"]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2
        assert "Error: " in done.stderr
