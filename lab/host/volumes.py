"""Volumes: files on the machine that a host has as its disks /dev/vdb, /dev/vdc…, each over a loop device.

A host has no udev, so its device nodes are made from outside; those of a host that boots come from a file for
systemd-tmpfiles, early enough for what is mounted at boot.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from string import ascii_lowercase

from lab.base.commands import run
from lab.base.errors import LabError
from lab.base.folders import Lab
from lab.base.processes import until
from lab.base.topology import LabHost

LOOP_MAJOR = 7
LOOP_CTL_GET_FREE = 0x4C82
"""Asks for the number of a free loop device (linux/loop.h)."""
SERIAL_SHOWN = 20
"""Characters of a volume's serial number that a host gets to see (virtio-blk's VIRTIO_BLK_ID_BYTES)."""
FREE_SECONDS = 15
"""How long the end of a killed host's mounts may take."""


@dataclass(frozen=True)
class LabVolume:
    """A volume in a host: `device` is its name there (`vdb`), `loop` the number of the loop device on this machine."""

    serial: str
    image: str
    host: str
    device: str
    loop: int

    @property
    def link(self) -> str:
        """Where the host finds it whatever its name: `/dev/disk/by-id/virtio-…`."""
        return f"/dev/disk/by-id/virtio-{self.serial[:SERIAL_SHOWN]}"

    def nodes(self, uuid: str) -> str:
        """Lines for systemd-tmpfiles that make it appear in a host that boots.

        `uuid` is that of what it holds, empty for nothing: from 257 on systemd looks for it among the links of udev.
        """
        lines = (
            f"b /dev/{self.device} 0660 root disk - {LOOP_MAJOR}:{self.loop}\n"
            "d /dev/disk/by-id 0755 root root\n"
            f"L+ {self.link} - - - - ../../{self.device}\n"
        )
        by_uuid = f"d /dev/disk/by-uuid 0755 root root\nL+ /dev/disk/by-uuid/{uuid} - - - - ../../{self.device}\n"
        return lines + by_uuid if uuid else lines

    def plug(self) -> str:
        """Shell commands that make it appear in a host that runs."""
        return (
            f"rm -f /dev/{self.device} && mknod /dev/{self.device} b {LOOP_MAJOR} {self.loop} && "
            f"chgrp disk /dev/{self.device} && chmod 660 /dev/{self.device} && "
            f"mkdir -p /dev/disk/by-id && ln -sfn ../../{self.device} {self.link}"
        )

    def unplug(self) -> str:
        """Shell commands that take it out of a host that runs."""
        return f"rm -f /dev/{self.device} {self.link}"


def load(lab: Lab) -> dict[str, LabVolume]:
    """What is attached, by serial number."""
    try:
        return {serial: LabVolume(**entry) for serial, entry in json.loads(lab.volumes.read_text()).items()}
    except FileNotFoundError:
        return {}


def of_host(lab: Lab, host: LabHost) -> list[LabVolume]:
    """What is attached to a host."""
    return [volume for volume in load(lab).values() if volume.host == host.name]


def free_device(taken: list[LabVolume]) -> str:
    """The first free name of a disk beside these.

    Raises:
        LabError: the alphabet is over.
    """
    names = {volume.device for volume in taken}
    for letter in ascii_lowercase[1:]:
        if f"vd{letter}" not in names:
            return f"vd{letter}"
    raise LabError("a host has room for 25 volumes")


def attach(lab: Lab, host: LabHost, image: Path, serial: str) -> LabVolume:
    """Note that a volume belongs to a host and give it a loop device.

    Raises:
        LabError: it is attached already, its shown serial number is another's there, or there is no such file.
    """
    volumes = load(lab)
    file = str(image.resolve())
    for other in volumes.values():
        if serial == other.serial or file == other.image:
            raise LabError(f"volume {other.serial} is attached to {other.host}", "detach it first")
        if other.host == host.name and serial[:SERIAL_SHOWN] == other.serial[:SERIAL_SHOWN]:
            raise LabError(f"{host.name} could not tell volume {serial} from {other.serial}")
    if not image.is_file():
        raise LabError(f"there is no file {image}")
    volume = LabVolume(serial, file, host.name, free_device(of_host(lab, host)), take_loop(file))
    _save(lab, {**volumes, serial: volume})
    _describe(lab, host.name)
    return volume


def detach(lab: Lab, volume: LabVolume) -> None:
    """Free a volume's loop device and forget that it was attached."""
    free_loop(volume)
    _save(lab, {serial: other for serial, other in load(lab).items() if serial != volume.serial})
    _describe(lab, volume.host)


def release(lab: Lab, host: LabHost) -> None:
    """Detach all that a host has; it must be off."""
    for volume in of_host(lab, host):
        detach(lab, volume)


def restore(lab: Lab, host: LabHost) -> None:
    """Have what is attached to a host ready for its boot, whatever became of the loop devices meanwhile."""
    volumes = load(lab)
    for volume in of_host(lab, host):
        if backing_file(volume.loop) != volume.image:
            volumes[volume.serial] = replace(volume, loop=take_loop(volume.image))
    if volumes:
        _save(lab, volumes)
    _describe(lab, host.name)


def grow(volume: LabVolume) -> None:
    """Take the size of a volume's file anew."""
    run(["losetup", "--set-capacity", f"/dev/loop{volume.loop}"])


def busy(volume: LabVolume) -> bool:
    """Whether something has a volume open for itself alone: a mount, or a device on top of it."""
    try:
        os.close(os.open(f"/dev/loop{volume.loop}", os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return True
    return False


def backing_file(loop: int) -> str | None:
    """The file under a loop device; None when it is free."""
    try:
        return Path(f"/sys/block/loop{loop}/loop/backing_file").read_text().removesuffix("\n")
    except (FileNotFoundError, OSError):
        return None


def take_loop(image: str) -> int:
    """The number of a loop device on a file.

    Raises:
        LabError: there is none to be had.
    """
    for _ in range(20):
        number = _free_number()
        with suppress(FileExistsError):
            os.mknod(f"/dev/loop{number}", 0o600 | stat.S_IFBLK, os.makedev(LOOP_MAJOR, number))
        try:
            run(["losetup", f"/dev/loop{number}", image])
        except LabError as error:
            if backing_file(number) is None:
                raise
            taken = error  # by another lab, a moment ago
        else:
            return number
    raise taken


def free_loop(volume: LabVolume) -> None:
    """Give a volume's loop device back; one that has another file by now is left alone.

    Raises:
        LabError: something still held it after some seconds.
    """
    if backing_file(volume.loop) != volume.image:
        return
    # One that is still open only goes with its last user: whoever writes to the file next must come after that.
    run(["losetup", "--detach", f"/dev/loop{volume.loop}"])
    until(f"the end of volume {volume.serial}", FREE_SECONDS, lambda: backing_file(volume.loop) != volume.image)


def _free_number() -> int:
    try:
        control = os.open("/dev/loop-control", os.O_RDWR)
    except OSError as error:
        cure = "modprobe loop; in a container, allow it /dev/loop-control and the loop devices"
        raise LabError(f"there are no loop devices for volumes: {error.strerror}", cure) from None
    try:
        return fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    finally:
        os.close(control)


def _save(lab: Lab, volumes: dict[str, LabVolume]) -> None:
    written = lab.volumes.with_suffix(".new")
    written.write_text(json.dumps({serial: asdict(volume) for serial, volume in volumes.items()}, indent=2) + "\n")
    written.rename(lab.volumes)


def uuid_of(volume: LabVolume) -> str:
    """The UUID of the file system or the like on a volume; empty for none."""
    words = ["blkid", "--probe", "--output", "value", "--match-tag", "UUID", f"/dev/loop{volume.loop}"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def _describe(lab: Lab, host: str) -> None:
    if lab.host(host).is_dir():
        lines = [volume.nodes(uuid_of(volume)) for volume in load(lab).values() if volume.host == host]
        (lab.host(host) / "volumes.conf").write_text("".join(lines))
