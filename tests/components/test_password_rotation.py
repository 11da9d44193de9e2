"""The end of passwords that were changed."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_command import local

from components import DataFortress, EphemeralWorker, PasswordRotation
from fortress.activation import leaves_services
from tests.components.engine import REMOTE, check_commands, connection, kinds, member
from tests.components.test_data_fortress import PEM
from tests.components.test_data_fortress import args as database
from tests.components.test_ephemeral_worker import args as worker
from tests.doubles.pulumi_mocks import Run, run, secret_paths


def rotated(accounts: str = "accounts 1234 1", **more: Any) -> Run:
    def program() -> None:
        PasswordRotation("it", {"host": member(), "accounts": accounts, **more})  # type: ignore[typeddict-item]

    return run(program)


def test_one_command_that_touches_no_service() -> None:
    done = rotated()
    assert kinds(done) == {"it": ("fortress:index:PasswordRotation", None), "it-ended": (REMOTE, "it")}
    ended = done.resources["it-ended"]
    check_commands([ended], connection())
    create = str(ended.inputs["create"])
    assert create == "sudo env FORTRESS_MACHINE=oslo-db.1 /usr/local/lib/fortress/mariadb-access retire"
    assert leaves_services(create)
    assert "delete" not in ended.inputs
    assert secret_paths(ended.inputs) == {"connection"}


def test_it_runs_after_each_look_at_the_accounts() -> None:
    first, again = (rotated(said).resources["it-ended"].inputs["stdin"] for said in ("accounts 1", "accounts 2"))
    assert first != again
    assert rotated("accounts 1").resources["it-ended"].inputs["stdin"] == first


def test_it_waits_for_all_that_log_in() -> None:
    def program() -> None:
        made = DataFortress("db", database(old_passwords="overlap"))
        workers = [EphemeralWorker(name, worker(waits_for=[made.endpoint])) for name in ("one", "two")]
        waits_for = [each.endpoint for each in workers]
        PasswordRotation("it", {"host": member(), "accounts": made.accounts, "waits_for": waits_for})

    done = run(program, stdout=lambda name: PEM if name == "db-authority" else "true")
    assert {"db-account", "one-healthy", "two-healthy"} <= done.before("it-ended")
    assert secret_paths(done.resources["it-ended"].inputs) <= {"connection"}


def test_a_password_that_is_secret_makes_no_answer_secret() -> None:
    def program() -> None:
        made = DataFortress("db", database(password=pulumi.Output.secret("HUSH")))
        local.Command("seen", create=made.accounts)

    done = run(program, stdout=lambda name: PEM if name == "db-authority" else "true")
    assert secret_paths(done.resources["seen"].inputs) == set()
