"""How a run on several processes is divided, and the table at its end."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tests import parallel
from tests.unit.stack_file import ROOT

LAB, ENGINE = "tests/lab/test_drift.py", "tests/engine/test_plugins.py"


def report(nodeid: str, when: Any, seconds: float) -> pytest.TestReport:
    return pytest.TestReport(nodeid, ("", 0, ""), {}, "passed", None, when, duration=seconds)


def test_a_lab_is_one_line_and_each_other_file_is_one() -> None:
    assert parallel.line_of(f"{LAB}::test_a") == parallel.line_of("tests/lab/test_changes.py::test_b[x::y]")
    assert parallel.line_of("tests/lab/test_zz_destroy.py::test_a") == parallel.line_of("tests/lab/test_push_cut.py::t")
    assert parallel.line_of("tests/lab/test_zz_destroy.py::test_a") != parallel.line_of(f"{LAB}::test_a")
    assert parallel.line_of("tests/lab/test_oslo.py::test_a") == parallel.line_of("tests/lab/test_docs.py::test_b")
    assert parallel.line_of("tests/lab/test_oslo.py::test_a") != parallel.line_of(f"{LAB}::test_a")
    assert parallel.line_of(f"{ENGINE}::test_a") == ENGINE


@pytest.mark.parametrize("file", parallel.OWN_LAB)
def test_no_two_processes_raise_the_same_lab(file: str) -> None:
    functions = [
        part for part in ast.parse((ROOT / "tests/lab" / file).read_text()).body if isinstance(part, ast.FunctionDef)
    ]
    given = [each for each in functions if each.name.startswith("test_") or each.decorator_list]
    assert any(each.name.startswith("test_") for each in given)
    taken = {argument.arg for function in given for argument in function.args.args}
    assert not taken & {"fortress", "lab"}


def test_the_table_counts_fixtures_too() -> None:
    reports = [
        report(f"{LAB}::test_a", "setup", 60),
        report(f"{LAB}::test_a", "call", 5.4),
        report(f"{LAB}::test_b", "call", 10),
        report(f"{ENGINE}::test_a", "call", 3),
    ]
    assert (
        parallel.table(reports, 70)
        == """\
| room; slowest files            | tests | min:s |
|--------------------------------|------:|------:|
| `tests/engine`                 |     1 |  0:03 |
| `tests/lab`                    |     2 |  1:15 |
| together                       |     3 |  1:18 |
| from begin to end              |       |  1:10 |
| `tests/lab/test_drift.py`      |       |  1:15 |
| `tests/engine/test_plugins.py` |       |  0:03 |"""
    )
