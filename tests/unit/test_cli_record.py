"""The command `fortress record`: its files, its exit statuses, and what it compares with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fortress.cli import main
from fortress.cli.engine import run as engine
from tests.unit.example_record import state
from tests.unit.stack_file import GONE, lab

CUSTOMERS = "sovereignty/data_sets/customers"


@pytest.fixture
def stands(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the engine give this state."""

    def give(exported: dict[str, Any]) -> str:
        text = json.dumps(exported)
        monkeypatch.setattr(engine, "run", lambda *words, **_: text if words == ("stack", "export") else "")
        return text

    return give


def record(*words: str) -> Result:
    return CliRunner().invoke(main.app, ["record", "--stack", "lab", *words])


def test_a_complete_record_is_status_0_in_each_form(stands: Any, tmp_path: Path) -> None:
    text = stands(state("lab", lab))
    done = record()
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("# Record of processing activities\n")
    assert hashlib.sha256(text.encode()).hexdigest() in done.stdout
    files = {name: tmp_path / name for name in ("r.md", "r.html", "r.HTM")}
    for file in files.values():
        assert record("-o", str(file)).exit_code == 0
    assert files["r.md"].read_text().startswith("# Record")
    assert files["r.html"].read_text().startswith("<!DOCTYPE html>")
    assert files["r.HTM"].read_text().startswith("<!DOCTYPE html>")
    found = json.loads(record("--json").stdout)
    assert (found["ok"], found["undeclared"], found["changes"]) == (True, [], None)
    assert found["checks"][0]["kind"] == "undeclared"
    assert found["record"]["stack"] == "lab"


def test_a_gap_is_status_1_and_named(stands: Any) -> None:
    stands(state("lab", lab, {f"{CUSTOMERS}/retention": GONE}))
    done = record()
    assert done.exit_code == 1
    assert "1 entry is UNDECLARED: sovereignty.data_sets.customers.retention" in done.stderr
    assert "| When it is erased | **UNDECLARED** | `sovereignty.data_sets.customers.retention` |" in done.stdout
    found = json.loads(record("--json").stdout)
    assert found["ok"] is False
    assert found["undeclared"] == [
        {
            "setting": "sovereignty.data_sets.customers.retention",
            "section": "customers",
            "entry": "When it is erased",
        }
    ]
    assert (found["checks"][0]["status"], found["checks"][0]["value"]) == ("fail", 1)


def test_it_says_what_changed_since_a_state_and_since_a_record(stands: Any, tmp_path: Path) -> None:
    stands(state("lab", lab))
    earlier = [tmp_path / "state.json", tmp_path / "record.json"]
    earlier[0].write_text(json.dumps(state("lab", lab)))
    assert record("--json", "-o", str(earlier[1])).exit_code == 0
    for file in earlier:
        stands(state("lab", lab))
        done = record("--since", str(file))
        assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "Nothing changed.")
        stands(state("lab", lab, {f"{CUSTOMERS}/recipients": ["carriers", "a bank_*"]}))
        assert record("--since", str(file)).stdout.splitlines()[-1] == (
            "- New recipient of “customers”: “a bank\\_\\*”."
        )
        found = json.loads(record("--since", str(file), "--json").stdout)
        assert found["changes"] == ["New recipient of “customers”: “a bank_*”."]
        shown = tmp_path / "changes.html"
        assert record("--since", str(file), "-o", str(shown)).exit_code == 0
        assert "<li>New recipient of “customers”: “a bank_*”.</li>" in shown.read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "cannot be read: it is no text"),
        (b"{}", "is neither a state that `pulumi stack export` wrote nor what `fortress record --json` did"),
        (b"no JSON", "is neither a state"),
        (b'{"record": {"version": 2}}', "was written by a newer version of this program"),
        (b'{"record": null}', "is no record of this version"),
        (b'{"deployment": {}}', "is not up"),
    ],
)
def test_an_earlier_record_that_is_none_is_status_2(
    stands: Any, tmp_path: Path, content: bytes | None, words: str
) -> None:
    stands(state("lab", lab))
    file = tmp_path / "earlier.json"
    if content is not None:
        file.write_bytes(content)
    done = record("--since", str(file), "--json")
    assert done.exit_code == 2
    assert words in done.stderr
    found = json.loads(done.stdout)
    assert (found["ok"], found["record"]) == (False, None)
    assert words in found["error"]


def test_a_state_without_the_register_is_status_2(stands: Any) -> None:
    exported = state("lab", lab)
    for resource in exported["deployment"]["resources"]:
        (resource.get("outputs") or {}).pop("sovereignty", None)
    stands(exported)
    done = record()
    assert (done.exit_code, done.stdout) == (2, "")
    assert "stack 'lab' has no output 'sovereignty'" in done.stderr
