"""data-volume: real file systems on real block devices, under dash; systemd and the device mapper are doubles."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fortress import push
from tests.unit.volume_host import END, LIBRARY, MOUNTPOINT, NEVER, Cut, Disk, VolumeHost, disk

ID = "d5b5a1c8-9f00-4c0a-8a15-6a2f7e1c2b3d"
LINK = f"virtio-{ID[:20]}"
VOLUME = ("mount", f"volume:{ID}", MOUNTPOINT, "mariadb")
UNMOUNT = ("unmount", MOUNTPOINT, "mariadb")
DROP_IN = "/etc/systemd/system/mariadb.service.d/40-fortress-data-volume.conf"
KEY = "tPzGm7Yw5hVq1sLx9cRk3dNf2bJ8uAe4"
KEY_FILE = "/etc/fortress/data-volume.key"
CRYPTED = (*VOLUME, "--encrypted")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path, "volume") as made:
        yield made


@pytest.fixture
def host(tmp_path: Path, volume: Disk) -> Iterator[VolumeHost]:
    """A host with the empty volume attached."""
    running = VolumeHost(tmp_path / "host")
    try:
        running.attach(volume.device, LINK)
        yield running
    finally:
        running.pull_the_plug()


def uuid(device: str) -> str:
    done = subprocess.run(["blkid", "-p", "-s", "UUID", "-o", "value", device], check=True, capture_output=True)
    return done.stdout.decode().strip()


def mkfs(device: str, *words: str) -> None:
    subprocess.run(["mkfs.ext4", "-q", *words, device], check=True, stdin=subprocess.DEVNULL)


def keep(host: VolumeHost, name: str = "row") -> None:
    """Data."""
    host.check("sh", "-c", f"echo {name} >{MOUNTPOINT}/{name}; sync {MOUNTPOINT}/{name}")


def kept(host: VolumeHost, name: str = "row") -> bool:
    return host.run("cat", f"{MOUNTPOINT}/{name}").stdout == f"{name}\n"


# An empty volume.


def test_an_empty_volume_is_made_mounted_and_stays(host: VolumeHost, volume: Disk) -> None:
    said = host.volume(*VOLUME)
    assert said == (f"made an ext4 file system on {volume.device}\nmounted {volume.device} on {MOUNTPOINT}\n")
    assert host.mounted() == volume.device
    assert host.text("/etc/fstab") == (
        "# the system's own\nUUID=0000-0000 / ext4 defaults 0 1\n"
        f"UUID={uuid(volume.device)} {MOUNTPOINT} ext4 "
        "nodev,nosuid,noexec,nofail,x-systemd.device-timeout=60s,x-fortress 0 2\n"
    )
    assert host.check("stat", "-c", "%a", "/etc/fstab", DROP_IN) == "644\n644\n"
    assert [line for line in host.text(DROP_IN).splitlines() if line and not line.startswith("#")] == [
        "[Unit]",
        f"RequiresMountsFor={MOUNTPOINT}",
        "[Service]",
        f"ExecStartPre=+/usr/bin/nsenter --target 1 --mount {LIBRARY}/data-volume ready {MOUNTPOINT} mariadb",
        "DeviceAllow=block-* rw",
    ]
    assert host.asked().count("systemctl daemon-reload") == 1
    assert host.check("ls", "-A", MOUNTPOINT) == "", "lost+found would be a database"
    assert not host.exists("/etc/fortress/data-volume.unfinished")
    assert not host.exists("/etc/crypttab")


def test_a_second_run_changes_nothing(host: VolumeHost, volume: Disk) -> None:
    host.volume(*VOLUME)
    keep(host)
    before = host.check("stat", "-c", "%n %y", "/etc/fstab", DROP_IN), uuid(volume.device)
    host.asked()
    assert host.volume(*VOLUME) == ""
    assert (host.check("stat", "-c", "%n %y", "/etc/fstab", DROP_IN), uuid(volume.device)) == before
    assert "systemctl daemon-reload" not in host.asked()
    assert kept(host)


def test_a_new_machine_mounts_what_is_there(tmp_path: Path, host: VolumeHost, volume: Disk) -> None:
    host.volume(*VOLUME)
    keep(host)
    host.volume(*UNMOUNT)
    other = VolumeHost(tmp_path / "other")
    try:
        other.attach(volume.device, f"scsi-0QEMU_QEMU_HARDDISK_{ID}")
        assert other.volume(*VOLUME) == f"mounted {volume.device} on {MOUNTPOINT}\n"
        assert kept(other)
    finally:
        other.pull_the_plug()


@pytest.mark.parametrize("link", [f"scsi-0QEMU_QEMU_HARDDISK_{ID}", f"scsi-SQEMU_QEMU_HARDDISK_{ID[:20]}", f"xyz-{ID}"])
def test_each_way_a_cloud_names_a_volume(host: VolumeHost, volume: Disk, link: str) -> None:
    host.check("rm", f"/dev/disk/by-id/{LINK}")
    host.attach(volume.device, link)
    host.attach("/dev/loop63", f"{link}-part1")
    host.volume(*VOLUME)
    assert host.mounted() == volume.device


def test_a_volume_that_comes_late_is_waited_for(host: VolumeHost, volume: Disk) -> None:
    link = f"/dev/disk/by-id/{LINK}"
    host.check("rm", link)
    host.command("sleep", f"echo >>/run/slept; [ $(wc -l </run/slept) -lt 40 ] || ln -sf {volume.device} {link}")
    host.volume(*VOLUME)
    assert host.mounted() == volume.device
    assert host.text("/run/slept").count("\n") == 40


def test_a_volume_that_does_not_come_is_named(host: VolumeHost) -> None:
    host.check("rm", f"/dev/disk/by-id/{LINK}")
    host.command("sleep", "echo $* >>/run/slept")
    assert host.refused(*VOLUME) == (
        f"volume:{ID} is not attached to this host: no link in /dev/disk/by-id ends in its id (waited 60 s).\n"
        "  Attach it, or let `pulumi up --refresh` do so\n"
    )
    assert host.text("/run/slept") == "1\n" * 60
    assert "is not a disk of this host" in host.refused("mount", "device:/dev/vdz", MOUNTPOINT, "mariadb")
    assert not host.exists(DROP_IN)


def test_one_id_on_two_devices_is_refused(host: VolumeHost) -> None:
    host.attach("/dev/loop63", f"scsi-0QEMU_QEMU_HARDDISK_{ID}")
    assert "names two devices here" in host.refused(*VOLUME)


def test_a_device_by_its_path(host: VolumeHost, volume: Disk) -> None:
    host.check("ln", "-s", volume.device, "/dev/vdb")
    host.volume("mount", "device:/dev/vdb", MOUNTPOINT, "mariadb.service")
    assert host.mounted() == volume.device
    assert host.exists(DROP_IN)


# What is not empty.


GPT = (512, b"EFI PART\0\0\1\0\x5c\0\0\0")
MBR = (446, b"\x80\0\1\0\x83\xfe\xff\xff\x3f\0\0\0\0\x80\0\0" + b"\0" * 48 + b"\x55\xaa")


@pytest.mark.parametrize(
    ("offset", "data", "words"),
    [
        (*MBR, "holds a partition table (dos)"),
        (*GPT, "holds bytes that are not zero"),
        (1030, b"x", "holds bytes that are not zero, of no known kind"),
        (47 * 2**20, b"x", "holds bytes that are not zero, of no known kind"),
        (0, b"XFSB\0\0\x10\0" + b"\0" * 40, "holds bytes that are not zero"),
        (4086, b"SWAPSPACE2", "holds bytes that are not zero"),
    ],
)
def test_what_is_not_empty_is_refused_and_left(
    host: VolumeHost, volume: Disk, offset: int, data: bytes, words: str
) -> None:
    volume.write(offset, data)
    before = volume.read()
    said = host.refused(*VOLUME)
    assert words in said
    assert "nothing was changed" in said
    assert f"wipefs --all {volume.device}" in said
    assert volume.read() == before
    assert host.mounted() is None
    assert not host.exists(DROP_IN)
    assert "mysql" not in host.text("/etc/fstab")


def test_swap_is_refused(host: VolumeHost, volume: Disk) -> None:
    subprocess.run(["mkswap", volume.device], check=True, capture_output=True)
    assert "holds swap" in host.refused(*VOLUME)


@pytest.mark.parametrize("label", [(), ("-L", "photos")])
def test_another_ones_file_system_is_refused(host: VolumeHost, volume: Disk, label: tuple[str, ...]) -> None:
    mkfs(volume.device, *label)
    name = label[-1] if label else ""
    said = host.refused(*VOLUME)
    assert f"holds an ext4 file system (label '{name}') that is not marked as the database's" in said
    assert f"e2label {volume.device} fortress-data" in said
    host.check("e2label", volume.device, "fortress-data")
    assert host.volume(*VOLUME) == f"mounted {volume.device} on {MOUNTPOINT}\n"


def test_two_signatures_are_refused(host: VolumeHost, volume: Disk) -> None:
    mkfs(volume.device, "-L", "fortress-data")
    volume.write(*MBR)
    said = host.refused(*VOLUME)
    assert "nothing was changed" in said
    assert "a partition table (dos)" in said or "more than one thing at once" in said


def test_a_tool_that_fails_is_no_leave_to_make(host: VolumeHost, volume: Disk) -> None:
    for tool in ("wipefs", "cmp"):
        host.command(tool, "echo 'Input/output error' >&2; exit 2")
        assert "nothing was changed" in host.refused(*VOLUME), tool
        (host.root / "sbin" / tool).unlink()
    assert set(volume.read()) == {0}


def test_data_on_the_root_disk_is_not_hidden(host: VolumeHost, volume: Disk) -> None:
    host.check("mkdir", MOUNTPOINT)
    host.check("touch", f"{MOUNTPOINT}/ibdata1")
    assert host.refused(*VOLUME) == (
        f"{MOUNTPOINT} holds data on the root disk (ibdata1): nothing was changed.\n"
        f"  Stop mariadb, move it to {MOUNTPOINT}.before, run this again, "
        f"then cp -a {MOUNTPOINT}.before/. {MOUNTPOINT}/\n"
    )
    assert set(volume.read()) == {0}
    host.check("mv", MOUNTPOINT, f"{MOUNTPOINT}.before")
    host.volume(*VOLUME)
    host.check("cp", "-a", f"{MOUNTPOINT}.before/.", f"{MOUNTPOINT}/")
    assert host.volume(*VOLUME) == ""


def test_another_mount_or_entry_is_refused(host: VolumeHost, volume: Disk) -> None:
    host.check("mkdir", MOUNTPOINT)
    host.check("mount", "-t", "tmpfs", "tmpfs", MOUNTPOINT)
    assert f"{MOUNTPOINT} has something other than {volume.device}" in host.refused(*VOLUME)
    host.check("umount", MOUNTPOINT)
    host.check("sh", "-c", f"echo 'LABEL=old {MOUNTPOINT} xfs defaults 0 0' >>/etc/fstab")
    assert f"/etc/fstab already mounts LABEL=old on {MOUNTPOINT}" in host.refused(*VOLUME)
    assert set(volume.read()) == {0}


def test_a_volume_that_is_mounted_elsewhere_is_refused(host: VolumeHost, volume: Disk) -> None:
    mkfs(volume.device, "-L", "fortress-data")
    host.check("mkdir", "/run/elsewhere")
    host.check("mount", volume.device, "/run/elsewhere")
    assert f"{volume.device} (volume:{ID}) is mounted on /run/elsewhere: unmount it there\n" == host.refused(*VOLUME)


def test_our_own_old_entry_gives_way(host: VolumeHost, volume: Disk) -> None:
    """A volume made from a backup takes the place of the first."""
    host.check("sh", "-c", f"echo 'UUID=1-2 {MOUNTPOINT} ext4 nofail,x-fortress 0 2' >>/etc/fstab")
    host.volume(*VOLUME)
    assert host.text("/etc/fstab").count(MOUNTPOINT) == 1
    assert f"UUID={uuid(volume.device)} {MOUNTPOINT} " in host.text("/etc/fstab")


def test_an_entry_that_is_commented_out_stays(host: VolumeHost) -> None:
    line = f"#UUID=1-2 {MOUNTPOINT} ext4 nofail,x-fortress 0 2"
    host.check("sh", "-c", f"echo '{line}' >>/etc/fstab")
    host.volume(*VOLUME)
    host.volume(*UNMOUNT)
    assert line in host.text("/etc/fstab").splitlines()


# Growth.


def may_grow_in_use() -> bool:
    """Whether this machine's root may grow a file system that is mounted (CAP_SYS_RESOURCE)."""
    (capabilities,) = re.findall(r"^CapEff:\t(.*)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(int(capabilities, 16) & 1 << 24)


def resize_double(host: VolumeHost, device: str) -> None:
    """Where growing in use is not allowed, a resize2fs that says what the real one does."""
    if not may_grow_in_use():
        size = f"$(blockdev --getsize64 {device})"
        host.command(
            "resize2fs",
            f"""[ "$(cat /run/size 2>/dev/null)" = "{size}" ] && echo 'Nothing to do!' && exit
            mountpoint -q {MOUNTPOINT} && [ "$(readlink -f "$1")" = {device} ] || exit 1
            echo "{size}" >/run/size; echo "The filesystem on $1 is now 1 (4k) blocks long." """,
        )


def blocks(host: VolumeHost) -> int:
    return int(host.check("stat", "-f", "-c", "%b", MOUNTPOINT))


def test_a_volume_that_has_grown_is_grown_in_use(host: VolumeHost, volume: Disk) -> None:
    host.volume(*VOLUME)
    keep(host)
    before = blocks(host)
    volume.grow(96)
    resize_double(host, volume.device)
    assert host.volume(*VOLUME) == f"grew the file system to the whole of {volume.device}\n"
    assert not may_grow_in_use() or blocks(host) > 1.8 * before
    assert kept(host)
    assert host.volume(*VOLUME) == ""


def test_a_growth_that_is_refused_is_told_in_one_line(host: VolumeHost) -> None:
    host.volume(*VOLUME)
    host.command("resize2fs", "echo 'resize2fs 1.47.0'; echo 'resize2fs: Permission denied' >&2; exit 1")
    assert host.refused(*VOLUME).endswith(" cannot be grown: resize2fs 1.47.0 resize2fs: Permission denied\n")


def test_a_size_is_waited_for(host: VolumeHost, volume: Disk) -> None:
    host.volume(*VOLUME)
    host.command("sleep", f"echo >>/run/slept; [ $(wc -l </run/slept) -lt 3 ] || losetup -c {volume.device}")
    with volume.image.open("r+b") as file:
        file.truncate(2**30)
    resize_double(host, volume.device)
    assert host.volume(*VOLUME, "--size", "1") == f"grew the file system to the whole of {volume.device}\n"
    assert host.text("/run/slept").count("\n") == 3


def test_a_size_that_does_not_come_is_refused(host: VolumeHost, volume: Disk) -> None:
    said = host.refused(*VOLUME, "--size", "1")
    assert said.startswith(f"{volume.device} has {48 * 2**20} bytes, but 1 GB were requested.\n")
    assert set(volume.read()) == {0}


# The service.


def test_the_service_does_not_start_beneath_an_absent_volume(host: VolumeHost, volume: Disk) -> None:
    host.volume(*VOLUME)
    host.install("mariadb", "nobody")
    host.reboot()
    host.check("mv", volume.device, "/run/away")
    started = host.run("systemctl", "start", "mariadb.service")
    assert started.returncode == 1
    assert f"its volume, UUID={uuid(volume.device)}, is not attached, so mariadb does not start" in started.stderr
    assert host.check("stat", "-c", "%U %a", MOUNTPOINT) == "root 755\n", "nobody but root writes beneath it"
    host.check("mv", "/run/away", volume.device)
    host.check("systemctl", "start", "mariadb.service")
    assert host.mounted() == volume.device


def test_ready_wants_a_volume(host: VolumeHost) -> None:
    assert "fstab has no volume for it" in host.refused("ready", MOUNTPOINT, "mariadb")


def test_the_data_is_given_to_the_user_of_this_machine(host: VolumeHost) -> None:
    """As MariaDB's package starts the service for the first time on a machine with other numbers."""
    host.volume(*VOLUME)
    host.check("sh", "-c", f"cd {MOUNTPOINT} && mkdir app && touch app/db.opt && ln -s /etc/passwd link")
    host.check("chown", "-hR", "107:115", MOUNTPOINT)
    host.volume("ready", MOUNTPOINT, "mariadb")
    assert host.check("stat", "-c", "%u:%g", f"{MOUNTPOINT}/app/db.opt") == "107:115\n", "no service, no user"
    host.install("mariadb", "nobody")
    host.check("mkdir", f"{MOUNTPOINT}/lost+found")
    host.check("systemctl", "start", "mariadb.service")
    found = host.check("find", MOUNTPOINT, "-printf", "%P %U:%G\n")
    assert sorted(found.splitlines()) == [
        " 65534:65534",
        "app 65534:65534",
        "app/db.opt 65534:65534",
        "link 65534:65534",
    ]
    assert host.check("stat", "-c", "%u", "/etc/passwd") == "0\n"


def test_mount_starts_again_what_unmount_stopped(host: VolumeHost) -> None:
    """An instance that was to be replaced and was not."""
    host.volume(*VOLUME)
    keep(host)
    host.install("mariadb", "nobody")
    assert host.volume(*UNMOUNT) == f"unmounted {MOUNTPOINT}\n"
    assert host.state("mariadb") == "inactive"
    assert host.volume(*VOLUME).endswith("started mariadb\n")
    assert host.state("mariadb") == "active"


def test_mount_does_not_start_a_service_without_data(host: VolumeHost) -> None:
    host.install("mariadb", "nobody", active=False)
    host.volume(*VOLUME)
    assert host.state("mariadb") == "inactive"


# unmount.


def test_unmount_stops_first_and_takes_all_away(host: VolumeHost) -> None:
    before = host.text("/etc/fstab")
    host.volume(*VOLUME)
    keep(host)
    host.install("mariadb", "nobody")
    host.asked()
    assert host.volume(*UNMOUNT) == f"unmounted {MOUNTPOINT}\n"
    asked = host.asked()
    assert asked.index("systemctl stop mariadb.service") < asked.index("systemctl daemon-reload")
    assert host.mounted() is None
    assert host.text("/etc/fstab") == before
    for path in (DROP_IN, DROP_IN.rpartition("/")[0], "/etc/fortress"):
        assert not host.exists(path), path
    assert host.volume(*UNMOUNT) == ""
    assert host.asked() == [], "what is not ours is not stopped"
    host.volume(*VOLUME)
    assert kept(host)


def test_how_a_restore_drill_went_leaves_with_the_data(host: VolumeHost) -> None:
    """A newer server on the next machine asks for it."""
    host.volume(*VOLUME)
    host.check("sh", "-c", "mkdir /var/lib/fortress-backup; echo drilled >/var/lib/fortress-backup/drill.json")
    host.volume(*UNMOUNT)
    host.check("rm", "-r", "/var/lib/fortress-backup")
    host.volume(*VOLUME)
    assert host.check("cat", f"{MOUNTPOINT}/.fortress-drill.json") == "drilled\n"


def test_unmount_says_who_holds_it(host: VolumeHost, volume: Disk) -> None:
    host.volume(*VOLUME)
    keep(host)
    host.check("sh", "-c", f"tail -f {MOUNTPOINT}/row >/dev/null 2>&1 & echo $! >/run/holder")
    said = host.refused(*UNMOUNT)
    holder = host.text("/run/holder").strip()
    assert said == (
        f"{MOUNTPOINT} cannot be unmounted (target is busy.) It is held by: {holder} (tail)\n"
        "  End these processes, or unmount what is below it, and run this again\n"
    )
    assert host.mounted() == volume.device
    assert host.exists(DROP_IN)
    host.check("kill", holder)
    host.volume(*UNMOUNT)
    assert host.mounted() is None


def test_unmount_waits_for_the_end_of_the_service(host: VolumeHost, volume: Disk) -> None:
    host.volume(*VOLUME)
    host.install("mariadb", "nobody")
    (host.root / "doubles" / "units" / "mariadb" / "stays").touch()
    assert "mariadb is still active, so nothing was unmounted" in host.refused(*UNMOUNT)
    assert host.mounted() == volume.device


def test_unmount_leaves_a_mount_of_another_hand(host: VolumeHost) -> None:
    host.check("mkdir", MOUNTPOINT)
    host.check("mount", "-t", "tmpfs", "tmpfs", MOUNTPOINT)
    host.install("mariadb", "nobody")
    host.volume(*UNMOUNT)
    assert host.mounted() == "tmpfs"
    assert host.state("mariadb") == "active"


# Power cuts.


def test_a_run_cut_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    """The plug is pulled before each command of the first mount; what the next one leaves has data in it that stays."""
    calls: list[str] = []
    at = 0
    while not calls:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        with disk(folder, "volume", 24) as volume:
            host = VolumeHost(folder / "host")
            try:
                host.attach(volume.device, LINK)
                try:
                    calls = host.volume_cut(at, *VOLUME)
                except Cut:
                    host.volume(*VOLUME)
                assert host.mounted() == volume.device, at
                assert host.text("/etc/fstab").count(MOUNTPOINT) == 1, at
                assert not host.exists("/etc/fortress/data-volume.unfinished"), at
                keep(host)
                assert host.volume(*VOLUME) == "", at
                assert kept(host)
                assert host.exists(DROP_IN)
            finally:
                host.pull_the_plug()
    assert {"mkfs.ext4", "mount", "mv", "resize2fs"} < set(calls)
    assert at > 15


def test_a_cut_mkfs_is_done_again(host: VolumeHost) -> None:
    host.command("mkfs.ext4", 'for device; do :; done; echo half >"$device"; exit 1')
    assert "cannot be formatted" in host.refused(*VOLUME)
    (host.root / "sbin" / "mkfs.ext4").unlink()
    host.volume(*VOLUME)
    keep(host)
    host.reboot()
    host.volume(*VOLUME)
    assert kept(host)


def test_the_mark_of_an_unfinished_volume_is_for_that_one_only(host: VolumeHost, volume: Disk) -> None:
    host.command("mkfs.ext4", "exit 1")
    host.refused(*VOLUME)
    (host.root / "sbin" / "mkfs.ext4").unlink()
    other = ID.replace("d5b5", "0000")
    host.attach(volume.device, f"virtio-{other[:20]}")
    volume.write(0, b"of another one")
    assert "of no known kind" in host.refused("mount", f"volume:{other}", MOUNTPOINT, "mariadb")


def test_an_unmount_cut_anywhere_is_finished_by_the_next(host: VolumeHost) -> None:
    host.install("mariadb", "nobody")
    before = host.text("/etc/fstab")
    calls: list[str] = []
    at = 0
    while not calls:
        at += 1
        host.volume(*VOLUME)
        keep(host)
        try:
            calls = host.volume_cut(at, *UNMOUNT)
        except Cut:
            host.volume(*UNMOUNT)
        assert host.mounted() is None, at
        assert host.text("/etc/fstab") == before, at
        assert not host.exists(DROP_IN), at
        host.volume(*VOLUME)
        assert kept(host), at
    assert {"umount", "systemctl", "mv", "rm"} < set(calls)


# LUKS. (What `open` gives is a double's: nothing is encrypted here. tests/engine has the real headers.)


def test_an_empty_volume_is_encrypted(host: VolumeHost, volume: Disk) -> None:
    said = host.volume(*CRYPTED, stdin=push.content(KEY))
    assert said.splitlines() == [
        f"encrypted {volume.device} (LUKS2)",
        "made an ext4 file system on /dev/mapper/fortress-data",
        f"mounted /dev/mapper/fortress-data on {MOUNTPOINT}",
    ]
    inner = host.check("readlink", "-f", "/dev/mapper/fortress-data").strip()
    assert host.mounted() == inner
    assert host.text("/etc/crypttab") == (
        f"fortress-data UUID={uuid(volume.device)} {KEY_FILE} luks,nofail,x-systemd.device-timeout=60s\n"
    )
    assert f"UUID={uuid(inner)} {MOUNTPOINT} " in host.text("/etc/fstab")
    assert host.text(KEY_FILE) == KEY, "nothing but the key"
    assert host.check("stat", "-c", "%a %U", KEY_FILE) == "400 root\n"
    assert not any(KEY in line for line in host.asked())
    keep(host)
    assert host.volume(*CRYPTED, stdin=push.content(KEY)) == ""
    assert kept(host)


def test_an_encrypted_volume_is_opened_again_and_closed(host: VolumeHost) -> None:
    host.volume(*CRYPTED, stdin=push.content(KEY))
    keep(host)
    host.reboot()
    assert host.volume(*CRYPTED, stdin=push.content(KEY)) == f"mounted /dev/mapper/fortress-data on {MOUNTPOINT}\n"
    assert kept(host)
    host.volume(*UNMOUNT)
    assert not host.exists("/dev/mapper/fortress-data")
    assert not host.exists(KEY_FILE)
    assert host.text("/etc/crypttab") == ""
    host.volume(*CRYPTED, stdin=push.content(KEY))
    assert kept(host)


def test_an_encrypted_volume_grows(host: VolumeHost, volume: Disk) -> None:
    host.volume(*CRYPTED, stdin=push.content(KEY))
    volume.grow(96)
    resize_double(host, host.check("readlink", "-f", "/dev/mapper/fortress-data").strip())
    said = host.volume(*CRYPTED, stdin=push.content(KEY))
    assert said == "grew the file system to the whole of /dev/mapper/fortress-data\n"


def test_another_key_is_refused(host: VolumeHost, volume: Disk) -> None:
    host.volume(*CRYPTED, stdin=push.content(KEY))
    for mounted in (True, False):
        said = host.refused(*CRYPTED, stdin=push.content(KEY[::-1]))
        assert f"{volume.device} (volume:{ID}) does not open with this key: nothing was changed" in said
        assert "luksAddKey" in said
        assert KEY not in said
        assert KEY[::-1] not in said
        assert not host.exists(f"{KEY_FILE}.new")
        if mounted:
            assert host.text(KEY_FILE) == KEY
            host.volume(*UNMOUNT)


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (KEY, "arrived incomplete"),
        (f"{KEY}\n{END}"[:-3], "arrived incomplete"),
        ("", "arrived incomplete"),
        (push.content("short"), "shorter than 20"),
    ],
)
def test_a_key_that_is_none_makes_nothing(host: VolumeHost, volume: Disk, stdin: str, words: str) -> None:
    assert words in host.refused(*CRYPTED, stdin=stdin)
    assert set(volume.read()) == {0}


def test_encryption_is_not_taken_for_granted(host: VolumeHost) -> None:
    host.volume(*VOLUME)
    keep(host)
    host.volume(*UNMOUNT)
    assert "holds data, which encryption would delete" in host.refused(*CRYPTED, stdin=push.content(KEY))
    host.volume(*VOLUME)
    assert "is mounted without encryption" in host.refused(*CRYPTED, stdin=push.content(KEY))
    assert kept(host)


def test_an_encrypted_volume_needs_the_setting(host: VolumeHost) -> None:
    host.volume(*CRYPTED, stdin=push.content(KEY))
    host.volume(*UNMOUNT)
    assert "is encrypted: nothing was changed. Set encrypted and its key" in host.refused(*VOLUME)


def test_an_encryption_that_was_cut_is_done_again(host: VolumeHost, volume: Disk) -> None:
    """The plug is pulled at each call of cryptsetup and of mkfs.ext4, and half of a header may stand there."""
    everything = host.volume_cut(NEVER, *CRYPTED, stdin=push.content(KEY))
    for at, call in enumerate(everything, 1):
        if call not in ("cryptsetup", "mkfs.ext4"):
            continue
        if host.mounted():
            host.volume(*UNMOUNT)
        volume.clear()
        with pytest.raises(Cut):
            host.volume_cut(at, *CRYPTED, stdin=push.content(KEY))
        volume.write(2**20, b"half of a header")
        host.volume(*CRYPTED, stdin=push.content(KEY))
        keep(host)
        assert host.volume(*CRYPTED, stdin=push.content(KEY)) == "", at
        assert kept(host), at


def test_systemds_own_part_is_installed_where_it_is_a_package(host: VolumeHost) -> None:
    host.command("fortress-push", 'echo "fortress-push $*" >>/run/doubles/calls')
    host.volume(*CRYPTED, stdin=push.content(KEY))
    generator = Path("/usr/lib/systemd/system-generators/systemd-cryptsetup-generator")
    assert ("fortress-push packages systemd-cryptsetup" in host.asked()) is not generator.exists()


# Arguments.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mount",), "usage: "),
        (("mount", "volume:x", MOUNTPOINT, "mariadb"), "'x' is not a volume id"),
        (("mount", f"volume:{ID}0", MOUNTPOINT, "mariadb"), "is not a volume id"),
        (("mount", f"volume:{ID[:-1]}*", MOUNTPOINT, "mariadb"), "is not a volume id"),
        (("mount", "/dev/vdb", MOUNTPOINT, "mariadb"), "'/dev/vdb' is neither"),
        (("mount", "device:/dev/../etc/passwd", MOUNTPOINT, "mariadb"), "is not a normalised absolute path"),
        (("mount", f"volume:{ID}", "var/lib", "mariadb"), "is not a normalised absolute path"),
        (("mount", f"volume:{ID}", "/", "mariadb"), "is not a normalised absolute path"),
        (("mount", f"volume:{ID}", "/var/lib/my sql", "mariadb"), "is not a normalised absolute path"),
        (("mount", f"volume:{ID}", MOUNTPOINT, "-x"), "is not a service"),
        ((*VOLUME, "--size", "0"), "is not a size in GB"),
        ((*VOLUME, "--size"), "usage: "),
        ((*VOLUME, "--other"), "usage: "),
        (("unmount", MOUNTPOINT), "usage: "),
        ((), "usage: "),
    ],
)
def test_arguments(host: VolumeHost, volume: Disk, words: tuple[str, ...], said: str) -> None:
    assert said in host.refused(*words)
    assert set(volume.read()) == {0}
