"""What runs on hosts, run here: the look at the database and at HAProxy's statistics."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fortress.cli.probes
from fortress import firewall
from fortress.cli.probes import disk as probe_disk
from fortress.cli.probes import load as probe_load
from fortress.cli.probes import path as probe_path
from tests.doubles.certificates import Certificate, issue
from tests.doubles.mariadb_server import BLOCKED, mariadb_server

PROGRAMS = Path(fortress.cli.probes.__file__).parent


def probe(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program as it runs on a host: its text on standard input, nothing of ours to import. 1 MiB for 1 GiB."""
    text = (PROGRAMS / program).read_text().replace("2**30, 2**24", "2**20, 2**20")
    return subprocess.run(
        [sys.executable, "-I", "-", *arguments], input=text, capture_output=True, text=True, timeout=30, check=False
    )


def database(port: int, ca: Certificate) -> dict[str, object]:
    done = probe("database.py", "127.0.0.1", str(port), ca.pem)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def authority() -> Certificate:
    return issue("fortress database authority", authority=True)


@pytest.mark.parametrize("switches", [False, True])
def test_the_database_over_verified_tls(authority: Certificate, tmp_path: Path, switches: bool) -> None:
    certificate = issue("oslo-db", names=("127.0.0.1", "oslo-db"), signer=authority, days=90)
    with mariadb_server(certificate.server_context(tmp_path), switches=switches) as server:
        found = database(server.port, authority)
        # Whoever hangs up before is counted, and after 100 times turned away with his whole host.
        assert server.logins == ["turned away"]
    assert found.keys() == {"server", "tls", "cipher", "not_after"}
    assert (found["server"], found["tls"]) == ("10.11.19-MariaDB-0+deb12u1", "TLSv1.3")
    assert found["not_after"] == pytest.approx(time.time() + 90 * 86400, abs=60)


def test_a_certificate_of_somebody_else(authority: Certificate, tmp_path: Path) -> None:
    stranger = issue("oslo-db", names=("127.0.0.1",))
    with mariadb_server(stranger.server_context(tmp_path)) as server:
        assert database(server.port, authority) == {"error": "certificate: self-signed certificate"}


def test_a_certificate_for_another_address(authority: Certificate, tmp_path: Path) -> None:
    other = issue("oslo-db", names=("10.100.0.9",), signer=authority)
    with mariadb_server(other.server_context(tmp_path)) as server:
        error = database(server.port, authority)["error"]
    assert error == "certificate: IP address mismatch, certificate is not valid for '127.0.0.1'."


def test_an_expired_certificate(authority: Certificate, tmp_path: Path) -> None:
    expired = issue("oslo-db", names=("127.0.0.1",), signer=authority, days=-1)
    with mariadb_server(expired.server_context(tmp_path)) as server:
        assert database(server.port, authority) == {"error": "certificate: certificate has expired"}


def test_a_server_without_tls(authority: Certificate) -> None:
    with mariadb_server(None) as server:
        assert database(server.port, authority) == {"error": "the server does not offer TLS"}


def test_a_server_that_turns_the_host_away(authority: Certificate, tmp_path: Path) -> None:
    context = issue("oslo-db", signer=authority).server_context(tmp_path)
    with mariadb_server(context, greeting=BLOCKED) as server:
        assert database(server.port, authority) == {
            "error": "1129: Host '10.100.0.4' is blocked because of many connection errors"
        }


def test_something_else_on_the_port_and_nothing_at_all(authority: Certificate) -> None:
    with mariadb_server(None, greeting=b"SSH-2.0-OpenSSH_9.2p1 Debian") as server:
        assert database(server.port, authority) == {"error": "this is not MariaDB's protocol"}
    assert database(server.port, authority) == {"error": f"127.0.0.1:{server.port}: Connection refused"}


def test_haproxys_statistics(tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    recorded = (Path(__file__).parent / "recorded" / "show-stat.csv").read_text()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(100))
                connection.sendall(recorded.encode())

        threading.Thread(target=serve, daemon=True).start()
        done = probe("haproxy.py", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, recorded, "")
    assert asked == [b"show stat\n"]


def test_no_haproxy_behind_the_socket(tmp_path: Path) -> None:
    done = probe("haproxy.py", str(tmp_path / "none.sock"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/none.sock: No such file or directory\n"


# The path of packets


@given(real=st.integers(576, 9216), expected=st.integers(576, 9216))
def test_bisection_finds_every_path(real: int, expected: int) -> None:
    tried: list[int] = []

    def passes(size: int) -> bool:
        tried.append(size)
        return size <= real

    assert probe_path.largest(passes, expected, max(9216, expected + 1)) == real
    # What is as expected is told by three sizes; else it takes what bisection takes.
    assert len(tried) <= (3 if real == expected else 18)


def test_a_path_on_which_nothing_is_answered() -> None:
    assert probe_path.largest(lambda _size: False, 1450, 9001) == 0


def test_the_path_to_this_machine_itself() -> None:
    done = probe("path.py", "127.0.0.1", "1360")
    found = json.loads(done.stdout)
    # IPv4's own limit, above which ping builds no packet.
    assert found["largest"] == min(65535, int(Path("/sys/class/net/lo/mtu").read_text()))


def test_a_path_that_has_no_route() -> None:
    done = probe("path.py", "not-an-address", "1360")
    assert done.returncode == 1
    assert "not-an-address" in done.stderr
    assert "Traceback" not in done.stderr


# What disks do


def test_the_load_of_this_machine(tmp_path: Path) -> None:
    done = probe("load.py", str(tmp_path), "0.2")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert abs(found["iowait_percent"]) <= 100  # the kernel's counter may go back (proc(5))
    assert found["disk"]
    assert found["queue"] >= 0


def test_the_load_under_a_folder_that_is_not_there() -> None:
    done = probe("load.py", "/nowhere", "0.2")
    assert (done.returncode, done.stderr) == (1, "/nowhere: No such file or directory\n")


def test_disks_are_counted_between_two_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """10 reads that took 20 ms, 5 writes that took 50 ms, in a second; a fifth of the time spent waiting."""
    before, after = [0] * 11, [10, 0, 80, 20, 5, 0, 40, 50, 0, 60, 70]
    looks = iter([{"254:0": ("vda", before)}, {"254:0": ("vda", after)}])
    ticks = iter([[0] * 10, [100, 0, 20, 40, 40, 0, 0, 0, 90, 0]])
    monkeypatch.setattr(probe_load, "disks", lambda: next(looks))
    monkeypatch.setattr(probe_load, "cpu", lambda: next(ticks))
    monkeypatch.setattr(probe_load, "under", lambda _folder, _known: ("vda", ["254:0"]))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    probe_load.main("/", 1.0)
    found = json.loads(capsys.readouterr().out)
    assert found.pop("seconds") == 1.0
    assert found == {"iowait_percent": 20.0, "disk": "vda", "r_await_ms": 2.0, "w_await_ms": 10.0, "queue": 0.07}


def test_a_disk_without_room_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(RuntimeError, match=r"2\.0 GiB free; this takes 1 GiB of at least 4"):
        probe_disk.main(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_without_fio_its_name_is_said_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    (tmp_path / "data").mkdir()
    done = probe("disk.py", str(tmp_path / "data"))
    assert (done.returncode, done.stderr) == (127, "fio: command not found\n")
    assert list((tmp_path / "data").iterdir()) == []


def test_one_run_at_a_time(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        done = probe("disk.py", str(tmp_path))
    finally:
        os.close(folder)
    assert (done.returncode, done.stderr) == (1, "another run measures this disk now\n")
    assert list(tmp_path.iterdir()) == []


def test_fio_ends_with_whoever_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the connection breaks: nobody reads what the probe will print."""
    (tmp_path / "fio").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    (tmp_path / "fio").chmod(0o755)
    text = (PROGRAMS / "disk.py").read_text().replace("2**30, 2**24", "2**20, 2**20")
    words = [sys.executable, "-I", "-", str(tmp_path)]
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(text.encode())
        process.stdin.close()
        deadline = time.monotonic() + 60
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b"nobody listens any more\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def flow(protocol: str, port: int, own: str = "127.0.0.1", address: str = "127.0.0.1") -> str:
    done = probe("flow.py", own, address, protocol, str(port))
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert 0 <= said["ms"] < 30_000
    answer: str = said["answer"]
    return answer


def test_a_flow_over_tcp_is_open_or_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert flow("tcp", port) == "open"
    assert flow("tcp", port) == "refused"


def test_a_flow_over_udp_may_be_silent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert flow("udp", port) == "silent"

        def answer() -> None:
            while True:  # those of before are there still
                _, client = server.recvfrom(10)
                server.sendto(b"here", client)

        server.settimeout(30)
        threading.Thread(target=lambda: suppressed(answer), daemon=True).start()
        assert flow("udp", port) == "open"
    assert flow("udp", port) == "refused"


def test_flows_are_tried_side_by_side_and_told_in_their_order() -> None:
    """A way that is shut takes all of the time that one may take."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
    ):
        silent.bind(("127.0.0.1", 0))
        ways = [("udp", silent.getsockname()[1])] * 4 + [("tcp", server.getsockname()[1])]
        words = [word for protocol, port in ways for word in ("127.0.0.1", protocol, str(port))]
        began = time.monotonic()
        done = probe("flow.py", "127.0.0.1", *words)
        elapsed_ms = 1000 * (time.monotonic() - began)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["answer"] for each in said] == [*["silent"] * 4, "open"]
    took = [each["ms"] for each in said[:4]]
    assert min(took) > 2000
    assert elapsed_ms < sum(took)
    assert probe("flow.py", "127.0.0.1").stdout == ""


def test_commands_run_at_the_same_time_and_are_told_apart(tmp_path: Path) -> None:
    """Each waits for the other's word: one after the other neither would end."""
    meet = 'cat; touch "$1"; until [ -e "$2" ]; do sleep 0.05; done; echo "$1" >&2; exit "$3"'
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    commands = [
        (["timeout", "20", "sh", "-c", meet, "sh", one, other, "0"], "first"),
        (["timeout", "20", "sh", "-c", meet, "sh", other, one, "3"], "second"),
        (["no-such-program"], ""),
    ]
    text = (PROGRAMS / "together.py").read_text()
    words = [sys.executable, "-I", "-c", text]
    done = subprocess.run(words, input=json.dumps(commands), capture_output=True, text=True, timeout=60, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"status": 0, "stdout": "first", "stderr": f"{one}\n"},
        {"status": 3, "stdout": "second", "stderr": f"{other}\n"},
        {"status": 127, "stdout": "", "stderr": "no-such-program: command not found\n"},
    ]


def suppressed(run: Callable[[], None]) -> None:
    """Run until its socket is closed."""
    with contextlib.suppress(OSError):
        run()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flow_without_a_way_is_named(protocol: str) -> None:
    assert flow(protocol, 9, own="0.0.0.0", address="255.255.255.255") in (
        "Network is unreachable",
        "Permission denied",
    )
    # The tunnel is down: another way would be no answer.
    assert flow(protocol, 9, own="192.0.2.1") == "Cannot assign requested address"


# --- what a host lets out: by the kernel, in a network of its own ---


CLOSED = firewall.render_base(firewall.Base(operators=["192.0.2.10/32"], ssh_port=22, egress=[]))
WIRE = """
ip link set lo up
ip link add v0 type veth peer name v1
ip addr add 192.0.2.9/24 dev v0
ip link set v0 up
ip link set v1 up
nft -f "$1"
"$2" -I -c 'import socket as s, time; x = s.create_server(("127.0.0.1", 443)); print(flush=True); time.sleep(60)' \\
    >"$3" &
until [ -s "$3" ]; do sleep 0.02; done
"$2" -I - "$4" "$5"
kill $!
"""


@pytest.mark.parametrize(
    ("address", "port", "found"),
    [
        ("192.0.2.12", 443, {"reached": False, "error": "No route to host", "refused": 1}),
        # Which the system's own services may have.
        ("192.0.2.12", 53, {"reached": False, "error": "No route to host", "refused": 1}),
        ("127.0.0.1", 443, {"reached": True, "error": "", "refused": 0}),
        ("127.0.0.1", 444, {"reached": False, "error": "Connection refused", "refused": 0}),
    ],
)
def test_a_workloads_connection_is_refused_by_the_hosts_own_rules(
    tmp_path: Path, address: str, port: int, found: dict[str, object]
) -> None:
    (tmp_path / "closed.nft").write_text(CLOSED)
    done = subprocess.run(
        [
            *("unshare", "--net", "sh", "-euc", WIRE, "sh"),
            *(str(tmp_path / "closed.nft"), sys.executable, str(tmp_path / "listens"), address, str(port)),
        ],
        input=(PROGRAMS / "egress.py").read_text(),
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == found
