"""A host with disks to run fortress/scripts/data-volume on: dash in namespaces of its own, loop devices as disks.

`/etc` is an overlay, `/dev` and `/run` are of the host's own, `/var/lib` is a folder that stays over a reboot. Mounts
are real and end with the namespace. Needs root.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "fortress" / "scripts" / "data-volume"
DOUBLES = REPOSITORY / "tests" / "doubles" / "bin-volume-host"
END = "# fortress-push: end of file\n"
LIBRARY = "/usr/local/lib/fortress"
MOUNTPOINT = "/var/lib/mysql"

# What data-volume calls that changes something, and some that do not.
COMMANDS = """
blkid blockdev cp cryptsetup install mkdir mkfs.ext4 mount mv resize2fs rm rmdir sync systemctl umount wipefs
"""

_START = """
set -e
root=$1
mount --make-rprivate /
mount -t overlay -o "lowerdir=/etc,upperdir=$root/etc,workdir=$root/work" overlay /etc
mount --bind "$root/varlib" /var/lib
mount --bind "$root/sbin" /usr/local/sbin
mount --bind "$root/lib" /usr/local/lib
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/doubles
mount --bind "$root/doubles" /run/doubles
mount -t tmpfs -o mode=755 tmpfs /dev
mkdir -p /dev/mapper /dev/disk/by-id
for node in 'null 1 3' 'zero 1 5' 'random 1 8' 'urandom 1 9' 'loop-control 10 237'; do
    set -- $node
    mknod /dev/$1 c $2 $3
done
for number in $(seq 0 63); do mknod /dev/loop$number b 7 $number; done
ln -s /proc/self/fd /dev/fd
mount -t proc proc /proc
hostname oslo-db
echo up
exec /usr/bin/sleep infinity
"""

# Stands before a command of the script's: notes the call, and pulls the plug before the one with the number in cut-at.
_CUT = """#!/bin/sh
echo '{command}' >>/run/doubles/cuts
calls=0
while read -r _; do calls=$((calls + 1)); done </run/doubles/cuts
read -r cut_at </run/doubles/cut-at
[ $calls -lt "$cut_at" ] || kill -KILL 0
exec {real} "$@"
"""

NEVER = 1000


class Cut(Exception):
    """The plug was pulled before the script ended."""


class VolumeHost:
    """One host. `root` holds what stays over a reboot."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("etc", "work", "varlib", "sbin", "lib/fortress", "doubles/units"):
            (root / folder).mkdir(parents=True)
        shutil.copy(SCRIPT, root / "lib" / "fortress" / "data-volume")
        (root / "etc" / "fstab").write_text("# the system's own\nUUID=0000-0000 / ext4 defaults 0 1\n")
        (root / "doubles" / "calls").touch()
        self._own_commands()
        self._links: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None
        self.boot()

    def _own_commands(self) -> None:
        for file in (self.root / "sbin").iterdir():  # the folder itself is mounted
            file.unlink()
        shutil.copytree(DOUBLES, self.root / "sbin", dirs_exist_ok=True)
        self.command("sleep", "exit 0")

    def command(self, name: str, text: str) -> None:
        """A program of the test's own, in front of the machine's."""
        file = self.root / "sbin" / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def boot(self) -> None:
        """Starts it with nothing mounted: systemd's part is the test's to play."""
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "sh", "-c", _START, "host", self.root],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "up\n", "the host did not start; its standard error is above"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        self.pid = int(children.split()[0])
        for link, device in self._links.items():
            self._link(link, device)

    def pull_the_plug(self) -> None:
        """Ends it with all that runs and is mounted."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(FileNotFoundError):
            loop = (self.root / "doubles" / "loop").read_text().strip()
            subprocess.run(["losetup", "--detach", loop], check=True)
            (self.root / "doubles" / "loop").unlink()

    def reboot(self) -> None:
        """Pulls the plug and starts again."""
        self.pull_the_plug()
        self.boot()

    def attach(self, device: str, link: str) -> None:
        """What udev does for a volume: a link in /dev/disk/by-id."""
        self._links[link] = device
        self._link(link, device)

    def _link(self, link: str, device: str) -> None:
        self.check("ln", "-sf", device, f"/dev/disk/by-id/{link}")

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs one command line."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--root", "--wd=/", "--"]
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/sbin:/usr/bin"]
        return subprocess.run([*enter, *clean, *words], input=stdin, capture_output=True, text=True, timeout=60)

    def check(self, *words: str) -> str:
        """The same for one that must succeed; gives its standard output."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stderr}{done.stdout}"
        return done.stdout

    def volume(self, *words: str, stdin: str = "") -> str:
        """Runs `data-volume`, which must succeed; gives what it says that it changed."""
        done = self.run("dash", f"{LIBRARY}/data-volume", *words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), f"{words}: {done.returncode}\n{done.stderr}{done.stdout}"
        return done.stdout

    def refused(self, *words: str, stdin: str = "") -> str:
        """The same, where it must fail; gives what it says, without its name."""
        done = self.run("dash", f"{LIBRARY}/data-volume", *words, stdin=stdin)
        assert (done.returncode, done.stdout) == (1, ""), f"{words}: {done.returncode}\n{done.stderr}{done.stdout}"
        assert len(done.stderr.splitlines()) <= 2, "an error is two lines at most"
        return done.stderr.removeprefix("data-volume: oslo-db: ")

    def volume_cut(self, at: int, *words: str, stdin: str = "") -> list[str]:
        """Runs `data-volume` and pulls the plug before its call `at`, raising `Cut`; else gives its calls."""
        notes = self.root / "doubles"
        (notes / "cuts").write_text("")
        (notes / "cut-at").write_text(f"{at}\n")
        shims = self.root / "sbin"
        for command in COMMANDS.split():
            real = shutil.which(command, path=f"{DOUBLES}:/usr/sbin:/usr/bin")
            assert real, f"{command} is not on this machine"
            if (shims / command).exists():
                (shims / command).rename(shims / f"real-{command}")
                real = f"/usr/local/sbin/real-{command}"
            (shims / command).write_text(_CUT.format(command=command, real=real))
            (shims / command).chmod(0o755)
        done = self.run("setsid", "--fork", "--wait", "dash", f"{LIBRARY}/data-volume", *words, stdin=stdin)
        self._own_commands()
        if done.returncode in (9, 137):  # as setsid has it
            self.reboot()
            raise Cut
        assert done.returncode == 0, f"{done.returncode}\n{done.stderr}{done.stdout}"
        return (notes / "cuts").read_text().split()

    def install(self, service: str, user: str, *, active: bool = True) -> None:
        """A service as its package leaves it: enabled and started."""
        unit = self.root / "doubles" / "units" / service
        unit.mkdir()
        (unit / "User").write_text(f"{user}\n")
        (unit / "enabled").touch()
        (unit / "ActiveState").write_text("active\n" if active else "inactive\n")

    def state(self, service: str) -> str:
        """A service's ActiveState."""
        return (self.root / "doubles" / "units" / service / "ActiveState").read_text().strip()

    def asked(self) -> list[str]:
        """What systemctl and cryptsetup were asked, in order; empties the list."""
        calls = self.root / "doubles" / "calls"
        lines = calls.read_text().splitlines()
        calls.write_text("")
        return lines

    def text(self, path: str) -> str:
        """A file's text on the host."""
        return self.check("cat", path)

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return self.run("test", "-e", path).returncode == 0

    def mounted(self) -> str | None:
        """What is mounted where the data is."""
        done = self.run("findmnt", "--noheadings", "--output=SOURCE", MOUNTPOINT)
        return done.stdout.strip() or None


@contextlib.contextmanager
def disk(folder: Path, name: str, mb: int = 48) -> Iterator[Disk]:
    """A disk of zeros; its loop device is freed at the end."""
    image = folder / f"{name}.img"
    with image.open("wb") as file:
        file.truncate(mb * 2**20)
    loop = subprocess.run(
        ["losetup", "--find", "--show", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        yield Disk(image, loop)
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


class Disk:
    """A loop device, and the file that it shows."""

    def __init__(self, image: Path, device: str) -> None:
        self.image, self.device = image, device

    def write(self, offset: int, data: bytes) -> None:
        """Puts bytes on it."""
        with Path(self.device).open("r+b", buffering=0) as file:
            file.seek(offset)
            file.write(data)

    def clear(self) -> None:
        """Empties it."""
        subprocess.run(["blkdiscard", "--force", "--zeroout", self.device], check=True)

    def read(self) -> bytes:
        """All that is on it."""
        return self.image.read_bytes()

    def grow(self, mb: int) -> None:
        """Makes it larger, as the cloud does."""
        with self.image.open("r+b") as file:
            file.truncate(mb * 2**20)
        subprocess.run(["losetup", "--set-capacity", self.device], check=True)
