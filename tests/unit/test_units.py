"""The units of examples/systemd: systemd accepts them, and the command in them is one that there is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fortress.cli import main
from tests.unit.stack_file import ROOT

UNITS = ROOT / "examples" / "systemd"
INSTALLED = "/srv/data-fortress"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as they are on a machine where the project is installed here."""
    for unit in UNITS.glob("*@.*"):
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, str(ROOT)))
    return tmp_path


def said_of(folder: Path) -> str:
    """What systemd finds wrong with the units of a folder."""
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing. Fix: apt-get install systemd"
    found = sorted(str(path) for path in folder.iterdir())
    assert len(found) == 5
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *found],
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Of the machine's own units, which are loaded along, it is not asked here.
    said = [line for line in (done.stdout + done.stderr).splitlines() if "fortress" in line or str(folder) in line]
    return "\n".join(said)


def test_systemd_accepts_them(units: Path) -> None:
    assert said_of(units) == ""


@pytest.mark.parametrize(
    ("unit", "right", "wrong", "said"),
    [
        ("fortress-verify@.service", "ProtectSystem=strict", "ProtectSystem=very", "protect system value"),
        ("fortress-verify@.service", ".venv/bin/fortress verify", ".venv/bin/no-such verify", "no-such"),
        ("fortress-verify@.timer", "OnCalendar=hourly", "OnCalendar=sometimes", "sometimes"),
        ("fortress-audit@.service", ".venv/bin/fortress audit", ".venv/bin/no-such audit", "no-such"),
        ("fortress-audit@.timer", "OnCalendar=daily", "OnCalendar=sometimes", "sometimes"),
        ("fortress-alert@.service", "Type=oneshot", "Type=twice", "twice"),
    ],
)
def test_what_systemd_would_refuse_is_found(units: Path, unit: str, right: str, wrong: str, said: str) -> None:
    file = units / unit
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    assert said in said_of(units)


def test_the_command_that_is_run_is_one_that_there_is(tmp_path: Path) -> None:
    text = (UNITS / "fortress-verify@.service").read_text()
    [line] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *words = shlex.split(line.replace("%i", "nowhere").replace("%d", str(tmp_path)))
    assert program == f"{INSTALLED}/.venv/bin/fortress"
    done = CliRunner().invoke(main.app, words)
    # Its options are known: what is missing is the key.
    assert done.exit_code == 2
    assert "ssh-key" in done.output
    assert "No such option" not in done.output


def test_the_audit_is_an_option_of_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (UNITS / "fortress-audit@.service").read_text()
    [line] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *words = shlex.split(line.replace("%i", "nowhere"))
    assert program == f"{INSTALLED}/.venv/bin/fortress"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PULUMI_BACKEND_URL", "PULUMI_HOME"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(main.app, words)
    # It is known; what is missing is where the state is.
    assert done.exit_code == 2
    assert "PULUMI_BACKEND_URL" in done.output
    assert "No such option" not in done.output


def test_the_alert_names_the_stack_and_says_what_the_run_said(tmp_path: Path) -> None:
    text = (UNITS / "fortress-alert@.service").read_text()
    [line] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    # As systemd reads it: its own signs twice, and the backslash of its quotes.
    words = shlex.split(line.replace("%%", "%").replace("$$", "$").replace("%i", "prod").replace("\\\\", "\\"))
    for tool, body in (("journalctl", 'echo "FAIL $*"\n'), ("sendmail", f"cat >{tmp_path}/mail\n")):
        (tmp_path / tool).write_text(f"#!/bin/sh\n{body}")
        (tmp_path / tool).chmod(0o755)
    words = [word.replace("/usr/sbin/sendmail", str(tmp_path / "sendmail")) for word in words]
    subprocess.run(words, env={"PATH": f"{tmp_path}:/usr/bin:/bin", "ALERT_TO": "ops@example"}, check=True, timeout=30)
    head, _, body = (tmp_path / "mail").read_text().partition("\n\n")
    assert head.splitlines() == ["To: ops@example", "Subject: fortress prod: a check fails"]
    assert body.startswith("FAIL ")
    assert "--unit=fortress-verify@prod.service" in body
    assert "--unit=fortress-audit@prod.service" in body
