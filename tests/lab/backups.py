"""What is stored of the database's backups, and how long that may take."""

from __future__ import annotations

import time

from tests.lab.fortress import Fortress, Settings
from tests.lab.verbs import asked

STORED_WITHIN_S = 60.0
"""The promise: what is committed is stored elsewhere within a minute."""
FIRST_RUN_S = 240.0
"""Until the first backup is taken, read back and tried."""
VAULT = "/srv/vault"
"""Folder of the host that makes the backups, in place of a mount of another machine."""


def backed_up(settings: Settings) -> None:
    """Into VAULT, by one of the database's servers."""
    register = settings["sovereignty"]
    settings["sites"]["vault"] = {**settings["sites"]["oslo"], "operator": "Another operator"}
    register["operators"]["Another operator"] = register["operators"][settings["sites"]["oslo"]["operator"]]
    register["data_sets"]["customers"]["backups_at"] = ["vault"]
    settings["database"]["backup"] = {"site": "vault", "directory": VAULT, "ship_every_s": 5}


def newest_point(fortress: Fortress) -> float:
    """The last moment that can be restored, in seconds since 1970."""
    return float(asked(fortress, "backups")["points"][-1][1])


def wait_until_stored(fortress: Fortress, at: float) -> float:
    """Wait until all of a moment can be restored; gives how long it took."""
    while newest_point(fortress) < at:
        assert time.time() - at < STORED_WITHIN_S
        time.sleep(0.2)
    return time.time() - at
