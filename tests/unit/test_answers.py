"""What a host's commands answer, beside what its login shell may print before them."""

from __future__ import annotations

import pytest

from fortress import answers

KEY = "wFzZ3c2xXv2oS7m0Qw0pJ0dQ2h1k3l4m5n6o7p8q9r0="
OTHER = "xFzZ3c2xXv2oS7m0Qw0pJ0dQ2h1k3l4m5n6o7p8q9r0="
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\nAbc=\n-----END CERTIFICATE-----\n"
SHELL = ("", "Welcome to fra-1\n", "\n\n42\n", f"{OTHER}\n", "a banner\r\n\x1b[1m", PEM, "no end of line, ")


@pytest.mark.parametrize("printed", [noise for noise in SHELL if not noise or noise.endswith("\n")])
def test_what_a_shell_prints_before_becomes_no_part_of_an_answer(printed: str) -> None:
    for end in ("", "\n"):  # the command plugin takes the last one away
        assert answers.public_key("fra-1", f"{printed}{KEY}{end}") == KEY
        assert answers.memory_mb("fra-1", f"{printed}1987{end}") == 1987
        assert answers.certificate("fra-1", f"{printed}{PEM.rstrip()}{end}").strip() == PEM.strip()


@pytest.mark.parametrize(
    "said", ["", "Welcome\n", f"{KEY}\nGoodbye\n", f"Welcome {KEY}\n", f"{KEY[:-2]}=\n", f"{KEY}\nAllowedIPs = ::/0\n"]
)
def test_anything_else_is_refused_with_the_cause(said: str) -> None:
    with pytest.raises(ValueError, match=r"fra-1 was asked for its WireGuard public key, .* login shell .*incarnation"):
        answers.public_key("fra-1", said)


def test_a_number_and_a_certificate_are_whole() -> None:
    for said in ("-1", "0", "1987 MB", "1e9", "12345678901"):
        with pytest.raises(ValueError, match="its memory"):
            answers.memory_mb("fra-1", said)
    for said in (PEM.replace("END", "BEGIN"), f"{PEM}x", PEM.replace("MIIB", "MI IB")):
        with pytest.raises(ValueError, match="its database's authority"):
            answers.certificate("fra-1", said)
