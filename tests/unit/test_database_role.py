"""The host script of a database with several servers, as it stands on a host, and what its verbs are made of."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fortress import replication, text
from fortress.scripts.roles import cluster, copies
from fortress.scripts.roles.host import NotNowError, ServerList
from fortress.scripts.roles.server import hash_of, quoted
from fortress.scripts.roles.states import ServerState
from tests.unit.servers import A


def test_it_runs_from_the_folder_that_it_lands_in_and_leaves_nothing_there(tmp_path: Path) -> None:
    """As a host's units and commands run it: `-I` has Python look in no folder but those of its own library."""
    (tmp_path / replication.MODULES).mkdir()
    for program in replication.programs():
        (tmp_path / program).write_text(text.script(program))
    words = [sys.executable, "-I", str(tmp_path / replication.SCRIPT), "no verb"]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/", timeout=120, check=False)
    assert (done.returncode, done.stderr.partition(" | ")[0]) == (1, "database-role: usage: serve")
    found = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert found == set(replication.programs()), "what is pushed is all that it needs, and all that is removed"


def test_text_in_sql_ends_where_it_is_meant_to() -> None:
    assert quoted("a'b\\c") == "'a''b\\\\c'"


def test_a_password_is_kept_as_mariadb_keeps_it() -> None:
    assert hash_of(b"password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"  # SELECT PASSWORD('password')


def test_what_a_member_says_of_its_data_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "grastate.dat"
    monkeypatch.setattr(cluster, "SAVED", file)
    assert cluster.saved() == ("", -1, False)
    file.write_text("# GALERA saved state\nversion: 2.1\nuuid:    034e31ac\nseqno:   17\nsafe_to_bootstrap: 1\n")
    assert cluster.saved() == ("034e31ac", 17, True)


def test_a_primary_that_sends_no_copy_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was a server of several before takes writes before it has the account of copies."""
    config = ServerList("b", 3307, 3306, {"a": "10.100.0.1", "b": "10.100.0.6"}, "10.100.0.0/24")
    primary = replace(A, read_only=False)
    asked: list[str] = []

    def seed(_config: object, name: str) -> None:
        asked.append(name)
        if len(asked) < 3:
            raise NotNowError("a sends no copy: only another server may copy the data")

    monkeypatch.setattr(copies, "SEEDING", Path("/nowhere"))
    monkeypatch.setattr(copies, "look", lambda _me: ServerState("b"))
    monkeypatch.setattr(copies, "ask_all", lambda _config: {"a": primary})
    monkeypatch.setattr(copies, "ensure_account", lambda _config: None)
    monkeypatch.setattr(copies, "place", lambda _config: "")
    monkeypatch.setattr(copies, "seed", seed)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    copies.join(config, first=False)
    assert asked == ["a", "a", "a"]
