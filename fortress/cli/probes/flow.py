"""Runs on a host (python3, standard library only): try connections to other ones, all at the same time.

`python3 -I - FROM ADDRESS PROTOCOL PORT...`, the last three for each, with this text as standard input; PROTOCOL is tcp
or udp, and FROM the host's own address, without which packets might leave by another way than the tunnel. Prints a line
of JSON for each, in the same order: `answer`, which is `open`, `refused` (nobody listens, and the way is open),
`silent`, or what the kernel says; `ms`, the time until then. Over TCP nothing is sent, over UDP empty datagrams.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

TCP_S = 3.5
"""The kernel sends the first packet again after 1 s and 3 s."""
DATAGRAMS, DATAGRAM_S = 3, 0.7


def tcp(own: str, address: str, port: int) -> str:
    """What comes of a connection."""
    with socket.create_connection((address, port), TCP_S, (own, 0)):
        return "open"


def udp(own: str, address: str, port: int) -> str:
    """What comes of a few datagrams: a service may take them and say nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(DATAGRAM_S)
        asked.bind((own, 0))
        asked.connect((address, port))
        for _ in range(DATAGRAMS):
            asked.send(b"")
            try:
                asked.recv(1)
            except TimeoutError:
                continue
            return "open"
    return "silent"


def tried(own: str, address: str, protocol: str, port: str) -> str:
    """What comes of one, as JSON."""
    began = time.monotonic()
    try:
        answer = {"tcp": tcp, "udp": udp}[protocol](own, address, int(port))
    except TimeoutError:
        answer = "silent"
    except ConnectionRefusedError:
        answer = "refused"
    except OSError as error:
        answer = error.strerror or str(error)
    return json.dumps({"answer": answer, "ms": round((time.monotonic() - began) * 1000, 1)})


def main(own: str, *words: str) -> None:
    """Try them."""
    places = list(zip(words[::3], words[1::3], words[2::3], strict=True))
    with ThreadPoolExecutor(max_workers=max(1, len(places))) as side_by_side:
        for line in side_by_side.map(lambda place: tried(own, *place), places):
            print(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
