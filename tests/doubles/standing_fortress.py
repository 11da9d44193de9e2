"""A stand-in for a whole standing fortress, on loopback addresses: three hosts, a database, an edge.

Hosts are SSH servers (ssh_server.py) whose programs print what real ones printed (tests/unit/recorded); database and
edge are the doubles of this folder. What `fortress verify` asks goes over real connections and real shells.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fortress.limits import Limits
from tests.doubles.certificates import issue
from tests.doubles.edge_server import edge_server
from tests.doubles.mariadb_server import mariadb_server
from tests.doubles.ssh_server import Behaviour, SshServer, programs, ssh_server, write_key
from tests.ports import closed_port

RECORDED = Path(__file__).parents[1] / "unit" / "recorded"
SERVER_NAME = "lab.fortress.example"

ADDRESSES = {"oslo-db": "127.0.0.11", "oslo-edge": "127.0.0.12", "fra-1": "127.0.0.21"}
PEERS = {"oslo-db": ["fra-1"], "oslo-edge": ["fra-1"], "fra-1": ["oslo-db", "oslo-edge"]}
KEYS = {
    "oslo-db": "CFOyWjTXA/8F3xSCpBpsYp7PXgYbYVg9OjiY/ST0y1w=",
    "oslo-edge": "OBx5tBRJd6jAvRHDuerwWGMLW0jvfpppQ1MLlKwS2RQ=",
    "fra-1": "JO3DAX6krQcfuZWHIMrnkjISivZUTFLPCKnl8PIIoko=",
}


@dataclass
class Fortress:
    """What stands. `outputs` are those of its stack."""

    outputs: dict[str, Any]
    key: Path
    hosts: dict[str, SshServer]
    http_port: int
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self.outputs["fortress"]
        return facts

    @property
    def state(self) -> dict[str, Any]:
        """What `pulumi stack export` prints."""
        return exported(self.outputs)


def exported(outputs: Mapping[str, Any], *resources: Mapping[str, Any]) -> dict[str, Any]:
    """A state with the outputs of its stack, and resources."""
    urn = "urn:pulumi:lab::data-fortress::pulumi:pulumi:Stack::data-fortress-lab"
    stack = {"urn": urn, "type": "pulumi:pulumi:Stack", "outputs": dict(outputs)}
    return {"version": 3, "deployment": {"resources": [stack, *resources]}}


PINGED = (
    r"""seq -f '64 bytes from 10.100.0.1: icmp_seq=%.0f ttl=64 time=23.3 ms' 100; """
    r"""printf '\n--- 10.100.0.1 ping statistics ---\n100 packets transmitted, 100 received, 0%% packet loss, """
    r"""time 1004ms\nrtt min/avg/max/mdev = 23.300/23.300/23.300/0.000 ms\n'"""
)
"""Prints what ping does where each of 100 is answered."""


def host_programs(name: str) -> dict[str, str]:
    """Programs of a host, as shell scripts."""
    handshakes = "".join(f'printf "%s\\t%s\\n" {KEYS[peer]} $(($(date +%s) - 37))\n' for peer in PEERS[name])
    show = f"/bin/cat {shlex.quote(str(RECORDED))}"
    return {
        "sudo": '[ "$1" = -n ] || exit 9; shift; exec "$@"',
        "fortress-push": '[ "$*" = records ] || exit 9',  # nothing was put
        "wg": f'[ "$*" = "show wg0 latest-handshakes" ] || exit 9\n{handshakes}',
        "ping": (
            'case "$*" in\n'
            f'*"-M do -s 1332 10.100."*) {show}/ping-full.txt ;;\n'
            f'*"-M do -s 1333 10.100."*) {show}/ping-too-large.txt; exit 1 ;;\n'
            f'*"-M do -s 1422 127."*) {show}/ping-full.txt ;;\n'
            f'*"-M do -s 1423 127."*) exit 1 ;;\n'
            f"*'-c 100 '*) {PINGED} ;;\n"
            "*) exit 9 ;;\nesac"
        ),
        "cat": 'case "$*" in /sys/class/net/wg0/mtu) echo 1360 ;; *) exec /bin/cat "$@" ;; esac',
        "ip": 'echo "$3 dev lo src 127.0.0.1 uid 0"',
        "stat": (
            'case "$*" in\n'
            "--file-system*) shift 2; for each; do echo 4096 2621440 1524288 1390000 655360 600000; done ;;\n"
            '*"/etc/wireguard/wg0.key") echo "key $(($(date +%s) - 864000))" ;;\n'
            '*) exec /usr/bin/stat "$@" ;;\nesac'
        ),
        "ss": (
            '[ "$*" = -Hltunp ] || exit 9\n'
            "echo 'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:((\"sshd\",pid=72,fd=6))'\n"
            "echo 'udp UNCONN 0 0 0.0.0.0:51820 0.0.0.0:*'"
        ),
        "sleep": '[ "$1" = 1 ] || exec /bin/sleep "$@"',  # between two looks
        "systemd-analyze": (
            '[ "$1 $2" = "security --no-pager" ] || exit 9\n'
            """printf '\\n→ Overall exposure level for %s.service: 2.7 OK :-)\\n' "$3\""""
        ),
        "systemctl": '[ "$1 $2 $3" = "show -p MainPID" ] || exit 9; echo 1',
        "sed": 'case "$*" in *NoNewPrivs*" /proc/1/status") echo "confined 1" ;; *) exec /bin/sed "$@" ;; esac',
        "mariadb": (
            'case "$*" in\n'
            "*'select @@global.require_secure_transport, @@global.tls_version') printf '1\\tTLSv1.2,TLSv1.3\\n' ;;\n"
            '*"show all slaves status"*) ;;\n'
            "*) exit 9 ;;\nesac"
        ),
        "mariadb-upgrade": "echo 'This installation of MariaDB is already upgraded to 11.8.9-MariaDB.'; exit 1",
        # This machine has no database's folder.
        "python3": (
            # Nor the tunnel that packets would be looked at.
            """[ "$3" != wg0 ] || { shift 3; for each; do """
            """echo '{"inside": 5, "sealed": 5, "clear": [], "error": ""}'; """
            "done; exit; }\n"
            f'[ "$3" != /var/lib/mysql ] || set -- -I - / "$4"\nexec {shlex.quote(sys.executable)} "$@"'
        ),
    }


@contextlib.contextmanager
def standing_fortress(
    folder: Path,
    *,
    behaviour: Mapping[str, Behaviour] | None = None,
    scripts: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Fortress]:
    """Everything holds, but for what a host's `behaviour` or its `scripts` (programs by host) say."""
    with contextlib.ExitStack() as stack:
        key, public = write_key(folder)
        hosts = {}
        for name, address in ADDRESSES.items():
            path = programs(folder / name, host_programs(name) | dict((scripts or {}).get(name, {})))
            wanted = replace((behaviour or {}).get(name, Behaviour(())), authorized=(public,), programs=path)
            hosts[name] = stack.enter_context(ssh_server(wanted, address=address))
        authority = issue("fortress database authority", authority=True)
        served = issue("oslo-db", names=("127.0.0.1",), signer=authority, days=300)
        database = stack.enter_context(mariadb_server(served.server_context(folder)))
        shown = issue(SERVER_NAME, names=(SERVER_NAME,), days=89.95)
        edge = ADDRESSES["oslo-edge"]
        https, asked = stack.enter_context(edge_server(shown.server_context(folder), address=edge))
        redirect = edge_server(None, status=301, location=f"https://{SERVER_NAME}/health", address=edge)
        http, _ = stack.enter_context(redirect)
        stats = stack.enter_context(_statistics(folder / "admin.sock"))
        roles = {"oslo-db": "database", "oslo-edge": "edge", "fra-1": "worker"}
        facts = {
            "version": 1,
            "hosts": {
                name: {
                    "address": server.address,
                    "port": server.port,
                    "user": "ops",
                    "host_key": server.host_key,
                    "public_key": KEYS[name],
                    "mesh_address": f"10.100.0.{index}",
                    "site": name.split("-")[0].replace("fra", "frankfurt"),
                    "role": roles[name],
                    "peers": PEERS[name],
                    "open_tcp": [server.port, *([http, https] if name == "oslo-edge" else [])],
                    "listens": ["tcp/22", "udp/51820"],
                }
                for index, (name, server) in enumerate(hosts.items(), 1)
            },
            "mesh": {
                "network": "10.100.0.0/24",
                "port": 51820,
                "mtu": 1360,
                "path_mtu": 1450,
                "hubs": ["oslo-db", "oslo-edge"],
                "interface": "wg0",
            },
            "database": {
                "host": "oslo-db",
                "address": database.address,
                "port": database.port,
                "name": "app",
                "user": "app",
                "ca_pem": authority.pem,
                "copy_wanted": False,
            },
            "edge": {
                "host": "oslo-edge",
                "url": f"https://{edge}:{https}",
                "server_name": SERVER_NAME,
                "health_path": "/health",
                "stats_socket": stats,
                "backends": {"oslo": {"oslo-web": "10.100.0.3:80"}, "frankfurt": {"fra-2": "10.100.0.5:80"}},
                "silent_ms": 2000,
                "refused_ms": 1200,
            },
            "bastion": None,
            "limits": {
                **Limits().model_dump(),
                "rtt_ms": {"frankfurt-oslo": [20.0, 30.0]},
                "iowait_percent": 100.0,
                "ports": [closed_port()],
            },
        }
        yield Fortress({"fortress": facts, "url": f"https://{edge}"}, key, hosts, http, asked)


@contextlib.contextmanager
def _statistics(path: Path) -> Iterator[str]:
    """HAProxy's statistics socket."""
    csv = (RECORDED / "show-stat.csv").read_bytes()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), connection:
                    if connection.recv(100) == b"show stat\n":
                        connection.sendall(csv)

        threading.Thread(target=serve, daemon=True).start()
        yield str(path)
        listener.shutdown(socket.SHUT_RDWR)
