"""`wireguard check` and `wireguard sync`: what is refused of one peer's file, and what comes back; under dash."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
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


@pytest.fixture
def free(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Whether a host's wg0 may be made, by the file that stands there, what was recorded, and whether it is up."""

    def run(text: str | None, *, recorded: bool = False, up: bool = False) -> tuple[int, str]:
        file = tmp_path / "wg0.conf"
        record = f"printf '{file}\\tx\\t-\\t-\\t1\\tfra-1-wg0.conf\\n'" if recorded else "true"
        tools = {"fortress-push": record, "ip": "true" if up else "exit 1"}
        for name, script in tools.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        if text is not None:
            file.write_text(text)
        (tmp_path / "wireguard").write_text(SCRIPT.read_text().replace("folder=/etc/wireguard", f"folder={tmp_path}"))
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        words = ["dash", str(tmp_path / "wireguard"), "free", "wg0"]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        return done.returncode, done.stderr

    return run


OWN = wireguard.render_interface(IPv4Address("10.100.0.2"), IPv4Network("10.100.0.0/24"), 51820)
FOREIGN = "[Interface]\nAddress = 10.9.0.1/24\n"


def test_a_wg0_that_no_push_made_is_refused_with_the_cure(free: Callable[..., tuple[int, str]]) -> None:
    for text, up in ((None, True), (FOREIGN, False), (FOREIGN, True)):
        code, said = free(text, up=up)
        assert code == 1
        assert said.startswith("this host has a wg0 of its own, which no push made; nothing was changed. ")
        assert "mv " in said


def test_a_wg0_of_ours_or_none_is_not_in_the_way(free: Callable[..., tuple[int, str]]) -> None:
    assert free(None) == (0, "")
    assert free(OWN, up=True) == (0, "")  # its record is lost
    assert free(FOREIGN, recorded=True, up=True) == (0, "")  # edited by hand since


def test_the_key_is_there_before_the_interface_goes_down(tmp_path: Path) -> None:
    """Another address restarts it; a key that cannot be made leaves the one that runs alone."""
    tools = {
        "ip": "echo '3: wg0 inet 10.9.0.1/24'",
        "wg": "exit 1",
        "systemctl": f'echo "$*" >>{tmp_path}/told',
    }
    for name, script in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "wg0.conf").write_text(OWN)
    (tmp_path / "wireguard").write_text(SCRIPT.read_text().replace("folder=/etc/wireguard", f"folder={tmp_path}"))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    words = ["dash", str(tmp_path / "wireguard"), "reload", "wg0"]
    assert subprocess.run(words, capture_output=True, env=environment, check=False).returncode == 1
    assert not (tmp_path / "told").exists()


@pytest.fixture
def revive(tmp_path: Path) -> Callable[..., list[str]]:
    """What systemd is told by `wireguard sync wg0` while there is no interface, by the state that its unit is in."""
    tools = {
        "ip": "exit 1",
        "systemctl": f"""case "$*" in
            show*) cat {tmp_path}/state ;;
            *is-enabled*) [ -e {tmp_path}/enabled ] ;;
            *) echo "$*" >>{tmp_path}/told ;;
        esac""",
    }
    for name, text in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    (tmp_path / "wg0.key").write_text("a key\n")
    script = tmp_path / "wireguard"
    script.write_text(SCRIPT.read_text().replace("folder=/etc/wireguard", f"folder={tmp_path}"))

    def run(state: str, *, enabled: bool) -> list[str]:
        (tmp_path / "state").write_text(f"{state}\n")
        if enabled:
            (tmp_path / "enabled").touch()
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(["dash", str(script), "sync", "wg0"], capture_output=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        told = tmp_path / "told"
        return told.read_text().splitlines() if told.exists() else []

    return run


@pytest.mark.parametrize("state", ["failed", "inactive"])
def test_an_interface_that_is_to_be_there_comes_back(revive: Callable[..., list[str]], state: str) -> None:
    assert revive(state, enabled=True) == ["reset-failed wg-quick@wg0", "start wg-quick@wg0"]


@pytest.mark.parametrize(("state", "enabled"), [("activating", True), ("inactive", False), ("failed", False)])
def test_an_interface_that_is_coming_or_not_to_be_there_is_left_alone(
    revive: Callable[..., list[str]], state: str, enabled: bool
) -> None:
    assert revive(state, enabled=enabled) == []


def test_what_earlier_states_end_the_tunnel_by_does_nothing(tmp_path: Path) -> None:
    """It is run when such a state is brought up to date, and the tunnel is to stay."""
    for name in ("systemctl", "rm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/calls\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    for verb, calls in (("stop", ""), ("end", "systemctl\nsystemctl\nrm\n")):
        (tmp_path / "calls").write_text("")
        subprocess.run(["dash", str(SCRIPT), verb, "wg0"], env=environment, check=True)
        assert (tmp_path / "calls").read_text() == calls, verb
