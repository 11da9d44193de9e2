"""Stack `oslo` as it stands, on stand-ins for both clouds: what changes, and what outlives what."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import api
from lab.base import topology
from lab.base.processes import until
from tests.doubles.pulumi_resource_aws import behind
from tests.doubles.pulumi_resource_openstack import behind as openstack
from tests.engine.previews import in_order, masked
from tests.lab import traffic
from tests.lab.conftest import NAME
from tests.lab.fortress import Fortress, Settings, on
from tests.unit.golden import check_golden

EDGE_NAME = "fortress.example"
FILLS_BY = 400
"""Notes by which a table or a binary log needs another piece of disk."""


class Oslo(Fortress):
    """Stack `oslo`, and where its machines are in the lab."""

    def facts(self) -> dict[str, Any]:
        """The stack's output `fortress`, from what `resources` asks for too."""
        (stack,) = (resource for resource in self._state() if resource["type"] == "pulumi:pulumi:Stack")
        facts: dict[str, Any] = stack["outputs"]["fortress"]
        return facts

    def host(self, member: str) -> str:
        """The lab's host that is a member's machine now."""
        address = self.facts()["hosts"][member]["address"]
        return next(name for name, host in topology.CLOUD.items() if str(host.address) == address)

    @property
    def edge(self) -> traffic.Edge:
        """Who is asked."""
        return traffic.Edge(self.host("oslo-edge"), EDGE_NAME)

    def resources(self) -> dict[str, dict[str, Any]]:
        """The state's resources by name."""
        return {
            resource["urn"].rsplit("::", 1)[-1]: resource
            for resource in self._state()
            if resource.get("custom") and "inputs" in resource
        }

    def _state(self) -> list[dict[str, Any]]:
        exported = self.look("stack", "export", "--show-secrets")
        found: list[dict[str, Any]] = json.loads(exported[exported.index("{\n") :])["deployment"].get("resources", [])
        return found

    def notes(self) -> list[str]:
        """Texts of the notes in the database, asked for through the edge; none while it does not answer."""
        answer = traffic.ask("/", edge=self.edge)
        return [note["text"] for note in answer.answer["notes"]] if answer.ok else []

    def write(self, text: str) -> None:
        """One more note."""
        answer = traffic.ask("/notes", json.dumps({"text": text}), edge=self.edge)
        assert answer.status in (200, 201), answer


@pytest.fixture(scope="module")
def oslo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oslo]:
    """The stack, brought up once for this file on a lab of its own; with FORTRESS_TEST_KEEP=1 that stays."""
    keep = os.environ.get("FORTRESS_TEST_KEEP") == "1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORTRESS_LAB", f"{NAME}oslo")
        if not keep:
            api.down()
        api.up([])
        found = Oslo(api.current(), tmp_path_factory.mktemp("oslo"), "oslo")
        began = time.monotonic()
        found.up()
        print(f"first up {time.monotonic() - began:.0f} s")
        yield found
        if not keep:
            api.down()


def restored(oslo: Oslo) -> None:
    """The settings of the project again, without an `up`."""
    oslo.file.write_text(oslo.original)


GOLDENS = Path(__file__).parent / "goldens"


# --- as it stands ---


def test_every_check_of_verify_holds(oslo: Oslo) -> None:
    oslo.check_whole()


def test_its_machines_are_those_of_the_settings(oslo: Oslo) -> None:
    facts = oslo.facts()
    assert sorted(facts["hosts"]) == ["fra-1.1", "fra-2.1", "oslo-db", "oslo-edge", "oslo-web.1"]
    hosts = {name: oslo.host(name) for name in facts["hosts"]}
    assert all(host.startswith("cloud-f" if name.startswith("fra-") else "cloud-o") for name, host in hosts.items())
    assert on(hosts["fra-1.1"], "hostname") == "fra-1-1"
    source, kind = on(hosts["oslo-db"], "findmnt -n -o SOURCE,FSTYPE /var/lib/mysql").split()
    assert (source.startswith("/dev/"), kind) == (True, "ext4")
    assert re.search(r"(?m)^UUID=\S+ /var/lib/mysql ext4 ", on(hosts["oslo-db"], "cat /etc/fstab"))
    database = on(hosts["oslo-web.1"], "ss -Htn state established '( dport = :3306 )' | awk '{ print $4 }' | sort -u")
    assert database == "10.100.0.1:3306", "the database is reached through the tunnel"


def test_nothing_secret_is_in_user_data(oslo: Oslo) -> None:
    for name, resource in oslo.resources().items():
        if name.endswith("-instance"):
            given = resource["inputs"].get("userData") or resource["inputs"].get("userDataBase64")
            assert given.startswith("#cloud-config\n"), name
            assert not re.search("password|secret|key|token", given.replace("ssh_pwauth", "")), name


def test_a_refresh_finds_nothing_changed_and_another_up_changes_nothing(oslo: Oslo) -> None:
    """The refresh leaves the state as it was, so the `up` is one after the first."""
    refreshed = oslo.engine("refresh", "--yes", "--skip-preview", "--suppress-outputs")
    began = time.monotonic()
    again = oslo.up()
    print(f"no change {time.monotonic() - began:.0f} s")
    for said in (refreshed, again):
        assert re.search(r"Resources:\n +\d+ unchanged\n", said), said


# --- what a preview says ---


def a_new_rule(s: Settings) -> None:
    s["ssh"].update(operators=["192.0.2.10/32", "198.51.100.77/32"])


def another_flavor(s: Settings) -> None:
    s["hosts"]["oslo-db"]["openstack"].update(flavor="v2-standard-2")


def in_place(s: Settings) -> None:
    """What changes none of the resources that another part changes, nor replaces a machine; the image is pinned."""
    a_new_rule(s)
    another_flavor(s)
    s["hosts"]["oslo-db"]["openstack"].update(image="Debian 12")
    s["database"]["volume"].update(size_gb=120)


PREVIEWS: dict[str, Any] = {
    "in-place": in_place,
    "image-unpinned": lambda s: s["hosts"]["oslo-db"]["openstack"].update(image="Debian 12", image_pinned=False),
    "generation": lambda s: s["hosts"]["fra-1"].update(generation=2),
}


@pytest.mark.parametrize("change", PREVIEWS)
def test_a_preview_shows_the_change(oslo: Oslo, change: str) -> None:
    oslo.change(PREVIEWS[change])
    try:
        check_golden(f"oslo-{change}.diff", in_order(masked(oslo.preview())), GOLDENS)
    finally:
        restored(oslo)


# --- workers come and go ---

ZONE_C = {"frankfurt-subnet-eu-central-1c", "frankfurt-routes-eu-central-1c"}
"""What the site has for the one worker in that zone."""


def test_one_more_worker_touches_hubs_and_edge_alone(oslo: Oslo) -> None:
    before = oslo.resources()
    fra_3 = {"site": "frankfurt", "role": "worker", "slot": 6, "aws": {"zone": "eu-central-1c"}}
    oslo.change(lambda s: s["hosts"].update({"fra-3": fra_3}))
    with traffic.requests(clients=2, edge=oslo.edge) as asked:
        oslo.up()
    assert not asked.failed, asked
    after = oslo.resources()
    assert {name for name in set(after) - set(before) if "fra-3.1" not in name} == ZONE_C
    changed = {name for name in before if before[name]["inputs"] != after[name]["inputs"]}
    assert changed == {"edge-files", "edge-drained"}
    oslo.check_whole()


def test_the_next_generation_takes_over_and_no_request_fails(oslo: Oslo) -> None:
    old = oslo.host("fra-1.1")
    oslo.change(lambda s: s["hosts"]["fra-1"].update(generation=2, aws={"zone": "eu-central-1a", "type": "c5.xlarge"}))
    # Oslo is out, so that each request is Frankfurt's to answer.
    on(oslo.host("oslo-web.1"), "systemctl stop app")
    try:
        with traffic.requests(clients=4, every=0.02, edge=oslo.edge) as asked:
            asked.wait("Frankfurt answers", 20, lambda answer: answer.host == "fra-1.1")
            oslo.up()
            asked.wait("the new one answers", 20, lambda answer: answer.host == "fra-1.2")
        print(asked)
    finally:
        on(oslo.host("oslo-web.1"), "systemctl start app")
    assert not [answer for answer in asked.failed if answer.began > asked.answers[0].began + 5], asked
    assert {"fra-1.1", "fra-1.2"} <= set(asked.hosts)
    assert not api.hosts()[old].running if old in api.hosts() else True
    oslo.check_whole()
    for hub in ("oslo-db", "oslo-edge"):
        files = on(oslo.host(hub), "ls /etc/wireguard/wg0.d").split()
        assert "fra-1.2.conf" in files
        assert "fra-1.1.conf" not in files
        assert on(oslo.host(hub), "wg show wg0 allowed-ips").count("10.100.0.130/32") == 1
    assert "fra-1.1" not in on(oslo.host("oslo-edge"), "cat /etc/haproxy/haproxy.cfg")


def test_a_worker_lost_without_a_refresh_can_be_removed(oslo: Oslo) -> None:
    before = oslo.resources()
    behind.lose(before["fra-3.1-machine-instance"]["id"])
    oslo.change(lambda s: s["hosts"].pop("fra-3"))
    with traffic.requests(clients=2, edge=oslo.edge) as asked:
        oslo.up()
    assert not asked.failed, asked
    assert set(oslo.resources()) == {name for name in before if "fra-3.1" not in name} - ZONE_C
    assert "fra-3.1" not in on(oslo.host("oslo-edge"), "cat /etc/haproxy/haproxy.cfg; ls /etc/wireguard/wg0.d")
    assert "fra-3.1" not in on(oslo.host("oslo-db"), "ls /etc/wireguard/wg0.d")
    oslo.check_whole()


def test_a_worker_lost_under_load_comes_back_as_its_next_generation(oslo: Oslo) -> None:
    with traffic.requests(clients=2, edge=oslo.edge) as asked:
        behind.lose(oslo.resources()["fra-2.1-machine-instance"]["id"])
        oslo.change(lambda s: s["hosts"]["fra-2"].update(generation=2))
        oslo.up()
    assert not asked.failed, asked
    assert not [name for name in oslo.resources() if "fra-2.1" in name]
    oslo.check_whole()


def test_a_worker_lost_and_seen_by_a_refresh_is_made_again(oslo: Oslo) -> None:
    lost = oslo.resources()["fra-2.2-machine-instance"]["id"]
    behind.lose(lost)
    oslo.engine("refresh", "--yes", "--skip-preview", "--suppress-outputs")
    assert "fra-2.2-machine-instance" not in oslo.resources()
    with traffic.requests(clients=2, edge=oslo.edge) as asked:
        oslo.up()
    assert not asked.failed, asked
    assert oslo.resources()["fra-2.2-machine-instance"]["id"] != lost
    oslo.check_whole()


# --- the machine of the database, and its data ---


def test_a_new_rule_reaches_all_while_another_flavor_sizes_the_database_anew(oslo: Oslo) -> None:
    before = oslo.resources()
    oslo.write("before the flavor")
    oslo.change(a_new_rule)
    oslo.change(another_flavor)
    oslo.up()
    after = oslo.resources()
    rules = {name: resource["inputs"] for name, resource in after.items() if "-ssh-" in name}
    assert {str(rule.get("remoteIpPrefix") or rule.get("cidrIpv4")) for rule in rules.values()} == {
        "192.0.2.10/32",
        "198.51.100.77/32",
    }
    for member in oslo.facts()["hosts"]:
        assert "198.51.100.77" in on(oslo.host(member), "nft list ruleset"), member
    assert after["oslo-db-machine-instance"]["id"] == before["oslo-db-machine-instance"]["id"]
    assert after["oslo-db-facts"]["inputs"]["stdin"] == "v2-standard-2"
    until("the database answers again", 60, lambda: "before the flavor" in oslo.notes())
    oslo.check_whole()


CAP_SYS_RESOURCE = 1 << 24


@pytest.mark.skipif(
    not int(Path("/proc/self/status").read_text().split("CapBnd:")[1].split()[0], 16) & CAP_SYS_RESOURCE,
    reason="root has no CAP_SYS_RESOURCE here, and the kernel grows no mounted file system without it",
)
def test_a_bigger_volume_is_grown_in_place(oslo: Oslo) -> None:
    size = "df --output=size -B1G /var/lib/mysql | tail -n 1"
    before = int(on(oslo.host("oslo-db"), size))
    volume = oslo.resources()["db-data"]["id"]
    oslo.change(lambda s: s["database"]["volume"].update(size_gb=120))
    oslo.up()
    assert oslo.resources()["db-data"]["id"] == volume
    assert int(on(oslo.host("oslo-db"), size)) > before
    assert "before the flavor" in oslo.notes()


def test_a_full_disk_stops_writes_and_loses_none(oslo: Oslo) -> None:
    """docs/runbook.md has what to do about it."""
    host, folder = oslo.host("oslo-db"), "/var/lib/mysql"

    def texts() -> set[str]:
        return set(on(host, "mariadb -N app -e 'SELECT text FROM notes'").splitlines())

    pid = on(host, "systemctl show -P MainPID mariadb")
    on(host, f"fallocate -l $(df --output=avail -B1 {folder} | tail -n 1) {folder}/ballast || true")
    written = []
    try:
        assert on(host, f"df --output=avail {folder} | tail -n 1") == "0"
        refused = False
        for number in range(FILLS_BY):
            text = f"full {number} ".ljust(400, "x")
            answer = traffic.ask("/notes", json.dumps({"text": text}), edge=oslo.edge)
            if refused := not answer.ok:
                break
            written.append(text)
        assert refused, "there was room for all of it"
        until("what is there can be read", 60, lambda: bool(oslo.notes()))
        waits = "mariadb -e 'SHOW PROCESSLIST' | grep -c 'Waiting for someone to free space'"
        assert int(on(host, waits)) >= 1
        done = oslo.command("verify", "--stack", oslo.stack, "--json")
        found = {(check["kind"], check["host"]): check for check in json.loads(done.stdout)["checks"]}
        space = found["disk_space", "oslo-db"]
        assert (space["status"], space["value"]) == ("fail", 100.0)
        assert space["detail"].startswith(f"{folder} has 0.0 GiB free of ")
    finally:
        on(host, f"rm {folder}/ballast")
    until("it writes again", 90, lambda: traffic.ask("/notes", '{"text": "with room"}', edge=oslo.edge).ok)
    assert on(host, "systemctl show -P MainPID mariadb") == pid, "it went on by itself"
    assert {"with room", *written} <= texts()


def test_the_machine_of_the_database_is_replaced_and_its_data_kept(oslo: Oslo) -> None:
    oslo.write("before the machine")
    before, host = oslo.resources(), oslo.host("oslo-db")
    key = on(host, "cat /etc/ssh/ssh_host_ed25519_key.pub")
    oslo.change(lambda s: s["hosts"]["oslo-db"]["openstack"].update(image="Debian 12", image_pinned=False))
    began = time.monotonic()
    oslo.up()
    print(f"the database's machine replaced in {time.monotonic() - began:.0f} s")
    after = oslo.resources()
    assert after["oslo-db-machine-instance"]["id"] != before["oslo-db-machine-instance"]["id"]
    assert after["db-data"]["id"] == before["db-data"]["id"]
    assert on(oslo.host("oslo-db"), "cat /etc/ssh/ssh_host_ed25519_key.pub") != key, "it is another machine"
    until("the database answers again", 60, lambda: "before the machine" in oslo.notes())
    log = on(oslo.host("oslo-db"), "journalctl -u mariadb -o cat --no-pager; cat /var/log/mysql/error.log || true")
    assert "crash recovery" not in log.lower(), "it was stopped cleanly before its machine went"
    oslo.check_whole()


def test_the_machine_of_the_database_is_lost_and_its_data_kept(oslo: Oslo) -> None:
    oslo.write("before the loss")
    oslo.change(lambda s: s["hosts"]["oslo-db"].update(gone=True))
    machine, volume = oslo.resources()["oslo-db-machine-instance"]["id"], oslo.resources()["db-data"]["id"]
    openstack.lose("coolvds-nvme-db-01")
    oslo.up("--refresh")
    oslo.change(lambda s: s["hosts"]["oslo-db"].pop("gone"))
    oslo.up()
    after = oslo.resources()
    assert after["oslo-db-machine-instance"]["id"] != machine
    assert after["db-data"]["id"] == volume
    until("the database answers again", 60, lambda: "before the loss" in oslo.notes())
    oslo.check_whole()


# --- the end ---


def test_destroy_refuses_the_protected_volume_and_says_how(oslo: Oslo) -> None:
    before = set(oslo.resources())
    # Without its preview it would delete what is not protected first.
    done = oslo.pulumi("destroy", "--yes")
    assert done.returncode != 0
    assert "db-data" in done.stdout
    assert re.search(r"protect", done.stdout)
    assert "pulumi state unprotect" in done.stdout
    assert set(oslo.resources()) == before, "nothing was destroyed"
    assert "before the machine" in oslo.notes()


def test_with_the_data_given_up_everything_goes(oslo: Oslo) -> None:
    oslo.change(lambda s: s["database"].update(keep_data=False))
    oslo.up()
    assert not [name for name, resource in oslo.resources().items() if resource.get("protect")]
    began = time.monotonic()
    oslo.engine("destroy", "--yes", "--skip-preview")
    print(f"destroy {time.monotonic() - began:.0f} s")
    assert oslo.resources() == {}
    assert not [name for name in api.hosts() if name in topology.CLOUD]
