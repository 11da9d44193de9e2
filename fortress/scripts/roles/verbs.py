"""The verbs of database_role.py."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from . import cluster, copies
from .answers import RoleServer
from .cluster import begin_again, print_saved
from .host import CONFIG, JOINED, SOCKET, RoleError, read_config, run
from .others import own_report
from .places import may_restart, role, settled
from .server import APPLY_S, USER, look, quoted, read_authorities, sql
from .service import EVERY_S, Service
from .switchover import hand_over, promote


def serve() -> None:
    """Until it is stopped."""
    service = Service(read_config())
    if service.config.cluster:
        read_authorities()
    with RoleServer(service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        while True:
            service.step()
            time.sleep(EVERY_S)


def leave() -> None:
    """Follow nobody any more, and be followed by nobody. The data stay, with the last word on who was the primary: that
    one takes the writes without copies from here on."""
    if not (shutil.which("mariadbd") and Path(SOCKET).exists()):
        return
    own = look(read_config().me) if CONFIG.exists() else None
    if JOINED.exists():
        alone = own is not None and (own.member is None or len(own.member.members) <= 1)
        if own is not None and own.member is not None and not alone and own.primary == own.server and not own.trouble:
            # What is written from now on is not to be here.
            config = read_config()
            hand_over(config, min(name for name in own.member.members if name != own.server))
        JOINED.unlink()
        if own is not None and own.member is None and not own.trouble:
            sql("SET GLOBAL wsrep_on = OFF;")
        else:
            run("systemctl", "restart", "mariadb")
        if not alone:
            return  # the others are the database, and this is a copy of it as of now
        # By what was pushed it would make a server that is no member read-only again.
        run("systemctl", "stop", "fortress-database-role", fails=True)
    if own is not None and own.primary == own.server and not own.trouble:
        sql("SET GLOBAL rpl_semi_sync_master_enabled = OFF; SET GLOBAL read_only = OFF;", APPLY_S)
    (found,) = sql(f"STOP ALL SLAVES; RESET SLAVE ALL; SELECT Host FROM mysql.global_priv WHERE User = {quoted(USER)};")
    if found:
        sql("".join(f"DROP USER {quoted(USER)}@{quoted(row['Host'])};" for row in found))


def fail(text: str) -> NoReturn:
    """End with one line."""
    sys.exit(f"database-role: {text}")


def main(words: list[str]) -> None:
    """One verb."""
    try:
        match words:
            case ["serve"]:
                serve()
            case ["state"]:
                print(json.dumps(asdict(own_report(read_config()))))
            case ["role"]:
                print(role(read_config()))
            case ["join"] | ["join", "--first"]:
                config = read_config()
                (cluster if config.cluster else copies).join(config, first="--first" in words)
            case ["may-restart", ("first" | "last") as turn]:
                if CONFIG.exists():
                    may_restart(read_config(), turn)
            case ["settled"]:
                if CONFIG.exists():
                    settled(read_config())
            case ["hand-over", to]:
                hand_over(read_config(), to)
            case ["promote"]:
                promote(read_config())
            case ["reseed"]:
                config = read_config()
                (cluster if config.cluster else copies).reseed(config)
            case ["saved"]:
                print_saved(read_config())
            case ["begin"]:
                begin_again(read_config())
            case ["leave"]:
                leave()
            case _:
                verbs = "may-restart first|last | settled | hand-over SERVER | promote | reseed | saved | begin | leave"
                fail(f"usage: serve | state | role | join [--first] | {verbs}")
    except (RoleError, OSError) as error:
        fail(str(error))
