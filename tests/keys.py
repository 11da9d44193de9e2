"""Keys of hosts, for tests that need several."""

from __future__ import annotations

import base64
import hashlib


def wireguard_key(name: str) -> str:
    """A WireGuard public key of a host, always the same by its name."""
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()
