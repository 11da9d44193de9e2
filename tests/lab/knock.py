"""Knocks at TCP ports, many at a time; standard library only.

Told by JSON on standard input (addresses, ports, seconds, at_once); prints for each address which ports let a
connection in and which refused one; the others did not answer.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from typing import Any


async def main() -> dict[str, dict[str, list[int]]]:
    """Knock everywhere."""
    told: dict[str, Any] = json.load(sys.stdin)
    found: dict[str, dict[str, list[int]]] = {address: {"open": [], "refused": []} for address in told["addresses"]}
    room = asyncio.Semaphore(told["at_once"])

    async def knock(address: str, port: int) -> None:
        async with room:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), told["seconds"])
            except ConnectionRefusedError:
                found[address]["refused"].append(port)
            except OSError:  # TimeoutError is one
                return
            else:
                found[address]["open"].append(port)
                writer.close()

    await asyncio.gather(*(knock(address, port) for port in told["ports"] for address in told["addresses"]))
    return {address: {how: sorted(ports) for how, ports in kinds.items()} for address, kinds in found.items()}


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(asyncio.run(main())))
