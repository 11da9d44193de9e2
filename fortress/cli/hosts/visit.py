"""One conversation with each host of a fortress, all at the same time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from functools import partial

from fortress.cli.hosts import ssh
from fortress.cli.hosts.parallel import in_parallel
from fortress.facts import StackOutputs

Tell = Callable[[int, int], None]
"""Hears how many of how many are done."""

Through = ssh.Session | ssh.SshError | None
"""The connection through which hosts are reached, or why there is none; None where none is needed."""


def visit(
    outputs: StackOutputs,
    credentials: ssh.Credentials,
    timeout: float,
    work: Callable[[str, ssh.Session], None],
    *,
    hosts: Iterable[str] | None = None,
    tell: Tell = lambda _done, _total: None,
) -> dict[str, str]:
    """Call `work` with each host's name and its connection, each in a thread of its own.

    All hosts unless `hosts` names some. Gives by name why a host could not be asked, or not to the end.
    """
    names = list(outputs.hosts if hosts is None else hosts)
    trouble: dict[str, str] = {}
    done: list[str] = []
    lock = threading.Lock()

    def ask(name: str, session: ssh.Session | ssh.SshError) -> None:
        try:
            if isinstance(session, ssh.SshError):
                raise session
            work(name, session)
        except ssh.HostKeyError as error:
            trouble[name] = f"{name} is not asked: {error}"
        except ssh.SshError as error:
            trouble[name] = f"{name} {error}"
        with lock:
            done.append(name)
            tell(len(done), len(names))

    converse(outputs, credentials, timeout, ask, names)
    return trouble


def converse(
    outputs: StackOutputs,
    credentials: ssh.Credentials,
    timeout: float,
    work: Callable[[str, ssh.Session | ssh.SshError], None],
    hosts: Iterable[str],
    besides: Iterable[Callable[[], None]] = (),
) -> Through:
    """Call `work` with each host's name, and its connection or why there is none, each in a thread of its own.

    `besides` are jobs that run at the same time. Gives what came of the bastion.
    """
    through = _bastion(outputs, credentials, timeout)

    def ask(name: str) -> None:
        try:
            session = _connect(outputs, name, credentials, timeout, through)
        except ssh.SshError as error:
            work(name, error)
            return
        with contextlib.closing(session):
            work(name, session)

    try:
        in_parallel([*(partial(ask, name) for name in hosts), *besides])
    finally:
        if isinstance(through, ssh.Session):
            through.close()
    return through


def _bastion(outputs: StackOutputs, credentials: ssh.Credentials, timeout: float) -> Through:
    if (bastion := outputs.bastion) is None:
        return None
    target = ssh.Login("the bastion", bastion.address, bastion.port, bastion.user, bastion.host_key)
    try:
        return ssh.connect(target, credentials, timeout)
    except ssh.SshError as error:
        return error


def _connect(
    outputs: StackOutputs, name: str, credentials: ssh.Credentials, timeout: float, through: Through
) -> ssh.Session:
    """A connection to a host, by what `_bastion` gave.

    Raises:
        SshError: the host or the bastion lets nobody in.
    """
    if isinstance(through, ssh.HostKeyError):
        raise ssh.SshError(f"is not asked: the bastion shows {through.shown}, pinned is {through.pinned}")
    if isinstance(through, ssh.SshError):
        raise ssh.SshError(f"is not asked: the bastion {through}")
    host = outputs.hosts[name]
    target = ssh.Login(name, host.address, host.port, host.user, host.host_key)
    return ssh.connect(target, credentials, timeout, through)
