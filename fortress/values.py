"""The types of single facts: each checked by what it must be, in words that end with the cure.

Stack files, arguments of components and the modules that render text are all checked by these. A type that only a stack
file needs is in `fortress.settings.types`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, collapse_addresses, ip_address, ip_network
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema


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

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
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


def not_among(taken: Collection[str], why: str) -> AfterValidator:
    """A text that is not one of those taken; `why` is what such a one is."""

    def check(value: str) -> str:
        if value in taken:
            raise ValueError(why)
        return value

    return AfterValidator(check)


def refusal(path: tuple[str | int, ...], value: object, wrong: str) -> ValidationError:
    """The error for a whole model's validator to raise if one field conflicts with another. `path` leads to it."""
    return refusals([(path, value, wrong)])


def refusals(found: Sequence[tuple[tuple[str | int, ...], object, str]]) -> ValidationError:
    """The same for several: path, value, and what is wrong with it."""
    return ValidationError.from_exception_data(
        "facts",
        [
            InitErrorDetails(type=PydanticCustomError("refused", "{wrong}", {"wrong": wrong}), loc=path, input=value)
            for path, value, wrong in found
        ],
    )


def _one_line(value: str) -> str | None:
    return value if value.isprintable() and value.strip() and len(value) <= 1000 else None


def _address(value: str) -> str | None:
    try:
        address = ip_address(value)
    except ValueError:
        return None
    # A zone such as %eth0 may hold any character, and means nothing on another machine.
    return str(address) if "%" not in value and _of_one_machine(address) else None


def _of_one_machine(address: IPv4Address | IPv6Address) -> bool:
    """Whether other machines reach one machine by it: RFC 6890 lists what they do not."""
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
    )


def _endpoint(value: str) -> str | None:
    address, _, port = value.partition(":")
    try:
        return f"{IPv4Address(address)}:{port}" if re.fullmatch(_PORT, port) and int(port) <= 65535 else None
    except ValueError:
        return None


_PORT = "[1-9][0-9]{0,4}"


def _address_and_port(value: str) -> str | None:
    host, colon, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return None
    if (address.version == 6) != bracketed or "%" in host:
        return None
    return value if colon and re.fullmatch(_PORT, port) and int(port) <= 65535 else None


def _bind_address(value: str) -> str | None:
    return value if _address_and_port(f"192.0.2.1{value}" if value.startswith(":") else value) else None


def _tunnel_address(value: str) -> str | None:
    try:
        address = IPv4Address(value)
    except ValueError:
        return None
    return value if _of_one_machine(address) else None


def _ipv4_source(value: str) -> str | None:
    try:
        IPv4Network(value)
    except ValueError:
        return None
    return value


def _range(value: str) -> str | None:
    try:
        return None if "%" in value else str(ip_network(value))
    except ValueError:
        return None


def _destination(value: str) -> str | None:
    found = _range(value)
    return found if found and ip_network(found).prefixlen else None


_NETWORK = "an IPv4 network from /16 to /28 without host bits, such as 10.100.0.0/24"


def _network(value: object) -> IPv4Network:
    try:
        network = IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        network = None
    if network is None or not 16 <= network.prefixlen <= 28:
        raise ValueError(f"must be {_NETWORK}")
    return network


_THIS_NETWORK = IPv4Network("0.0.0.0/8")


def _mesh_network(value: IPv4Network) -> IPv4Network:
    if value[0] in _THIS_NETWORK or not _of_one_machine(value[1]):
        raise ValueError("must be a network whose addresses hosts can have, such as 10.100.0.0/24")
    return value


def is_public_key(value: str) -> bool:
    """Whether a text is an SSH public key: type, base64, and nothing after."""
    kind, _, encoded = value.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    # A key's first field is its type again.
    return kind in _KEY_TYPES and blob.startswith(len(kind).to_bytes(4, "big") + kind.encode())


def _host_key(value: str) -> str | None:
    if not is_public_key(value):
        return None
    if value.startswith("ssh-rsa "):
        # OpenSSH signs with SHA-1 no more (release notes of 8.8), and of such a key the engine's SSH asks nothing else.
        raise ValueError(
            "must be an ed25519 or ecdsa key, since no login works by an RSA one any more; "
            "`ssh-keyscan -t ed25519 ADDRESS` prints it after the address"
        )
    return value


_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def is_wireguard_key(value: str) -> bool:
    """Whether a text is a key as `wg` prints it: 32 bytes, in the one way that base64 has for them."""
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(key) == 32 and base64.b64encode(key).decode() == value


def _host_path(value: str) -> str | None:
    parts = value.split("/")[1:]
    if (
        not re.fullmatch(r"(/[A-Za-z0-9._@+-]+)+", value)
        or "." in parts
        or ".." in parts
        or _record_name(value) > LONGEST_RECORD
    ):
        return None
    for owned in _OWNED_PATHS:
        if value == owned or value.startswith(f"{owned}/"):
            raise ValueError(f"must not be in {owned}, which the program itself manages")
    return value


LONGEST_RECORD = 240
"""A path's record on the host is a file whose name has %2F for each slash (push.sh)."""


def _record_name(path: str) -> int:
    return len(path) + 2 * path.count("/")


_OWNED_PATHS = (
    *("/etc/fortress", "/etc/haproxy", "/etc/mysql", "/etc/nftables.conf", "/etc/nftables.d", "/etc/systemd"),
    *("/etc/wireguard", "/usr/local/lib/fortress", "/usr/local/sbin", "/var/lib/fortress"),
)


def _not_the_programs(value: str) -> str:
    if value.startswith("FORTRESS_"):
        raise ValueError("must not start with FORTRESS_: these variables are set by the program")
    return value


def _not_the_world(value: list[str]) -> list[str]:
    ranges = [ip_network(entry) for entry in value]
    for version in (4, 6):
        together = collapse_addresses(entry for entry in ranges if entry.version == version)  # type: ignore[type-var]
        if any(entry.prefixlen == 0 for entry in together):
            raise ValueError(f"is the whole world (IPv{version}); name the ranges that operators come from")
    return value


Listed = TypeVar("Listed", bound=Sequence[str])


def distinct(value: Listed) -> Listed:
    """A list without duplicates."""
    if len(set(value)) != len(value):
        raise ValueError("must not contain duplicates")
    return value


Name = Annotated[
    str,
    matching(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", "2 to 32 of a-z, 0-9 and -, starting with a letter, not ending in -"),
]
MemberName = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", "a name of lower-case letters, digits, dots and hyphens, at most 63"
    ),
]
"""Of a host in the mesh: with its generation, as in `fra-1.2`, where the next one will stand beside it."""
USER = r"[a-z_][a-z0-9_-]{0,31}"
User = Annotated[str, matching(USER, "the name of a Unix user")]
# apt-get takes a minus at the end for a wish to remove, and a single plus for one to install.
Package = Annotated[
    str, matching(r"[a-z0-9]([a-z0-9+.-]{0,126}[a-z0-9]|[a-z0-9+.-]{0,125}\+\+)", "the name of a Debian package")
]
VariableName = Annotated[
    str,
    matching(r"[A-Z][A-Z0-9_]{0,63}", "the name of an environment variable: A-Z, 0-9 and _, starting with a letter"),
]
Variable = Annotated[VariableName, AfterValidator(_not_the_programs)]
Country = Annotated[str, matching(r"[A-Z]{2}", "a country's two letters (ISO 3166), such as NO")]
DataClass = Literal["none", "pseudonymised", "ciphertext", "personal"]
"""What somebody who reads the data has: nothing about a person, a pseudonym whose key stays at home, bytes whose key
stays at home (EDPB recommendations 01/2020, use cases 2, 1 and 3), or personal data in clear text."""
Printable = Annotated[str, Text("one line of printable text", lambda value: value if value.isprintable() else None)]
OneLine = Annotated[str, Text("one line of printable text, at most 1000 characters", _one_line)]
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# A name whose last label has digits alone is read as an address (RFC 3696, section 2).
DnsName = Annotated[str, matching(rf"(?=.{{1,253}}$)(?!(.*\.)?[0-9]+$)({LABEL}\.)*{LABEL}", "a DNS name in lower case")]
UrlPath = Annotated[str, matching(r"/[A-Za-z0-9._~/-]{0,200}", "the path of a URL, such as /health")]
_SEGMENTS = r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+"
HomePath = Annotated[
    str,
    matching(rf"(?=.{{1,200}}$){_SEGMENTS}", "the beginning of a URL's path, such as /account, without / at its end"),
]
RequestPath = Annotated[
    str, matching(rf"(?=.{{1,200}}$)(/|{_SEGMENTS})", "the beginning of a URL's path, such as /account, or / for all")
]
Method = Annotated[str, matching(r"[A-Z]{3,20}", "a method of HTTP in capital letters, such as POST")]
HostKey = Annotated[
    str,
    Text(
        "an SSH host key, type and base64, as `ssh-keyscan -t ed25519 ADDRESS` prints it after the address",
        _host_key,
    ),
]
Address = Annotated[str, Text("the IPv4 or IPv6 address of one machine, such as 192.0.2.11", _address)]
Endpoint = Annotated[
    str, Text("an IPv4 address and a port, such as 10.100.0.8:80", _endpoint, rf"[0-9]+(\.[0-9]+){{3}}:{_PORT}")
]
AddressAndPort = Annotated[
    str, Text("an address and a port, such as 10.100.0.3:80 or [2001:db8::1]:80", _address_and_port)
]
BindAddress = Annotated[
    str, Text("an address and a port, such as 10.100.0.3:80, [2001:db8::1]:80 or :80", _bind_address)
]
TunnelAddress = Annotated[str, Text("the IPv4 address of one host, such as 10.100.0.1", _tunnel_address)]
Range = Annotated[str, Text("an address range without host bits, such as 192.0.2.0/24", _range)]
Destination = Annotated[
    str, Text("an address or a range without host bits, not all addresses, such as 198.51.100.7/32", _destination)
]
Network = Annotated[IPv4Network, BeforeValidator(_network), Field(title=_NETWORK)]
MeshNetwork = Annotated[Network, AfterValidator(_mesh_network)]
Operators = Annotated[list[Range], Field(min_length=1), AfterValidator(_not_the_world)]
"""Ranges that may open SSH connections; never the whole world."""
Source = Annotated[str, Text("an IPv4 address or range without host bits, such as 10.100.0.0/24", _ipv4_source)]
WireGuardKey = Annotated[
    str,
    Text(
        "a WireGuard public key: 32 bytes as 44 characters of base64, and nothing else",
        lambda value: value if is_wireguard_key(value) else None,
    ),
]
PLAIN_PATH = r"(/[A-Za-z0-9_-][A-Za-z0-9._@+-]*)+"
PlainPath = Annotated[str, matching(PLAIN_PATH, "a plain absolute path, such as /etc/ssl/private/site.pem")]
HostPath = Annotated[str, Text("a plain absolute path on the host, such as /opt/app/app.py", _host_path)]
Port = Annotated[int, Field(ge=1, le=65535)]


Base64 = Annotated[str, Text("bytes in base64", lambda value: value if _is_base64(value) else None)]
VolumeSize = Annotated[int, Field(ge=1, le=65536)]
"""In GB (GiB)."""
Device = Annotated[str, matching(r"/dev/[A-Za-z0-9._/:-]{1,200}", "a device such as /dev/nvme1n1")]


class Model(BaseModel):
    """Strictly typed values: `"22"` is not a number and `yes` not a boolean, since YAML has both."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
