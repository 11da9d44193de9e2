"""A client that writes into a database of several servers, and what these say: for tests of copies and of clusters."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import api
from tests.lab.fortress import Fortress, on

CLIENT, LEDGER = "oslo-web", "/opt/ledger"
STATE = "python3 -I /usr/local/lib/fortress/database_role.py state"
PATIENCE_S = 120.0


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < PATIENCE_S, what
        time.sleep(0.5)


class Writer:
    """The client with the ledger, on a worker."""

    def __init__(self) -> None:
        program = base64.b64encode(Path(__file__).with_name("ledger.py").read_bytes()).decode()
        secrets = "/etc/fortress/app/database-ca.pem /etc/fortress/app/database-password"
        on(
            CLIENT,
            f"rm -f {LEDGER}*; touch {LEDGER}; echo {program} | base64 -d >{LEDGER}.py; "
            "systemd-run --quiet --collect --unit=ledger "
            f"-p StandardOutput=append:{LEDGER}.log python3 {LEDGER}.py {LEDGER} {secrets}",
        )
        self.goes_on()

    def acknowledged(self) -> set[int]:
        return {int(line.split()[0]) for line in on(CLIENT, f"cat {LEDGER}").splitlines()}

    def goes_on(self) -> None:
        """Writes are acknowledged again."""
        before = len(self.acknowledged())
        until(lambda: len(self.acknowledged()) > before + 20, "no write is acknowledged")

    def slowly(self) -> None:
        """Fewer than twenty writes a second from here on, for what takes long: as fast as it goes takes a processor."""
        on(CLIENT, f"touch {LEDGER}.slowly")

    def stop(self) -> None:
        on(CLIENT, f"touch {LEDGER}.stop; while systemctl -q is-active ledger; do sleep 0.2; done")


def table(host: str) -> set[int]:
    return {int(line) for line in on(host, "mariadb -N -e 'SELECT n FROM app.ledger'").split()}


def takes_writes(host: str) -> bool:
    done = api.console(host, STATE)
    return done.returncode == 0 and bool(json.loads(done.stdout)["takes_writes"])


def checks(fortress: Fortress) -> dict[tuple[str, str], dict[str, Any]]:
    done = fortress.command("verify", "--stack", "lab", "--json")
    return {(check["kind"], check["host"]): check for check in json.loads(done.stdout)["checks"]}
