"""Private keys in a text are not shown and not kept, whoever put them there."""

from __future__ import annotations

import re

SECRET = "[secret]"  # noqa: S105 - the engine's own marker, and no secret

# To the end where there is none: a text may be cut.
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# What follows must begin as a key does: scripts that write such a line hold none.
_WIREGUARD = re.compile(
    r"((?:private|preshared)key[^\S\r\n]*=[^\S\r\n]*[\"']?)([a-z0-9+/][^\r\n]*)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """The same text, line for line, with `[secret]` in place of each private key: in PEM, or of WireGuard."""
    text = _PEM.sub(lambda found: _hidden(found[0]), text)
    return _WIREGUARD.sub(lambda found: found[1] + _hidden(found[2]), text)


def _hidden(text: str) -> str:
    return "".join(SECRET + line[len(line.splitlines()[0]) :] for line in text.splitlines(keepends=True))
