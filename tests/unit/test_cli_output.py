"""How checks are shown: to people on any terminal or none, and to programs."""

from __future__ import annotations

import json

import pytest

from fortress.cli.check import show
from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from tests.unit.golden import check_golden

CHECKS = [
    Check(Kind.HOST_KEY, "oslo-db", limit="as pinned").ok("as pinned", "ssh-ed25519 SHA256:abc"),
    Check(Kind.CLOCK_OFFSET, "oslo-db", limit=100.0).ok(-0.4, "within 0.3 ms either way"),
    Check(Kind.OPEN_PORTS, "oslo-edge", limit="22 80 443").fail("22 80 443 3306", "open and should not be: 3306"),
    Check(Kind.HANDSHAKE, "frankfurt-worker-12", "oslo-edge", limit=180.0).ok(37),
    Check(Kind.ROUND_TRIP, "frankfurt-worker-12", "oslo-edge", limit=(20.0, 30.0)).ok(22.9, "all answered"),
    Check(Kind.TUNNEL_MTU, "fra-1", "oslo-db", limit=1360).unknown(
        "fra-1 does not answer on 203.0.113.21:22 within 10 s"
    ),
    Check(Kind.DATABASE_OVER_TLS, "oslo-web").ok("TLSv1.3", "TLS_AES_256_GCM_SHA384, MariaDB 10.11.19"),
    Check(Kind.BACKEND, "oslo-edge", "frankfurt/fra-1", limit="UP").fail(
        "DOWN", "last check: L4TOUT [red]not markup[/red]"
    ),
    Check(Kind.EDGE_CERTIFICATE, "oslo-edge", limit=14.0).ok(89.9, "self-signed"),
]


def shown(width: int) -> str:
    return show.as_table("lab", CHECKS, terminal=False, width=width)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("width", [80, 40])
def test_as_it_reads(width: int) -> None:
    text = shown(width)
    check_golden(f"verify-{width}.txt", text)
    assert max(len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("width", [200, 80, 60, 59, 40, 20])
def test_nothing_is_cut_off_at_any_width(width: int) -> None:
    text = shown(width)
    assert max(len(line) for line in text.splitlines()) <= width
    squeezed = "".join(text.split())
    for check in CHECKS:
        if check.status != "ok":
            assert "".join(f"{check.name} on {check.host}: {check.detail}".split()) in squeezed
    if width in (200, 59, 40, 20):
        # Between those the table folds cells, and the words of one are not in a row.
        assert all("".join(check.name.split()) in squeezed for check in CHECKS)


@pytest.mark.parametrize("width", [None, 200, 80, 70, 60, 50])
def test_a_hosts_name_stays_in_one_piece(width: int | None) -> None:
    name = "production-frankfurt-worker-12"
    checks = [Check(Kind.HANDSHAKE, name, "oslo-edge", limit=180.0).ok(37), CHECKS[0]]
    text = show.as_table("lab", checks, terminal=False, width=width)
    assert name in text
    assert "180 s" in text


def test_a_pipe_has_no_width() -> None:
    detail = " ".join(["word"] * 40)
    down = Check(Kind.BACKEND, "a-host-of-a-long-name", "a-site-of-a-long-name/fra-1", limit="UP").fail("DOWN", detail)
    _, row, _, why, _ = show.as_table("lab", [down], terminal=False).splitlines()
    assert " ".join(row.split()) == "FAIL backend a-site-of-a-long-name/fra-1 a-host-of-a-long-name DOWN UP"
    assert why == f"FAIL  backend a-site-of-a-long-name/fra-1 on a-host-of-a-long-name: {detail}"


def test_one_reason_is_told_once() -> None:
    silent = [Check(kind, "fra-1").unknown("fra-1 does not answer") for kind in (Kind.HOST_KEY, Kind.CLOCK_OFFSET)]
    silent.append(Check(Kind.HOST_KEY, "fra-2").unknown("fra-2 does not answer"))
    told = show.as_table("lab", silent, terminal=False, width=80).splitlines()[-3:]
    assert told == [
        "unknown  host key, clock offset on fra-1: fra-1 does not answer",
        "unknown  host key on fra-2: fra-2 does not answer",
        "lab: 3 checks, 0 ok, 3 unknown",
    ]


@pytest.mark.parametrize("width", [80, 40])
def test_a_command_is_a_line_of_its_own_to_be_copied(width: int) -> None:
    command = "fortress ssh oslo-edge --stack lab -- 'sudo /usr/local/lib/fortress/edge-certificate --reload haproxy'"
    ends = Check(Kind.EDGE_CERTIFICATE, "oslo-edge", limit=14).fail(9.2, f"expired: {command}")
    *_, before, told, _ = show.as_table("lab", [ends], terminal=False, width=width).splitlines()
    assert before.endswith("expired:")
    assert told == command


def test_colour_only_adds_to_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(80).isascii()
    assert "\x1b" not in shown(80)
    assert "FAIL" in shown(80)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[32mok" in show.as_table("lab", CHECKS, terminal=True, width=80)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in show.as_table("lab", CHECKS, terminal=True, width=80)


def test_json_is_one_object() -> None:
    found = json.loads(show.as_json("lab", CHECKS))
    assert found.keys() == {"ok", "stack", "checks"}
    assert (found["ok"], found["stack"]) == (False, "lab")
    assert [set(check) for check in found["checks"]] == [
        {"name", "host", "status", "value", "unit", "limit", "detail", "kind", "about"}
    ] * len(CHECKS)
    assert {check["status"] for check in found["checks"]} == {"ok", "fail", "unknown"}
    held = [check for check in CHECKS if check.status == "ok"]
    assert json.loads(show.as_json("lab", held))["ok"] is True
    assert json.loads(show.as_json("lab", []))["ok"] is False


def test_json_of_what_could_not_be_asked() -> None:
    assert json.loads(show.as_json("lab", [], "no such stack")) == {
        "ok": False,
        "stack": "lab",
        "checks": [],
        "error": "no such stack",
    }


def test_the_tally() -> None:
    assert show.tally(CHECKS) == "9 checks, 6 ok, 2 fail, 1 unknown"
    assert show.tally(CHECKS[:2]) == "2 checks, 2 ok"
