"""`wireguard check`: what it refuses of one peer's file, under dash."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fortress import wireguard

SCRIPT = Path(__file__).parents[2] / "fortress/scripts/wireguard"
Check = Callable[..., tuple[int, str]]
KEY = "UmVhZCB0aGlzIGFuZCBzbWlsZSwgaXQgaXMgbm8ga2U="


def peer(name: str, *addresses: str, key: str = KEY) -> str:
    allowed = tuple(f"{each}/32" for each in addresses)
    return wireguard.render_peer(wireguard.PeerFile(name=name, public_key=key, allowed_ips=allowed, keepalive_s=25))


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Check a candidate beside the files that a host has."""
    script = tmp_path / "wireguard"
    script.write_text(SCRIPT.read_text().replace("folder=/etc/wireguard", f"folder={tmp_path}"))
    (tmp_path / "wg0.d").mkdir()

    def run(candidate: str, **standing: str) -> tuple[int, str]:
        for name, text in standing.items():
            (tmp_path / f"wg0.d/{name.replace('_', '-')}.conf").write_text(text)
        (tmp_path / "candidate").write_text(candidate)
        done = subprocess.run(
            ["dash", str(script), "check", str(tmp_path / "candidate")], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    return run


def test_a_peer_beside_others_and_in_place_of_itself(check: Check) -> None:
    assert check(peer("fra-1.2", "10.100.0.130")) == (0, "")
    assert check(peer("fra-1.2", "10.100.0.130"), fra_1=peer("fra-1.1", "10.100.0.2")) == (0, "")
    assert check(peer("fra-1.2", "10.100.0.130"), fra_2=peer("fra-1.2", "10.100.0.130")) == (0, "")


def test_an_address_behind_another_peer_is_no_other_peers_own(check: Check) -> None:
    """A relay moves from one hub to another in any order."""
    standing = peer("oslo-db", "10.100.0.1", "10.100.0.2")
    assert check(peer("oslo-edge", "10.100.0.3", "10.100.0.2"), oslo_db=standing) == (0, "")


def test_the_address_of_a_peer_that_stands_is_refused(check: Check) -> None:
    code, said = check(peer("fra-1.3", "10.100.0.2"), fra_1=peer("fra-1.1", "10.100.0.2"))
    assert code == 1
    assert said == (
        "10.100.0.2/32 is already the address of fra-1.1: raise a generation by one only, "
        "and give a slot to another host only in an update after the one that removes its host\n"
    )


def test_what_is_no_key_is_refused(check: Check) -> None:
    assert check(peer("fra-1", "10.100.0.2").replace(KEY, "short")) == (
        1,
        "line 3: not as a peer's file has it: PublicKey = short\n",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("AllowedIPs", "AllowedIPs = 10.100.0.9/32\nAllowedIPs"), "line 5"),
        (("10.100.0.2/32", "0.0.0.0/0"), "line 4"),
        (("[Peer]", "[Interface]"), "line 1"),
        (("# fra-1", "# fra-1\nPresharedKey = x"), "line 3"),
        ((f"PublicKey = {KEY}\n", ""), "line 3"),
    ],
)
def test_only_the_lines_of_the_template_pass(check: Check, change: tuple[str, str], said: str) -> None:
    assert check(peer("fra-1", "10.100.0.2"))[0] == 0
    code, printed = check(peer("fra-1", "10.100.0.2").replace(*change))
    assert code == 1
    assert printed.startswith(f"{said}: ")


def test_a_file_that_ends_early_is_refused(check: Check) -> None:
    code, printed = check("".join(peer("fra-1", "10.100.0.2").splitlines(keepends=True)[:3]))
    assert (code, printed) == (1, "one peer's file has four lines, or six where it is dialled\n")
