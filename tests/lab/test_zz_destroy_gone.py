"""`pulumi destroy` of a fortress that has lost a host."""

from __future__ import annotations

import json
import time

from lab import api
from lab.base import topology
from tests.lab.fortress import Fortress, on, running_again

LEFT = (
    "ls -d /etc/wireguard/* /etc/nftables.d/* /etc/fortress /usr/local/sbin/fortress-push /usr/local/lib/fortress"
    " 2>/dev/null; nft list tables; ip -o link | sed 's/[^ ]* //; s/[@:].*//'"
)
"""What must be gone from a host, and its interfaces."""


def test_destroy_does_not_wait_for_a_host_that_is_gone(fortress: Fortress) -> None:
    rest = [host for host in topology.STANDARD if host != "fra-2"]
    with fortress.changed(lambda s: s["hosts"]["fra-2"].update(gone=True)), running_again("fra-2"):
        api.kill("fra-2")
        fortress.up()
        began = time.monotonic()
        said = fortress.engine("destroy", "--yes", "--skip-preview")
        print(f"destroyed in {time.monotonic() - began:.1f} s")
        assert "Dial" not in said
        exported = fortress.engine("stack", "export")
        state = json.loads(exported[exported.index("{") :])
        assert not state["deployment"].get("resources")
        for host in rest:
            assert on(host, LEFT) == "lo\nhost0", host
        began = time.monotonic()
    print(f"up again in {time.monotonic() - began:.1f} s")
    fortress.check_whole()
