"""Part `tunnel`: throughput of the fortress's tunnel, beside one set up by hand between the same two hosts."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from bench import stand
from bench.figures import Figure, alternating, median
from lab import api
from lab.base import topology

SENDER, RECEIVER = "oslo-web", "oslo-db"
_PORT = 3306
"""Open from workers to the database through the tunnel; MariaDB makes room for it meanwhile."""
_SECONDS = 4
_RECEIVE = """
import socket, time
with socket.create_server(("{address}", {port})) as server:
    print("ready", flush=True)
    got = 0
    with server.accept()[0] as peer:
        began = time.monotonic()
        while data := peer.recv(1 << 20):
            got += len(data)
    print(got * 8 / 1e6 / (time.monotonic() - began), flush=True)
"""
_SEND = """
import socket, time
deadline = time.monotonic() + 30
while True:
    try:
        peer = socket.create_connection(("{address}", {port}), timeout=5)
        break
    except OSError:
        if time.monotonic() > deadline: raise
        time.sleep(0.1)
end = time.monotonic() + {seconds}
data = bytes(1 << 16)
with peer:
    while time.monotonic() < end:
        peer.sendall(data)
"""
_BY_HAND = """
set -eu
cd /run
umask 077
[ -s hand.key ] || wg genkey >hand.key
WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go
ip link add hand0 type wireguard 2>/dev/null || wireguard-go hand0 >/dev/null 2>&1
ip address add {address}/24 dev hand0
wg set hand0 private-key hand.key listen-port 51999
ip link set dev hand0 mtu 1360 up
nft insert rule inet fortress input udp dport 51999 accept
nft insert rule inet fortress input iifname hand0 accept
wg pubkey <hand.key
"""


def figures(repeat: int) -> Iterator[Figure]:
    """One figure: TCP in one stream."""
    with stand.project() as project:
        del project
        ours = stand.on(RECEIVER, "ip -4 -o address show dev wg0 | awk '{print $4}' | cut -d/ -f1").strip()
        keys = {
            host: stand.on(host, _BY_HAND.format(address=address)).split()[-1]
            for host, address in ((RECEIVER, "10.99.0.1"), (SENDER, "10.99.0.2"))
        }
        for host, other, address in ((RECEIVER, SENDER, "10.99.0.2"), (SENDER, RECEIVER, "10.99.0.1")):
            endpoint = f"{topology.HOSTS[other].address}:51999"
            stand.on(host, f"wg set hand0 peer {keys[other]} allowed-ips {address}/32 endpoint {endpoint}")
        stand.on(RECEIVER, "systemctl stop mariadb")
        found = alternating(repeat, {"ours": lambda: throughput(ours), "hand": lambda: throughput("10.99.0.1")})
    yield Figure(
        "throughput of the tunnel", median(found["ours"]), "Mbit/s", median(found["hand"]), "by hand", 0.97, True
    )


def throughput(address: str) -> float:
    """Mbit/s of one TCP stream to the receiver at this address."""
    found: list[str] = []

    def receive() -> None:
        program = _RECEIVE.format(address=address, port=_PORT)
        found.append(api.console(RECEIVER, "python3 -", input=program, timeout=60).stdout)

    thread = threading.Thread(target=receive)
    thread.start()
    program = _SEND.format(address=address, port=_PORT, seconds=_SECONDS)
    done = api.console(SENDER, "python3 -", input=program, timeout=60)
    thread.join()
    if done.returncode or not found[0].startswith("ready"):
        raise stand.BenchError(f"no stream to {address}: {done.stderr}")
    return float(found[0].split()[-1])
