"""What a host's commands answer, told from what else may stand on their standard output.

A login shell that prints, such as by an `echo` in ~/.bashrc, does so before it runs a command. So an answer is what
was printed last, and must be of the kind that was asked for: what a shell printed can neither become a part of it nor
take its place.
"""

from __future__ import annotations

import re

from fortress.values import is_public_key

_PUBLIC_KEY = re.compile(r"(?:\A|\n)([A-Za-z0-9+/]{43}=)\n?\Z")
_MEMORY = re.compile(r"(?:\A|\n)([1-9][0-9]{0,8})\n?\Z")
_CERTIFICATE = re.compile(
    r"(?:\A|\n)(-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n?)\Z"
)


def public_key(host: str, said: str) -> str:
    """A WireGuard public key, base64.

    Raises:
        ValueError: something else was printed last.
    """
    return _last(_PUBLIC_KEY, host, said, "its WireGuard public key")


def memory_mb(host: str, said: str) -> int:
    """A host's memory in MB.

    Raises:
        ValueError: something else was printed last.
    """
    return int(_last(_MEMORY, host, said, "its memory"))


def certificate(host: str, said: str) -> str:
    """One certificate, PEM.

    Raises:
        ValueError: something else was printed last.
    """
    return _last(_CERTIFICATE, host, said, "the certificate of its database's authority")


def host_key(host: str, said: str) -> str:
    """An SSH host key, type and base64, as learn-host-key found it.

    Raises:
        ValueError: it is none, or more than one.
    """
    if not is_public_key(said.strip()):
        raise ValueError(f"{host} showed no host key: {said.strip()[:80]!r}. Is it SSH that answers there?")
    return said.strip()


def _last(pattern: re.Pattern[str], host: str, said: str, what: str) -> str:
    found = pattern.search(said)
    if found is None:
        lines = said.strip().splitlines() or [""]
        raise ValueError(
            f"{host} was asked for {what}, and answered {lines[-1][:80]!r}. If its login shell prints, "
            "let it be silent without a terminal (~/.bashrc); then raise the host's `incarnation`, which asks again"
        )
    return found[1]
