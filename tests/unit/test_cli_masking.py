"""Private keys in texts: which are masked, that nothing else is, and that every line stays one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress.cli.base.masking import SECRET, masked

FORTRESS = Path(__file__).parents[2] / "fortress"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PrivateKey = HUSH=\n", "PrivateKey = [secret]\n"),
        ("PresharedKey=HUSH", "PresharedKey=[secret]"),
        ("# privatekey\t=  'HUSH' # old\r\nPublicKey = b\r\n", "# privatekey\t=  '[secret]\r\nPublicKey = b\r\n"),
        ("PRESHAREDKEY = /HU+SH HUSH\n", "PRESHAREDKEY = [secret]\n"),
        ("PrivateKey =\x0bHUSH\n", "PrivateKey =\x0b[secret]\n"),
        (
            "a\n-----BEGIN PRIVATE KEY-----\nHUSH\n-----END PRIVATE KEY-----\nb\n",
            "a\n[secret]\n[secret]\n[secret]\nb\n",
        ),
        ("-----BEGIN RSA PRIVATE KEY-----\r\nHUSH\r\n\r\nHUSH", "[secret]\r\n[secret]\r\n[secret]\r\n[secret]"),
        (
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nHUSH\n-----END PGP PRIVATE KEY BLOCK-----",
            "[secret]\n[secret]\n[secret]",
        ),
        ("x = -----BEGIN X25519 PRIVATE KEY-----HUSH", "x = [secret]"),
    ],
)
def test_a_private_key_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "PublicKey = abc=\n",
        "PrivateKey =\nListenPort = 51820\n",
        "wg set wg0 private-key /etc/wireguard/wg0.key\n",
        "ssl_key = /etc/mysql/server.key\n",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert masked(text) == text


def test_what_the_project_pushes_can_be_read() -> None:
    """A script that writes a key's line holds no key."""
    files = [FORTRESS / "push.sh", *(FORTRESS / "scripts").rglob("*"), *(FORTRESS / "templates").iterdir()]
    texts = [file.read_text() for file in files if file.is_file() and file.suffix != ".pyc"]
    assert any("PrivateKey = " in text for text in texts)
    assert [text for text in texts if masked(text) != text] == []


PIECES = [
    *("PrivateKey", "presharedkey = ", "=", "HUSH", " ", "x", SECRET),
    *("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"),
    *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_lines_stay_lines_and_what_is_masked_stays_so(text: str) -> None:
    shown = masked(text)
    assert len(shown.splitlines()) == len(text.splitlines())
    assert masked(shown) == shown
