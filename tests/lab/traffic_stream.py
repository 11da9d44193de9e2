"""On a worker, as root: one session with the database that carries the same bytes there and back, a line a round.

Run by traffic.py on the host's own Python with PyMySQL, as the workload runs; ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import select
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pymysql  # type: ignore[import-untyped]

ROUND_BYTES = 64 * 1024
PAUSE_S = 0.05


def main() -> None:
    """Talk until standard input ends; an error ends it too, and is the last line."""
    unit = subprocess.run(["systemctl", "show", "-P", "Environment", "app"], capture_output=True, text=True, check=True)
    of = dict(word.split("=", 1) for word in unit.stdout.split())
    session = pymysql.connect(
        host=of["FORTRESS_DATABASE_ADDRESS"],
        port=int(of["FORTRESS_DATABASE_PORT"]),
        user=of["FORTRESS_DATABASE_USER"],
        password=Path("/etc/fortress/app/database-password").read_text().rstrip("\n"),
        ssl=ssl.create_default_context(cafile=of["FORTRESS_DATABASE_CA"]),
        connect_timeout=10,
        read_timeout=60,
        write_timeout=60,
    )
    with session.cursor() as cursor:
        while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
            sent = os.urandom(ROUND_BYTES // 2).hex()
            began = time.monotonic()
            cursor.execute("SELECT CONNECTION_ID(), %s", (sent,))
            number, received = cursor.fetchone()
            if received != sent:
                raise ValueError("other bytes came back")
            told = {"began": began, "seconds": time.monotonic() - began, "bytes": 2 * len(sent), "session": number}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - whatever ends the stream is what the test wants to know
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
