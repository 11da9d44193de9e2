"""Which countries belong to the EU and to the EEA."""

from __future__ import annotations

from typing import Literal

Profile = Literal["EEA", "EU"]

EU = frozenset(
    (
        *("AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE"),
        *("IT", "LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE"),
    )
)
"""The 27 member states (https://european-union.europa.eu/principles-countries-history/eu-countries_en), 2026."""

EEA = EU | {"IS", "LI", "NO"}
"""The EU with the EFTA states that are party to the EEA agreement (https://www.efta.int/eea), 2026."""


def inside(country: str, profile: Profile) -> bool:
    """Whether a country, in two letters (ISO 3166), is inside the profile's area."""
    return country in (EEA if profile == "EEA" else EU)
