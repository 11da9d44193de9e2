"""What reads rendered files on a host, as Debian packages it: `haproxy -c` and `systemd-analyze verify`.

The packages that other tests unpack are the lower layers of an overlay, in which files lie where they do on a host;
each release has its own. Nothing is installed on the machine. Needs root, as the lab does.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fortress import haproxy, mariadb
from fortress.monitoring import UNITS as EXPORTERS
from tests.engine import debian, mariadb_host

_SELF_SIGNED = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=some")
UNITS = "/etc/systemd/system/"
# Of packages that are not unpacked here, what our units and drop-ins build on.
PROGRAMS = ("/usr/bin/garbd", *(f"/usr/bin/{name}" for name in EXPORTERS.values()))

_START = """
set -e
work=$1 lower=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
cd "$work/root"
mount -t tmpfs -o mode=755 tmpfs dev
: >dev/null
mount --bind /dev/null dev/null
mount -t proc proc proc
chroot . useradd --system --home-dir /var/lib/haproxy haproxy
mkdir -p var/lib/haproxy
exec chroot . sh -c 'echo here; exec sleep infinity'
"""


@dataclass(frozen=True)
class Readers:
    """The programs of a Debian release, and the root that they read in."""

    pid: int
    root: Path
    """Its files, as the machine sees them."""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program in there."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--wd", "--"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin"]
        return subprocess.run([*enter, *clean, *command], capture_output=True, text=True, timeout=60, check=False)

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Put a file; gives where the machine sees it."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, newline="")
        file.chmod(mode)
        return file

    @functools.cache  # noqa: B019 - there are two of them
    def objections(self, files: frozenset[tuple[str, str]], programs: tuple[str, ...] = ()) -> str:
        """What HAProxy and systemd have against their files among these, each a path and a text; nothing where they
        take them. `programs` are there for units to start, beside our own in /usr/local."""
        written = [
            self.write(path, text, 0o755 if path.startswith("/usr/local/") else 0o644)
            for path, text in sorted(files)
            if path.startswith((UNITS, "/usr/local/")) or path == haproxy.CONFIG_PATH
        ]
        written += [self.write(path, "", 0o755) for path in programs if not (self.root / path.lstrip("/")).exists()]
        found = {path for path, _ in files}
        units = sorted({path.removeprefix(UNITS).partition(".d/")[0] for path in found if path.startswith(UNITS)})
        said = ""
        try:
            if haproxy.CONFIG_PATH in found:
                done = self.run("haproxy", "-c", "-dW", "-f", haproxy.CONFIG_PATH)
                said += done.stderr or "haproxy -c fails" if done.returncode else ""
            if units:
                done = self.run("systemd-analyze", "verify", "--man=no", *units)
                said += done.stderr or ("systemd-analyze verify fails" if done.returncode else "")
        finally:
            for file in written:
                file.unlink()
        return said


@contextlib.contextmanager
def readers(work: Path, release: str) -> Iterator[Readers]:
    """The programs of a release, until the end."""
    lower = f"{debian.unpacked('haproxy', release, 1, ['haproxy'])}:{mariadb_host.unpacked(release)}"
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _START, "readers", str(work), lower]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n", "it did not start; its standard error is above"
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        found = Readers(int(child), Path(f"/proc/{child}/root"))
        for path in (haproxy.CERTIFICATE, mariadb.AUTHORITIES_PATH):
            found.write(path, "")
            made = found.run("openssl", *_SELF_SIGNED, "-keyout", path, "-out", path)
            assert made.returncode == 0, made.stderr
        for path in PROGRAMS:
            found.write(path, "", 0o755)
        for name in EXPORTERS.values():
            found.write(f"/usr/lib/systemd/system/{name}.service", f"[Service]\nExecStart=/usr/bin/{name}\n")
        yield found
    finally:
        process.kill()
        process.wait()
