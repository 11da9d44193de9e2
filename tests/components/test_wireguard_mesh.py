"""The mesh: a file a peer, what goes through it, and who waits for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components import Member, WireGuardMesh, WireGuardMeshArgs
from components.remote import Target, serving
from tests.components import engine
from tests.components.engine import (
    REMOTE,
    check_commands,
    connection,
    files,
    kinds,
    member,
    put,
    sent,
    texts,
    together,
    waits,
    without_commands,
)
from tests.doubles.pulumi_mocks import Registration, Run, run, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN
from tests.keys import wireguard_key

LOAD = engine.LOAD.strip("'")
SYNC = "/usr/local/lib/fortress/wireguard sync wg0"
CHECKED = '/usr/local/lib/fortress/wireguard check "$1"'
CHECK = f"--check '{CHECKED}'"
RELAY = (
    'if [ -e "$1" ]; then sysctl -q -p "$1" && /usr/local/lib/fortress/in-force sysctl "$1"; '
    "else sysctl -q -w net.ipv4.ip_forward=0; fi"
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


def part(done: Run, host: str) -> dict[str, Registration]:
    """What a host has of the mesh."""
    return {name: found for name, found in done.children("mesh").items() if name.startswith(f"mesh-{host}-")}


def test_the_files_of_each_host_are_children() -> None:
    done = mesh()
    parts = {
        "db": ["files", "peer-fra-1", "peer-fra-2"],
        "edge": ["files", "peer-fra-1"],
        "fra-1": ["files"],
        "fra-2": ["files"],
    }
    assert kinds(done) == {
        "mesh": ("fortress:index:WireGuardMesh", None),
        **{f"mesh-{host}-{file}": (REMOTE, "mesh") for host, names in parts.items() for file in names},
    }


def test_states_from_when_each_host_had_a_component_of_its_own_are_taken_over() -> None:
    done = mesh()
    (kind, _) = done.resources["mesh"].urn.rsplit("::", 1)
    for host in PLACES:
        for name, found in part(done, host).items():
            assert found.aliases == (f"{kind}$fortress:index:WireGuardMember::mesh-{host}",), name


MTU, FRAGMENT = "/etc/wireguard/wg0.d/mtu", "/etc/nftables.d/20-mesh.nft"
FORWARDING = "/etc/sysctl.d/60-fortress-relay.conf"


def peer(other: str) -> str:
    return f"/etc/wireguard/wg0.d/{other}.conf"


def test_commands() -> None:
    """A peer that dials the host is a file of its own, since it comes and goes; all else is put together."""

    def alone(host: str, other: str) -> tuple[str, str]:
        return put(f"{peer(other)} 0644 root:root {CHECK}", apply=f"'{SYNC}'", machine=f"{host}.1")

    done = mesh()
    for host in PLACES:
        check_commands(part(done, host).values(), connection(host=PLACES[host][1]))
    assert {name: text for host in PLACES for name, text in texts(part(done, host)).items()} == {
        "mesh-db-files": together({MTU: SYNC, FRAGMENT: LOAD, FORWARDING: RELAY}, machine="db.1"),
        "mesh-db-peer-fra-1": alone("db", "fra-1"),
        "mesh-db-peer-fra-2": alone("db", "fra-2"),
        "mesh-edge-files": together({MTU: SYNC, FRAGMENT: LOAD}, machine="edge.1"),
        "mesh-edge-peer-fra-1": alone("edge", "fra-1"),
        "mesh-fra-1-files": together(dict.fromkeys((MTU, peer("db"), peer("edge")), SYNC), machine="fra-1.1"),
        "mesh-fra-2-files": together({MTU: SYNC, peer("db"): SYNC, FRAGMENT: LOAD}, machine="fra-2.1"),
    }
    how = {
        path: (put.mode, put.owner, put.check, put.apply, put.unit)
        for host in PLACES
        for path, (put, _) in files(done.resources[f"mesh-{host}-files"]).items()
    }
    assert how == {
        MTU: ("0644", "root:root", None, SYNC, None),
        **dict.fromkeys((peer("db"), peer("edge")), ("0644", "root:root", CHECKED, SYNC, None)),
        FRAGMENT: ("0644", "root:root", 'nft -c -f "$1"', LOAD, None),
        FORWARDING: ("0644", "root:root", None, RELAY, None),
    }


def landing(done: Run, host: str, path: str) -> str:
    """The text that lands at a path, where it is put together with others."""
    return files(done.resources[f"mesh-{host}-files"])[path][1]


def test_texts() -> None:
    done = mesh(keepalive_s=20, port=51821)
    assert {
        "fra-1-peer-db": landing(done, "fra-1", peer("db")),
        "fra-1-peer-edge": landing(done, "fra-1", peer("edge")),
        "db-peer-fra-1": sent(done.resources["mesh-db-peer-fra-1"]),
    } == {
        # fra-2 is reached by way of the hub
        "fra-1-peer-db": f"[Peer]\n# db\nPublicKey = {wireguard_key('db')}\nAllowedIPs = 10.100.0.1/32, 10.100.0.5/32\n"
        "Endpoint = 192.0.2.11:51821\nPersistentKeepalive = 20\n",
        "fra-1-peer-edge": f"[Peer]\n# edge\nPublicKey = {wireguard_key('edge')}\nAllowedIPs = 10.100.0.3/32\n"
        "Endpoint = [2001:db8::12]:51821\nPersistentKeepalive = 20\n",
        "db-peer-fra-1": f"[Peer]\n# fra-1\nPublicKey = {wireguard_key('fra-1')}\nAllowedIPs = 10.100.0.2/32\n",
    }
    rules = {host: landing(done, host, FRAGMENT) for host in ("db", "edge", "fra-2")}
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
    assert "net.ipv4.ip_forward = 1" in landing(done, "db", FORWARDING)
    assert {landing(done, host, MTU) for host in PLACES} == {"mtu = 1360\n"}


def test_only_the_hosts_peers_and_addresses_that_stay_stand_in_a_file() -> None:
    """A worker's own address may change, so it stands in nobody's file."""
    for name, found in mesh().resources.items():
        if found.type == REMOTE:
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
    own = set(part(done, "fra-2"))
    unknown = {name for name, found in done.resources.items() if found.inputs.get("stdin") is UNKNOWN}
    assert unknown == {"mesh-db-peer-fra-2"}, "the one file that holds its key"
    for name, found in standing.resources.items():
        if found.type == REMOTE and name not in unknown | own:
            assert done.resources[name].inputs == found.inputs, name
    assert set(done.resources) == set(standing.resources) | {"key", "place"}


def test_a_hub_whose_address_is_unknown_leaves_its_endpoint_unknown_with_what_travels_with_it() -> None:
    def program() -> None:
        place = local.Command("place", create="date")
        known = members()
        known["db"] = {**known["db"], "address": place.stdout}
        WireGuardMesh("mesh", args(members=known))

    done = run(program, preview=True)
    unknown = {name for name, found in done.resources.items() if found.inputs.get("stdin") is UNKNOWN}
    assert unknown == {"mesh-fra-1-files", "mesh-fra-2-files"}


def test_each_file_waits_for_the_keys_in_it_and_for_nothing_else_of_the_mesh() -> None:
    def program() -> None:
        keys = {name: local.Command(f"key-{name}", create="date") for name in PLACES}
        known = {name: Member(**{**one, "public_key": keys[name].stdout}) for name, one in members().items()}
        WireGuardMesh("mesh", args(members=known))

    done = run(program, stdout=wireguard_key)
    for host in PLACES:
        for name, needed in waits(part(done, host)).items():
            other = name.partition("-peer-")[2]
            hubs = {"fra-1": {"key-db", "key-edge"}, "fra-2": {"key-db"}}.get(host, set())
            assert needed == ({f"key-{other}"} if other else hubs), name


def test_children_wait_for_what_the_mesh_waits_for() -> None:
    def program() -> None:
        gate = local.Command("gate", create="true")
        WireGuardMesh("mesh", args(), pulumi.ResourceOptions(depends_on=[gate]))

    done = run(program)
    commands = [found for found in done.below("mesh").values() if found.type == REMOTE]
    assert len(commands) == 7
    assert all(found.waits == {"gate"} for found in commands)


def test_a_member_is_what_a_service_waits_for() -> None:
    def program() -> None:
        mesh = WireGuardMesh("mesh", args())
        local.Command("service", create="true", opts=pulumi.ResourceOptions(depends_on=mesh.parts["fra-1"]))

    assert run(program).resources["service"].waits == {"mesh-fra-1-files"}


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
    part = {"mesh-fra-1-files"}
    assert [found[name].waits for name in ("packages", "service", "later")] == [set(), part, part | {"gate"}]
    for name in ("packages", "service"):
        assert found[name].inputs["create"] == members()["fra-1"]["host_key"], "known before there is a mesh"


def test_a_member_that_is_gone_is_left_alone_and_the_others_are_not() -> None:
    known = members()
    known["fra-2"] = {**known["fra-2"], "gone": True}
    done, standing = mesh(members=known), mesh()
    for name, found in done.below("mesh").items():
        gone = name.startswith("mesh-fra-2-")
        assert found.retain_on_delete is gone, name
        held = ("connection", "create", "delete", "stdin") if gone else ()
        assert found.ignore_changes == held, name
        before = standing.resources[name]
        assert found.inputs == (without_commands(before) if gone else before.inputs), name


def test_nothing_but_connections_is_secret() -> None:
    for name, found in mesh(private_key="PRIVATE").resources.items():
        assert secret_paths(found.inputs) == ({"connection"} if found.type == REMOTE else set()), name


def test_numbers_that_arrive_as_floats_are_written_whole() -> None:
    floats = mesh(mtu=1300.0, port=51821.0, keepalive_s=20.0)
    assert floats.resources == mesh(mtu=1300, port=51821, keepalive_s=20).resources
    assert landing(floats, "db", MTU) == "mtu = 1300\n"


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
    parts = {host: set(part(done, host)) for host in PLACES}
    assert parts == {
        "db": {"mesh-db-peer-fra-1"},
        "edge": {"mesh-edge-peer-fra-1"},
        "fra-1": {"mesh-fra-1-files"},
        "fra-2": {"mesh-fra-2-files"},
    }
    whole = mesh(flows=flows)
    for name in parts["db"] | parts["edge"] | parts["fra-1"]:
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
