"""Quoting and errors as Go words them; the expected texts were printed by Go programs."""

from __future__ import annotations

import errno

import pytest

from tests.doubles.pulumi_resource_command.words import join_host_port, os_words, quote


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('echo "to\tsay"; exit 3', r'"echo \"to\tsay\"; exit 3"'),
        ("a\\b\n", r'"a\\b\n"'),
        ("a\u00a0b\u00ad", r'"a\u00a0b\u00ad"'),
        ("\x7f\x01é𝄞", r'"\x7f\x01é𝄞"'),
        ("\u200b\ufeff", r'"\u200b\ufeff"'),
        ("\u2028 tab\t\v", r'"\u2028 tab\t\v"'),
        ("\U000e0001", r'"\U000e0001"'),
        ("", '""'),
    ],
)
def test_quoting(text: str, quoted: str) -> None:
    assert quote(text) == quoted


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "connection refused"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route to host"),
        (OSError(errno.ENETUNREACH, "x"), "network is unreachable"),
        (TimeoutError("timed out"), "i/o timeout"),
        (FileNotFoundError(errno.ENOENT, "x"), "no such file or directory"),
        (OSError("strange"), "strange"),
    ],
)
def test_system_errors(error: OSError, words: str) -> None:
    assert os_words(error) == words


def test_addresses() -> None:
    assert join_host_port("192.0.2.11", 22) == "192.0.2.11:22"
    assert join_host_port("2001:db8::1", 22) == "[2001:db8::1]:22"
