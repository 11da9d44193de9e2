"""`fortress ssh`: OpenSSH, told where a host of the stack answers and who it must be."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from fortress.cli.base.errors import CannotAskError
from fortress.facts import BastionFacts, HostFacts, StackOutputs

_PRINT = "/bin/echo"
"""The one program that OpenSSH is told to ask for a host's key; it wants a whole path."""


def command(outputs: StackOutputs, host: str, words: Sequence[str], key: Path | None = None) -> list[str]:
    """The `ssh` that reaches a host, and runs `words` there as `ssh` does.

    The pinned key goes in the command line (KnownHostsCommand, OpenSSH 8.5): no file is written that could be left
    behind. No known_hosts file is read, so that none can add another key.

    Raises:
        CannotAskError: there is no `ssh`, or one that is too old.
    """
    if key:
        try:
            key.open("rb").close()  # OpenSSH would warn, and try others
        except OSError as error:
            raise CannotAskError(f"--key {key}: {error.strerror}") from None
    facts = outputs.hosts.get(host)
    if facts is None:
        raise CannotAskError(f"the stack has no host {host!r}; it has {', '.join(outputs.hosts)}")
    proxy = "none"
    if outputs.bastion:
        # The destination stands in brackets, which an IPv6 address needs and others do not mind.
        through = _ssh("bastion", outputs.bastion, "none", key)
        proxy = shlex.join([*through[:-1], "-W", "[%h]:%p", through[-1]])
    return [*_ssh(host, facts, proxy, key), *words]


def _ssh(name: str, facts: HostFacts | BastionFacts, proxy: str, key: Path | None) -> list[str]:
    kind, blob = facts.host_key.split()[:2]
    options = [
        f"HostKeyAlias={name}",
        f"KnownHostsCommand={_PRINT} {name} {kind} {blob}",
        "UserKnownHostsFile=none",
        "GlobalKnownHostsFile=none",
        "StrictHostKeyChecking=yes",
        "CheckHostIP=no",
        "VerifyHostKeyDNS=no",
        "UpdateHostKeys=no",
        # An open connection to the same address would be taken without a look at its key.
        "ControlPath=none",
        f"ProxyCommand={proxy}",
    ]
    chosen = ["-i", str(key)] if key else []
    settings = [word for option in options for word in ("-o", option)]
    return ["ssh", *settings, *chosen, "-p", str(facts.port), "-l", facts.user, facts.address]
