"""What the clouds of a stack are asked: by whom, and what they answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

import pulumi

from components.aws_site import AwsSite as AwsSiteComponent
from components.openstack_site import OpenStackSite as OpenStackSiteComponent
from fortress.settings.hosts import KeyPair


@dataclass(frozen=True)
class Clouds:
    """The clouds of a stack, ready for machines."""

    providers: Mapping[str, pulumi.ProviderResource]
    """By site."""
    openstack: Mapping[str, OpenStackSiteComponent]
    aws: Mapping[str, AwsSiteComponent]
    found: Found


def public_key_of(pair: KeyPair, project: Path) -> str | None:
    return (project / pair.public_key).read_text(encoding="utf-8").strip() if pair.public_key else None


P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Found:
    """What the clouds answered, by the settings that named it."""

    networks: dict[str, str] = field(default_factory=dict)
    """Site: id of its existing network, or VPC."""
    external_networks: dict[str, str] = field(default_factory=dict)
    """Site: id of the network that leads out."""
    subnets: dict[str, str] = field(default_factory=dict)
    """Site on OpenStack: id of the subnet of its existing network."""
    zone_subnets: dict[str, dict[str, str]] = field(default_factory=dict)
    """Site on AWS: ids of the subnets of its existing VPC, by zone."""
    images: dict[str, str] = field(default_factory=dict)
    """Member: id of its image."""
    groups: dict[str, list[str]] = field(default_factory=dict)
    """Member: ids of the security groups that it names."""


@dataclass
class Cloud:
    """One cloud to ask, and the list of what it could not answer."""

    opts: pulumi.InvokeOptions
    """Go with each question: they name the provider that logs in."""
    problems: list[str]

    def ask(self, path: str, cure: str, question: Callable[P, T], /, *args: P.args, **arguments: P.kwargs) -> T | None:
        """The answer to one function of the provider, or None and one more problem: setting, reason, cure."""
        try:
            return question(*args, **arguments)
        except Exception as bad:  # noqa: BLE001 - the SDK raises plain Exception for whatever the cloud refused
            self.problems.append(f"{path}: {_reason(bad)}; {cure}")
            return None

    def may_ask(self, question: Callable[P, T], /, *args: P.args, **arguments: P.kwargs) -> T | None:
        """The answer where the login is allowed the question: what cannot be known before is the cloud's to refuse."""
        try:
            return question(*args, **arguments)
        except Exception as bad:  # noqa: BLE001 - as above
            pulumi.log.debug(f"not asked: {_reason(bad)}")
            return None


_ENVELOPE = (
    (r"^invoke of \S+ failed: ", ""),
    (r"^invocation of \S+ returned an error: ", ""),
    (r"^invoking \S+: ", ""),
    (r"^\d+ errors? occurred: \* ", ""),
    # AWS's SDK for Go, around what the service said
    (r"operation error [\w ]+: \w+, ", ""),
    (r"exceeded maximum number of attempts, \d+, ", ""),
    (r"https response error StatusCode: \d+, RequestID: [^,]*, ", ""),
    (r"(api error|request send failed,) (?=\w)", ""),
    # gophercloud, around an error of a service in JSON
    (r"Expected HTTP response code \[.*?\{.*?\"message\": ?\"((?:[^\"\\]|\\.)+)\".*", r"\1"),
    # advice that is not for here
    (r" Please see https://www\.pulumi\.com/.*", ""),
    (r" Make sure you have set your AWS region, e\.g\. .*", ""),
    (r" Please change your search criteria and try again\.?$", ""),
)


def _reason(bad: Exception) -> str:
    """The cloud's words as one line that a terminal can show, without what the layers in between put around them."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(bad))
    words = " ".join(words.split())
    for layer, instead in _ENVELOPE:
        words = re.sub(layer, instead, words)
    return (words.strip(" .") or type(bad).__name__)[:500]
