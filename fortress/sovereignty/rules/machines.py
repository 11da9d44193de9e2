"""Machines that may be thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fortress.sovereignty.evidence import Evidence, Resource, Withheld
from fortress.sovereignty.finding import RuleFinding, rule
from fortress.sovereignty.rules.words import about, unseen

MACHINES = (
    "aws:ec2/instance:Instance",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:ec2/spotInstanceRequest:SpotInstanceRequest",
)


@rule(
    "disposable-compute",
    why="A worker that leaves a disk behind, or whose credentials any process can fetch, gives away what passed "
    "through it.",
    source="docs.aws.amazon.com, EC2: deleteOnTermination, IMDSv2, EBS encryption; Article 32(1) GDPR",
)
def disposable_compute(evidence: Evidence) -> Iterator[RuleFinding]:
    """A machine on AWS ends with its disks, which are encrypted, answers IMDSv2 only, and nothing protects it."""
    for resource in evidence.of_type(*MACHINES):
        yield from _must_be(resource, ("metadataOptions", "httpTokens"), "required", "IMDSv1 answers any process")
        if resource.protect:
            yield about(resource, "is protected, so that it cannot be thrown away", "leave protect out")
        for flag in ("disableApiTermination", "disableApiStop"):
            if resource.get(flag) not in (None, False):
                yield about(resource, f"{flag} keeps it from being thrown away", f"leave {flag} out")
        if resource.get("hibernation") not in (None, False):
            yield about(resource, "hibernation writes its memory to the disk", "leave hibernation out")
        if "launchTemplate" not in resource.type:
            yield from _disk(resource, ("rootBlockDevice",))
        for kind in ("ebsBlockDevices", "blockDeviceMappings"):
            disks = resource.get(kind)
            if isinstance(disks, Withheld):
                yield unseen(resource, kind, disks, "name its disks in the program")
            for index in range(len(disks) if isinstance(disks, list | tuple) else 0):
                yield from _disk(resource, (kind, index, *(("ebs",) if kind == "blockDeviceMappings" else ())))


def _disk(resource: Resource, path: tuple[str | int, ...]) -> Iterator[RuleFinding]:
    yield from _must_be(resource, (*path, "encrypted"), True, "the disk is in clear text")
    if resource.get(*path, "deleteOnTermination") is not None or path[0] != "rootBlockDevice":
        yield from _must_be(resource, (*path, "deleteOnTermination"), True, "the disk outlives the machine")


def _must_be(resource: Resource, path: tuple[str | int, ...], wanted: Any, wrong: str) -> Iterator[RuleFinding]:
    value, shown = resource.get(*path), ".".join(map(str, path))
    cure = f"set {shown} to {str(wanted).lower()}"
    if isinstance(value, Withheld):
        yield unseen(resource, shown, value, cure)
    elif value not in (wanted, str(wanted).lower()):
        yield about(resource, f"{shown} is {'not given' if value is None else value}: {wrong}", cure)
