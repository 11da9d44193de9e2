"""The package repository inside the lab: plain HTTP from the Oslo router, reachable from both sites."""

from __future__ import annotations

import sys
from functools import partial

from lab.base import cgroups, processes
from lab.base.commands import succeeds
from lab.base.folders import Lab
from lab.base.topology import OSLO, REPOSITORY
from lab.image import images
from lab.net import network


def standing(lab: Lab) -> bool:
    """Whether the server runs."""
    return processes.alive(lab.pid_file("repository")) is not None


def _listens(lab: Lab) -> bool:
    listeners = ["sh", "-c", f"ss -Hltn 'src {REPOSITORY} and sport = 80' | grep -q ."]
    return succeeds([*network.enter(lab, OSLO.name), *listeners])


def up(lab: Lab) -> None:
    """Serve the cached repository. HTTP/1.1, since apt then sends its requests ahead of the answers over the link."""
    down(lab)
    command = [
        *cgroups.inside(lab, "repository"),
        *network.enter(lab, OSLO.name),
        *(sys.executable, "-I", "-m", "http.server", "80", "--bind", str(REPOSITORY), "--protocol", "HTTP/1.1"),
        *("--directory", str(images.repository(lab.release))),
    ]
    processes.spawn(command, lab.pid_file("repository"), lab.log("repository"))
    processes.until("the package repository", 15, partial(_listens, lab), every=0.05)


def down(lab: Lab) -> None:
    """Stop serving."""
    processes.end(lab.pid_file("repository"))
    cgroups.kill(cgroups.of(lab, "repository"))
