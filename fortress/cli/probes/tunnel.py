"""Runs on a host (python3, standard library only, as root): is what goes through the tunnel encrypted on the way?

`python3 -I - INTERFACE ADDRESS...`, with this text as standard input. Sends to each address of a peer in the tunnel
random bytes that nobody else has, and looks at every packet of every interface meanwhile. Prints a line of JSON for
each, in the same order: `inside`, how many packets of INTERFACE had the bytes; `clear`, the other interfaces that had
them; `sealed`, how many packets of WireGuard went out beside it; `error`, why nothing was sent.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time

PORT = 9
"""Discard (RFC 863): the peer's firewall drops it, and nothing need answer."""
TIMES, EVERY_S, LOOKS_S = 5, 0.1, 0.5
ALL_PROTOCOLS = 0x0003
OUTGOING = 4
"""linux/if_ether.h, ETH_P_ALL; linux/if_packet.h, PACKET_OUTGOING."""
UDP = 17
TRANSPORT_DATA = b"\x04\0\0\0"
"""How WireGuard's packets with data begin (wireguard.com/protocol)."""


def is_sealed(packet: bytes) -> bool:
    """Whether an IP packet is one of WireGuard's with data in it."""
    if packet[:1] and packet[0] >> 4 == 4:
        header, protocol = (packet[0] & 15) * 4, packet[9:10]
    else:
        header, protocol = 40, packet[6:7]
    return protocol == bytes([UDP]) and packet[header + 8 : header + 12] == TRANSPORT_DATA


def main(interface: str, *addresses: str) -> None:
    """Send, look, and say what was seen."""
    markers = [os.urandom(32) for _ in addresses]
    inside, clear, errors = [0 for _ in addresses], [set[str]() for _ in addresses], ["" for _ in addresses]
    # Without its link's header, which interfaces do not have in common; of all of them.
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS)) as seen:
        sealed, sent = 0, 0
        began = time.monotonic()
        while (now := time.monotonic()) < began + TIMES * EVERY_S + LOOKS_S:
            if sent < TIMES and now >= began + sent * EVERY_S:
                sent += 1
                for place, (address, marker) in enumerate(zip(addresses, markers, strict=True)):
                    try:
                        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                            out.sendto(marker, (address, PORT))
                    except OSError as error:
                        errors[place] = error.strerror or str(error)
            seen.settimeout(EVERY_S / 4)
            try:
                packet, (device, _, kind, *_) = seen.recvfrom(65_535)
            except TimeoutError:
                continue
            sealed += device != interface and kind == OUTGOING and is_sealed(packet)
            for place, marker in enumerate(markers):
                if marker in packet and device == interface:
                    inside[place] += 1
                elif marker in packet:
                    clear[place].add(device)
    for count, devices, why in zip(inside, clear, errors, strict=True):
        print(json.dumps({"inside": count, "sealed": sealed, "clear": sorted(devices), "error": why}))


if __name__ == "__main__":
    main(*sys.argv[1:])
