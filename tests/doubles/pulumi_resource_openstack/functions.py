"""What a program can ask the project."""

from __future__ import annotations

import re
from typing import Any

import pulumi_openstack

from ..cloud_plugin.kinds import CloudError, Function, Properties
from . import catalogue
from .cloud import Cloud
from .kind import named
from .words import many_results, no_results, refused


class GetAuthScope(Function[Cloud]):
    token = "openstack:identity/getAuthScope:getAuthScope"
    args = staticmethod(pulumi_openstack.identity.get_auth_scope)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        with cloud.state("identity", inputs.get("region")):
            return {
                **_where(inputs),
                "id": catalogue.PROJECT_ID,
                "projectId": catalogue.PROJECT_ID,
                "projectName": catalogue.PROJECT,
                "projectDomainId": "default",
                "projectDomainName": "Default",
                "domainId": "",
                "domainName": "",
                "userId": catalogue.USER_ID,
                "userName": catalogue.USER,
                "userDomainId": "default",
                "userDomainName": "Default",
                "tokenId": "",
                "roles": [{"roleId": "9fe2ff9ee4384b1894a90878d3e92bab", "roleName": "member"}],
                "serviceCatalogs": [],
            }


class GetFlavor(Function[Cloud]):
    token = "openstack:compute/getFlavor:getFlavor"
    args = staticmethod(pulumi_openstack.compute.get_flavor)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        with cloud.state("compute", inputs.get("region")):
            _only(inputs, "name", "flavorId", "region")
        found = [
            name
            for name, (identity, *_) in catalogue.FLAVORS.items()
            if inputs.get("name") in (None, name) and inputs.get("flavorId") in (None, identity)
        ]
        name = _one(found)
        identity, cores, memory, disk = catalogue.FLAVORS[name]
        return {
            **_where(inputs),
            **{"id": identity, "flavorId": identity, "name": name, "vcpus": cores, "ram": memory, "disk": disk},
            **{"extraSpecs": {}, "isPublic": True, "rxTxFactor": 1, "swap": 0, "description": ""},
        }


class GetKeypair(Function[Cloud]):
    token = "openstack:compute/getKeypair:getKeypair"
    args = staticmethod(pulumi_openstack.compute.get_keypair)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        name = inputs.get("name", "")
        with cloud.state("compute", inputs.get("region")) as state:
            pair = state["keypairs"].get(name)
        if pair is None:
            raise refused(
                f"Error retrieving openstack_compute_keypair_v2 {name}",
                f"GET /v2.1/os-keypairs/{name}",
                404,
                f"Keypair {name} not found for user {catalogue.USER_ID}",
            )
        return {
            **_where(inputs),
            "id": name,
            "publicKey": pair["publicKey"],
            "fingerprint": pair.get("fingerprint", ""),
            "userId": catalogue.USER_ID,
        }


class GetQuotaSet(Function[Cloud]):
    token = "openstack:compute/getQuotaSetV2:getQuotaSetV2"
    args = staticmethod(pulumi_openstack.compute.get_quota_set_v2)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        with cloud.state("compute", inputs.get("region")) as state:
            quota = state["quota"]
        project = inputs["projectId"]
        if project != catalogue.PROJECT_ID:
            raise refused(
                "Error retrieving openstack_compute_quotaset_v2",
                f"GET /v2.1/os-quota-sets/{project}",
                403,
                "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.",
            )
        return {
            **_where(inputs),
            "id": project,
            **{name: quota[name] for name in ("instances", "cores", "ram")},
            **{"keyPairs": 100, "metadataItems": 128, "serverGroups": 10, "serverGroupMembers": 10},
            **{"fixedIps": -1, "floatingIps": -1, "securityGroups": -1, "securityGroupRules": -1},
            **{"injectedFiles": 5, "injectedFileContentBytes": 10240, "injectedFilePathBytes": 255},
        }


class GetImage(Function[Cloud]):
    token = "openstack:images/getImage:getImage"
    args = staticmethod(pulumi_openstack.images.get_image)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        found = _images(cloud, inputs, "mostRecent")
        if inputs.get("mostRecent"):
            found = sorted(found, key=lambda identity: catalogue.IMAGES[identity][2])[-1:]
        identity = _one(found)
        name, login, uploaded = catalogue.IMAGES[identity]
        return {
            **_where(inputs),
            **{"id": identity, "name": name, "createdAt": uploaded, "updatedAt": uploaded, "visibility": "public"},
            **{"containerFormat": "bare", "diskFormat": "qcow2", "minDiskGb": 0, "minRamMb": 0, "sizeBytes": 1 << 30},
            **{"protected": False, "checksum": "", "file": f"/v2/images/{identity}/file", "schema": "", "tags": []},
            **{"metadata": {}, "properties": {"os_distro": login}, "owner": ""},
        }


class GetImageIds(Function[Cloud]):
    token = "openstack:images/getImageIds:getImageIds"
    args = staticmethod(pulumi_openstack.images.get_image_ids)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        found = sorted(_images(cloud, inputs), key=lambda identity: catalogue.IMAGES[identity][2], reverse=True)
        return {**_where(inputs), "id": "images", "ids": found}


class GetNetwork(Function[Cloud]):
    token = "openstack:networking/getNetwork:getNetwork"
    args = staticmethod(pulumi_openstack.networking.get_network)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        _only(inputs, "name", "networkId", "external", "region")
        with cloud.state("networking", inputs.get("region")) as state:
            identity = _one(
                [
                    name
                    for name, entry in state["networks"].items()
                    if inputs.get("name") in (None, entry["name"])
                    and inputs.get("networkId") in (None, name)
                    and inputs.get("external") in (None, entry["external"])
                ]
            )
            entry = state["networks"][identity]
            subnets = [name for name, subnet in state["subnets"].items() if subnet["networkId"] == identity]
        return {
            **_where(inputs),
            **{"id": identity, "networkId": identity, "name": entry["name"], "external": entry["external"]},
            **{"subnets": subnets, "adminStateUp": "true", "shared": "false", "mtu": 1450, "dnsDomain": ""},
            **{"allTags": entry.get("allTags", []), "availabilityZoneHints": [], "segments": []},
            "tenantId": entry.get("tenantId", ""),
        }


class GetSubnetIds(Function[Cloud]):
    token = "openstack:networking/getSubnetIdsV2:getSubnetIdsV2"
    args = staticmethod(pulumi_openstack.networking.get_subnet_ids_v2)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        _only(inputs, "networkId", "ipVersion", "name", "region")
        with cloud.state("networking", inputs.get("region")) as state:
            found = [
                name
                for name, entry in state["subnets"].items()
                if all(inputs.get(key) in (None, entry[key]) for key in ("networkId", "ipVersion", "name"))
            ]
        return {**_where(inputs), "id": "subnets", "ids": found}


class GetSecGroup(Function[Cloud]):
    token = "openstack:networking/getSecGroup:getSecGroup"
    args = staticmethod(pulumi_openstack.networking.get_sec_group)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        _only(inputs, "name", "region", "tenantId")
        name, project = inputs.get("name"), inputs.get("tenantId")
        with cloud.state("networking", inputs.get("region")) as state:
            found = [
                identity
                for identity in named(state, "groups", name)
                if project in (None, state["groups"][identity].get("tenantId", catalogue.PROJECT_ID))
            ]
            if not found:
                raise CloudError(f"No Security Group found with name: {name}")
            if len(found) > 1:
                raise CloudError(f"More than one Security Group found with name: {name}")
            entry = state["groups"][found[0]]
        return {
            **_where(inputs),
            **{"id": found[0], "name": name, "description": entry["description"], "stateful": True},
            **{"allTags": entry.get("allTags", []), "tenantId": entry.get("tenantId", catalogue.PROJECT_ID)},
        }


FUNCTIONS = (
    GetAuthScope(),
    GetFlavor(),
    GetKeypair(),
    GetQuotaSet(),
    GetImage(),
    GetImageIds(),
    GetNetwork(),
    GetSubnetIds(),
    GetSecGroup(),
)


def _where(inputs: Properties) -> Properties:
    return {**inputs, "region": catalogue.REGION}


def _only(inputs: Properties, *names: str) -> None:
    if others := inputs.keys() - set(names):
        raise CloudError(f"the stand-in for OpenStack does not look for {', '.join(sorted(others))} here")


def _one(found: list[Any]) -> Any:
    if not found:
        raise no_results()
    if len(found) > 1:
        raise many_results()
    return found[0]


def _images(cloud: Cloud, inputs: Properties, *more: str) -> list[str]:
    _only(inputs, "name", "nameRegex", "region", *more)
    with cloud.state("image", inputs.get("region")):
        return [
            identity
            for identity, (name, *_) in catalogue.IMAGES.items()
            if inputs.get("name") in (None, name) and re.search(inputs.get("nameRegex", ""), name)
        ]
