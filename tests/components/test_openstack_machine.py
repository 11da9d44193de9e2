"""A machine on OpenStack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components.openstack_machine import OpenStackMachine, OpenStackMachineArgs
from tests.components.clouds import check_children, inputs, run_in_cloud, types, unknown
from tests.components.engine import waits
from tests.doubles.pulumi_mocks import Run, address_of, plain, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN

PORT = "openstack:networking/port:Port"
FLOATING = "openstack:networking/floatingIp:FloatingIp"
ASSOCIATION = "openstack:networking/floatingIpAssociate:FloatingIpAssociate"
INSTANCE = "openstack:compute/instance:Instance"

KNOWN: dict[str, Any] = {
    "flavor": "v2-highcpu-nvme",
    "image_id": "image-1",
    "key_pair": "deploy_key_2020",
    "network_id": "net-1",
    "subnet_id": "sub-1",
    "group_ids": ["group-1", "group-2"],
}
ALL: dict[str, Any] = {
    "instance_name": "coolvds-nvme-db-01",
    "fixed_address": "10.20.0.11",
    "floating_pool": "public",
    "metadata": {"role": "primary-db"},
    "server_group_id": "apart-1",
    "availability_zone": "nova-1",
    "user_data": "#cloud-config\n",
}

PINNED = {"delete_before_replace": True, "ignore_changes": ("userData", "keyPair", "imageId")}
"""What holds for an instance that keeps its image."""


def arguments(**more: Any) -> OpenStackMachineArgs:
    return OpenStackMachineArgs(**{**KNOWN, **more})  # type: ignore[typeddict-item]


def machine(preview: bool = False, gated: bool = False, **more: Any) -> Run:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = OpenStackMachine("db", arguments(**more), opts)
        return {leaf: getattr(made, leaf) for leaf in ("machine_id", "address", "fixed_address")}

    return run_in_cloud(make, preview=preview, gated=gated)


def test_a_machine_with_the_least() -> None:
    done = machine()
    assert done.resources["db"].type == "fortress:index:OpenStackMachine"
    assert types(done.children("db")) == {"db-port": PORT, "db-instance": INSTANCE}
    assert inputs(done.children("db")) == {
        "db-port": {
            "name": "db",
            "networkId": "net-1",
            "fixedIps": [{"subnetId": "sub-1"}],
            "securityGroupIds": ["group-1", "group-2"],
            "adminStateUp": True,
            "tags": ["data-fortress"],
        },
        "db-instance": {
            "name": "db",
            "flavorName": "v2-highcpu-nvme",
            "imageId": "image-1",
            "keyPair": "deploy_key_2020",
            "networks": [{"port": "db-port-id"}],
            "stopBeforeDestroy": True,
        },
    }
    check_children(done, "db", "openstack", db_instance=PINNED)


def test_a_machine_with_everything() -> None:
    done = machine(**ALL)
    assert types(done.children("db")) == {
        **{"db-port": PORT, "db-address": FLOATING, "db-association": ASSOCIATION, "db-instance": INSTANCE}
    }
    assert inputs(done.children("db")) == {
        "db-port": {
            "name": "coolvds-nvme-db-01",
            "networkId": "net-1",
            "fixedIps": [{"subnetId": "sub-1", "ipAddress": "10.20.0.11"}],
            "securityGroupIds": ["group-1", "group-2"],
            "adminStateUp": True,
            "tags": ["data-fortress"],
        },
        "db-address": {"pool": "public", "description": "coolvds-nvme-db-01", "tags": ["data-fortress"]},
        "db-association": {"floatingIp": address_of("db-address"), "portId": "db-port-id"},
        "db-instance": {
            "name": "coolvds-nvme-db-01",
            "flavorName": "v2-highcpu-nvme",
            "imageId": "image-1",
            "keyPair": "deploy_key_2020",
            "metadata": {"role": "primary-db"},
            "networks": [{"port": "db-port-id"}],
            "schedulerHints": [{"group": "apart-1"}],
            "userData": "#cloud-config\n",
            "availabilityZone": "nova-1",
            "stopBeforeDestroy": True,
        },
    }
    # The address is in use until the port before is gone.
    check_children(done, "db", "openstack", db_instance=PINNED, db_port={"delete_before_replace": True})


def test_an_instance_is_never_rebuilt_in_place() -> None:
    """Another image does nothing while pinned, and replaces otherwise."""
    unpinned = {**PINNED, "ignore_changes": ("userData", "keyPair"), "replace_on_changes": ("imageId",)}
    check_children(machine(image_pinned=False), "db", "openstack", db_instance=unpinned)
    check_children(machine(image_pinned=True), "db", "openstack", db_instance=PINNED)


def test_the_floating_address_is_in_place_before_the_instance() -> None:
    assert waits(machine(**ALL).children("db")) == {
        "db-port": set(),
        "db-address": set(),
        "db-association": {"db-port", "db-address"},
        "db-instance": {"db-port", "db-association"},
    }
    assert waits(machine().children("db")) == {"db-port": set(), "db-instance": {"db-port"}}


def test_children_wait_for_what_the_component_waits_for() -> None:
    assert all("gate" in found.waits for found in machine(gated=True, **ALL).children("db").values())


@pytest.mark.parametrize(
    ("more", "address", "fixed"),
    [
        ({}, address_of("db-port"), address_of("db-port")),
        ({"fixed_address": "10.20.0.11"}, "10.20.0.11", "10.20.0.11"),
        ({"floating_pool": "public"}, address_of("db-address"), address_of("db-port")),
        (ALL, address_of("db-address"), "10.20.0.11"),
    ],
)
def test_outputs(more: dict[str, Any], address: str, fixed: str) -> None:
    done = machine(**more)
    expected = {"machine_id": "db-instance-id", "address": address, "fixed_address": fixed}
    assert {name: (seen.value, seen.secret) for name, seen in done.outputs.items()} == {
        name: (value, False) for name, value in expected.items()
    }
    assert plain(dict(done.registered["db"])) == expected


def test_the_instance_is_there_to_be_waited_for() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = OpenStackMachine("db", arguments(), opts)
        local.Command("first-contact", create="true", opts=pulumi.ResourceOptions(depends_on=[made.instance]))
        return {}

    assert run_in_cloud(make).resources["first-contact"].waits == {"db-instance"}


def test_at_first_preview_what_is_unknown_stays_unknown() -> None:
    done = machine(preview=True, **ALL)
    assert unknown(done.children("db")) == {
        "db-association": {"floatingIp", "portId"},
        "db-instance": {"networks"},
    }
    assert {name for name, seen in done.outputs.items() if seen.known} == {"fixed_address"}
    assert not any(seen.known for seen in machine(preview=True).outputs.values())


def test_arguments_that_are_unknown_stay_unknown() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        later = local.Command("later", create="date").stdout
        more = dict.fromkeys(("image_id", "key_pair", "network_id", "subnet_id", "server_group_id"), later)
        OpenStackMachine("db", arguments(**{**ALL, **more, "group_ids": ["group-1", later]}), opts)
        return {}

    found = inputs(run_in_cloud(make, preview=True).children("db"))
    assert found["db-port"]["networkId"] is UNKNOWN
    assert found["db-port"]["fixedIps"] == [{"subnetId": UNKNOWN, "ipAddress": "10.20.0.11"}]
    assert found["db-port"]["securityGroupIds"] == ["group-1", UNKNOWN]
    assert found["db-instance"]["imageId"] is UNKNOWN
    assert found["db-instance"]["keyPair"] is UNKNOWN
    assert found["db-instance"]["schedulerHints"] == [{"group": UNKNOWN}]


def test_a_secret_stays_one_and_hides_nothing_else() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = OpenStackMachine("db", arguments(image_id=pulumi.Output.secret("image-1")), opts)
        return {"machine_id": made.machine_id, "address": made.address}

    done = run_in_cloud(make)
    assert secret_paths(done.resources["db-instance"].inputs) == {"imageId"}
    assert secret_paths(done.resources["db-port"].inputs) == set()
    assert not any(seen.secret for seen in done.outputs.values())


def test_a_protected_machine_is_protected_whole() -> None:
    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        OpenStackMachine("db", arguments(**ALL), pulumi.ResourceOptions.merge(opts, _PROTECTED))
        return {}

    assert all(found.protect for found in run_in_cloud(make).children("db").values())


_PROTECTED = pulumi.ResourceOptions(protect=True)


def test_no_metadata_is_left_out() -> None:
    assert "metadata" not in machine(metadata={}).resources["db-instance"].inputs


def test_a_machine_without_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match=r"OpenStackMachine \"db\": group_ids: must not be empty"):
        machine(group_ids=[])
