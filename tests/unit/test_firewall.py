"""The firewall's files."""

from ipaddress import IPv4Address

import pytest

from fortress import firewall
from fortress.firewall import AcceptRule, Fragment
from fortress.wireguard import Relay
from tests.unit.golden import check_golden


def test_base() -> None:
    check_golden("nftables.conf", firewall.render_base(["192.0.2.10/32", "198.51.100.0/24", "2001:db8::/48"], 22))


def test_fragments() -> None:
    relay = Relay(IPv4Address("10.100.0.2"), IPv4Address("10.100.0.5"), 9000, "tcp")
    check_golden(
        "20-mesh.nft",
        firewall.render_fragment(Fragment("The mesh.", [AcceptRule(51820, "WireGuard", "udp")], [relay])),
    )
    check_golden(
        "30-database.nft",
        firewall.render_fragment(
            Fragment("MariaDB.", [AcceptRule(3306, "MariaDB", sources=["10.100.0.0/24"], interface="wg0")])
        ),
    )
    check_golden(
        "40-edge.nft",
        firewall.render_fragment(Fragment("The edge.", [AcceptRule(80, "HTTP"), AcceptRule(443, "HTTPS")])),
    )


def test_a_source_is_of_ipv4_as_its_rule_says() -> None:
    with pytest.raises(ValueError, match="fd00::1"):
        firewall.render_fragment(Fragment("x", [AcceptRule(80, "HTTP", sources=["fd00::1"])]))


@pytest.mark.parametrize("hostile", ["0.0.0.0/0 accept", "192.0.2.1; accept", "192.0.2.1\naccept", ""])
def test_what_is_no_address_range_does_not_become_a_rule(hostile: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear|permitted|Expected|empty|netmask"):
        firewall.render_base([hostile], 22)
    with pytest.raises(ValueError, match=r"does not appear|permitted|Expected|empty|netmask"):
        firewall.render_fragment(Fragment("x", [AcceptRule(80, "HTTP", sources=[hostile])]))
