"""Addresses, wires and the link of the lab, as text."""

from __future__ import annotations

import json
import re
from itertools import combinations

import pytest

from lab.base import topology
from lab.base.errors import LabError
from lab.host import hosts
from lab.net import link, network


def test_every_address_is_in_its_network_and_nobody_elses() -> None:
    addresses = [topology.OPERATOR, topology.OUTSIDE, *topology.OUTSIDE_GATEWAYS.values(), *topology.LINK_ENDS.values()]
    for site in topology.SITES.values():
        assert site.gateway in site.network
        addresses.append(site.gateway)
    for host in topology.HOSTS.values():
        assert host.address in host.site.network
        addresses.append(host.address)
    assert topology.OPERATOR in topology.OSLO.network
    assert len(set(addresses)) == len(addresses)
    for one, other in combinations(topology.SITES.values(), 2):
        assert not one.network.overlaps(other.network)


def test_names_fit_where_they_are_used() -> None:
    """An interface has 15 characters; two hosts must not share a cut one."""
    names = [host.interface for host in topology.HOSTS.values()]
    assert all(len(name) <= 15 for name in names)
    assert set(topology.STANDARD) < set(topology.HOSTS)


def test_an_unknown_host_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LabError, match=r"'oslo'\. Fix: name one of oslo-db, oslo-edge, oslo-web, oslo-db2, "):
        topology.host("oslo")


def test_wires_join_only_namespaces_of_the_lab() -> None:
    pids = {name: 4000 + number for number, name in enumerate(topology.NAMESPACES)}
    wires = network.wires(pids)
    assert list(wires) == list(topology.NAMESPACES)
    lines = [line for part in wires.values() for line in part]
    joined = [int(number) for line in lines for number in re.findall(r"netns (\d+)", line)]
    assert sorted(joined) == sorted([pids["operator"], pids["outside"], pids["outside"]])
    assert [line for line in wires["operator"] if "route" in line] == ["route add default via 192.0.2.1"]
    assert not [line for name in topology.SITES for line in wires[name] if "default" in line]
    assert not [line for line in wires["outside"] if "default" in line]


def test_a_gateway_keeps_its_hardware_address() -> None:
    wires = network.wires(dict.fromkeys(topology.NAMESPACES, 1))
    bridges = [line for name in topology.SITES for line in wires[name] if line.endswith("type bridge")]
    assert bridges == [
        "link add br0 address 02:00:c0:00:02:01 type bridge",
        "link add br0 address 02:00:cb:00:71:01 type bridge",
    ]


def test_a_host_has_one_static_address() -> None:
    text = hosts.network_file(topology.HOSTS["fra-1"])
    assert "Address=203.0.113.21/24\nGateway=203.0.113.1\n" in text
    assert "DHCP" not in text


def test_both_kinds_of_link_get_half_the_round_trip_each_way() -> None:
    settings = link.LinkSettings(rtt_ms=22, loss=1.5, rate_mbit=20)
    assert json.loads(settings.for_delay_line()) == {
        "delay_us": 11000,
        "loss": 1.5,
        "rate_bps": 20_000_000,
        "cut": False,
    }
    assert " ".join(settings.for_netem()) == "netem limit 100000 delay 11000us loss 1.5% rate 20000000bit"


def test_netem_forgets_nothing_that_is_not_named() -> None:
    """netem keeps a rate that is not given; so no limit must be said, too."""
    assert " ".join(link.LinkSettings().for_netem()) == "netem limit 100000 delay 11000us loss 0% rate 0bit"


def test_a_cut_keeps_the_loss_for_later() -> None:
    cut = link.LinkSettings(loss=2, cut=True)
    assert "loss 100%" in " ".join(cut.for_netem())
    assert json.loads(cut.for_delay_line())["cut"] is True
    assert json.loads(cut.for_delay_line())["loss"] == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (link.LinkSettings(rtt_ms=-1), "a round trip of -1 ms is out of range"),
        (link.LinkSettings(rtt_ms=20_001), "a round trip of 20001 ms is out of range"),
        (link.LinkSettings(loss=100.5), "a loss of 100.5 % is out of range"),
        (link.LinkSettings(rate_mbit=0.001), "a rate of 0.001 Mbit/s is out of range"),
        (link.LinkSettings(rate_mbit=float("nan")), "a rate of nan Mbit/s is out of range"),
    ],
)
def test_settings_that_make_no_sense(settings: link.LinkSettings, said: str) -> None:
    with pytest.raises(LabError, match=re.escape(said)):
        settings.check()
