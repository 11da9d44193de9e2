"""Runs on a host (python3, standard library only, as root): what its disk can do, by fio.

`python3 -I - FOLDER`, with this text as standard input. Everything happens in one new file of 1 GiB in the folder,
which loses its name as soon as it is open: nothing else is touched, and nothing stays however this ends. Prints JSON:
for each run `iops`, and the 99th percentile in ms of what it waits for.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SIZE, PIECE = 2**30, 2**24
RUN_S, RAMP_S = 8, 2

MIXED = ("--rw=randrw", "--rwmixread=70", "--iodepth=32", "--numjobs=2", "--group_reporting")
"""70 % reads, 64 requests at a time: enough for an NVMe disk to show what it can."""
RUNS = {
    "4k": ("--bs=4k", *MIXED),
    "16k": ("--bs=16k", *MIXED),  # InnoDB's page
    "commit": ("--bs=4k", "--rw=write", "--iodepth=1", "--fdatasync=1"),  # a redo log, one commit after the other
}


def fio(file: str, *options: str) -> dict[str, Any]:
    """One run of fio on the file, past the page cache; its only job's figures.

    It ends at once where nobody listens any more: sshd does not end what it started.

    Raises:
        RuntimeError: it fails; the message has its words.
    """
    words = ["fio", "--name=fortress", f"--filename={file}", f"--size={SIZE}", "--direct=1", "--ioengine=libaio"]
    listener = select.poll()
    listener.register(sys.stdout.fileno(), select.POLLERR | select.POLLHUP)
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen([*words, "--output-format=json", *options], stdout=said, stderr=said) as process:
            while process.poll() is None:
                if listener.poll(200):
                    process.kill()
                    raise RuntimeError("nobody listens any more")
        said.seek(0)
        text = said.read()
    if process.returncode != 0 or "{" not in text:
        raise RuntimeError(text.strip()[-300:] or f"fio ended with {process.returncode} with no output")
    # fio may say things before its JSON.
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]["jobs"][0]
    return found


def p99_ms(figures: dict[str, Any]) -> float:
    return float(figures["percentile"]["99.000000"]) / 1e6


def measure(file: str) -> dict[str, dict[str, float]]:
    found = {}
    for name, options in RUNS.items():
        job = fio(file, *options, "--time_based", f"--runtime={RUN_S}", f"--ramp_time={RAMP_S}")
        if name == "commit":
            found[name] = {"iops": job["write"]["iops"], "p99_ms": p99_ms(job["sync"]["lat_ns"])}
        else:
            found[name] = {
                "iops": job["read"]["iops"] + job["write"]["iops"],
                "read_p99_ms": p99_ms(job["read"]["clat_ns"]),
                "write_p99_ms": p99_ms(job["write"]["clat_ns"]),
            }
    return found


def main(folder: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < 4 * SIZE:
        raise RuntimeError(f"{folder} has {free / 2**30:.1f} GiB free; this takes 1 GiB of at least 4")
    folder_itself = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(folder_itself, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError("another run measures this disk now") from None
    handle, path = tempfile.mkstemp(prefix=".fortress-io-", dir=folder)
    Path(path).unlink()
    with open(handle, "wb", closefd=False) as file:
        # Whole, or fio would make it anew by its name; and blocks that were never written are read without the disk.
        # In pieces, so that the database's own commits do not wait behind all of it.
        for _ in range(SIZE // PIECE):
            file.write(os.urandom(PIECE))
            file.flush()
            os.fsync(handle)
    print(json.dumps(measure(f"/proc/{os.getpid()}/fd/{handle}")))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except FileNotFoundError as error:
        if error.filename != "fio":
            sys.exit(f"{error.filename}: {error.strerror}")
        sys.stderr.write("fio: command not found\n")
        sys.exit(127)
    except KeyError as error:
        sys.exit(f"fio did not say {error}")
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
