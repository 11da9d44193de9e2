"""The mesh: addresses, MTU, who is whose peer, and the files."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fortress import wireguard
from fortress.wireguard import Flow, Peer, PeerFile
from tests.unit.facts import refusal_of
from tests.unit.golden import check_golden

NETWORK = IPv4Network("10.100.0.0/24")
networks = st.builds(
    lambda prefix, bits: IPv4Network((int(IPv4Address("10.0.0.0")) + (bits << (32 - prefix)), prefix)),
    st.integers(16, 28),
    st.integers(0, 200),
)


@given(network=networks, data=st.data())
def test_no_two_slots_or_generations_in_a_row_share_an_address(network: IPv4Network, data: st.DataObject) -> None:
    slots = st.integers(1, wireguard.capacity(network))
    one, other = data.draw(slots), data.draw(slots)
    generation = data.draw(st.integers(1, 50))
    first = wireguard.mesh_address(network, one, generation)
    assert first in network
    assert first not in (network.network_address, network.broadcast_address)
    assert first != wireguard.mesh_address(network, one, generation + 1)
    assert (first == wireguard.mesh_address(network, other, generation)) == (one == other)
    assert first != wireguard.mesh_address(network, other, generation + 1)


def test_the_articles_addresses() -> None:
    assert str(wireguard.mesh_address(NETWORK, 1)) == "10.100.0.1"
    assert str(wireguard.mesh_address(NETWORK, 2)) == "10.100.0.2"
    assert str(wireguard.mesh_address(NETWORK, 2, generation=2)) == "10.100.0.130"


@pytest.mark.parametrize(("slot", "generation"), [(0, 1), (127, 1), (-1, 1), (1, 0)])
def test_an_address_outside_the_plan_is_refused(slot: int, generation: int) -> None:
    with pytest.raises(ValueError, match=r"slot|generation"):
        wireguard.mesh_address(NETWORK, slot, generation)


@given(path=st.integers(576, 9216))
def test_a_full_packet_in_the_tunnel_fits_the_path(path: int) -> None:
    inner = wireguard.tunnel_mtu(path)
    # WireGuard: 16 bytes of header, 16 of tag, 8 of UDP; 40 of IPv6.
    assert inner + 16 + 16 + 8 + 40 == path


def test_mtu_on_known_paths() -> None:
    assert wireguard.tunnel_mtu(1500) == 1420
    assert wireguard.tunnel_mtu(1450) == 1370


def addresses(*names: str) -> dict[str, IPv4Address]:
    return {name: wireguard.mesh_address(NETWORK, slot) for slot, name in enumerate(names, 1)}


def flow(source: str, destination: str, port: int) -> Flow:
    return Flow(source=source, destination=destination, port=port)


def test_peers_are_the_pairs_that_flows_need() -> None:
    hosts = addresses("db", "edge", "one", "two")
    flows = [each for worker in ("one", "two") for each in (flow(worker, "db", 3306), flow("edge", worker, 80))]
    plan = wireguard.topology(hosts, ["db", "edge"], flows)
    assert plan.relays == {}
    assert {host: [peer.name for peer in peers] for host, peers in plan.peers.items()} == {
        "db": ["one", "two"],
        "edge": ["one", "two"],
        "one": ["db", "edge"],
        "two": ["db", "edge"],
    }
    assert plan.peers["db"][0] == Peer(name="one", allowed_ips=("10.100.0.3/32",), dial=False)
    assert plan.peers["one"][1] == Peer(name="edge", allowed_ips=("10.100.0.2/32",), dial=True)


def test_two_that_cannot_reach_each_other_go_over_the_first_hub() -> None:
    hosts = addresses("db", "edge", "one", "two")
    plan = wireguard.topology(hosts, ["edge", "db"], [flow("one", "two", 9000), flow("edge", "one", 80)])
    assert plan.peers["one"] == (Peer(name="edge", allowed_ips=("10.100.0.2/32", "10.100.0.4/32"), dial=True),)
    assert plan.peers["two"] == (Peer(name="edge", allowed_ips=("10.100.0.2/32", "10.100.0.3/32"), dial=True),)
    assert [peer.name for peer in plan.peers["edge"]] == ["one", "two"]
    assert plan.peers["db"] == ()
    (relay,) = plan.relays["edge"]
    assert (str(relay.source), str(relay.destination), relay.port) == ("10.100.0.3", "10.100.0.4", 9000)


names = ["db", "edge", "one", "two", "three"]
flow_lists = st.lists(
    st.builds(flow, st.sampled_from(names), st.sampled_from(names), st.integers(1, 65535)).filter(
        lambda each: each.source != each.destination
    )
)


@given(flows=flow_lists, hubs=st.lists(st.sampled_from(names), min_size=1, unique=True))
def test_every_flow_has_a_way_and_no_host_takes_anothers_address(flows: list[Flow], hubs: list[str]) -> None:
    hosts = addresses(*names)
    plan = wireguard.topology(hosts, hubs, flows)
    for flow in flows:
        for here, there in ((flow.source, flow.destination), (flow.destination, flow.source)):
            behind = [peer for peer in plan.peers[here] if f"{hosts[there]}/32" in peer.allowed_ips]
            assert len(behind) == 1, "an address behind two peers, or behind none"
            assert behind[0].name in (there, hubs[0])
    for host, peers in plan.peers.items():
        allowed = [entry for peer in peers for entry in peer.allowed_ips]
        assert all(entry.endswith("/32") for entry in allowed)
        assert f"{hosts[host]}/32" not in allowed
        assert all(host in hubs or peer.dial for peer in peers), "a peer that nobody can dial"


def test_files() -> None:
    check_golden("wg0.conf", wireguard.render_interface(IPv4Address("10.100.0.1"), NETWORK, 51820))
    check_golden("wg0.mtu", wireguard.render_mtu(1360))
    key = "UmVhZCB0aGlzIGFuZCBzbWlsZSwgaXQgaXMgbm8ga2U="
    dialled = PeerFile(
        name="oslo-db",
        public_key=key,
        allowed_ips=("10.100.0.1/32", "10.100.0.5/32"),
        endpoint=wireguard.endpoint("192.0.2.11", 51820),
        keepalive_s=25,
    )
    check_golden("peer-hub.conf", wireguard.render_peer(dialled))
    worker = PeerFile(name="fra-1", public_key=key, allowed_ips=("10.100.0.2/32",), keepalive_s=25)
    check_golden("peer-worker.conf", wireguard.render_peer(worker))


@pytest.mark.parametrize(
    "answer",
    [
        "UmVhZCB0aGlzIGFuZCBzbWlsZSwgaXQgaXMgbm8ga2U=\nAllowedIPs = 10.100.0.7/32",
        "hello\nUmVhZCB0aGlzIGFuZCBzbWlsZSwgaXQgaXMgbm8ga2U=",
        "UmVhZCB0aGlzIGFuZCBzbWlsZSwgaXQgaXMgbm8ga2U=\n",
        " UmVhZCB0aGlzIGFuZCBzbWlsZSwgaXQgaXMgbm8ga2U=",
        "UmVhZCB0aGlzIGFuZCBzbWlsZSwgaXQgaXMgbm8ga2V=",  # of the bits that base64 leaves over, some are set
        "UmVhZCB0aGlzIGFuZCBzbWlsZSwgaXQgaXMgbm8ga2Vz",  # 33 bytes
        "",
    ],
)
def test_only_a_key_is_a_key(answer: str) -> None:
    with pytest.raises(ValidationError, match="must be a WireGuard public key"):
        PeerFile(name="fra-1", public_key=answer, allowed_ips=("10.100.0.2/32",), keepalive_s=25)


def test_an_ipv6_endpoint_has_brackets() -> None:
    assert wireguard.endpoint("2001:db8::1", 51820) == "[2001:db8::1]:51820"


def test_numbers_that_arrive_as_floats_leave_as_integers() -> None:
    assert "1360\n" in wireguard.render_mtu(1360.0)  # type: ignore[arg-type] # what a packaged component is given


@pytest.mark.parametrize(
    "hostile", ["fra-1\nPostUp = reboot", "fra-1\r", "", "../fra-1", "fra 1", "-fra", "FRA", "\u043eslo"]
)
def test_what_is_no_name_reaches_no_file(hostile: str) -> None:
    (line,) = refusal_of(lambda: Peer(name=hostile, allowed_ips=("10.100.0.2/32",), dial=False))
    assert line.startswith(f"name: {hostile!r} must be a name")
    (line,) = refusal_of(lambda: flow(hostile, "oslo-db", 3306))
    assert line.startswith(f"source: {hostile!r} must be a name")


def test_allowed_ips_are_ranges() -> None:
    (line,) = refusal_of(lambda: Peer(name="fra-1", allowed_ips=("10.100.0.2/32\nEndpoint = x",), dial=False))
    assert line.startswith("allowed_ips[0]: '10.100.0.2/32\\nEndpoint = x' must be an address range")
