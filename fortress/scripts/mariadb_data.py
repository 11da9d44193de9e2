#!/usr/bin/python3 -I
"""Whether MariaDB of this host may have the data that lie here. Runs on the database's host (python3, standard library
only), for the first time as the check of its own push: before anything of MariaDB lands or is installed.

    mariadb-data may-have FOLDER [RELEASE]
                         fails where the data in FOLDER are of another release than the server that this host has or
                         would install; unless that is newer, they were shut down in order, and either a fresh backup of
                         them was restored, or RELEASE, such as 11.8, is the server's
    mariadb-data upgraded
                         has mariadb-upgrade bring the system's tables to the release of the server that runs, where
                         nobody has done it

docs/decisions/0030 has the reasons.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

RELEASE = re.compile(r"(?<![\d.])(\d{1,2})\.(\d{1,2})(?=\.)")
FLAG = re.compile(r"debian-(\d{1,2})\.(\d{1,2})\.flag")
UPGRADED = ("mariadb_upgrade_info", "mysql_upgrade_info")
"""What mariadb-upgrade and mariadb-install-db leave, of 11 and of 10."""
REDO_LOG = "ib_logfile0"
DRILLS = (".fortress-drill.json", "/var/lib/fortress-backup/drill.json")
"""How restore drills of these data went: beside them, where data-volume puts it as they leave a host; and here."""
FRESH_DAYS = 7
"""How old the backup may be that was restored last."""
DAY_S = 86_400.0
LISTS_S = 300.0
UPGRADE_S = 3600.0

Release = tuple[int, int]


class DataRefused(Exception):
    """Why the server must not have the data; the text has the cure."""


# --- the redo log -----------------------------------------------------------------------------------------------------
# As MariaDB writes it since 10.8: a header, two places for the last checkpoint, and from START on a ring of
# mini-transactions. Each is records, a byte that tells odd rounds of the ring from even ones, and a checksum.

PHYSICAL = b"Phys\0\0\0\0"
"""Of another form, or encrypted, it begins otherwise."""
CREATOR = slice(16, 48)
PLACES = (4096, 8192)
START = 12288
LONGEST = 1 << 21
"""Bytes of a mini-transaction, as MariaDB has it."""
CHECKPOINT = b"\xfa\0\0"
"""The record, with the checkpoint's number behind it, that ends a log: nothing else follows the last checkpoint of a
server that was shut down in order."""


def _crc_table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        found.append(value)
    return tuple(found)


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


@dataclass(frozen=True)
class Ring:
    """The part of a log that goes round; its bytes have numbers that only grow."""

    file: IO[bytes]
    length: int
    first: int
    """The number of its first byte."""

    def read(self, number: int, count: int) -> bytes:
        """Bytes from a number on."""
        at, found = (number - self.first) % self.length, b""
        while len(found) < min(count, self.length):
            self.file.seek(START + at)
            part = self.file.read(min(count - len(found), self.length - at))
            if not part:
                break
            found, at = found + part, 0
        return found

    def mini_transaction(self, number: int) -> bytes | None:
        """The records of the one that begins with a number; None where the log ends before it."""
        data, at = self.read(number, LONGEST), 0
        while at < len(data) and data[at] > 1:
            length = data[at] & 15 or 15 + _varint(data[at + 1 : at + 6])
            at += 1 + length
        if at == 0 or at + 5 > len(data):
            return None
        even = (number + at - self.first) // self.length % 2 == 0
        (checksum,) = struct.unpack(">I", data[at + 1 : at + 5])
        return data[:at] if data[at] == even and crc32c(data[:at]) == checksum else None


def _varint(data: bytes) -> int:
    """A number whose first bits say how many bytes it has, and which begins where those with fewer bytes end."""
    more, least = 0, 0
    while more < 4 and data and data[0] & 0x80 >> more:
        more += 1
        least += 1 << 7 * more
    if len(data) <= more:
        return LONGEST
    value = data[0] & (0xFF >> more + 1)
    for byte in data[1 : more + 1]:
        value = value << 8 | byte
    return least + value


def ended_in_order(log: Path) -> bool:
    """Whether the server that wrote a redo log was shut down, so that there is nothing to recover.

    Raises:
        DataRefused: it cannot be told.
    """
    with log.open("rb") as file:
        head = file.read(START)
        size = os.fstat(file.fileno()).st_size
        if len(head) < START or size <= START or not head.startswith(PHYSICAL):
            raise DataRefused(
                f"{log} is not as MariaDB writes it since 10.8, or encrypted, so it does not tell whether it was"
            )
        (first,) = struct.unpack(">Q", head[8:16])
        found = []
        for place in PLACES:
            (checksum,) = struct.unpack(">I", head[place + 60 : place + 64])
            if crc32c(head[place : place + 60]) == checksum:
                found.append(struct.unpack(">QQ", head[place : place + 16]))
        if not found:
            raise DataRefused(f"{log} has no checkpoint, so it does not tell whether it was")
        checkpoint, end = max(found)
        ring = Ring(file, size - START, first)
        last = CHECKPOINT + struct.pack(">Q", checkpoint)
        return (
            checkpoint == end
            and ring.mini_transaction(end) == last
            and ring.mini_transaction(end + len(last) + 5) is None
        )


# --- releases ---------------------------------------------------------------------------------------------------------


def named(text: str) -> Release | None:
    """The first release that a text names, such as 11.8 of 11.8.3-MariaDB."""
    found = RELEASE.search(text)
    return (int(found[1]), int(found[2])) if found else None


def told(release: Release) -> str:
    """As people write it."""
    return f"{release[0]}.{release[1]}"


def written_by(folder: Path) -> Release | None:
    """The newest release that had the data in a folder; None where there are no data.

    Raises:
        DataRefused: there are data, and nothing tells.
    """
    if not (folder / "ibdata1").exists() and not (folder / "mysql").is_dir():
        return None
    found = [(int(flag[1]), int(flag[2])) for each in folder.iterdir() if (flag := FLAG.fullmatch(each.name))]
    texts = [each.read_text(errors="replace") for name in UPGRADED if (each := folder / name).is_file()]
    if (log := folder / REDO_LOG).is_file():
        with log.open("rb") as file:
            texts.append(file.read(CREATOR.stop)[CREATOR].decode(errors="replace"))
    found += [release for text in texts if (release := named(text))]
    if not found:
        raise DataRefused(
            f"{folder} has data of MariaDB, and nothing there tells of which release; nothing was changed. Move them "
            "away, or use another host"
        )
    return max(found)


def servers() -> Release:
    """The release of the server that this host has, or that apt would install.

    Raises:
        DataRefused: it has none, and apt knows none.
    """
    if shutil.which("mariadbd"):
        found = named(_said("mariadbd", "--version"))
    else:
        found = _candidate()
        if found is None:
            _said("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60", "update", seconds=LISTS_S)
            found = _candidate()
    if found is None:
        raise DataRefused("this host has data of MariaDB, and apt does not tell which server it would install for them")
    return found


def _candidate() -> Release | None:
    offered = re.search(r"Candidate: (?:\d+:)?(\S+)", _said("apt-cache", "policy", "mariadb-server"))
    return named(offered[1]) if offered else None


def _said(*words: str, seconds: float = 60.0) -> str:
    environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


# --- may it -----------------------------------------------------------------------------------------------------------


def restored_days(folder: Path, now: float) -> float | None:
    """How old the backup of these data is that was restored last, in days; None where none was."""
    found = []
    for name in DRILLS:
        try:
            found.append(float(json.loads((folder / name).read_text())["ok"]["backup"]))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return (now - max(found)) / DAY_S if found else None


def may_have(folder: Path, word: str | None) -> None:
    """Whether the server may have the data in a folder. `word` is the release that a person has named for it.

    Raises:
        DataRefused: it must not.
    """
    data = written_by(folder)
    if data is None or data == (server := servers()):
        return
    these = f"the data in {folder} are of MariaDB {told(data)}, and this host's is {told(server)}"
    if data > server:
        raise DataRefused(
            f"{these}, which must not have them: there is no way back to an older release; nothing was changed. Use a "
            f"host with MariaDB {told(data)}, or move the data away and restore a backup that {told(server)} has made"
        )
    try:
        why = "" if ended_in_order(folder / REDO_LOG) else "they were not shut down in order, as after a lost machine"
    except (DataRefused, OSError) as error:
        why = str(error)
    if why:
        raise DataRefused(
            f"{these}, but {why}: an upgrade after a crash is not supported; nothing was changed. Start MariaDB "
            f"{told(data)} on them, which recovers them, and stop it in order, or restore a backup: docs/runbook.md, "
            '"The data are of another release"'
        )
    if word is not None and named(f"{word}.") == server:
        return
    days = restored_days(folder, time.time())
    if days is not None and days < FRESH_DAYS:
        return
    known = (
        "no restore drill of them is known" if days is None else f"their last restored backup is {days:.0f} days old"
    )
    raise DataRefused(
        f"{these}, from which there is no way back, and {known}; nothing was changed. Restore a backup of the last "
        f"{FRESH_DAYS} days aside while {told(data)} still serves (fortress drill), or say by "
        f'database.upgrade_to: "{told(server)}" that they may be upgraded without'
    )


def upgraded() -> str:
    """Have the system's tables of the server that runs brought to its release; says what was done.

    One that does not answer is left to what comes next, which says so.

    Raises:
        DataRefused: mariadb-upgrade failed.
    """
    socket = ["--no-defaults", "--protocol=socket", "--socket=/run/mysqld/mysqld.sock", "--user=root"]
    asked = subprocess.run(
        ["mariadb", *socket, "--connect-timeout=5", "--batch", "--skip-column-names", "--execute=SELECT VERSION()"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if asked.returncode != 0:
        return "MariaDB does not answer, so it was not asked"
    # Debian's unit begins it in the background, so it waits for that one's end; it does nothing where it was done.
    done = subprocess.run(
        ["mariadb-upgrade", *socket],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=UPGRADE_S,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr}"
    if "already upgraded" in said:
        return "the system's tables are of the server's release"
    if done.returncode != 0:
        raise DataRefused(f"mariadb-upgrade failed: {' '.join(said.split())[-500:]}. Run it as root on this host")
    return f"the system's tables were upgraded to {asked.stdout.strip()}"


def main(words: list[str]) -> None:
    """One verb."""
    try:
        match words:
            case ["may-have", folder]:
                may_have(Path(folder), None)
            case ["may-have", folder, release]:
                may_have(Path(folder), release)
            case ["upgraded"]:
                print(upgraded())
            case _:
                sys.exit("usage: mariadb-data may-have FOLDER [RELEASE] | upgraded")
    except (DataRefused, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"mariadb-data: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
