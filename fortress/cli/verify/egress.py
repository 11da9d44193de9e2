"""What a host lets out: where a forbidden connection is tried to, and what its outcome means."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from fortress.cli.base.result import Result
from fortress.cli.check.check import Check
from fortress.facts import StackOutputs
from fortress.haproxy import HTTPS_PORT


def target(outputs: StackOutputs, name: str) -> tuple[str, int] | None:
    """Address and port that a host must not reach: the edge's HTTPS port outside the tunnel, which answers everybody.

    For the edge itself the SSH port of another host. That one's firewall drops it too, so that there the count of the
    edge's own firewall alone tells who refused. None where the stack has no other host.
    """
    if outputs.edge and outputs.edge.host != name:
        url = urlsplit(outputs.edge.url)
        return url.hostname or "", url.port or HTTPS_PORT
    others = [host for other, host in outputs.hosts.items() if other != name]
    return (others[0].address, others[0].port) if others else None


def judge(check: Check, result: Result, tried: str) -> Check:
    """The verdict on what the probe printed; `tried` is where to, in words."""
    try:
        said = json.loads(result.stdout)
        reached, error, refused = bool(said["reached"]), str(said["error"]), int(said["refused"])
    except (ValueError, KeyError, TypeError):
        return check.unknown(result.stderr or f"the host printed {result.stdout!r}")
    if reached:
        return check.fail("reached", f"a workload there reaches {tried} outside the tunnel; run `pulumi up`")
    if not refused:
        return check.fail("not refused", f"no rule of the host refused {tried} ({error}); run `pulumi up`")
    return check.ok("refused", f"{tried}: {error}")
