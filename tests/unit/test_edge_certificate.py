"""edge-certificate: a self-signed certificate that is made once, and again only when it must be; under dash."""

import datetime
import ipaddress
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fortress import haproxy

SCRIPT = Path(__file__).parents[2] / "fortress" / "scripts" / "edge-certificate"
NAMES = ("lab.fortress.example", "192.0.2.12", "2001:db8::12")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "private" / "site.pem"


def run(file: Path, *names: str, days: int = 90, renew: int = 30, path: str = "") -> subprocess.CompletedProcess[str]:
    unit = ["--reload", "haproxy"] if path else []
    return subprocess.run(
        ["dash", SCRIPT, *unit, file, str(days), str(renew), *names],
        env={"PATH": f"{path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )


def made(file: Path, *names: str, days: int = 90, renew: int = 30) -> str:
    result = run(file, *names, days=days, renew=renew)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_makes_a_certificate_and_shows_its_public_part_only(file: Path) -> None:
    printed = made(file, *NAMES)
    kept = file.read_text()
    assert kept.startswith(printed)
    assert "PRIVATE KEY" in kept
    assert "PRIVATE" not in printed
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert list(file.parent.iterdir()) == [file]

    certificate = x509.load_pem_x509_certificate(printed.encode())
    key = load_pem_private_key(kept.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == certificate.public_key()
    # By this it is told from a certificate that came from elsewhere.
    assert certificate.subject == certificate.issuer
    assert certificate.subject.rfc4514_string() == f"CN={haproxy.SELF_SIGNED_NAME}"
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(alternative) == [
        x509.DNSName("lab.fortress.example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.12")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::12")),
    ]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=89, hours=23) < left <= datetime.timedelta(days=90)


@pytest.mark.parametrize(
    "again", [NAMES, tuple(reversed(NAMES)), (*NAMES, NAMES[0]), (*NAMES[:2], "2001:db8:0:0:0:0:0:12")]
)
def test_leaves_a_good_one_alone(file: Path, again: tuple[str, ...]) -> None:
    first = made(file, *NAMES)
    before = file.read_bytes(), file.stat().st_mtime_ns
    file.chmod(0o644)
    assert made(file, *again) == first
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("again", [NAMES[:2], (*NAMES, "more.example"), ("other.example", *NAMES[1:])])
def test_makes_another_when_the_names_differ(file: Path, again: tuple[str, ...]) -> None:
    first = made(file, *NAMES)
    second = made(file, *again)
    assert second != first
    assert made(file, *again) == second


def test_makes_another_in_time(file: Path) -> None:
    first = made(file, *NAMES, days=20, renew=14)
    assert made(file, *NAMES, days=90, renew=14) == first
    assert made(file, *NAMES, days=90, renew=30) != first


@pytest.mark.parametrize("harm", ["empty", "no key", "another key", "rubbish"])
def test_makes_another_when_the_file_is_not_whole(file: Path, harm: str) -> None:
    first = made(file, *NAMES)
    other = file.with_name("other.pem")
    made(other, *NAMES)
    key = other.read_text().partition("-----BEGIN PRIVATE KEY-----")
    file.write_text({"empty": "", "no key": first, "another key": first + key[1] + key[2], "rubbish": "x"}[harm])
    second = made(file, *NAMES)
    assert second != first
    assert made(file, *NAMES) == second


def test_reloads_or_starts_an_enabled_unit_only_for_a_new_one(file: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    tool = tmp_path / "systemctl"
    tool.write_text(f'#!/bin/sh\necho "$*" >>"{calls}"\n')
    tool.chmod(0o755)
    assert run(file, *NAMES, path=str(tmp_path)).returncode == 0
    told = ["--quiet is-enabled haproxy", "reset-failed haproxy", "reload-or-restart haproxy"]
    assert calls.read_text().splitlines() == told
    assert run(file, *NAMES, path=str(tmp_path)).returncode == 0
    assert calls.read_text().splitlines() == told


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Lab.example",
        "a,DNS:b",
        "a\nb",
        "*.example",
        "-a",
        "a..b",
        ".a",
        "a.",
        "1.2.3.4.5",
        "1.2.3",
        "fe80::1%eth0",
        "a:b",
    ],
)
def test_refuses_a_name_and_leaves_what_is_there(file: Path, name: str) -> None:
    made(file, *NAMES)
    before = file.read_bytes()
    result = run(file, name)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("edge-certificate: ")
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_refuses_days_that_would_never_hold(file: Path) -> None:
    result = run(file, *NAMES, days=30, renew=30)
    assert result.returncode == 1
    assert "DAYS: 30 is not above RENEW: 30" in result.stderr
    assert not file.exists()


def test_a_key_and_a_chain_from_elsewhere_are_compared(tmp_path: Path) -> None:
    """A leaf, its signer, that one's signer, and the leaf's key; refused in the words that say what to change."""
    pems, keys = {}, {}
    before = None
    for name in ("root", "middle", "leaf"):
        keys[name] = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made_now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            subject_name=subject,
            issuer_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, before or name)]),
            public_key=keys[name].public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=made_now - datetime.timedelta(days=2),
            not_valid_after=made_now + datetime.timedelta(days=2),
        )
        pems[name] = builder.sign(keys[before or name], hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        before = name
    texts = {
        name: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        for name, key in keys.items()
    }

    def check(*parts: str) -> tuple[int, str]:
        (tmp_path / "candidate").write_text("".join(parts))
        done = subprocess.run(
            ["dash", SCRIPT, "check", tmp_path / "candidate"], capture_output=True, text=True, timeout=30, check=False
        )
        assert "PRIVATE" not in done.stderr
        return done.returncode, done.stderr.strip().rpartition(": ")[2] if done.returncode else done.stderr

    leaf, middle, root = pems["leaf"], pems["middle"], pems["root"]
    for whole in ((leaf, middle, root), (leaf, middle), (leaf,)):
        assert check(*whole, texts["leaf"]) == (0, "")
    assert check(texts["leaf"], leaf, middle) == (0, "")
    code, said = check(middle, leaf, texts["leaf"])
    assert (code, said) == (1, "the key's certificate is number 2 of 2 and must come first")
    code, said = check(leaf, root, middle, texts["leaf"])
    assert (code, said) == (1, "number 3 of 3 signed the first and must follow it")
    code, said = check(leaf, middle, texts["root"])
    assert (code, said) == (1, "one of both is another site's, or from another renewal")
    code, said = check(leaf)
    assert (code, said) == (1, "it holds no private key that is whole")
    code, said = check(texts["leaf"])
    assert (code, said) == (1, "it is no certificate, or has expired")
