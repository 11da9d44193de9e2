"""A writer with a ledger of its own (python3 with pymysql): runs on a worker and writes by the workload's own way.

`ledger.py FILE CA PASSWORD_FILE` inserts a number, commits, and writes the number and the time into FILE only once the
commit was acknowledged; then the next, at once or after SLOWLY_S where FILE.slowly is there, until FILE.stop is. What
fails is tried again as another number, after a connection of its own: a number that is in FILE must be in the table for
ever, one that is not may be.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]

TABLE = "CREATE TABLE IF NOT EXISTS ledger (n BIGINT PRIMARY KEY) ENGINE InnoDB"
SLOWLY_S = 0.05
"""Seconds between one write and the next while FILE.slowly is there."""


def connect(ca: str, password: str) -> Any:
    """As the example application does."""
    return pymysql.connect(
        host="127.0.0.1",
        user="app",
        password=password,
        database="app",
        ssl={"ca": ca},
        connect_timeout=2,
        read_timeout=15,
        write_timeout=15,
    )


def main(file: Path, ca: str, password: str) -> None:
    """Until it is told to stop."""
    stop, slowly = (file.with_name(f"{file.name}.{word}") for word in ("stop", "slowly"))
    number, connection = 0, None
    with file.open("a", buffering=1) as ledger:
        while not stop.exists():
            number += 1
            try:
                if connection is None:
                    connection = connect(ca, password)
                    with connection.cursor() as cursor:
                        cursor.execute("SET SESSION lock_wait_timeout = 5")
                        if number == 1:
                            cursor.execute(TABLE)
                            cursor.execute("SELECT COALESCE(MAX(n), 0) FROM ledger")
                            number += cursor.fetchone()[0]  # of an earlier writer
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO ledger VALUES (%s)", (number,))
                connection.commit()
                ledger.write(f"{number} {time.time():.3f}\n")
                if slowly.exists():
                    time.sleep(SLOWLY_S)
            except (pymysql.err.Error, OSError) as error:
                print(f"{time.time():.3f} {number} {error}", flush=True)
                if connection is not None:
                    with contextlib.suppress(pymysql.err.Error, OSError):
                        connection.close()
                connection = None
                time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text().removesuffix("\n"))
