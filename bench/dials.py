"""Part `dials`: SSH connections of a first `up`, by what each host's sshd has noted."""

from __future__ import annotations

from collections.abc import Iterator

from bench import stand
from bench.figures import Figure
from lab.base import topology

_ASKED = """
journalctl --sync
journalctl -t sshd -t sshd-session -t sshd-auth -o cat --no-pager | grep -c '^Accepted ' || true
"""


def figures(repeat: int) -> Iterator[Figure]:
    """The host with the most, and the mean; a first `up` is made once, since its dials do not vary."""
    del repeat
    with stand.project(bare=True) as project:
        before = logins()
        project.pulumi(*stand.UP)
        after = logins()
    found = {host: after[host] - before[host] for host in before}
    most = max(found, key=lambda host: found[host])
    yield Figure("SSH logins of a first `up`, a host, at most", found[most], "", goal=8, note=most)
    yield Figure("SSH logins of a first `up`, all hosts", sum(found.values()), "")


def logins() -> dict[str, int]:
    """How many SSH sessions each host has let in."""
    return {host: int(stand.on(host, _ASKED)) for host in topology.STANDARD}
