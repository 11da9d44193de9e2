"""A private object container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.private_container import PrivateContainer, PrivateContainerArgs
from tests.components.clouds import check_children, inputs, run_in_cloud, types
from tests.doubles.pulumi_mocks import Run, plain

CONTAINER = "openstack:objectstorage/container:Container"


def container(preview: bool = False, gated: bool = False, **more: Any) -> Run:
    known: dict[str, Any] = {"container": "personal-data", "versioning": True}

    def make(opts: pulumi.ResourceOptions) -> Mapping[str, Any]:
        made = PrivateContainer("data", PrivateContainerArgs(**{**known, **more}), opts)  # type: ignore[typeddict-item]
        return {"container": made.container}

    return run_in_cloud(make, preview=preview, gated=gated)


def test_a_container_is_private_and_protected() -> None:
    """Without an access list, which any list would make wider; and what is in it is never deleted along."""
    done = container()
    assert done.resources["data"].type == "fortress:index:PrivateContainer"
    assert types(done.children("data")) == {"data-container": CONTAINER}
    assert inputs(done.children("data")) == {
        "data-container": {"name": "personal-data", "versioning": True, "forceDestroy": False}
    }
    check_children(done, "data", "openstack", data_container={"protect": True})


def test_protection_can_be_lifted() -> None:
    check_children(container(protect=False), "data", "openstack", data_container={"protect": False})


def test_versioning_is_the_settings() -> None:
    assert container(versioning=False).resources["data-container"].inputs["versioning"] is False


@pytest.mark.parametrize("days", [30, 30.0])
def test_expiry_is_written_down_for_those_who_upload(days: float) -> None:
    assert inputs(container(expire_days=days).children("data"))["data-container"]["metadata"] == {"expire-days": "30"}


@pytest.mark.parametrize("preview", [False, True])
def test_output(preview: bool) -> None:
    done = container(preview=preview)
    seen = done.outputs["container"]
    assert (seen.value, seen.known, seen.secret) == ("personal-data", True, False)
    assert plain(dict(done.registered["data"])) == {"container": "personal-data"}


def test_it_waits_for_what_the_component_waits_for() -> None:
    assert container(gated=True).resources["data-container"].waits == {"gate"}
