"""The firewall's files."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest

from fortress import firewall
from fortress.firewall import AcceptRule, Base, EgressTarget, Fragment
from fortress.wireguard import Relay
from tests.unit.facts import changed_facts, refusal_of
from tests.unit.golden import check_golden


def fragment(title: str, *rules: AcceptRule, relays: Sequence[Relay] = ()) -> Fragment:
    return Fragment(title=title, rules=rules, relays=relays)


def test_base() -> None:
    check_golden(
        "nftables.conf",
        firewall.render_base(Base(operators=["192.0.2.10/32", "198.51.100.0/24", "2001:db8::/48"], ssh_port=22)),
    )


CLOSED = Base(
    operators=["192.0.2.10/32"],
    ssh_port=22,
    mesh_port=51821,
    egress=[
        EgressTarget(address="198.51.100.7", port=443, comment="To be paid."),
        EgressTarget(address="2001:db8::/48", port=514, protocol="udp", comment="Logs."),
        EgressTarget(port=8443, comment="Backups, to their store."),
    ],
)


def test_a_base_that_lets_out_what_is_needed() -> None:
    check_golden("nftables-closed.conf", firewall.render_base(CLOSED))


@pytest.mark.parametrize("egress", [[], [EgressTarget(address="198.51.100.7", port=443, comment="x")]])
def test_a_closed_base_is_told_from_an_open_one(egress: Sequence[EgressTarget]) -> None:
    closed, opened = (changed_facts(CLOSED, egress=targets) for targets in (egress, None))
    assert firewall.is_closed(firewall.render_base(closed))
    assert not firewall.is_closed(firewall.render_base(opened))
    assert "output" not in firewall.render_base(opened)
    assert not firewall.is_closed(None)


@pytest.mark.parametrize("hostile", ["0.0.0.0/0", "::/0", "198.51.100.7/24", "example.org", "192.0.2.1; accept", ""])
def test_a_target_is_an_address_and_never_all_of_them(hostile: str) -> None:
    (line,) = refusal_of(lambda: EgressTarget(address=hostile, port=443, comment="x"))
    assert line.startswith(f"address: {hostile!r} must be an address or a range without host bits, not all addresses")


def test_a_targets_comment_is_of_one_line() -> None:
    (line,) = refusal_of(lambda: EgressTarget(port=443, comment="x\naccept"))
    assert line.startswith("comment: ")


def test_fragments() -> None:
    relay = Relay(IPv4Address("10.100.0.2"), IPv4Address("10.100.0.5"), 9000, "tcp")
    check_golden(
        "20-mesh.nft",
        firewall.render_fragment(
            fragment("The mesh.", AcceptRule(port=51820, comment="WireGuard", protocol="udp"), relays=[relay])
        ),
    )
    check_golden(
        "30-database.nft",
        firewall.render_fragment(
            fragment("MariaDB.", AcceptRule(port=3306, comment="MariaDB", sources=["10.100.0.0/24"], interface="wg0"))
        ),
    )
    check_golden(
        "40-edge.nft",
        firewall.render_fragment(
            fragment("The edge.", AcceptRule(port=80, comment="HTTP"), AcceptRule(port=443, comment="HTTPS"))
        ),
    )


def test_a_source_is_of_ipv4_as_its_rule_says() -> None:
    (line,) = refusal_of(lambda: AcceptRule(port=80, comment="HTTP", sources=["fd00::1"]))
    assert line == "sources[0]: 'fd00::1' must be an IPv4 address or range without host bits, such as 10.100.0.0/24"


@pytest.mark.parametrize("hostile", ["0.0.0.0/0 accept", "192.0.2.1; accept", "192.0.2.1\naccept", ""])
def test_what_is_no_address_range_does_not_become_a_rule(hostile: str) -> None:
    (line,) = refusal_of(lambda: Base(operators=[hostile], ssh_port=22))
    assert line.startswith(f"operators[0]: {hostile!r} must be an address range")
    (line,) = refusal_of(lambda: AcceptRule(port=80, comment="HTTP", sources=[hostile]))
    assert line.startswith(f"sources[0]: {hostile!r} must be an IPv4 address or range")


@pytest.mark.parametrize("hostile", ["x\naccept", "x\r", "\0", "\u2028"])
@pytest.mark.parametrize("field", ["comment", "protocol", "interface"])
def test_no_text_of_a_rule_is_of_two_lines(field: str, hostile: str) -> None:
    facts: dict[str, Any] = {"port": 80, "comment": "HTTP", field: hostile}
    (line,) = refusal_of(lambda: AcceptRule(**facts))
    assert line.startswith(f"{field}: {hostile!r} must be ")


def test_a_title_is_of_one_line() -> None:
    (line,) = refusal_of(lambda: fragment("x\ntable inet y {}"))
    assert line.startswith("title: 'x\\ntable inet y {}' must be one line")


@pytest.mark.parametrize("interface", ['wg0" accept', "wg0 ", "", "a" * 16, "wg/0"])
def test_what_is_no_interface_does_not_become_a_rule(interface: str) -> None:
    (line,) = refusal_of(lambda: AcceptRule(port=80, comment="HTTP", interface=interface))
    assert line == f"interface: {interface!r} must be the name of a network interface"
