"""A second stack with the addresses of the first: it is refused, and leaves as it found."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab import api
from tests.lab.fortress import ROOT, Fortress, on

PROGRAM = """
from components import Host

Host(
    "web",
    {
        "address": "192.0.2.13",
        "site": "oslo",
        "user": "ops",
        "mesh_address": "10.200.0.1",
        "mesh_network": "10.200.0.0/24",
        "operators": ["192.0.2.10/32"],
    },
)
"""
STANDING = (
    "fortress-push records | cut -f 1,2,4,6; wg show wg0; nft -s list ruleset; ls -A /etc/wireguard /etc/nftables.d"
)


def second(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The engine on stack `copy` of another project."""
    return subprocess.run(
        [str(ROOT / "lab/pulumi.sh"), *arguments],
        env={**os.environ, **api.environment(), "LAB_PROJECT": str(folder), "LAB_STACK": "copy"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def standing(host: str) -> list[str]:
    """What the first stack has on a host, without the counters of its tunnel."""
    return [line for line in on(host, STANDING).splitlines() if "handshake" not in line and "transfer" not in line]


def test_a_second_stack_takes_no_host_over(fortress: Fortress, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: intruder\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    (tmp_path / "components").symlink_to(ROOT / "components")
    (tmp_path / "fortress").symlink_to(ROOT / "fortress")
    before = standing("oslo-web")

    refused = second(tmp_path, "up", "--yes", "--skip-preview")
    assert refused.returncode != 0
    said = "mine: stack: /etc/nftables.conf belongs to stack data-fortress/lab, which put it as oslo-web-push, and "
    assert f"{said}not to intruder/copy" in refused.stdout
    assert "set adopt: true for the host" in refused.stdout
    assert standing("oslo-web") == before

    gone = second(tmp_path, "destroy", "--yes", "--skip-preview")
    assert gone.returncode == 0, gone.stdout
    assert standing("oslo-web") == before
    fortress.check_whole()
