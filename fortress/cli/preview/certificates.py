"""Certificates in a text, as what a reviewer wants to know of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def readable(text: str) -> str:
    """The same text with each certificate as one line: its names, its dates, and the beginning of its fingerprint.

    What looks like one and cannot be read stays as it is.
    """
    return _PEM.sub(lambda found: _described(found[0]), text) if "BEGIN CERTIFICATE" in text else text


def _described(pem: str) -> str:
    from cryptography import x509  # slow to import, and seldom needed
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        found = x509.load_pem_x509_certificate(pem.encode())
        names = ", ".join(dict.fromkeys([found.subject.rfc4514_string(), *_alternatives(found)])) or "no name"
        dates = f"{found.not_valid_before_utc:%Y-%m-%d} to {found.not_valid_after_utc:%Y-%m-%d}"
        return f"[certificate of {names}; valid {dates}; sha256 {found.fingerprint(SHA256()).hex()[:16]}]"
    except (ValueError, TypeError, OverflowError, x509.UnsupportedGeneralNameType):
        return pem


def _alternatives(found: Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
    return [str(name.value) for name in names]
