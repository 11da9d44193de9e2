#!/usr/bin/python3 -I
"""Whether the metrics exporters of this host answer, at its address in the tunnel and nowhere else.

Runs on each host that has any (python3, standard library only), after a change and for `fortress verify`, which sends
it as standard input.

    exporters-answer SECONDS ADDRESS NAME=PORT...

Asks until all are as they must be, for so many seconds. Prints a line of JSON for each, in the same order: `samples`,
how many figures it has, and `wrong`, what is not as it must be, empty if nothing is. Exit status 1 unless all are well.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from pathlib import Path

ASK_S = 5.0
MOST_BYTES = 16 * 1024 * 1024
LISTENS = "0A"
"""The state of a socket that listens, in /proc/net/tcp."""
MUST_SAY = {"node": "node_uname_info{", "mysqld": "mysql_up 1", "haproxy": "haproxy_process_start_time_seconds "}
"""What begins a line of each: that it is this exporter and, of MariaDB's, that the server lets it in."""


def figures(address: str, port: int) -> list[str]:
    """The lines that an exporter answers with, without comments.

    Raises:
        ValueError: it answers with something else.
        OSError: it does not answer.
    """
    connection = http.client.HTTPConnection(address, port, timeout=ASK_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read(MOST_BYTES).decode(errors="replace")
    except http.client.HTTPException as error:
        raise ValueError(f"answers no HTTP: {error!r}") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise ValueError(f"answers with status {answer.status}")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def listening(port: int) -> list[str]:
    """Addresses of this host that somebody listens on at a port."""
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:  # a host without IPv6
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == LISTENS and int(number, 16) == port:
                # Words of 32 bits, each in the order of this machine.
                words = [address[at : at + 8] for at in range(0, len(address), 8)]
                packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
                found.append(socket.inet_ntop(family, packed))
    return sorted(found)


def look(address: str, name: str, port: int) -> dict[str, object]:
    """How one exporter is."""
    try:
        lines = figures(address, port)
    except (OSError, ValueError) as error:
        return {"samples": 0, "wrong": str(error) or repr(error)}
    wrong = ""
    if not any(line.startswith(MUST_SAY[name]) for line in lines):
        wrong = f"does not say {MUST_SAY[name].rstrip('{ ')}"
    elif others := [each for each in listening(port) if each != address]:
        wrong = f"listens on {', '.join(others)} too"
    return {"samples": len(lines), "wrong": wrong}


def main(seconds: str, address: str, *exporters: str) -> int:
    """Ask all."""
    deadline = time.monotonic() + float(seconds)
    wanted = [(name, int(port)) for name, _, port in (each.partition("=") for each in exporters)]
    while True:
        found = [look(address, *each) for each in wanted]
        bad = [f"{name}: {one['wrong']}" for (name, _), one in zip(wanted, found, strict=True) if one["wrong"]]
        if not bad or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    for one in found:
        print(json.dumps(one))
    if bad:
        print(f"exporters-answer: {'; '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
