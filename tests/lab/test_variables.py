"""Variables of MariaDB from settings, on the standing fortress: without a restart where it takes them as it runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lab.fortress import EngineError, Fortress, Settings
from tests.lab.inside import on
from tests.lab.verbs import command


def started() -> str:
    """The process of the database."""
    return on("oslo-db", "systemctl show -P MainPID mariadb")


def variable(name: str) -> str:
    return on("oslo-db", f"mariadb --batch --skip-column-names -e 'select @@global.{name}'")


def given(**variables: object) -> Callable[[Settings], None]:
    def change(settings: Settings) -> None:
        settings["database"]["variables"] = variables

    return change


def test_a_variable_is_set_while_the_database_runs(fortress: Fortress) -> None:
    before = started()
    with fortress.changed(given(max_connections=400, long_query_time=0.5, slow_query_log=True)):
        fortress.up()
        assert (variable("max_connections"), variable("long_query_time"), variable("slow_query_log")) == (
            "400",
            "0.500000",
            "1",
        )
        assert started() == before
        assert command(fortress, "drift").returncode == 0
    assert (variable("max_connections"), variable("long_query_time"), started()) == ("1000", "10.000000", before)


def test_a_variable_that_needs_a_restart_gets_one_and_one_that_is_unknown_none(fortress: Fortress) -> None:
    before = started()
    with fortress.changed(given(back_log=90)):
        fortress.up()
        assert variable("back_log") == "90"
        assert (after := started()) != before
        fortress.change(given(back_log=90, no_such_variable=1))
        with pytest.raises(EngineError, match="unknown variable 'no_such_variable=1'"):
            fortress.up()
        assert started() == after, "it is found before the restart"
        assert variable("back_log") == "90"
    assert command(fortress, "drift").returncode == 0
