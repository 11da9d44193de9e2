"""What two clouds answer a program that asks them, in a test: all that the stack `oslo` names, and little else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.pulumi_mocks import Refused, plain
from tests.doubles.pulumi_resource_command.values import Value

DEBIAN_12 = "7d1f0c8e-1a55-4d0e-8a4b-3f2b6c9d0e12"
DEBIAN_13 = "7d1f0c8e-1a55-4d0e-8a4b-3f2b6c9d0e13"
NO_RESULTS = "Your query returned no results. Please change your search criteria and try again."


@dataclass
class Catalogue:
    """Both clouds. A test takes away from it or adds to it."""

    scope: str | None = "project-id"
    """Id of the OpenStack project; None when the login fails."""
    networks: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"public": ("public-v4",)})
    """Name: its IPv4 subnets. A network's id is `ID of` and its name."""
    flavors: dict[str, tuple[int, int]] = field(
        default_factory=lambda: {"v2-highcpu-nvme": (4, 8192), "v2-standard-2": (2, 4096)}
    )
    """Name: virtual CPUs, memory in MB."""
    images: dict[str, str] = field(default_factory=lambda: {"Debian 13": DEBIAN_13})
    groups: tuple[str, ...] = ("default",)
    openstack_keys: tuple[str, ...] = ("deploy_key_2020",)
    quota: tuple[int, int, int] | None = (10, 40, 65536)
    """Instances, cores and MB of memory that the project may have; None when the login may not ask."""

    zones: tuple[str, ...] | None = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
    """None when the login fails."""
    aws_keys: tuple[str, ...] = ("deploy_key_2020",)
    amis: dict[tuple[str, str], str] = field(
        default_factory=lambda: {("136693071363", "debian-13-amd64-*"): "ami-debian-13"}
    )
    """Owner and name pattern: the newest image's id."""
    types: tuple[str, ...] = ("c5.large",)
    vpcs: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    """Id: its public subnets by zone."""

    def answers(self, token: str, arguments: Mapping[str, Value]) -> Mapping[str, Value]:
        """As `pulumi_mocks.Answers`."""
        known: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "openstack:identity/getAuthScope:getAuthScope": self._scope,
            "openstack:networking/getNetwork:getNetwork": self._network,
            "openstack:networking/getSubnetIdsV2:getSubnetIdsV2": self._subnets,
            "openstack:networking/getSecGroup:getSecGroup": self._group,
            "openstack:compute/getKeypair:getKeypair": self._key,
            "openstack:compute/getFlavor:getFlavor": self._flavor,
            "openstack:compute/getQuotaSetV2:getQuotaSetV2": self._quota,
            "openstack:images/getImage:getImage": self._image,
            "openstack:images/getImageIds:getImageIds": lambda _: {"ids": list(self.images.values())},
            "aws:index/getAvailabilityZones:getAvailabilityZones": self._zones,
            "aws:ec2/getKeyPair:getKeyPair": self._aws_key,
            "aws:ec2/getAmi:getAmi": self._ami,
            "aws:ec2/getInstanceType:getInstanceType": self._type,
            "aws:ec2/getVpc:getVpc": self._vpc,
            "aws:ec2/getSubnets:getSubnets": self._aws_subnets,
        }
        return known[token](plain(dict(arguments)))

    def _scope(self, _: dict[str, Any]) -> dict[str, Any]:
        if self.scope is None:
            raise Refused("Authentication failed")
        return {"projectId": self.scope}

    def _network(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"ID of {_there(asked['name'], self.networks)}"}

    def _subnets(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["ipVersion"] == 4
        return {"ids": list(self.networks[asked["networkId"].removeprefix("ID of ")])}

    def _group(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["tenantId"] == self.scope, "an administrator is shown the groups of every project"
        if asked["name"] not in self.groups:
            raise Refused(f"No Security Group found with name: {asked['name']}")
        return {"id": f"ID of {asked['name']}"}

    def _key(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["name"] not in self.openstack_keys:
            raise Refused(f"Keypair {asked['name']} not found")
        return {"id": asked["name"]}

    def _flavor(self, asked: dict[str, Any]) -> dict[str, Any]:
        cores, memory = self.flavors[_there(asked["name"], self.flavors)]
        return {"id": f"ID of {asked['name']}", "vcpus": cores, "ram": memory}

    def _quota(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["projectId"] == self.scope
        if self.quota is None:
            raise Refused(
                "Expected HTTP response code [200] when accessing /os-quota-sets, but got 403 instead: Forbidden"
            )
        instances, cores, memory = self.quota
        return {"instances": instances, "cores": cores, "ram": memory}

    def _image(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["mostRecent"] is True
        return {"id": self.images[_there(asked["name"], self.images)]}

    def _zones(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.zones is None:
            raise Refused("operation error EC2: DescribeAvailabilityZones, api error AuthFailure: not able to validate")
        assert asked["state"] == "available"
        return {"names": list(self.zones)}

    def _aws_key(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["keyName"] not in self.aws_keys:
            raise Refused("no matching EC2 Key Pair found")
        return {"id": f"ID of {asked['keyName']}"}

    def _ami(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["mostRecent"] is True
        wanted = {one["name"]: one["values"] for one in asked["filters"]}
        assert wanted["virtualization-type"] == ["hvm"]
        ((owner,), (name,)) = asked["owners"], wanted["name"]
        return {"id": self.amis[_there((owner, name), self.amis)]}

    def _type(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["instanceType"] not in self.types:
            raise Refused(f"The following supplied instance types do not exist: [{asked['instanceType']}]")
        return {"id": asked["instanceType"]}

    def _vpc(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["id"] not in self.vpcs:
            raise Refused("no matching EC2 VPC found")
        return {"id": asked["id"]}

    def _aws_subnets(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = {one["name"]: one["values"] for one in asked["filters"]}
        assert wanted["map-public-ip-on-launch"] == ["true"]
        ((vpc,), (zone,)) = wanted["vpc-id"], wanted["availability-zone"]
        return {"ids": list(self.vpcs[vpc].get(zone, ()))}


def _there(key: Any, among: Mapping[Any, object]) -> Any:
    if key not in among:
        raise Refused(NO_RESULTS)
    return key
