"""Tags: those of a resource, and with the provider's default ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .cloud import Cloud


def specification(cloud: Cloud, resource: str, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`TagSpecifications` of a request that makes a `resource` with the `tags` of these inputs."""
    pairs = _pairs({**cloud.default_tags, **inputs.get("tags", {})})
    return [{"ResourceType": resource, "Tags": pairs}] if pairs else []


def outputs(cloud: Cloud, state: Mapping[str, Any], found: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """`tags` and `tagsAll` for what the service has; `state` are the inputs, or the outputs so far.

    A tag that the service has as the provider sets it by default is not the resource's own, unless it was named so.
    """
    everything = {pair["Key"]: pair["Value"] for pair in found}
    own = state.get("tags") or {}
    tags = {key: value for key, value in everything.items() if key in own or cloud.default_tags.get(key) != value}
    return {"tagsAll": everything, **({"tags": tags} if tags or "tags" in state else {})}


def change(cloud: Cloud, identity: str, found: Mapping[str, str], inputs: Mapping[str, Any]) -> None:
    """Brings the tags of a thing from those found to those of the inputs."""
    wanted = {**cloud.default_tags, **inputs.get("tags", {})}
    put(cloud, identity, found, wanted)


def put(cloud: Cloud, identity: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Brings the tags of a thing from those found to those wanted."""
    if gone := found.keys() - wanted.keys():
        cloud.ec2.delete_tags(Resources=[identity], Tags=[{"Key": key} for key in sorted(gone)])
    if new := {key: value for key, value in wanted.items() if found.get(key) != value}:
        cloud.ec2.create_tags(Resources=[identity], Tags=_pairs(new))  # type: ignore[arg-type]


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
