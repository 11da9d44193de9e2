"""SSH host keys, as a line of a known_hosts file has them without its address: type and base64."""

from __future__ import annotations

import base64
import binascii
import hashlib


def split(host_key: str) -> tuple[str, bytes]:
    """Type and blob of a host key.

    Raises:
        ValueError: the text is none.
    """
    parts = host_key.split()
    if len(parts) < 2:
        raise ValueError(f"not a host key: {host_key!r}")
    try:
        return parts[0], base64.b64decode(parts[1], validate=True)
    except binascii.Error:
        raise ValueError(f"not a host key: {host_key!r}") from None


def fingerprint(host_key: str) -> str:
    """Type and SHA256 fingerprint of a host key, the latter as `ssh-keygen -l` shows it: `ssh-ed25519 SHA256:…`.

    Raises:
        ValueError: the text is no host key.
    """
    kind, blob = split(host_key)
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"{kind} SHA256:{digest}"
