"""One conversation with each host of a fortress, all at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from fortress.cli.engine.outputs import Standing
from fortress.cli.hosts import ssh
from fortress.cli.hosts.parallel import in_parallel

Tell = Callable[[int, int], None]
"""Hears how many of how many are done."""


def visit(
    standing: Standing,
    access: ssh.Access,
    timeout: float,
    work: Callable[[str, ssh.Session], None],
    *,
    hosts: Iterable[str] | None = None,
    tell: Tell = lambda _done, _total: None,
) -> dict[str, str]:
    """Call `work` with each host's name and its connection, each in a thread of its own.

    All hosts unless `hosts` names some. Gives by name why a host could not be asked, or not to the end.
    """
    names = list(standing.hosts if hosts is None else hosts)
    trouble: dict[str, str] = {}
    done: list[str] = []
    lock = threading.Lock()
    through = bastion(standing, access, timeout)

    def ask(name: str) -> None:
        try:
            session = connect(standing, name, access, timeout, through)
            try:
                work(name, session)
            finally:
                session.close()
        except ssh.HostKeyError as error:
            trouble[name] = f"{name} is not asked: {error}"
        except ssh.SshError as error:
            trouble[name] = f"{name} {error}"
        with lock:
            done.append(name)
            tell(len(done), len(names))

    try:
        in_parallel([partial(ask, name) for name in names])
    finally:
        if isinstance(through, ssh.Session):
            through.close()
    return trouble


def target(standing: Standing, name: str) -> ssh.Target:
    """Where a host answers, and who it must be."""
    facts = standing.hosts[name]
    return ssh.Target(name, facts.address, facts.port, facts.user, facts.host_key)


def bastion(standing: Standing, access: ssh.Access, timeout: float) -> ssh.Session | ssh.SshError | None:
    """The connection through which hosts are reached, or why there is none; None where none is needed."""
    if (facts := standing.bastion) is None:
        return None
    try:
        return ssh.connect(
            ssh.Target("the bastion", facts.address, facts.port, facts.user, facts.host_key), access, timeout
        )
    except ssh.SshError as error:
        return error


def connect(
    standing: Standing,
    name: str,
    access: ssh.Access,
    timeout: float,
    through: ssh.Session | ssh.SshError | None,
) -> ssh.Session:
    """A connection to a host, by what `bastion` gave. Raises SshError."""
    if isinstance(through, ssh.HostKeyError):
        raise ssh.SshError(f"is not asked: the bastion shows {through.shown}, pinned is {through.pinned}")
    if isinstance(through, ssh.SshError):
        raise ssh.SshError(f"is not asked: the bastion {through}")
    return ssh.connect(target(standing, name), access, timeout, through)
