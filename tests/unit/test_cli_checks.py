"""What hosts print, read and judged."""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress.cli.base.errors import GARBLED
from fortress.cli.base.result import Result
from fortress.cli.check.certificate import certificate_days
from fortress.cli.check.check import Check, Status, exit_status, in_order
from fortress.cli.check.kinds import RANK, Kind
from fortress.cli.hosts.ssh import not_asked
from fortress.cli.verify import disk, egress, replication, verdicts
from fortress.cli.verify.verdicts import ClockSample
from fortress.facts import FlowFacts

RECORDED = Path(__file__).parent / "recorded"
FRA_1, FRA_2, STRANGER = (
    "CFOyWjTXA/8F3xSCpBpsYp7PXgYbYVg9OjiY/ST0y1w=",
    "OBx5tBRJd6jAvRHDuerwWGMLW0jvfpppQ1MLlKwS2RQ=",
    "JO3DAX6krQcfuZWHIMrnkjISivZUTFLPCKnl8PIIoko=",
)


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def printed(stdout: str, stderr: str = "", status: int = 0) -> Result:
    return Result(status, stdout, stderr)


VERIFY = [kind for kind in Kind if RANK[kind] <= RANK[Kind.EDGE_CERTIFICATE]]
"""The kinds that are kept in the history, and read back by the names that earlier versions wrote."""


def test_each_kind_says_in_a_sentence_what_it_measures() -> None:
    assert [kind for kind in Kind if not re.fullmatch(r"[A-Z].*[^.]\.", kind.measures)] == []
    assert len({kind.measures for kind in Kind}) == len(Kind)


def test_a_name_is_of_one_kind() -> None:
    names = [Check(kind, "a", "b").name for kind in VERIFY]
    assert len(set(names)) == len(names)


def test_checks_are_in_the_order_of_their_kinds_and_else_as_they_come() -> None:
    found = [Check(Kind.BACKEND, "b"), Check(Kind.HOST_KEY, "b"), Check(Kind.BACKEND, "a"), Check(Kind.HOST_KEY, "a")]
    assert [(check.kind, check.host) for check in in_order(found)] == [
        (Kind.HOST_KEY, "b"),
        (Kind.HOST_KEY, "a"),
        (Kind.BACKEND, "b"),
        (Kind.BACKEND, "a"),
    ]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([Status.OK, Status.OK], 0),
        ([Status.OK, Status.FAIL], 1),
        ([Status.OK, Status.UNKNOWN], 2),
        ([Status.UNKNOWN, Status.FAIL, Status.OK], 1),
        ([], 2),
    ],
)
def test_exit_status(found: list[Status], status: int) -> None:
    assert exit_status([Check(Kind.UP, "b", status=one) for one in found]) == status


def test_a_check_as_json_has_exactly_the_promised_keys() -> None:
    check = Check(Kind.ROUND_TRIP, "oslo-db", "fra-1", limit=(20.0, 30.0)).ok(22.9, "9 of 10 answered")
    assert json.loads(json.dumps(check.as_json())) == {
        "name": "round trip to fra-1",
        "host": "oslo-db",
        "status": "ok",
        "value": 22.9,
        "unit": "ms",
        "limit": [20.0, 30.0],
        "detail": "9 of 10 answered",
        "kind": "round_trip",
        "about": "fra-1",
    }


def test_what_a_host_says_cannot_move_the_cursor() -> None:
    assert Check(Kind.UP, "b").fail(None, "one\x1b[2Jtwo\r\n\nthree").detail == "one?[2Jtwo; three"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (printed("", "sh: 1: ping: not found\n", 127), "fra-1 lacks a program (sh: 1: ping: not found)"),
        (printed("", "sudo: wg: command not found\n", 1), "fra-1 lacks a program (sudo: wg: command not found)"),
        (printed("", "sudo: a password is required\n", 1), "sudo on fra-1 refuses (sudo: a password is required)"),
        (
            printed("", "Sorry, user ops is not allowed to execute '/usr/bin/wg show' as root on fra-1.\n", 1),
            "sudo on fra-1 refuses (Sorry, user ops is not allowed to execute '/usr/bin/wg show' as root on fra-1.)",
        ),
        (printed("", "sudo: unable to resolve host fra-1: Name or service not known\n", 1), None),
        (printed("", "Unable to access interface: No such device\n", 1), None),
        (printed("fine", "sudo: unable to resolve host fra-1\n", 0), None),
    ],
)
def test_what_was_not_even_asked(result: Result, why: str | None) -> None:
    assert not_asked(result, "fra-1") == why


# Handshakes


def handshakes(text: str, *, status: int = 0, stderr: str = "") -> dict[str, Check]:
    rows = {name: Check(Kind.HANDSHAKE, "oslo-db", name, limit=180) for name in ("fra-1", "fra-2")}
    keys = {"fra-1": FRA_1, "fra-2": FRA_2, "oslo-db": "own"}
    strangers, age = Check(Kind.UNKNOWN_PEERS, "oslo-db", limit=0), Check(Kind.KEY_AGE, "oslo-db", limit=365)
    found = verdicts.tunnel(rows, strangers, age, printed(text, stderr, status), keys, 180, 365)
    return {check.name: check for check in found}


def test_handshakes_by_name_against_the_hosts_own_clock() -> None:
    found = handshakes(recorded("tunnel-state.txt"))
    assert (found["handshake with fra-1"].status, found["handshake with fra-1"].value) == (Status.OK, 37)
    assert found["handshake with fra-2"].status is Status.FAIL
    assert found["handshake with fra-2"].detail == "fra-2 never answered oslo-db"
    assert (found["unknown peers"].status, found["unknown peers"].value) == (Status.OK, 0)
    assert (found["key age"].status, found["key age"].value) == (Status.OK, 100.5)


def test_a_handshake_at_the_limit_holds_and_one_older_does_not() -> None:
    for age, status in ((180, Status.OK), (181, Status.FAIL)):
        found = handshakes(f"now 1700000000\npeer {FRA_1}\t{1700000000 - age}\npeer {FRA_2}\t1700000000\n")
        assert (found["handshake with fra-1"].status, found["handshake with fra-1"].value) == (status, age)


def test_a_peer_that_is_missing_and_one_that_nobody_pushed() -> None:
    text = f"now 1700000000\npeer {FRA_1}\t1699999990\npeer {STRANGER}\t1699999990\n"
    found = handshakes(text)
    assert found["handshake with fra-2"].detail == "fra-2 is not a peer on oslo-db"
    assert (found["unknown peers"].status, found["unknown peers"].value) == (Status.FAIL, 1)
    assert found["unknown peers"].detail == STRANGER


def test_a_peer_of_another_stack_is_known_by_its_file() -> None:
    text = f"now 1700000000\npeer {STRANGER}\t1699999990\npushed {STRANGER} render-1\npushed {FRA_1} fra-1\n"
    found = handshakes(text)["unknown peers"]
    assert (found.status, found.value, found.detail) == (Status.OK, 0, "not of this stack, and pushed: render-1")
    # A file alone is no peer.
    assert handshakes(f"now 1700000000\npushed {STRANGER} render-1\n")["unknown peers"].detail == ""


def test_the_age_of_a_hosts_key() -> None:
    now = 1_700_000_000
    for days, status in ((0, Status.OK), (365, Status.OK), (365.2, Status.FAIL)):
        found = handshakes(f"now {now}\nkey {now - int(days * 86400)}\n")["key age"]
        assert (found.status, found.value) == (status, days)
    assert handshakes(f"now {now}\n")["key age"].detail == "the file of the tunnel's key is missing"


def test_no_interface_fails_and_garbage_is_unknown() -> None:
    found = handshakes("", status=1, stderr="Unable to access interface: No such device\n")
    assert {name: str(check.status) for name, check in found.items()} == {
        "handshake with fra-1": "fail",
        "handshake with fra-2": "fail",
        "unknown peers": "unknown",
        "key age": "unknown",
    }
    assert found["unknown peers"].detail == "Unable to access interface: No such device"
    for garbage in ("what\n", "", "now\n", "now 1\nnow 2\n", "now 1\npeer KEY\n", "now 1\nkey\n", "now inf\n"):
        assert {check.status for check in handshakes(garbage).values()} == {Status.UNKNOWN}, garbage


# Pings

RTT = Check(Kind.ROUND_TRIP, "oslo-db", "fra-1")


def test_round_trip_is_the_median_so_one_slow_ping_does_not_count() -> None:
    found = verdicts.round_trip(RTT, printed(recorded("ping-ten.txt")), (20.0, 30.0))
    assert (found.status, found.value, found.detail) == (Status.OK, 23.3, "9 of 10 answered")


@pytest.mark.parametrize(
    ("limit", "status"),
    [(None, Status.OK), ((23.3, 23.3), Status.OK), ((23.4, 30.0), Status.FAIL), ((1.0, 23.2), Status.FAIL)],
)
def test_round_trips_have_a_least_and_a_most(limit: tuple[float, float] | None, status: Status) -> None:
    assert verdicts.round_trip(RTT, printed(recorded("ping-ten.txt")), limit).status is status


def test_no_answer_fails_and_no_ping_is_unknown() -> None:
    lost = verdicts.round_trip(RTT, printed(recorded("ping-unreachable.txt"), status=1), None)
    assert (lost.status, lost.detail) == (Status.FAIL, "no answer through the tunnel")
    broken = verdicts.round_trip(RTT, printed("", "ping: socktype: SOCK_RAW\nOperation not permitted\n", 2), None)
    assert (broken.status, broken.detail) == (Status.UNKNOWN, "ping: socktype: SOCK_RAW; Operation not permitted")


LOSS = Check(Kind.LOSS, "oslo-db", "fra-1")


@pytest.mark.parametrize(("limit", "status"), [(10.0, Status.OK), (9.9, Status.FAIL), (0.0, Status.FAIL)])
def test_loss_has_a_most(limit: float, status: Status) -> None:
    found = verdicts.loss(LOSS, printed(recorded("ping-ten.txt")), limit)
    assert (found.status, found.value, found.detail) == (status, 10.0, "9 of 10 answered")


def test_all_lost_fails_and_no_ping_is_unknown() -> None:
    lost = verdicts.loss(LOSS, printed(recorded("ping-unreachable.txt"), status=1), 1.0)
    assert (lost.status, lost.value) == (Status.FAIL, 100.0)
    assert verdicts.loss(LOSS, printed("", "Operation not permitted\n", 2), 1.0).status is Status.UNKNOWN


EGRESS = Check(Kind.EGRESS, "fra-1", limit="refused")


@pytest.mark.parametrize(
    ("said", "status", "value"),
    [
        ({"reached": False, "error": "No route to host", "refused": 1}, Status.OK, "refused"),
        ({"reached": True, "error": "", "refused": 0}, Status.FAIL, "reached"),
        ({"reached": False, "error": "timed out", "refused": 0}, Status.FAIL, "not refused"),
        ({"reached": False}, Status.UNKNOWN, None),
        ([], Status.UNKNOWN, None),
    ],
)
def test_what_a_host_lets_out_is_what_its_own_rules_refused(said: object, status: Status, value: str | None) -> None:
    found = egress.judge(EGRESS, printed(json.dumps(said)), "192.0.2.12 at port 443")
    assert (found.status, found.value) == (status, value)
    assert "192.0.2.12 at port 443" in found.detail or status is Status.UNKNOWN


def test_an_egress_probe_that_could_not_run_is_unknown() -> None:
    found = egress.judge(EGRESS, printed("", "nft: command not found\n", 127), "x")
    assert (found.status, found.detail) == (Status.UNKNOWN, "nft: command not found")


def flow(answer: str, protocol: Literal["tcp", "udp"] = "tcp", relay: str | None = None) -> Check:
    tried = FlowFacts(source="fra-1", destination="fra-2", port=9000, protocol=protocol)
    check = Check(Kind.FLOW, "fra-1", f"fra-2 {protocol}/9000")
    return verdicts.flow(check, json.dumps({"answer": answer, "ms": 23.4}), "", tried, relay)


def test_a_flow_holds_where_it_gets_there() -> None:
    found = flow("open")
    assert (found.name, found.status, found.value, found.detail) == ("flow to fra-2 tcp/9000", Status.OK, 23.4, "")
    nobody = flow("refused")
    assert (nobody.status, nobody.detail) == (Status.OK, "fra-2 lets it in, and nobody listens there")


@pytest.mark.parametrize(
    ("answer", "relay", "says"),
    [
        ("silent", None, "no answer: `fortress drift` compares fra-1 and fra-2 with what was pushed"),
        (
            "silent",
            "oslo-db",
            "no answer over oslo-db: `fortress drift` compares fra-1, oslo-db and fra-2 with what was pushed",
        ),
        ("No route to host", None, "No route to host: `fortress drift` compares fra-1 and fra-2 with what was pushed"),
    ],
)
def test_a_flow_that_gets_nowhere_fails(answer: str, relay: str | None, says: str) -> None:
    found = flow(answer, "tcp", relay)
    assert (found.status, found.value, found.detail) == (Status.FAIL, None, says)


def test_silence_over_udp_says_nothing() -> None:
    assert flow("silent", "udp").status is Status.UNKNOWN
    assert flow("refused", "udp").status is Status.OK
    assert flow("Network is unreachable", "udp").status is Status.FAIL


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"answer": "open"}', '{"answer": "open", "ms": "soon"}'])
def test_a_flow_of_which_nothing_is_said_is_unknown(text: str) -> None:
    tried = FlowFacts(source="fra-1", destination="fra-2", port=9000, protocol="tcp")
    found = verdicts.flow(Check(Kind.FLOW, "fra-1", "fra-2 tcp/9000"), text, "no python3\n", tried, None)
    assert (found.status, found.detail) == (Status.UNKNOWN, "no python3")


def path(largest: int) -> Result:
    return printed(json.dumps({"largest": largest, "tries": 2}))


def test_the_tunnel_carries_its_mtu_and_not_a_byte_more() -> None:
    check = Check(Kind.TUNNEL_MTU, "oslo-db", "fra-1", limit=1360)
    assert verdicts.tunnel_mtu(check, path(1360), 1360) == check.ok(1360)
    narrow = verdicts.tunnel_mtu(check, path(1280), 1360)
    assert (narrow.status, narrow.value) == (Status.FAIL, 1280)
    assert narrow.detail == "a packet of 1360 bytes does not pass; lower mesh.mtu"
    wide = verdicts.tunnel_mtu(check, path(1420), 1360)
    assert (wide.status, wide.value, wide.detail) == (Status.FAIL, 1420, "the tunnel is wider than set")
    assert verdicts.tunnel_mtu(check, path(0), 1360) == check.fail(None, "no answer through the tunnel")


def test_the_path_outside_is_as_wide_as_set_or_wider() -> None:
    check = Check(Kind.PATH_MTU, "fra-1", "oslo-db", limit=1450)
    assert verdicts.path_mtu(check, path(1450), 1450, 80) == check.ok(1450)
    assert verdicts.path_mtu(check, path(1500), 1450, 80) == check.ok(1500)
    narrow = verdicts.path_mtu(check, path(1400), 1450, 80)
    assert (narrow.status, narrow.value) == (Status.FAIL, 1400)
    assert narrow.detail == "set mesh.path_mtu to 1400, and mesh.mtu to at most 1320"
    # The tunnel may work where pings are dropped.
    assert verdicts.path_mtu(check, path(0), 1450, 80).status is Status.UNKNOWN


def test_a_path_that_could_not_be_measured_is_unknown() -> None:
    check = Check(Kind.PATH_MTU, "fra-1", "oslo-db")
    for result in (printed("", "Network is unreachable", 1), printed("?"), printed("{}"), printed("[]")):
        assert verdicts.path_mtu(check, result, 1450, 80).status is Status.UNKNOWN
        assert verdicts.tunnel_mtu(check, result, 1360).status is Status.UNKNOWN
    assert (
        verdicts.path_mtu(check, printed("", "Network is unreachable", 1), 1450, 80).detail == "Network is unreachable"
    )


def test_failover_is_what_the_settings_make_it() -> None:
    check = Check(Kind.FAILOVER, "oslo-edge", limit=3.0)
    found = verdicts.failover(check, 2400, 1600, 3.0)
    assert (found.status, found.value) == (Status.OK, 2.4)
    assert found.detail == "computed from edge.checks; 1.6 s if the host is up and refuses"
    assert verdicts.failover(check, 3001, 1600, 3.0).status is Status.FAIL


def test_the_interfaces_mtu() -> None:
    check = Check(Kind.INTERFACE_MTU, "fra-1", limit=1360)
    assert verdicts.interface_mtu(check, printed("1360\n"), 1360) == check.ok(1360)
    assert verdicts.interface_mtu(check, printed("1420\n"), 1360).status is Status.FAIL
    missing = printed("", "cat: /sys/class/net/wg0/mtu: No such file or directory\n", 1)
    assert verdicts.interface_mtu(check, missing, 1360).status is Status.FAIL
    assert verdicts.interface_mtu(check, printed("wide\n"), 1360).status is Status.UNKNOWN


# HAProxy

SERVERS = {
    ("oslo", "oslo-web"): "10.100.0.3:80",
    ("frankfurt", "fra-1"): "10.100.0.4:80",
    ("frankfurt", "fra-2"): "10.100.0.5:80",
    ("frankfurt", "fra-3"): "10.100.0.6:80",
}


def backends(text: str, servers: dict[tuple[str, str], str] = SERVERS) -> dict[str, Check]:
    rows = {key: Check(Kind.BACKEND, "oslo-edge", key[1], limit="UP") for key in servers}
    return {check.about: check for check in verdicts.backends(rows, servers, text)}


def test_servers_as_haproxy_sees_them() -> None:
    found = backends(recorded("show-stat.csv"))
    assert {name: (str(check.status), check.value) for name, check in found.items()} == {
        "oslo-web": ("ok", "UP"),
        "fra-1": ("fail", "DOWN"),
        "fra-2": ("ok", "UP"),
        "fra-3": ("fail", "no check"),
    }
    assert found["oslo-web"].detail == "last check: L7OK 200"
    assert found["fra-1"].detail == "last check: L4CON Connection refused"


def test_a_check_under_way_is_told_as_the_last_one() -> None:
    text = recorded("show-stat.csv").replace(",L4CON,", ",* L4CON,")
    assert backends(text)["fra-1"].detail == "last check: L4CON Connection refused"


@pytest.mark.parametrize(
    ("status", "holds"),
    [("UP", True), ("UP 1/3", True), ("DOWN 1/2", False), ("DRAIN", False), ("MAINT", False), ("NOLB", False)],
)
def test_only_up_is_up(status: str, holds: bool) -> None:
    text = recorded("show-stat.csv").replace(",UP,1,1,0,1,1,3,", f",{status},1,1,0,1,1,3,")
    assert backends(text)["oslo-web"].status is (Status.OK if holds else Status.FAIL)


def test_a_server_that_haproxy_lacks_or_sends_elsewhere() -> None:
    found = backends(
        recorded("show-stat.csv"), {("oslo", "oslo-web"): "10.100.0.9:80", ("oslo", "oslo-web-2"): "10.100.0.8:80"}
    )
    assert found["oslo-web"].detail == "HAProxy sends to 10.100.0.3:80, the stack says 10.100.0.9:80"
    assert found["oslo-web-2"].detail == "HAProxy has no such server"
    assert {check.status for check in found.values()} == {Status.FAIL}
    assert {check.status for check in backends("Unknown command\n").values()} == {Status.UNKNOWN}


# The database, certificates

TLS = Check(Kind.DATABASE_OVER_TLS, "fra-1")
DAYS = Check(Kind.EDGE_CERTIFICATE, "oslo-edge", limit=14)


def test_the_database_over_tls() -> None:
    answer = verdicts.read_database(
        '{"server": "10.11.19-MariaDB-0+deb12u1", "tls": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384",'
        ' "not_after": 1826947450}\n'
    )
    assert answer.not_after == 1826947450
    found = verdicts.database_over_tls(TLS, answer)
    assert found == TLS.ok("TLSv1.3", "TLS_AES_256_GCM_SHA384, MariaDB 10.11.19-MariaDB-0+deb12u1")
    refused = verdicts.database_over_tls(TLS, verdicts.read_database('{"error": "the server does not offer TLS"}'))
    assert (refused.status, refused.detail) == (Status.FAIL, "the server does not offer TLS")
    for bad in ("", "[1]", '{"surprise": 1}', "Traceback"):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever reads it words it
            verdicts.read_database(bad)


def test_the_database_refuses_plain_connections() -> None:
    check = Check(Kind.DATABASE_WITHOUT_TLS, "oslo-db", limit="refused")
    assert verdicts.database_without_tls(check, printed("1\tTLSv1.3\n")) == check.ok("refused", "TLSv1.3")
    assert verdicts.database_without_tls(check, printed("0\n")).status is Status.FAIL
    down = printed("", "ERROR 2002 (HY000): Can't connect to local server through socket\n", 1)
    assert verdicts.database_without_tls(check, down).status is Status.UNKNOWN


def test_a_newer_server_on_old_system_tables_is_seen() -> None:
    """In mariadb-upgrade's words, of 11.8 and of 10.11; its exit status is 1 where nothing is to be done."""
    check = Check(Kind.DATABASE_RELEASE, "oslo-db", limit="upgraded")
    for version in ("11.8.9-MariaDB", "10.11.19-MariaDB"):
        said = f"This installation of MariaDB is already upgraded to {version}.\nThere is no need to run it again.\n"
        assert verdicts.database_release(check, printed(said, "", 1)) == check.ok(version)
    needed = verdicts.database_release(check, printed("", "", 0))
    assert (needed.status, needed.value) == (Status.FAIL, "not upgraded")
    assert needed.detail.endswith("run /usr/local/lib/fortress/mariadb-data upgraded there, as root")
    down = printed("", "Failed to connect to the server\n", 1)
    assert verdicts.database_release(check, down).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        ("exposure 2.7\nconfined 1\n", Status.OK, ""),
        ("exposure 4.0\nconfined 1\n", Status.OK, ""),
        ("exposure 4.1\nconfined 1\n", Status.FAIL, "systemctl cat haproxy"),
        ("exposure 2.7\nconfined 0\n", Status.FAIL, "systemctl restart haproxy, which ends its connections"),
        ("exposure 2.7\n", Status.FAIL, "it does not run"),
        ("confined 1\n", Status.UNKNOWN, "gives no level"),
        ("exposure nan\nconfined 1\n", Status.UNKNOWN, "level nan"),
        ("exposure -1\nconfined 1\n", Status.UNKNOWN, "level -1.0"),
        ("exposure much\nconfined 1\n", Status.UNKNOWN, "gives no level"),
    ],
)
def test_a_service_is_confined_and_runs_so(answer: str, status: Status, detail: str) -> None:
    found = verdicts.sandbox(Check(Kind.SANDBOX, "oslo-edge", "haproxy", limit=4.0), printed(answer))
    assert found.status is status
    assert detail in found.detail


@pytest.mark.parametrize(
    ("left_s", "status", "days"),
    [(14 * 86400, Status.OK, 14.0), (14 * 86400 - 1, Status.FAIL, 13.9), (-1, Status.FAIL, -0.1)],
)
def test_days_of_a_certificate(left_s: float, status: Status, days: float) -> None:
    found = certificate_days(DAYS, 1_800_000_000 + left_s, 1_800_000_000, 14, "renew it", "self-signed")
    assert (found.status, found.value) == (status, days)
    assert found.detail == {14.0: "self-signed", 13.9: "renew it", -0.1: "expired: renew it"}[days]


# Clocks

OFFSET = Check(Kind.CLOCK_OFFSET, "fra-1", limit=100)


@given(
    offset=st.floats(-5, 5),
    there=st.floats(0, 1),
    back=st.floats(0, 1),
)
def test_half_the_round_trip_is_taken_off_an_offset(offset: float, there: float, back: float) -> None:
    """The error is never more than half of what the ways differ by, which is within the bound that is told."""
    before = 1_800_000_000.0
    sample = ClockSample(before, before + there + offset, before + there + back)
    assert math.isclose(sample.offset, offset + (there - back) / 2, abs_tol=1e-5)
    assert abs(sample.offset - offset) <= sample.round_trip / 2 + 1e-5


@pytest.mark.parametrize(
    ("ahead_s", "status"), [(0.0, Status.OK), (0.099, Status.OK), (0.101, Status.FAIL), (-0.25, Status.FAIL)]
)
def test_a_clock_offset_is_judged_by_the_quickest_answer(ahead_s: float, status: Status) -> None:
    now = 1_800_000_000.0
    slow = ClockSample(now, now + 3.0, now + 3.2)
    quick = ClockSample(now, now + 0.011 + ahead_s, now + 0.022)
    found = verdicts.clock_offset(OFFSET, [slow, quick, slow], 100)
    assert found.status is status
    assert found.value == round(ahead_s * 1000, 1)
    assert "within 11.0 ms either way" in found.detail
    assert found.detail.startswith({"-": "behind this clock", "+": "ahead of this clock"}[f"{ahead_s:+}"[0]]) is (
        status is Status.FAIL
    )


# Ports

PORTS = Check(Kind.OPEN_PORTS, "oslo-edge", limit="22 80 443")


def ports(*seen: int, silence: str | None = None, not_from_here: tuple[int, ...] = ()) -> Check:
    found = {port: port in seen for port in (22, 23, 80, 443, 3306)}
    return verdicts.open_ports(PORTS, found, (22, 80, 443), silence=silence, not_from_here=not_from_here)


def test_exactly_the_expected_ports_are_open() -> None:
    assert ports(443, 22, 80) == PORTS.ok("22 80 443")
    extra = ports(22, 80, 443, 3306, 23)
    assert (extra.status, extra.value, extra.detail) == (
        Status.FAIL,
        "22 23 80 443 3306",
        "open and should not be: 23 3306",
    )
    missing = ports(22, 443)
    assert (missing.status, missing.detail) == (Status.FAIL, "closed and should be open: 80")


def test_a_machine_that_is_off_has_no_open_ports_and_that_says_nothing() -> None:
    assert ports(silence="it is off") == PORTS.unknown("it is off")
    assert ports(23, silence="it is off").status is Status.FAIL


def test_behind_a_bastion_ssh_need_not_be_seen() -> None:
    assert ports(80, 443, not_from_here=(22,)) == PORTS.ok("80 443")
    assert ports(22, 80, 443, not_from_here=(22,)).status is Status.OK
    assert ports(80, not_from_here=(22,)).detail == "closed and should be open: 443"


# Hosts that print something else


def test_nothing_of_a_hosts_reaches_the_terminal_raw() -> None:
    check = Check(Kind.DATABASE_OVER_TLS, "fra-1")
    for found in (check.ok("\x1b]0;pwned\x07UP"), check.fail(None, "\x1b[2Jgone"), check.unknown("a\x9bb")):
        assert f"{found.value}{found.detail}".isprintable()
    assert check.ok("\x1b]0;pwned\x07UP").value == "?]0;pwned?UP"
    assert len(check.unknown("x" * 10_000).detail) == 300


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_never_a_measured_value(number: float) -> None:
    for judge in (Check(Kind.UP, "b").ok, lambda value: Check(Kind.UP, "b").fail(value, "")):
        with pytest.raises(ValueError, match="no measured number"):
            judge(number)


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "[]", "7", '{"tls": ["TLSv1.3"]}', '{"tls": "", "not_after": 1}'),
        *('{"tls": "TLSv1.3", "not_after": 1e999}', '{"tls": "TLSv1.3", "not_after": NaN}'),
    ],
)
def test_an_empty_answer_is_no_connection_to_the_database(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        verdicts.read_database(text)


TEXTS = st.text(max_size=60) | st.sampled_from(["{}", "[]", "null", "1e999", "[" * 5000, '{"largest": Infinity}'])
KINDS = st.lists(st.sampled_from(["now", "key", "peer", "pushed", "nan", "inf", "-1", "1e309", "K="]), max_size=6)


@given(st.one_of(TEXTS, st.lists(KINDS.map(" ".join), max_size=4).map("\n".join)))
def test_whatever_a_host_prints_is_read_or_is_garbled(text: str) -> None:
    """`verify` makes the second unknown; nothing else may come out of a reader."""
    rows = {("oslo", "web"): Check(Kind.BACKEND, "edge")}
    for read in (
        verdicts.read_tunnel,
        verdicts.read_database,
        verdicts.read_path,
        verdicts.read_pings,
        lambda said: verdicts.tunnel({}, RTT, RTT, printed(said), {}, 180, 365),
        lambda said: verdicts.round_trip(RTT, printed(said), None),
        lambda said: verdicts.backends(rows, {("oslo", "web"): "10.100.0.4:80"}, f"# pxname,svname,{said}"),
        lambda said: disk.io_wait(RTT, printed(said), 5.0),
        lambda said: disk.benchmark([RTT, RTT, RTT], printed(said), {"4k": 1, "16k": 1}, 10.0),
        lambda said: replication.lag(RTT, printed(said), 10.0, wanted=True),
    ):
        with contextlib.suppress(*GARBLED):
            read(text)


# Logs


@pytest.mark.parametrize(
    ("text", "status", "value"),
    [
        ("1000000000\n999913600.123456\n", "ok", 0.9),
        ("1000000000\n997408000.5\n", "ok", 29.9),
        ("1000000000\n997321600.5\n", "fail", 30.9),
        ("1000000000\n", "unknown", None),
        ("1000000000\n--\n", "unknown", None),
        ("1000000000\nnan\n", "unknown", None),
        ("", "unknown", None),
    ],
)
def test_how_far_back_the_journal_reaches(text: str, status: str, value: float | None) -> None:
    check = verdicts.log_age(Check(Kind.LOG_AGE, "oslo-edge", limit=30), printed(text), 30)
    assert (str(check.status), check.value) == (status, value)
    assert check.status != "fail" or "docs/production.md, Logs" in check.detail


def test_the_oldest_entry_is_asked_for_by_a_command_that_a_shell_reads(tmp_path: Path) -> None:
    tool = tmp_path / "journalctl"
    tool.write_text("#!/bin/sh\necho 1764000000.123456 oslo-edge haproxy[1]: 192.0.2.7; seq 100000\n")
    tool.chmod(0o755)
    done = subprocess.run(
        verdicts.OLDEST_ENTRY, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1:] == ["1764000000.123456"]
