"""I/O wait, IOPS and commits: what is judged of what the probes print."""

from __future__ import annotations

import json

import pytest

from fortress.cli.base.result import Result
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.verify import disk

WAIT = Check(Kind.IO_WAIT, "oslo-db", limit=5.0)
LOAD = {"iowait_percent": 1.26, "seconds": 2.0, "disk": "vdb", "r_await_ms": 0.21, "w_await_ms": None, "queue": 0.031}
ROWS = (
    Check(Kind.IOPS, "oslo-db", "4k", limit=50_000),
    Check(Kind.IOPS, "oslo-db", "16k", limit=50_000),
    Check(Kind.COMMIT, "oslo-db", limit=10.0),
)
MEASURED = {
    "4k": {"iops": 61_234.4, "read_p99_ms": 1.01, "write_p99_ms": 2.25},
    "16k": {"iops": 49_999.0, "read_p99_ms": 3.0, "write_p99_ms": 4.0},
    "commit": {"iops": 2_000.0, "p99_ms": 0.987},
}


def printed(found: object) -> Result:
    return Result(0, json.dumps(found), "")


def benchmark(result: Result) -> list[Check]:
    return disk.benchmark(ROWS, result, {"4k": 50_000, "16k": 50_000}, 10.0)


def test_io_wait_with_await_beside_it() -> None:
    found = disk.io_wait(WAIT, printed(LOAD), 5.0)
    assert (found.status, found.value) == (Status.OK, 1.3)
    assert found.detail == "over 2 s; vdb: await read 0.21 ms, write none, 0.031 in the queue"
    assert disk.io_wait(WAIT, printed({**LOAD, "iowait_percent": 5.1}), 5.0).status is Status.FAIL
    assert disk.io_wait(WAIT, printed({**LOAD, "iowait_percent": 5.04}), 5.0).status is Status.OK
    assert disk.io_wait(WAIT, printed({**LOAD, "iowait_percent": -0.4}), 5.0).value == 0


def test_iops_each_with_its_limit_and_p99() -> None:
    four, sixteen, commit = benchmark(printed(MEASURED))
    assert (four.status, four.value) == (Status.OK, 61_234)
    assert four.detail == "p99 read 1 ms, write 2.2 ms; 70 % reads, 64 at a time"
    assert (sixteen.status, sixteen.value) == (Status.FAIL, 49_999)
    assert (commit.status, commit.value) == (Status.OK, 0.99)
    assert commit.detail == "fdatasync after each 4k write at queue depth 1; 2000 a second"
    slow = benchmark(printed({**MEASURED, "commit": {"iops": 80.0, "p99_ms": 10.2}}))[2]
    assert slow.status is Status.FAIL


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (Result(1, "", "/var/lib/mysql has 2.0 GiB free; this takes 1 GiB of at least 4\n"), "/var/lib/mysql has 2.0"),
        (Result(1, "", ""), "exit status 1 with no output"),
        (Result(0, "what\n", ""), "the host printed 'what"),
        (Result(0, "{}", ""), "the host printed '{}'"),
        (Result(0, "[" * 100_000, ""), "the host printed '[[["),
        (Result(0, '{"iowait_percent": -Infinity, "4k": {"iops": 1e999}}', ""), "the host printed"),
    ],
)
def test_what_was_not_measured_is_unknown(result: Result, why: str) -> None:
    for found in (*benchmark(result), disk.io_wait(WAIT, result, 5.0)):
        assert found.status is Status.UNKNOWN
        assert found.detail.startswith(why)
