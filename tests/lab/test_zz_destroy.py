"""Destroying the fortress and raising it again. Last of all, since it takes away what the other tests stand on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from lab import api
from tests.lab import traffic
from tests.lab.fortress import Fortress
from tests.lab.inside import HOSTS, all_up, each, found, holding, on, private_keys, processes, until

UNITS = "app haproxy mariadb wg-quick@wg0 nftables"
PROGRAMS = "haproxy|mariadbd|wireguard-go|fortress-push"

PUSHED = """
import hashlib, json, pathlib
def state(path):
    file = pathlib.Path(path)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None
records = pathlib.Path("/var/lib/fortress/files").iterdir()
# Before the fortress: what it kept of that. Later: what stands there now.
print(json.dumps({(r / "path").read_text().rstrip(): state(r / "original") for r in records}))
"""
NOW = """
import hashlib, json, pathlib, sys
def state(path):
    file = pathlib.Path(path)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None
print(json.dumps({path: state(path) for path in json.load(sys.stdin)}))
"""
LEFT = f"""
find / -xdev -path /var/lib/mysql -prune -o \\
    '(' -name '*fortress*' -o -path '/etc/wireguard/*' -o -path '/etc/nftables.d/*' -o -path '/opt/app*' ')' -print
ls /run | grep fortress | grep -v '^fortress-mariadb-.*[.]lock$' # empty, in memory; to remove a lock is to break it
ip -o link show dev wg0 2>/dev/null
nft -s list ruleset
pgrep -a '^({PROGRAMS})'
pgrep -af '[p]ython3 /opt/app'
ss -Hltn | grep -v ':22 '
for unit in {UNITS}; do
    printf '%s: %s %s\\n' "$unit" "$(systemctl is-active "$unit")" "$(systemctl is-enabled "$unit" 2>/dev/null)"
done | grep -v -e ': inactive disabled$' -e ': inactive $' -e ': inactive not-found$'
find /etc/systemd -xtype l
systemctl --failed --plain --no-legend
sysctl -n net.ipv4.ip_forward | grep -v 0
true
"""
KEYS = "ls -d /etc/ssl/private/site.pem /etc/mysql/fortress /etc/wireguard/* 2>/dev/null || true"


def notes() -> list[str]:
    """Texts of the notes in the fortress, asked for from outside."""
    until("the workers up at the edge", 60, all_up)
    answer = traffic.ask("/")
    assert answer.ok, answer
    return [note["text"] for note in answer.answer["notes"]]


def write(text: str) -> None:
    """Write a note, from outside."""
    until("the workers up at the edge", 60, all_up)
    answer = traffic.ask("/notes", json.dumps({"text": text}))
    assert answer.ok, answer


@pytest.fixture
def _raised_again(fortress: Fortress) -> Iterator[None]:
    """Whatever happens, the fortress stands at the end as Pulumi.lab.yaml says."""
    try:
        yield
    finally:
        fortress.restore()


def destroy(fortress: Fortress) -> float:
    """`pulumi destroy`; gives the seconds that it took."""
    began = time.monotonic()
    fortress.engine("destroy", "--yes", "--skip-preview")
    return time.monotonic() - began


@pytest.mark.usefixtures("_raised_again")
def test_destroy_leaves_nothing_but_the_data_and_up_finds_that(fortress: Fortress) -> None:
    write("written before the first destroy")
    before = {host: json.loads(said) for host, said in each("python3 -", PUSHED).items()}
    assert all("/etc/nftables.conf" in files for files in before.values())
    keys = private_keys()
    assert all(each(LEFT).values())  # or this would not see anything that is left

    took = destroy(fortress)
    after = {host: json.loads(on(host, f"python3 -c '{NOW}'", json.dumps(list(before[host])))) for host in HOSTS}
    assert after == before  # packages' own files as they were, ours gone
    assert each(LEFT) == dict.fromkeys(HOSTS, "")
    assert each(KEYS) == dict.fromkeys(HOSTS, "")
    assert "app" in on("oslo-db", "ls /var/lib/mysql").split()
    assert all(api.ssh(host, "sudo true").returncode == 0 for host in HOSTS)
    stack = json.loads(fortress.engine("stack", "export").partition("\n{")[2].join(("{", "")))
    assert [resource["urn"] for resource in stack["deployment"].get("resources", [])] == []

    began = time.monotonic()
    with processes() as seen:
        log = fortress.up()
    print(f"destroy {took:.0f} s, up {time.monotonic() - began:.0f} s")
    assert "written before the first destroy" in notes()
    fresh = private_keys()
    assert all(any("wireguard start wg0" in line for line in lines) for lines in seen.commands.values())
    known = {**keys, **{f"new {name}": key for name, key in fresh.items()}}
    wireguard = [name for name in keys if name.endswith("wg0.key")]
    assert len(wireguard) == len(HOSTS)
    assert all(fresh[name] != keys[name] for name in wireguard)
    assert (found(log, known), found(str(seen), known), holding(fortress.lab.state, known)) == ([], [], [])


@pytest.mark.usefixtures("_raised_again")
def test_destroy_takes_the_data_too_when_told(fortress: Fortress) -> None:
    fortress.change(lambda s: s["database"].update(keep_data=False))
    fortress.up()
    write("written before the second destroy")
    took = destroy(fortress)
    assert "app" not in on("oslo-db", "ls /var/lib/mysql").split()
    assert on("oslo-db", "grep -rlF 'written before the' /var/lib/mysql /var/log/mysql || true") == ""
    assert each(LEFT) == dict.fromkeys(HOSTS, "")
    fortress.file.write_text(fortress.original)
    began = time.monotonic()
    fortress.up()
    print(f"destroy {took:.0f} s, up {time.monotonic() - began:.0f} s")
    write("written into a new database")
    assert notes() == ["written into a new database"]
