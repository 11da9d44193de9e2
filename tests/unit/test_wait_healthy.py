"""wait-healthy: the gate that a worker must pass, on real sockets and under dash."""

import http.server
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "fortress" / "scripts" / "wait-healthy"


SYSTEMCTL = """
case "$*" in
"show -p MainPID --value app.service") cat {folder}/pid; exit ;;
"show -p DropInPaths --value app.service") echo; exit ;;
"--quiet is-active app") read -r state <{folder}/state && [ "$state" = active ]; exit ;;
esac
echo "$*" >>{folder}/told
[ "$1" != restart ] || [ ! -e {folder}/refuses ] || exit 1
[ "$1" != restart ] || echo active >{folder}/state
"""


class Server(http.server.ThreadingHTTPServer):
    """Gives its statuses one by one, the last one for ever; "hang" is no answer at all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int | str] = [200]
        self.url = f"http://127.0.0.1:{self.server_address[1]}/health"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        statuses = self.server.statuses
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if isinstance(status, str):
            time.sleep(1.5)
            return
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"database: no\nanswer\n" if status == 503 else b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with a journal that tells how it was asked, and a systemd that has the unit in the state of a file."""
    for name, text in {"journalctl": 'echo "journal of: $*"', "systemctl": SYSTEMCTL.format(folder=tmp_path)}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "state").write_text("active\n")
    return f"{tmp_path}:/usr/bin:/bin"


def wait(path: str, url: str, seconds: str = "1", marks: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the gate, whose marks are in a folder of the test's own."""
    folder = path.partition(":")[0]
    text = SCRIPT.read_text().replace("/run/fortress-changed-", f"{marks or folder}/changed-")
    text = text.replace("/etc/systemd/system/", f"{folder}/")
    return subprocess.run(
        ["dash", "-c", text, str(SCRIPT), url, seconds, "app"],
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


def asked(path: str) -> list[str]:
    """What systemd was told, beside questions."""
    told = Path(path.partition(":")[0]) / "told"
    return told.read_text().splitlines() if told.exists() else []


def test_a_unit_that_runs_what_was_pushed_is_not_restarted(server: Server, path: str) -> None:
    assert wait(path, server.url, "10").returncode == 0
    assert asked(path) == []


def test_files_that_changed_restart_the_unit_once(server: Server, path: str, tmp_path: Path) -> None:
    mark = tmp_path / "changed-app"
    mark.touch()
    for _ in range(2):
        assert wait(path, server.url, "10").returncode == 0
        assert asked(path) == ["reset-failed app", "restart app"]
        assert not mark.exists()


@pytest.mark.parametrize("state", ["failed", "inactive", "activating"])
def test_a_unit_that_does_not_run_is_started_also_when_it_was_given_up(server: Server, path: str, state: str) -> None:
    (Path(path.partition(":")[0]) / "state").write_text(f"{state}\n")
    assert wait(path, server.url, "10").returncode == 0
    assert asked(path) == ["reset-failed app", "restart app"]


def test_a_unit_that_does_not_start_is_said_with_its_journal_and_tried_again(path: str, tmp_path: Path) -> None:
    (tmp_path / "changed-app").touch()
    (tmp_path / "refuses").touch()
    result = wait(path, "http://127.0.0.1:1/")
    assert result.returncode == 1
    first, second = result.stderr.splitlines()
    assert first.endswith(": app: it does not start")
    assert second.startswith("journal of: ")
    assert (tmp_path / "changed-app").exists()


def test_a_healthy_unit_with_another_environment_than_its_files_does_not_pass(
    server: Server, path: str, tmp_path: Path
) -> None:
    (tmp_path / "app.service").write_text("[Service]\nEnvironment=PLACE=oslo\n")
    with subprocess.Popen(
        ["/usr/bin/cat"], env={"PLACE": "frankfurt", "INVOCATION_ID": "0"}, stdin=subprocess.PIPE
    ) as process:
        (tmp_path / "pid").write_text(f"{process.pid}\n")
        result = wait(path, server.url, "10")
    assert result.returncode == 1
    assert result.stderr.startswith("app.service runs with other values of PLACE than its file has.")


def test_waits_until_200(server: Server, path: str) -> None:
    server.statuses = [503, 503, 200]
    result = wait(path, server.url, "10")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert server.statuses == [200]


@pytest.mark.parametrize(
    ("status", "last"), [(503, "503 database: no answer"), (302, "302"), (204, "204"), ("hang", "timed out")]
)
def test_gives_up_with_the_last_answer_and_the_journal(server: Server, path: str, status: int | str, last: str) -> None:
    server.statuses = [status]
    start = time.monotonic()
    result = wait(path, server.url)
    assert result.returncode == 1
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.endswith(f": app: {server.url} did not answer 200 within 1 s, last: {last}")
    assert second == "journal of: --no-pager --quiet --output=cat --lines=5 --unit=app"
    assert time.monotonic() - start < 4


def test_an_answer_says_more_than_the_wait_that_the_end_cut_short(server: Server, path: str) -> None:
    server.statuses = [503, "hang"]
    assert wait(path, server.url).stderr.splitlines()[0].endswith("last: 503 database: no answer")


def test_says_that_nothing_listens(path: str) -> None:
    assert "Connection refused" in wait(path, "http://127.0.0.1:1/").stderr


@pytest.mark.parametrize("seconds", ["", "1s", "-1", "100000"])
def test_refuses_what_is_no_time(path: str, seconds: str) -> None:
    result = wait(path, "http://127.0.0.1:1/", seconds)
    assert result.returncode == 1
    assert f"SECONDS: '{seconds}' is not a number of seconds" in result.stderr
