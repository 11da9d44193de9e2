"""What listens on a host, and whether somebody decided so."""

from __future__ import annotations

from typing import Any

import pytest

from fortress.cli.base.result import Result
from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from fortress.cli.verify import listening
from fortress.facts import StackOutputs
from fortress.limits import Limits
from tests.unit.stack_file import changed, lab
from tests.unit.verdicts import refused

SSH = (
    'tcp LISTEN 0      128    0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=72,fd=6))\n'
    'tcp LISTEN 0      128       [::]:22    [::]:* users:(("sshd",pid=72,fd=7))\n'
)
TUNNEL = "udp UNCONN 0 0 0.0.0.0:51820 0.0.0.0:* \nudp UNCONN 0 0 [::]:51820 [::]:*\n"
INSIDE = (
    'tcp LISTEN 0 80 10.100.0.2:3306 0.0.0.0:* users:(("mariadbd",pid=9,fd=1))\n'
    'tcp LISTEN 0 80 [::ffff:10.100.0.2]:9100 *:* users:(("java",pid=9,fd=1))\n'
    'tcp LISTEN 0 80 [::ffff:127.0.0.1]:9101 *:* users:(("java",pid=9,fd=1))\n'
    'udp UNCONN 0 0 0.0.0.0%wg0:53 0.0.0.0:* users:(("dns",pid=9,fd=1))\n'
    'udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=9,fd=1))\n'
    'udp UNCONN 0 0 [::1]:323 [::]:* users:(("chronyd",pid=9,fd=1))\n'
)
LEASES = (
    'udp UNCONN 0 0 192.0.2.7%eth0:68 0.0.0.0:* users:(("systemd-network",pid=9,fd=1))\n'
    'udp UNCONN 0 0 [fe80::1]%eth0:546 [::]:* users:(("systemd-network",pid=9,fd=1))\n'
)
EXPORTER = 'tcp LISTEN 0 4096 *:9100 *:* users:(("node_exporter",pid=5,fd=3),("node_exporter",pid=6,fd=3))\n'


def outputs(listens: list[str] | None = None, **listeners: dict[str, Any]) -> StackOutputs:
    host = {
        **{"address": "203.0.113.21", "port": 22, "user": "ops", "host_key": "k", "public_key": "k"},
        **{"mesh_address": "10.100.0.2", "site": "frankfurt", "role": "worker", "peers": [], "open_tcp": [22]},
        "listens": ["tcp/22", "udp/51820", "tcp/80"] if listens is None else listens,
    }
    limits = Limits.model_validate({"listeners": listeners}).model_dump()
    rest: dict[str, Any] = dict.fromkeys(("mesh", "database", "edge", "bastion"))
    return StackOutputs.model_validate({"version": 7, "hosts": {"fra-1.1": host}, "limits": limits, **rest})


def judged(before: str, after: str | None = None, found: StackOutputs | None = None) -> Check:
    known = found or outputs()
    said = Result(0, f"{before}\n{before if after is None else after}", "")
    check = Check(Kind.LISTENING, "fra-1.1", limit=listening.limit(known, "fra-1.1"))
    return listening.judge(check, said, known, "fra-1.1")


def test_what_the_program_put_there_and_what_only_the_host_and_the_tunnel_reach() -> None:
    check = judged(SSH + TUNNEL + INSIDE + LEASES)
    assert (check.status, check.value, check.detail) == ("ok", "tcp/22 udp/68 udp/546 udp/51820", "")
    assert check.limit == "tcp/22 tcp/80 udp/51820"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (EXPORTER, "node_exporter listens on tcp/9100 at *"),
        ('tcp LISTEN 0 1 203.0.113.21:3306 0.0.0.0:* users:(("nc",pid=1,fd=3))\n', "nc listens on tcp/3306 at 203."),
        ('tcp LISTEN 0 1 10.100.0.9:3306 0.0.0.0:* users:(("nc",pid=1,fd=3))\n', "nc listens on tcp/3306 at 10.100"),
        ('tcp LISTEN 0 1 [2001:db8::1]:22222 [::]:* users:(("nc",pid=1,fd=3))\n', "at [2001:db8::1]"),
        ('udp UNCONN 0 0 0.0.0.0%eth0:161 0.0.0.0:* users:(("snmpd",pid=1,fd=3))\n', "snmpd listens on udp/161"),
        ("udp UNCONN 0 0 0.0.0.0:51821 0.0.0.0:*\n", "the kernel listens on udp/51821"),
        ('tcp LISTEN 0 1 *:9 *:* users:(("a\x1b[2J",pid=1,fd=3))\n', "a?[2J listens on tcp/9"),
    ],
)
def test_what_nobody_decided_is_named_with_its_program_and_the_cure(line: str, what: str) -> None:
    check = judged(SSH + TUNNEL + line)
    assert (check.status, what in check.detail) == ("fail", True), check.detail
    cure = "stop it, have it listen on 127.0.0.1 or 10.100.0.2, or name it in verify.listeners"
    assert check.detail.endswith(cure)


@pytest.mark.parametrize("at", ["frankfurt", "fra-1", "fra-1.1"])
def test_what_the_settings_name_may_listen(at: str) -> None:
    named = {"at": at, "port": 9100, "purpose": "The hoster's monitoring."}
    assert judged(SSH + EXPORTER, found=outputs(exporter=named)).status == "ok"
    assert judged(SSH + EXPORTER, found=outputs(exporter={**named, "protocol": "udp"})).status == "fail"
    assert judged(SSH + EXPORTER, found=outputs(exporter={**named, "at": "oslo"})).status == "fail"


def test_a_socket_that_was_there_at_one_look_only_is_a_clients() -> None:
    client = 'udp UNCONN 0 0 0.0.0.0:40000 0.0.0.0:* users:(("dig",pid=1,fd=3))\n'
    assert judged(SSH + client, SSH).status == "ok"
    assert judged(SSH, SSH + client).status == "ok"
    assert judged(SSH + client).status == "fail"


NOWHERE = "tcp LISTEN 0 1 nowhere:1 *:*\n"


@pytest.mark.parametrize("text", ["", "a\n\nb", SSH, f"{SSH}\nno socket", f"{NOWHERE}\n{NOWHERE}"])
def test_an_answer_that_is_none_is_unknown(text: str) -> None:
    check = Check(Kind.LISTENING, "fra-1.1")
    assert listening.judge(check, Result(0, text, ""), outputs(), "fra-1.1").status == "unknown"
    assert listening.judge(check, Result(1, f"{SSH}\n{SSH}", "no"), outputs(), "fra-1.1").detail == "no"


def test_a_listener_is_at_a_place_that_there_is() -> None:
    wrong = {"verify/listeners": {"exporter": {"at": "bergen", "port": 9100, "purpose": "p"}}}
    (line,) = refused(changed(wrong, lab))
    assert line.startswith(
        "verify.listeners.exporter.at: 'bergen' is neither a site nor a host; known: oslo, frankfurt"
    )
