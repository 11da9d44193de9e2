"""`fortress drift`: what should stand by the state, what stands by the host, and what is written to have it mended."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import paramiko
import pytest

from fortress import activation, firewall, mariadb, push, text, wireguard
from fortress.cli import status
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.drift import pushed, readback, repair
from fortress.cli.drift.pushed import File
from fortress.cli.drift.readback import Answer, Finding, Guest, Read
from fortress.cli.drift.show import as_json, as_text
from fortress.cli.engine.state import SECRET, interrupted
from fortress.cli.hosts import ssh
from fortress.cli.hosts.visit import visit
from fortress.facts import parse
from fortress.host_keys import fingerprint
from fortress.push import NOTE
from fortress.wireguard import PeerFile, render_interface, render_mtu, render_peer
from tests.doubles.ssh_server import Behaviour, public, ssh_server
from tests.doubles.standing_fortress import Fortress, standing_fortress
from tests.keys import wireguard_key
from tests.unit.push_host import Cut, PushHost

FORTRESS = Path(sys.executable).parent / "fortress"
ROOT = "urn:pulumi:lab::data-fortress::pulumi:pulumi:Stack::data-fortress-lab"
WORD = "correct-horse-battery"
"""A secret that must never be seen."""


def urn(name: str, kind: str = "command:remote:Command") -> str:
    return f"urn:pulumi:lab::data-fortress::{kind}::{name}"


def secret(value: object) -> dict[str, object]:
    return {**SECRET, "plaintext": json.dumps(value)}


def host(name: str) -> dict[str, Any]:
    outputs = {"machine_id": f"{name}.1"}
    return {"urn": urn(name, "fortress:index:Host"), "type": "fortress:index:Host", "outputs": outputs}


def resource(name: str, create: str, stdin: object = None) -> dict[str, Any]:
    inputs: dict[str, object] = {"create": f"sudo {create}", "connection": secret({"host": "192.0.2.1"})}
    if stdin is not None:
        inputs["stdin"] = stdin
    outputs = copy.deepcopy(inputs) | {"stdout": ""}
    return {"urn": urn(name), "type": "command:remote:Command", "custom": True, "inputs": inputs, "outputs": outputs}


def put(name: str, on: str, path: str, content: str, *, hidden: bool = False, **options: Any) -> dict[str, Any]:
    stdin: object = push.content(content)
    command = push.Put(path, machine=f"{on}.1", resource=name, **options).render()
    return resource(name, command, secret(stdin) if hidden else stdin)


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    root = {"urn": ROOT, "type": "pulumi:pulumi:Stack"}
    return {"version": 3, "deployment": {"manifest": {}, "resources": [root, *resources]}}


# --- what should stand


def test_the_state_says_what_should_stand_where() -> None:
    found = pushed.read(
        state(
            host("oslo-db"),
            host("fra-1"),
            resource("oslo-db-push", push.Install(machine="oslo-db.1").render(), push.content("#!/bin/sh\n")),
            put("a", "oslo-db", "/etc/a b", "one\n", mode="640", owner="root:mysql", unit="mariadb", apply="x"),
            put("b", "fra-1", "/etc/b", WORD, hidden=True),
            put("c", "nobody", "/etc/c", "of a machine that the state does not know\n"),
            {**put("d", "fra-1", "/etc/d", "about to be deleted\n"), "delete": True},
            resource("confirmed", push.Confirm("/etc/a b", "0" * 64, machine="oslo-db.1").render()),
            resource("key", push.for_machine("fra-1.1", *push.script("wireguard", "start", "wg0"))),
            {"urn": urn("gone"), "type": "command:remote:Command", "inputs": {"stdin": "x"}},
            resource("of the program's own", "apt-get update # don't ask"),
        )
    )
    tool, configuration = found["oslo-db"].files
    assert (tool.path, tool.mode, tool.by_push) == (push.PUSH, "0755", False)
    # push.sh stands with the line that ends what is sent.
    assert tool.text.endswith(push.END)
    digest = hashlib.sha256(b"one\n").hexdigest()
    assert configuration.standing == f"{digest},0640,root:mysql"
    assert (configuration.path, configuration.unit, configuration.secret) == ("/etc/a b", "mariadb", False)
    assert found["oslo-db"].confirms == {"/etc/a b": urn("confirmed")}
    (hidden,) = found["fra-1"].files
    assert (hidden.secret, hidden.text) == (True, f"{WORD}\n")
    assert WORD not in repr(found)
    assert found["fra-1"].tunnels == {"wg0": urn("key")}


def test_host_scripts_that_came_with_push_sh_are_files_of_their_own() -> None:
    sent = push.content(push.with_tools("#!/bin/sh\nexit 0\n", {"ask": "#!/bin/sh\n", "look": "#!/bin/sh\n: 1\n"}))
    installed = resource("oslo-db-push", push.Install(machine="oslo-db.1").render(), sent)
    tool, ask, look = pushed.read(state(host("oslo-db"), installed))["oslo-db"].files
    assert (tool.path, tool.text) == (push.PUSH, sent)
    assert (ask.path, ask.text, ask.mode, ask.by_push) == (f"{push.LIBRARY}/ask", "#!/bin/sh\n", "0755", False)
    assert (look.path, look.urn) == (f"{push.LIBRARY}/look", installed["urn"])
    edited = readback.judge(ask, readback.Read(f"{'0' * 64},0755,root:root", None, frozenset(), "#!/bin/sh\nby hand\n"))
    assert edited.check.value == "edited by hand"
    found = repair.with_findings(state(host("oslo-db"), installed), [edited])["deployment"]["resources"][-1]["inputs"]
    assert found["stdin"] == sent, "which the host has behind the script that installed it"
    assert "file /usr/local/lib/fortress/ask: edited by hand" in found["create"]
    assert push.parse(found["create"]) == push.Install(machine="oslo-db.1")
    assert edited.renew == ()


def together(name: str, on: str, files: dict[str, str]) -> dict[str, Any]:
    """A resource that puts several files, after a command of its own."""
    puts = [push.Put(path, machine="", resource=name, mode="0640") for path in files]
    sent = push.together((put, push.content(text)) for put, text in zip(puts, files.values(), strict=True))
    command = push.Files(tuple(files), machine=f"{on}.1", resource=name)
    confirm = push.Confirm("/etc/nftables.conf", "0" * 64, machine=f"{on}.1")
    return resource(name, push.steps(confirm, command).render(), sent)


def test_files_that_are_put_together_are_known_by_path_and_repaired_together() -> None:
    three = together("app-files", "oslo-db", {"/etc/a": "a\n", "/etc/b": "b\n", "/etc/c": "c\n"})
    stack = state(host("oslo-db"), three)
    found = pushed.read(stack)["oslo-db"]
    assert [(file.path, file.text, file.mode, file.urn, file.noted) for file in found.files] == [
        (f"/etc/{name}", f"{name}\n", "0640", three["urn"], "") for name in "abc"
    ]
    assert found.confirms == {"/etc/nftables.conf": three["urn"]}
    a, b, c = found.files
    edited = readback.judge(a, readback.Read(f"{'0' * 64},0640,root:root", None, frozenset(), "by hand\n"))
    closed = readback.judge(b, readback.Read(b.standing.replace("0640", "0600"), None, frozenset(), None))
    repaired = repair.with_findings(stack, [edited, closed])
    a, b, c = pushed.read(repaired)["oslo-db"].files
    assert [(file.text, file.mode) for file in (a, b, c)] == [("by hand\n", "0640"), ("b\n", "0600"), ("c\n", "0640")]
    note = "file /etc/a: edited by hand; file /etc/b: edited by hand"
    assert [file.noted for file in (a, b, c)] == [note, note, ""]
    again = pushed.read(repair.with_findings(repaired, [edited]))["oslo-db"].files
    assert [file.noted.count("/etc/a: edited by hand") for file in again] == [1, 1, 0], "it is not said twice"


def test_what_runs_after_a_file_was_put_again() -> None:
    """What confirms it, and the gate that restarts its unit or waits for it: without that it would not be in force."""
    gate = push.for_machine("fra-1.1", *push.HEALTH_GATE, "http://10.100.0.2:80/health", "60", "app")
    found = pushed.read(
        state(
            host("fra-1"),
            put("code", "fra-1", "/opt/app.py", "x\n", apply=activation.restart_at_the_gate("app")),
            put("unit", "fra-1", "/etc/app.service", "x\n", apply="x", unit="app"),
            put("other", "fra-1", "/etc/other", "x\n", apply=activation.restart_if_enabled("app")),
            put("rules", "fra-1", "/etc/rules", "x\n"),
            resource("confirmed", push.Confirm("/etc/rules", "0" * 64, machine="fra-1.1").render()),
            resource("healthy", gate),
        )
    )["fra-1"]
    assert {file.path: found.after(file) for file in found.files} == {
        "/opt/app.py": (urn("healthy"),),
        "/etc/app.service": (urn("healthy"),),
        "/etc/other": (),
        "/etc/rules": (urn("confirmed"),),
    }


@pytest.mark.parametrize(("name", "hidden"), [("lab-0021", ["/etc/fortress/app/database-password"]), ("lab", [])])
def test_every_file_of_a_recorded_fortress_is_known(name: str, hidden: list[str]) -> None:
    """Written by the real engine: what the program pushes is what is looked at, by whichever resource it is put.

    Of secret files that are put together not even the number is recorded.
    """
    recorded = json.loads((Path(__file__).parents[1] / "recorded" / f"{name}.json").read_text())
    found = pushed.read(recorded)
    assert set(found) == {"oslo-db", "oslo-edge", "oslo-web", "fra-1", "fra-2"}
    lines = [str(each.get("inputs", {}).get("create", "")) for each in recorded["deployment"]["resources"]]
    paths = [path for line in lines for command, _ in push.parts(line, None) for path in push.paths(command)]
    known = sorted(file.path for each in found.values() for file in each.files if file.by_push)
    secret = ("/etc/fortress/app/database-ca.pem", "/etc/fortress/app/database-password")
    assert known == sorted(path for path in paths if hidden or path not in secret)
    for each in found.values():
        assert set(each.confirms) == {firewall.BASE}
        assert set(each.tunnels) == {"wg0"}
        assert each.file(push.PUSH)
    assert [f.path for f in found["fra-1"].files if f.secret] == hidden
    assert {f.unit for f in found["fra-1"].files if f.unit} == {"app"}


def test_the_firewall_as_one_text_is_the_base_with_its_fragments_in_the_place_where_it_includes_them() -> None:
    base = firewall.render_base(firewall.Base(operators=["192.0.2.10/32"], ssh_port=22))
    ssh, web = (
        firewall.render_fragment(firewall.Fragment(title=n, rules=[firewall.AcceptRule(port=1, comment=n)]))
        for n in ("ssh", "web")
    )
    texts = {"/etc/nftables.d/40-web.nft": web, "/etc/nftables.d/20-ssh.nft": ssh, "/etc/nftables.d/x/y.nft": "no"}
    wanted = pushed.PushedHost([File("a", "", path, "0644", "root:root", content) for path, content in texts.items()])
    assert wanted.ruleset() is None, "without a base there is nothing to hold the host against"
    wanted.files.append(File("a", "", firewall.BASE, "0755", "root:root", base))
    ruleset = wanted.ruleset()
    assert ruleset
    assert ruleset == base.replace('include "/etc/nftables.d/*.nft"\n', ssh + web)
    assert ruleset.endswith(ssh + web)


def test_operations_that_the_engine_never_ended() -> None:
    exported = state()
    exported["deployment"]["pending_operations"] = [{"resource": {"urn": urn("a")}, "type": "updating"}]
    assert dict(interrupted(exported)) == {urn("a"): "updating"}


# --- what stands: push.sh and read-back, run for real


@pytest.fixture
def machine(tmp_path: Path) -> PushHost:
    return PushHost(tmp_path / "host")


def wanted(target: Path, content: str, *, mode: str = "0644", hidden: bool = False) -> File:
    return File("oslo-db", urn("a"), str(target), mode, "root:root", content, hidden)


def read_back(machine: PushHost, *files: File) -> Answer:
    lines = "".join(f"{f.standing.split(',')[0]} {'secret' if f.secret else 'plain'} {f.path}\n" for f in files)
    done = machine.run("/usr/bin/dash", "-c", text.script("read-back"), stdin=lines.encode())
    assert (done.returncode, done.stderr) == (0, "")
    return readback.answers(done.stdout, [file.path for file in files])


def judged(machine: PushHost, file: File) -> Finding:
    return readback.judge(file, read_back(machine, file).read[0])


def said(finding: Finding) -> tuple[object, str]:
    return finding.check.value, finding.check.detail


@pytest.mark.parametrize(
    ("edit", "value", "detail", "lines"),
    [
        (lambda t: t.write_text("one\nTWO\n"), "edited by hand", "its text differs", ["-two", "+TWO"]),
        (lambda t: t.chmod(0o606), "edited by hand", "mode 0606 instead of 0644", []),
        (lambda t: os.chown(t, 1, 0), "edited by hand", "owner daemon:root instead of root:root", []),
        (lambda t: t.unlink(), "removed by hand", "it is not there", ["-one", "-two"]),
        (lambda t: t.write_bytes(b"\x1b[2J\xff\n"), "edited by hand", "its text differs", ["-one", "-two"]),
    ],
)
def test_an_edit_by_hand_is_found_and_shown(
    machine: PushHost, edit: Callable[[Path], object], value: str, detail: str, lines: list[str]
) -> None:
    target = machine.root / "t" / "with space %2F"
    file = wanted(target, "one\ntwo\n")
    assert said(judged(machine, file)) == ("never pushed", "it is not there")
    assert machine.push("put", target, "0644", "root:root", "--resource", "a", text=b"one\ntwo\n").returncode == 0
    assert judged(machine, file).check.status is Status.OK
    edit(target)
    found = judged(machine, file)
    assert said(found) == (value, detail)
    changed = [line for line in found.diff if line[0] in "-+" and line[:3] not in ("---", "+++")]
    assert set(lines) <= set(changed)
    assert bool(changed) == bool(lines)
    # The shown text moves no cursor.
    assert "\x1b" not in as_text("lab", [found], terminal=False)
    assert found.urns == (urn("a"),)


def test_of_a_secret_only_that_it_differs(machine: PushHost) -> None:
    target = machine.root / "t" / "password"
    file = wanted(target, f"{WORD}\n", hidden=True)
    machine.push("put", target, "0644", "root:root", text=f"{WORD}\n".encode())
    assert judged(machine, file).check.status is Status.OK
    target.write_text("another-word-of-somebody\n")
    (read,) = read_back(machine, file).read
    assert read.text is None, "what stands there did not leave the host"
    found = readback.judge(file, read)
    assert said(found) == ("edited by hand", "the secret in it differs")
    target.unlink()
    missing = judged(machine, file)
    for finding in (found, missing):
        assert WORD not in shown_of(finding)
        assert "another-word" not in shown_of(finding)


def shown_of(*findings: Finding) -> str:
    return as_text("lab", findings, terminal=True) + as_json("lab", findings) + repr(findings)


def test_a_private_key_in_a_plain_file_is_neither_shown_nor_written(machine: PushHost) -> None:
    """As `wg-quick save` writes them, and pasted: the lines differ, and that is all."""
    target = machine.root / "t" / "wg0.conf"
    pushed_text = "[Interface]\nListenPort = 51820\n"
    machine.push("put", target, "0644", "root:root", text=pushed_text.encode())
    pem = f"-----BEGIN PRIVATE KEY-----\n{WORD}\n{WORD}+{WORD}\n"  # its end was cut off
    keys = f"PrivateKey = {WORD}=\n[Peer]\nPresharedKey={WORD}\nAllowedIPs = 10.100.0.9/32\n"
    target.write_text(f"{pushed_text}{keys}{pem}")
    target.chmod(0o600)
    exported = state(host("oslo-db"), put("a", "oslo-db", str(target), pushed_text))
    (file,) = pushed.read(exported)["oslo-db"].files
    found = judged(machine, file)
    assert said(found) == ("edited by hand", "its text differs, mode 0600 instead of 0644")
    assert found.diff[3:] == (
        " [Interface]",
        " ListenPort = 51820",
        "+PrivateKey = [secret]",
        "+[Peer]",
        "+PresharedKey=[secret]",
        "+AllowedIPs = 10.100.0.9/32",
        *["+[secret]"] * 3,
    )
    written = repair.with_findings(exported, [found])
    assert WORD not in shown_of(found) + json.dumps(written)
    # All but the text is: the engine puts the file again, and push.sh sees that it differs.
    command = written["deployment"]["resources"][2]["inputs"]
    assert command["stdin"] == push.content(pushed_text)
    assert command["create"].startswith(f"sudo {push.PUSH} put {target} 0600 root:root ")
    assert command["create"].endswith(f"{NOTE}file {target}: edited by hand")


def test_a_private_key_that_is_another_differs_and_is_not_shown() -> None:
    body = "".join(f"{WORD}{number}\n" for number in range(9))
    should = f"PrivateKey = {WORD}=\n-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\nlast\n"
    file = wanted(Path("/etc/a"), should)
    hand = should.replace(f"{WORD}=", f"not{WORD}").replace(f"{WORD}5", f"{WORD}five")
    digest = hashlib.sha256(hand.encode()).hexdigest()
    changed = readback.judge(file, Read(f"{digest},0644,root:root", file.standing, frozenset({"path"}), hand))
    gone = readback.judge(file, Read(None, file.standing, frozenset({"path"})))
    assert [line for line in changed.diff[2:] if line[0] in "-+"] == [
        "-PrivateKey = [secret]",
        "+PrivateKey = [secret]",
        "-[secret]",
        "+[secret]",
    ]
    assert gone.diff[3:] == ("-PrivateKey = [secret]", *["-[secret]"] * 11, "-last")
    assert WORD not in shown_of(changed, gone)


def test_a_push_cut_anywhere_is_never_taken_for_an_edit_by_hand(machine: PushHost) -> None:
    """The plug is pulled before each command that a put runs: the engine, which heard nothing, still wants the old."""
    target = machine.root / "t" / "file"
    file = wanted(target, "old\n")
    machine.push("put", target, "0644", "root:root", text=b"old\n")
    machine.snapshot("old")
    seen: list[str] = []
    for cut_at in range(1, 200):
        machine.restore("old")
        try:
            machine.push("put", target, "0644", "root:root", "--apply", "true", text=b"new\n", cut_at=cut_at)
        except Cut:
            seen.append(str(judged(machine, file).check.value))
            continue
        break
    # Nothing was begun, or it is unfinished; at the end its record is whole, and the engine does not know.
    assert set(seen) == {"as pushed", "unfinished push"}
    assert seen == sorted(seen)
    assert judged(machine, file).check.value == "another push"
    assert judged(machine, wanted(target, "new\n")).check.status is Status.OK


def test_other_ways_in_which_a_push_is_not_what_it_seems(machine: PushHost) -> None:
    target = machine.root / "t" / "file"
    file = wanted(target, "text\n")
    target.write_text("text\n")
    assert judged(machine, file).check.value == "no record"
    machine.push("put", target, "0644", "root:root", "--confirm", "45", text=b"text\n")
    assert said(judged(machine, file)) == ("unfinished push", "nobody confirmed it")
    (read,) = read_back(machine, file).read
    assert readback.judge(file, Read(read.standing, read.standing, frozenset({"path"}))).check.status is Status.OK
    found = readback.judge(file, Read(read.standing, read.standing, frozenset({"path"})), "updating")
    assert said(found) == ("unfinished push", "the engine began its updating and never finished it")
    # What no push can replace is not tried.
    target.unlink()
    target.symlink_to("elsewhere")
    link = judged(machine, file)
    assert (link.check.value, link.urns) == ("edited by hand", ())
    target.unlink()
    target.mkdir()
    assert judged(machine, file).urns == ()


def test_a_record_that_no_state_knows_is_told(machine: PushHost) -> None:
    known, stray = machine.root / "t" / "known", machine.root / "t" / "stray"
    for target in (known, stray):
        machine.push("put", target, "0644", "root:root", text=b"x\n")
    assert {str(known), str(stray)} <= read_back(machine, wanted(known, "x\n")).also


def test_a_peer_of_another_stack_is_told_from_one_by_hand() -> None:
    text = "[Peer]\nPublicKey = abc=\nAllowedIPs = 10.100.0.8/32\n"
    encoded = base64.b64encode(text.encode()).decode()
    answer = readback.answers(
        "also /etc/wireguard/wg0.d/by-hand.conf\nalso /etc/wireguard/wg0.d/fra-8.conf\n"
        "record /etc/wireguard/wg0.d/fra-8.conf\t0123,0644,root:root\t-\t-\t1790000000\tworkers-fra-8\n"
        f"guest {encoded} /etc/wireguard/wg0.d/fra-8.conf\n",
        [],
    )
    assert answer.also == {f"/etc/wireguard/wg0.d/{name}.conf" for name in ("by-hand", "fra-8")}
    assert answer.guests == {"/etc/wireguard/wg0.d/fra-8.conf": Guest("workers-fra-8", text)}
    own = pushed.PushedHost([])
    assert readback.live_tunnel("abc= 10.100.0.8/32 off\n") == readback.tunnel(own, [text])
    assert readback.live_tunnel("abc= 10.100.0.8/32 off\n") != readback.tunnel(own)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "file - file\n",
        "sh: 1: oops\n",
        "file - file !!!\n",
        "file - file -\n" * 2,
        "file 0123, file -\n",
        "file 0123,0644,root:root,more file -\n",
        "file ,, file -\n",
        "file - file -\nrecord /etc/a\n",
        "file - file -\nrecord -\t-\t-\t-\t-\t-\n",
        "file - file -\nrecord /etc/a\t0123,0644\t-\t-\t-\t-\n",
        "file - file -\nrecord /etc/a\t0123,0644,root:root,more\t-\t-\t-\t-\n",
        "file - file -\nrecord /etc/a\t-\t-\t-\tyesterday\t-\n",
    ],
)
def test_an_answer_that_is_none_is_no_finding(answer: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        readback.answers(answer, ["/etc/a"])


@pytest.mark.parametrize("command", ["stat", "sha256sum", "head"])
def test_a_file_that_goes_away_while_it_is_read_is_one_that_is_not_there(machine: PushHost, command: str) -> None:
    target = machine.root / "t" / "file"
    file = wanted(target, "as pushed\n")
    machine.push("put", target, "0644", "root:root", text=b"as pushed\n")
    target.write_text("by hand\n")
    machine.shim(command, f'/usr/bin/{command} "$@"; code=$?; rm -f {target}; exit $code\n')
    found = judged(machine, file)
    assert not target.exists()
    if command == "head":  # by then all was read
        assert said(found) == ("edited by hand", "its text differs")
    else:
        assert said(found) == ("removed by hand", "it is not there")


@pytest.mark.parametrize("record", ["", "\n", "0123\n", "0123 0644\n", "0123 0644 root:root more words\n"])
def test_a_damaged_record_is_a_push_that_did_not_end(machine: PushHost, record: str) -> None:
    target = machine.root / "t" / "file"
    machine.push("put", target, "0644", "root:root", text=b"as pushed\n")
    (machine.record(target) / "applied").write_text(record)
    assert judged(machine, wanted(target, "as pushed\n")).check.value in ("unfinished push", "another push")
    machine.push("put", target, "0644", "root:root", text=b"as pushed\n")
    assert judged(machine, wanted(target, "as pushed\n")).check.status is Status.OK


def renew(machine: PushHost, *targets: Path) -> None:
    done = machine.push("again", stdin="".join(f"{each}\n" for each in targets).encode())
    assert (done.returncode, done.stderr) == (0, "")


def test_push_applies_again_what_it_is_told_to_renew(machine: PushHost) -> None:
    """With its record as it is, push.sh would rightly do nothing; what is to be renewed is only what is named."""
    one, other, never = (machine.root / "t" / name for name in ("one", "two", "never put"))
    words = ["0644", "root:root", "--apply", f'echo "$1" >>{machine.log}']
    for target in (one, other):
        machine.push("put", target, *words, text=b"x\n")
    machine.logged()
    for _ in range(2):  # a mend that was refused, and its repeat
        renew(machine, one, never)
        # Until then all stands as it did.
        assert judged(machine, wanted(one, "x\n")).check.status is Status.OK
        state_of = machine.run("/usr/bin/dash", "-c", text.script("host-state"), "host-state", "wg0").stdout
        assert not any(record.unfinished for record in status.read(state_of).records)
    assert not machine.record(never).exists()
    for target in (one, other, one):
        machine.push("put", target, *words, text=b"x\n")
    assert machine.logged() == [str(one)]


def test_what_is_to_be_applied_again_is_wherever_its_put_is_cut(machine: PushHost) -> None:
    target = machine.root / "t" / "file"
    words: list[str | Path] = ["put", target, "0644", "root:root", "--apply", f"echo applied >>{machine.log}"]
    machine.push(*words, text=b"x\n")
    renew(machine, target)
    machine.snapshot("renewed")
    for cut_at in range(1, 200):
        machine.restore("renewed")
        machine.logged()
        try:
            machine.push(*words, text=b"x\n", cut_at=cut_at)
        except Cut:
            machine.push(*words, text=b"x\n")
            assert "applied" in machine.logged(), cut_at
            machine.push(*words, text=b"x\n")
            assert machine.logged() == []
            continue
        break
    assert cut_at > 10


def test_only_what_push_would_leave_alone_is_renewed() -> None:
    file = wanted(Path("/etc/a"), "x\n")
    other = f"{'0' * 64},0644,root:root"
    path, pushed_whole = frozenset({"path"}), file.standing
    unended = readback.judge(file, Read(pushed_whole, pushed_whole, path), "updating")
    noted = readback.judge(replace(file, noted="unit app: inactive"), Read(pushed_whole, pushed_whole, path))
    assert (unended.renew, noted.renew) == (("/etc/a",), ("/etc/a",))
    for read in (
        Read(other, pushed_whole, path, "by hand\n"),
        Read(None, pushed_whole, path),
        Read(pushed_whole, None, path),
        Read(pushed_whole, other, path),
        Read(other, other, path),
    ):
        found = readback.judge(file, read)
        assert (found.check.status, found.urns, found.renew) == (Status.FAIL, (file.urn,), ())


# --- what runs


def test_variables_that_the_server_has_otherwise() -> None:
    config = mariadb.render(mariadb.Server(address="10.100.0.1", ram_mb=1024))
    live = {
        key.strip(): value.strip()
        for key, equals, value in (line.partition("=") for line in config.splitlines() if line[:1] not in "#[")
        if equals
    }
    as_server_says = live | {
        "log_bin": "ON",
        "skip_name_resolve": "ON",
        "innodb_buffer_pool_size": str(int(live["innodb_buffer_pool_size"].rstrip("M")) * 2**20),
        "innodb_log_file_size": str(int(live["innodb_log_file_size"].rstrip("M")) * 2**20),
        "max_binlog_size": str(128 * 2**20),
    }

    def shown(values: Mapping[str, str]) -> str:
        return "".join(f"{key}\t{value}\n" for key, value in values.items())

    assert len(live) > 20
    assert readback.variables(config, shown(as_server_says)) == ()
    newer = as_server_says | {"ignore_db_dirs": "lost+found,#binlog_cache_files"}
    assert readback.variables(config, shown(newer)) == (), "as 11.8 says it"
    by_hand = as_server_says | {"ignore_db_dirs": "lost+found,hidden"}
    assert readback.variables(config, shown(by_hand)) == (
        "- ignore_db_dirs = lost+found",
        "+ ignore_db_dirs = lost+found,hidden",
    )
    changed = as_server_says | {"max_connections": "77", "local_infile": "ON"}
    assert readback.variables(config, shown(changed)) == (
        "- local_infile = OFF",
        "+ local_infile = ON",
        "- max_connections = 1000",
        "+ max_connections = 77",
    )
    own = 'long_query_time = 0.5\ninit_text = "a b"\noptimizer_switch = mrr=on\n'
    known = {"long_query_time": "0.500000", "init_text": "a b", "optimizer_switch": "mrr=on,materialization=on"}
    assert readback.variables(own, shown(known)) == (), "in the server's own words"
    assert readback.variables(own, shown(known | {"optimizer_switch": "mrr=off"})) != ()


def test_the_tunnel_by_its_files_and_by_itself() -> None:
    one, other = wireguard_key("db"), wireguard_key("web")
    dialled = PeerFile(
        name="db",
        public_key=one,
        allowed_ips=("10.100.0.1/32", "10.100.0.4/32"),
        endpoint="192.0.2.1:51820",
        keepalive_s=25,
    )
    dials = PeerFile(name="web", public_key=other, allowed_ips=("10.100.0.9/32",), keepalive_s=25)
    texts = {
        "/etc/wireguard/wg0.conf": render_interface(IPv4Address("10.100.0.2"), IPv4Network("10.100.0.0/24"), 51820),
        "/etc/wireguard/wg0.d/mtu": render_mtu(1360),
        "/etc/wireguard/wg0.d/db.conf": render_peer(dialled),
        "/etc/wireguard/wg0.d/web.conf": render_peer(dials),
    }
    wanted = pushed.PushedHost([File("a", "", path, "0644", "root:root", content) for path, content in texts.items()])
    should = readback.tunnel(wanted)
    live = f"port 51820\n{other} 10.100.0.9/32 off\n{one} 10.100.0.4/32,10.100.0.1/32 25\naddress 10.100.0.2/24\n"
    assert readback.live_tunnel(live + "mtu 1360\n") == should
    assert readback.live_tunnel(live.replace("0.2/24", "0.77/24") + "mtu 1360\n") != should
    assert readback.live_tunnel(live + "mtu 1360\naddress 10.9.9.9/32\n") != should
    assert readback.live_tunnel(live + "mtu 1420\n") != should
    assert readback.live_tunnel(live + "stranger= 10.100.0.9/32 off\nmtu 1360\n") != should
    assert readback.live_tunnel(live.replace("25", "off") + "mtu 1360\n") != should


# --- what is written, so that the engine mends it


def test_the_state_says_what_was_found_until_it_is_mended() -> None:
    exported = state(
        host("oslo-db"),
        put("a", "oslo-db", "/etc/a", "old\n", mode="0640"),
        put("b", "oslo-db", "/etc/b", WORD, hidden=True),
        resource("key", push.for_machine("oslo-db.1", *push.script("wireguard", "start", "wg0"))),
        put("untouched", "oslo-db", "/etc/c", "x\n"),
    )
    before = copy.deepcopy(exported)
    a, b = pushed.read(exported)["oslo-db"].files[:2]
    digest = hashlib.sha256(b"hand\n").hexdigest()
    findings = [
        readback.judge(a, Read(f"{digest},0666,daemon:root", a.standing, frozenset({"path"}), "hand\n")),
        readback.judge(b, Read(f"{digest},{b.mode},{b.owner}", b.standing, frozenset({"path"}))),
        Finding(Check(Kind.UNIT, "oslo-db", "wg-quick@wg0").fail("inactive", "it does not run"), urns=(urn("key"),)),
    ]
    found = repair.with_findings(exported, findings)
    assert exported == before
    resources = {r["urn"]: r for r in found["deployment"]["resources"]}
    for values in (resources[urn("a")]["inputs"], resources[urn("a")]["outputs"]):
        assert values["stdin"] == push.content("hand\n")
        command, _, note = values["create"].partition(NOTE)
        # What a preview shows is what drifted.
        assert command == before["deployment"]["resources"][2]["inputs"]["create"].replace(
            "/etc/a 0640 root:root", "/etc/a 0666 daemon:root"
        )
        assert note == "file /etc/a: edited by hand"
    hidden = resources[urn("b")]
    assert hidden["inputs"]["stdin"] == before["deployment"]["resources"][3]["inputs"]["stdin"]
    assert hidden["inputs"]["create"].endswith(f"{NOTE}file /etc/b: edited by hand")
    assert resources[urn("key")]["inputs"]["create"].endswith(f"{NOTE}unit wg-quick@wg0: inactive")
    assert resources[urn("untouched")] == before["deployment"]["resources"][5]

    # Where that is all that came of it, the next look says so, and another mend writes no second note.
    again = pushed.read(found)["oslo-db"]
    assert again.tunnels == {"wg0": urn("key")}
    (noted, *_) = again.files
    standing = readback.judge(noted, Read(noted.standing, None, frozenset({"path"})))
    assert standing.check.value == "not repaired yet"
    twice = repair.with_findings(found, [standing])
    assert str(twice).count(f"{NOTE}file /etc/a") == 2  # in its inputs and its outputs


def test_what_texts_are_made_of_is_replaced_and_not_updated() -> None:
    """An update would dial as the state has it; what asks no host for an answer is updated as ever."""
    start = push.for_machine("oslo-db.1", *push.script("wireguard", "start", "wg0"))
    asked = {**resource("key", start), "replacementTrigger": ["as it was"]}
    told = resource("told", start)
    check = Check(Kind.UNIT, "oslo-db", "wg-quick@wg0").fail("inactive", "it does not run")
    found = repair.with_findings(state(host("oslo-db"), asked, told), [Finding(check, urns=(urn("key"), urn("told")))])
    resources = {each["urn"]: each for each in found["deployment"]["resources"]}
    assert resources[urn("key")]["replacementTrigger"] == ["unit wg-quick@wg0: inactive"]
    assert "replacementTrigger" not in resources[urn("told")]


def test_a_state_that_changed_meanwhile_is_refused() -> None:
    finding = Finding(Check(Kind.UNIT, "oslo-db", "x").fail("inactive", ""), urns=(urn("gone"),))
    with pytest.raises(repair.NotRepairedError, match="the state changed in the meantime"):
        repair.with_findings(state(), [finding])


# --- the command


NFT = """case "$*" in
"-f -") cat >{ruleset} ;;
"-s list ruleset") cat {ruleset} ;;
*) exit 9 ;;
esac"""


def programs(folder: Path) -> dict[str, str]:
    """What a host answers where all is as pushed; root is not needed, so the files are the test's own."""
    return {
        "unshare": 'shift; exec "$@"',
        "nft": NFT.format(ruleset=folder / "ruleset"),
        "systemctl": 'shift 6; for unit; do printf "ActiveState=active\\nUnitFileState=enabled\\n\\n"; done',
        "fortress-push": "exit 0",
        "wg": 'printf "SECRETKEY\\tpublic\\t51820\\toff\\n"',
        "ip": 'echo "3: wg0    inet 10.100.0.1/24 scope global wg0"',
    }


class Command:
    """The command in a folder with an engine that knows one stack."""

    def __init__(self, folder: Path, fortress: Fortress, exported: Mapping[str, Any]) -> None:
        self.key = str(fortress.key)
        folder.mkdir()
        stack, *resources = exported["deployment"]["resources"]
        deployment = {**exported["deployment"], "resources": [{**stack, "outputs": fortress.outputs}, *resources]}
        (folder / "state.json").write_text(json.dumps({**exported, "deployment": deployment}))
        engine = folder / "pulumi"
        engine.write_text(
            f'#!/bin/sh\necho "$*" >>{folder}/asked\ncase "$*" in\n'
            f'"stack export "*"--stack lab "*) exec cat {folder}/state.json ;;\n'
            f'"stack import --stack lab "*) [ ! -e {folder}/refuses ] || {{ cat {folder}/refuses >&2; exit 1; }}\n'
            f"exec cat >{folder}/imported.json ;;\n"
            'up*) echo "error: it went wrong"; exit 255 ;;\n'
            "*) echo \"error: no stack named 'nope' found\" >&2; exit 6 ;;\nesac\n"
        )
        engine.chmod(0o755)
        self.asked = folder / "asked"
        self.imported = folder / "imported.json"
        plain = {k: v for k, v in os.environ.items() if k not in ("SSH_AUTH_SOCK", "FORCE_COLOR", "COLUMNS")}
        self.environment = plain | {"PATH": f"{folder}:/usr/bin:/bin"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        words = [str(FORTRESS), *arguments, "--key", self.key]
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def on_a_terminal(self, *arguments: str) -> str:
        """What a terminal is shown, where standard output goes elsewhere."""
        line = f"{shlex.join([str(FORTRESS), *arguments, '--key', self.key])} >/dev/null"
        words = ["script", "-qec", line, "/dev/null"]
        done = subprocess.run(
            words,
            env={**self.environment, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout


def verbs(asked: str) -> list[str]:
    """What the engine was asked, a process each."""
    return [line.split(" --stack")[0] for line in asked.splitlines()]


def pushed_file(folder: Path, on: str, **options: Any) -> tuple[Path, dict[str, Any]]:
    """A file that stands, and its resource; it is the test's own, so that it has no record."""
    path = folder / f"{on}.conf"
    path.write_text("as pushed\n")
    path.chmod(0o644)
    owner = f"{path.owner()}:{path.group()}"
    return path, put(f"{on}-file", on, str(path), "as pushed\n", owner=owner, **options)


def test_the_command_asks_each_host_once_and_shows_what_differs(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    scripts = {name: programs(tmp_path) for name in ("oslo-db", "oslo-edge", "fra-1")}
    files = {name: pushed_file(tmp_path, name) for name in scripts}
    files["oslo-db"][0].write_text("by hand\n")
    with standing_fortress(tmp_path / "f", scripts=scripts) as fortress:
        exported = state(*(host(name) for name in scripts), *(each for _, each in files.values()))
        command = Command(tmp_path / "bin", fortress, exported)
        done = command.run("drift", "--stack", "lab", "--json")
        asked = command.asked.read_text()
        logins = {name: server.logins for name, server in fortress.hosts.items()}
        told = command.run("drift", "--stack", "lab")
        mended = command.run("drift", "--stack", "lab", "--repair", "--json")
        command.asked.unlink()
        seen = command.on_a_terminal("drift", "--stack", "lab", "--mend")
        repairing = command.asked.read_text()
    assert verbs(asked) == ["stack export --show-secrets"]
    assert verbs(repairing) == [
        "stack export --show-secrets",
        "stack export",
        "stack export --show-secrets",
        "stack import",
        "up",
        "stack export --show-secrets",
    ]
    # What the engine says has a line of its own, apart from what shows progress.
    assert "bringing 3 resources up again" in seen
    assert re.search(r"(\n|\x1b\[2K)(\x1b\[\?25l)?error: it went wrong\n", seen), repr(seen)
    assert (done.returncode, done.stderr) == (1, "")
    assert logins == dict.fromkeys(scripts, 1)
    found = json.loads(done.stdout)
    assert (found["ok"], found["stack"]) == (False, "lab")
    by_host = {check["host"]: check for check in found["checks"] if check["name"].startswith(f"file {tmp_path}")}
    # Nothing was put by push.sh here: the others stand without a record.
    assert {name: check["value"] for name, check in by_host.items()} == {
        "oslo-db": "edited by hand",
        "oslo-edge": "no record",
        "fra-1": "no record",
    }
    assert by_host["oslo-db"]["diff"].splitlines()[2:] == ["@@ -1 +1 @@", "-as pushed", "+by hand"]
    assert "diff" not in by_host["fra-1"]
    assert told.returncode == 1
    assert f"FAIL  oslo-db  file {files['oslo-db'][0]}: edited by hand (its text differs)\n" in told.stdout
    assert "    -as pushed\n    +by hand\n" in told.stdout
    cure = "`fortress drift --stack lab --repair` repairs 3 of these; `pulumi up` alone would not notice\n"
    assert told.stdout.endswith(cure)
    assert cure not in mended.stdout
    # What the engine was asked for: to write what was found, then to bring up just that; its failure is told.
    assert mended.returncode == 1
    assert "`pulumi up` failed; the next `pulumi up --stack lab` completes the repair" in mended.stderr
    assert "it went wrong" in mended.stderr
    answer = json.loads(mended.stdout)
    assert answer["error"].startswith("`pulumi up` failed")
    assert answer["mended"] == [], "it still differs"
    written = json.loads(command.imported.read_text())
    assert written["deployment"]["resources"][4]["inputs"]["stdin"] == push.content("by hand\n")
    (up,) = [line for line in repairing.splitlines() if line.startswith("up ")]
    assert sorted(word for word in up.split() if word.startswith("urn:")) == sorted(
        urn(f"{name}-file") for name in scripts
    )


def test_a_state_that_somebody_else_holds_stays_and_so_do_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    hosts = ("oslo-db", "fra-1")
    again = f"""shift; case "$*" in
"{push.PUSH} again") echo renew >>{tmp_path}/bin/asked; cat >>{tmp_path}/renewed ;;
*) exec "$@" ;;
esac"""
    scripts = {name: programs(tmp_path) | {"sudo": again, "systemctl": "echo ActiveState=inactive"} for name in hosts}
    (unit, by_unit), (edited, by_hand) = (pushed_file(tmp_path, "oslo-db", unit="app"), pushed_file(tmp_path, "fra-1"))
    edited.write_text("by hand\n")
    with standing_fortress(tmp_path / "f", scripts=scripts) as fortress:
        del fortress.facts["hosts"]["oslo-edge"]
        command = Command(tmp_path / "bin", fortress, state(*map(host, hosts), by_unit, by_hand))
        (tmp_path / "bin" / "refuses").write_text("error: the stack is currently locked by 1 lock(s)\n")
        refused = command.run("drift", "--stack", "lab", "--repair", "--json")
        renewed, asked = (tmp_path / "renewed").read_text(), command.asked.read_text()
        (tmp_path / "renewed").unlink()
        (tmp_path / "renewed").mkdir()
        unwritable = command.run("drift", "--stack", "lab", "--repair")
    assert refused.returncode == 1
    assert "the engine refused the state with the differences: stack" in refused.stderr
    answer = json.loads(refused.stdout)
    differ = {check["host"]: check["value"] for check in answer["checks"] if check["name"].startswith("file ")}
    assert (answer["mended"], differ) == ([], {"oslo-db": "no record", "fra-1": "edited by hand"})
    # A host is told before the state is written, and of nothing that its push.sh finds by itself.
    assert renewed == f"{unit}\n"
    assert [verb for verb in verbs(asked) if verb in ("renew", "stack import", "up")] == ["renew", "stack import"]
    # Nor is it written where a host cannot be told.
    assert unwritable.returncode == 1
    assert "fortress: nothing was repaired, and the state is unchanged: oslo-db: " in unwritable.stderr
    assert command.asked.read_text().count("stack import") == 1


OLDER = "echo 'fortress-push: unknown verb: %s (see fortress-push --help)' >&2; exit 2"
MISSING = "echo 'sh: 1: fortress-push: not found' >&2; exit 127"
BROKEN = "echo oops >&2; exit 1"


@pytest.mark.parametrize(
    ("records", "again", "cure"),
    [
        (OLDER % "records", OLDER % "again", "is older than this command: run `pulumi up` once"),
        (MISSING, MISSING, "is missing: `fortress drift --repair` restores it"),
        (BROKEN, BROKEN, "oops"),
    ],
)
@pytest.mark.parametrize("tool_differs", [False, True])
def test_a_host_that_tells_no_records_is_unknown_with_the_cure(
    tmp_path: Path, records: str, again: str, cure: str, tool_differs: bool
) -> None:
    """What needs no record is judged all the same. push.sh is put back first, where that is what differs."""
    (tmp_path / "f").mkdir()
    sudo = f'shift; case "$*" in "{push.PUSH} again") {again} ;; *) exec "$@" ;; esac'
    inactive = "shift 6; for unit; do echo ActiveState=inactive; done"
    instead = {"fortress-push": records, "sudo": sudo, "systemctl": inactive}
    path, file = pushed_file(tmp_path, "fra-1", unit="app")
    # This machine has none.
    tool = resource("fra-1-push", push.Install(machine="fra-1.1").render(), push.content("#!/bin/sh\n"))
    with standing_fortress(tmp_path / "f", scripts={"fra-1": programs(tmp_path) | instead}) as fortress:
        fortress.facts["hosts"] = {"fra-1": fortress.facts["hosts"]["fra-1"]}
        exported = state(host("fra-1"), file, *([tool] if tool_differs else []))
        command = Command(tmp_path / "bin", fortress, exported)
        done = command.run("drift", "--stack", "lab", "--json")
        mended = command.run("drift", "--stack", "lab", "--mend")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (checks[f"file {path}"]["status"], checks[f"file {path}"]["value"]) == ("unknown", None)
    assert cure in checks[f"file {path}"]["detail"]
    assert checks["unit app"]["value"] == "inactive"
    assert mended.returncode == 1
    if tool_differs:
        assert checks[f"file {push.PUSH}"]["status"] == "fail"
        (up,) = [line for line in command.asked.read_text().splitlines() if line.startswith("up ")]
        assert [word for word in up.split() if word.startswith("urn:")] == [urn("fra-1-push")]
    else:
        assert "nothing was repaired, and the state is unchanged: fra-1: " in mended.stderr
        assert cure in mended.stderr
        assert "import" not in command.asked.read_text()


TABLE = "table inet fortress {\n\tchain input {\n\t}\n}\n"
NAT = """table ip nat {
\tchain prerouting {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\ttcp dport 3306 redirect to :22
\t}
}
"""
READ_BACK = """case "$3" in
read-back) printf 'file - file -\\nalso /etc/nftables.d/\\033[2Jx.nft\\n' ;;
*) exec /bin/sh "$@" ;;
esac"""


def test_tables_and_files_that_nobody_pushed_are_told(tmp_path: Path) -> None:
    """Tables as nft lists them: with the name of an owner, and with a word before what iptables made.

    The one that the settings name is another tool's; the stack's own is compared whether they name it or not.
    """
    (tmp_path / "f").mkdir()
    live = tmp_path / "live"
    live.write_text(
        "table inet early { # progname thing\n\tflags owner\n}\n"
        "table ip docker {\n}\n"
        f"{TABLE}# Warning: table ip nat is managed by iptables-nft, do not touch!\n{NAT}"
    )
    # In a network of its own the pushed text alone is loaded, and `cat` gives it back.
    answers = {"nft": f"cat {live}", "unshare": "cat", "sh": READ_BACK}
    scripts = {"oslo-db": programs(tmp_path) | answers}
    with standing_fortress(tmp_path / "f", scripts=scripts) as fortress:
        fortress.facts["hosts"] = {"oslo-db": fortress.facts["hosts"]["oslo-db"]}
        fortress.facts["limits"]["firewall_tables"] = ["ip docker", "inet fortress"]
        exported = state(host("oslo-db"), put("base", "oslo-db", firewall.BASE, TABLE))
        command = Command(tmp_path / "bin", fortress, exported)
        done = command.run("drift", "--stack", "lab", "--json")
        told = command.run("drift", "--stack", "lab")
        live.write_text(TABLE.replace("input", "opened"))
        edited = command.run("drift", "--stack", "lab")
    assert (done.returncode, done.stderr) == (1, "")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["firewall"]["status"] == "ok", "what others made is not in its diff"
    assert set(checks) == {
        f"file {firewall.BASE}",
        "file /etc/nftables.d/?[2Jx.nft",
        "firewall",
        "firewall table inet early",
        "firewall table ip docker",
        "firewall table ip nat",
    }
    known = checks["firewall table ip docker"]
    assert (known["status"], known["value"]) == ("ok", "of another tool")
    found = checks["firewall table ip nat"]
    assert (found["status"], found["value"]) == ("fail", "not pushed")
    assert "if it is another tool's, add 'ip nat' to verify.firewall_tables and `pulumi up`" in found["detail"]
    assert found["detail"].endswith("otherwise delete it: nft delete table ip nat")
    assert "+\t\ttcp dport 3306 redirect to :22\n" in found["diff"]
    assert "FAIL  oslo-db  firewall table ip nat: not pushed (no resource of this stack loads it;" in told.stdout
    assert "\x1b" not in told.stdout
    assert "FAIL  oslo-db  firewall: differs" in edited.stdout


def test_mended_is_what_differed_and_holds() -> None:
    def found(name: str, status: str, host: str = "a") -> Finding:
        check = Check(Kind.FILE, host, name)
        return Finding({"ok": check.ok("x"), "fail": check.fail("x", "y"), "unknown": check.unknown("z")}[status])

    before = [found(name, "fail") for name in ("put right", "still", "of a stranger")]
    before += [found("as it was", "ok"), found("not heard", "fail", "b"), found("of a silent one", "fail", "b")]
    after = [found("put right", "ok"), found("still", "fail"), found("as it was", "ok")]
    after += [found("not heard", "unknown", "b")]
    answer = json.loads(as_json("lab", after, None, before))
    assert [check["name"] for check in answer["mended"]] == ["file put right", "file of a stranger"]
    assert as_text("lab", after, terminal=False, before=before).splitlines()[:2] == [
        "repaired  a  file put right: x",
        "repaired  a  file of a stranger: x",
    ]


def test_a_bastion_that_shows_another_key_is_told_with_both(tmp_path: Path) -> None:
    pinned = public(paramiko.ECDSAKey.generate())
    (tmp_path / "f").mkdir()
    with standing_fortress(tmp_path / "f") as fortress, ssh_server(Behaviour(())) as jump:
        bastion = {"address": jump.address, "port": jump.port, "user": "ops", "host_key": pinned}
        fortress.facts["bastion"] = bastion
        facts = parse(fortress.facts)
        trouble = visit(facts, ssh.prepare(fortress.key, {}), 5, lambda _name, _session: None, hosts=["fra-1"])
    shown = f"{fingerprint(jump.host_key)}, pinned is {fingerprint(pinned)}"
    assert trouble == {"fra-1": f"fra-1 is not asked: the bastion shows {shown}"}


def test_a_tunnel_without_its_key_gets_another_and_its_peers_are_told(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    key = tmp_path / "wg0.key"
    # The script of read-back aside, what a host runs is the real question, of a key that is the test's own.
    its_own = f'exec /bin/sh -c "$(printf %s "$2" | sed s,/etc/wireguard/wg0.key,{key},)"'
    answers = programs(tmp_path) | {"sh": READ_BACK.replace('exec /bin/sh "$@"', its_own)}
    config = render_interface(IPv4Address("10.100.0.1"), IPv4Network("10.100.0.0/24"), 51820)
    with standing_fortress(tmp_path / "f", scripts={"oslo-db": answers}) as fortress:
        exported = state(
            *map(host, fortress.facts["hosts"]),
            put("wg0.conf", "oslo-db", "/etc/wireguard/wg0.conf", config),
            put("wg0.mtu", "oslo-db", wireguard.MTU_PATH, render_mtu(1360)),
            resource("oslo-db-key", push.for_machine("oslo-db.1", *push.script("wireguard", "start", "wg0"))),
            put("fra-1-peer-oslo-db", "fra-1", "/etc/wireguard/wg0.d/oslo-db.conf", "x\n"),
            put("fra-1-peer-oslo-edge", "fra-1", "/etc/wireguard/wg0.d/oslo-edge.conf", "x\n"),
        )
        fortress.facts["hosts"] = {"oslo-db": fortress.facts["hosts"]["oslo-db"]}
        command = Command(tmp_path / "bin", fortress, exported)
        gone = command.run("drift", "--stack", "lab", "--repair", "--json")
        key.write_text("x\n")
        there = command.run("drift", "--stack", "lab", "--json")
    checks = {check["name"]: check for check in json.loads(gone.stdout)["checks"]}
    assert (checks["tunnel key"]["status"], checks["tunnel key"]["value"]) == ("fail", "not there"), gone.stderr
    assert checks["peers"]["status"] == "ok"
    assert "tunnel key" not in there.stdout
    imported = json.loads(command.imported.read_text())["deployment"]["resources"]
    noted = {each["urn"] for each in imported if f"{NOTE}tunnel key: not there" in str(each.get("inputs"))}
    assert noted == {urn("oslo-db-key"), urn("fra-1-peer-oslo-db")}


def test_a_host_that_does_not_answer_is_no_drift(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    behaviour = {"fra-1": Behaviour((), freezes_on="read-back")}
    with standing_fortress(tmp_path / "f", behaviour=behaviour) as fortress:
        hosts = fortress.facts["hosts"]
        del hosts["oslo-edge"]
        hosts["oslo-db"]["port"] = 1
        files = [pushed_file(tmp_path, name)[1] for name in hosts]
        command = Command(tmp_path / "bin", fortress, state(*map(host, hosts), *files))
        done = command.run("drift", "--stack", "lab", "--timeout", "1", "--repair")
    assert done.returncode == 2, done.stdout
    assert "unknown  oslo-db  4 checks: oslo-db does not answer on 127.0.0.11:1 (connection refused)" in done.stdout
    assert "unknown  fra-1  4 checks: fra-1 gave no answer within" in done.stdout
    assert "import" not in command.asked.read_text(), "nothing was written"


def test_an_odd_answer_leaves_its_host_unknown_and_the_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is half a line, and one that nobody thought of."""
    (tmp_path / "f").mkdir()
    half = """case "$3" in read-back) echo 'file 0123, file -' ;; *) exec /bin/sh "$@" ;; esac"""
    judge = readback.judge

    def surprised(file: File, read: Read, unended: str | None = None) -> Finding:
        if file.host == "fra-1":
            raise IndexError("none of it is shown")
        return judge(file, read, unended)

    monkeypatch.setattr(readback, "judge", surprised)
    with standing_fortress(tmp_path / "f", scripts={"oslo-db": {"sh": half}}) as fortress:
        exported = state(*(each for name in fortress.hosts for each in (host(name), pushed_file(tmp_path, name)[1])))
        facts = parse(fortress.facts)
        found = readback.look(facts, pushed.read(exported), ssh.prepare(fortress.key, {}), timeout=5)
    files = {each.check.host: each.check for each in found if each.check.name.startswith("file ")}
    assert {name: check.status for name, check in files.items()} == {
        "oslo-db": Status.UNKNOWN,
        "oslo-edge": Status.FAIL,
        "fra-1": Status.UNKNOWN,
    }
    assert files["oslo-db"].detail == "the host's answer cannot be read"
    assert files["fra-1"].detail == "fra-1 printed unreadable output"


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with standing_fortress(tmp_path / "f") as fortress:
        command = Command(tmp_path / "bin", fortress, state())
        unknown = command.run("drift", "--stack", "nope", "--json")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("fortress: there is no stack 'nope' in this backend")
    assert json.loads(unknown.stdout)["error"].startswith("there is no stack")


def test_shown_in_colour_and_without_width() -> None:
    file = File("oslo-db", urn("a"), "/etc/a", "0644", "root:root", "one\n")
    finding = readback.judge(
        file, Read(f"{'0' * 64},0644,root:root", file.standing, frozenset({"path"}), "x" * 300 + "\n")
    )
    colours = as_text("lab", [finding], terminal=True, width=40)
    assert "\x1b[31m" in colours
    plain = as_text("lab", [finding], terminal=False, width=40)
    assert "\x1b" not in plain
    # A line of a diff is never broken: it may be handed to patch.
    assert f"    +{'x' * 300}\n" in plain
    assert plain.endswith("lab: 1 checks, 0 ok, 1 fail\n")


def test_nothing_that_a_host_says_moves_the_cursor() -> None:
    said = "\x1b[2J\x9b2J\u202e"
    wrong = Check(Kind.FILE, "oslo-db", f"/etc/{said}").fail(said, said)
    findings = [Finding(wrong, (f"+{said}",)), Finding(Check(Kind.FILE, "fra-1", said).unknown(said))]
    shown = as_text("lab", findings, terminal=False, width=200)
    assert set(shown) <= {"\n", *map(chr, range(32, 127))}
