"""Runs on a host (python3, standard library only, as root): try a connection that its own firewall must refuse.

`python3 -I - ADDRESS PORT`, with this text as standard input. Prints JSON: `reached`, whether the connection was made;
`error`, what became of it otherwise; `refused`, how many packets the last rule of the chain output refused meanwhile.
The user who tries has a number as a workload has.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys

WORKLOAD = 65_000
"""A number from the range of systemd's DynamicUser=, which needs no name."""
WAIT_S = 3.0


def refused() -> int:
    """Packets that the firewall has refused so far; 0 where nothing counts them."""
    words = ["nft", "list", "chain", "inet", "fortress", "output"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    found = re.search(r"counter packets ([0-9]+) .* reject", said)
    return int(found[1]) if found else 0


def connect(address: str, port: int) -> str:
    """Why there is no connection; empty where there is one."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        said = "the probe ended early"
        try:
            os.setgroups([])
            os.setgid(WORKLOAD)
            os.setuid(WORKLOAD)
            # To the firewall, a socket belongs to the user who makes it.
            attempt = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            attempt.settimeout(WAIT_S)
            attempt.connect((address, port))
            said = ""
        except OSError as error:
            said = error.strerror or str(error)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def main(address: str, port: int) -> None:
    before = refused()
    error = connect(address, port)
    print(json.dumps({"reached": not error, "error": error, "refused": refused() - before}))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except FileNotFoundError as error:
        sys.stderr.write(f"{error.filename}: command not found\n")
        sys.exit(127)
