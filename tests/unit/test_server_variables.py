"""Variables of MariaDB in settings: which are taken, how they stand in its file, and which need a restart."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress import activation, push, server_variables
from fortress.mariadb import Server, render
from fortress.scripts import mariadb_live
from fortress.server_variables import assignments, changed, need_restart
from tests.unit.facts import changed_facts, refusal_of
from tests.unit.golden import check_golden
from tests.unit.stack_file import changed as settings
from tests.unit.test_mariadb import LAB
from tests.unit.verdicts import accepted, refused

GIVEN: dict[str, Any] = {
    "max_connections": 400,
    "innodb_io_capacity": 20000,
    "slow_query_log": True,
    "long_query_time": 0.5,
    "sql_mode": "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
    "wait_timeout": 600,
}


def with_variables(**given: Any) -> Server:
    return changed_facts(LAB, variables=given)


def test_the_file() -> None:
    check_golden("90-fortress-variables.cnf", render(with_variables(**GIVEN)))


def test_a_value_of_ours_is_replaced_where_it_stands_and_others_come_last() -> None:
    text = render(with_variables(**GIVEN))
    assert text.count("max_connections =") == 1
    assert "\nmax_connections = 400\n" in text
    ours, _, more = text.partition("# --- Set by database.variables\n")
    assert "innodb_io_capacity = 20000" in ours
    assert more == (
        "long_query_time = 0.5\nslow_query_log = ON\n"
        "sql_mode = STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION\nwait_timeout = 600\n"
    )


def test_without_any_nothing_is_added() -> None:
    assert "database.variables" not in render(LAB)


@given(st.from_regex(server_variables._TEXTS, fullmatch=True).filter(lambda text: "\n" not in text))
def test_a_value_is_read_as_it_was_written(value: str) -> None:
    text = render(with_variables(init_text=value)) if value else "init_text = " + server_variables.quoted(value)
    assert assignments(text)["init_text"] == value


@pytest.mark.parametrize(
    "value",
    ["a\nb", 'a"b', "a'b", "a\\b", "a#b", "a`b", " a", "a ", "ø", "x" * 1001, math.inf, math.nan, None, [1], {}],
)
def test_values_that_are_refused(value: Any) -> None:
    (line,) = refusal_of(lambda: with_variables(wait_timeout=value))
    assert line.startswith("variables.wait_timeout: ")
    assert "must be a number, true or false, or a text" in line


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("innodb_buffer_pool_size", "set database.buffer_pool_mb"),
        ("innodb_flush_log_at_trx_commit", "set database.flush_log_at_commit"),
        ("bind_address", "who may reach the server, and how, is the fortress's own"),
        ("skip_grant_tables", "who may reach the server, and how, is the fortress's own"),
        ("ssl_cert", "who may reach the server, and how, is the fortress's own"),
        ("log_bin", "copies and a restore to a point in time depend on it"),
        ("gtid_strict_mode", "copies and a restore to a point in time depend on it"),
        ("plugin_load_add", "it loads or runs something at the start"),
        ("loose_bind_address", "it is an option with a prefix; name the variable"),
        ("wsrep_on", "clusters are the fortress's own"),
    ],
)
def test_variables_that_the_program_decides(name: str, reason: str) -> None:
    (line,) = refused(settings({f"database/variables/{name}": 1}))
    assert line == f"database.variables: '{name}' is decided by the program: {reason}"


@pytest.mark.parametrize("name", ["Max_connections", "max-connections", "a b", "x", "a\n", "set_var;", "@@x"])
def test_names_that_are_none(name: str) -> None:
    (line,) = refusal_of(lambda: with_variables(**{name: 1}))
    assert "the name of a variable of MariaDB" in line


def test_every_promise_of_the_file_is_fixed_and_every_figure_may_be_set() -> None:
    free = {"max_connections", "slave_net_timeout", "max_binlog_size", "binlog_expire_logs_seconds"}
    free |= {"innodb_io_capacity", "innodb_io_capacity_max", "innodb_flush_neighbors", "slave_parallel_threads"}
    copies = changed_facts(LAB, copies=True)
    for name in assignments(render(copies)):
        if name in free:
            assert f"\n{name} = 7\n" in render(changed_facts(copies, variables={name: 7}))
        else:
            with pytest.raises(ValueError, match="is decided by the program"):
                changed_facts(copies, variables={name: 7})


def test_settings_reach_the_file_as_text() -> None:
    found = accepted(settings({"database/variables": {"slow_query_log": True, "long_query_time": 2}}))
    assert found is not None
    assert found.database.variables == {"slow_query_log": "ON", "long_query_time": "2"}


def test_what_needs_a_restart() -> None:
    before = render(with_variables(max_connections=400, wait_timeout=600))
    assert changed(before, render(with_variables(max_connections=500))) == {"max_connections", "wait_timeout"}
    assert need_restart(changed(before, render(with_variables(max_connections=500)))) == []
    assert need_restart(changed(before, render(with_variables(back_log=90)))) == ["back_log"]
    assert need_restart(["no_such_variable"]) == ["no_such_variable"], "in doubt"
    assert changed(before, before + "\n# a comment\n") == set()


def test_the_command_says_restart_where_nothing_else_is_known() -> None:
    put = push.Put("/etc/x.cnf", machine="m", resource="r", apply=activation.live_or_restart("mariadb"), unit="mariadb")
    assert str(activation.of_command(put.render())) == "mariadb restarts"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("TRUE", "ON", True), ("0.5", "0.500000", True), ("128", "128", True), ("a", "b", False), ("1", "2", False)],
)
def test_two_words_for_one_value(one: str, other: str, same: bool) -> None:
    assert mariadb_live.same(one, other) is same


def test_values_in_statements() -> None:
    assert [mariadb_live.quoted(value) for value in ("12", "-0.5", "TRUE", "it's \\")] == [
        "12",
        "-0.5",
        "'ON'",
        "'it''s \\\\'",
    ]
