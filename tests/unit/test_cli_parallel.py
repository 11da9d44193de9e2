"""Many jobs at once."""

from __future__ import annotations

import functools
import threading

import pytest

from fortress.cli.hosts.parallel import in_parallel


def test_all_jobs_run_at_the_same_time() -> None:
    meeting = threading.Barrier(8, timeout=60)
    done: list[int] = []

    def job(number: int) -> None:
        meeting.wait()
        done.append(number)

    in_parallel([functools.partial(job, number) for number in range(8)])
    assert sorted(done) == list(range(8))
    in_parallel([])


def test_a_job_that_raises_ends_it_without_waiting_for_the_others() -> None:
    never = threading.Event()

    def fail() -> None:
        raise LookupError("of a job")

    def wait() -> None:
        never.wait()

    with pytest.raises(LookupError, match="of a job"):
        in_parallel([wait, fail])
