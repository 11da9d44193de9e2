"""The stand-in for pulumi-resource-openstack under the real engine, without a lab."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.doubles.pulumi_resource_openstack import catalogue
from tests.engine.command_stack import ENDS_WITH_ITS_HOST, Stack

PROGRAM = (
    ENDS_WITH_ITS_HOST
    + """
import pulumi
import pulumi_openstack as openstack

config = pulumi.Config()
provider = openstack.Provider(
    "oslo",
    auth_url="AUTH_URL",
    region=config.get("region") or "NO-Oslo-1",
    user_name="fortress",
    password=config.get_secret("password") or pulumi.Output.secret("lab"),
)
opts = pulumi.ResourceOptions(provider=provider)
ask = pulumi.InvokeOptions(provider=provider)
outside = openstack.networking.get_network(name=config.get("external") or "public", opts=ask)
flavor = openstack.compute.get_flavor(name=config.get("flavor") or "v2-highcpu-nvme", opts=ask)
network = openstack.networking.Network("net", name="net", opts=opts)
subnet = openstack.networking.Subnet(
    "sub", network_id=network.id, cidr=config.get("cidr") or "10.20.0.0/24", name="sub", opts=opts
)
router = openstack.networking.Router("router", name="router", external_network_id=outside.id, opts=opts)
openstack.networking.RouterInterface("routed", router_id=router.id, subnet_id=subnet.id, opts=opts)
group = openstack.networking.SecGroup("group", description="made by a test", delete_default_rules=True, opts=opts)
address = openstack.networking.FloatingIp("address", pool="public", opts=opts)
port = openstack.networking.Port(
    "port",
    network_id=network.id,
    fixed_ips=[{"subnet_id": subnet.id, config.get("key") or "ip_address": "10.20.0.11"}],
    security_group_ids=[group.id],
    opts=opts,
)
volume = openstack.blockstorage.Volume(
    "data", size=int(config.get("size") or 1), metadata={"secret": pulumi.Output.secret("s3cr3t")}, opts=opts
)
if config.get_bool("machine"):
    openstack.compute.Instance(
        "db", flavor_name=flavor.name, image_id=list(IMAGES)[0], networks=[{"port": port.id}], opts=opts
    )
pulumi.export("vcpus", flavor.vcpus)
pulumi.export("address", address.address)
"""
)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    made = Stack(tmp_path / "stack", FORTRESS_CLOUDS=str(tmp_path / "clouds"), FORTRESS_LAB="nosuchlab")
    program = PROGRAM.replace("AUTH_URL", catalogue.AUTH_URL).replace("IMAGES", repr(list(catalogue.IMAGES)))
    (made.project / "__main__.py").write_text(program)
    return made


def project(tmp_path: Path) -> catalogue.State:
    found: catalogue.State = json.loads((tmp_path / "clouds" / "openstack.json").read_text())
    return found


def test_a_project_lives_as_with_the_real_plugin(stack: Stack, tmp_path: Path) -> None:
    preview = stack.preview()
    words = " ".join(preview.split())
    assert "5.5.3+stand-in: this is the stand-in of tests/doubles" in words
    assert "+ openstack:networking/port:Port: (create)" in words
    assert 'ipAddress: "10.20.0.11" subnetId : [unknown]' in words
    assert "networkId : [unknown]" in words
    assert "enableDhcp: true" in words, preview
    assert "__defaults" not in words
    assert "s3cr3t" not in preview
    assert not (tmp_path / "clouds" / "openstack.json").exists(), "a preview makes nothing"

    stack.up()
    held = project(tmp_path)
    (port,) = held["ports"].values()
    assert port["allFixedIps"] == ["10.20.0.11"]
    (volume,) = held["volumes"].values()
    assert volume["metadata"] == {"secret": "s3cr3t"}
    assert volume["name"].startswith("data-")
    assert "s3cr3t" not in stack.run("stack", "export")
    assert stack.run("stack", "output", "vcpus").strip() == "4"
    assert stack.run("stack", "output", "address").strip() == "192.0.2.31"
    stack.up("--expect-no-changes")
    stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")

    stack.run("config", "set", "size", "2")
    assert "1 to update" in stack.preview()
    stack.up()
    (volume,) = project(tmp_path)["volumes"].values()
    assert volume["size"] == 2
    stack.run("config", "set", "size", "1")
    assert "New size for extend must be greater than current size" in stack.up(fails=True)
    stack.run("config", "set", "size", "2")

    stack.run("config", "set", "cidr", "10.20.0.0/16")
    preview = stack.preview()
    assert "+-openstack:networking/subnet:Subnet: (replace)" in preview
    assert "~ cidr" in preview
    stack.run("config", "rm", "cidr")

    (tmp_path / "clouds" / "openstack.json").write_text(json.dumps(held | {"volumes": {}}))
    stack.run("refresh", "--yes", "--skip-preview")
    assert "1 to create" in stack.preview(), "what is gone is made again"
    stack.destroy()
    assert project(tmp_path)["ports"] == {}


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("key", "ip_adress", "Invalid or unknown key. Examine values at 'port.fixedIps[0].ip_adress'."),
        ("cidr", "10.20.0.0", 'expected "cidr" to be a valid CIDR Value'),
        ("flavor", "v2-huge", "Your query returned no results. Please change your search criteria and try again."),
        ("external", "nowhere", "Your query returned no results. Please change your search criteria and try again."),
        ("password", "wrong", "Error creating OpenStack networking client: Authentication failed"),
        ("region", "NO-Bergen-1", "No suitable endpoint could be found in the service catalog."),
    ],
)
def test_bad_input_is_refused_by_a_preview(stack: Stack, setting: str, value: str, words: str) -> None:
    secret = ["--secret"] if setting == "password" else []
    stack.run("config", "set", *secret, setting, value)
    assert words in stack.preview(fails=True)


def test_no_machine_without_a_lab(stack: Stack, tmp_path: Path) -> None:
    stack.run("config", "set", "machine", "true")
    assert "+ openstack:compute/instance:Instance: (create)" in stack.preview()
    assert "boots instances as hosts of a lab, and none stands here" in stack.up(fails=True)
    assert project(tmp_path)["servers"] == {}
