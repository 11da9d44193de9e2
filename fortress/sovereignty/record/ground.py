"""What every part of the record looks things up in: the register, and the places that it speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fortress.explain import path_of
from fortress.sovereignty.countries import inside
from fortress.sovereignty.declared import Declared, DeclaredBackup, DeclaredSite
from fortress.sovereignty.record.model import RecordEntry
from fortress.sovereignty.record.standing import Standing
from fortress.sovereignty.record.words import country
from fortress.sovereignty.register import DataSet, Operator, Register

REGISTER = "sovereignty"
"""The setting."""
NONE_DECLARED = "none declared"


@dataclass(frozen=True)
class Ground:
    """The facts of one record."""

    declared: Declared
    standing: Standing

    @property
    def register(self) -> Register:
        """The register; one without entries where the settings have none."""
        return self.declared.entries or Register()

    def operator_of(self, site: str) -> tuple[str, Operator | None]:
        """Name of a site's operator, and the register's entry of it."""
        name = self.declared.sites[site].operator
        return name, self.register.operators.get(name)

    def site_of(self, place: str) -> str:
        """The site of a host (by its name in the settings), of a container (`SITE/NAME`), or of itself."""
        if place in self.declared.sites:
            return place
        return next(
            (host.site for host in self.declared.hosts.values() if host.setting == place), place.partition("/")[0]
        )

    def members(self, place: str) -> list[str]:
        """The hosts of a setting, as the mesh names them: several while a worker is replaced."""
        return sorted(name for name, host in self.declared.hosts.items() if host.setting == place)

    def backups_of(self, data: DataSet) -> list[DeclaredBackup]:
        """The backups that the stack makes of a data set: those of the database, if it is stored there."""
        databases = {host.setting for host in self.declared.hosts.values() if host.role == "database"}
        return list(self.declared.backups) if databases & set(data.stored_on) else []

    def where(self, site: str) -> DeclaredSite:
        """What the settings have of a site."""
        return self.declared.sites[site]


def abroad(operator: Operator | None) -> list[str]:
    """The third countries that an operator answers to: outside the EEA, whatever the profile. Empty if there are none.

    The GDPR knows third countries only as those outside the EEA.
    """
    if operator is None:
        return []
    found = [operator.country, *([operator.parent_country] if operator.parent_country else [])]
    return list(dict.fromkeys(code for code in found if not inside(code, "EEA")))


def jurisdiction(operator: Operator | None) -> str | None:
    """The country of an operator's ultimate parent, in words; None where nobody declared it."""
    return country(operator.parent_country) if operator and operator.parent_country else None


def parents(ground: Ground, operators: Iterable[str]) -> list[str]:
    """Operators with the country of their ultimate parent, as far as it is declared."""
    found = {name: jurisdiction(ground.register.operators.get(name)) for name in sorted(set(operators))}
    return [f"{name}: {parent}" for name, parent in found.items() if parent]


def setting(*path: str) -> str:
    """A path in the register, as messages have it."""
    return path_of(path, REGISTER)


def derived(*sources: str) -> str:
    """The source of what was concluded from others."""
    return f"derived from {', '.join(dict.fromkeys(sources))}"


def entry(
    key: str, title: str, values: Iterable[str | None] | str | None, source: str, *, none: str = ""
) -> RecordEntry:
    """An entry; undeclared if it has no value and no word for having none."""
    given = (values,) if isinstance(values, str) or values is None else tuple(values)
    found = tuple(value for value in given if value)
    if not found and none:
        return RecordEntry(key=key, title=title, values=(none,), source=source, none=True)
    return RecordEntry(key=key, title=title, values=found, source=source, undeclared=not found)


def from_state(*urns: str) -> str:
    """The source of what the state has, by the names of its resources."""
    return f"state: {', '.join(dict.fromkeys(urn.rpartition('::')[2] for urn in urns))}"
