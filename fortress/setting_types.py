"""The types of single settings: each checked by what it must be, in words that end with the cure."""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def matching(pattern: str, means: str) -> AfterValidator:
    """A text that the whole pattern matches; `means` is what it must be, in words."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {means}")
        return value

    return AfterValidator(check)


def _one_line(value: str) -> str:
    if not value.isprintable() or not value.strip() or len(value) > 1000:
        raise ValueError("must be one line of printable text, at most 1000 characters")
    return value


def _address(value: str) -> str:
    try:
        address = ip_address(value)
    except ValueError:
        address = None
    # A zone such as %eth0 may hold any character, and means nothing on another machine.
    if address is None or "%" in value or address.is_unspecified or address.is_multicast:
        raise ValueError("must be the IPv4 or IPv6 address of one machine, such as 192.0.2.11")
    return str(address)


def _range(value: str) -> str:
    try:
        if "%" in value:
            raise ValueError("a zone")
        return str(ip_network(value))
    except ValueError:
        raise ValueError("must be an address range without host bits, such as 192.0.2.0/24") from None


def _network(value: object) -> IPv4Network:
    try:
        network = IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        network = None
    if network is None or not 16 <= network.prefixlen <= 28:
        raise ValueError("must be an IPv4 network from /16 to /28 without host bits, such as 10.100.0.0/24")
    return network


def is_public_key(value: str) -> bool:
    """Whether a text is an SSH public key: type, base64, and nothing after."""
    kind, _, encoded = value.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    # A key's first field is its type again.
    return kind in _KEY_TYPES and blob.startswith(len(kind).to_bytes(4, "big") + kind.encode())


def _host_key(value: str) -> str:
    if not is_public_key(value):
        raise ValueError(
            "must be an SSH host key, type and base64, as `ssh-keyscan -t ed25519 ADDRESS` prints it after the address"
        )
    return value


_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def _host_path(value: str) -> str:
    parts = value.split("/")[1:]
    if not re.fullmatch(r"(/[A-Za-z0-9._@+-]+)+", value) or "." in parts or ".." in parts or len(value) > 200:
        raise ValueError("must be a plain absolute path on the host, such as /opt/app/app.py")
    for owned in _OWNED_PATHS:
        if value == owned or value.startswith(f"{owned}/"):
            raise ValueError(f"must not be in {owned}, which the program itself writes")
    return value


_OWNED_PATHS = (
    *("/etc/fortress", "/etc/haproxy", "/etc/mysql", "/etc/nftables.conf", "/etc/nftables.d", "/etc/systemd"),
    *("/etc/wireguard", "/usr/local/lib/fortress", "/usr/local/sbin", "/var/lib/fortress"),
)


def _project_path(value: str) -> str:
    path = PurePosixPath(_one_line(value))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must be a path inside this project, such as examples/app/app.py")
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value):
        raise ValueError("must be the name of an environment variable: A-Z, 0-9 and _, starting with a letter")
    if value.startswith("FORTRESS_"):
        raise ValueError("must not start with FORTRESS_: the program says where the database is by these")
    return value


def limits(value: list[float]) -> list[float]:
    """The least and the most of something."""
    if len(value) != 2 or not 0 <= value[0] <= value[1]:
        raise ValueError("must be the least and the most round trip in ms, such as [20, 30]")
    return value


def distinct(value: list[str]) -> list[str]:
    """A list in which nothing stands twice."""
    if len(set(value)) != len(value):
        raise ValueError("must name each once")
    return value


Name = Annotated[
    str,
    matching(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", "2 to 32 of a-z, 0-9 and -, starting with a letter, not ending in -"),
]
User = Annotated[str, matching(r"[a-z_][a-z0-9_-]{0,31}", "the name of a Unix user")]
Package = Annotated[str, matching(r"[a-z0-9][a-z0-9+.-]{1,127}", "the name of a Debian package")]
Variable = Annotated[str, AfterValidator(_variable)]
OneLine = Annotated[str, AfterValidator(_one_line)]
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DnsName = Annotated[str, matching(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}", "a DNS name in small letters")]
UrlPath = Annotated[str, matching(r"/[A-Za-z0-9._~/-]{0,200}", "the path of a URL, such as /health")]
HostKey = Annotated[str, AfterValidator(_host_key)]
Address = Annotated[str, AfterValidator(_address)]
Https = Annotated[
    str, matching(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", "an https URL without a query")
]
Range = Annotated[str, AfterValidator(_range)]
Network = Annotated[IPv4Network, BeforeValidator(_network)]
HostPath = Annotated[str, AfterValidator(_host_path)]
ProjectPath = Annotated[str, AfterValidator(_project_path)]
Port = Annotated[int, Field(ge=1, le=65535)]
Role = Literal["database", "edge", "worker"]


class Model(BaseModel):
    """Facts by their exact types: `"22"` is no number and `yes` no truth value, since YAML has both."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
