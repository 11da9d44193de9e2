"""What rules look at: the settings, resources as the engine has them, and the engine's own surroundings.

The program, the policy pack and `fortress audit` each make an `Evidence`; rules never see where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any

from fortress.sovereignty.countries import Profile, inside
from fortress.sovereignty.declared import Declared, DeclaredSite
from fortress.sovereignty.register import Operator, Register


class Withheld(Enum):
    """Stands for a value that a rule cannot look at."""

    UNKNOWN = "not known yet"
    SECRET = "secret"  # noqa: S105 - no password


CLOUDS = ("openstack", "aws")
"""Packages of the clouds that the rules know."""


@dataclass(frozen=True)
class Resource:
    """One resource. Its properties are the inputs, by the names that the engine has for them (`userData`)."""

    type: str
    name: str
    urn: str
    """With the types of its parents; the type and the name where no URN is known yet."""
    properties: Mapping[str, Any]
    """What is not known yet, or secret, is `Withheld` wherever it stands."""
    provider: str = ""
    """URN of its provider; empty where none is given, so that the engine takes the default one of the package."""
    protect: bool = False
    depends: frozenset[str] = frozenset()
    """URNs of the resources that its properties are made from, where that is known."""

    @property
    def package(self) -> str:
        """The package of its type; of a provider, the package that it is for."""
        parts = self.type.split(":")
        return parts[2] if self.is_provider else parts[0]

    @property
    def is_provider(self) -> bool:
        """Whether it is a login to a cloud, and not something there."""
        return self.type.startswith("pulumi:providers:")

    def get(self, *path: str | int) -> Any:
        """A property, None where there is none; `Withheld` where it, or what it is in, is."""
        value: Any = self.properties
        for part in path:
            if isinstance(value, Withheld):
                return value
            if isinstance(value, Mapping) and isinstance(part, str):
                value = value.get(part)
            elif isinstance(value, list | tuple) and isinstance(part, int):
                value = value[part] if part < len(value) else None
            else:
                return None
        return value

    def withheld(self, which: Withheld) -> list[str]:
        """Paths of the values that are withheld for this reason."""
        return list(_paths(self.properties, which, ""))


def _paths(value: Any, which: Withheld, path: str) -> Iterator[str]:
    if value is which:
        yield path
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _paths(part, which, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _paths(part, which, f"{path}[{index}]")


@dataclass(frozen=True)
class Environment:
    """What the variables of whoever runs the engine say."""

    passphrase_bits: float | None = None
    """How hard the passphrase is to guess, as `toolchain.guesses` estimates; None where it cannot be seen."""
    asks_for_updates: bool = True
    """Whether the engine asks its vendor for a newer version with each run."""
    plugin_servers: tuple[str, ...] = ()
    """URLs that plugins are taken from in place of their publishers'."""


@dataclass(frozen=True)
class Toolchain:
    """The engine's surroundings; None for what is not known."""

    disabled_providers: tuple[str, ...] | None = None
    """`pulumi:disable-default-providers`."""
    backend: str | None = None
    """URL of the place where the state is kept."""
    secrets_provider: str | None = None
    """What encrypts secrets: `passphrase`, or the URL of a key service."""
    environment: Environment | None = None
    """None where it is left to an audit, as by the program: said with each preview it would hide what is new."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a stack."""

    today: date
    """The day that dates in the register are compared with."""
    declared: Declared | None
    """None for a project that declares nothing."""
    resources: Sequence[Resource] = ()
    """Those to look at: all of the stack's, or one that is about to be made."""
    providers: Mapping[str, Resource] = field(default_factory=dict)
    """Explicit providers by URN, those of `resources` among them."""
    toolchain: Toolchain = Toolchain()
    settings: bool = True
    """Whether settings and toolchain are to be looked at, or were before."""

    @property
    def register(self) -> Register | None:
        """The register, if there is one."""
        return self.declared.entries if self.declared else None

    @property
    def profile(self) -> Profile:
        """Where operators and keys must be."""
        return self.register.profile if self.register else "EEA"

    def outside(self, operator: Operator) -> str | None:
        """What puts an operator outside the profile's area, in words; None where it and its parent are inside."""
        if operator.parent_country is None:
            return "has a parent company whose country is UNDECLARED"
        if not inside(operator.country, self.profile):
            return f"is established in {operator.country}"
        if not inside(operator.parent_country, self.profile):
            return f"has its parent company in {operator.parent_country}"
        return None

    def operator(self, site: str) -> Operator | None:
        """The register's entry of a site's operator."""
        if self.declared is None or self.register is None or site not in self.declared.sites:
            return None
        return self.register.operators.get(self.declared.sites[site].operator)

    def of_type(self, *kinds: str) -> Iterator[Resource]:
        """Resources whose type is one of these, or in one of these modules (`aws:kms/`)."""
        for resource in self.resources:
            if any(resource.type == kind or (kind.endswith("/") and resource.type.startswith(kind)) for kind in kinds):
                yield resource

    def of_package(self, package: str) -> Iterator[Resource]:
        """Resources of a cloud, without the logins to it."""
        return (found for found in self.resources if found.package == package and not found.is_provider)

    def provider_of(self, resource: Resource) -> Resource | None:
        """The explicit provider of a resource."""
        return self.providers.get(resource.provider)

    def region_of(self, resource: Resource) -> Any:
        """The region in effect: the resource's own, or else its provider's; None where neither says."""
        own = resource.get("region")
        if own is not None:
            return own
        provider = self.provider_of(resource)
        return provider.get("region") if provider else None

    def sites_on(self, cloud: str) -> dict[str, DeclaredSite]:
        """The settings' sites on `openstack` or `aws`."""
        sites = self.declared.sites if self.declared else {}
        return {name: site for name, site in sites.items() if site.cloud == cloud}

    def sites_of(self, resource: Resource) -> list[str] | Withheld:
        """Sites that a resource may be at, by the kind of its cloud and the region in effect."""
        region = self.region_of(resource)
        if isinstance(region, Withheld):
            return region
        return [name for name, site in self.sites_on(resource.package).items() if site.region == region]
