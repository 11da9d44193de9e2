"""examples/workers for real: workers in a stack of their own join the fortress, and are destroyed alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import api
from tests.lab import traffic
from tests.lab.fortress import ROOT, EngineError, Fortress, one_more_host
from tests.lab.inside import haproxy, on, servers, until

HUBS = ("oslo-db", "oslo-edge")
HERE = '    "fra-3": ("203.0.113.23", "10.100.0.8"),\n'
"""The lab's host in place of the example's two."""

ASK = 'import urllib.request as u; print(u.urlopen("http://10.100.0.8/", timeout=5).read().decode())'


class Workers:
    """The example, on a stack of its own beside the fortress's."""

    def __init__(self, fortress: Fortress, folder: Path) -> None:
        self.project = folder / "examples" / "workers"
        shutil.copytree(ROOT / "examples" / "workers", self.project, ignore=shutil.ignore_patterns(".venv"))
        (self.project / ".venv").symlink_to(ROOT / ".venv")
        (folder / "examples" / "app").symlink_to(ROOT / "examples" / "app")
        program = self.project / "__main__.py"
        before, _, rest = program.read_text().partition('    "fra-8"')
        _, _, after = rest.partition('    "fra-9"')
        program.write_text(f"{before}{HERE}{after.partition(chr(10))[2]}")
        self.run("config", "set", "fortress", "organization/data-fortress/lab")
        password = fortress.engine("config", "get", "data-fortress:database_password").splitlines()[-1]
        self.run("config", "set", "--secret", "database_password", text=password)

    def run(self, *arguments: str, text: str = "") -> str:
        done = subprocess.run(
            [str(ROOT / "lab/pulumi.sh"), *arguments],
            env={**os.environ, **api.environment(), "LAB_PROJECT": str(self.project), "LAB_STACK": "workers"},
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise EngineError(done.stdout)
        return done.stdout

    def checks(self, verb: str) -> dict[tuple[str, str], str]:
        """What `fortress VERB` finds of this stack, by check and host."""
        tool = str(Path(sys.executable).with_name("fortress"))
        words = ["env", "-C", str(self.project), tool, verb, "--stack", "workers", "--json"]
        said = json.loads(api.in_operator(words, timeout=120).stdout)
        return {(check["name"], check["host"]): f"{check['status']} {check['detail']}" for check in said["checks"]}


def guests(fortress: Fortress) -> dict[str, str]:
    """What `drift` says of peers that are not the fortress's own, by hub; everything must hold.

    What `verify` says of them is looked at in tests/lab/test_verify.py.
    """
    done = fortress.command("drift", "--stack", "lab", "--json")
    found = json.loads(done.stdout)["checks"]
    assert [check for check in found if check["status"] != "ok"] == []
    return {check["host"]: check["detail"] for check in found if "fra-3" in f"{check['name']} {check['detail']}"}


@contextmanager
def without_workers_of_its_own() -> Iterator[None]:
    """The edge gives the fortress's own workers nothing meanwhile."""
    own = ("oslo/oslo-web", "frankfurt/fra-1", "frankfurt/fra-2")
    try:
        haproxy(";".join(f"set server {server} state maint" for server in own))
        yield
    finally:
        haproxy(";".join(f"set server {server} state ready" for server in own))


def test_workers_join_and_leave_alone(fortress: Fortress, tmp_path: Path) -> None:
    workers = Workers(fortress, tmp_path)
    guest = {"fra-3": "10.100.0.8:80"}
    with one_more_host("fra-3"), fortress.changed(lambda settings: settings["edge"].update(guests=guest)):
        workers.run("up", "--yes", "--skip-preview", "--suppress-outputs")
        try:
            answer = on("oslo-edge", f"python3 -c '{ASK}'")
            assert "fra-3" in answer, "the edge reaches the worker through the tunnel"
            assert "notes" in answer
            assert guests(fortress) == {
                hub: f"a peer pushed by workers-{hub}-peer-fra-3, of another stack or formerly of this one"
                for hub in HUBS
            }
            looked, measured = workers.checks("status"), workers.checks("verify")
            for found in (looked, measured):
                assert {host for _, host in found} == {"fra-3"}
                assert [line for line in found.items() if not line[1].startswith("ok")] == []
            assert looked["services", "fra-3"] == "ok notes, wg-quick@wg0"
            assert measured["unknown peers", "fra-3"] == "ok not of this stack, and pushed: oslo-db, oslo-edge"
            assert workers.checks("drift")
            said = fortress.up()
            # The edge's files, and the wait for what it still serves by the old ones, with its gate.
            assert re.search(r"Resources:\n +~ 2 updated\n +\d+ unchanged\n", said), said
            until("the edge has the guest up", 60, lambda: servers()["fra-3"]["status"] == "UP")
            with without_workers_of_its_own():
                assert traffic.ask("/").host == "fra-3"
        finally:
            workers.run("destroy", "--yes", "--skip-preview")
        assert on("fra-3", "ls -A /etc/wireguard; systemctl is-active notes || true") == "inactive"
        # It is gone and still stands at the edge. Verify does not ask for it: the facts have no guests.
        until("the edge has the guest down", 60, lambda: servers()["fra-3"]["status"] == "DOWN")
        assert guests(fortress) == {}
