"""Runs on a host (python3, standard library only, as root): find by bisection how large a packet reaches an address.

`python3 -I - ADDRESS EXPECTED`, with this text as standard input. Prints JSON: `largest`, the size in bytes of the
largest packet that was answered whole, 0 where none was; `tries`, how many sizes were tried. A path that is as expected
takes three at most. The way back is not measured: an answer may be cut into parts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LEAST = 576
"""What every host must take (RFC 791)."""

PINGS = 3
"""A size that is answered once passes: the others may be lost."""


def largest(passes: Callable[[int], bool], expected: int, most: int) -> int:
    """The largest size in bytes that passes: `expected`, unless one byte more does too, or it does not itself."""
    # Once more before it is called too large: all pings of a size may be lost on a bad line.
    if passes(expected) or passes(expected):
        if most == expected or passes(most):
            return most
        low, high = expected, most - 1
        if high > low and not passes(low + 1):
            return low
    else:
        low, high = LEAST, expected - 1
        if not passes(low):
            return 0
    while low < high:
        middle = (low + high + 1) // 2
        if passes(middle):
            low = middle
        else:
            high = middle - 1
    return low


def interface_mtu(address: str) -> int:
    """MTU in bytes of the interface through which the address is reached: nothing larger leaves this host."""
    words = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=True).stdout.split()
    return int(Path("/sys/class/net", words[words.index("dev") + 1], "mtu").read_text())


def ping(address: str, size: int) -> bool:
    """Whether a packet of so many bytes, headers included, is answered; it must not be cut on its way."""
    load = size - (48 if ":" in address else 28)
    words = ["ping", "-n", "-c", str(PINGS), "-i", "0.05", "-W", "1", "-M", "do", "-s", str(load), address]
    plain = {**os.environ, "LC_ALL": "C"}
    with subprocess.Popen(words, env=plain, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if "message too long" in line:  # this host's own word; ping would wait for an answer all the same
                process.kill()
                return False
    return process.returncode == 0


def main(address: str, expected: int) -> None:
    tried: list[int] = []

    def passes(size: int) -> bool:
        tried.append(size)
        return ping(address, size)

    # One byte more than leaves this host is tried too: that it does not pass is part of the answer.
    most = max(interface_mtu(address), expected + 1)
    print(json.dumps({"largest": largest(passes, expected, most), "tries": len(tried)}))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except FileNotFoundError as error:
        sys.stderr.write(f"{error.filename}: command not found\n")
        sys.exit(127)
    except subprocess.CalledProcessError as error:
        sys.exit(error.stderr)
