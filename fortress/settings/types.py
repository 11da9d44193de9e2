"""The types of single settings: each checked by what it must be, in words that end with the cure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

PROJECT = "data-fortress"
"""Pulumi's namespace of the settings: a setting's path reads `data-fortress:mesh.mtu`."""


@dataclass(frozen=True)
class Text:
    """What a text must be: `means` says so in words, to whoever is refused, in the reference and in an editor.

    `check` gives the text as it is kept, None where it is refused; `pattern` is what an editor can look at itself.
    """

    means: str
    check: Callable[[str], str | None]
    pattern: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"title": self.means} | ({"pattern": f"^({self.pattern})$"} if self.pattern else {})

    def _checked(self, value: str) -> str:
        checked = self.check(value)
        if checked is None:
            raise ValueError(f"must be {self.means}")
        return checked


def matching(pattern: str, means: str) -> Text:
    """A text that the whole pattern matches; `means` is what it must be, in words."""
    compiled = re.compile(pattern)
    return Text(means, lambda value: value if compiled.fullmatch(value) else None, pattern)


def _one_line(value: str) -> str | None:
    return value if value.isprintable() and value.strip() and len(value) <= 1000 else None


def _address(value: str) -> str | None:
    try:
        address = ip_address(value)
    except ValueError:
        return None
    # A zone such as %eth0 may hold any character, and means nothing on another machine.
    return None if "%" in value or address.is_unspecified or address.is_multicast else str(address)


def _endpoint(value: str) -> str | None:
    address, _, port = value.partition(":")
    try:
        return f"{IPv4Address(address)}:{port}" if re.fullmatch(_PORT, port) and int(port) <= 65535 else None
    except ValueError:
        return None


_PORT = "[1-9][0-9]{0,4}"


def _range(value: str) -> str | None:
    try:
        return None if "%" in value else str(ip_network(value))
    except ValueError:
        return None


_NETWORK = "an IPv4 network from /16 to /28 without host bits, such as 10.100.0.0/24"


def _network(value: object) -> IPv4Network:
    try:
        network = IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        network = None
    if network is None or not 16 <= network.prefixlen <= 28:
        raise ValueError(f"must be {_NETWORK}")
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


_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def _host_path(value: str) -> str | None:
    parts = value.split("/")[1:]
    if not re.fullmatch(r"(/[A-Za-z0-9._@+-]+)+", value) or "." in parts or ".." in parts or len(value) > 200:
        return None
    for owned in _OWNED_PATHS:
        if value == owned or value.startswith(f"{owned}/"):
            raise ValueError(f"must not be in {owned}, which the program itself writes")
    return value


_OWNED_PATHS = (
    *("/etc/fortress", "/etc/haproxy", "/etc/mysql", "/etc/nftables.conf", "/etc/nftables.d", "/etc/systemd"),
    *("/etc/wireguard", "/usr/local/lib/fortress", "/usr/local/sbin", "/var/lib/fortress"),
)


def _project_path(value: str) -> str | None:
    path = PurePosixPath(value)
    return None if path.is_absolute() or ".." in path.parts else value


def _variable(value: str) -> str | None:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value):
        return None
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
Variable = Annotated[
    str, Text("the name of an environment variable: A-Z, 0-9 and _, starting with a letter", _variable)
]
OneLine = Annotated[str, Text("one line of printable text, at most 1000 characters", _one_line)]
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DnsName = Annotated[str, matching(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}", "a DNS name in small letters")]
UrlPath = Annotated[str, matching(r"/[A-Za-z0-9._~/-]{0,200}", "the path of a URL, such as /health")]
HostKey = Annotated[
    str,
    Text(
        "an SSH host key, type and base64, as `ssh-keyscan -t ed25519 ADDRESS` prints it after the address",
        lambda value: value if is_public_key(value) else None,
    ),
]
Address = Annotated[str, Text("the IPv4 or IPv6 address of one machine, such as 192.0.2.11", _address)]
Endpoint = Annotated[
    str, Text("an IPv4 address and a port, such as 10.100.0.8:80", _endpoint, rf"[0-9]+(\.[0-9]+){{3}}:{_PORT}")
]
Https = Annotated[
    str, matching(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", "an https URL without a query")
]
Range = Annotated[str, Text("an address range without host bits, such as 192.0.2.0/24", _range)]
Network = Annotated[IPv4Network, BeforeValidator(_network), Field(title=_NETWORK)]
HostPath = Annotated[str, Text("a plain absolute path on the host, such as /opt/app/app.py", _host_path)]
ProjectPath = Annotated[OneLine, Text("a path inside this project, such as examples/app/app.py", _project_path)]
FirewallTable = Annotated[
    str,
    matching(
        r"(ip|ip6|inet|arp|bridge|netdev) [A-Za-z0-9._/-]{1,255}",
        "the family and name of an nftables table and nothing else, such as inet f2b-table",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Role = Literal["database", "edge", "worker"]


class Model(BaseModel):
    """Facts by their exact types: `"22"` is no number and `yes` no truth value, since YAML has both."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
