"""Secret settings that a host would refuse: found with all else, before anything is registered."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from tests.components import whole_stack
from tests.components.whole_stack import PASSWORD
from tests.doubles.certificates import Certificate, issue
from tests.unit.stack_file import changed

pytestmark = pytest.mark.usefixtures("agent")

ROOT_CA = issue("root", authority=True)
MIDDLE = issue("middle", signer=ROOT_CA, authority=True)
LEAF = issue("fortress.example", names=("fortress.example",), signer=MIDDLE)
OTHER = issue("other.example")
CURE = "set it with `pulumi config set --secret data-fortress:{}`"


def key_of(certificate: Certificate, passphrase: bytes = b"") -> str:
    locked = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode()


def stopped(project: Path, chain: str, key: str) -> list[str]:
    (project / "site.pem").write_text(chain)
    app = project / "examples" / "app"
    app.mkdir(parents=True, exist_ok=True)
    (app / "app.py").touch()
    settings = changed({"edge/certificate": {"file": "site.pem"}})
    return whole_stack.stopped(settings, {"database_password": PASSWORD, "edge_tls_key": key}, project=project)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "is empty"),
        ("two\nlines", "has a line break"),
        ("end\n", "has a line break"),
        ("\0", "has a NUL"),
    ],
)
def test_a_password_that_the_host_would_refuse(text: str, wrong: str) -> None:
    (line,) = whole_stack.stopped(changed({}), {"database_password": text})
    assert line.startswith(f"data-fortress:database_password: {wrong}")
    assert line.endswith(f"; {CURE.format('database_password')}")


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    assert stopped(tmp_path, LEAF.pem + MIDDLE.pem, key_of(OTHER)) == [
        "data-fortress:edge_tls_key: is not the key of 'CN=fortress.example', the first certificate in "
        f"edge.certificate.file ('site.pem'), nor of another one there; {CURE.format('edge_tls_key')}"
    ]


def test_a_key_of_another_kind_than_the_certificates(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (line,) = stopped(tmp_path, LEAF.pem, key.decode())
    assert line.startswith("data-fortress:edge_tls_key: is not the key of 'CN=fortress.example'")


@pytest.mark.parametrize("key", ["", "KEY", key_of(LEAF, b"passphrase")])
def test_a_text_that_is_no_key(tmp_path: Path, key: str) -> None:
    assert stopped(tmp_path, LEAF.pem, key) == [
        "data-fortress:edge_tls_key: is not a private key without a passphrase in PEM format; "
        f"{CURE.format('edge_tls_key')}"
    ]


@pytest.mark.parametrize("text", ["", "no certificate\n", LEAF.pem[:200]])
def test_a_file_that_is_no_certificate(tmp_path: Path, text: str) -> None:
    assert stopped(tmp_path, text, key_of(LEAF)) == [
        "data-fortress:edge.certificate.file: 'site.pem' is not a certificate in PEM format, followed by its chain"
    ]


def test_a_chain_with_the_key_s_certificate_behind_others(tmp_path: Path) -> None:
    assert stopped(tmp_path, MIDDLE.pem + LEAF.pem, key_of(LEAF)) == [
        "data-fortress:edge.certificate.file: 'site.pem' is in the wrong order: edge_tls_key is the key of "
        "'CN=fortress.example', certificate 2 of 2; put that one first, and after each one the certificate of its "
        "issuer"
    ]


def test_a_chain_that_is_out_of_order_behind_the_first(tmp_path: Path) -> None:
    assert stopped(tmp_path, LEAF.pem + ROOT_CA.pem + MIDDLE.pem, key_of(LEAF)) == [
        "data-fortress:edge.certificate.file: 'site.pem' is in the wrong order: 'CN=root', certificate 2 of 3, is not "
        "the issuer of 'CN=fortress.example' before it; put after each certificate that of its issuer and no other"
    ]


def test_no_line_has_a_secret_in_it(tmp_path: Path) -> None:
    lines = stopped(tmp_path, LEAF.pem, key_of(OTHER))
    assert not any(part in line for line in lines for part in key_of(OTHER).splitlines())
    (line,) = whole_stack.stopped(changed({}), {"database_password": "hush\nhush"})
    assert "hush" not in line


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ({}, ["backup_password: missing; database.backup is set", "backup_sftp_key: missing; database.backup.sftp"]),
        ({"backup_password": "short", "backup_sftp_key": key_of(OTHER)}, ["backup_password: is shorter than 20"]),
        (
            {"backup_password": "a key of more than 20", "backup_sftp_key": "x"},
            ["backup_sftp_key: is not a private key"],
        ),
    ],
)
def test_backups_need_their_key_and_what_their_target_asks_for(secrets: dict[str, str], said: list[str]) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINunBNtxzuN4QNytbTPYsxqmhpVwk8TOLiJ/onl+Uy9r"
    sftp = {"address": "192.0.2.40", "user": "keeper", "path": "/srv/vault", "host_key": key}
    settings = changed({"database/backup": {"site": "oslo", "sftp": sftp}})
    found = whole_stack.stopped(settings, {"database_password": PASSWORD, **secrets})
    assert [line.removeprefix("data-fortress:")[: len(start)] for line, start in zip(found, said, strict=True)] == said
