"""Two servers with copies, and three of a cluster, as each says itself."""

from __future__ import annotations

from dataclasses import replace

from fortress.scripts.roles.states import Membership, ReplicationSource, ServerState

ADDRESSES = {"a": "10.100.0.1", "b": "10.100.0.6", "c": "10.100.0.7"}
FOLLOWING = ReplicationSource(
    address="10.100.0.1", receiving=True, applying=True, error="", received="0-1-5", waiting=True
)
A = ServerState("a", number=1, primary="a", read_only=True, position="0-1-5")
B = replace(A, server="b", source=FOLLOWING)


WHOLE = Membership("Primary", "Synced", ready=True, size=3, members=("a", "b", "c"), cluster="u", committed=9)
WITHOUT_A = replace(WHOLE, size=2, members=("b", "c"))
WRITER = ServerState("a", number=1, primary="a", read_only=False, member=WHOLE)
SECOND = replace(WRITER, server="b", read_only=True)
THIRD = replace(SECOND, server="c")
