"""in-force workload: the environment of a real process beside what its unit's file says, under dash."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fortress import workload
from fortress.workload import Unit

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "fortress/scripts/in-force"

PLACE = {"FORTRESS_SITE": "oslo", "GREETING": 'a "word" of 5 %, a $dollar and a \\', "EMPTY": ""}

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "INVOCATION_ID")
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" "), max_size=12)


@contextmanager
def process(environment: Mapping[str, str]) -> Iterator[int]:
    with subprocess.Popen(["/usr/bin/cat"], env=dict(environment), stdin=subprocess.PIPE) as running:
        yield running.pid


class Host:
    """One whose app.service has the file of PLACE, or of another environment."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = PLACE) -> None:
        self.folder = folder
        unit = Unit(name="app", command="/usr/bin/app", port=80, environment=dict(environment))
        (folder / "app.service").write_text(workload.render(unit))
        self.says("DropInPaths", "")

    def says(self, name: str, answer: object) -> None:
        (self.folder / f"property-{name}").write_text(f"{answer}\n")

    def in_force(self, pid: int) -> tuple[int, str]:
        self.says("MainPID", pid)
        done = subprocess.run(
            ["dash", str(SCRIPT), "workload", str(self.folder / "app.service")],
            env={
                **os.environ,
                "PATH": f"{ROOT / 'tests/doubles/bin-host'}:{os.environ['PATH']}",
                "PUSH_DOUBLES": str(self.folder),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), st.data())
def test_each_environment_that_a_file_can_have_is_read_as_it_was_written(
    environment: dict[str, str], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder), environment)
        with process({**environment, "INVOCATION_ID": "0"}) as pid:
            assert host.in_force(pid) == (0, "")
        other = data.draw(st.sampled_from(sorted(environment)))
        with process({**environment, other: f"{environment[other]}x", "INVOCATION_ID": "0"}) as pid:
            status, said = host.in_force(pid)
    assert (status, f"other values of {other} than" in said) == (1, True), said


def test_what_a_hand_restarted_with_another_environment_is_named(host: Host) -> None:
    with process({"EMPTY": "", "FORTRESS_SITE": "frankfurt", "INVOCATION_ID": "0"}) as pid:
        assert host.in_force(pid) == (
            1,
            "app.service runs with other values of FORTRESS_SITE, GREETING than its file has. Restart it: "
            "systemctl restart app.service\n",
        )


@pytest.mark.parametrize("line", ["Environment=FORTRESS_SITE=nowhere", " EnvironmentFile = -/etc/default/app"])
def test_a_drop_in_that_sets_another_is_named(host: Host, line: str) -> None:
    harmless, culprit = host.folder / "limits.conf", host.folder / "hand.conf"
    harmless.write_text("[Service]\nLimitNOFILE=9000\n")
    culprit.write_text(f"[Service]\n{line}\n")
    host.says("DropInPaths", f"{harmless} {culprit}")
    with process({**PLACE, "FORTRESS_SITE": "nowhere", "INVOCATION_ID": "0"}) as pid:
        assert host.in_force(pid) == (
            3,
            f"app.service has other values of FORTRESS_SITE, by {culprit}. Take it away there, then restart it: "
            "systemctl daemon-reload && systemctl restart app.service\n",
        )
    with process({**PLACE, "INVOCATION_ID": "0"}) as pid:
        assert host.in_force(pid) == (0, ""), "what it adds is no harm"


def test_a_process_that_cannot_say_is_not_accused(host: Host) -> None:
    with process({"TITLE": "what a process wrote over its environment"}) as pid:
        assert host.in_force(pid) == (0, "")
    assert host.in_force(0) == (0, ""), "it does not run, which another check says"
