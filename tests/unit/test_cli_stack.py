"""A stack as its outputs describe it, and the engine that is asked for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fortress.cli.base.errors import CannotAskError
from fortress.cli.engine import outputs as stack
from fortress.cli.engine import run as engine
from fortress.cli.engine.state import SECRET as MARK
from fortress.facts import VERSION, StackOutputs
from fortress.limits import Limits
from tests.doubles.standing_fortress import exported

SECRET = {**MARK, "ciphertext": "v1:abc"}


def host(name: str, site: str, peers: list[str]) -> dict[str, Any]:
    return {
        "address": "192.0.2.11",
        "port": 22,
        "user": "ops",
        "host_key": "ssh-ed25519 AAAA",
        "public_key": f"key of {name}",
        "mesh_address": "10.100.0.1",
        "site": site,
        "role": "worker",
        "peers": peers,
        "open_tcp": [22],
    }


def outputs(**changes: Any) -> dict[str, Any]:
    """The outputs of a stack as its state has them; integers may come back as floats."""
    hubs = {"oslo-db": ["fra-1", "fra-2"], "oslo-edge": ["fra-1", "fra-2"]}
    workers = {"fra-1": ["oslo-db", "oslo-edge"], "fra-2": ["oslo-db", "oslo-edge", "fra-9"]}
    found = {
        "version": 1,
        "hosts": {name: host(name, name.split("-")[0], peers) for name, peers in {**hubs, **workers}.items()},
        "mesh": {
            "network": "10.100.0.0/24",
            "port": 51820,
            "mtu": 1360.0,
            "path_mtu": 1450,
            "hubs": list(hubs),
            "interface": "wg0",
        },
        "database": {
            "host": "oslo-db",
            "address": "10.100.0.1",
            "port": 3306,
            "name": "app",
            "user": "app",
            "ca_pem": "-----BEGIN",
            "copy_wanted": False,
        },
        "edge": {
            "host": "oslo-edge",
            "url": "https://192.0.2.12",
            "server_name": "lab.fortress.example",
            "health_path": "/health",
            "stats_socket": "/run/haproxy/admin.sock",
            "backends": {"frankfurt": {"fra-1": "10.100.0.4:80"}},
            "silent_ms": 2000,
            "refused_ms": 1200,
        },
        "bastion": None,
        "limits": {**Limits().model_dump(), "rtt_ms": {"fra-oslo": [20, 30]}, "ports": [22]},
    }
    return {"fortress": {**found, **changes}}


def read(found: dict[str, Any]) -> StackOutputs:
    return stack.of_state(exported(found), "lab")


def test_reads_the_outputs() -> None:
    found = read(outputs())
    assert found.mesh is not None
    assert found.mesh.mtu == 1360
    assert found.hosts["fra-1"].peers == ("oslo-db", "oslo-edge")
    assert found.bastion is None


def test_each_pair_of_direct_peers_once_with_the_work_spread() -> None:
    pairs = read(outputs()).pairs()
    assert {frozenset(pair) for pair in pairs} == {
        frozenset((one, other)) for one in ("fra-1", "fra-2") for other in ("oslo-db", "oslo-edge")
    }
    assert len(pairs) == 4
    measuring = [one for one, _ in pairs]
    assert max(measuring.count(name) for name in measuring) <= 2


def test_who_has_an_address_that_stays_is_dialled() -> None:
    dials = read(outputs()).dials()
    assert sorted(dials) == [(worker, hub) for worker in ("fra-1", "fra-2") for hub in ("oslo-db", "oslo-edge")]


def test_limits_are_by_the_pair_of_sites_in_any_order() -> None:
    limits = read(outputs()).limits
    assert limits.rtt("oslo", "fra") == limits.rtt("fra", "oslo") == (20.0, 30.0)
    assert limits.rtt("oslo", "oslo") is None


def without(*path: str) -> dict[str, Any]:
    """The outputs without one of their fields."""
    found = outputs()
    inner = found["fortress"]
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return found


def test_an_output_that_was_written_before_there_were_versions_is_read_where_it_is_as_version_1() -> None:
    assert read(without("version")) == read(outputs())


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (
            {"url": "https://192.0.2.12"},
            "^stack 'lab' has no output 'fortress': its program exports none, or its last `pulumi up` did not finish; "
            "name a stack of Data Fortress's own program, or run `pulumi up --stack lab` again$",
        ),
        ({"fortress": SECRET}, "^output fortress of stack 'lab' is secret and cannot be read"),
        (outputs(bastion={"host_key": SECRET}), r"output fortress\.bastion\.host_key of stack 'lab' is secret"),
        (outputs(limits={"ports": [22, SECRET]}), r"output fortress\.limits\.ports\.1 of stack 'lab' is secret"),
        (
            without("mesh", "path_mtu"),
            r"^output 'fortress' of stack 'lab' was written by another version of this program "
            r"\(mesh\.path_mtu: field required\); run `pulumi up` once more$",
        ),
        (outputs(hosts={"fra-1": {}}), r"another version of this program \(hosts\.fra-1\.address: field required\)"),
        (outputs(version=0), r"another version of this program \(version: "),
        (outputs(version="3"), r"another version of this program \(version: "),
        ({"fortress": "none"}, r"another version of this program \(fortress: "),
        (
            outputs(version=VERSION + 1, mesh=None),
            r"^output 'fortress' of stack 'lab' was written by a newer version of this program "
            rf"\(version {VERSION + 1}; this one reads {VERSION}\); update data-fortress$",
        ),
        (
            outputs(version=float(VERSION + 1)),
            rf"newer version of this program \(version {VERSION + 1}; this one reads {VERSION}\)",
        ),
        ({}, "^stack 'lab' has no output"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(found: Any, why: str) -> None:
    with pytest.raises(CannotAskError, match=why):
        read(found)


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `pulumi` on PATH; tests write what it does."""
    path = tmp_path / "bin" / "pulumi"
    path.parent.mkdir()
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    return path


def does(pulumi: Path, script: str) -> None:
    pulumi.write_text(f"#!/bin/sh\n{script}\n")
    pulumi.chmod(0o755)


def test_asks_the_engine_without_colour_questions_or_a_look_for_updates(pulumi: Path) -> None:
    does(pulumi, 'printf "%s " "$@"; echo "$PULUMI_SKIP_UPDATE_CHECK"; cat')
    assert engine.run("stack", "output", "--json", stack="lab") == (
        "stack output --json --stack lab --non-interactive --color never true\n"
    )
    assert engine.run("stack", "import", stack="lab", text="of mine").endswith("true\nof mine")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (
            "echo \"error: no stack named 'lab' found\" >&2; exit 6",
            "^there is no stack 'lab' in this backend; `pulumi stack ls` lists the existing ones$",
        ),
        (
            "echo 'error: if you'\\''re using the --stack flag, pass the fully qualified name (o/p/s)' >&2; exit 1",
            r"^there is no Pulumi\.yaml here or above; run this in the folder that holds it$",
        ),
        (
            "echo 'error: unable to open bucket file:///none' >&2; echo 'error: two' >&2; exit 1",
            "^pulumi: unable to open bucket file:///none; two; PULUMI_BACKEND_URL, or `pulumi login`, tells it where",
        ),
        (
            "echo 'error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions' >&2; exit 1",
            "^the engine does not know where the state is stored; set PULUMI_BACKEND_URL, or run `pulumi login`$",
        ),
        (
            "echo 'error: could not import deployment: the stack is currently locked by 1 lock(s).' >&2; exit 1",
            "^stack 'lab' is locked by another `pulumi`; wait for it, or, .*, run `pulumi cancel --stack lab`$",
        ),
        ("exit 3", "^pulumi: exit status 3 with no output$"),
        ("echo nonsense", "^`pulumi stack export` did not print JSON$"),
    ],
)
def test_errors_of_the_engine_in_its_words(pulumi: Path, script: str, why: str) -> None:
    does(pulumi, script)
    with pytest.raises(CannotAskError, match=why) as error:
        stack.read("lab")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("deployment", "why"),
    [
        ({}, "is not up: never created, or destroyed; create it with `pulumi up --stack lab`$"),
        ({"resources": []}, "is not up: never created, or destroyed; "),
        (
            {
                "resources": [
                    {"urn": "urn:pulumi:lab::mesh::pulumi:pulumi:Stack::mesh-lab", "type": "pulumi:pulumi:Stack"}
                ]
            },
            "has no output 'fortress': ",
        ),
    ],
)
def test_a_stack_without_outputs_is_up_or_not(pulumi: Path, tmp_path: Path, deployment: Any, why: str) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"version": 3, "deployment": deployment}))
    does(pulumi, f"exec cat {tmp_path}/state.json")
    with pytest.raises(CannotAskError, match=f"^stack 'lab' {why}"):
        stack.read("lab")


def test_an_engine_that_hangs_is_given_up(pulumi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LONGEST_S", 0.2)
    does(pulumi, "exec sleep 60")
    with pytest.raises(CannotAskError, match="`pulumi stack export` gave no answer within 0 s"):
        stack.read("lab")


def test_the_engine_is_found_on_path_or_beside_python_or_missing(
    pulumi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "venv" / "pulumi"
    beside.parent.mkdir()
    monkeypatch.setattr(sys, "executable", str(beside.parent / "python"))
    with pytest.raises(
        CannotAskError, match=r"neither on PATH nor beside this command; run `source .venv/bin/activate`"
    ):
        engine.find()
    does(beside, "true")
    assert engine.find() == str(beside)
    does(pulumi, "true")
    assert engine.find() == str(pulumi)
    pulumi.write_text("no program")
    with pytest.raises(CannotAskError, match="pulumi cannot be started: Exec format error"):
        engine.run("stack", "output", stack="lab")


def test_reads_by_the_engine(pulumi: Path, tmp_path: Path) -> None:
    """One process, whatever the stack is asked for."""
    (tmp_path / "state.json").write_text(json.dumps(exported(outputs())))
    does(pulumi, f'echo "$*" >>{tmp_path}/asked; cat {tmp_path}/state.json')
    assert stack.read("lab") == read(outputs())
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["stack export --stack lab --non-interactive --color never"]
