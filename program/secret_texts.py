"""What secret settings may hold: looked at with all others, since a host would refuse it in the middle of an `up`.

No line has a value in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from fortress.explain import path_of, shown
from fortress.settings.model import Settings
from fortress.settings.types import PROJECT

LINES = (
    *("database_password", "database_replication_password", "openstack_application_credential_secret"),
    *("aws_secret_access_key", "backup_password", "backup_s3_secret_access_key"),
)
"""Secrets of one line each."""


def set_secret(key: str, path: str = "") -> str:
    """The cure of a secret setting; `path` is the option for one inside a mapping."""
    return f"set it with `pulumi config set {path}--secret {PROJECT}:{key}`"


def problems(given: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with single secrets, as `name: problem; cure`."""
    for key in LINES:
        if (wrong := _line(given[key]) if key in given else None) is not None:
            yield f"{key}: {wrong}; {set_secret(key)}"
    for key in ("database_volume_key", "backup_password"):
        if len(given.get(key, "x" * 20)) < 20:
            yield f"{key}: is shorter than 20 characters; `openssl rand -base64 33` generates one"
    for key in ("ssh_private_key", "backup_sftp_key"):
        if key in given and not _is_private_key(given[key]):
            yield f"{key}: is not a private key without a passphrase in OpenSSH or PEM format"


def problems_together(given: Mapping[str, str], settings: Settings, project: Path) -> Iterator[str]:
    """What is wrong with secrets beside the settings that they belong to."""
    if settings.edge.certificate and "edge_tls_key" not in given:
        yield "edge_tls_key: missing; edge.certificate is set and needs its private key"
    elif settings.edge.certificate:
        yield from _certificate(settings.edge.certificate.file, given["edge_tls_key"], project)
    elif "edge_tls_key" in given:
        yield "edge.certificate: missing; edge_tls_key is set, but there is no certificate for it"
    if settings.copies and not settings.clustered and "database_replication_password" not in given:
        cure = set_secret("database_replication_password")
        yield f"database_replication_password: missing; database.mode is replica; {cure}"
    yield from _account_passwords(given.get("database_account_passwords", "{}"), settings.database.accounts)
    volume = settings.database.volume
    if volume and volume.encrypted and "database_volume_key" not in given:
        yield f"database_volume_key: missing; database.volume is encrypted; {set_secret('database_volume_key')}"
    if settings.database.backup:
        for problem in settings.database.backup.secrets_problems(set(given)):
            yield f"{problem}; {set_secret(problem.partition(':')[0])}"


def _account_passwords(given: str, accounts: Iterable[str]) -> Iterator[str]:
    """Each account has one, and no other has."""
    key = "database_account_passwords"
    try:
        passwords = json.loads(given)
        if not isinstance(passwords, dict):
            raise ValueError
    except ValueError:
        yield f"{key}: must be a mapping of passwords by account; {set_secret(f'{key}.NAME', '--path ')}"
        return
    for name in accounts:
        password = passwords.pop(name, None)
        wrong = "missing" if password is None else _line(password) if isinstance(password, str) else "is no text"
        if wrong is not None:
            yield f"{key}.{name}: {wrong}; {set_secret(f'{key}.{name}', '--path ')}"
    for name in passwords:
        yield f"{path_of([name], key)}: is the password of no account in database.accounts; remove it"


def _line(text: str) -> str | None:
    """What is wrong with a secret that is one line."""
    if not text:
        return "is empty"
    if "\n" in text:
        return "has a line break in it"
    return "has a NUL in it" if "\0" in text else None


def _is_private_key(text: str) -> bool:
    for read in (load_ssh_private_key, load_pem_private_key):
        try:
            read(text.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        return True
    return False


def _certificate(file: str, key: str, project: Path) -> Iterator[str]:
    """The chain is the file's, leaf first, and the key is the leaf's."""
    path = f"edge.certificate.file: {shown(file)}"
    try:
        chain = x509.load_pem_x509_certificates((project / file).read_bytes())
    except ValueError:
        yield f"{path} is not a certificate in PEM format, followed by its chain"
        return
    try:
        private = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield f"edge_tls_key: is not a private key without a passphrase in PEM format; {set_secret('edge_tls_key')}"
        return
    owners = [number for number, each in enumerate(chain, 1) if _is_key_of(private, each)]
    if not owners:
        yield (
            f"edge_tls_key: is not the key of {_name(chain[0])}, the first certificate in edge.certificate.file "
            f"({shown(file)}), nor of another one there; {set_secret('edge_tls_key')}"
        )
    elif owners[0] != 1:
        yield (
            f"{path} is in the wrong order: edge_tls_key is the key of {_name(chain[owners[0] - 1])}, certificate "
            f"{owners[0]} of {len(chain)}; put that one first, and after each one the certificate of its issuer"
        )
    else:
        yield from _order(path, chain)


def _order(path: str, chain: list[x509.Certificate]) -> Iterable[str]:
    for number, (each, issuer) in enumerate(pairwise(chain), 2):
        try:
            each.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return [
                f"{path} is in the wrong order: {_name(issuer)}, certificate {number} of {len(chain)}, is not "
                f"the issuer of {_name(each)} before it; put after each certificate that of its issuer and no other"
            ]
    return []


def _is_key_of(private: PrivateKeyTypes, certificate: x509.Certificate) -> bool:
    of_key, of_certificate = (
        each.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for each in (private.public_key(), certificate.public_key())
    )
    return of_key == of_certificate


def _name(certificate: x509.Certificate) -> str:
    return shown(certificate.subject.rfc4514_string())
