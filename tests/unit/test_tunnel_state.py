"""`tunnel-state`: what it says of a host's tunnel, under dash, with files as push.sh leaves them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fortress import wireguard
from fortress.cli.base.result import Result
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.verify.verdicts import read_tunnel, tunnel
from tests.doubles.ssh_server import programs

SCRIPT = Path(__file__).parents[2] / "fortress/scripts/tunnel-state"
KEYS = [f"{letter * 42}A=" for letter in "abc"]
Ask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    text = SCRIPT.read_text()
    assert "/etc/wireguard" in text
    text = text.replace("/etc/wireguard", f"{tmp_path}/etc/wireguard")
    script = tmp_path / "tunnel-state"
    script.write_text(text)
    (tmp_path / "etc/wireguard/wg0.d").mkdir(parents=True)

    (tmp_path / "records").write_text("")

    def run(wg: str, push: str = f"exec cat {tmp_path}/records") -> subprocess.CompletedProcess[str]:
        path = programs(tmp_path, {"wg": wg, "fortress-push": f'[ "$*" = records ] || exit 9; {push}'})
        return subprocess.run(
            ["dash", str(script), "wg0"],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def put(root: Path, name: str, key: str, *, recorded: bool = True, edited: bool = False) -> None:
    """A peer's file as it was pushed, or without a record, or edited after."""
    file = root / f"etc/wireguard/wg0.d/{name}.conf"
    text = wireguard.render_peer(
        wireguard.PeerFile(name=name, public_key=key, allowed_ips=("10.100.0.9/32",), keepalive_s=25)
    )
    file.write_text(text + ("# by hand\n" if edited else ""))
    if recorded:
        digest = hashlib.sha256(text.encode()).hexdigest()
        with (root / "records").open("a") as records:
            records.write(f"{file}\t{digest},0600,root:root\t-\t-\t1700000000\tmesh-{name}\n")


def test_peers_are_told_by_files_that_stand_as_pushed(ask: Ask, tmp_path: Path) -> None:
    put(tmp_path, "fra-1", KEYS[0])
    put(tmp_path, "by-hand", KEYS[1], recorded=False)
    put(tmp_path, "edited", KEYS[2], edited=True)
    (tmp_path / "etc/wireguard/wg0.key").write_text("")
    os.utime(tmp_path / "etc/wireguard/wg0.key", (1_700_000_000, 1_700_000_000))
    done = ask(f'[ "$*" = "show wg0 latest-handshakes" ] || exit 9; printf "{KEYS[0]}\\t1700000063\\n{KEYS[1]}\\t0\\n"')
    assert (done.returncode, done.stderr) == (0, "")
    found = read_tunnel(done.stdout)
    assert found.pushed == {KEYS[0]: "fra-1"}
    assert set(found.ages) == {KEYS[0], KEYS[1]}
    assert found.key_age_s is not None
    assert found.key_age_s > 0
    assert "key 1700000000\n" in done.stdout


def test_peers_that_nobody_may_have_pushed_are_unknown_where_no_records_are_told(ask: Ask) -> None:
    older = "echo 'fortress-push: unknown verb: records (see fortress-push --help)' >&2; exit 2"
    done = ask(f"date '+{KEYS[0]}%t%s'; date '+{KEYS[1]}%t%s'", older)
    assert (done.returncode, done.stderr) == (0, "")
    result = Result(0, done.stdout, "")
    checks = {"fra-1": Check(Kind.HANDSHAKE, "db", "fra-1")}

    def strangers(**keys: str) -> Check:
        found = tunnel(checks, Check(Kind.UNKNOWN_PEERS, "db"), Check(Kind.KEY_AGE, "db"), result, keys, 180.0, 400.0)
        assert found[0].status is Status.OK
        return found[1]

    unknown = strangers(**{"fra-1": KEYS[0]})
    assert unknown.status is Status.UNKNOWN
    assert unknown.detail == "its fortress-push is older than this command: run `pulumi up` once"
    assert strangers(**{"fra-1": KEYS[0], "fra-2": KEYS[1]}).status is Status.OK


def test_a_host_without_peers_and_without_a_key(ask: Ask) -> None:
    done = ask("exit 0")
    found = read_tunnel(done.stdout)
    assert (found.ages, found.key_age_s, found.pushed) == ({}, None, {})


def test_without_an_interface_wgs_own_words_and_status(ask: Ask) -> None:
    done = ask("echo 'Unable to access interface: No such device' >&2; exit 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Unable to access interface: No such device\n"
