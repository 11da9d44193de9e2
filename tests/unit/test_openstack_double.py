"""The stand-in for pulumi-resource-openstack: what its project holds, changes and refuses. No lab stands."""

# ruff: noqa: ARG002 - the lab of the tests stands in for functions that take more

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pulumi import _types

from tests.doubles.cloud_plugin.kinds import CloudError, Kind, Properties
from tests.doubles.cloud_plugin.shapes import of_class
from tests.doubles.pulumi_resource_openstack import catalogue, instance, machines, storage
from tests.doubles.pulumi_resource_openstack.cloud import Cloud
from tests.doubles.pulumi_resource_openstack.plugin import PLUGIN

KINDS = {kind.token.split(":")[-1]: kind for kind in PLUGIN.kinds}
FUNCTIONS = {function.token.split(":")[-1]: function for function in PLUGIN.functions}
DEBIAN, NEWER = list(catalogue.IMAGES)[:2]


@dataclass
class Lab:
    """What the stand-in asked of the lab; the hosts that run, each with its volumes."""

    hosts: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    booted: dict[str, Sequence[Any]] = field(default_factory=dict)
    mounted: set[str] = field(default_factory=set)

    def check(self, cloud: Cloud, user_data: str) -> None:
        if "runcmd" in user_data:
            raise CloudError("the lab: user data with 'runcmd' is not supported on hosts of the lab")

    def boot(self, host: str, *how: Any) -> None:
        assert host not in self.hosts
        self.hosts[host] = []
        self.booted[host] = how
        self.asked.append(f"boot {host}")

    def restart(self, host: str) -> None:
        self.asked.append(f"restart {host}")

    def end(self, host: str, in_order: bool) -> None:
        del self.hosts[host]
        self.asked.append(f"{'shut down' if in_order else 'kill'} {host}")

    def attach(self, host: str, image: Path, volume: str) -> str:
        assert image.exists()
        self.hosts[host].append(volume)
        return f"/dev/vd{'abcdef'[len(self.hosts[host])]}"

    def detach(self, host: str, volume: str) -> None:
        if volume in self.mounted:
            raise CloudError(f"the lab: {host} has volume {volume} mounted")
        self.hosts[host].remove(volume)

    def grow(self, volume: str) -> None:
        self.asked.append(f"grow {volume}")


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    found = Lab()
    for name in ("check", "boot", "restart", "end", "attach", "detach", "grow"):
        monkeypatch.setattr(machines, name, getattr(found, name))
    return found


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path / "clouds", catalogue.REGION)


def make(cloud: Cloud, kind: str, **inputs: Any) -> tuple[str, Properties]:
    """Creates one as the frame does: with the defaults; its id and outputs."""
    given = {**KINDS[kind].defaults, **inputs}
    identity, outputs = KINDS[kind].create(cloud, given, "logical")
    return identity, {**given, **outputs}


def read(cloud: Cloud, kind: str, identity: str) -> Properties | None:
    return KINDS[kind].read(cloud, identity, {})


def update(cloud: Cloud, kind: str, identity: str, olds: Properties, **inputs: Any) -> Properties:
    given = {**KINDS[kind].defaults, **inputs}
    return {**given, **KINDS[kind].update(cloud, identity, olds, given)}


def delete(cloud: Cloud, kind: str, identity: str) -> None:
    KINDS[kind].delete(cloud, identity, {})


def ask(cloud: Cloud, function: str, **inputs: Any) -> Properties:
    return FUNCTIONS[function].call(cloud, inputs)


@dataclass
class Site:
    network: str
    subnet: str
    router: str
    interface: str
    group: str


@pytest.fixture
def site(cloud: Cloud) -> Site:
    network, _ = make(cloud, "Network", name="net")
    subnet, _ = make(cloud, "Subnet", name="sub", networkId=network, cidr="10.20.0.0/24")
    router, _ = make(cloud, "Router", name="router", externalNetworkId=catalogue.EXTERNAL_NETWORK)
    interface, _ = make(cloud, "RouterInterface", routerId=router, subnetId=subnet)
    group, _ = make(cloud, "SecGroup", name="group", description="", deleteDefaultRules=True)
    return Site(network, subnet, router, interface, group)


def port(cloud: Cloud, site: Site, address: str | None = None) -> str:
    fixed = {"subnetId": site.subnet, **({"ipAddress": address} if address else {})}
    identity, _ = make(cloud, "Port", name="p", networkId=site.network, fixedIps=[fixed], securityGroupIds=[site.group])
    return identity


def server(cloud: Cloud, at: str, **more: Any) -> tuple[str, Properties]:
    inputs = {
        "name": "coolvds-nvme-db-01",
        "flavorName": "v2-standard-1",
        "imageId": DEBIAN,
        "keyPair": catalogue.KEY_PAIR,
        "networks": [{"port": at}],
        "stopBeforeDestroy": True,
    }
    return make(cloud, "Instance", **{**inputs, **more})


def test_every_type_of_the_contract_is_there() -> None:
    assert set(KINDS) == {
        *("Network", "Subnet", "Router", "RouterInterface", "SecGroup", "SecGroupRule", "Port", "FloatingIp"),
        *("FloatingIpAssociate", "Keypair", "ServerGroup", "Instance", "VolumeAttach", "Volume", "Container"),
    }
    for kind in PLUGIN.kinds:
        module = kind.args.__module__.removeprefix("pulumi_openstack.").split(".")[0]
        name = kind.args.__name__.removesuffix("Args")
        assert kind.token == f"openstack:{module}/{name[0].lower()}{name[1:]}:{name}"


@pytest.mark.parametrize("kind", PLUGIN.kinds, ids=lambda kind: kind.token.split(":")[-1])
def test_what_replaces_is_what_the_package_says(kind: Kind[Cloud]) -> None:
    """The SDK's own words, `Changing this creates a new …`, and the table here never contradict each other."""
    fields = of_class(kind.args).fields
    assert kind.replaces <= fields.keys()
    for _, name, property_ in _types._py_properties(kind.args):
        words = " ".join((property_.fget.__doc__ or "").split())
        if re.search(r"Changing this (value )?(creates a new|forces a new)", words):
            # a retype in place is told of in the same sentence
            assert name in kind.replaces, f"{name}: {words}"
        elif re.search(r"Changing this (value )?(updates|resizes|rebuilds|removes or adds|changes)", words):
            assert name not in kind.replaces, f"{name}: {words}"


@pytest.mark.parametrize("kind", PLUGIN.kinds, ids=lambda kind: kind.token.split(":")[-1])
def test_outputs_are_those_of_the_package(kind: Kind[Cloud]) -> None:
    module = __import__(kind.args.__module__, fromlist=["x"])
    known = {str(name) for name in _types.resource_types(getattr(module, kind.args.__name__.removesuffix("Args")))}
    assert kind.outputs <= known
    assert kind.defaults.keys() <= of_class(kind.args).fields.keys()


def test_a_port_has_its_address_alone(cloud: Cloud, site: Site) -> None:
    held = port(cloud, site, "10.20.0.11")
    outputs = read(cloud, "Port", held)
    assert outputs
    assert outputs["allFixedIps"] == ["10.20.0.11"]
    assert outputs["allSecurityGroupIds"] == [site.group]
    with pytest.raises(CloudError, match=r"409 instead: .*IP address 10\.20\.0\.11 already allocated in subnet"):
        port(cloud, site, "10.20.0.11")
    with pytest.raises(CloudError, match=r"10\.21\.0\.1 is not a valid IP for the specified subnet"):
        port(cloud, site, "10.21.0.1")
    with pytest.raises(CloudError, match="already allocated"):
        port(cloud, site, "10.20.0.1")
    delete(cloud, "Port", held)
    assert read(cloud, "Port", held) is None
    port(cloud, site, "10.20.0.11")


def test_a_port_changes_its_groups_and_keeps_its_address(cloud: Cloud, site: Site) -> None:
    held = port(cloud, site)
    before = read(cloud, "Port", held)
    assert before
    assert before["allFixedIps"] == ["10.20.0.10"]
    fixed = [{"subnetId": site.subnet}]
    other, _ = make(cloud, "SecGroup", name="other", description="")
    inputs = {"name": "p", "networkId": site.network, "fixedIps": fixed, "securityGroupIds": [site.group, other]}
    after = update(cloud, "Port", held, before, **inputs)
    assert after["allFixedIps"] == ["10.20.0.10"]
    assert set(after["allSecurityGroupIds"]) == {site.group, other}
    assert after["fixedIps"] == fixed
    assert after["macAddress"] == before["macAddress"]
    with pytest.raises(CloudError, match=f"Security Group {other} in use"):
        delete(cloud, "SecGroup", other)


def test_a_rule_stands_once_in_its_group(cloud: Cloud, site: Site) -> None:
    rule = {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "securityGroupId": site.group}
    ssh = {**rule, "portRangeMin": 22, "portRangeMax": 22, "remoteIpPrefix": "192.0.2.10/32"}
    identity, _ = make(cloud, "SecGroupRule", **ssh)
    with pytest.raises(CloudError, match=f"Security group rule already exists. Rule id is {identity}"):
        make(cloud, "SecGroupRule", **ssh, description="again")
    make(cloud, "SecGroupRule", **{**ssh, "remoteIpPrefix": "192.0.2.11/32"})
    delete(cloud, "SecGroup", site.group)
    assert read(cloud, "SecGroupRule", identity) is None


def test_a_group_lets_everything_out_unless_told_otherwise(cloud: Cloud, site: Site) -> None:
    out = {"direction": "egress", "ethertype": "IPv4"}
    make(cloud, "SecGroupRule", **out, securityGroupId=site.group)
    open_, _ = make(cloud, "SecGroup", name="open", description="")
    with pytest.raises(CloudError, match="already exists"):
        make(cloud, "SecGroupRule", **out, securityGroupId=open_)


def test_a_floating_address_needs_a_way_to_the_port(cloud: Cloud, site: Site) -> None:
    _, floating = make(cloud, "FloatingIp", pool="public")
    assert floating["address"] == "192.0.2.31"
    held = port(cloud, site)
    delete(cloud, "RouterInterface", site.interface)
    with pytest.raises(CloudError, match="is not reachable from subnet"):
        make(cloud, "FloatingIpAssociate", floatingIp=floating["address"], portId=held)
    interface, _ = make(cloud, "RouterInterface", routerId=site.router, subnetId=site.subnet)
    identity, _ = make(cloud, "FloatingIpAssociate", floatingIp=floating["address"], portId=held)
    with pytest.raises(CloudError, match="as it is required by one or more floating IPs"):
        delete(cloud, "RouterInterface", interface)
    delete(cloud, "Port", held)
    assert read(cloud, "FloatingIpAssociate", identity) is None, "a port that goes leaves its floating address"


def test_floating_addresses_end(cloud: Cloud) -> None:
    given = [make(cloud, "FloatingIp", pool="public")[1]["address"] for _ in range(6)]
    assert len(set(given)) == 6
    with pytest.raises(CloudError, match="No more IP addresses available on network"):
        make(cloud, "FloatingIp", pool="public")
    with pytest.raises(CloudError, match="No Network found with name: private"):
        make(cloud, "FloatingIp", pool="private")


def test_an_instance_is_the_host_at_its_floating_address(cloud: Cloud, site: Site, lab: Lab) -> None:
    make(cloud, "FloatingIp", pool="public")
    _, second = make(cloud, "FloatingIp", pool="public")
    held = port(cloud, site, "10.20.0.11")
    make(cloud, "FloatingIpAssociate", floatingIp=second["address"], portId=held)
    identity, outputs = server(cloud, held, userData="#cloud-config\n", metadata={"role": "primary-db"})
    assert lab.booted == {
        "cloud-o2": (
            "debian",
            catalogue.PUBLIC_KEY,
            "coolvds-nvme-db-01",
            "#cloud-config\n",
            ["10.20.0.11/24"],
        )
    }
    assert outputs["accessIpV4"] == "10.20.0.11"
    assert outputs["allMetadata"] == {"role": "primary-db"}
    assert outputs["networks"][0]["port"] == held
    assert "host" not in outputs
    other = port(cloud, site)
    server(cloud, other, imageId=list(catalogue.IMAGES)[2])
    assert lab.booted["cloud-o3"][0] == "ubuntu", "the first two addresses are somebody's"
    found = read(cloud, "Instance", identity)
    assert found
    assert found["flavorName"] == "v2-standard-1"
    delete(cloud, "Instance", identity)
    delete(cloud, "Instance", identity)
    assert lab.asked[-1] == "shut down cloud-o2"
    assert read(cloud, "Instance", identity) is None


def test_what_changes_an_instance_in_place(cloud: Cloud, site: Site, lab: Lab) -> None:
    held = port(cloud, site)
    identity, olds = server(cloud, held)
    inputs = {name: olds[name] for name in ("name", "flavorName", "imageId", "keyPair", "stopBeforeDestroy")}
    inputs["networks"] = [{"port": held}]
    asked = list(lab.asked)
    outputs = update(cloud, "Instance", identity, olds, **{**inputs, "name": "new", "metadata": {"role": "db"}})
    assert lab.asked == asked, "neither a name nor metadata touch the machine"
    assert (outputs["name"], outputs["allMetadata"]) == ("new", {"role": "db"})
    outputs = update(cloud, "Instance", identity, olds, **{**inputs, "flavorName": "v2-highcpu-nvme"})
    assert lab.asked[len(asked) :] == ["restart cloud-o1"]
    assert outputs["flavorId"] == catalogue.FLAVORS["v2-highcpu-nvme"][0]
    volume, _ = make(cloud, "Volume", name="v", size=1)
    make(cloud, "VolumeAttach", instanceId=identity, volumeId=volume)
    asked = list(lab.asked)
    outputs = update(cloud, "Instance", identity, olds, **{**inputs, "imageId": NEWER})
    assert lab.asked[len(asked) :] == ["shut down cloud-o1", "boot cloud-o1"], "a rebuild wipes the disk"
    assert lab.hosts["cloud-o1"] == [volume], "and leaves the volumes attached"
    assert outputs["imageName"] == "Debian 13"
    changing = instance.Instance()
    assert changing.recomputed(frozenset({"flavorName", "metadata"})) == {"flavorId", "allMetadata"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"flavorName": "v2-huge"}, "^Unable to find flavor with name v2-huge$"),
        ({"imageId": "no"}, "Error creating OpenStack server: .*got 400 instead: .*Can not find requested image"),
        ({"keyPair": "no"}, "got 400 instead: .*Invalid key_name provided"),
        ({"availabilityZone": "no"}, "The requested availability zone is not available"),
        ({"networks": [{"port": "no"}]}, "Port id no could not be found"),
        ({"schedulerHints": [{"group": "no"}]}, "Server group not found"),
        ({"userData": "#cloud-config\nruncmd: []\n"}, "user data with 'runcmd'"),
    ],
)
def test_an_instance_that_is_refused_leaves_nothing(
    cloud: Cloud, site: Site, lab: Lab, more: dict[str, Any], words: str
) -> None:
    held = port(cloud, site)
    with pytest.raises(CloudError, match=words):
        server(cloud, held, **more)
    assert lab.hosts == {}
    server(cloud, held)


def test_the_quota_is_reached(cloud: Cloud, site: Site, lab: Lab) -> None:
    with cloud.state("compute") as state:
        state["quota"]["cores"] = 5
    server(cloud, port(cloud, site), flavorName="v2-highcpu-nvme")
    second, _ = server(cloud, port(cloud, site))
    words = r"403 instead: .*Quota exceeded for cores: Requested 1, but already used 5 of 5 cores"
    with pytest.raises(CloudError, match=words):
        server(cloud, port(cloud, site))
    quota = ask(cloud, "getQuotaSetV2", projectId=catalogue.PROJECT_ID)
    assert (quota["cores"], quota["instances"]) == (5, 10)
    with pytest.raises(CloudError, match="403"):
        ask(cloud, "getQuotaSetV2", projectId="another")
    delete(cloud, "Instance", second)
    with cloud.state("compute") as state:
        state["quota"]["instances"] = 1
    words = "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"
    with pytest.raises(CloudError, match=words):
        server(cloud, port(cloud, site))
    assert len(lab.hosts) == 1


def test_a_port_in_use_takes_no_second_machine(cloud: Cloud, site: Site, lab: Lab) -> None:
    held = port(cloud, site)
    server(cloud, held)
    with pytest.raises(CloudError, match=f"Port {held} is still in use"):
        server(cloud, held)
    assert len(lab.hosts) == 1


def test_a_volume_outlives_its_instance_and_is_attached_once(cloud: Cloud, site: Site, lab: Lab) -> None:
    first, _ = server(cloud, port(cloud, site))
    second, _ = server(cloud, port(cloud, site))
    volume, outputs = make(cloud, "Volume", name="data", size=2, volumeType="nvme")
    assert cloud.image(volume).stat().st_size == 2 * 1024**3
    assert outputs["attachments"] == []
    attachment, outputs = make(cloud, "VolumeAttach", instanceId=first, volumeId=volume)
    assert attachment.startswith(f"{first}/")
    assert outputs["device"] == "/dev/vdb"
    with pytest.raises(CloudError, match=r"status must be available or downloading to reserve.*in-use"):
        make(cloud, "VolumeAttach", instanceId=second, volumeId=volume)
    held = read(cloud, "Volume", volume)
    assert held
    assert held["attachments"][0]["instanceId"] == first
    lab.mounted.add(volume)
    with pytest.raises(CloudError, match="mounted"):
        delete(cloud, "VolumeAttach", attachment)
    delete(cloud, "Instance", first)
    assert read(cloud, "VolumeAttach", attachment) is None
    delete(cloud, "VolumeAttach", attachment)
    lab.mounted.clear()
    attachment, _ = make(cloud, "VolumeAttach", instanceId=second, volumeId=volume)
    delete(cloud, "VolumeAttach", attachment)
    assert list(lab.hosts.values()) == [[]]
    delete(cloud, "Volume", volume)
    assert not cloud.image(volume).exists()


def test_a_volume_grows_and_never_shrinks(cloud: Cloud, site: Site, lab: Lab) -> None:
    volume, olds = make(cloud, "Volume", name="data", size=2)
    outputs = update(cloud, "Volume", volume, olds, name="data", size=3)
    assert outputs["size"] == 3
    assert cloud.image(volume).stat().st_size == 3 * 1024**3
    with pytest.raises(CloudError, match=r"must be greater than current size. \(current: 3, extended: 2\)"):
        update(cloud, "Volume", volume, olds, name="data", size=2)
    first, _ = server(cloud, port(cloud, site))
    make(cloud, "VolumeAttach", instanceId=first, volumeId=volume)
    with pytest.raises(CloudError, match="resizing online is disabled, see enable_online_resize option"):
        update(cloud, "Volume", volume, olds, name="data", size=4)
    update(cloud, "Volume", volume, olds, name="data", size=4, enableOnlineResize=True)
    assert lab.asked[-1] == f"grow {volume}"
    with pytest.raises(CloudError, match="migration_policy is never"):
        update(cloud, "Volume", volume, olds, name="data", size=4, volumeType="hdd")
    assert update(cloud, "Volume", volume, olds, name="renamed", size=4)["name"] == "renamed"


def test_volumes_that_are_refused(cloud: Cloud) -> None:
    with pytest.raises(CloudError, match=r"404 instead: .*Volume type tape could not be found"):
        make(cloud, "Volume", name="data", size=1, volumeType="tape")
    with cloud.state("block storage") as state:
        state["quota"]["volumes"] = 0
    with pytest.raises(CloudError, match=r"Maximum number of volumes allowed \(0\) exceeded for quota 'volumes'"):
        make(cloud, "Volume", name="data", size=1)
    assert [item.property for item in storage.Volume().problems({"snapshotId": "x"})] == ["snapshotId"]


def test_what_is_in_use_stays(cloud: Cloud, site: Site) -> None:
    port(cloud, site)
    with pytest.raises(CloudError, match="There are one or more ports still in use on the network"):
        delete(cloud, "Network", site.network)
    with pytest.raises(CloudError, match="have an IP allocation from"):
        delete(cloud, "Subnet", site.subnet)
    with pytest.raises(CloudError, match="still has ports"):
        delete(cloud, "Router", site.router)
    with pytest.raises(CloudError, match=f"overlaps with another subnet. Subnet with id: {site.subnet}"):
        make(cloud, "Subnet", name="other", networkId=site.network, cidr="10.20.0.128/25")


def test_key_pairs_have_one_name(cloud: Cloud) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 me"
    identity, outputs = make(cloud, "Keypair", name="mine", publicKey=key)
    assert identity == "mine"
    assert len(outputs["fingerprint"].split(":")) == 16
    with pytest.raises(CloudError, match=r"409 instead: .*Key pair 'deploy_key_2020' already exists"):
        make(cloud, "Keypair", name="deploy_key_2020", publicKey=key)
    with pytest.raises(CloudError, match="Keypair data is invalid"):
        make(cloud, "Keypair", name="other", publicKey="not a key")


def test_a_server_group_counts_its_members(cloud: Cloud, site: Site, lab: Lab) -> None:
    group, outputs = make(cloud, "ServerGroup", name="apart", policies="anti-affinity")
    assert outputs["members"] == []
    identity, _ = server(cloud, port(cloud, site), schedulerHints=[{"group": group}])
    found = read(cloud, "ServerGroup", group)
    assert found
    assert found["members"] == [identity]
    with pytest.raises(CloudError, match="Invalid input for field/attribute policies"):
        make(cloud, "ServerGroup", name="odd", policies="apart")
    assert len(lab.hosts) == 1


def test_a_container_with_objects_stays(cloud: Cloud) -> None:
    identity, _ = make(cloud, "Container", name="backups", versioning=True, metadata={"expire-days": "30"})
    assert identity == "backups"
    with cloud.state("object storage") as state:
        state["containers"]["backups"]["objects"] = 1
    with pytest.raises(CloudError, match="409 instead: There was a conflict"):
        delete(cloud, "Container", "backups")
    with cloud.state("object storage") as state:
        state["containers"]["backups"]["objects"] = 0
    delete(cloud, "Container", "backups")
    assert read(cloud, "Container", "backups") is None


def test_what_a_program_asks(cloud: Cloud, site: Site) -> None:
    flavor = ask(cloud, "getFlavor", name="v2-highcpu-nvme")
    assert (flavor["vcpus"], flavor["ram"]) == (4, 8192)
    assert ask(cloud, "getImage", name="Debian 12", mostRecent=True)["id"] == DEBIAN
    assert ask(cloud, "getImageIds")["ids"] == [NEWER, DEBIAN, list(catalogue.IMAGES)[2]]
    assert ask(cloud, "getImageIds", nameRegex="^Debian 12$")["ids"] == [DEBIAN]
    assert ask(cloud, "getNetwork", name="public")["id"] == catalogue.EXTERNAL_NETWORK
    assert ask(cloud, "getNetwork", networkId=site.network)["subnets"] == [site.subnet]
    assert ask(cloud, "getSubnetIdsV2", networkId=site.network, ipVersion=4)["ids"] == [site.subnet]
    assert ask(cloud, "getSecGroup", name="default")["id"] == catalogue.DEFAULT_GROUP
    assert ask(cloud, "getKeypair", name="deploy_key_2020")["publicKey"] == catalogue.PUBLIC_KEY
    assert ask(cloud, "getAuthScope", name="x")["projectId"] == catalogue.PROJECT_ID


@pytest.mark.parametrize(
    ("function", "inputs", "words"),
    [
        ("getFlavor", {"name": "v2-huge"}, "^Your query returned no results. Please change your search criteria"),
        ("getFlavor", {}, "^Your query returned more than one result"),
        ("getImage", {"name": "Debian 7", "mostRecent": True}, "^Your query returned no results"),
        ("getImage", {"nameRegex": "Debian"}, "^Your query returned more than one result"),
        ("getNetwork", {"name": "nowhere"}, "^Your query returned no results"),
        ("getSecGroup", {"name": "nobody"}, "^No Security Group found with name: nobody$"),
        ("getKeypair", {"name": "lost"}, "^Error retrieving openstack_compute_keypair_v2 lost: .*404 instead"),
        ("getFlavor", {"name": "v2-standard-1", "region": "elsewhere"}, "No suitable endpoint could be found"),
    ],
)
def test_what_is_not_there(cloud: Cloud, function: str, inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(CloudError, match=words):
        ask(cloud, function, **inputs)


def test_a_region_without_services(tmp_path: Path) -> None:
    elsewhere = Cloud(tmp_path, "NO-Bergen-1")
    with pytest.raises(CloudError, match=r"^Error creating OpenStack networking client: No suitable endpoint"):
        make(elsewhere, "Network", name="net")
    assert not (tmp_path / "openstack.json").exists()


def test_two_processes_share_the_project(cloud: Cloud) -> None:
    identity, _ = make(cloud, "Network", name="net")
    assert cloud.folder
    other = Cloud(cloud.folder, catalogue.REGION)
    assert read(other, "Network", identity)
    stored = json.loads((cloud.folder / "openstack.json").read_text())
    assert stored["networks"][identity]["name"] == "net"


def test_nothing_is_made_where_nothing_is_kept() -> None:
    nowhere = Cloud(None, catalogue.REGION)
    assert ask(nowhere, "getFlavor", name="v2-standard-1")["vcpus"] == 1
    with pytest.raises(CloudError, match="only where FORTRESS_CLOUDS names a folder"):
        make(nowhere, "Network", name="net")


def test_without_a_lab_no_machine_is_booted(cloud: Cloud, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORTRESS_LAB", "nosuchlab")
    held = port(cloud, site)
    with pytest.raises(CloudError, match="boots instances as hosts of a lab, and none stands here"):
        server(cloud, held)
    with cloud.state("compute") as state:
        assert state["servers"] == {}


def test_what_the_lab_cannot_do_is_refused_before(cloud: Cloud) -> None:
    del cloud
    found = instance.Instance().problems({"blockDevices": [], "powerState": "shutoff"})
    assert [item.property for item in found] == ["blockDevices", "powerState"]
    assert [item.property for item in storage.VolumeAttach().problems({"device": "/dev/vdc"})] == ["device"]
