"""Replication lag: what the database says of copies, in the words of mariadb's client 10.11."""

from __future__ import annotations

from fortress.cli.base.result import Result
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.verify import replication

LAG = Check(Kind.REPLICATION_LAG, "oslo-db", limit=10.0)
SOURCE = """*************************** 1. row ***************************
               Connection_name:
               Slave_SQL_State: Slave has read all relay log; waiting for more updates
                Slave_IO_State: Waiting for master to send event
                   Master_Host: 10.100.0.1
              Slave_IO_Running: Yes
             Slave_SQL_Running: Yes
                 Last_IO_Error:
                Last_SQL_Error:
         Seconds_Behind_Master: 3
"""
COPY = """*************************** 1. row ***************************
   copy_user: copier
   copy_host: 10.100.0.2:41234
  copy_state: Master has sent all binlog to slave; waiting for more updates
"""


def lag(text: str, *, wanted: bool = False, status: int = 0) -> list[Check]:
    return replication.lag(LAG, Result(status, text, "ERROR 2002: no socket" if status else ""), 10.0, wanted=wanted)


def test_without_a_copy_there_is_nothing_to_check_unless_one_is_wanted() -> None:
    assert lag("") == []
    (missing,) = lag("", wanted=True)
    assert (missing.status, missing.value) == (Status.FAIL, None)
    assert missing.detail == "no copy is connected, but database.cross_cloud_copy says that there is one"


def test_a_source_knows_whether_it_has_sent_all() -> None:
    (sent,) = lag(COPY + COPY)
    assert (sent.status, sent.value) == (Status.OK, 0.0)
    assert sent.detail == "all sent to 10.100.0.2:41234, 10.100.0.2:41234"
    sending = COPY.replace("Master has sent all binlog to slave; waiting for more updates", "Writing to net")
    assert replication.sending(Result(0, COPY + sending, ""))
    assert not replication.sending(Result(0, COPY, ""))
    (behind,) = lag(COPY + sending)
    assert (behind.status, behind.value) == (Status.UNKNOWN, None)


def test_a_copy_knows_how_far_it_is_behind() -> None:
    (behind,) = lag(SOURCE)
    assert (behind.status, behind.value, behind.detail) == (Status.OK, 3.0, "no copy reads from here")
    assert lag(SOURCE.replace("Master: 3", "Master: 11"))[0].status is Status.FAIL
    assert lag(SOURCE.replace("Master: 3", "Master: NULL"))[0].status is Status.UNKNOWN


def test_a_thread_that_does_not_run_fails_whatever_the_figure_says() -> None:
    text = SOURCE.replace("Slave_IO_Running: Yes", "Slave_IO_Running: Connecting").replace("Master: 3", "Master: NULL")
    assert lag(text)[0].detail == "the copy's IO thread does not run: Connecting"
    text = text.replace("Last_IO_Error:", "Last_IO_Error: error connecting to master 'r@10.100.0.1:3306'")
    assert lag(text)[0].detail.endswith("error connecting to master 'r@10.100.0.1:3306'")
    stopped = SOURCE.replace("Slave_SQL_Running: Yes", "Slave_SQL_Running: No")
    assert (lag(stopped)[0].status, lag(stopped)[0].value) == (Status.FAIL, None)


def test_a_database_that_does_not_answer_is_unknown() -> None:
    (found,) = lag("", status=1)
    assert (found.status, found.detail) == (Status.UNKNOWN, "ERROR 2002: no socket")
