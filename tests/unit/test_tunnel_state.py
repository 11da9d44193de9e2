"""`tunnel-state`: what it says of a host's tunnel, under dash, with files as push.sh leaves them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fortress import wireguard
from fortress.cli.verify.verdicts import read_tunnel
from tests.doubles.ssh_server import programs

SCRIPT = Path(__file__).parents[2] / "fortress/scripts/tunnel-state"
KEYS = [f"{letter * 42}A=" for letter in "abc"]
Ask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    text = SCRIPT.read_text()
    for there in ("/etc/wireguard", "/var/lib/fortress"):
        assert there in text
        text = text.replace(there, f"{tmp_path}{there}")
    script = tmp_path / "tunnel-state"
    script.write_text(text)
    (tmp_path / "etc/wireguard/wg0.d").mkdir(parents=True)

    def run(wg: str) -> subprocess.CompletedProcess[str]:
        path = programs(tmp_path, {"wg": wg})
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
    text = wireguard.render_peer(wireguard.Peer(name, ("10.100.0.9/32",), False), key, None, 25)
    file.write_text(text + ("# by hand\n" if edited else ""))
    if recorded:
        # The script's records are by the path on the host, which here has a folder in front.
        record = root / "var/lib/fortress/files" / str(file).replace("/", "%2F")
        record.mkdir(parents=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        (record / "applied").write_text(f"{digest} 0600 root:root\n")


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


def test_a_host_without_peers_and_without_a_key(ask: Ask) -> None:
    done = ask("exit 0")
    found = read_tunnel(done.stdout)
    assert (found.ages, found.key_age_s, found.pushed) == ({}, None, {})


def test_without_an_interface_wgs_own_words_and_status(ask: Ask) -> None:
    done = ask("echo 'Unable to access interface: No such device' >&2; exit 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Unable to access interface: No such device\n"
