"""Holds connections with half a request each and opens another one for each that is closed; standard library only.

Started with an address, a port and how many at a time; prints how many are open for a second or longer, twice a second.
Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from contextlib import suppress


async def hold(address: str, port: int, began: dict[int, float], number: int) -> None:
    """Keep one connection for as long as the other side does, again and again."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(address, port)
            began[number] = time.monotonic()
            with suppress(OSError):
                writer.write(b"GET / HTTP/1.1\r\nHost: ")
                await reader.read()
            del began[number]
            writer.transport.abort()
        await asyncio.sleep(0.5)


async def main() -> None:
    """Hold as many as told."""
    began: dict[int, float] = {}
    clients = [
        asyncio.create_task(hold(sys.argv[1], int(sys.argv[2]), began, number)) for number in range(int(sys.argv[3]))
    ]
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not ended.done():
        await asyncio.sleep(0.5)
        print(sum(time.monotonic() - since >= 1 for since in began.values()), flush=True)
    for client in clients:
        client.cancel()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main())
