"""What one client and one worker may take, and what `up` says of an edge that nobody answers through."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lab import api
from lab.base import topology
from lab.host import hosts
from lab.net import network
from tests.lab import traffic
from tests.lab.fortress import Fortress, Settings
from tests.lab.inside import all_up, on, until

EDGE = str(topology.HOSTS["oslo-edge"].address)
PER_CLIENT = 500
"""A quarter of the lab's edge.maxconn."""
PER_WORKER = 200
REDIRECTED = """
import http.client, sys
client = http.client.HTTPConnection(sys.argv[1], 80, timeout=60)
client.request("GET", "/notes", headers={"Host": f"{sys.argv[2]}:80"})
answer = client.getresponse()
print(answer.status, answer.headers["Location"])
"""


@contextmanager
def said_by(words: list[str]) -> Iterator[IO[str]]:
    """What a program prints that runs until its standard input ends."""
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout
        finally:
            process.stdin.close()
            process.wait(60)


def test_one_client_cannot_take_the_edge(fortress: Fortress) -> None:
    del fortress
    script = str(Path(__file__).with_name("half_sent.py"))
    attack = [*network.enter(api.current(), "operator"), sys.executable, "-I", script, EDGE, "80", "700"]
    held = []
    with said_by(attack) as counts:

        def at_the_limit() -> bool:
            held.append(int(counts.readline()))
            return held[-1] > PER_CLIENT * 0.8

        until("the client has what it gets", 60, at_the_limit)
        for _ in range(10):
            answer = traffic.ask("/")
            assert answer.ok, answer
            name = traffic.LAB_EDGE.server_name
            done = api.in_outside([sys.executable, "-I", "-c", REDIRECTED, EDGE, name])
            assert done.stdout == f"308 https://{name}/notes\n", done.stderr
            held.append(int(counts.readline()))
    assert max(held) <= PER_CLIENT, held
    print(f"held at most {max(held)} of 700")


HOLD = """
import json, pymysql, ssl, sys
tls = ssl.create_default_context(cafile="/etc/fortress/app/database-ca.pem")
password = open("/etc/fortress/app/database-password", "rb").read().rstrip()
held, error = [], 0
while len(held) < int(sys.argv[1]) and not error:
    try:
        held.append(pymysql.connect(host="10.100.0.1", user="app", password=password, database="app", ssl=tls))
    except pymysql.err.OperationalError as refused:
        error = refused.args[0]
print(json.dumps([len(held), error]), flush=True)
sys.stdin.read()
"""
ASK = """
import json, sys, urllib.request
print(json.load(urllib.request.urlopen(sys.argv[1], timeout=60))["database_host"])
"""


def test_one_worker_cannot_take_the_database(fortress: Fortress) -> None:
    address = fortress.facts()["hosts"]["fra-1"]["mesh_address"]
    hold = [*hosts.console(api.current(), topology.host("oslo-web")), "python3", "-c", HOLD, str(PER_WORKER + 50)]
    with said_by(hold) as counts:
        held, error = json.loads(counts.readline())
        # The workload itself has a few.
        assert (PER_WORKER * 0.8 < held <= PER_WORKER, error) == (True, 1226), held
        assert on("fra-1", f"python3 - http://{address}:80/", ASK) == "oslo-db"
        answer = traffic.ask("/notes", json.dumps({"text": "beside a worker that takes what it gets"}))
        assert answer.ok, answer
    until("all workers up at the edge", 60, all_up)


BREAK = """nft -f - <<'RULES'
table inet broken {
    chain output {
        type filter hook output priority filter; policy accept;
        oifname "wg0" tcp dport 80 reject with tcp reset
    }
}
RULES"""


def test_up_fails_when_nobody_answers_through_the_edge(fortress: Fortress) -> None:
    def patient(stack: Settings) -> None:
        stack["edge"] |= {"timeout_client_ms": 9000, "answers_within_s": 5}

    with fortress.changed(patient):
        on("oslo-edge", BREAK)
        try:
            done = fortress.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs")
        finally:
            on("oslo-edge", "nft delete table inet broken")
        assert done.returncode, done.stdout
        name = traffic.LAB_EDGE.server_name
        wrong = f"edge-answers: oslo-edge: https://{name}/health did not answer 200 within 5 s, last: 503"
        for line in (
            wrong,
            "oslo/oslo-web DOWN: Layer4 connection problem, Connection refused",
            "frankfurt/fra-1 DOWN: Layer4 connection problem, Connection refused",
            "frankfurt/fra-2 DOWN: Layer4 connection problem, Connection refused",
        ):
            assert line in done.stdout, done.stdout
        until("all workers up at the edge", 60, all_up)
        # What had failed is asked again, also by an `up` that changes the configuration back.
        fortress.file.write_text(fortress.original)
        said = fortress.up()
        assert "edge-drained updated" in said, said
    assert traffic.ask("/").ok
