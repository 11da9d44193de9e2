"""Runs on a host (python3, standard library only, as root): is what lies on the data's volume encrypted?

`python3 -I - FOLDER`, with this text as standard input. Prints JSON: `device`, where the bytes lie; `luks`, whether it
begins as LUKS; `entropy`, in bits a byte, of its first data as they lie there; `same`, whether they are what the file
system reads; or `error`.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

MAGIC = b"LUKS\xba\xbe"
SECTOR, SAMPLE = 512, 1 << 16


class Unseen(Exception):
    """What could not be looked at, in a line."""


def number_of(folder: str, mounts: str) -> str:
    """The numbers of the device that is mounted there, as /proc/self/mountinfo has them (proc(5))."""
    for line in reversed(mounts.splitlines()):
        words = line.split()
        if words[4] == folder:
            return words[2]
    raise Unseen(f"nothing is mounted at {folder}")


def data_offset(header: bytes) -> int:
    """Where the data begin behind LUKS's header (cryptsetup's LUKS1 and LUKS2 on-disk formats), in bytes."""
    if int.from_bytes(header[6:8], "big") == 1:
        return int.from_bytes(header[104:108], "big") * SECTOR
    size = int.from_bytes(header[8:16], "big")
    text = header[4096:size].split(b"\0", 1)[0]
    return int(json.loads(text)["segments"]["0"]["offset"])


def entropy(data: bytes) -> float:
    """In bits a byte."""
    counts = [data.count(value) for value in range(256)]
    return -sum(count / len(data) * math.log2(count / len(data)) for count in counts if count)


def read(path: Path, offset: int, count: int) -> bytes:
    """Exactly so many bytes."""
    with path.open("rb") as file:
        file.seek(offset)
        found = file.read(count)
    if len(found) < count:
        raise Unseen(f"{path} is too short")
    return found


def look(clear: Path, lies: Path) -> dict[str, object]:
    """What lies on a device, beside what the file system on it reads."""
    header = read(lies, 0, 1 << 15)
    is_luks = header.startswith(MAGIC)
    offset = data_offset(header) if is_luks else 0
    stored = read(lies, offset, SAMPLE)
    same = stored == read(clear, 0, SAMPLE)
    return {"device": str(lies), "luks": is_luks, "entropy": round(entropy(stored), 4), "same": same}


def main(folder: str, root: Path = Path("/")) -> None:
    """Find the devices, and look."""
    try:
        block = root / "sys/dev/block" / number_of(folder, (root / "proc/self/mountinfo").read_text())
        name = block.resolve().name
        below = sorted(one.name for one in (block / "slaves").iterdir()) if (block / "slaves").is_dir() else []
        if len(below) > 1:
            raise Unseen(f"{name} lies on several devices: {' '.join(below)}")
        found = look(root / "dev" / name, root / "dev" / (below[0] if below else name))
    except (Unseen, OSError, ValueError, KeyError) as error:
        found = {"error": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
