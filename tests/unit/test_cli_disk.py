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


def test_the_fullest_file_system_in_bytes_or_inodes() -> None:
    check = Check(Kind.DISK_SPACE, "oslo-db", limit=85)
    folders = ["/", "/var/lib/mysql"]
    plain = "4096 1000000 600000 550000 65536 60000"

    def space(*lines: str) -> Check:
        return disk.space(check, Result(0, "".join(f"{line}\n" for line in lines), ""), folders, 85)

    found = space(plain, "4096 2621440 524288 524288 0 0")
    assert (found.status, found.value) == (Status.OK, 80.0)
    assert found.detail == "/var/lib/mysql has 2.0 GiB free of 10.0 GiB"
    # The share that df shows: 400,000 used, and 550,000 that may be.
    assert space(plain, plain).value == 42.1
    assert space(plain, "4096 2621440 0 0 0 0").value == 100.0
    few = space("4096 1000000 600000 550000 65536 1000", plain)
    assert (few.status, few.detail) == (Status.FAIL, "/ has 1000 of 65536 inodes free")
    assert space("4096 1000000 150049 150049 0 0", plain).status is Status.OK
    assert space("4096 1000000 149400 149400 0 0", plain).status is Status.FAIL


def test_disk_space_that_is_not_told_is_unknown() -> None:
    check = Check(Kind.DISK_SPACE, "oslo-db", limit=85)
    for result in (
        Result(1, "", "stat: cannot read file system information for '/': Input/output error"),
        Result(0, "4096 1 1 1 1 1\n", ""),
        Result(0, "4096 0 0 0 0 0\n" * 2, ""),
        Result(0, "words\n" * 2, ""),
    ):
        found = disk.space(check, result, ["/", "/var/lib/mysql"], 85)
        assert found.status is Status.UNKNOWN
        assert found.detail


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
