"""What listens on a host where others than the host itself and the tunnel reach it, and whether somebody decided so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from fortress.cli.base.errors import printable
from fortress.cli.base.result import Result
from fortress.cli.check.check import Check
from fortress.facts import HostFacts, StackOutputs

APART_S = 1
QUESTION = ("sh", "-c", f"ss -Hltunp && echo && sleep {APART_S} && exec ss -Hltunp")
"""Two looks, an empty line between: a client's UDP socket looks as a server's does, and is soon gone."""

LEASES = frozenset({"udp/68", "udp/546"})
"""Where a host's DHCP client gets its answers (RFC 2131, RFC 8415); a cloud's machines have one."""


@dataclass(frozen=True)
class Socket:
    """What `ss` says of one: `tcp/22`, the address that it is bound to, and whose it is."""

    port: str
    address: str
    program: str


def read_sockets(text: str) -> list[Socket]:
    """What one `ss -Hltunp` prints.

    Raises:
        ValueError: anything else.
    """
    found = []
    for line in text.splitlines():
        protocol, state, _, _, local, *more = line.split(None, 6)
        address, _, port = local.rpartition(":")
        if protocol not in ("tcp", "udp") or state not in ("LISTEN", "UNCONN") or not port.isdigit() or not more:
            raise ValueError(f"not a socket: {line!r}")
        programs = re.findall(r'\("([^"]*)",pid=', more[1]) if len(more) > 1 else []
        found.append(Socket(f"{protocol}/{port}", address, " and ".join(sorted(set(programs))) or "the kernel"))
    return found


def reaches_out(address: str, mesh_address: str, interface: str) -> bool:
    """Whether a socket bound there is reached from anywhere but the host itself and the tunnel.

    Raises:
        ValueError: it is no address.
    """
    bound, _, device = address.partition("%")
    if bound == "*" or device:
        return device not in ("lo", interface)
    found = ip_address(bound.strip("[]"))
    plain = getattr(found, "ipv4_mapped", None) or found
    return not plain.is_loopback and plain != ip_address(mesh_address)


def judge(check: Check, result: Result, outputs: StackOutputs, name: str) -> Check:
    """Nothing listens to the outside but what the program put there, and what `verify.listeners` names."""
    host = outputs.hosts[name]
    if result.status != 0:
        return check.unknown(result.stderr or f"ss ended with {result.status}")
    try:
        before, after = (read_sockets(part) for part in result.stdout.split("\n\n"))
        outside = [
            one
            for one in dict.fromkeys(after)
            if one in before and reaches_out(one.address, host.mesh_address, outputs.interface)
        ]
    except ValueError:
        return check.unknown(f"the host printed {result.stdout!r}")
    value = " ".join(_sorted({one.port for one in outside})) or "none"
    known = declared(outputs, name, host)
    strange = [one for one in outside if one.port not in known]
    if not strange:
        return check.ok(value)
    by_port: dict[str, dict[str, None]] = {}
    for one in strange:
        by_port.setdefault(f"{printable(one.program)} listens on {one.port}", {})[one.address] = None
    told = "; ".join(f"{what} at {' and '.join(where)}" for what, where in by_port.items())
    cure = f"stop it, have it listen on 127.0.0.1 or {host.mesh_address}, or name it in verify.listeners"
    return check.fail(value, f"{told}: {cure}")


def declared(outputs: StackOutputs, name: str, host: HostFacts) -> frozenset[str]:
    """What may listen: what the program puts there, leases, and what the settings name."""
    named = (
        f"{each.protocol}/{each.port}"
        for each in outputs.limits.listeners.values()
        if each.at in (host.site, name, name.rpartition(".")[0])
    )
    return LEASES | frozenset(host.listens or ()) | frozenset(named)


def limit(outputs: StackOutputs, name: str) -> str:
    """What may listen, in words; leases are not worth any."""
    return " ".join(_sorted(declared(outputs, name, outputs.hosts[name]) - LEASES))


def _sorted(ports: Iterable[str]) -> Sequence[str]:
    return sorted(ports, key=lambda port: (port.partition("/")[0], int(port.partition("/")[2])))
