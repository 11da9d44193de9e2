"""Debian's MariaDB with its data on a volume of its own, and cryptsetup's real headers, as on a fortress host.

The kernel here may have no device mapper: what LUKS opens is a double's, its headers and keys are cryptsetup's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fortress import push
from fortress.cli.probes import volume as probe
from tests.engine.mariadb_host import LIBRARY, SCRIPTS, Host, host
from tests.unit.volume_host import DOUBLES, Disk, disk

ID = "d5b5a1c8-9f00-4c0a-8a15-6a2f7e1c2b3d"
PLACE = ("/var/lib/mysql", "mariadb")
KEY = "tPzGm7Yw5hVq1sLx9cRk3dNf2bJ8uAe4"
CRYPTSETUP = "/usr/sbin/cryptsetup"  # Debian's, not the double

# What data-volume asks of systemd, in front of the host's own stand-in.
_SYSTEMCTL = f"""#!/bin/sh
[ "$1" != --quiet ] || shift
case $1 in
daemon-reload | is-enabled) ;;
is-active) pgrep -x mariadbd >/dev/null ;;
show)
	case $2 in
	--property=User) echo mysql ;;
	--property=LoadState) echo loaded ;;
	--property=ActiveState) pgrep -x mariadbd >/dev/null && echo active || echo inactive ;;
	esac
	;;
start) {LIBRARY}/data-volume ready {" ".join(PLACE)} && exec /usr/bin/systemctl "$@" ;;
*) exec /usr/bin/systemctl "$@" ;;
esac
"""


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with disk(tmp_path_factory.mktemp("volume"), "volume", mb=384) as made:
        yield made


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, volume: Disk) -> Iterator[Host]:
    """A host without data, to which the volume is attached."""
    with host(tmp_path_factory.mktemp("mariadb")) as running:
        running.check("umount", "/var/lib/mysql")
        running.check("mkdir", "-p", "/sys", "/dev/disk/by-id", "/dev/mapper", "/run/doubles")
        running.check("mount", "-t", "sysfs", "sysfs", "/sys")  # where mount finds a UUID's device
        running.check("mknod", "/dev/loop-control", "c", "10", "237")
        for number in range(64):
            running.check("mknod", f"/dev/loop{number}", "b", "7", str(number))
        running.check("ln", "-s", volume.device, f"/dev/disk/by-id/virtio-{ID[:20]}")
        running.write(f"{LIBRARY}/data-volume", (SCRIPTS / "data-volume").read_text(), 0o755)
        running.write("/usr/local/sbin/systemctl", _SYSTEMCTL, 0o755)
        running.write("/usr/local/sbin/cryptsetup", (DOUBLES / "cryptsetup").read_text(), 0o755)
        yield running


def mount(db: Host, *words: str, key: str = "") -> str:
    return db.script("data-volume", "mount", f"volume:{ID}", *PLACE, *words, stdin=push.content(key).encode())


def unmount(db: Host) -> str:
    return db.script("data-volume", "unmount", *PLACE)


def install_database(db: Host) -> None:
    """What installing Debian's package does in the data folder, in its words."""
    db.check("sh", "-c", 'find /var/lib/mysql ! -uid "$(id -u mysql)" -print0 | xargs -0 -r chown mysql')
    db.check("mariadb-install-db", "--rpm", "--cross-bootstrap", "--user=mysql", "--disable-log-bin", "--skip-test-db")


def test_a_database_on_its_volume_survives_its_machine(db: Host, volume: Disk) -> None:
    """The data folder is made on the volume; after an unmount it comes back, with its rows, for this user's numbers."""
    mount(db)
    install_database(db)
    db.check("systemctl", "start", "mariadb.service")
    assert db.sql("SHOW DATABASES LIKE '%lost%';") == []
    db.sql("CREATE DATABASE app; CREATE TABLE app.t (n INT) ENGINE=InnoDB; INSERT INTO app.t VALUES (7);")

    assert "unmounted /var/lib/mysql" in unmount(db)
    assert db.run("pgrep", "-x", "mariadbd").returncode == 1
    assert db.check("find", "/var/lib/mysql", "-mindepth", "1") == ""
    state = subprocess.run(["dumpe2fs", "-h", volume.device], check=True, capture_output=True, text=True).stdout
    assert "Filesystem state:         clean" in state

    # As another machine would have numbered its users.
    db.check("usermod", "--uid", "987", "mysql")
    db.check("groupmod", "--gid", "986", "mysql")
    db.check("chown", "mysql", "/run/mysqld")
    said = mount(db)
    assert said.splitlines() == [f"mounted {volume.device} on /var/lib/mysql", "started mariadb"]
    assert db.sql("SELECT n FROM app.t;") == [["7"]]
    assert db.check("find", "/var/lib/mysql", "!", "-user", "mysql", "-o", "!", "-group", "mysql") == ""
    install_database(db)
    assert db.sql("SELECT n FROM app.t;") == [["7"]], "the package's own work leaves what is there"
    unmount(db)


def test_the_volume_is_real_luks2(db: Host, volume: Disk) -> None:
    unmount(db)
    volume.clear()
    try:
        said = mount(db, "--encrypted", key=KEY)
        assert f"encrypted {volume.device} (LUKS2)" in said
        dump = db.check(CRYPTSETUP, "luksDump", volume.device)
        assert "Version:       \t2" in dump
        assert "PBKDF:      argon2id" in dump
        with Path(volume.device).open("rb") as lies:
            assert f"offset: {probe.data_offset(lies.read(1 << 15))} [bytes]" in dump
        key_file = "/etc/fortress/data-volume.key"
        opens = ("open", "--test-passphrase", "--key-file", key_file, volume.device)
        assert db.run(CRYPTSETUP, *opens).returncode == 0
        assert db.run(CRYPTSETUP, *opens[:2], volume.device, stdin=KEY.encode()).returncode == 0, "the text itself"
        assert mount(db, "--encrypted", key=KEY) == ""
        words = ("mount", f"volume:{ID}", *PLACE, "--encrypted")
        other = db.refused("data-volume", *words, stdin=push.content(KEY[::-1]).encode())
        assert "does not open with this key: nothing was changed" in other
        assert db.run(CRYPTSETUP, *opens).returncode == 0
    finally:
        unmount(db)
    assert not Path(f"{db.root}/etc/fortress/data-volume.key").exists()
