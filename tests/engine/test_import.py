"""A network, an address and a volume that exist come into a stack as docs/production.md says, under our components."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.pulumi_resource_openstack import catalogue
from tests.engine.command_stack import Stack
from tests.unit.stack_file import ROOT

LOGIN = f"""
import pulumi
import pulumi_openstack as openstack

login = openstack.Provider(
    "oslo",
    auth_url="{catalogue.AUTH_URL}",
    region="NO-Oslo-1",
    user_name="fortress",
    password=pulumi.Output.secret("lab"),
)
inside = pulumi.ResourceOptions(providers=[login])
"""
BEFORE = """
opts = pulumi.ResourceOptions(provider=login)
network = openstack.networking.Network("net", name="an-old-network", opts=opts)
address = openstack.networking.FloatingIp("address", pool="public", opts=opts)
volume = openstack.blockstorage.Volume("disk", name="an-old-volume", size=10, opts=opts)
pulumi.export("ids", {"NETWORK-ID": network.id, "ADDRESS-ID": address.id, "VOLUME-ID": volume.id})
"""
SITE = f"""
from pulumi_fortress import DataFortress, Host, OpenStackSite

site = OpenStackSite(
    "oslo",
    {{
        "external_network_id": "{catalogue.EXTERNAL_NETWORK}",
        "network": {{"cidr": "10.20.0.0/24", "dns": []}},
        "operators": ["192.0.2.0/24"],
        "key_pair": "deploy_key_2020",
    }},
    inside,
)
"""
HOST = f"""
host = Host(
    "oslo-edge",
    {{
        "openstack": {{
            "flavor": "v2-highcpu-nvme",
            "image_id": "{next(iter(catalogue.IMAGES))}",
            "key_pair": site.key_pair,
            "network_id": site.network_id,
            "subnet_id": site.subnet_id,
            "group_ids": [site.internal_group_id],
            "floating_pool": "public",
        }},
        "site": "oslo",
        "mesh_address": "10.9.0.1",
        "mesh_network": "10.9.0.0/24",
        "operators": ["192.0.2.0/24"],
    }},
    inside,
)
DataFortress(
    "db",
    {{
        "host": host.member,
        "database": "app",
        "user": "app",
        "password": "HUSH",
        "clients": "10.9.0.0/24",
        "volume": {{"openstack": {{"size_gb": 10, "instance_id": host.machine_id}}}},
    }},
    inside,
)
"""
EXISTING = ("oslo-network", "oslo-edge-machine-address", "db-data")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path / "stack", FORTRESS_CLOUDS=str(tmp_path / "clouds"), FORTRESS_LAB="nosuchlab")


def planned(stack: Stack) -> dict[str, tuple[str, set[str]]]:
    """What the engine would do with each of what existed, and the inputs that differ."""
    log = stack.run("preview", "--json")
    steps: list[dict[str, Any]] = json.loads(log[log.index("{\n") :])["steps"]
    by_name = {step["urn"].split("::")[-1]: step for step in steps}
    return {name: (step["op"], set(step.get("diffReasons") or ())) for name in EXISTING if (step := by_name.get(name))}


def stack_resources(stack: Stack) -> list[dict[str, Any]]:
    """What the state holds."""
    found: list[dict[str, Any]] = json.loads(stack.run("stack", "export"))["deployment"]["resources"]
    return found


def clouds(stack: Stack) -> catalogue.State:
    """What the stand-in holds."""
    found: catalogue.State = json.loads((stack.project.parents[1] / "clouds" / "openstack.json").read_text())
    return found


def said() -> str:
    """What the document says to put into the program for one `up`."""
    _, _, text = (ROOT / "docs" / "production.md").read_text().partition("```python\n")
    return text.partition("```")[0]


def test_what_exists_is_imported_under_the_components(stack: Stack) -> None:
    program = stack.project / "__main__.py"
    program.write_text(LOGIN + BEFORE)
    stack.up()
    ids: dict[str, str] = json.loads(stack.run("stack", "output", "ids", "--json"))
    stack.run("stack", "init", "prod")
    program.write_text(LOGIN + SITE + HOST)
    assert {op for op, _ in planned(stack).values()} == {"create"}
    text = said()
    for name, identity in ids.items():
        assert text.count(f'"{name}"') == 1
        text = text.replace(f'"{name}"', f'"{identity}"')
    program.write_text(text + LOGIN + SITE + HOST)
    assert {op for op, _ in planned(stack).values()} == {"import"}

    program.write_text(text + LOGIN + SITE)
    stack.up()
    (network,) = (found for found in stack_resources(stack) if found["urn"].endswith("::oslo-network"))
    assert network["id"] == ids["NETWORK-ID"]
    assert network["urn"].endswith("::fortress:index:OpenStackSite$openstack:networking/network:Network::oslo-network")
    # What ours are called and tagged comes by an update, and it is not replaced.
    program.write_text(LOGIN + SITE)
    assert planned(stack)["oslo-network"] == ("update", {"name", "tags"})
    stack.up()
    assert [found["name"] for found in clouds(stack)["networks"].values() if not found.get("external")] == [
        "oslo-network"
    ]
