"""What the register's own words mean to a reader who is no engineer."""

from __future__ import annotations

from collections.abc import Mapping

BASES: Mapping[str, str] = {
    "consent": "consent (Article 6(1)(a) GDPR)",
    "contract": "performance of a contract (Article 6(1)(b) GDPR)",
    "legal-obligation": "a legal obligation (Article 6(1)(c) GDPR)",
    "vital-interests": "vital interests (Article 6(1)(d) GDPR)",
    "public-task": "a task in the public interest (Article 6(1)(e) GDPR)",
    "legitimate-interests": "legitimate interests (Article 6(1)(f) GDPR)",
}

SAFEGUARDS: Mapping[str, str] = {
    "no-transfer": "no transfer to a third country",
    "adequacy": "an adequacy decision (Article 45 GDPR)",
    "standard-clauses": "standard contractual clauses (Article 46(2)(c) GDPR)",
    "binding-rules": "binding corporate rules (Article 46(2)(b) GDPR)",
    "derogation": "a derogation for a specific situation (Article 49 GDPR)",
}

CLASSES: Mapping[str, str] = {
    "none": "no personal data",
    "pseudonymised": "pseudonymised data",
    "ciphertext": "encrypted data that the receiver cannot read",
    "personal": "personal data in clear text",
}

SHORT_CLASSES: Mapping[str, str] = {
    "none": "no personal data",
    "pseudonymised": "pseudonymised data",
    "ciphertext": "encrypted data",
    "personal": "personal data",
}
"""For a drawing."""

USE_CASES: Mapping[int, str] = {
    1: "1, stored encrypted with keys of the exporter: effective",
    2: "2, pseudonymised data: effective",
    3: "3, encrypted in transit: effective",
    4: "4, a protected recipient: effective",
    5: "5, split processing: effective",
    6: "6, a cloud processor that needs clear text: no effective technical measure",
    7: "7, remote access to clear text: no effective technical measure",
}
"""Of EDPB recommendations 01/2020, annex 2."""

KEY_SERVICES: Mapping[str, str] = {
    "passphrase": "a passphrase",
    "own-vault": "a vault of the controller's own",
    "own-hsm": "a hardware security module of the controller's own",
    "openstack-barbican": "the cloud's key service (OpenStack Barbican)",
    "aws-kms": "the cloud's key service (AWS KMS)",
    "other-kms": "a cloud's key service",
    "unencrypted": "nothing: the data is not encrypted where it is stored",
}

_COUNTRIES: Mapping[str, str] = {
    **{"AT": "Austria", "BE": "Belgium", "BG": "Bulgaria", "HR": "Croatia", "CY": "Cyprus", "CZ": "Czechia"},
    **{"DK": "Denmark", "EE": "Estonia", "FI": "Finland", "FR": "France", "DE": "Germany", "GR": "Greece"},
    **{"HU": "Hungary", "IE": "Ireland", "IT": "Italy", "LV": "Latvia", "LT": "Lithuania", "LU": "Luxembourg"},
    **{"MT": "Malta", "NL": "Netherlands", "PL": "Poland", "PT": "Portugal", "RO": "Romania", "SK": "Slovakia"},
    **{"SI": "Slovenia", "ES": "Spain", "SE": "Sweden", "IS": "Iceland", "LI": "Liechtenstein", "NO": "Norway"},
    **{"CH": "Switzerland", "GB": "United Kingdom", "US": "United States", "CA": "Canada", "CN": "China"},
    **{"IN": "India", "IL": "Israel", "JP": "Japan", "KR": "South Korea", "SG": "Singapore", "AU": "Australia"},
    **{"NZ": "New Zealand", "BR": "Brazil", "AR": "Argentina", "UY": "Uruguay", "RS": "Serbia", "UA": "Ukraine"},
}
"""English short names: the EEA, and countries where operators often have their seat."""


def country(code: str) -> str:
    """A country's name with its two letters; the letters alone where the name is not known here."""
    return f"{_COUNTRIES[code]} ({code})" if code in _COUNTRIES else code


def listed(names: list[str]) -> str:
    """Names as one reads them: `a, b and c`."""
    return " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part]) if names else ""
