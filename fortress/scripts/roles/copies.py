"""Servers that copy the primary: how one joins, and how it gets the primary's data."""

from __future__ import annotations

import base64
import contextlib
import http.client
import shutil
import subprocess
import time

from .host import (
    DATA,
    JOIN_S,
    PASSWORD,
    SEEDING,
    SETTLE_S,
    NotNowError,
    RoleError,
    ServerList,
    one_at_a_time,
    pipe,
    run,
    sync,
    until,
)
from .others import ask_all, connect
from .places import place
from .server import ROW, TABLE, USER, ensure_account, follow, look, quoted, sql
from .states import ServerState, positions

STAGE = DATA / ".fortress-seed"


def join(config: ServerList, *, first: bool) -> None:
    """Take part: as the first primary, or as a copy of the server that takes the writes.

    Raises:
        RoleError: neither comes about in time, or the server has data of its own.
    """

    def part() -> str:
        own = look(config.me)
        if own.number > 0 and not own.seeding:
            return ""
        if own.trouble and not own.seeding:
            return own.trouble
        others = ask_all(config)
        states = [state for state in others.values() if isinstance(state, ServerState)]
        number = max((state.number for state in states), default=0)
        for state in states:
            if state.number == number > 0 and not state.read_only and state.primary == state.server:
                try:
                    seed(config, state.server)
                except NotNowError as error:
                    return str(error)
                return ""
        silent = [f"{name} does not answer ({state})" for name, state in others.items() if isinstance(state, str)]
        if number > 0 and any(state.number == number and state.primary == config.me for state in states):
            raise RoleError(
                f"{config.me} was the primary and its data are gone; another server has a copy: `fortress promote` it"
            )
        if number > 0:
            return "; ".join(["no server takes writes now", *silent])
        if not first:
            return "; ".join(["the first primary does not take writes yet", *silent])
        if silent:
            return "; ".join(silent)
        for state in states:
            if state.own_tables and not own.own_tables:
                raise RoleError(
                    f"{state.server} has tables and {config.me} has none: name {state.server} as database.primary"
                )
        with one_at_a_time():
            sql(f"{TABLE} {ROW.format(1, quoted(config.me))}")
        print(f"{config.me} is the first primary")
        return ""

    if not SEEDING.exists():
        until(SETTLE_S, lambda: look(config.me).trouble, "MariaDB does not answer")
        ensure_account(config)
    until(JOIN_S, part, f"{config.me} could not join")
    until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")
    own = look(config.me)
    if own.source is not None and own.primary in config.others:
        # A changed password or authority becomes known.
        with one_at_a_time():
            follow(config, own.primary)
        until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")


def seed(config: ServerList, primary: str, *, despite: bool = False) -> None:
    """Make this server a copy: the primary's data come through the tunnel, over TLS, and take the place of its own.

    What is cut may be run again at any moment: until the end SEEDING says that the data are worthless, and while they
    are being exchanged MariaDB cannot be started.

    Raises:
        RoleError: there are data of its own, the copy did not arrive whole, or MariaDB refuses it.
    """
    own = look(config.me)
    if not SEEDING.exists() and not despite:
        if own.trouble:
            raise RoleError(own.trouble)
        if own.own_tables:
            raise RoleError(
                f"{config.me} has {own.own_tables} tables of its own, which a copy of {primary} would replace: move "
                "them away, or throw them away: database_role.py reseed"
            )
    SEEDING.touch()
    sync(DATA)
    shutil.rmtree(STAGE, ignore_errors=True)
    STAGE.mkdir(mode=0o700)
    started = time.monotonic()
    size = receive(config, primary)
    run("mariadb-backup", "--prepare", f"--target-dir={STAGE}")
    position = backup_position()
    run("systemctl", "stop", "mariadb")
    run("systemctl", "mask", "--quiet", "mariadb")
    for each in DATA.iterdir():
        if each not in (SEEDING, STAGE) and each.name != "lost+found" and not each.match("debian-*.flag"):
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for each in STAGE.iterdir():
        each.rename(DATA / each.name)
    run("chown", "-R", "mysql:mysql", str(DATA))
    sync(DATA)
    run("systemctl", "unmask", "--quiet", "mariadb")
    run("systemctl", "reset-failed", "mariadb", fails=True)
    run("systemctl", "start", "mariadb")
    with one_at_a_time():
        sql(f"STOP ALL SLAVES; RESET SLAVE ALL; SET GLOBAL gtid_slave_pos = {quoted(position)};")
        follow(config, primary)
    STAGE.rmdir()
    SEEDING.unlink()
    sync(DATA)
    print(f"copied {size / 1e6:.0f} MB from {primary} in {time.monotonic() - started:.0f} s, as of {position}")


def receive(config: ServerList, primary: str) -> int:
    """The stream of the primary's data, laid out in STAGE; how many bytes it had.

    Raises:
        NotNowError: it was refused.
        RoleError: it was cut.
    """
    login = base64.b64encode(f"{USER}:".encode() + PASSWORD.read_bytes().removesuffix(b"\n")).decode()
    connection = connect(config, primary, 120)
    size = 0
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/seed", headers={"Authorization": f"Basic {login}"})
            answer = connection.getresponse()
            if answer.status != 200:
                # One whose data name it as the primary may take writes before it has the account of copies.
                raise NotNowError(f"{primary} sends no copy: {answer.read(500).decode(errors='replace').strip()}")
            with subprocess.Popen(
                ["mbstream", "-x", "-C", str(STAGE)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
            ) as unpack:
                with contextlib.suppress(BrokenPipeError):
                    while part := answer.read(1 << 18):
                        pipe(unpack.stdin).write(part)
                        size += len(part)
                    pipe(unpack.stdin).close()
                complaint = pipe(unpack.stderr).read().decode(errors="replace")
            if unpack.returncode != 0:
                raise RoleError(f"the copy cannot be laid out: {complaint.strip()[-500:]}")
        except (OSError, http.client.HTTPException) as error:
            raise RoleError(f"the copy from {primary} was cut after {size / 1e6:.0f} MB ({error!r})") from None
    return size


def backup_position() -> str:
    """The GTID position that a prepared copy is at.

    Raises:
        RoleError: it says none.
    """
    for name in ("mariadb_backup_binlog_info", "xtrabackup_binlog_info"):
        with contextlib.suppress(OSError):
            words = (STAGE / name).read_text().split()
            if len(words) >= 3 and positions(words[2]):
                return words[2]
    raise RoleError("the copy does not say at which position it is")


def reseed(config: ServerList) -> None:
    """Throw this server's data away for a copy of the primary's.

    Raises:
        RoleError: it is the primary, or no other server takes writes.
    """
    for state in ask_all(config).values():
        if isinstance(state, ServerState) and state.primary == state.server and not state.read_only:
            seed(config, state.server, despite=True)
            until(SETTLE_S, lambda: place(config), f"{config.me} did not come to its place")
            return
    raise RoleError("no other server takes the writes now, so there is nothing to copy")
