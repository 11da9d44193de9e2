"""What the lab says when the machine lacks something: the fact and the cure, before anything is made."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.base import cgroups, folders
from lab.base.errors import LabError
from lab.base.folders import RELEASES, Lab
from lab.image import images, machine

RELEASE = RELEASES[0]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of labs and the cache in a place of the test's own."""
    monkeypatch.setattr(folders, "ROOT", tmp_path / "labs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"requires root. Fix: run it with sudo"):
        machine.check_root()


def test_not_root_on_the_command_line() -> None:
    """The real command, run by a real user who is not root."""
    warm = "import os; from lab.__main__ import app; app(['status', '--help'], standalone_mode=False)"  # loads all
    become = "os.setuid(65534)" if os.geteuid() == 0 else "pass"
    script = f"{warm}\n{become}\napp(['up'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "lab: the lab makes namespaces and mounts, which requires root\nfix: run it with sudo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory"), r"there is no /dev/net/tun. Fix: modprobe tun"),
        (
            PermissionError(1, "Operation not permitted"),
            r"cannot be opened: Operation not permitted. Fix: modprobe tun",
        ),
        (OSError(19, "No such device"), r"cannot be opened: No such device. Fix: modprobe tun"),
    ],
)
def test_no_tun_device(monkeypatch: pytest.MonkeyPatch, error: OSError, said: str) -> None:
    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(LabError, match=said):
        machine.check_tun()


def test_a_low_limit_of_watchers_is_raised_and_a_higher_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "WATCHERS", tmp_path / "limit")
    machine.allow_watchers()  # not there, as where /proc/sys is not ours
    for before, after in (("128\n", "1024\n"), ("8192\n", "8192\n")):
        machine.WATCHERS.write_text(before)
        machine.allow_watchers()
        assert machine.WATCHERS.read_text() == after


def test_too_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab("trial")
    monkeypatch.setattr(machine, "free_mb", lambda _: 1200)
    with pytest.raises(LabError, match=r"labs/trial has 1200 MB free and needs 4000 MB. Fix: free some space$"):
        machine.check_room(lab, RELEASE)
    lab.folder.mkdir(parents=True)
    with pytest.raises(LabError, match=r"cache.* needs 1500 MB. Fix: free some space, or set XDG_CACHE_HOME"):
        machine.check_room(lab, RELEASE)
    images.repository_path(RELEASE).mkdir(parents=True)
    machine.check_room(lab, RELEASE)


def test_room_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    assert machine.free_mb(tmp_path / "not/there/yet") == machine.free_mb(tmp_path)


def test_a_name_that_is_in_use() -> None:
    lab = Lab("trial")
    machine.check_name(lab)
    lab.folder.mkdir(parents=True)
    machine.check_name(lab)
    (lab.folder / "precious").touch()
    with pytest.raises(LabError, match=r"is in use and holds no lab. Fix: .* set FORTRESS_LAB to another name"):
        machine.check_name(lab)
    lab.run.mkdir()
    machine.check_name(lab)


def test_leftovers_of_a_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "populated", lambda _: True)
    monkeypatch.setattr(cgroups, "members", lambda _: [1, 2, 3])
    said = r"3 processes of an earlier lab 'trial' are left. Fix: FORTRESS_LAB=trial python -m lab down"
    with pytest.raises(LabError, match=said):
        machine.check_name(Lab("trial"))


def test_a_file_system_without_overlays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "succeeds", lambda _: False)
    with pytest.raises(LabError, match=r"cannot hold overlay mounts. Fix: mount an ext4, xfs or btrfs"):
        machine.check_overlay()
    assert not folders.ROOT.exists()


def test_no_cgroup2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "hierarchy", lambda _: None)
    with pytest.raises(LabError, match=r"no cgroup2 hierarchy. Fix: mkdir -p .* && mount -t cgroup2"):
        cgroups.root()


def test_no_go_matters_only_without_netem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match=r"no netem, and there is no Go .* Fix: install Go"):
        machine.check_go()
    images.delay_line_path().parent.mkdir(parents=True)
    images.delay_line_path().touch()
    machine.check_go()


@pytest.fixture
def fake_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with an apt-get that keeps a diary and, at first, finds the lists' lock taken."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text(
        f"""#!/bin/sh
echo "$*" >>{tmp_path}/diary
if [ ! -e {tmp_path}/tried ]; then
    : >{tmp_path}/tried
    echo 'E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)' >&2
    exit 100
fi
case "$*" in
*install*) for p in systemd-nspawn mmdebstrap; do echo '#!/bin/sh' >{tools}/$p; chmod +x {tools}/$p; done ;;
esac
"""
    )
    (tools / "apt-get").chmod(0o755)
    for program in ("sh", "chmod"):
        (tools / program).symlink_to(f"/bin/{program}")
    monkeypatch.setattr(
        machine, "PROGRAMS", {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "sh": "dash"}
    )
    monkeypatch.setenv("PATH", str(tools))
    return tmp_path / "diary"


def test_programs_are_installed_once_the_lock_is_free(fake_apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    nap = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: waits.append(seconds) if seconds == 2 else nap(seconds))
    assert machine.install_programs() == ["mmdebstrap", "systemd-container"]
    assert waits == [2]
    done = fake_apt.read_text().splitlines()
    assert [line.split("--yes ")[1] for line in done] == [
        "update",
        "update",
        "install --no-install-recommends mmdebstrap systemd-container",
    ]
    assert all("DPkg::Lock::Timeout=300" in line for line in done)
    assert machine.install_programs() == []
    assert len(fake_apt.read_text().splitlines()) == 3


def test_a_lock_that_is_never_free(fake_apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "APT_LOCK_SECONDS", -1)
    with pytest.raises(LabError, match=r"Could not get lock .* held by process 7"):
        machine.install_programs()
    assert len(fake_apt.read_text().splitlines()) == 1


def test_programs_are_missing_and_there_is_no_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match=r"has no apt. Fix: install what provides: .*mmdebstrap.*systemd-container"):
        machine.install_programs()
