"""What an OpenStack project holds for one site."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pulumi
import pytest
from hypothesis import given, settings
from pulumi_command import local

from components.openstack_site import OpenStackSite, OpenStackSiteArgs
from tests.components.clouds import OPERATOR_LISTS, OPERATORS, check_children, inputs, run_in_cloud, types, unknown
from tests.components.engine import ssh_key, waits
from tests.doubles.pulumi_mocks import Run, plain
from tests.doubles.pulumi_resource_command.values import UNKNOWN

NETWORK = "openstack:networking/network:Network"
SUBNET = "openstack:networking/subnet:Subnet"
ROUTER = "openstack:networking/router:Router"
INTERFACE = "openstack:networking/routerInterface:RouterInterface"
GROUP = "openstack:networking/secGroup:SecGroup"
RULE = "openstack:networking/secGroupRule:SecGroupRule"
KEY_PAIR = "openstack:compute/keypair:Keypair"
SERVER_GROUP = "openstack:compute/serverGroup:ServerGroup"

MADE: dict[str, Any] = {"network": {"cidr": "10.20.0.0/24", "dns": ["192.0.2.53"]}}
EXISTING: dict[str, Any] = {"existing": {"network_id": "net-1", "subnet_id": "sub-1"}}
KEY = ssh_key(7)


def site(preview: bool = False, gated: bool = False, network: Mapping[str, Any] = MADE, **more: Any) -> Run:
    known: dict[str, Any] = {
        "external_network_id": "public-1",
        "operators": OPERATORS,
        "key_pair": "deploy_key_2020",
        **network,
    }

    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = OpenStackSite("oslo", OpenStackSiteArgs(**{**known, **more}), opts)  # type: ignore[typeddict-item]
        leaves = ("network_id", "subnet_id", "key_pair", "internal_group_id", "hub_group_id", "edge_group_id")
        routed = made.routed._name if made.routed else None
        return {leaf: getattr(made, leaf) for leaf in leaves} | {"apart": made.server_group_id, "routed": routed}

    return run_in_cloud(make, preview=preview, gated=gated)


def rule(group: str, description: str, version: int, source: str, protocol: str, port: int | None) -> dict[str, Any]:
    ports = {} if port is None else {"portRangeMin": port, "portRangeMax": port}
    return {
        "securityGroupId": f"oslo-{group}-id",
        "direction": "ingress",
        "ethertype": f"IPv{version}",
        "protocol": protocol,
        "remoteIpPrefix": source,
        "description": description,
        **ports,
    }


def way_out(version: int) -> dict[str, Any]:
    return {
        "securityGroupId": "oslo-internal-id",
        "direction": "egress",
        "ethertype": f"IPv{version}",
        "description": "The way out",
    }


def rules(done: Run) -> dict[str, dict[str, Any]]:
    return inputs({name: found for name, found in done.resources.items() if found.type == RULE})


RULES: dict[str, dict[str, Any]] = {
    "oslo-internal-ssh-192-0-2-10-32": rule("internal", "SSH from operators", 4, "192.0.2.10/32", "tcp", 22),
    "oslo-internal-ssh-198-51-100-0-24": rule("internal", "SSH from operators", 4, "198.51.100.0/24", "tcp", 22),
    "oslo-internal-ssh-2001-db8---64": rule("internal", "SSH from operators", 6, "2001:db8::/64", "tcp", 22),
    "oslo-internal-icmp-ipv4": rule("internal", "ICMP", 4, "0.0.0.0/0", "icmp", None),
    "oslo-internal-icmp-ipv6": rule("internal", "ICMP", 6, "::/0", "ipv6-icmp", None),
    "oslo-internal-out-ipv4": way_out(4),
    "oslo-internal-out-ipv6": way_out(6),
    "oslo-hub-mesh-ipv4": rule("hub", "WireGuard", 4, "0.0.0.0/0", "udp", 51820),
    "oslo-hub-mesh-ipv6": rule("hub", "WireGuard", 6, "::/0", "udp", 51820),
    "oslo-edge-http-ipv4": rule("edge", "HTTP", 4, "0.0.0.0/0", "tcp", 80),
    "oslo-edge-http-ipv6": rule("edge", "HTTP", 6, "::/0", "tcp", 80),
    "oslo-edge-https-ipv4": rule("edge", "HTTPS", 4, "0.0.0.0/0", "tcp", 443),
    "oslo-edge-https-ipv6": rule("edge", "HTTPS", 6, "::/0", "tcp", 443),
}
GROUPS = {
    f"oslo-{part}": {
        "name": name,
        "description": description,
        "deleteDefaultRules": True,
        "tags": ["data-fortress"],
    }
    for part, name, description in (
        ("internal", "secure-internal", "Every machine: SSH from operators, ICMP"),
        ("hub", "oslo-hub", "Hubs of the mesh: WireGuard"),
        ("edge", "oslo-edge", "The edge: HTTP and HTTPS"),
    )
}
NETWORKS: dict[str, Any] = {
    "oslo-network": {"name": "oslo-network", "adminStateUp": True, "tags": ["data-fortress"]},
    "oslo-subnet": {
        "name": "oslo-subnet",
        "networkId": "oslo-network-id",
        "cidr": "10.20.0.0/24",
        "ipVersion": 4,
        "dnsNameservers": ["192.0.2.53"],
        "tags": ["data-fortress"],
    },
    "oslo-router": {"name": "oslo-router", "externalNetworkId": "public-1", "tags": ["data-fortress"]},
    "oslo-routed": {"routerId": "oslo-router-id", "subnetId": "oslo-subnet-id"},
}


def test_a_site_with_a_network_of_its_own() -> None:
    done = site()
    assert done.resources["oslo"].type == "fortress:index:OpenStackSite"
    assert types(done.children("oslo")) == {
        **{"oslo-network": NETWORK, "oslo-subnet": SUBNET, "oslo-router": ROUTER, "oslo-routed": INTERFACE},
        **dict.fromkeys(GROUPS, GROUP),
        **dict.fromkeys(RULES, RULE),
    }
    assert inputs(done.children("oslo")) == {**NETWORKS, **GROUPS, **RULES}
    check_children(done, "oslo", "openstack")


def test_a_site_in_a_network_that_is_there() -> None:
    done = site(network=EXISTING)
    assert inputs(done.children("oslo")) == {**GROUPS, **RULES}
    check_children(done, "oslo", "openstack")
    assert (done.outputs["network_id"].value, done.outputs["subnet_id"].value) == ("net-1", "sub-1")
    assert done.outputs["routed"].value is None


def test_name_servers_are_the_clouds_own_where_none_are_given() -> None:
    done = site(network={"network": {"cidr": "10.20.0.0/24", "dns": []}})
    assert "dnsNameservers" not in done.resources["oslo-subnet"].inputs


def test_a_key_pair_that_is_made() -> None:
    done = site(public_key=KEY)
    assert set(done.resources) - set(site().resources) == {"oslo-key"}
    assert done.resources["oslo-key"].type == KEY_PAIR
    assert inputs(done.children("oslo"))["oslo-key"] == {"name": "deploy_key_2020", "publicKey": KEY}
    # Its successor has the same name.
    check_children(done, "oslo", "openstack", oslo_key={"delete_before_replace": True})


def test_a_machine_that_takes_the_key_pairs_name_is_not_replaced_with_the_pair() -> None:
    """The engine replaces what has a value of something that is replaced; order alone does not."""

    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        args = OpenStackSiteArgs(
            external_network_id="public-1",
            network={"cidr": "10.20.0.0/24", "dns": []},
            operators=OPERATORS,
            key_pair="deploy_key_2020",
            public_key=KEY,
        )
        made = OpenStackSite("oslo", args, opts)
        local.Command("takes", create=made.key_pair)
        local.Command("waits", create="true", opts=pulumi.ResourceOptions(depends_on=[made]))
        return {}

    found = run_in_cloud(make).resources
    assert found["takes"].waits == frozenset()
    assert "oslo-key" in found["waits"].waits


def test_anti_affinity() -> None:
    done = site(anti_affinity=True)
    assert done.resources["oslo-apart"].type == SERVER_GROUP
    assert inputs(done.children("oslo"))["oslo-apart"] == {"name": "oslo-apart", "policies": "anti-affinity"}
    check_children(done, "oslo", "openstack")
    assert done.outputs["apart"].value == "oslo-apart-id"
    assert site(anti_affinity=False).outputs["apart"].value is None


def test_outputs() -> None:
    done = site()
    found = {name: (seen.value, seen.secret) for name, seen in done.outputs.items()}
    assert found == {
        "network_id": ("oslo-network-id", False),
        "subnet_id": ("oslo-subnet-id", False),
        "key_pair": ("deploy_key_2020", False),
        "internal_group_id": ("oslo-internal-id", False),
        "hub_group_id": ("oslo-hub-id", False),
        "edge_group_id": ("oslo-edge-id", False),
        "apart": (None, False),
        "routed": ("oslo-routed", False),
    }
    given_out = {name: value for name, (value, _) in found.items() if name not in ("apart", "routed")}
    assert {name: value for name, value in plain(dict(done.registered["oslo"])).items() if value} == given_out
    apart = site(anti_affinity=True).registered["oslo"]
    assert plain(dict(apart)) == {**given_out, "server_group_id": "oslo-apart-id"}


def test_order() -> None:
    done = site(public_key=KEY, anti_affinity=True)
    assert waits(done.children("oslo")) == {
        "oslo-network": set(),
        "oslo-subnet": {"oslo-network"},
        "oslo-router": set(),
        "oslo-routed": {"oslo-router", "oslo-subnet"},
        **{name: set() for name in (*GROUPS, "oslo-key", "oslo-apart")},
        **{name: {f"oslo-{name.split('-')[1]}"} for name in RULES},
    }


def test_children_wait_for_what_the_component_waits_for() -> None:
    done = site(gated=True)
    assert all("gate" in found.waits for found in done.children("oslo").values())


def test_at_first_preview_ids_stay_unknown_and_all_else_is_read() -> None:
    done = site(preview=True, public_key=KEY)
    assert unknown(done.children("oslo")) == {
        "oslo-subnet": {"networkId"},
        "oslo-routed": {"routerId", "subnetId"},
        **{name: {"securityGroupId"} for name in RULES},
    }
    expected = {name: {**found, "securityGroupId": UNKNOWN} for name, found in RULES.items()}
    assert rules(done) == expected
    known = {name for name, seen in done.outputs.items() if seen.known}
    assert known == {"key_pair", "apart", "routed"}


def test_unknown_ids_that_are_given_stay_unknown() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        later = local.Command("later", create="date").stdout
        args = OpenStackSiteArgs(
            external_network_id=later,
            network={"cidr": "10.20.0.0/24", "dns": []},
            operators=OPERATORS,
            key_pair="deploy_key_2020",
            public_key=later,
        )
        OpenStackSite("oslo", args, opts)
        return {}

    found = run_in_cloud(make, preview=True).resources
    assert found["oslo-router"].inputs["externalNetworkId"] is UNKNOWN
    assert found["oslo-key"].inputs["publicKey"] is UNKNOWN


def test_ports_are_the_settings_and_whole_where_they_arrive_as_floats() -> None:
    whole = site(ssh_port=2222, mesh_port=51821)
    assert rules(whole)["oslo-internal-ssh-192-0-2-10-32"] == {
        **RULES["oslo-internal-ssh-192-0-2-10-32"],
        **{"portRangeMin": 2222, "portRangeMax": 2222},
    }
    assert rules(whole)["oslo-hub-mesh-ipv6"] == {
        **RULES["oslo-hub-mesh-ipv6"],
        **{"portRangeMin": 51821, "portRangeMax": 51821},
    }
    floats = site(ssh_port=2222.0, mesh_port=51821.0)
    assert floats.resources == whole.resources


@settings(max_examples=30, deadline=None)
@given(OPERATOR_LISTS)
def test_ssh_is_open_to_the_operators_and_to_nobody_else(operators: list[str]) -> None:
    opened = [found for found in rules(site(operators=operators)).values() if found["direction"] == "ingress"]
    ssh = [found for found in opened if reaches(found, "tcp", 22)]
    assert sorted(found["remoteIpPrefix"] for found in ssh) == sorted(set(operators))
    assert all(found["ethertype"] == f"IPv{ip_network(found['remoteIpPrefix']).version}" for found in ssh)
    assert {found["securityGroupId"] for found in ssh} == {"oslo-internal-id"}
    for port in (3306, 4444, 4567, 4568):  # MariaDB and Galera: through the tunnel alone
        assert not any(reaches(found, protocol, port) for found in opened for protocol in ("tcp", "udp")), port


def reaches(found: Mapping[str, Any], protocol: str, port: int) -> bool:
    """Whether a rule lets something in; a rule without protocol or ports would mean all of them."""
    if found.get("protocol", protocol) != protocol:
        return False
    low, high = found.get("portRangeMin", 1), found.get("portRangeMax", 65535)
    return bool(low <= port <= high)


@pytest.mark.parametrize("world", [["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"]])
def test_the_world_is_refused(world: list[str]) -> None:
    with pytest.raises(ValueError, match="the whole world"):
        site(operators=[*OPERATORS, *world])


@pytest.mark.parametrize("network", [{}, {**MADE, **EXISTING}])
def test_a_site_has_exactly_one_network(network: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"OpenStackSite \"oslo\": network: set either network"):
        site(network=network)
