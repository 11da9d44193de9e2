"""A Debian host with MariaDB in namespaces of its own: real packages and paths, nothing installed on the machine.

The packages are unpacked once into the cache and serve as the lower layer of an overlay. Each host adds a mount, a
network and a process namespace, in which the host scripts run unchanged, as root, under dash. There is no systemd; a
few lines stand in for `systemctl start|stop mariadb`. Needs root, as the lab does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]

from fortress import access
from lab.base.folders import RELEASES
from tests.engine import debian

VERSIONS = {"bookworm": "10.11", "trixie": "11.8"}
"""Of MariaDB, by Debian release."""
ADDRESS = "10.100.0.1"
"""The tunnel's address, here on the loopback device."""
WORKERS = ("10.100.0.2", "10.100.0.3")
"""Addresses of two clients in the mesh."""
STRANGER = "10.200.0.1"
"""An address outside the mesh, for a client that should not get in."""

SCRIPTS = Path(__file__).parents[2] / "fortress" / "scripts"
LIBRARY = "/usr/local/lib/fortress"
SERVER_LOG = "/var/log/mariadb.log"

_PACKAGES = (
    *("mariadb-server", "openssl", "systemd"),  # systemd for systemd-analyze only
    *("mariadb-backup", "restic", "python3", "openssh-client", "openssh-server"),  # for backups, and where they go
    *("cryptsetup-bin", "e2fsprogs"),  # for the data on a volume of its own
    # What every Debian has, and dependencies therefore leave out.
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "diffutils", "findutils", "grep", "gzip", "hostname"),
    *("libc-bin", "login", "mawk", "sed", "util-linux"),
)
# What reads crypttab at boot, where it is no longer part of systemd's own package.
_SINCE = {"bookworm": (), "trixie": ("systemd-cryptsetup",)}
_LAYOUT = 3  # raised when what is unpacked, or how, changes
_CLONE_NEWNET = 0x40000000

# What the packages' own scripts would do, as far as it is needed here.
_FINISH = """
cp /usr/share/base-passwd/passwd.master /etc/passwd
cp /usr/share/base-passwd/group.master /etc/group
groupadd --system mysql
useradd --system --gid mysql --no-create-home --home-dir /nonexistent --shell /bin/false mysql
useradd --system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin sshd
useradd --create-home --shell /bin/sh keeper
ln -s mawk /usr/bin/awk
ln -s mariadb.cnf /etc/mysql/my.cnf
ldconfig
"""

_START = """
set -e
root=$1 work=$2 data=$3
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
cd "$work/root"
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero random urandom; do : >dev/$device; mount --bind /dev/$device dev/$device; done
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
ln -s /proc/self/fd dev/fd
# As Debian's package sets them up: the data on a real disk, where O_DIRECT exists, and as a mount of its own.
mkdir -p var/lib/mysql run/mysqld
mount --bind "$data" var/lib/mysql
chroot . chown mysql:mysql /var/lib/mysql
chroot . chown mysql:root /run/mysqld
ip link set lo up
for address in ADDRESSES; do ip address add $address/32 dev lo; done
read -r pid rest </proc/self/stat  # the machine's /proc, so the number that the machine knows
echo $pid
exec chroot . perl -e '$SIG{CHLD} = "IGNORE"; sleep while 1'  # the first process, which buries orphans
"""

_SYSTEMCTL = """#!/bin/sh
# Stands in for systemd: `systemctl start|stop mariadb.service`.
exec 9>&-  # the lock of the script that asks
case $1 in
start)
	ulimit -n "$(ulimit -H -n)"  # the drop-in has a LimitNOFILE
	setsid mariadbd --user=mysql </dev/null >>LOG 2>&1 &
	pid=$!
	until echo 'SELECT 1;' | mariadb --no-defaults --batch >/dev/null 2>&1; do
		kill -0 $pid 2>/dev/null || exit 1
		sleep 0.1
	done
	;;
stop)
	pid=$(pgrep -x mariadbd) || exit 0
	kill $pid
	while kill -0 $pid 2>/dev/null; do sleep 0.1; done
	;;
*) exit 64 ;;
esac
"""


@dataclass(frozen=True)
class Host:
    """A running host; `pid` is its first process, as the machine counts."""

    pid: int
    root: Path
    """Its files, as the machine sees them."""
    version: str
    """Of MariaDB: `11.8`."""

    def run(self, *command: str, stdin: bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the host, with nothing of our environment but a path."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--root", "--wd", "--"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin"]
        return subprocess.run([*enter, *clean, *command], input=stdin, capture_output=True, timeout=timeout)

    def check(self, *command: str, stdin: bytes = b"", timeout: float = 60) -> str:
        """The same for a command that must succeed; gives its standard output."""
        done = self.run(*command, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr.decode()}{done.stdout.decode()}"
        return done.stdout.decode()

    def script(self, name: str, *arguments: str, stdin: bytes = b"") -> str:
        """Run a host script that must succeed."""
        return self.check(f"{LIBRARY}/{name}", *arguments, stdin=stdin)

    def refused(self, name: str, *arguments: str, stdin: bytes = b"") -> str:
        """Run a host script that must fail; gives its standard error."""
        done = self.run(f"{LIBRARY}/{name}", *arguments, stdin=stdin)
        assert done.returncode == 1, f"{name} {arguments}: {done.returncode}\n{done.stderr.decode()}"
        assert done.stdout == b""
        return done.stderr.decode()

    def sql(self, statements: str) -> list[list[str]]:
        """Run SQL as root, by the unix socket; gives the rows."""
        client = ("mariadb", "--no-defaults", "--user=root", "--batch", "--raw", "--skip-column-names")
        rows = self.check(*client, "--default-character-set=utf8mb4", stdin=statements.encode())
        return [line.split("\t") for line in rows.splitlines()]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file on the host."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def dial(self, address: str, port: int, source: str = ADDRESS) -> socket.socket:
        """Open a TCP connection inside the host's network."""
        opened: list[socket.socket | OSError] = []

        def inside() -> None:
            # The namespace is that of a thread, and a socket stays in the one where it was made.
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.pid}/ns/net", "rb") as namespace:  # noqa: PTH123 - a descriptor is wanted
                if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                    opened.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                opened.append(socket.create_connection((address, port), timeout=10, source_address=(source, 0)))
            except OSError as bad:
                opened.append(bad)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        (result,) = opened
        if isinstance(result, OSError):
            raise result
        return result

    @contextlib.contextmanager
    def connect(
        self,
        user: str,
        password: bytes,
        tls: ssl.SSLContext | None,
        *,
        name: str = ADDRESS,
        source: str = ADDRESS,
        **more: Any,
    ) -> Iterator[Any]:
        """A client's connection: `name` is what the certificate must say, None for `tls` a client without TLS."""
        disabled = {"ssl_disabled": True} if tls is None else {"ssl": tls}
        connection = pymysql.connect(
            host=name, user=user, password=password, defer_connect=True, autocommit=True, **disabled, **more
        )
        connection.connect(self.dial(ADDRESS, 3306, source))
        with connection, connection.cursor() as cursor:
            yield cursor


@contextlib.contextmanager
def host(work: Path, release: str = RELEASES[0]) -> Iterator[Host]:
    """Start a host of a Debian release with the host scripts and an empty MariaDB that does not run yet; all of it is
    gone afterwards."""
    if os.geteuid() != 0:
        raise PermissionError("these tests make namespaces: run them as root")
    root = unpacked(release)
    overlay, data = work / "overlay", work / "data"
    overlay.mkdir(parents=True)
    data.mkdir()
    start = _START.replace("ADDRESSES", " ".join((ADDRESS, *WORKERS, STRANGER)))
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    process = subprocess.Popen(
        [*namespaces, "sh", "-c", start, "host", str(root), str(overlay), str(data)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the host did not start; its standard error is above"
        pid = int(line)
        running = Host(pid, Path(f"/proc/{pid}/root"), VERSIONS[release])
        # The number is printed just before the change of root.
        while not (running.root / "etc/mysql").exists():
            assert process.poll() is None
        tools = (("mariadb-authority",) * 2, (access.TOOL, access.SCRIPT), ("mariadb-data", "mariadb_data.py"))
        for tool, script in tools:
            running.write(f"{LIBRARY}/{tool}", (SCRIPTS / script).read_text(), 0o755)
        running.write("/usr/bin/systemctl", _SYSTEMCTL.replace("LOG", SERVER_LOG), 0o755)
        install = ("mariadb-install-db", "--rpm", "--cross-bootstrap", "--user=mysql", "--disable-log-bin")
        running.check(*install, "--skip-test-db")
        running.check("touch", f"/var/lib/mysql/debian-{running.version}.flag")
        yield running
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(data)


def unpacked(release: str) -> Path:
    """The packages with all they need, unpacked; from the cache when they are there."""
    root = debian.unpacked("mariadb", release, _LAYOUT, (*_PACKAGES, *_SINCE[release]), _FINISH)
    version = subprocess.run(["chroot", root, "mariadbd", "--version"], check=True, capture_output=True, text=True)
    assert f" {VERSIONS[release]}." in version.stdout, f"not the MariaDB of {release}: {version.stdout}; remove {root}"
    return root
