"""in-force haproxy and nftables, by real processes and the kernel, under dash. The rest is held in the lab."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fortress import firewall

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "fortress/scripts/in-force"


class Edge:
    """A host whose haproxy.service is what the double of systemctl says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "haproxy.cfg"
        self.file.write_text("# of the edge\n")
        self.says("ExecStart", "{ path=/usr/sbin/haproxy ; argv[]=/usr/sbin/haproxy -Ws -f $CONFIG -p $PIDFILE ; }")
        self.says("Environment", f"CONFIG={self.file} PIDFILE=/run/haproxy.pid")
        self.says("EnvironmentFiles", "")
        self.says("DropInPaths", "")
        self.says("FragmentPath", "/lib/systemd/system/haproxy.service")

    def says(self, name: str, *answers: object) -> None:
        (self.folder / f"property-{name}").write_text("".join(f"{each}\n" for each in answers))

    def in_force(self) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{ROOT / 'tests/doubles/bin-host'}:{os.environ['PATH']}",
            "PUSH_DOUBLES": str(self.folder),
        }
        return subprocess.run(
            ["dash", str(SCRIPT), "haproxy", str(self.file)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    return Edge(tmp_path)


@contextmanager
def master(*arguments: str) -> Iterator[int]:
    """A process with these arguments."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", *arguments], stdin=subprocess.PIPE
    )
    try:
        yield process.pid
    finally:
        process.communicate()


@contextmanager
def without_arguments() -> Iterator[int]:
    """A process that has ended and was not waited for: like one whose program is being replaced, it has none."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not Path(f"/proc/{process.pid}/cmdline").read_bytes()
        yield process.pid
    finally:
        process.wait()


def test_a_master_that_runs_on_the_file(edge: Edge) -> None:
    with master("-Ws", "-f", str(edge.file)) as pid:
        edge.says("MainPID", pid)
        done = edge.in_force()
    assert (done.returncode, done.stderr) == (0, "")


def test_a_master_that_just_reloads_is_waited_for(edge: Edge) -> None:
    """On Debian 12 a reload ends when the master was told to, and not when it has its arguments again."""
    with without_arguments() as reloading, master("-Ws", "-f", str(edge.file)) as pid:
        edge.says("MainPID", reloading, reloading, reloading, pid)
        done = edge.in_force()
    assert (done.returncode, done.stderr) == (0, "")


def test_a_master_on_another_file_is_named(edge: Edge) -> None:
    with master("-Ws", "-f", "/etc/haproxy/other.cfg") as pid:
        edge.says("MainPID", pid)
        done = edge.in_force()
    assert done.returncode == 1
    assert done.stderr == (
        f"HAProxy runs on /etc/haproxy/other.cfg in place of {edge.file} since it started. Restart it: "
        "systemctl restart haproxy\n"
    )


def test_no_master_is_said_at_once(edge: Edge) -> None:
    edge.says("MainPID", 0, "asked again")
    done = edge.in_force()
    assert done.returncode == 1
    assert done.stderr.startswith("HAProxy runs on no file that can be told in place of ")
    assert (edge.folder / "property-MainPID").read_text() == "asked again\n"


# --- nftables: by the kernel, in a network of its own ---


EDITS = {
    "": True,
    "nft add rule inet fortress input tcp dport 80 accept": True,  # `fortress drift` compares rules
    "nft flush ruleset": False,
    "nft delete table inet fortress": False,
    "nft flush chain inet fortress forward; nft delete chain inet fortress forward": False,
    "nft chain inet fortress forward '{ policy accept; }'": False,
    "nft chain inet fortress input '{ policy accept; }'": False,
    "nft flush chain inet fortress forward": False,
    "nft flush chain inet fortress input": False,
}


CLOSED_EDITS = {
    "": True,
    "nft add rule inet fortress output accept": True,
    "nft flush chain inet fortress output; nft delete chain inet fortress output": False,
    "nft chain inet fortress output '{ policy accept; }'": False,
    "nft flush chain inet fortress output": False,
    "nft chain inet fortress input '{ policy accept; }'": False,
}


@pytest.mark.parametrize("edit", CLOSED_EDITS)
def test_a_closed_firewall_drops_what_goes_out_too(tmp_path: Path, edit: str) -> None:
    closed = firewall.Base(operators=["192.0.2.10/32"], ssh_port=22, egress=[])
    done = firewall_in_force(tmp_path, firewall.render_base(closed), edit)
    missing = "there is no firewall: the table inet fortress has no chains input, forward and output that drop\n"
    expected = (0, "") if CLOSED_EDITS[edit] else (1, missing)
    assert (done.returncode, done.stderr) == expected


@pytest.mark.parametrize("edit", EDITS)
def test_a_firewall_drops_what_comes_in_and_what_passes_through(tmp_path: Path, edit: str) -> None:
    base = firewall.render_base(firewall.Base(operators=["192.0.2.10/32"], ssh_port=22))
    done = firewall_in_force(tmp_path, base, edit)
    expected = (
        ""
        if EDITS[edit]
        else "there is no firewall: the table inet fortress has no chains input and forward that drop\n"
    )
    assert (done.returncode, done.stderr) == (0 if EDITS[edit] else 1, expected)


def firewall_in_force(tmp_path: Path, text: str, edit: str) -> subprocess.CompletedProcess[str]:
    """What is said of a firewall that was loaded, and then changed by hands."""
    file = tmp_path / "nftables.conf"
    file.write_text(text)
    (tmp_path / "property-ExecStart").write_text(f"{{ path=/usr/sbin/nft ; argv[]=/usr/sbin/nft -f {file} ; }}\n")
    return subprocess.run(
        ["unshare", "--net", "sh", "-euc", f"nft -f {file}; {edit or ':'}; exec dash {SCRIPT} nftables {file}"],
        env={
            **os.environ,
            "PATH": f"{ROOT / 'tests/doubles/bin-host'}:{os.environ['PATH']}:/usr/sbin",
            "PUSH_DOUBLES": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
