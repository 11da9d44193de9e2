"""What is seen of whoever runs the engine: how hard a passphrase is to guess, update checks, servers of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortress.sovereignty.evidence import Environment
from fortress.sovereignty.rules.custody import PASSPHRASE_BITS
from fortress.sovereignty.toolchain import environment, guesses


@pytest.mark.parametrize(
    ("phrase", "bits"),
    [
        ("", 0),
        ("lab", 12.9),
        ("password1", 18.1),
        ("aaaaaaaaaaaaaaaa", 12.9),
        ("1111111111111111", 3.3),
        ("word word word word word word", 18.8),
        ("correct horse battery staple", 57.6),
    ],
)
def test_what_people_make_up_is_worth_little(phrase: str, bits: float) -> None:
    assert guesses(phrase) == pytest.approx(bits, abs=0.1)
    assert guesses(phrase) < PASSPHRASE_BITS


@pytest.mark.parametrize(
    "phrase", ["correct horse battery staple lamp", "q8Zr2LpX0vTn7WbK4yHs", "9f86d081884c7d659a2feaa0"]
)
def test_what_dice_and_machines_choose_is_enough(phrase: str) -> None:
    assert guesses(phrase) > PASSPHRASE_BITS


def test_a_passphrase_is_read_where_the_engine_reads_it(tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text("lab\n")
    assert environment({"PULUMI_CONFIG_PASSPHRASE": "lab"}).passphrase_bits == guesses("lab")
    assert environment({"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "phrase")}).passphrase_bits == guesses("lab")
    assert environment({"PULUMI_CONFIG_PASSPHRASE": ""}).passphrase_bits == 0
    for unseen in ({}, {"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "none")}):
        assert environment(unseen).passphrase_bits is None


@pytest.mark.parametrize(("value", "asks"), [("true", False), ("TRUE", False), ("1", False), ("yes", True), ("", True)])
def test_the_engine_takes_true_and_1_for_true(value: str, asks: bool) -> None:
    assert environment({"PULUMI_SKIP_UPDATE_CHECK": value}).asks_for_updates is asks


def test_without_variables_it_asks_for_updates_and_takes_plugins_from_their_publishers() -> None:
    assert environment({}) == Environment(passphrase_bits=None, asks_for_updates=True, plugin_servers=())


def test_each_server_of_plugins_is_named() -> None:
    found = environment(
        {"PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES": "^https://a=https://b.example/x,^github://=https://c.example"}
    )
    assert found.plugin_servers == ("https://b.example/x", "https://c.example")
