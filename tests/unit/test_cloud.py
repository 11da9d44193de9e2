"""Plain values for both clouds: operators' ranges, subnets of zones, user data."""

from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fortress import cloud
from tests.unit.facts import refusal_of
from tests.unit.golden import check_golden

VPC = IPv4Network("10.30.0.0/16")
NETWORKS = st.ip_addresses().flatmap(
    lambda address: st.integers(1, address.max_prefixlen).map(
        lambda length: str(ip_network(f"{address}/{length}", strict=False))
    )
)


def test_cloud_config() -> None:
    text = cloud.render_cloud_config("fra-1.2", "debian")
    check_golden("cloud-config.yaml", text)
    assert yaml.safe_load(text) == {
        "hostname": "fra-1-2",
        "preserve_hostname": False,
        "manage_etc_hosts": "localhost",
        "ssh_pwauth": False,
        "disable_root": True,
        "user": {"name": "debian"},
    }


@pytest.mark.parametrize("name", ["no", "null", "1", "0x10", "1e5", "a" * 63])
def test_a_hostname_stays_text_whatever_yaml_would_take_it_for(name: str) -> None:
    assert yaml.safe_load(cloud.render_cloud_config(name, "debian"))["hostname"] == name


@pytest.mark.parametrize(
    "hostile",
    ['a"\nruncmd: [reboot]', "a\n", "\na", "a b", "-a", "a-", "A", "a_b", ".a", "a.", "", "a" * 64, "é", "\uff11"],
)
def test_what_is_no_hostname_does_not_reach_the_text(hostile: str) -> None:
    with pytest.raises(ValueError, match="must be a hostname"):
        cloud.render_cloud_config(hostile, "debian")


@given(st.text(max_size=70) | st.text(alphabet='ab1.-\n" {}:', max_size=70))
def test_no_text_adds_a_key(name: str) -> None:
    try:
        text = cloud.render_cloud_config(name, "debian")
    except ValueError:
        return
    hostname = name.replace(".", "-")
    assert yaml.safe_load(text) == {**yaml.safe_load(cloud.render_cloud_config("x", "debian")), "hostname": hostname}


@pytest.mark.parametrize(
    ("zone", "ipv4", "ipv6"),
    [
        ("eu-central-1a", "10.30.0.0/19", "2001:db8:0:ab00::/64"),
        ("eu-central-1b", "10.30.32.0/19", "2001:db8:0:ab01::/64"),
        ("eu-central-1c", "10.30.64.0/19", "2001:db8:0:ab02::/64"),
        ("us-gov-west-1h", "10.30.224.0/19", "2001:db8:0:ab07::/64"),
    ],
)
def test_a_zone_has_its_part_by_its_letter(zone: str, ipv4: str, ipv6: str) -> None:
    assert cloud.zone_subnet(VPC, zone) == IPv4Network(ipv4)
    assert cloud.zone_subnet_ipv6("2001:db8:0:ab00::/56", zone) == ipv6


@given(st.integers(16, 25), st.integers(0, 2**32 - 1))
def test_zones_share_the_whole_network_in_equal_parts(length: int, address: int) -> None:
    vpc = IPv4Network((address >> (32 - length) << (32 - length), length))
    parts = [cloud.zone_subnet(vpc, f"eu-central-1{letter}") for letter in cloud.ZONES]
    assert parts == sorted(parts)
    assert {part.prefixlen for part in parts} == {length + 3}
    assert list(collapse_addresses(parts)) == [vpc]


@pytest.mark.parametrize("zone", ["eu-central-1i", "eu-central-1", "a", "", "eu-central-1A", "eu-central-1a\n"])
def test_what_is_no_zone_has_no_part(zone: str) -> None:
    with pytest.raises(ValueError, match="must be a zone of AWS"):
        cloud.zone_subnet(VPC, zone)
    with pytest.raises(ValueError, match="must be a zone of AWS"):
        cloud.zone_subnet_ipv6("2001:db8::/56", zone)


@pytest.mark.parametrize("cidr", ["10.0.0.0/15", "10.0.0.0/26"])
def test_a_vpc_whose_parts_aws_refuses(cidr: str) -> None:
    with pytest.raises(ValueError, match="a /16 to a /25"):
        cloud.zone_subnet(IPv4Network(cidr), "eu-central-1a")


def test_operators_ranges_are_taken_once_and_in_their_order() -> None:
    given_twice = ["198.51.100.0/24", "2001:db8::/64", "198.51.100.0/24", "192.0.2.10", "192.0.2.10/32"]
    assert cloud.operator_ranges(cloud.SshAccess(operators=given_twice)) == [
        IPv4Network("198.51.100.0/24"),
        IPv6Network("2001:db8::/64"),
        IPv4Network("192.0.2.10/32"),
    ]


@pytest.mark.parametrize(
    "world",
    [
        ["0.0.0.0/0"],
        ["::/0"],
        ["192.0.2.10/32", "0.0.0.0/1", "128.0.0.0/1"],
        ["::/1", "192.0.2.0/24", "8000::/2", "c000::/2"],
    ],
)
def test_the_whole_world_is_no_operator(world: list[str]) -> None:
    (line,) = refusal_of(lambda: cloud.SshAccess(operators=world))
    assert "is the whole world" in line


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "operators: [] must not be empty"),
        (["192.0.2.1/24"], "operators[0]: '192.0.2.1/24' must be an address range without host bits"),
        (["fe80::%eth0/64"], "operators[0]: 'fe80::%eth0/64' must be an address range"),
        (["all"], "operators[0]: 'all' must be an address range"),
    ],
)
def test_what_is_no_range_is_no_operator(wrong: list[str], said: str) -> None:
    (line,) = refusal_of(lambda: cloud.SshAccess(operators=wrong))
    assert line.startswith(said)


def test_a_label_reads_as_the_range() -> None:
    assert cloud.label(ip_network("192.0.2.10/32")) == "192-0-2-10-32"
    assert cloud.label(ip_network("2001:db8::/64")) == "2001-db8---64"


@given(NETWORKS, NETWORKS)
def test_no_two_ranges_share_a_label(one: str, other: str) -> None:
    assert (cloud.label(ip_network(one)) == cloud.label(ip_network(other))) is (one == other)


@pytest.mark.parametrize("user", ["", "root", "a b", 'x"', "x\nruncmd: [reboot]", "-x", "a" * 33])
def test_what_can_be_no_user_is_refused(user: str) -> None:
    with pytest.raises(ValueError, match="must be the name of a Unix user other than root"):
        cloud.render_cloud_config("fra-1", user)
