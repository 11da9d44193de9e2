"""Variables of settings on Debian's MariaDB: set while it runs where it can, and known to need a restart where not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fortress import dynamic_variables, mariadb
from lab.base.folders import RELEASES
from tests.engine.mariadb_host import SCRIPTS, Host
from tests.engine.test_mariadb_real import SERVER, serving
from tests.unit.facts import changed_facts

OLD = "/var/lib/fortress/files/" + mariadb.CONFIG_PATH.replace("/", "%2F") + "/old"
LIVE = "/usr/local/lib/fortress/mariadb-live"
IN_FORCE = "/usr/local/lib/fortress/in-force"


@pytest.fixture(scope="module", params=RELEASES)
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with serving(tmp_path_factory.mktemp("mariadb"), request.param) as running:
        for path, script in ((LIVE, "mariadb_live.py"), (IN_FORCE, "in-force")):
            running.write(path, (SCRIPTS / script).read_text(), 0o755)
        yield running


def rendered(**variables: Any) -> str:
    return mariadb.render(changed_facts(SERVER, variables=variables))


def push(db: Host, before: str, after: str) -> tuple[int, str]:
    """What push.sh does around --apply: the new file stands, the old one is kept; gives the script's answer."""
    db.write(OLD, before)
    db.write(mariadb.CONFIG_PATH, after)
    try:
        done = db.run(LIVE, mariadb.CONFIG_PATH)
        return done.returncode, done.stdout.decode() + done.stderr.decode()
    finally:
        db.check("rm", OLD)


def restarted(db: Host, config: str) -> None:
    db.write(mariadb.CONFIG_PATH, config)
    db.check("systemctl", "stop", "mariadb.service")
    db.check("systemctl", "start", "mariadb.service")


def server(db: Host, name: str) -> str:
    ((value,),) = db.sql(f"SELECT @@global.{name};")
    return value


def in_force(db: Host) -> None:
    done = db.run(IN_FORCE, "mariadb", mariadb.CONFIG_PATH)
    assert done.returncode == 0, done.stderr


def test_what_is_said_to_need_no_restart_needs_none(db: Host) -> None:
    rows = db.sql(
        "SELECT LOWER(VARIABLE_NAME) FROM information_schema.SYSTEM_VARIABLES "
        "WHERE READ_ONLY = 'NO' AND VARIABLE_SCOPE IN ('GLOBAL', 'SESSION') AND COMMAND_LINE_ARGUMENT IS NOT NULL;"
    )
    assert dynamic_variables.NAMES - {name for (name,) in rows} == set()
    assert len(dynamic_variables.NAMES) > 350


def test_values_are_set_while_it_runs_and_taken_back(db: Host) -> None:
    restarted(db, rendered())
    pid = db.check("pgrep", "-x", "mariadbd")
    changes = {
        "max_connections": 400,
        "slow_query_log": True,
        "long_query_time": 0.5,
        "sql_mode": "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
        "max_allowed_packet": "64M",
        "wait_timeout": 600,
        "innodb_io_capacity": 2000,
    }
    status, said = push(db, rendered(), rendered(**changes))
    assert status == 0, said
    assert "MariaDB has, without a restart: " in said
    for name, value in (("max_connections", "400"), ("long_query_time", "0.500000"), ("slow_query_log", "1")):
        assert server(db, name) == value
    assert server(db, "max_allowed_packet") == str(64 * 2**20)
    in_force(db)
    status, said = push(db, rendered(**changes), rendered())
    assert (status, server(db, "max_connections"), server(db, "long_query_time")) == (0, "1000", "10.000000"), said
    in_force(db)
    db.sql("SET GLOBAL max_connections = 77;")
    assert push(db, rendered(), rendered())[0] == 0, "what a hand has set is set back"
    assert server(db, "max_connections") == "1000"
    assert db.check("pgrep", "-x", "mariadbd") == pid


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"back_log": 90}),
        ({"back_log": 90}, {}),
        ({}, {"back_log": 90, "max_connections": 300}),
        ({}, {"optimizer_switch": "mrr=on"}),
    ],
)
def test_what_needs_a_restart_changes_nothing_before_it(
    db: Host, before: dict[str, Any], after: dict[str, Any]
) -> None:
    restarted(db, rendered(**before))
    had = server(db, "max_connections")
    status, said = push(db, rendered(**before), rendered(**after))
    assert (status, server(db, "max_connections")) == (1, had)
    assert "MariaDB restarts: " in said
    restarted(db, rendered(**after))
    in_force(db)


def test_a_file_that_was_not_there_before_needs_a_restart(db: Host) -> None:
    db.write(mariadb.CONFIG_PATH, rendered())
    assert db.run(LIVE, mariadb.CONFIG_PATH).returncode == 1


@pytest.mark.parametrize("given", [{"no_such_variable": 1}, {"max_connections": "many"}, {"sql_mode": "NONSENSE"}])
def test_what_the_server_does_not_know_is_found_before_it_restarts(db: Host, given: dict[str, Any]) -> None:
    db.write("/tmp/candidate.cnf", rendered(**given))  # noqa: S108 - on the host
    done = db.run("sh", "-c", mariadb.CONFIG_CHECK, "fortress-push", "/tmp/candidate.cnf")  # noqa: S108
    assert done.returncode == 1
    assert next(iter(given)) in done.stderr.decode()
