"""A standing fortress that changes: who is contacted, what a preview says, who is refused, and hosts that are lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab import api
from lab.base import processes, topology
from tests.lab import traffic
from tests.lab.fortress import Fortress, Settings, on, one_more_host, running_again, ssh_contacts, ssh_logins
from tests.lab.inside import servers

HUBS = {"oslo-db", "oslo-edge"}
UP = ("up", "--yes", "--skip-preview", "--suppress-outputs")


@dataclass(frozen=True)
class Step:
    """What a preview says of one resource. `changed` are the lines with - and +, without their indentation."""

    name: str
    action: str
    text: str
    changed: tuple[str, ...]


def steps(preview: str) -> list[Step]:
    """The resources of a `pulumi preview --diff` that do not stay as they are."""
    heads = list(re.finditer(r"^ *(?:\S{1,2} +)?[\w:]+: \((\w+)(?:\[retain\])?\)$", preview, re.M))
    ends = [head.start() for head in heads[1:]] + [preview.index("\nResources:")]
    found = []
    for head, end in zip(heads, ends, strict=True):
        text = preview[head.start() : end]
        name = re.search(r"\[urn=\S+::(\S+)\]", text)
        changed = (" ".join(line.split()) for line in text.splitlines()[1:] if re.match(r" *[-+] ", line))
        # A component that is made has no lines and no URN.
        found.append(Step(name[1] if name else "", head[1], text, tuple(changed)))
    return [step for step in found if step.action != "same"]


def summary(said: str) -> list[str]:
    """The engine's account at the end, without its marks."""
    block = said[said.rindex("\nResources:\n") :].removeprefix("\nResources:\n").split("\n\n")[0]
    return [line.strip(" ~+-") for line in block.splitlines()]


def mtu(bytes_: int) -> Callable[[Settings], object]:
    """The tunnel's MTU changed."""
    return lambda s: s["mesh"].update(mtu=bytes_)


def tunnel_mtu(host: str) -> int:
    """The MTU that a host's tunnel has now."""
    return int(on(host, "cat /sys/class/net/wg0/mtu"))


def traces(name: str) -> dict[str, str]:
    """What each host of the fortress that runs still knows of another one."""
    fact = topology.HOSTS[name]
    mesh = {"fra-1": "10.100.0.2", "fra-2": "10.100.0.5", "fra-3": "10.100.0.6"}[name]
    look = (
        f"ls /etc/wireguard/wg0.d/{name}.conf 2>/dev/null; wg show wg0 | grep -wF -e {mesh} -e {fact.address};"
        f" grep -nwF -e {mesh} -e {name} /etc/haproxy/haproxy.cfg 2>/dev/null; true"
    )
    found = {host: on(host, look) for host, state in api.hosts().items() if state.running and host != name}
    return {host: lines for host, lines in found.items() if lines}


def test_up_again_contacts_nobody(fortress: Fortress) -> None:
    before = ssh_contacts()
    assert set(before) >= set(topology.STANDARD)
    assert min(before.values()) > 10  # all that was pushed to each
    said = fortress.up()
    assert [re.sub(r"\d+ ", "", line) for line in summary(said)] == ["unchanged"]
    assert ssh_contacts() == before
    # That the count would have told: a look at a key and a login.
    logins = ssh_logins("fra-1")
    assert api.in_operator(["ssh-keyscan", "-t", "ed25519", str(topology.HOSTS["fra-1"].address)]).stdout
    assert api.ssh("fra-1", "true").returncode == 0
    told = before | {"fra-1": before["fra-1"] + 2}
    processes.until("the look and the login in the journal", 60, lambda: ssh_contacts() == told)
    assert ssh_logins("fra-1") == logins + 1


def test_mtu_changes_under_traffic(fortress: Fortress) -> None:
    before = ssh_contacts()
    with fortress.changed(mtu(1350)):
        preview = steps(fortress.preview())
        assert {step.name for step in preview} == {f"mesh-{host}-files" for host in topology.STANDARD}
        assert len(preview) == len(topology.STANDARD)
        for step in preview:
            assert step.action == "update"
            assert step.changed == ("- mtu = 1360", "+ mtu = 1350")
            assert re.findall(r"^ *~ (\S+)", step.text, re.M)[1:] == ["stdin:"]
        assert ssh_contacts() == before
        with (
            traffic.requests() as each,
            traffic.requests(keep_alive=True) as kept,
            traffic.requests("/slow?ms=300", clients=2) as slow,
            traffic.stream("fra-1") as stream,
        ):
            began = time.monotonic()
            assert summary(fortress.up())[0] == "5 updated"
            seconds = time.monotonic() - began
            assert {host: tunnel_mtu(host) for host in topology.STANDARD} == dict.fromkeys(topology.STANDARD, 1350)
            fortress.change(mtu(1360))
            assert summary(fortress.up())[0] == "5 updated"
            assert {host: tunnel_mtu(host) for host in topology.STANDARD} == dict.fromkeys(topology.STANDARD, 1360)
    print(f"up {seconds:.1f} s; each: {each}; kept: {kept}; slow: {slow}; stream: {stream}")
    for requests in (each, kept, slow):
        assert not requests.failed, requests
        assert set(requests.hosts) == {"oslo-web"}
        assert len(requests.answers) > 20
    # An edge that reloads may close a kept connection; here it has no reason to.
    assert [answer.fresh for answer in kept.answers].count(True) == 1
    assert len(stream.rounds) > 20


def add_fra_3(s: Settings) -> None:
    """Another worker in Frankfurt."""
    s["hosts"]["fra-3"] = {
        "site": "frankfurt",
        "role": "worker",
        "slot": 6,
        "address": str(topology.HOSTS["fra-3"].address),
        "memory_mb": 512,
    }


def test_a_worker_comes_and_goes(fortress: Fortress) -> None:
    with one_more_host("fra-3"):
        plain = on("fra-3", LEFTOVERS)
        before = ssh_contacts()
        with fortress.changed(add_fra_3):
            preview = steps(fortress.preview())
            assert {step.action for step in preview} == {"create", "update"}
            updates = [step for step in preview if step.action == "update"]
            assert [step.name for step in updates] == ["edge-files", "edge-drained", "hosts-answer"]
            assert updates[0].changed == ("+ server fra-3 10.100.0.6:80 tcp-ut 2s",)
            assert "[unknown]" not in updates[0].text
            # A peer's key is born on its host, so hubs' files about it are known once it is there. A worker is asked
            # once its files have landed, and the edge once its own have. Nothing else.
            new_peer = {f"mesh-{hub}-peer-fra-3" for hub in HUBS}
            gates = {"app-fra-3-healthy", "edge-drained"}
            made = {step.name for step in preview if step.action == "create"}
            assert {name for name in made if not re.match(r"(app-|mesh-)?fra-3([/-]|$)", name)} == new_peer
            assert {step.name for step in preview if "[unknown]" in step.text} == {*new_peer, *gates}
            assert ssh_contacts() == before

            began = time.monotonic()
            fortress.up()
            print(f"added in {time.monotonic() - began:.1f} s")
            after = ssh_contacts()
            assert {host for host in after if after[host] != before[host]} == {"fra-3", *HUBS}
            assert set(traces("fra-3")) == HUBS
            assert on("fra-3", LEFTOVERS) != plain
            processes.until("fra-3 up at the edge", 60, lambda: servers()["fra-3"]["status"] == "UP", every=0.2)
            # More than Oslo takes at a time goes to Frankfurt, where it is one of three; how much more there is depends
            # on how soon the clients come.
            found = traffic.burst("/slow?ms=500", 100)
            for _ in range(4):
                print(found)
                assert not found.failed
                if found.hosts["fra-3"] > 5:
                    break
                found = traffic.burst("/slow?ms=500", 100)
            assert found.hosts["fra-3"] > 5
            before = ssh_contacts()
            began = time.monotonic()
        print(f"taken out in {time.monotonic() - began:.1f} s")
        after = ssh_contacts()
        assert {host for host in after if after[host] != before[host]} == {"fra-3", *HUBS}
        assert traces("fra-3") == {}
        assert on("fra-3", LEFTOVERS) == plain


LEFTOVERS = (
    "ls -d /etc/wireguard/* /etc/nftables.d /etc/fortress /opt/* /usr/local/sbin/* /usr/local/lib/fortress"
    " /var/lib/fortress /etc/systemd/system/app.service 2>/dev/null;"
    " { ! command -v nft >/dev/null || nft -s list ruleset; }; ip -br link | cut -d ' ' -f 1;"
    " systemctl list-units --plain --no-legend 'wg-quick@*' app.service"
)
"""What a fortress puts on a host besides packages, and what stands there before: as its disk and its kernel have it."""


@contextmanager
def another_key(host: str) -> Iterator[tuple[str, str]]:
    """A host that shows another SSH key, as an impostor in its place would; gives both fingerprints, old and new."""
    on(
        host,
        "cd /etc/ssh && mkdir kept && mv ssh_host_* kept/ && ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key"
        " && systemctl restart ssh && touch /run/replaced",
    )
    try:
        files = ("kept/ssh_host_ed25519_key.pub", "ssh_host_ed25519_key.pub")
        old, new = (on(host, f"ssh-keygen -lf /etc/ssh/{file}").split()[1] for file in files)
        yield old, new
    finally:
        on(host, "cd /etc/ssh && mv kept/* . && rmdir kept && systemctl restart ssh")


def test_a_host_with_another_key_is_refused(fortress: Fortress) -> None:
    with fortress.changed(mtu(1350)), another_key("fra-2") as (old, new):
        assert old.startswith("SHA256:")
        assert old != new
        before = ssh_logins("fra-2")
        written = "find /etc /opt /usr/local /var/lib/fortress -newer /run/replaced"

        def refused(*arguments: str) -> None:
            done = fortress.pulumi(*UP, *arguments)
            assert done.returncode != 0
            assert "shows another host key than the" in done.stdout
            # A key from the settings is refused by a hook, which names its type; a learnt one by learn-host-key.
            pattern = rf"pinned  (ssh-ed25519 )?{re.escape(old)}\n +shown   (ssh-ed25519 )?{re.escape(new)}\n"
            assert re.search(pattern, done.stdout), done.stdout
            assert "raise the host's" in done.stdout
            assert ssh_logins("fra-2") == before
            assert on("fra-2", written) == ""

        refused()
        assert tunnel_mtu("fra-2") == 1360
        assert tunnel_mtu("fra-1") == 1350  # the others are none the worse
        # The way to it changes, too: the address, where its key is learnt anew; then the login, where it is not.
        on("fra-2", "ip address add 203.0.113.42/24 dev host0")
        fortress.change(lambda s: s["hosts"]["fra-2"].update(address="203.0.113.42"))
        refused()
        fortress.change(lambda s: s["hosts"]["fra-2"].update(address=str(topology.HOSTS["fra-2"].address)))
        on("fra-2", "ip address delete 203.0.113.42/24 dev host0")
        fortress.change(lambda s: s["ssh"].update(user="admin"))
        refused("--target", "**::fra-2-*")
        fortress.change(lambda s: s["ssh"].update(user="ops"))

        # With a file less, and so another key of its tunnel.
        tunnel_key = fortress.facts()["hosts"]["fra-2"]["public_key"]
        on("fra-2", "rm /etc/wireguard/wg0.key")
        fortress.change(lambda s: s["hosts"]["fra-2"].update(incarnation=2))
        began = time.monotonic()
        fortress.up()
        print(f"taken for a new machine in {time.monotonic() - began:.1f} s")
        assert tunnel_mtu("fra-2") == 1350
        assert ssh_logins("fra-2") > before
        assert "/etc/wireguard/wg0.d/mtu" in on("fra-2", written)
        assert fortress.facts()["hosts"]["fra-2"]["host_key"] == api.hosts()["fra-2"].host_key
        assert fortress.facts()["hosts"]["fra-2"]["public_key"] != tunnel_key
        fortress.check_whole()
    # With its old key it is yet another machine.
    assert fortress.facts()["hosts"]["fra-2"]["host_key"] == api.hosts()["fra-2"].host_key


@contextmanager
def logins() -> Iterator[None]:
    """Another user on each host, who logs in as `ops` does; at the end `ops` may again."""
    add = (
        "useradd -m -s /bin/bash keeper && cp -r ~ops/.ssh ~keeper/ && chown -R keeper: ~keeper/.ssh"
        " && echo 'keeper ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/keeper"
    )
    for host in topology.STANDARD:
        on(host, add)
    try:
        yield
    finally:
        for host in topology.STANDARD:
            on(host, "usermod -e '' ops")


@contextmanager
def without_keeper() -> Iterator[None]:
    """No trace of that user at the end, once the fortress is as in the project again."""
    try:
        yield
    finally:
        for host in topology.STANDARD:
            on(host, "userdel -rf keeper 2>/dev/null; rm -f /etc/sudoers.d/keeper")


def test_a_login_that_was_retired_is_dialled_no_more(fortress: Fortress) -> None:
    with without_keeper(), fortress.changed(lambda s: s["ssh"].update(user="keeper")), logins():
        preview = steps(fortress.preview())
        assert {step.action for step in preview} == {"update"}
        # Neither what a host was asked, nor a file that is made of it.
        asked = {"db-authority"} | {f"{host}-{part}" for host in topology.STANDARD for part in ("key", "facts")}
        assert not asked & {step.name for step in preview}
        gates = {"edge-drained", "db-passwords-ended"}
        gates |= {f"app-{worker}-healthy" for worker in ("oslo-web", "fra-1", "fra-2")}
        assert {step.name for step in preview if "[unknown]" in step.text} == gates, "what says only when to ask again"
        fortress.up()
        for host in topology.STANDARD:
            on(host, "usermod -e 1 ops")
        assert [re.sub(r"\d+ ", "", line) for line in summary(fortress.up())] == ["unchanged"]

        # Another machine: all goes to it again, and what it is asked, too.
        tunnel_key = fortress.facts()["hosts"]["fra-2"]["public_key"]
        on("fra-2", "rm /etc/wireguard/wg0.key")
        fortress.change(lambda s: s["hosts"]["fra-2"].update(incarnation=2))
        fortress.up()
        assert fortress.facts()["hosts"]["fra-2"]["public_key"] != tunnel_key
        fortress.check_whole()

        # One is taken out, and comes back.
        fortress.change(lambda s: s["hosts"].pop("fra-2"))
        fortress.up()
        assert on("fra-2", "ip -br link | grep -c wg0 || true") == "0"
        assert on("fra-2", "ls /etc/wireguard") == ""


def test_up_goes_on_without_hosts_that_are_lost(fortress: Fortress) -> None:
    rest = [host for host in topology.STANDARD if host != "fra-2"]
    with fortress.changed(mtu(1350)), running_again("fra-1", "fra-2"):
        api.kill("fra-2")
        began = time.monotonic()
        done = fortress.pulumi(*UP)
        print(f"up with a dead host, not marked: {time.monotonic() - began:.1f} s")
        assert done.returncode != 0
        assert re.search(r"\(mesh-fra-2-files\):\n +error: .*203\.0\.113\.22:22", done.stdout), done.stdout
        assert "203.0.113.22 does not answer SSH on port 22. If the host is lost, set `gone: true`" in done.stdout
        assert time.monotonic() - began < 120
        assert {host: tunnel_mtu(host) for host in rest} == dict.fromkeys(rest, 1350)

        def lost(s: Settings) -> None:
            s["hosts"]["fra-2"]["gone"] = True
            s["mesh"]["mtu"] = 1340
            # Would be a new file on the host that is gone.
            flow = {"source": "oslo-edge", "destination": "fra-2", "port": 9100}
            s["mesh"]["flows"] = [flow]
            what = {"data_class": "none", "purpose": "metrics", "basis": "adequacy", "review": "2028-06-30"}
            s["sovereignty"]["flows"]["metrics"] = {**flow, **what}

        fortress.change(lost)
        began = time.monotonic()
        said = fortress.up()
        print(f"up with a host that is gone: {time.monotonic() - began:.1f} s")
        assert summary(said)[0] == "5 updated", "four hosts, and the look at hosts that leave"
        assert not re.search(r"fra-2\S* (updating|deleting)|Dial", said)
        assert time.monotonic() - began < 60
        assert {host: tunnel_mtu(host) for host in rest} == dict.fromkeys(rest, 1340)

        # Another one, never marked, is taken out: nothing can be removed from it, and the cure is named.
        api.kill("fra-1")
        fortress.change(lambda s: s["hosts"].pop("fra-1"))
        done = fortress.pulumi(*UP)
        assert done.returncode != 0
        assert "fra-1 (203.0.113.21) does not answer SSH on port 22, so nothing can be removed from it." in done.stdout
        assert "with `gone: true`, run `up`, and take it out then; or run `fortress forget fra-1`" in done.stdout

        # It is forgotten; both leave the settings.
        forgotten = fortress.command("forget", "fra-1", "--stack", "lab", "--yes")
        assert forgotten.returncode == 0, forgotten.stderr

        def without(s: Settings) -> None:
            del s["hosts"]["fra-2"], s["mesh"]["flows"], s["sovereignty"]["flows"]["metrics"]

        fortress.change(without)
        began = time.monotonic()
        said = fortress.up()
        print(f"up that takes out two hosts: {time.monotonic() - began:.1f} s")
        assert time.monotonic() - began < 60
        assert "Dial" not in said
        deleted = {name for name, retained in re.findall(r"(\S+) deleted \(\S+\)(\[retain\])?", said) if not retained}
        assert deleted == {f"mesh-{hub}-peer-{host}" for hub in HUBS for host in ("fra-1", "fra-2")}
        assert traces("fra-1") == traces("fra-2") == {}
        assert traffic.ask("/").host == "oslo-web"
        # One comes back as it was, the other as a new machine.
        api.kill("fra-2", wipe=True)
        began = time.monotonic()
    print(f"both back in {time.monotonic() - began:.1f} s")
    fortress.check_whole()
    processes.until(
        "answers from Frankfurt", 30, lambda: {"fra-1", "fra-2"} < set(traffic.burst("/slow?ms=500", 90).hosts)
    )
