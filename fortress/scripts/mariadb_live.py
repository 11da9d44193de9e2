#!/usr/bin/python3 -I
"""Give a running MariaDB the values that its files have, where it takes them while it runs.

    mariadb-live FILE    exits 0 once it has all values of FILE, which has taken its place among the server's files,
                         and 1 where it has to be restarted for them, with the reason on standard output

Runs on the database's host (python3, standard library only), from within a push of FILE.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

RECORDS = Path("/var/lib/fortress/files")
SOCKET = "/run/mysqld/mysqld.sock"
SPECIAL = {"log_bin", "ignore_db_dirs", "optimizer_switch"}
"""Which the server shows otherwise than its files have them."""


CLUSTER = "wsrep_"
"""How the variables begin that a member of a cluster may have taken otherwise, or that make it join anew when set."""
SWITCHES = {"TRUE": "ON", "FALSE": "OFF"}
"""Which only files may have."""


class Restart(Exception):
    """Why the server must be started again."""


def keys(text: str) -> dict[str, str]:
    """What the lines of a file set."""
    found = re.findall(r"^([a-z][a-z0-9_-]*) *= *(.*)$", text, re.MULTILINE)
    return {name.replace("-", "_"): value for name, value in found}


def table() -> dict[str, str]:
    """What the server would start with, by all of its files, in its own words."""
    done = subprocess.run(
        ["mariadbd", "--user=mysql", "--help", "--verbose"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise Restart("its files cannot be read")
    _, _, rows = done.stdout.partition("\n---")
    found = [line.split(None, 1) for line in rows.splitlines()[1:] if line.strip()]
    return {row[0].replace("-", "_"): row[1].strip() if len(row) > 1 else "" for row in found}


def ask(statement: str) -> list[list[str]]:
    """Rows of the running server."""
    client = [
        "mariadb",
        "--no-defaults",
        "--protocol=socket",
        f"--socket={SOCKET}",
        "--user=root",
        "--connect-timeout=5",
    ]
    done = subprocess.run(
        [*client, "--batch", "--raw", "--skip-column-names"],
        input=statement,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise Restart(done.stderr.strip())
    return [line.split("\t") for line in done.stdout.splitlines()]


def same(one: str, other: str) -> bool:
    """Whether two values are the same, as the server's table and the server itself have them."""
    if SWITCHES.get(one, one) == SWITCHES.get(other, other):
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def quoted(value: str) -> str:
    """A value in a statement."""
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return value
    value = SWITCHES.get(value, value)
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def live(file: Path) -> list[str]:
    """Set what differs; gives the names.

    Raises:
        Restart: one needs a start of the server, which is looked at before any is set.
    """
    old = RECORDS / str(file).replace("/", "%2F") / "old"
    if not old.is_file():
        raise Restart("its file was not there before")
    before, after = keys(old.read_text(errors="replace")), keys(file.read_text(errors="replace"))
    names = {*before, *after}
    rows = ask(
        "SELECT LOWER(VARIABLE_NAME), GLOBAL_VALUE, READ_ONLY, VARIABLE_SCOPE FROM information_schema.SYSTEM_VARIABLES;"
    )
    known = {row[0]: row[1:] for row in rows if len(row) == 4}
    wanted = table()
    differing = {}
    for name in sorted(names):
        if name not in known or name in SPECIAL or name.startswith(CLUSTER) or name not in wanted:
            if before.get(name) != after.get(name):
                raise Restart(f"{name} is read at the start only")
        elif not same(wanted[name], known[name][0]):
            differing[name] = wanted[name]
    for name in differing:
        if known[name][1] != "NO" or known[name][2] == "SESSION ONLY":
            raise Restart(f"{name} is read at the start only")
    for name, value in differing.items():
        ask(f"SET GLOBAL {name} = {quoted(value)};")
    for name, value in differing.items():
        ((has,),) = ask(f"SELECT GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = '{name}';")
        if not same(value, has):
            raise Restart(f"{name} became {has} in place of {value}")
    return sorted(differing)


if __name__ == "__main__":
    try:
        changed = live(Path(sys.argv[1]))
    except Restart as why:
        print(f"MariaDB restarts: {why}")
        sys.exit(1)
    print(f"MariaDB has, without a restart: {', '.join(changed) or 'nothing new'}")
