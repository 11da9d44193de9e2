"""`fortress report` and `fortress record` of the fortress in the lab: they have what was measured, and what stands."""

from __future__ import annotations

import hashlib
import json
import re
from html import unescape
from pathlib import Path

from fortress.cli.check import history
from fortress.cli.check.check import Status
from tests.lab.fortress import Fortress, ssh_logins


def test_the_page_holds_what_was_measured(fortress: Fortress, tmp_path: Path) -> None:
    page = tmp_path / "lab.html"
    before = len(history.kept("lab", fortress.project))
    hosts = ("oslo-db", "oslo-edge", "oslo-web", "fra-1", "fra-2")
    logins = {host: ssh_logins(host) for host in hosts}
    for times in range(1, 4):
        done = fortress.command("report", "--stack", "lab", "-o", str(page))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        runs = history.kept("lab", fortress.project)
        assert len(runs) == before + times
        assert {host: ssh_logins(host) - logins[host] for host in hosts} == dict.fromkeys(hosts, times)
        if all(check.status is Status.OK for check in runs[-1].checks if check.name.startswith("round trip ")):
            break  # else the machine was busy, and tunnels took longer than they may

    # Without the hosts the same is there, as an object.
    kept = fortress.command("report", "--stack", "lab", "--kept", "--json")
    assert kept.returncode == 0, kept.stderr
    found = json.loads(kept.stdout)
    assert found["measured"] == runs[-1].when
    assert set(found["hosts"]) == set(hosts)
    workers = ("oslo-web", "fra-1", "fra-2")
    assert {(link["source"], link["target"], link["tunnel"], link["flow"]) for link in found["links"]} == {
        *(("oslo-edge", worker, "ok", "ok") for worker in workers),
        *((worker, "oslo-db", "ok", "ok") for worker in workers),
    }
    (trip,) = [
        check for check in found["checks"] if (check["name"], check["host"]) == ("round trip to oslo-db", "fra-2")
    ]
    assert 20 <= trip["value"] <= 30

    text = unescape(page.read_text())
    row = re.search(r">round trip to oslo-db</th>\s*<td[^>]*>fra-2</td>\s*<td[^>]*>([^<]*)</td>", text)
    assert row
    # As people write it: the object's 23.0 is 23 ms on the page.
    assert row[1] == f"{trip['value']:g} ms"
    held = sum(check["status"] == "ok" for check in found["checks"])
    assert f"{held} of {len(found['checks'])} checks hold</title>" in text
    # The last `up`, by the engine's own record: every host got its files by it or by one before.
    up = found["up"]
    assert up["result"] == "succeeded"
    assert up["counts"]
    assert re.search(rf"<dt>result</dt><dd>{up['result']}</dd>", text)


def test_the_record_is_that_of_the_state(fortress: Fortress, tmp_path: Path) -> None:
    done = fortress.command("record", "--stack", "lab", "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = json.loads(done.stdout)
    assert (found["ok"], found["undeclared"]) == (True, [])
    record = found["record"]
    exported = fortress.look("stack", "export")
    exported = exported[exported.index("{\n") :]
    assert record["state"]["sha256"] == hashlib.sha256(exported.encode()).hexdigest()
    measures = {entry["key"]: entry["values"] for entry in record["measures"]["entries"]}
    assert measures["database_tls"] == ["refuses connections without TLS"]
    assert measures["firewall"] == ["drops what nothing allows, on 5 of 5 hosts"]
    assert ["fra-1", "oslo-db", "tcp/3306", "frankfurt-database"] in [
        [one[key] for key in ("source", "destination", "port", "flow")] for one in record["connections"]
    ]
    earlier = tmp_path / "record.json"
    earlier.write_text(done.stdout)
    since = fortress.command("record", "--stack", "lab", "--since", str(earlier))
    assert (since.returncode, since.stdout.splitlines()[-1]) == (0, "Nothing changed.")
