"""What hosts look like from inside, asked as root and not through the network; and what may not be found there."""

from __future__ import annotations

import base64
import csv
import io
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import api
from lab.base import cgroups, topology

HOSTS = topology.STANDARD


def on(host: str, command: str, text: str | None = None, timeout: float = 60) -> str:
    """What a shell command prints inside a host; it must succeed."""
    done = api.console(host, command, text, timeout)
    assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def each(command: str, text: str | None = None, hosts: Iterable[str] = HOSTS) -> dict[str, str]:
    """The same on every host at once."""
    names = list(hosts)
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(lambda host: on(host, command, text), names), strict=True))


def servers() -> dict[str, dict[str, str]]:
    """What HAProxy's statistics say of each worker that the edge has, by their column names."""
    text = haproxy("show stat").removeprefix("# ")
    return {row["svname"]: row for row in csv.DictReader(io.StringIO(text)) if row["svname"] in topology.HOSTS}


def all_up() -> bool:
    """Whether HAProxy has every worker up."""
    return {row["status"] for row in servers().values()} == {"UP"}


def haproxy(commands: str) -> str:
    """What HAProxy on the edge answers to commands, one after the other with a semicolon between."""
    return on("oslo-edge", shlex.join(["python3", "-", commands]), _HAPROXY)


_HAPROXY = """
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect("/run/haproxy/admin.sock")
    s.sendall(f"{sys.argv[1]}\\n".encode())
    while part := s.recv(65536):
        print(part.decode(), end="")
"""


def until(what: str, seconds: float, test: Callable[[], bool], every: float = 0.25) -> float:
    """Wait until something holds; gives the seconds that it took."""
    began = time.monotonic()
    while not test():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(every)
    return time.monotonic() - began


def newest_worker() -> str:
    """The process of the edge's HAProxy that was started last."""
    return on("oslo-edge", "pgrep -n -P $(systemctl show -P MainPID haproxy) haproxy || true")


def reload_edge() -> str:
    """Reload HAProxy and give the process that answers from then on: systemd is back before the master has made it."""
    before = newest_worker()
    on("oslo-edge", "systemctl reload haproxy")
    until("a new worker of HAProxy", 60, lambda: newest_worker() not in {"", before})
    return newest_worker()


def private_keys() -> dict[str, str]:
    """Every private key that hosts keep, as `HOST PATH` to one line of its base64 text that nothing else has."""
    script = """
    for file in $(grep -rlE -e '-----BEGIN .*PRIVATE KEY-----' /etc) /etc/wireguard/*.key; do
        printf '%s ' "$file"
        sed -e '/BEGIN CERTIFICATE/,/END CERTIFICATE/d' -e '/-----/d' "$file" | tr '\\n' ' '
        echo
    done
    """
    keys: dict[str, str] = {}
    for host, said in each(script).items():
        for file, *lines in map(str.split, said.splitlines()):
            keys[f"{host} {file}"] = lines[len(lines) // 2]  # the first ones are the same in all keys of a kind
    return keys


def forms(secret: str) -> set[str]:
    """A secret as it may be written in logs, command lines and state files."""
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")
    shown = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], shlex.quote(secret), coded}
    return shown | {json.dumps(form)[1:-1] for form in shown}


def holding(folder: Path, secrets: Mapping[str, str]) -> list[str]:
    """`FILE: NAME` of each secret that stands in a file below a folder, in any of its forms."""
    return [
        f"{file}: {name}"
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        for name in found(file.read_bytes().decode(errors="replace"), secrets)
    ]


def found(text: str, secrets: Mapping[str, str]) -> list[str]:
    """Names of the secrets that stand in a text."""
    return [name for name, secret in secrets.items() if any(form in text for form in forms(secret))]


def on_disk(secret: str) -> dict[str, set[str]]:
    """For each host the files and journals that a secret stands in."""
    script = """
    patterns=$(cat)
    cd /
    printf '%s\\n' "$patterns" | grep -rlF --devices=skip -f - etc home opt root run srv tmp usr/local var || true
    ! journalctl --no-pager -o export | grep -qF -e "$patterns" || echo journal
    """
    text = "\n".join(sorted(forms(secret)))
    return {host: {f"/{line}" for line in said.splitlines()} for host, said in each(script, text).items()}


class Processes(threading.Thread):
    """Looks at the hosts' processes a hundred times a second, for as long as the `with` lasts."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.commands: dict[str, set[str]] = {host: set() for host in HOSTS}
        """Command lines, as `ps` shows them to every user of the host."""
        self.environments: dict[str, set[str]] = {host: set() for host in HOSTS}
        self._ending = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        groups = {host: cgroups.of(api.current(), f"host-{host}") for host in HOSTS}
        while not self._ending.wait(0.01):
            for host, group in groups.items():
                for pid in cgroups.members(group):
                    with suppress(OSError):  # it ended meanwhile
                        self.commands[host].add(_words(pid, "cmdline"))
                        self.environments[host].add(_words(pid, "environ"))

    def __str__(self) -> str:
        return "\n".join(
            f"{host}: {text}"
            for seen in (self.commands, self.environments)
            for host, texts in seen.items()
            for text in texts
        )

    def stop(self) -> None:
        """End it."""
        self._ending.set()
        self.join()


def _words(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace")


@contextmanager
def processes() -> Iterator[Processes]:
    """Command lines and environments of all processes that run on the hosts meanwhile."""
    seen = Processes()
    seen.start()
    try:
        yield seen
    finally:
        seen.stop()
