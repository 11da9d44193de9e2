"""The mesh: a file a peer, what goes through it, and who waits for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components import Member, WireGuardMesh, WireGuardMeshArgs
from components.remote import Target, serving
from tests.components.engine import (
    LOAD,
    REMOTE,
    check_commands,
    connection,
    kinds,
    member,
    put,
    sent,
    texts,
    waits,
    without_commands,
)
from tests.doubles.pulumi_mocks import Run, run, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN
from tests.keys import wireguard_key

SYNC = "'/usr/local/lib/fortress/wireguard sync wg0'"
CHECK = "--check '/usr/local/lib/fortress/wireguard check \"$1\"'"
NFT = "--check 'nft -c -f \"$1\"'"
RELAY = (
    '\'if [ -e "$1" ]; then sysctl -q -p "$1" && /usr/local/lib/fortress/in-force sysctl "$1"; '
    "else sysctl -q -w net.ipv4.ip_forward=0; fi'"
)

PLACES = {
    "db": ("10.100.0.1", "192.0.2.11"),
    "edge": ("10.100.0.3", "2001:db8::12"),
    "fra-1": ("10.100.0.2", "203.0.113.21"),
    "fra-2": ("10.100.0.5", "203.0.113.22"),
}
FLOWS: list[dict[str, Any]] = [
    {"source": "fra-1", "destination": "db", "port": 3306},
    {"source": "edge", "destination": "fra-1", "port": 80, "open": False},
    {"source": "fra-2", "destination": "db", "port": 9000, "protocol": "udp", "open": True},
    {"source": "fra-1", "destination": "fra-2", "port": 7000, "open": True},  # neither is a hub: by way of db
]


def members(**more: Any) -> dict[str, Member]:
    return {
        name: member(name, mesh_address=inside, address=outside, public_key=wireguard_key(name), **more)
        for name, (inside, outside) in PLACES.items()
    }


def args(**more: Any) -> WireGuardMeshArgs:
    known: dict[str, Any] = {"members": members(), "hubs": ["db", "edge"], "flows": FLOWS, "mtu": 1360}
    return WireGuardMeshArgs(**{**known, **more})  # type: ignore[typeddict-item]


def mesh(preview: bool = False, **more: Any) -> Run:
    def program() -> None:
        WireGuardMesh("mesh", args(**more))

    return run(program, preview=preview)


def test_members_are_children_and_their_files_are_theirs() -> None:
    done = mesh()
    files = {
        "db": ["mtu", "peer-fra-1", "peer-fra-2", "firewall", "forwarding"],
        "edge": ["mtu", "peer-fra-1", "firewall"],
        "fra-1": ["mtu", "peer-db", "peer-edge"],
        "fra-2": ["mtu", "peer-db", "firewall"],
    }
    assert kinds(done) == {
        "mesh": ("fortress:index:WireGuardMesh", None),
        **{f"mesh-{host}": ("fortress:index:WireGuardMember", "mesh") for host in files},
        **{f"mesh-{host}-{file}": (REMOTE, f"mesh-{host}") for host, names in files.items() for file in names},
    }


def test_commands() -> None:
    def mtu(host: str) -> tuple[str, str]:
        return put("/etc/wireguard/wg0.d/mtu 0644 root:root", apply=SYNC, machine=f"{host}.1")

    def peer(host: str, other: str) -> tuple[str, str]:
        return put(f"/etc/wireguard/wg0.d/{other}.conf 0644 root:root {CHECK}", apply=SYNC, machine=f"{host}.1")

    def rules(host: str) -> tuple[str, str]:
        words = f"/etc/nftables.d/20-mesh.nft 0644 root:root {NFT}"
        return put(words, apply=LOAD, machine=f"{host}.1")

    done = mesh()
    for host in PLACES:
        check_commands(done.children(f"mesh-{host}").values(), connection(host=PLACES[host][1]))
    assert {name: text for host in PLACES for name, text in texts(done.children(f"mesh-{host}")).items()} == {
        "mesh-db-mtu": mtu("db"),
        "mesh-db-peer-fra-1": peer("db", "fra-1"),
        "mesh-db-peer-fra-2": peer("db", "fra-2"),
        "mesh-db-firewall": rules("db"),
        "mesh-db-forwarding": put("/etc/sysctl.d/60-fortress-relay.conf 0644 root:root", apply=RELAY, machine="db.1"),
        "mesh-edge-mtu": mtu("edge"),
        "mesh-edge-peer-fra-1": peer("edge", "fra-1"),
        "mesh-edge-firewall": rules("edge"),
        "mesh-fra-1-mtu": mtu("fra-1"),
        "mesh-fra-1-peer-db": peer("fra-1", "db"),
        "mesh-fra-1-peer-edge": peer("fra-1", "edge"),
        "mesh-fra-2-mtu": mtu("fra-2"),
        "mesh-fra-2-peer-db": peer("fra-2", "db"),
        "mesh-fra-2-firewall": rules("fra-2"),
    }


def test_texts() -> None:
    found = mesh(keepalive_s=20, port=51821).resources
    assert {name: sent(found[f"mesh-{name}"]) for name in ("fra-1-peer-db", "fra-1-peer-edge", "db-peer-fra-1")} == {
        # fra-2 is reached by way of the hub
        "fra-1-peer-db": f"[Peer]\n# db\nPublicKey = {wireguard_key('db')}\nAllowedIPs = 10.100.0.1/32, 10.100.0.5/32\n"
        "Endpoint = 192.0.2.11:51821\nPersistentKeepalive = 20\n",
        "fra-1-peer-edge": f"[Peer]\n# edge\nPublicKey = {wireguard_key('edge')}\nAllowedIPs = 10.100.0.3/32\n"
        "Endpoint = [2001:db8::12]:51821\nPersistentKeepalive = 20\n",
        "db-peer-fra-1": f"[Peer]\n# fra-1\nPublicKey = {wireguard_key('fra-1')}\nAllowedIPs = 10.100.0.2/32\n",
    }
    rules = {host: sent(found[f"mesh-{host}-firewall"]) for host in ("db", "edge", "fra-2")}
    openings = {host: [line.strip() for line in text.splitlines() if "accept" in line] for host, text in rules.items()}
    assert openings == {
        "db": [
            "udp dport 51821 accept  # WireGuard",
            'iifname "wg0" ip saddr { 10.100.0.5 } udp dport 9000 accept  # from fra-2',
            'iifname "wg0" oifname "wg0" ip saddr 10.100.0.2 ip daddr 10.100.0.5 tcp dport 7000 accept',
        ],
        "edge": ["udp dport 51821 accept  # WireGuard"],
        "fra-2": ['iifname "wg0" ip saddr { 10.100.0.2 } tcp dport 7000 accept  # from fra-1'],
    }
    assert "net.ipv4.ip_forward = 1" in sent(found["mesh-db-forwarding"])
    assert {sent(found[f"mesh-{host}-mtu"]) for host in PLACES} == {"mtu = 1360\n"}


def test_only_the_hosts_peers_and_addresses_that_stay_stand_in_a_file() -> None:
    """A worker's own address may change, so it stands in nobody's file."""
    for name, found in mesh().resources.items():
        if "-peer-" in name:
            assert "203.0.113." not in sent(found), name


def peers_of_a_new_worker() -> Run:
    """A preview in which fra-2 is new: its key and its address are not known yet."""

    def program() -> None:
        key = local.Command("key", create="date")
        place = local.Command("place", create="date")
        known = members()
        known["fra-2"] = {**known["fra-2"], "public_key": key.stdout, "address": place.stdout}
        WireGuardMesh("mesh", args(members=known))

    return run(program, preview=True)


def test_a_new_worker_hides_nobody_elses_text() -> None:
    done, standing = peers_of_a_new_worker(), mesh()
    own = set(done.children("mesh-fra-2"))
    unknown = {name for name, found in done.resources.items() if found.inputs.get("stdin") is UNKNOWN}
    assert unknown == {"mesh-db-peer-fra-2"}, "the one file that holds its key"
    for name, found in standing.resources.items():
        if found.type == REMOTE and name not in unknown | own:
            assert done.resources[name].inputs == found.inputs, name
    assert set(done.resources) == set(standing.resources) | {"key", "place"}


def test_a_hub_whose_address_is_unknown_leaves_its_endpoint_unknown() -> None:
    def program() -> None:
        place = local.Command("place", create="date")
        known = members()
        known["db"] = {**known["db"], "address": place.stdout}
        WireGuardMesh("mesh", args(members=known))

    done = run(program, preview=True)
    unknown = {name for name, found in done.resources.items() if found.inputs.get("stdin") is UNKNOWN}
    assert unknown == {"mesh-fra-1-peer-db", "mesh-fra-2-peer-db"}


def test_each_file_waits_for_the_keys_in_it_and_for_nothing_else_of_the_mesh() -> None:
    def program() -> None:
        keys = {name: local.Command(f"key-{name}", create="date") for name in PLACES}
        known = {name: Member(**{**one, "public_key": keys[name].stdout}) for name, one in members().items()}
        WireGuardMesh("mesh", args(members=known))

    done = run(program, stdout=wireguard_key)
    for host in PLACES:
        for name, needed in waits(done.children(f"mesh-{host}")).items():
            other = name.partition("-peer-")[2]
            assert needed == ({f"key-{other}"} if other else set()), name


def test_children_wait_for_what_the_mesh_waits_for() -> None:
    def program() -> None:
        gate = local.Command("gate", create="true")
        WireGuardMesh("mesh", args(), pulumi.ResourceOptions(depends_on=[gate]))

    done = run(program)
    commands = [found for found in done.below("mesh").values() if found.type == REMOTE]
    assert len(commands) == 14
    assert all(found.waits == {"gate"} for found in commands)


def test_a_member_is_what_a_service_waits_for() -> None:
    def program() -> None:
        mesh = WireGuardMesh("mesh", args())
        local.Command("service", create="true", opts=pulumi.ResourceOptions(depends_on=[mesh.parts["fra-1"]]))

    assert run(program).resources["service"].waits == {f"mesh-fra-1-{file}" for file in ("mtu", "peer-db", "peer-edge")}


@pytest.mark.parametrize("preview", [True, False])
def test_what_serves_on_a_host_of_the_mesh_waits_for_its_part(preview: bool) -> None:
    def program() -> None:
        gate = local.Command("gate", create="true")
        mesh = WireGuardMesh("mesh", args())
        member = mesh.member("fra-1")
        assert {**member, "in_mesh": ""} == {**members()["fra-1"], "in_mesh": ""}
        target: Target = {"member": member, "private_key": None}
        local.Command("packages", create=target["member"]["host_key"])
        for name, waiting in (("service", serving(target)), ("later", serving(target, gate.stdout))):
            local.Command(name, create=waiting["member"]["host_key"])
        with pytest.raises(ValueError, match=r'^WireGuardMesh "mesh": members: \'fra-9\' is not a member; known: db, '):
            mesh.member("fra-9")

    found = run(program, preview=preview).resources
    part = {f"mesh-fra-1-{file}" for file in ("mtu", "peer-db", "peer-edge")}
    assert [found[name].waits for name in ("packages", "service", "later")] == [set(), part, part | {"gate"}]
    for name in ("packages", "service"):
        assert found[name].inputs["create"] == members()["fra-1"]["host_key"], "known before there is a mesh"


def test_a_member_that_is_gone_is_left_alone_and_the_others_are_not() -> None:
    known = members()
    known["fra-2"] = {**known["fra-2"], "gone": True}
    done, standing = mesh(members=known), mesh()
    for name, found in done.below("mesh").items():
        gone = name == "mesh-fra-2" or name.startswith("mesh-fra-2-")
        assert found.retain_on_delete is gone, name
        held = ("connection", "create", "delete", "stdin") if gone and found.type == REMOTE else ()
        assert found.ignore_changes == held, name
        before = standing.resources[name]
        assert found.inputs == (without_commands(before) if gone else before.inputs), name


def test_nothing_but_connections_is_secret() -> None:
    for name, found in mesh(private_key="PRIVATE").resources.items():
        assert secret_paths(found.inputs) == ({"connection"} if found.type == REMOTE else set()), name


def test_numbers_that_arrive_as_floats_are_written_whole() -> None:
    floats = mesh(mtu=1300.0, port=51821.0, keepalive_s=20.0)
    assert floats.resources == mesh(mtu=1300, port=51821, keepalive_s=20).resources
    assert sent(floats.resources["mesh-db-mtu"]) == "mtu = 1300\n"


def test_ports_of_flows_that_arrive_as_floats_are_written_whole() -> None:
    floats: list[Mapping[str, Any]] = [{**flow, "port": float(flow["port"])} for flow in FLOWS]
    assert mesh(flows=floats).resources == mesh().resources


def test_hubs_of_another_stacks_mesh_get_files_for_peers_and_nothing_else() -> None:
    flows = [
        {"source": "fra-1", "destination": "db", "port": 3306},
        {"source": "edge", "destination": "fra-1", "port": 80},
        {"source": "edge", "destination": "db", "port": 9000},  # between two of theirs
    ]
    done = mesh(flows=flows, elsewhere=["db", "edge"])
    files = {host: set(done.children(f"mesh-{host}")) for host in PLACES}
    assert files == {
        "db": {"mesh-db-peer-fra-1"},
        "edge": {"mesh-edge-peer-fra-1"},
        "fra-1": {"mesh-fra-1-mtu", "mesh-fra-1-peer-db", "mesh-fra-1-peer-edge"},
        "fra-2": {"mesh-fra-2-mtu"},
    }
    whole = mesh(flows=flows)
    for name in files["db"] | files["edge"] | files["fra-1"]:
        assert done.resources[name] == whole.resources[name], name


@pytest.mark.parametrize(
    ("flows", "elsewhere", "said"),
    [
        ([], ["db", "oslo"], r"WireGuardMesh \"mesh\": elsewhere: oslo is not a member; known: db, edge, fra-1, fra-2"),
        ([FLOWS[3]], ["db"], "would open the firewall of db"),  # over the hub
        ([{"source": "fra-1", "destination": "edge", "port": 1, "open": True}], ["edge"], "would open the firewall of"),
    ],
)
def test_what_would_change_more_of_another_stacks_mesh_is_refused(
    flows: list[dict[str, Any]], elsewhere: list[str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        mesh(flows=flows, elsewhere=elsewhere)
