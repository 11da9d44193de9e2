"""SSH to the hosts, over the lab's network, as an operator does it."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from lab.base import cgroups, processes
from lab.base.commands import failure, run, succeeds
from lab.base.errors import LabError
from lab.base.folders import Lab
from lab.base.topology import HOSTS, USER, LabHost
from lab.host import hosts
from lab.net import network


def make_key(lab: Lab) -> None:
    """Make the lab's key pair, unless it is there."""
    lab.ssh.mkdir(mode=0o700, exist_ok=True)
    if not lab.key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"ops@{lab.name}", "-f", str(lab.key)])


def agent_standing(lab: Lab) -> bool:
    """Whether the lab's agent runs and holds the lab's key."""
    if not processes.alive(lab.pid_file("agent")):
        return False
    return succeeds(["env", f"SSH_AUTH_SOCK={lab.agent_socket}", "ssh-add", "-T", f"{lab.key}.pub"])


def start_agent(lab: Lab) -> None:
    """Start the lab's agent and give it the lab's key."""
    stop_agent(lab)
    command = [*cgroups.inside(lab, "agent"), "ssh-agent", "-D", "-a", str(lab.agent_socket)]
    processes.spawn(command, lab.pid_file("agent"), lab.log("agent"))
    processes.until("the lab's ssh-agent", 10, lambda: _listens(lab.agent_socket))
    run(["ssh-add", "-q", str(lab.key)], environment={**os.environ, "SSH_AUTH_SOCK": str(lab.agent_socket)})


def _listens(path: Path) -> bool:
    """Whether somebody takes connections there: a socket is there before its maker listens."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(path)) == 0


def stop_agent(lab: Lab) -> None:
    """End the lab's agent."""
    processes.end(lab.pid_file("agent"))
    cgroups.kill(cgroups.of(lab, "agent"))
    lab.agent_socket.unlink(missing_ok=True)


def known_hosts(lab: Lab) -> str:
    """Text of a known_hosts file: the keys that lie on the hosts' disks."""
    lines = [f"{host.address} {key}\n" for host in HOSTS.values() if (key := hosts.host_key(lab, host))]
    return "".join(lines)


def command(
    lab: Lab, host: LabHost, remote: str | None, *, terminal: bool = False, connect_seconds: int = 10
) -> list[str]:
    """The ssh command for a host, with its key pinned; an interactive shell when `remote` is None."""
    file = lab.ssh / "known_hosts"
    text = known_hosts(lab)
    if not file.exists() or file.read_text() != text:
        written = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        written.write_text(text)
        written.rename(file)
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(file),
        "GlobalKnownHostsFile": "/dev/null",
        "IdentityAgent": "none",
        "IdentitiesOnly": "yes",
        "IdentityFile": str(lab.key),
        "ConnectTimeout": str(connect_seconds),
        "LogLevel": "ERROR",
    }
    return [
        *network.enter(lab, "operator"),
        *("ssh", "-F", "none", "-t" if terminal else "-T"),
        *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
        *(f"{USER}@{host.address}", "--"),
        *([] if remote is None else [remote]),
    ]


def wait(lab: Lab, host: LabHost, seconds: float) -> None:
    """Wait until a host lets the operator in.

    Raises:
        LabError: it did not in that time, or the host ended; the message has ssh's last word and ends as the host's
            console does.
    """
    log = lab.host(host.name) / "console.log"
    refusal: str | None = None

    def answers() -> bool:
        nonlocal refusal
        if not hosts.supervisor(lab, host):
            raise LabError(f"{host.name} does not stay up; its console ends:\n{tail(log.read_text(errors='replace'))}")
        refusal = failure(command(lab, host, "true", connect_seconds=1), seconds=20)
        return refusal is None

    try:
        processes.until(f"SSH on {host.name}", seconds, answers, every=0.1)
    except LabError as error:
        if not hosts.supervisor(lab, host):
            raise
        said = tail(log.read_text(errors="replace"))
        raise LabError(
            f"{error.problem} ({refusal}); its console ends:\n{said}", f"see {log}, or python -m lab console"
        ) from None


def tail(text: str, lines: int = 12) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-lines:])
