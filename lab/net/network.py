"""The lab's network namespaces: two sites, the operator, a client outside.

Each namespace lives in a process that does nothing else, so it goes when that process goes and no mount keeps it.
Nothing is joined to the machine's own network: there is no way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from lab.base import cgroups, processes
from lab.base.commands import run, succeeds
from lab.base.errors import NotStandingError
from lab.base.folders import Lab
from lab.base.processes import Process
from lab.base.topology import FRANKFURT, NAMESPACES, OPERATOR, OSLO, OUTSIDE, OUTSIDE_GATEWAYS, SITES, LabHost

# A fixed hardware address for each gateway: a bridge takes the lowest of its ports' otherwise, and every host would
# have to learn its gateway anew whenever another host comes or goes.
BRIDGE_ADDRESSES = {OSLO.name: "02:00:c0:00:02:01", FRANKFURT.name: "02:00:cb:00:71:01"}


def holder(lab: Lab, namespace: str) -> Process:
    """The process that a namespace lives in.

    Raises:
        NotStandingError: there is none.
    """
    if process := processes.alive(lab.pid_file(f"net-{namespace}")):
        return process
    raise NotStandingError(f"lab {lab.name!r} is not up", "python -m lab up")


def enter(lab: Lab, namespace: str) -> list[str]:
    """What to write before a command to have it run in a namespace; mounts, folder and user stay the caller's."""
    return ["nsenter", f"--net={holder(lab, namespace).network}", "--"]


def standing(lab: Lab) -> bool:
    """Whether all namespaces are there and joined."""
    alive = all(processes.alive(lab.pid_file(f"net-{namespace}")) for namespace in NAMESPACES)
    # The last thing that `up` does, so a half made network does not count.
    return alive and succeeds([*enter(lab, "outside"), "ip", "route", "get", str(FRANKFURT.gateway)])


def wires(pids: Mapping[str, int]) -> dict[str, list[str]]:
    """For each namespace the lines that `ip -batch` makes its part of the network from; to be run in this order."""
    lines: dict[str, list[str]] = {}
    for name, site in SITES.items():
        lines[name] = [
            "link set lo up",
            f"link add br0 address {BRIDGE_ADDRESSES[name]} type bridge",
            f"addr add {site.gateway}/{site.network.prefixlen} dev br0",
            "link set br0 up",
            f"link add outside type veth peer name {name} netns {pids['outside']}",
            f"addr add {OUTSIDE_GATEWAYS[name]} peer {OUTSIDE} dev outside",
            "link set outside up",
        ]
    lines[OSLO.name] += [
        f"link add operator type veth peer name eth0 netns {pids['operator']}",
        "link set operator master br0 up",
    ]
    lines["operator"] = [
        "link set lo up",
        f"addr add {OPERATOR}/{OSLO.network.prefixlen} dev eth0",
        "link set eth0 up",
        f"route add default via {OSLO.gateway}",
    ]
    lines["outside"] = ["link set lo up"]
    for name, site in SITES.items():
        lines["outside"] += [
            f"addr add {OUTSIDE} peer {OUTSIDE_GATEWAYS[name]} dev {name}",
            f"link set {name} up",
            f"route add {site.network} via {OUTSIDE_GATEWAYS[name]} src {OUTSIDE}",
        ]
    return lines


def _is_apart(process: Process) -> bool:
    """Whether a process has left the network namespace that it was started in, which is ours."""
    return process.network.readlink() != Path("/proc/self/ns/net").readlink()


def up(lab: Lab) -> None:
    """Make the namespaces and join them. What is there of them must be taken down first."""
    for namespace in NAMESPACES:
        part = f"net-{namespace}"
        command = [*cgroups.inside(lab, part), "unshare", "--net", "sleep", "infinity"]
        process = processes.spawn(command, lab.pid_file(part), lab.log(part))
        processes.until(f"namespace {namespace}", 10, partial(_is_apart, process))
    for namespace, lines in wires({name: holder(lab, name).pid for name in NAMESPACES}).items():
        # The lab speaks IPv4 only; a site's router forwards.
        settings = "echo 1 >/proc/sys/net/ipv4/ip_forward" if namespace in SITES else ":"
        quiet = "f=/proc/sys/net/ipv6/conf/default/disable_ipv6; if [ -e $f ]; then echo 1 >$f; fi"
        run([*enter(lab, namespace), "sh", "-ec", f"{quiet}; {settings}"])
        run([*enter(lab, namespace), "ip", "-batch", "-"], text="\n".join(lines) + "\n")


def down(lab: Lab) -> None:
    """End the namespaces, and with them all that is in them."""
    for namespace in NAMESPACES:
        part = f"net-{namespace}"
        processes.end(lab.pid_file(part))
        cgroups.kill(cgroups.of(lab, part))


def answers(lab: Lab, address: object) -> bool:
    """Whether something in the lab has an address already, as the operator sees it."""
    return succeeds([*enter(lab, "operator"), "ping", "-q", "-c1", "-W0.5", str(address)])


def unplug(lab: Lab, host: LabHost) -> None:
    """Take a host's wire away, if it has one.

    It does not go with the host's last process: connections that were still open keep a killed host's kernel side
    alive for a minute or two, and it would go on answering pings and refusing connections.
    """
    if processes.alive(lab.pid_file(f"net-{host.site.name}")):
        succeeds([*enter(lab, host.site.name), "ip", "link", "delete", host.interface])
